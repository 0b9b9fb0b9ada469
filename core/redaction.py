"""Keep keys and passwords out of whatever is written down: configurations, commands, URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

REDACTED = "[redacted]"

_SECRET_WORDS = frozenset(
    {
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "secret",
        "token",
        "credential",
        "credentials",
        "authorization",
        "apikey",
    }
)
_SECRET_PAIRS = frozenset({("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("auth", "key")})
_VOCABULARY_WORDS = frozenset({"pad", "eos", "bos", "unk", "mask", "sep", "cls", "stop", "image", "special"})
"""Before ``token`` these name an entry of a tokenizer's vocabulary, not a secret."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_KEY_VALUE = r"(?:api[_-]?key|access[_-]?key|access[_-]?token|auth[_-]?token|password|passwd|secret|token|sig|key)"
_PATTERNS = (
    (re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]+@"), rf"\1{REDACTED}@"),
    (re.compile(rf"([?&]{_KEY_VALUE}=)[^&\s]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(rf"(--(?:[a-z]+-)*{_KEY_VALUE}(?:=|\s+))\S+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1{REDACTED}"),
    (
        re.compile(r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[opsur]_[A-Za-z0-9]{16,}|AKIA[0-9A-Z]{16})"),
        REDACTED,
    ),
)


def names_a_secret(key: str) -> bool:
    """Say whether a configuration key's name promises a secret (``api_key``, ``hfToken``, ``password`` …).

    Counts (``max_tokens``) and vocabulary entries (``pad_token``) do not.
    """
    words = [word.lower() for word in _WORD.findall(key)]
    if any(pair in _SECRET_PAIRS for pair in pairwise(words)):
        return True
    if not words or words[-1] not in _SECRET_WORDS:
        return False
    return not (words[-1] == "token" and len(words) > 1 and words[-2] in _VOCABULARY_WORDS)


def redact_text(text: str) -> str:
    """Replace what looks like a key, a bearer token, a secret option or a URL's user information."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(config: Any) -> Any:
    """Return a copy of a configuration without its secrets; everything else stays as it is.

    A value goes when its key names a secret, unless it is None, a boolean or a number (those say whether or
    how many). Inside other text, user information and secret parameters of URLs and well-known key shapes go.

    Args:
        config: Mappings, lists and tuples of plain values, nested at will.
    """
    if isinstance(config, Mapping):
        return {key: _redact_entry(key, value) for key, value in config.items()}
    if isinstance(config, list):
        return [redact(item) for item in config]
    if isinstance(config, tuple):
        return tuple(redact(item) for item in config)
    return redact_text(config) if isinstance(config, str) else config


def _redact_entry(key: Any, value: Any) -> Any:
    plain = value is None or isinstance(value, (bool, int, float))
    if isinstance(key, str) and names_a_secret(key) and not plain:
        return REDACTED
    return redact(value)
