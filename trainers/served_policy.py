"""A policy that is trained here and sampled elsewhere: by a server that is sent its weights after every update."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

import torch

from fogline.agents.agent import SeatView
from fogline.agents.policies.generation import Draft
from fogline.agents.policies.language import CausalLMPolicy
from fogline.core.errors import ConfigurationError, DataError, InfrastructureError
from fogline.trainers.generation_probe import capabilities_of
from fogline.trainers.generation_server import PROMPTS, WRITTEN, weights_of
from fogline.trainers.teacher_wire import packed, unpacked
from fogline.trainers.teachers import vocabulary_of
from fogline.trainers.wire import Wire


class ServedPolicy(CausalLMPolicy):
    """As :class:`CausalLMPolicy`, but what it writes is sampled by a server that ``fogline serve`` started.

    The random numbers are drawn here, one for each token that may be written, and travel with the prompts: the same
    seeds give the same episodes as in one process. The server reads every prompt whole. Scoring and learning stay here.

    Args:
        model: As there.
        tokenizer: As there.
        server: Its address.
        synchronise: Send the weights whenever they changed, before anything is sampled. Without it, call :meth:`push`;
            episodes then carry the version of the weights that the server had.
        timeout_s: Wall-clock limit of one question, in seconds.
        retries: Further questions after a failure that is not ours.
        options: As there; no ``lora``.

    Raises:
        ConfigurationError: As there, or for a server that cannot train this policy: it returns no token ids or
            log-probabilities, takes no weights, or samples by another vocabulary, temperature or other stop strings.
        InfrastructureError: Nothing answers.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        server: str,
        synchronise: bool = True,
        timeout_s: float = 600.0,
        retries: int = 3,
        **options: Any,
    ) -> None:
        if options.get("lora") is not None:
            raise ConfigurationError("a server has no adapters of ours: leave lora out, or sample in this process.")
        self._wire = Wire(server.rstrip("/"), "the generation server", "fogline serve", timeout_s, retries)
        self._synchronise = synchronise
        self._owner = 1 + secrets.randbelow(2**62)
        self._sent: tuple[int, int] | None = None
        super().__init__(model, tokenizer, **options)
        capabilities_of(server).require_training()
        self._check_server()

    def _check_server(self) -> None:
        told = json.loads(self._wire.ask("/"))
        own = {
            "vocabulary": vocabulary_of(self),
            "vocabulary_size": self.vocabulary_size,
            "temperature": self.temperature,
            "stop": list(self.stop),
        }
        other = {name: (told.get(name), value) for name, value in own.items() if told.get(name) != value}
        if other:
            said = "; ".join(f"{name} is {there!r} there and {here!r} here" for name, (there, here) in other.items())
            raise ConfigurationError(
                f"the server at {self._wire.url} samples otherwise: {said}. Serve the model that is trained, with the "
                "same settings."
            )

    def push(self) -> None:
        """Send the weights as they are, with their version.

        Raises:
            ConfigurationError: The server has another model.
            InfrastructureError: No answer within the bounds.
        """
        self._wire.ask(f"/weights?version={self.version}&owner={self._owner}", packed(weights_of(self)))
        self._sent = self._stamp()

    def _sample(self, views: Sequence[SeatView], drafts: Sequence[Draft]) -> None:
        self._complete(drafts)

    def write(self, drafts: Sequence[Draft]) -> None:
        """As :meth:`CausalLMPolicy.write`, on the server."""
        self._complete(drafts)

    def _complete(self, drafts: Sequence[Draft]) -> None:
        if self._synchronise and self._sent != self._stamp():
            self.push()
        said = self._asked(drafts)
        if self._synchronise and int(said["owner"]) != self._owner:
            # It began again, or somebody else took it: once more with our weights.
            self.push()
            said = self._asked(drafts)
            if int(said["owner"]) != self._owner:
                raise InfrastructureError(
                    f"the server at {self._wire.url} samples by somebody else's weights: one trainer needs a server of "
                    "its own."
                )
        lengths = said["lengths"].tolist()
        for row, draft in enumerate(drafts):
            draft.ids += said["ids"][row, : lengths[row]].tolist()
            draft.logps += said["logp"][row, : lengths[row]].tolist()
            draft.done, draft.version = True, int(said["version"])
            conversation = draft.conversation
            conversation.tokens[conversation.cached :] = [*draft.pending, *draft.ids]

    def _asked(self, drafts: Sequence[Draft]) -> dict[str, torch.Tensor]:
        """What the server writes for drafts whose conversations are not cached anywhere."""
        prompts = [draft.pending for draft in drafts]
        tokens = torch.zeros(len(drafts), max(map(len, prompts)), dtype=torch.int64)
        drawn = [draft.uniforms for draft in drafts if draft.uniforms is not None]
        uniforms = torch.zeros(len(drafts), max((len(numbers) for numbers in drawn), default=0), dtype=torch.float64)
        for row, (draft, prompt) in enumerate(zip(drafts, prompts, strict=True)):
            tokens[row, : len(prompt)] = torch.tensor(prompt)
            if draft.uniforms is not None:
                uniforms[row, : len(draft.uniforms)] = torch.from_numpy(draft.uniforms)
        limits = torch.tensor([draft.limit for draft in drafts])
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        question = dict(zip(PROMPTS, (tokens, lengths, limits, uniforms), strict=True))
        said = unpacked(self._wire.ask("/generate", packed(question)), WRITTEN, "the generation server")
        written = said["lengths"]
        if tuple(written.shape) != (len(drafts),) or bool(((written < 1) | (written > limits)).any()):
            raise DataError(
                f"the server at {self._wire.url} wrote {written.tolist()} tokens for {len(drafts)} prompts with limits "
                f"{limits.tolist()}: expected 1 up to the limit for each."
            )
        return said
