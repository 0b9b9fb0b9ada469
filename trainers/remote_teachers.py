"""A teacher behind a scoring server (``fogline teach``): asked over HTTP, retried within bounds, never guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.recipe import Teaching
from fogline.trainers.rows import TeacherRows
from fogline.trainers.teacher_wire import packed, unpacked
from fogline.trainers.wire import Wire


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
        self._wire = Wire(url.rstrip("/"), "the teacher", "fogline teach", timeout_s, retries, wait_s)
        self.url = self._wire.url
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
        said = self._wire.ask(f"/score?top_k={k}&entropy={int(teaching.entropy)}", body)
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
            told = json.loads(self._wire.ask("/"))
        except ValueError:
            told = None
        if not isinstance(told, dict) or not {"name", "temperature", "vocabulary", "vocabulary_size"} <= set(told):
            raise ConfigurationError(
                f"what answers at {self.url} is no scoring server: expected one that 'fogline teach MODEL' started."
            )
        return told
