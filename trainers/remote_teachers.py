"""A teacher behind a scoring server (``fogline teach``): asked over HTTP, retried within bounds, never guessed."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError, InfrastructureError
from fogline.trainers.recipe import Teaching
from fogline.trainers.rows import TeacherRows
from fogline.trainers.teacher_wire import packed, unpacked


class RemoteTeacher:
    """Asks a scoring server.

    Args:
        url: Of the server, such as ``http://127.0.0.1:8411``.
        timeout_s: Wall-clock limit of one question, in seconds.
        retries: Further questions after a failure that is not ours: no answer, a status of 500 or above.
        wait_s: Seconds before the first of them; each further one waits twice as long.

    Raises:
        ConfigurationError: What answers is no scoring server.
        InfrastructureError: Nothing answers.
    """

    whole = False

    def __init__(self, url: str, *, timeout_s: float = 120.0, retries: int = 3, wait_s: float = 0.5) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"url={url!r}: expected http://HOST:PORT of a server that 'fogline teach' started."
            )
        self.url = url.rstrip("/")
        self._timeout, self._retries, self._wait = timeout_s, retries, wait_s
        told = self._told()
        self.name = str(told["name"])
        self.temperature = float(told["temperature"])
        self.vocabulary_size = int(told["vocabulary_size"])
        self.vocabulary = str(told["vocabulary"])

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        teaching: Teaching,
    ) -> TeacherRows:
        """As :meth:`Teacher.score`; the context of vector policies is not sent.

        Raises:
            InfrastructureError: No answer within the bounds.
            DataError: An answer that does not say something of every token.
            ConfigurationError: The server refuses the question.
        """
        k = self.vocabulary_size if teaching.top_k is None else teaching.top_k
        body = packed({"tokens": tokens, "attention_mask": attention_mask, "policy_mask": policy_mask})
        wanted = ("logp", *(("top_ids", "top_logp") if k else ()), *(("entropy",) if teaching.entropy else ()))
        said = self._asked(f"/score?top_k={k}&entropy={int(teaching.entropy)}", body)
        found = unpacked(said, wanted, f"the teacher at {self.url}")
        for name in wanted:
            expected = (*tokens.shape, k) if name.startswith("top_") else tuple(tokens.shape)
            if tuple(found[name].shape) != expected:
                raise DataError(
                    f"the teacher at {self.url} answered {name} of shape {list(found[name].shape)} for tokens of shape "
                    f"{list(tokens.shape)}: expected {list(expected)}. It dropped or added tokens; nothing is learned."
                )
        known: dict[str, Any] = {name: found[name].to(tokens.device) for name in wanted}
        return TeacherRows(**known, temperature=self.temperature)

    def _told(self) -> dict[str, Any]:
        try:
            told = json.loads(self._asked("/", None))
        except ValueError:
            told = None
        if not isinstance(told, dict) or not {"name", "temperature", "vocabulary", "vocabulary_size"} <= set(told):
            raise ConfigurationError(
                f"what answers at {self.url} is no scoring server: expected one that 'fogline teach MODEL' started."
            )
        return told

    def _asked(self, path: str, body: bytes | None) -> bytes:
        """Ask once, and again within bounds where the failure may pass."""
        wait, problem = self._wait, ""
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(wait)
                wait *= 2
            request = urllib.request.Request(self.url + path, data=body)
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as response:
                    said: bytes = response.read()
                    return said
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}: {_error_of(error.read())}"
                if error.code < 500:
                    raise ConfigurationError(f"the teacher at {self.url} refuses: {problem}") from error
            except (OSError, TimeoutError) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
        raise InfrastructureError(
            f"the teacher at {self.url} gave no answer in {self._retries + 1} attempts of {self._timeout:g} s "
            f"({problem}): is 'fogline teach' running there? Raise timeout_s for long rows."
        )


def _error_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
