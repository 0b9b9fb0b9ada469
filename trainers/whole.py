"""A mini-batch as a whole, where it is learned from in parts: credit by rows, and one forward pass put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.trainers.batch import Batch
from fogline.trainers.processes import Processes


@dataclass(frozen=True)
class Credit:
    """What a batch earned, before its rows are taken apart.

    Attributes:
        advantage: By track, ``[N,T]`` each.
        weight: Of rows by term, ``[N]`` each; terms without an entry weigh every row the same.
    """

    advantage: Mapping[str, Tensor]
    weight: Mapping[str, Tensor]

    def part(self, rows: Tensor, width: int) -> Credit:
        """That of the rows at ``rows`` (``[M]`` int64), in their first ``width`` tokens."""
        return Credit(
            {name: value[rows, :width] for name, value in self.advantage.items()},
            {name: value[rows] for name, value in self.weight.items()},
        )


def scored_parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Mapping[str, Tensor]]:
    """What a policy scores."""
    return batch.tokens, batch.attention_mask, batch.policy_mask, batch.context


@torch.no_grad()
def forward_of_parts(
    score: Callable[[Batch], Forward],
    batch: Batch,
    parts: Sequence[Tensor],
    processes: Processes,
    *,
    entropy: bool = False,
    observe: Callable[[Tensor], Tensor] | None = None,
) -> Forward:
    """The current policy's view of rows that are scored in parts, without gradient and without values.

    Args:
        score: Of one part.
        batch: All rows.
        parts: Row indices of each pass, on this process.
        processes: Each of them scores its own parts, and all see the whole.
        entropy: Whether ``score`` gives it.
        observe: What ``score`` observes.

    Returns:
        ``[N,T]`` of all rows, 0 in those that no process scored.
    """
    passes = [(part, score(batch.select(part).trimmed())) for part in parts]

    def put(pick: Callable[[Tensor, Forward], Tensor | None], *inner: int) -> Tensor:
        whole = batch.behaviour_logp.new_zeros(*batch.tokens.shape, *inner)
        for part, forward in passes:
            found = pick(part, forward)
            if found is not None:
                whole[part, : found.shape[1]] = found.to(whole.dtype)
        return processes.add(whole)

    def inner(fn: Callable[[Tensor], Tensor]) -> torch.Size:
        """What ``fn`` makes of a place: a process without rows must know it too."""
        return fn(batch.behaviour_logp.new_zeros(1, 1)).shape[1:]

    @torch.no_grad()
    def gather(ids: Tensor) -> Tensor:
        return put(lambda part, forward: forward.gather(ids[part, : forward.logp.shape[1]]), ids.shape[-1])

    @torch.no_grad()
    def expect(fn: Callable[..., Tensor], beside: Tensor | None = None) -> Tensor:
        if beside is None:
            return put(lambda _, forward: forward.expect(fn), *inner(fn))
        # A pair of distributions makes one number.
        return put(lambda part, forward: forward.expect(fn, beside[part, : forward.logp.shape[1]]))

    # A process without rows must know how much the others read.
    read = [0 if forward.read is None else forward.read.shape[-1] for _, forward in passes]
    width = max(processes.gather([max(read, default=0)]))
    return Forward(
        logp=put(lambda _, forward: forward.logp),
        entropy=put(lambda _, forward: forward.entropy) if entropy else None,
        values=None,
        gather=gather,
        expect=expect,
        observed=None if observe is None else put(lambda _, forward: forward.observed, *inner(observe)),
        read=put(lambda _, forward: forward.read, width) if width else None,
    )
