"""Sampling of many conversations at once, each from its own random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fogline.agents.policies.kv_cache import Conversation, KeyValueStore
from fogline.core.errors import AgentError

_PREFILL_TOKENS = 16_384
_MASK_ENTRIES = 1 << 26
_COMPACT = 0.75
"""Finished rows are dropped once fewer than this share of the batch still writes."""

StopRule = Callable[[list[int]], bool]


@dataclass
class Draft:
    """One turn in the making.

    Attributes:
        conversation: Whose turn it is.
        pending: Tokens that are read before the first is sampled: what is not cached yet, then the new context.
        uniforms: Random numbers in [0, 1), one for each token that may be sampled; None takes the likeliest.
        limit: Most tokens to sample.
        ids: Sampled tokens.
        logps: Their log-probabilities.
        done: Nothing more is sampled.
        version: Of the weights that sampled it; None for those at hand.
    """

    conversation: Conversation
    pending: list[int]
    uniforms: np.ndarray[Any, Any] | None
    limit: int
    ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    done: bool = False
    version: int | None = None

    @property
    def next_column(self) -> int:
        """Where the last sampled token goes."""
        return self.conversation.cached + len(self.pending) + len(self.ids) - 1


class Sampler:
    """Samples turns with one model.

    Args:
        backbone: Maps ids to hidden states.
        head: Maps hidden states to logits.
        store: Keys and values of the conversations.
        temperature: Divides the logits; the log-probabilities are those of the distribution that is sampled.
        positions: Longest sequence that the model has positions for.
        stop: Whether the ids sampled so far end the turn.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        store: KeyValueStore,
        temperature: float,
        positions: int,
        stop: StopRule,
    ) -> None:
        self._backbone = backbone
        self._head = head
        self._store = store
        self._temperature = temperature
        self._last_position = positions - 1
        self._stop = stop
        self._device, self._dtype = torch.device("cpu"), torch.float32
        self.tokens_forwarded = 0

    @torch.no_grad()
    def run(self, drafts: Sequence[Draft]) -> None:
        """Complete all drafts in place.

        Raises:
            AgentError: The model's probabilities are not numbers.
        """
        weight = next(self._backbone.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        store = self._store
        by_row = {id(draft.conversation): draft for draft in drafts}
        store.admit([draft.conversation for draft in drafts])
        store.reserve(max(d.conversation.cached + len(d.pending) + d.limit for d in drafts))
        rows = self._to_front(drafts, by_row)
        logits = self._prefill(rows)
        uniforms = self._uniforms(rows)
        step = 0
        while True:
            tokens = self._sample(rows, logits, None if uniforms is None else uniforms[:, step])
            alive = [draft for draft in rows if not draft.done]
            if not alive:
                break
            step += 1
            if len(alive) <= _COMPACT * len(rows):
                before = {id(draft): index for index, draft in enumerate(rows)}
                rows = self._to_front(alive, by_row)
                kept = torch.tensor([before[id(draft)] for draft in rows], device=self._device)
                tokens = tokens[kept]
                uniforms = None if uniforms is None else uniforms[kept]
            logits = self._decode(rows, tokens, len(alive))
        for draft in drafts:
            conversation = draft.conversation
            del conversation.tokens[conversation.cached :]
            conversation.tokens += [*draft.pending, *draft.ids]
            # The last sampled token was never read: it goes first when the next turn is read.
            conversation.cached = len(conversation.tokens) - 1

    def _to_front(self, drafts: Sequence[Draft], by_row: dict[int, Draft]) -> list[Draft]:
        order = self._store.to_front([draft.conversation for draft in drafts])
        return [by_row[id(conversation)] for conversation in order]

    def _uniforms(self, rows: Sequence[Draft]) -> Tensor | None:
        drawn = [draft.uniforms for draft in rows if draft.uniforms is not None]
        if len(drawn) < len(rows):
            return None
        width = max(len(numbers) for numbers in drawn)
        table = np.zeros((len(drawn), width))
        for row, numbers in enumerate(drawn):
            table[row, : len(numbers)] = numbers
        return torch.from_numpy(table).to(self._device)

    # Reading

    def _prefill(self, rows: Sequence[Draft]) -> Tensor:
        """Read every pending token; logits ``[n,V]`` after each row's last."""
        longest = max(len(draft.pending) for draft in rows)
        reach = max(draft.conversation.cached for draft in rows) + longest
        size = max(1, min(_PREFILL_TOKENS // longest, _MASK_ENTRIES // (longest * reach)))
        blocks = [self._prefill_block(first, rows[first : first + size]) for first in range(0, len(rows), size)]
        return torch.cat(blocks) if len(blocks) > 1 else blocks[0]

    def _prefill_block(self, first: int, rows: Sequence[Draft]) -> Tensor:
        device = self._device
        sizes = [len(draft.pending) for draft in rows]
        width = max(sizes)
        ids = torch.tensor([draft.pending + [0] * (width - len(draft.pending)) for draft in rows], device=device)
        starts = torch.tensor([draft.conversation.cached for draft in rows], device=device)
        columns = torch.arange(width, device=device)
        positions = starts[:, None] + columns
        ends = torch.tensor(sizes, device=device)
        valid = None if min(sizes) == width else columns < ends[:, None]
        fresh = not any(draft.conversation.cached for draft in rows)
        span = max(draft.conversation.cached + len(draft.pending) for draft in rows)
        self._store.aim(first, positions, span, valid, fresh=fresh)
        mask = None if fresh else self._mask(positions, span)
        hidden = self._forward(ids, positions.clamp(max=self._last_position), mask)
        self.tokens_forwarded += sum(sizes)
        return self._logits(hidden[torch.arange(len(rows), device=device), ends - 1])

    def _decode(self, rows: Sequence[Draft], tokens: Tensor, alive: int) -> Tensor:
        """Read one token of each row. A row that is done repeats its last one, in the same place."""
        columns = [draft.next_column for draft in rows]
        positions = torch.tensor(columns, device=self._device)[:, None]
        span = max(columns) + 1
        self._store.aim(0, positions, span, None)
        mask = None if min(columns) == span - 1 else self._mask(positions, span)
        hidden = self._forward(tokens[:, None], positions, mask)
        self.tokens_forwarded += alive
        return self._logits(hidden[:, 0])

    def _mask(self, positions: Tensor, span: int) -> Tensor:
        """Additive mask ``[n,1,Q,span]``: a token sees the columns up to its own."""
        hidden = torch.arange(span, device=self._device) > positions[:, None, :, None]
        bias = torch.zeros(hidden.shape, dtype=self._dtype, device=self._device)
        return bias.masked_fill_(hidden, torch.finfo(self._dtype).min)

    def _forward(self, ids: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        output = self._backbone(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self._store,
            use_cache=True,
        )
        return output.last_hidden_state  # type: ignore[no-any-return]

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._head(hidden)
        return logits if logits.dtype == torch.float64 else logits.float()

    # Writing

    def _sample(self, rows: Sequence[Draft], logits: Tensor, uniforms: Tensor | None) -> Tensor:
        """Append a token to every row that is not done; all rows' newest tokens ``[n]``."""
        logp = torch.log_softmax(logits / self._temperature, -1)
        if uniforms is None:
            tokens = logp.argmax(-1)
        else:
            # Inverse transform in float64: the first token whose cumulated probability exceeds the random number.
            cumulated = logp.double().exp().cumsum(-1)
            threshold = (uniforms * cumulated[:, -1])[:, None]
            tokens = torch.searchsorted(cumulated, threshold, right=True)[:, 0].clamp_(max=logp.shape[1] - 1)
        chosen = logp.gather(1, tokens[:, None])[:, 0].tolist()
        ids = tokens.tolist()
        for index, draft in enumerate(rows):
            if draft.done:
                ids[index] = draft.ids[-1]
                continue
            if isnan(chosen[index]):
                raise AgentError(
                    "the model's probabilities are not numbers: its weights are damaged, go back to a save."
                )
            draft.ids.append(ids[index])
            draft.logps.append(chosen[index])
            draft.done = len(draft.ids) >= draft.limit or self._stop(draft.ids)
        return torch.tensor(ids, device=self._device)
