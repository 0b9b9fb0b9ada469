"""One pass over a batch whose rows begin alike: a prompt that many rows share is read once.

The episodes of a group begin with the same prompt, so that a group of eight with a long one repeats seven eighths of
its work. Keys and values of a prompt do not depend on what follows it: they are computed once, with gradient, and each
row goes on from them. What comes out is what a pass over the whole rows gives, up to the order of summation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

WORTHWHILE = 0.2
"""Share of the batch's tokens that must be saved: two passes cost more overhead than one."""


class SharedPrefix:
    """Which rows of a batch begin with the same context.

    Args:
        tokens: ``[N,T]`` int64.
        lengths: Tokens of each row, ``[N]``.
        policy_mask: ``[N,T]`` bool; what stands before a row's first policy token is its prompt.

    Attributes:
        owner: Which prompt each row begins with, ``[N]``.
        starts: Tokens of each row's prompt, ``[N]``.
        first: A row of each prompt, ``[G]``.
        saved: Share of the batch's tokens that need no reading of their own.
    """

    def __init__(self, tokens: Tensor, lengths: Tensor, policy_mask: Tensor) -> None:
        written = policy_mask.any(1)
        starts = torch.where(written, policy_mask.to(torch.uint8).argmax(1), lengths)
        known: dict[bytes, int] = {}
        first: list[int] = []
        owner: list[int] = []
        for row, start in enumerate(starts.tolist()):
            key = tokens[row, :start].cpu().numpy().tobytes()
            if key not in known:
                known[key] = len(first)
                first.append(row)
            owner.append(known[key])
        self.starts = starts
        self.owner = torch.tensor(owner, device=tokens.device)
        self.first = torch.tensor(first, device=tokens.device)
        spared = int(starts.sum()) - int(starts[self.first].sum())
        self.saved = spared / max(int(lengths.sum()), 1)

    @property
    def worthwhile(self) -> bool:
        """Whether reading prompts apart saves enough; False too where nothing follows any prompt."""
        return self.saved >= WORTHWHILE

    def hidden(self, backbone: nn.Module, tokens: Tensor, lengths: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """Hidden states at places of the batch.

        Args:
            backbone: Maps ids to hidden states.
            tokens: ``[N,T]`` int64.
            lengths: Tokens of each row, ``[N]``.
            places: Rows and columns, two ``[M]``.

        Returns:
            ``[M,H]`` with gradient.
        """
        device = tokens.device
        starts = self.starts
        prompts = starts[self.first]
        reach, rest = int(prompts.max()), int((lengths - starts).max())
        cache = PrefixCache()
        columns = torch.arange(reach, device=device)
        # A shorter prompt is padded on the right, where its own tokens do not look.
        head = backbone(
            input_ids=tokens[self.first, :reach].masked_fill(columns >= prompts[:, None], 0),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        cache.follow(self.owner, reach)
        following = starts[:, None] + torch.arange(rest, device=device)
        inside = following < lengths[:, None]
        ids = tokens.gather(1, following.clamp(max=tokens.shape[1] - 1)).masked_fill(~inside, 0)
        seen = None
        if int(prompts.min()) < reach:
            seen = torch.cat((columns < starts[:, None], torch.ones_like(inside)), 1).long()
        tail = backbone(
            input_ids=ids,
            position_ids=following.clamp(max=int(lengths.max()) - 1),
            attention_mask=seen,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        rows, at = places
        begins = starts[rows]
        before = at < begins
        flat = torch.where(
            before,
            self.owner[rows] * reach + at,
            len(self.first) * reach + rows * rest + (at - begins),
        )
        return torch.cat((head.flatten(0, 1), tail.flatten(0, 1))).index_select(0, flat)


class PrefixCache(Cache):
    """Keeps the prompts' keys and values, gradient included, and puts them before those of the rows."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self._prompts: dict[int, tuple[Tensor, Tensor]] = {}
        self._owner: Tensor | None = None
        self._length = 0

    def follow(self, owner: Tensor, length: int) -> None:
        """The next pass reads rows that begin with prompts ``owner [N]``, each ``length`` columns wide."""
        self._owner, self._length = owner, length

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Note a layer's prompts ``[G,heads,P,dim]``, or put them before the rows' own ``[N,heads,Q,dim]``."""
        if self._owner is None:
            self._prompts[layer_idx] = key_states, value_states
            return key_states, value_states
        keys, values = self._prompts[layer_idx]
        return (
            torch.cat((keys.index_select(0, self._owner), key_states), 2),
            torch.cat((values.index_select(0, self._owner), value_states), 2),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns before this pass."""
        return self._length

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Length and offset of what is read."""
        return self._length + query_length, 0
