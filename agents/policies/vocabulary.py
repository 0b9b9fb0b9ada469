"""Access to the distribution over the whole vocabulary, a chunk of places at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fogline.agents.policies.forward import Forward, Reading

_ENTRIES = 1 << 24
"""Logits that exist at once unless told otherwise: 64 MiB in float32."""


class VocabularyPlaces:
    """The places of a batch where the policy wrote, and what its model says there.

    ``[M,V]`` log-probabilities of all M places never exist at once: chunks are computed when they are needed, and
    again in the backward pass.

    Args:
        hidden: Hidden states that predict the tokens at those places, ``[M,H]``.
        places: Their rows and columns, two ``[M]``.
        shape: ``(N, T)`` of the batch.
        head: Maps hidden states to logits.
        temperature: Divides the logits.
        vocabulary_size: Number of logits.
        chunk: Places at once; None takes as many as make about 16 million logits.
    """

    def __init__(
        self,
        hidden: Tensor,
        places: tuple[Tensor, Tensor],
        shape: tuple[int, int],
        head: nn.Module,
        temperature: float,
        vocabulary_size: int,
        chunk: int | None,
    ) -> None:
        self._hidden = hidden
        self._places = places
        self._shape = shape
        self._head = head
        self._temperature = temperature
        self._chunk = chunk or max(1, _ENTRIES // vocabulary_size)

    def forward(
        self,
        ids: Tensor,
        *,
        entropy: bool,
        values: Tensor | None,
        observe: Callable[[Tensor], Tensor] | None = None,
        read: Reading | None = None,
    ) -> Forward:
        """Assemble what a loss needs.

        Args:
            ids: Tokens at the places, ``[M]``.
            entropy: Whether entropies are wanted.
            values: A critic's estimates at the places, ``[M]``.
            observe: From log-probabilities ``[M,V]`` to ``[M,k]``, without gradient.
            read: What else is read, with gradient.
        """
        widths: list[int] = []

        def score(logp: Tensor, chosen: Tensor, *beside: Tensor) -> Tensor:
            columns = [logp.gather(1, chosen[:, None])]
            if entropy:
                columns.append(entropy_of(logp)[:, None])
            if read is not None:
                columns.append(read.fn(logp, *beside))
            if observe is not None:
                # Last: a backward pass that recomputes a chunk stops before it.
                with torch.no_grad():
                    columns.append(observe(logp))
            widths[:] = [column.shape[1] for column in columns]
            return torch.cat(columns, 1) if len(columns) > 1 else columns[0]

        scored = self._walk(score, ids, *(() if read is None else (read.beside[self._places],)))
        parts = list(torch.split(scored, widths, 1))
        seen = None if observe is None else parts.pop().detach()
        what = None if read is None else parts.pop()
        return Forward(
            logp=self._spread(scored[:, 0]),
            entropy=self._spread(scored[:, 1]) if entropy else None,
            values=None if values is None else self._spread(values),
            gather=self._gather,
            expect=self._expect,
            observed=None if seen is None else self._spread(seen),
            read=None if what is None else self._spread(what),
        )

    def _gather(self, ids: Tensor) -> Tensor:
        return self._spread(self._walk(lambda logp, chosen: logp.gather(1, chosen), ids[self._places]))

    def _expect(self, fn: Callable[..., Tensor], beside: Tensor | None = None) -> Tensor:
        if beside is not None:
            return self._spread(self._walk(fn, beside[self._places]))
        return self._spread(self._walk(lambda logp, _: fn(logp), self._places[0]))

    def _walk(self, fn: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        """``fn(logp [m,V], *arguments [m,…])`` for one chunk of places after the other."""

        def piece(hidden: Tensor, *mine: Tensor) -> Tensor:
            return fn(self._logp(hidden), *mine)

        chunks = list(zip(*(torch.split(given, self._chunk) for given in (self._hidden, *arguments)), strict=True))
        if len(chunks) == 1 or not torch.is_grad_enabled():
            return torch.cat([piece(*chunk) for chunk in chunks])
        return torch.cat([checkpoint(piece, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks])

    def _logp(self, hidden: Tensor) -> Tensor:
        return log_distribution(self._head, hidden, self._temperature)

    def _spread(self, at_places: Tensor) -> Tensor:
        """``[M,…]`` to ``[N,T,…]`` with zeros elsewhere."""
        empty = at_places.new_zeros(*self._shape, *at_places.shape[1:])
        return empty.index_put(self._places, at_places)


def log_distribution(head: nn.Module, hidden: Tensor, temperature: float) -> Tensor:
    """Log-probabilities ``[…,V]`` that a head reads off hidden states ``[…,H]``, in float32 or better."""
    logits: Tensor = head(hidden)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return torch.log_softmax(wide / temperature, -1)


def entropy_of(logp: Tensor) -> Tensor:
    """Entropy in nats of log-probabilities ``[…,V]``; what has no probability adds nothing."""
    probability = logp.exp()
    return -(probability * logp.masked_fill(probability == 0, 0.0)).sum(-1)
