"""What a server can do for a trainer, found out by asking it.

On-policy training needs three things of whoever samples: the ids of the tokens, their log-probabilities, and new
weights after every update. A server of ours has them all. One of the OpenAI API may return the first two on request
(vLLM documents ``return_token_ids`` and ``logprobs``), and is asked for one token to see. What vLLM documents of
updating weights goes over NCCL or CUDA IPC between processes with GPUs, which is not spoken here: such a server can
evaluate, not train. That was read, and could not be run against vLLM itself.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from fogline.core.errors import ConfigurationError, InfrastructureError

_PATIENCE_S = 60.0
_OURS = {"name", "vocabulary", "vocabulary_size", "temperature", "stop", "version", "owner"}


@dataclass(frozen=True)
class Capabilities:
    """What a server can do.

    Attributes:
        url: Of the server.
        kind: ``fogline``, ``openai`` or ``unknown``.
        token_ids: It returns the ids of what it wrote.
        log_probabilities: It returns their log-probabilities.
        weights: It takes new weights over HTTP.
    """

    url: str
    kind: str
    token_ids: bool = False
    log_probabilities: bool = False
    weights: bool = False

    def require_training(self) -> None:
        """Refuse a server that no policy can be trained by.

        Raises:
            ConfigurationError: It lacks something; the message says what, and what to use instead.
        """
        wanted = {
            "the ids of its tokens": self.token_ids,
            "their log-probabilities": self.log_probabilities,
            "new weights over HTTP": self.weights,
        }
        missing = [what for what, found in wanted.items() if not found]
        if missing:
            raise ConfigurationError(
                f"the server at {self.url} ({self.kind}) cannot be trained by, it does without: {', '.join(missing)}. "
                "Sample in this process, or on a server that 'fogline serve MODEL' started; this one can evaluate."
            )


def capabilities_of(url: str, *, model: str | None = None, timeout_s: float = _PATIENCE_S) -> Capabilities:
    """Ask a server what it can do.

    Args:
        url: Of the server, with or without ``/v1``.
        model: Of an OpenAI API; by default the first that it lists.
        timeout_s: Wall-clock limit of each question, in seconds.

    Raises:
        InfrastructureError: Nothing answers.
    """
    root = url.rstrip("/").removesuffix("/v1")
    told = _answer(root + "/", None, timeout_s)
    if isinstance(told, dict) and set(told) >= _OURS:
        return Capabilities(root, "fogline", token_ids=True, log_probabilities=True, weights=True)
    listed = _answer(root + "/v1/models", None, timeout_s)
    names = [item.get("id") for item in listed.get("data", [])] if isinstance(listed, dict) else []
    if not names and model is None:
        return Capabilities(root, "unknown")
    question = {
        "model": model or names[0],
        "prompt": [1],
        "max_tokens": 1,
        "logprobs": 0,
        "return_token_ids": True,
    }
    return _openai(root, _answer(root + "/v1/completions", json.dumps(question).encode(), timeout_s))


def _openai(root: str, said: Any) -> Capabilities:
    choices = said.get("choices") if isinstance(said, dict) else None
    choice = choices[0] if choices else {}
    numbers = (choice.get("logprobs") or {}).get("token_logprobs")
    return Capabilities(
        root, "openai", token_ids=isinstance(choice.get("token_ids"), list), log_probabilities=isinstance(numbers, list)
    )


def _answer(url: str, body: bytes | None, timeout_s: float) -> Any:
    """What is said there, None where it is no JSON or a refusal."""
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return json.loads(response.read())
    except (urllib.error.HTTPError, ValueError):
        return None
    except OSError as error:
        raise InfrastructureError(
            f"nothing answers at {url} ({getattr(error, 'reason', error)}): is the server running there?"
        ) from error
