"""What the policies over vectors share: an action is a turn of one token, so every loss and mask applies unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from fogline.agents.agent import SeatView
from fogline.agents.policies.encoders import ObservationEncoder
from fogline.agents.policies.forward import Expect, Forward, Reading
from fogline.agents.policies.networks import ActorCritic
from fogline.agents.policies.policy import ROW_PREFIX, RowContext
from fogline.core.episode import Turn
from fogline.core.errors import AgentError, ConfigurationError, DataError, InfrastructureError

Array = np.ndarray[Any, Any]

_WEIGHTS = "vector_policy.pt"


class OneTokenPolicy:
    """What the policies over vectors share: features, networks, context and files.

    Args:
        encoder: Features of a decision.
        network: Actor and critic.
        name: Shown in reports and stored with episodes.
    """

    batch_size: int | None = None
    together = False

    def __init__(self, encoder: ObservationEncoder, network: ActorCritic, name: str) -> None:
        self.encoder = encoder
        self.network = network
        self.name = name
        self.version = 0
        self.greedy = False
        self.has_critic = network.critic is not None

    @property
    def module(self) -> nn.Module:
        """All trainable weights, the critic's and the normalisation's statistics included."""
        return self.network

    @property
    def normalises(self) -> bool:
        """Whether observations are scaled by running statistics, which :meth:`observe` feeds."""
        return self.network.norm is not None

    def observe(self, observations: Tensor) -> None:
        """Let the normalisation see ``[M,F]`` observations: called by the trainer between batches, never within.

        Raises:
            ConfigurationError: If the policy does not normalise.
        """
        if self.network.norm is None:
            raise ConfigurationError("this policy does not normalise observations: build it with normalise=True.")
        self.network.norm.observe(observations)

    def bootstrap(self, context: Mapping[str, Tensor]) -> Tensor | None:
        """Critic's estimate ``[N]`` after the last turn, 0 where no observation followed; None without a critic."""
        if self.network.critic is None:
            return None
        with torch.no_grad():
            values = cast(Tensor, self.network.values(context[ROW_PREFIX + "final_observation"]))
        return torch.where(context[ROW_PREFIX + "final_known"], values, 0.0)

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        """Arrays ``observation`` ``[T,F]``, and of the observation after the last turn ``[F]`` whether there is one.

        Raises:
            DataError: If another kind of policy wrote these turns.
        """
        rows = []
        for index, turn in enumerate(turns):
            if len(turn.action_token_ids) > 1 or turn.context_token_ids:
                raise DataError(
                    f"a turn with {len(turn.context_token_ids)} read and {len(turn.action_token_ids)} written tokens: "
                    f"{self.name} writes one token a turn and reads none; score it with the policy that wrote it."
                )
            if turn.action_token_ids:
                rows.append(self.encoder.encode(turns[:index], turn.observation))
        features = self.encoder.features
        known = final_observation is not None
        final = self.encoder.encode(turns, final_observation) if known else np.zeros(features, np.float32)
        stacked = np.stack(rows) if rows else np.zeros((0, features), np.float32)
        return RowContext({"observation": stacked}, {"final_observation": final, "final_known": np.array(known)})

    def reference(self) -> Self:
        """A copy of today's policy with frozen weights, for a KL term."""
        frozen = copy.deepcopy(self)
        frozen.network.requires_grad_(False)
        return frozen

    def save(self, folder: str | Path) -> None:
        """Write the weights, the statistics and the version into ``folder``, which is made if it does not exist."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"version": self.version, "state": self.network.state_dict()}, folder / _WEIGHTS)

    def load(self, folder: str | Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: If the folder holds no such file, or one of another architecture.
        """
        path = Path(folder) / _WEIGHTS
        if not path.is_file():
            raise DataError(f"{folder} holds no {_WEIGHTS}: expected a folder that {type(self).__name__}.save wrote.")
        saved = torch.load(path, weights_only=True)
        try:
            self.network.load_state_dict(saved["state"])
        except RuntimeError as error:
            raise DataError(f"{path} is of another policy than {self.name}: {error}") from error
        self.version = int(saved["version"])

    def _features(self, views: Sequence[SeatView]) -> Array:
        encode = self.encoder.encode
        rows = [encode(view.turns, view.observation) for view in views]
        return np.concatenate(rows).reshape(len(rows), -1)

    def _outputs(self, features: Array) -> Array:
        """The actor's outputs ``[B,outputs]`` in float64.

        Raises:
            ConfigurationError: If the weights are not finite.
        """
        with torch.inference_mode():
            outputs: Array = self.network.outputs(torch.from_numpy(features)).cpu().numpy().astype(np.float64)
        if not np.isfinite(outputs).all() and not np.isfinite(outputs[np.isfinite(features).all(1)]).all():
            raise ConfigurationError(
                f"the weights of {self.name}, version {self.version}, are not finite: lower the learning rate."
            )
        return outputs

    def _forward(
        self,
        policy_mask: Tensor,
        observation: Tensor,
        logp: Tensor,
        entropy: Tensor | None,
        values: bool,
        gather: Callable[[Tensor], Tensor],
        expect: Expect,
        observe: Callable[[Tensor], Tensor] | None,
        read: Reading | None,
    ) -> Forward:
        observed = None
        if observe is not None:
            with torch.no_grad():
                observed = expect(observe)
        estimated = self.network.values(observation) if values else None
        return Forward(
            logp=placed(logp, policy_mask),
            entropy=None if entropy is None else placed(entropy, policy_mask),
            values=None if estimated is None else placed(estimated, policy_mask),
            gather=gather,
            expect=expect,
            observed=observed,
            read=None if read is None else expect(read.fn, read.beside),
        )


def placed(values: Tensor, mask: Tensor) -> Tensor:
    """Values ``[M,…]`` at the True places of ``mask`` ``[N,T]``, 0 elsewhere: ``[N,T,…]`` with gradient."""
    return values.new_zeros((*mask.shape, *values.shape[1:])).index_put((mask,), values)


def undecidable(view: SeatView, features: Array) -> Exception:
    """Why no choice can be made for a view."""
    if np.isfinite(features).all():
        return AgentError(f"the action_mask of {view.env_id} forbids every action: expected at least one legal.")
    broken = InfrastructureError(f"{view.env_id} shows an observation that is not finite: {view.observation!r}.")
    broken.retryable = False
    return broken
