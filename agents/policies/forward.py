"""What one pass of the current policy over a batch gives a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor


class Expect(Protocol):
    """``expect(fn)[n,t] = fn(logp_vocabulary)``, a walk over places in chunks, so that ``[N,T,V]`` never exists."""

    def __call__(self, fn: Callable[..., Tensor], beside: Tensor | None = None) -> Tensor:
        """Walk.

        Args:
            fn: From log-probabilities ``[M,V]`` to ``[M]`` or ``[M,k]``; given ``beside``, from those and its ``[M,…]``
                to ``[M]``.
            beside: ``[N,T,…]``, what belongs to each place, such as a teacher's hidden state.

        Returns:
            ``[N,T]`` or ``[N,T,k]`` with gradient, 0 where the policy did not write.
        """
        ...


@dataclass(frozen=True)
class Forward:
    """The current policy's view of tokens that were sampled earlier.

    Attributes:
        logp: Log-probability of each token given what came before it, ``[N,T]`` in nats, with gradient; 0 where the
            policy did not write.
        entropy: Entropy of the full distribution at the same places, ``[N,T]`` in nats, with gradient where it was
            asked for; None otherwise.
        values: Critic's estimate at the same places, ``[N,T]``, with gradient; None without a critic.
        gather: Log-probabilities ``[N,T,k]`` of token ids ``[N,T,k]``, with gradient.
        expect: A function of the whole distribution at each place; see :class:`Expect`.
        observed: What the function ``observe`` of :meth:`Policy.score` made of the whole distribution, ``[N,T,k]``,
            without gradient, 0 where the policy did not write; None where nothing was asked for.
        read: The same of the function ``read`` of :meth:`Policy.score`, with gradient.
    """

    logp: Tensor
    entropy: Tensor | None
    values: Tensor | None
    gather: Callable[[Tensor], Tensor]
    expect: Expect
    observed: Tensor | None = None
    read: Tensor | None = None


class Reading(NamedTuple):
    """What a loss reads of the whole distribution at each place, in the same walk as the log-probabilities.

    Attributes:
        fn: From log-probabilities ``[M,V]`` and what lies beside, ``[M,…]``, to ``[M,k]``, with gradient.
        beside: ``[N,T,…]``: ids of tokens, a teacher's hidden states.
    """

    fn: Callable[[Tensor, Tensor], Tensor]
    beside: Tensor
