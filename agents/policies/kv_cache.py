"""Keys and values of every live conversation, kept between turns.

Each conversation owns one row of a shared store and fills it from the left without holes, whatever the lengths of
the others. Those that act are always the first rows, so that a turn reads and writes the store in place; a row is
moved only when somebody before it has finished or died.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

_COLUMNS = 64
"""The store has whole blocks of columns."""
_GROWTH = 4
"""It grows by at least one part in so many, so that an episode of many turns seldom moves it."""


class Conversation:
    """One seat's tokens so far.

    Attributes:
        tokens: Every token that was read or written, in order.
        cached: How many of them have their keys and values in the store.
        row: Which row of the store is its own; -1 before it has one.
        ended: Whether its last turn ended with an end-of-turn token.
    """

    __slots__ = ("__weakref__", "cached", "ended", "row", "tokens")

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.cached = 0
        self.row = -1
        self.ended = False


class KeyValueStore(Cache):
    """A transformers cache whose rows outlive a call and have lengths of their own.

    Attributes:
        rows: Conversations that it holds room for.
        columns: Tokens that each of them has room for.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self._owners: list[weakref.ref[Conversation]] = []
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self.rows = 0
        self.columns = 0
        self._alive = 0
        # What the next forward pass reads and writes; see `aim`.
        self._first = 0
        self._count = 0
        self._span = 0
        self._fresh = True
        self._positions = torch.zeros(0, 0, dtype=torch.int64)
        self._valid: Tensor | None = None
        self._targets: dict[int, tuple[Tensor, Tensor | None]] = {}

    # Who is where

    def admit(self, conversations: Sequence[Conversation]) -> None:
        """Give a row to each conversation that has none, after closing the gaps that the dead left."""
        self._bury()
        for conversation in conversations:
            if conversation.row < 0:
                conversation.row = len(self._owners)
                self._owners.append(weakref.ref(conversation, self._died))
                self._alive += 1

    def to_front(self, conversations: Sequence[Conversation]) -> list[Conversation]:
        """Move these into the first rows and return them in the order in which they lie there."""
        count = len(conversations)
        chosen = {conversation.row for conversation in conversations}
        outside = sorted(row for row in chosen if row >= count)
        inside = [row for row in range(count) if row not in chosen]
        self._move([*outside, *inside], [*inside, *outside])
        return sorted(conversations, key=lambda conversation: conversation.row)

    def reserve(self, columns: int) -> None:
        """Make room for every owner, and for ``columns`` tokens in each row."""
        rows = len(self._owners)
        if rows <= self.rows and columns <= self.columns:
            return
        if columns > self.columns:
            wanted = max(columns, self.columns + self.columns // _GROWTH)
            self.columns = -(-wanted // _COLUMNS) * _COLUMNS
        self.rows = max(self.rows, rows)
        for store in (self._keys, self._values):
            for layer, old in store.items():
                # Zeros, because what is masked still enters a product, where a NaN would survive.
                new = old.new_zeros(self.rows, old.shape[1], self.columns, old.shape[3])
                new[: old.shape[0], :, : old.shape[2]] = old
                store[layer] = new

    def forget(self) -> None:
        """Drop all keys and values: the weights that made them are gone."""
        for owner in self._owners:
            conversation = owner()
            if conversation is not None:
                conversation.cached = 0

    def _died(self, _: weakref.ref[Conversation]) -> None:
        self._alive -= 1
        if self._alive == 0:
            # Nobody is left: a trainer that updates between rollouts gets the memory back.
            self._owners.clear()
            self._keys.clear()
            self._values.clear()
            self.rows = self.columns = 0

    def _bury(self) -> None:
        living = [(row, owner) for row, owner in enumerate(self._owners) if owner() is not None]
        gaps = [row for row, owner in enumerate(self._owners) if owner() is None and row < len(living)]
        movers = [(row, owner) for row, owner in living if row >= len(living)]
        self._move([row for row, _ in movers], gaps)
        del self._owners[len(living) :]

    def _move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        if not sources:
            return
        moved = [self._owners[row] for row in sources]
        span = self._span
        for owner, target in zip(moved, targets, strict=True):
            self._owners[target] = owner
            conversation = owner()
            if conversation is not None:
                conversation.row = target
                span = max(span, len(conversation.tokens))
        stores = [*self._keys.values(), *self._values.values()]
        if not stores:
            return
        device = stores[0].device
        source, target_rows = torch.tensor(sources, device=device), torch.tensor(targets, device=device)
        for store in stores:
            used = store.narrow(2, 0, min(span, store.shape[2]))
            used.index_copy_(0, target_rows, used.index_select(0, source))

    # One forward pass

    def aim(self, first: int, positions: Tensor, span: int, valid: Tensor | None, *, fresh: bool = False) -> None:
        """Say where the next forward pass writes and what it reads.

        Args:
            first: Row of its first conversation; the others follow.
            positions: Column of each new token, ``[n,Q]`` int64.
            span: Columns that are read, from the left.
            valid: Which of the new tokens exist, ``[n,Q]`` bool; None for all.
            fresh: Whether nothing is cached yet: the pass then attends to its own tokens alone.
        """
        self._first, self._count, self._span, self._fresh = first, positions.shape[0], span, fresh
        self._positions, self._valid = positions, valid
        self._targets.clear()

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store what one layer computed, ``[n,heads,Q,dim]``, and return all it attends to."""
        keys = self._write(self._keys, layer_idx, key_states)
        values = self._write(self._values, layer_idx, value_states)
        if self._fresh:
            return key_states, value_states
        first, last = self._first, self._first + self._count
        return keys[first:last, :, : self._span], values[first:last, :, : self._span]

    def _write(self, stores: dict[int, Tensor], layer: int, states: Tensor) -> Tensor:
        _, heads, _, width = states.shape
        store = stores.get(layer)
        if store is None:
            store = stores[layer] = states.new_zeros(self.rows, heads, self.columns, width)
        target, exists = self._target(heads)
        flat = states.reshape(-1, width)
        store.view(-1, width).index_copy_(0, target, flat if exists is None else flat.index_select(0, exists))
        return store

    def _target(self, heads: int) -> tuple[Tensor, Tensor | None]:
        """Flat places of the new tokens in a store with this many heads, and which of them exist."""
        known = self._targets.get(heads)
        if known is None:
            device = self._positions.device
            lanes = torch.arange(self._first * heads, (self._first + self._count) * heads, device=device)
            places = (lanes * self.columns).view(-1, heads, 1) + self._positions[:, None]
            exists = None
            if self._valid is not None:
                exists = self._valid[:, None].expand_as(places).reshape(-1).nonzero()[:, 0]
            flat = places.reshape(-1)
            known = self._targets[heads] = flat if exists is None else flat[exists], exists
        return known

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before this pass; models ask only where no positions are given."""
        return 0 if self._fresh else self._span - self._positions.shape[1]

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Length and offset of what is read."""
        return (query_length if self._fresh else self._span), 0
