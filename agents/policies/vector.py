"""Policies for vector spaces, picked by an environment's spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces

from fogline.agents.policies.categorical import CategoricalPolicy
from fogline.agents.policies.encoders import SpaceEncoder, SpaceObservations
from fogline.agents.policies.gaussian import GaussianPolicy
from fogline.core.errors import ConfigurationError

__all__ = ["CategoricalPolicy", "GaussianPolicy", "policy_for", "spaces_of"]

Spaces = tuple[spaces.Space[Any], spaces.Space[Any]]


def policy_for(
    source: Any,
    *,
    hidden: Sequence[int] = (64, 64),
    critic: bool = False,
    normalise: bool = False,
    joint: bool = False,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> CategoricalPolicy | GaussianPolicy:
    """Build the policy that fits an environment.

    Args:
        source: A Gymnasium environment, a PettingZoo Parallel one whose seats have equal spaces, or a pair
            ``(observation space, action space)``.
        hidden: Widths of the hidden layers.
        critic: Whether there is a critic.
        normalise: Whether observations are normalised by running statistics.
        joint: One softmax over all joint choices of a discrete space instead of one for each part of it.
        dtype: Of the weights.
        seed: Decides the first weights.

    Raises:
        ConfigurationError: For text spaces, spaces without a fixed size, or seats with different spaces.
    """
    observation_space, action_space = source if isinstance(source, tuple) else spaces_of(source)
    if isinstance(action_space, spaces.Box):
        encoder = SpaceObservations(observation_space)
        return GaussianPolicy(
            encoder, action_space, hidden=hidden, critic=critic, normalise=normalise, dtype=dtype, seed=seed
        )
    choices = SpaceEncoder(observation_space, action_space, joint=joint)
    return CategoricalPolicy(choices, hidden=hidden, critic=critic, normalise=normalise, dtype=dtype, seed=seed)


def spaces_of(env: Any) -> Spaces:
    """The spaces of an environment; of a PettingZoo Parallel one, those that all its seats share.

    Raises:
        ConfigurationError: If seats have different spaces.
    """
    if not hasattr(env, "possible_agents"):
        return env.observation_space, env.action_space
    pairs = {seat: (env.observation_space(seat), env.action_space(seat)) for seat in env.possible_agents}
    first, shared = next(iter(pairs.items()))
    for seat, pair in pairs.items():
        if pair != shared:
            raise ConfigurationError(
                f"share_policy is impossible: seat {seat!r} has spaces {pair}, seat {first!r} has {shared}; "
                "give each seat a policy of its own, or pad their spaces to one."
            )
    return shared
