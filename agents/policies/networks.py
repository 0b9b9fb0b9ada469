"""Small actor and critic networks, whose first weights follow a seed and no global generator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

HIDDEN_GAIN = math.sqrt(2)
ACTOR_GAIN = 0.01
CRITIC_GAIN = 1.0

_CLIP = 10.0
_EPSILON = 1e-8


class RunningNorm(nn.Module):
    """Shifts and scales features by the mean and variance of all that :meth:`observe` was shown.

    The statistics are float64 buffers, so a checkpoint holds them. Acting never changes them: every log-probability
    of a batch is taken under one and the same normalisation.

    Args:
        features: Length of the vector.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(features, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """Features ``[…,F]``, normalised and clipped to ±10, in their own dtype."""
        scaled = (features - self.mean) / (self.variance + _EPSILON).sqrt()
        return scaled.clamp(-_CLIP, _CLIP).to(features.dtype)

    def observe(self, features: Tensor) -> None:
        """Take ``[M,F]`` into the statistics (parallel update of Chan, Golub and LeVeque, 1983)."""
        if not len(features):
            return
        batch = features.detach().to(self.mean.dtype)
        count, total = len(batch), self.count + len(batch)
        delta = batch.mean(0) - self.mean
        seen = self.variance * self.count + batch.var(0, correction=0) * count
        self.variance.copy_((seen + delta.square() * self.count * count / total) / total)
        self.mean.add_(delta * count / total)
        self.count.copy_(total)


class ActorCritic(nn.Module):
    """Two separate perceptrons on the same features, orthogonal at the start (Schulman et al., 2017; Engstrom, 2020).

    Args:
        features: Length of the input.
        outputs: Length of the actor's output.
        hidden: Widths of the hidden layers, with tanh between.
        critic: Whether there is a critic.
        normalise: Whether features are normalised by running statistics.
        dtype: Of the weights.
        seed: Decides the first weights.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        hidden: Sequence[int] = (64, 64),
        critic: bool = False,
        normalise: bool = False,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.norm = RunningNorm(features) if normalise else None
        self.actor = _perceptron((features, *hidden, outputs), ACTOR_GAIN, dtype, generator)
        self.critic = _perceptron((features, *hidden, 1), CRITIC_GAIN, dtype, generator) if critic else None

    def outputs(self, features: Tensor) -> Tensor:
        """The actor's outputs ``[…,outputs]`` for features ``[…,F]``."""
        return cast(Tensor, self.actor(self._prepared(features, self.actor)))

    def values(self, features: Tensor) -> Tensor | None:
        """The critic's estimates ``[…]`` for features ``[…,F]``, or None without a critic."""
        return None if self.critic is None else self.critic(self._prepared(features, self.critic)).squeeze(-1)

    def _prepared(self, features: Tensor, network: nn.Sequential) -> Tensor:
        features = features.to(cast(Tensor, network[0].weight))
        return features if self.norm is None else self.norm(features)


def _perceptron(
    widths: Sequence[int], last_gain: float, dtype: torch.dtype, generator: torch.Generator
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (read, write) in enumerate(itertools.pairwise(widths)):
        last = index == len(widths) - 2
        layer = nn.utils.skip_init(nn.Linear, read, write, dtype=dtype)  # type: ignore[no-untyped-call]
        nn.init.orthogonal_(layer.weight, last_gain if last else HIDDEN_GAIN, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, nn.Tanh()]
    return nn.Sequential(*layers)
