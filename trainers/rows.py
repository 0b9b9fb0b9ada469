"""What somebody else says of the rows of a batch: a teacher of its tokens, a critic of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import Tensor


@dataclass(frozen=True)
class TeacherRows:
    """What a teacher said about the tokens of a batch.

    Attributes:
        logp: Of the sampled tokens, ``[N,T]``.
        top_ids: Most likely tokens, ``[N,T,K]`` int64.
        top_logp: Their log-probabilities, ``[N,T,K]``; ``-inf`` where the teacher named fewer.
        entropy: Of the teacher, ``[N,T]`` in nats.
        states: What ``distribution`` reads, ``[N,T,H]``: the whole vocabulary without ``[N,T,V]``.
        distribution: From states ``[M,H]`` to log-probabilities ``[M,V]``, without gradient.
        temperature: At which the teacher scored.
    """

    logp: Tensor
    top_ids: Tensor | None = None
    top_logp: Tensor | None = None
    entropy: Tensor | None = None
    states: Tensor | None = None
    distribution: Callable[[Tensor], Tensor] | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class CriticRows:
    """What a critic said of the rows of a batch.

    Attributes:
        score: Of each step, ``[N,K]`` in [0, 1].
        mask: ``[N,K]`` bool, True for steps that exist.
        anchored: ``[N]`` bool.
        process: Finished process scores, ``[N]``; NaN where the method aggregates the steps.
        token_step: ``[N,T]`` int64, the step that a token belongs to; -1 for those of none.
    """

    score: Tensor
    mask: Tensor
    anchored: Tensor
    process: Tensor
    token_step: Tensor


Rows = TypeVar("Rows", bound=TeacherRows | CriticRows)


def each_tensor(rows: Rows, change: Callable[[Tensor], Tensor]) -> Rows:
    """The same rows with every tensor changed."""
    found: dict[str, Any] = {name: change(value) for name, value in vars(rows).items() if isinstance(value, Tensor)}
    return replace(rows, **found)
