"""A normal distribution over the actions of a Box."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.encoders import ObservationEncoder
from fogline.agents.policies.forward import Forward, Reading
from fogline.agents.policies.networks import ActorCritic
from fogline.agents.policies.one_token import Array, OneTokenPolicy, undecidable
from fogline.agents.policies.policy import RowContext
from fogline.core.episode import Turn
from fogline.core.errors import ConfigurationError, DataError

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
_ENTROPY_OF_UNIT = 0.5 + _LOG_ROOT_TWO_PI


class GaussianPolicy(OneTokenPolicy):
    """Independent normals, with a mean from the network and a log standard deviation that is a parameter.

    The network works in units of the Box: where both bounds are finite, -1 and 1 are the bounds, elsewhere a unit is
    a unit. The environment receives the sample moved into these bounds and clipped to them, always a legal action;
    the sample itself, whose density is the turn's log-probability, travels with the turn as ``policy_data``. The one
    token of a turn is 0 and stands for the action.

    Args:
        encoder: Features of a decision.
        action_space: A ``Box`` of floats.
        hidden: Widths of the hidden layers.
        critic: Whether there is a critic.
        normalise: Whether observations are normalised; see :meth:`observe`.
        log_std: First value of the log standard deviation, in the units above.
        dtype: Of the weights and the samples.
        seed: Decides the first weights.
        name: Shown in reports and stored with episodes.

    Raises:
        ConfigurationError: For an action space that is no ``Box`` of floats.
    """

    def __init__(
        self,
        encoder: ObservationEncoder,
        action_space: spaces.Space[Any],
        *,
        hidden: Sequence[int] = (64, 64),
        critic: bool = False,
        normalise: bool = False,
        log_std: float = 0.0,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        name: str = "gaussian",
    ) -> None:
        if not isinstance(action_space, spaces.Box) or action_space.dtype.kind != "f":
            raise ConfigurationError(f"action space {action_space}: expected a Box of floats; see CategoricalPolicy.")
        self.space = action_space
        self.dimensions = math.prod(action_space.shape)
        network = ActorCritic(
            encoder.features,
            self.dimensions,
            hidden=hidden,
            critic=critic,
            normalise=normalise,
            dtype=dtype,
            seed=seed,
        )
        self.log_std = nn.Parameter(torch.full((self.dimensions,), log_std, dtype=dtype))
        network.register_parameter("log_std", self.log_std)
        super().__init__(encoder, network, name)
        self._kind = np.float64 if dtype == torch.float64 else np.float32
        self._low = action_space.low.reshape(-1).astype(np.float64)
        self._high = action_space.high.reshape(-1).astype(np.float64)
        bounded = np.isfinite(self._low) & np.isfinite(self._high)
        low, high = np.where(bounded, self._low, -1.0), np.where(bounded, self._high, 1.0)
        self._middle, self._unit = (low + high) / 2, (high - low) / 2

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        """Sample an action for each view, each from its own seat's generator."""
        features = self._features(views)
        mean = self._outputs(features)
        log_std = self.log_std.detach().cpu().numpy().astype(np.float64)
        if self.greedy:
            samples = mean.astype(self._kind)
        else:
            noise = np.array([view.rng.standard_normal(self.dimensions) for view in views])
            samples = (mean + np.exp(log_std) * noise).astype(self._kind)
        # The density is that of the sample as it is stored, rounded to the policy's dtype.
        distance = (samples - mean) / np.exp(log_std)
        logps = (-0.5 * np.square(distance) - log_std - _LOG_ROOT_TWO_PI).sum(-1)
        actions = self.legal(samples)
        decisions: list[Decision | Exception] = []
        for row, (view, logp) in enumerate(zip(views, logps.tolist(), strict=True)):
            if logp != logp:
                decisions.append(undecidable(view, features[row]))
                continue
            data = {"sample": samples[row]}
            decisions.append(Decision(actions[row], (), (0,), (logp,), self.version, None, data))
        return decisions

    def legal(self, samples: Array) -> Array:
        """What the environment receives for samples ``[B,A]``: ``[B,…]`` of the Box's shape and dtype, inside it."""
        moved = np.clip(self._middle + self._unit * samples, self._low, self._high)
        return moved.astype(self.space.dtype).reshape(-1, *self.space.shape)

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
        """Log-densities of samples that were drawn earlier; see :meth:`Policy.score`.

        ``observe`` and ``read``, and ``gather`` and ``expect`` of the result, raise :class:`ConfigurationError`: a
        density has no vocabulary.
        """
        observation = context["observation"][policy_mask]
        mean = self.network.outputs(observation)
        distance = (context["action"][policy_mask].to(mean.dtype) - mean) * (-self.log_std).exp()
        logps = (-0.5 * distance.square() - self.log_std - _LOG_ROOT_TWO_PI).sum(-1)
        spread = (self.log_std + _ENTROPY_OF_UNIT).sum().expand(len(mean)) if entropy else None

        def refuse(fn: Any, beside: Tensor | None = None) -> NoReturn:
            raise ConfigurationError(
                f"{self.name} has a density, which has no vocabulary: terms that read top-k or all tokens need "
                "discrete actions; use a term of sampled tokens, and entropy_baseline='sequence' for DynaMO."
            )

        return self._forward(policy_mask, observation, logps, spread, values, refuse, refuse, observe, read)

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        """As :meth:`OneTokenPolicy.context`, with the samples as ``action`` ``[T,A]``.

        Raises:
            DataError: If a turn was not written by a policy of this kind.
        """
        base = super().context(turns, final_observation)
        written = [turn for turn in turns if turn.action_token_ids]
        if any("sample" not in (turn.policy_data or {}) for turn in written):
            raise DataError(f"a turn without the sample behind its action: only {type(self).__name__} can write one.")
        samples = [(turn.policy_data or {})["sample"] for turn in written]
        stacked = np.stack(samples) if samples else np.zeros((0, self.dimensions), self._kind)
        return RowContext({**base.per_token, "action": stacked}, base.per_row)
