"""What one pass of the current policy over a batch gives a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


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
        expect: ``expect(fn)[n,t] = fn(logp_vocabulary)`` for ``fn`` from log-probabilities ``[M,V]`` to ``[M]``,
            as ``[N,T]`` with gradient; a ``fn`` to ``[M,k]`` gives ``[N,T,k]``. Both walk over places in chunks, so
            that ``[N,T,V]`` never exists.
        observed: What the function ``observe`` of :meth:`Policy.score` made of the whole distribution, ``[N,T,k]``,
            without gradient, 0 where the policy did not write; None where nothing was asked for.
    """

    logp: Tensor
    entropy: Tensor | None
    values: Tensor | None
    gather: Callable[[Tensor], Tensor]
    expect: Callable[[Callable[[Tensor], Tensor]], Tensor]
    observed: Tensor | None = None
