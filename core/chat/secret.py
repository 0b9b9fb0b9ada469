"""Secrets that do not print, and the removal of their values from text that others wrote."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

MASK = "***"
_SHORTEST = 8
"""Shorter values (``"EMPTY"``, ``"none"``: what local servers take for a key) are words, not secrets."""


class Secret:
    """A string that shows itself as ``***`` everywhere and cannot be pickled or copied.

    Args:
        value: The secret text; :meth:`reveal` is the only way back to it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret text. Use the result in the expression that needs it; bind it to no name."""
        return self._value

    def __repr__(self) -> str:
        """Always the mask."""
        return MASK

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled.

        Raises:
            TypeError: Always.
        """
        raise TypeError("a Secret is neither pickled nor copied: pass the name of an environment variable instead.")


class Redactor:
    """Replaces every known secret in a text by ``***``.

    Args:
        secrets: What must not be seen; values shorter than 8 characters are left alone.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret.reveal()) >= _SHORTEST)

    def text(self, value: str) -> str:
        """Return ``value`` without the secrets."""
        for secret in self._secrets:
            value = value.replace(secret.reveal(), MASK)
        return value

    def data(self, value: bytes) -> bytes:
        """Return ``value`` without the UTF-8 form of the secrets."""
        for secret in self._secrets:
            value = value.replace(secret.reveal().encode(), MASK.encode())
        return value
