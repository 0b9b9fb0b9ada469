"""Asking a server of ours over HTTP: retried within bounds, never guessed."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from fogline.core.errors import ConfigurationError, InfrastructureError


@dataclass(frozen=True)
class Wire:
    """The way to a server.

    Attributes:
        url: Of the server, without a slash at its end.
        who: What it is, for errors, such as ``the teacher``.
        start: The command that starts one.
        timeout_s: Wall-clock limit of one question, in seconds.
        retries: Further questions after a failure that is not ours: no answer, a status of 500 or above.
        wait_s: Seconds before the first of them; each further one waits twice as long.

    Raises:
        ConfigurationError: The address is none of HTTP.
    """

    url: str
    who: str
    start: str
    timeout_s: float = 120.0
    retries: int = 3
    wait_s: float = 0.5

    def __post_init__(self) -> None:
        """Check the address."""
        if not self.url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"url={self.url!r}: expected http://HOST:PORT of a server that '{self.start}' started."
            )

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """Ask once, and again within bounds where the failure may pass.

        Raises:
            ConfigurationError: The server refuses the question.
            InfrastructureError: No answer within the bounds.
        """
        wait, problem = self.wait_s, ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(wait)
                wait *= 2
            request = urllib.request.Request(self.url + path, data=body)
            try:
                with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                    said: bytes = response.read()
                    return said
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}: {_error_of(error.read())}"
                if error.code < 500:
                    raise ConfigurationError(f"{self.who} at {self.url} refuses: {problem}") from error
            except (OSError, TimeoutError) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
        raise InfrastructureError(
            f"{self.who} at {self.url} gave no answer in {self.retries + 1} attempts of {self.timeout_s:g} s "
            f"({problem}): is '{self.start}' running there? Raise timeout_s for long rows."
        )


def _error_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
