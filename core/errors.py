"""Typed errors: each names the offending value, what was expected, and what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FoglineError(Exception):
    """Root of every error that fogline raises on purpose."""


class ConfigurationError(FoglineError, ValueError):
    """The caller asked for something that does not exist or does not fit together."""


class DataError(FoglineError, ValueError):
    """A file or record handed to fogline is not what its format promises."""


class MissingDependencyError(FoglineError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class AgentError(FoglineError):
    """The agent itself failed (not the world around it): the episode ends as ``agent_error``."""


class InfrastructureError(FoglineError):
    """Something between agent and environment broke: retried within bounds, never scored.

    Attributes:
        retryable: Whether another attempt can succeed.
    """

    retryable = True


def suggestion(value: object, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest choice, or an empty string."""
    close = difflib.get_close_matches(str(value), list(choices), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise :class:`ConfigurationError` unless ``value`` is one of ``choices``.

    Args:
        name: The option's name, as the user wrote it.
        value: What the user passed.
        choices: Every legal value.
    """
    legal = list(choices)
    if value not in legal:
        expected = ", ".join(repr(choice) for choice in legal)
        raise ConfigurationError(f"{name}={value!r} is unknown: expected one of {expected}.{suggestion(value, legal)}")


def check_keys(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise :class:`ConfigurationError` naming the first key of ``given`` that is not in ``known``."""
    legal = list(known)
    for key in given:
        if key not in legal:
            expected = ", ".join(repr(choice) for choice in legal)
            raise ConfigurationError(f"{what} has no key {key!r}: expected {expected}.{suggestion(key, legal)}")


def missing_dependency(package: str, extra: str) -> MissingDependencyError:
    """Build the error for an absent optional package."""
    return MissingDependencyError(
        f"{package!r} is not installed: run `pip install 'fogline[{extra}]'` to use this feature."
    )
