"""What a method is made of: small pure parts, put together in one frozen record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fogline.agents.policies.forward import Forward, Reading
from fogline.trainers.batch import Batch


@dataclass(frozen=True)
class Clip:
    """A trust region on the ratio r = π/π_old.

    Attributes:
        low: The ratio may fall to ``1 - low``.
        high: It may rise to ``1 + high``.
        dual: With a negative advantage the ratio counts at most this much; None for no such bound.
    """

    low: float = 0.2
    high: float = 0.2
    dual: float | None = None


@dataclass(frozen=True)
class Counts:
    """Sizes of a whole optimiser mini-batch, over all its micro-batches and processes.

    Attributes:
        tokens: Tokens under the term's mask in valid rows.
        sequences: Valid rows.
        groups: Groups with a valid row.
        length: Longest row in policy tokens, or the configured bound: the constant of Dr. GRPO's normaliser.
    """

    tokens: float
    sequences: float
    groups: float
    length: float


Gate = Callable[[Batch], Tensor]
"""Batch to session rewards ``[N]``."""

Select = Callable[[Batch], Tensor]
"""A whole generation batch to the rows it keeps, ``[N]`` bool; the trainer refills what is missing."""

Advantage = Callable[[Batch], Mapping[str, Tensor]]
"""Batch to detached advantages ``[N,T]`` by track; the track ``return`` is the critic's target."""

Modulate = Callable[[Tensor, Forward, Batch, Clip], Tensor]
"""Re-weighs an advantage ``[N,T]`` inside the update, after the forward pass; detached.

It is shown a whole optimiser mini-batch, unless the option ``modulation_scope`` is ``micro-batch``; rows that do not
belong to it are not valid.
"""

Loss = Callable[[Forward, Batch, Tensor, Tensor, Clip], Tensor]
"""(forward, batch, advantage, mask, clip) to the loss of each token, ``[N,T]``; outside the mask it is ignored."""

RowWeight = Callable[[Batch], Tensor]
"""Batch to detached weights ``[N]``; it is shown whole batches, with every row of a group."""

Aggregate = Callable[[Tensor, Tensor, Tensor | None, Batch, Counts], Tensor]
"""(loss, mask, weight, batch, counts) to this shard's part of the objective; the parts of all shards add up to it."""

Allocate = Callable[[Mapping[str, Any], Sequence[str], int], Sequence[int]]
"""(prompt statistics, tasks, budget) to rollouts per task; the statistics live in the checkpoint."""


Statistics = Callable[[Batch], Mapping[str, float]]
"""Batch to what is worth logging of it before the first step; a number that cannot be said is left out."""


@dataclass(frozen=True)
class Teaching:
    """What a method asks of a teacher, beside the log-probabilities of the sampled tokens.

    Attributes:
        top_k: Most likely tokens of each place; 0 for none, None for the whole vocabulary.
        whole: Whether terms read the whole distribution, chunk by chunk; only a local teacher has it.
        entropy: Whether the teacher's entropy is read.
    """

    top_k: int | None = 0
    whole: bool = False
    entropy: bool = False


@dataclass(frozen=True)
class Term:
    """One summand of the objective.

    Attributes:
        name: In logs.
        loss: Token losses.
        aggregate: How they become one number.
        coefficient: Weight in the sum; a term of weight 0 is not computed.
        advantage: Track of the advantage that it reads; None for terms without credit.
        mask: Track of the tokens that it covers.
        row_weight: Weight of each row; None for 1.
        needs: What it reads beside ``logp``: any of ``entropy``, ``values``, ``reference``, ``teacher``.
        final_coefficient: Weight at the end of training, reached on a straight line; None keeps the weight.
    """

    name: str
    loss: Loss
    aggregate: Aggregate
    coefficient: float = 1.0
    advantage: str | None = "policy"
    mask: str = "policy"
    row_weight: RowWeight | None = None
    needs: frozenset[str] = frozenset()
    final_coefficient: float | None = None

    def weight(self, progress: float) -> float:
        """Coefficient at a share of training, 0 to 1."""
        if self.final_coefficient is None:
            return self.coefficient
        return self.coefficient + progress * (self.final_coefficient - self.coefficient)


@dataclass(frozen=True)
class Recipe:
    """A method: its parts and what they were set to.

    Attributes:
        name: As in ``fogline train NAME``.
        paper: Where it was published.
        options: Every setting of the method, with its value.
        advantage: Credit.
        terms: The objective is their weighted sum.
        clip: Trust region handed to every loss.
        gate: Session rewards; None takes them as they are.
        select: Which rows are kept; None keeps all.
        modulate: Re-weighs advantages in the update; None leaves them.
        observe: What ``modulate`` reads of the whole vocabulary as ``Forward.observed``; its first column is the
            entropy, which is logged. None reads nothing.
        allocate: Rollouts per task; None gives every task the same.
        statistics: What it logs of a batch; None for nothing of its own.
        teaching: What it asks of a teacher; None needs none.
        judged: Whether it listens to a critic of steps.
        read: What its terms read of the whole vocabulary as ``Forward.read``, with gradient; None reads nothing.
        needs_groups: Smallest group that the advantage can use.
        needs: What the advantage or a term reads: any of ``entropy``, ``values``, ``reference``, ``teacher``,
            ``critic``.
    """

    name: str
    paper: str
    options: Mapping[str, Any]
    advantage: Advantage
    terms: tuple[Term, ...]
    clip: Clip
    gate: Gate | None = None
    select: Select | None = None
    modulate: Modulate | None = None
    observe: Callable[[Tensor], Tensor] | None = None
    allocate: Allocate | None = None
    statistics: Statistics | None = None
    teaching: Teaching | None = None
    judged: bool = False
    read: Callable[[Batch], Reading] | None = None
    needs_groups: int = 1
    needs: frozenset[str] = frozenset()
