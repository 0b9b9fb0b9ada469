"""What a policy is to the collector and to a trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.forward import Forward, Reading
from fogline.core.episode import Turn

Array = np.ndarray[Any, Any]

ROW_PREFIX = "row:"
"""In a batch's context, names of arrays without a token axis begin with it."""


@dataclass(frozen=True)
class RowContext:
    """What a row needs beside its tokens to be scored again.

    Attributes:
        per_token: Arrays ``[T, …]``, one entry per token of the row (vector policies: per turn).
        per_row: Arrays without a token axis, such as the observation after the last turn.
    """

    per_token: Mapping[str, Array] = field(default_factory=dict)
    per_row: Mapping[str, Array] = field(default_factory=dict)


class Scorer(Protocol):
    """What a frozen reference can do: say how likely it finds tokens."""

    def score(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> Forward:
        """As :meth:`Policy.score`, log-probabilities only."""
        ...


@runtime_checkable
class Policy(Protocol):
    """An agent whose weights can be trained.

    Attributes:
        name: Shown in reports and stored with episodes.
        batch_size: None: it acts on all views that are ready.
        together: Whether the collector gathers every live view before it asks (language models: one large batch).
        version: Number of weight updates so far; stored with each turn.
        greedy: Take the most likely token instead of sampling.
        module: All trainable weights, the critic's included.
        has_critic: Whether :meth:`score` can give values.
    """

    name: str
    batch_size: int | None
    together: bool
    version: int
    greedy: bool
    has_critic: bool

    @property
    def module(self) -> nn.Module:
        """All trainable weights, the critic's included."""
        ...

    def act(self, views: Sequence[SeatView]) -> Sequence[Decision | Exception]:
        """Sample a decision for each view, each from its own seat's generator."""
        ...

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        """What one seat's episode needs beside its tokens; empty for models that only read."""
        ...

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        *,
        entropy: bool = False,
        values: bool = False,
        observe: Callable[[Tensor], Tensor] | None = None,
        read: Reading | None = None,
    ) -> Forward:
        """Log-probabilities of tokens that were sampled earlier, under the current weights.

        Args:
            tokens: ``[N,T]`` int64, padded on the right.
            attention_mask: ``[N,T]`` bool, True for tokens that exist.
            policy_mask: ``[N,T]`` bool, True where the policy wrote.
            context: Padded :class:`RowContext` arrays, per token ``[N,T,…]`` and, under :data:`ROW_PREFIX` names,
                per row ``[N,…]``.
            entropy: Whether ``Forward.entropy`` is wanted.
            values: Whether ``Forward.values`` is wanted.
            observe: From log-probabilities of the whole vocabulary ``[M,V]`` to ``[M,k]``, evaluated without gradient
                in the same walk over it, for ``Forward.observed``.
            read: What else is read of the whole vocabulary, with gradient, for ``Forward.read``.
        """
        ...

    def reference(self) -> Scorer:
        """Today's policy, frozen, for a divergence term."""
        ...

    def save(self, folder: Path) -> None:
        """Write the weights, and what is needed to load them again, into a folder."""
        ...

    def bootstrap(self, context: Mapping[str, Tensor]) -> Tensor | None:
        """Critic's estimate ``[N]`` of what follows the last turn, or None where there is none (no critic, text)."""
        ...
