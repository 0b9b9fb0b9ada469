"""Policies over vectors: an action is a turn of one token, so that every loss and mask applies unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.encoders import Encoder, ObservationEncoder
from fogline.agents.policies.forward import Forward
from fogline.agents.policies.networks import ActorCritic
from fogline.agents.policies.policy import ROW_PREFIX, RowContext
from fogline.core.episode import Turn
from fogline.core.errors import AgentError, ConfigurationError, DataError, InfrastructureError

Array = np.ndarray[Any, Any]

_WEIGHTS = "vector_policy.pt"
_CHUNK = 2**22
_MOST_EXPECTED = 2**20


class VectorPolicy:
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

    def save(self, folder: Path) -> None:
        """Write the weights, the statistics and the version into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"version": self.version, "state": self.network.state_dict()}, folder / _WEIGHTS)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: If the folder holds no such file, or one of another architecture.
        """
        path = folder / _WEIGHTS
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
            outputs: Array = self.network.outputs(torch.from_numpy(features)).numpy().astype(np.float64)
        if not np.isfinite(outputs[np.isfinite(features).all(1)]).all():
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
        expect: Callable[[Callable[[Tensor], Tensor]], Tensor],
    ) -> Forward:
        estimated = self.network.values(observation) if values else None
        return Forward(
            logp=placed(logp, policy_mask),
            entropy=None if entropy is None else placed(entropy, policy_mask),
            values=None if estimated is None else placed(estimated, policy_mask),
            gather=gather,
            expect=expect,
        )


class CategoricalPolicy(VectorPolicy):
    """A softmax over an encoder's choices; with several independent parts, one softmax each.

    A decision writes one token, the joint index, whose log-probability is the sum over the parts. Where the
    environment's info has an ``action_mask`` (one part only, non-zero for legal choices), illegal choices have
    probability 0; the mask travels with the turn and holds when it is scored again.

    Args:
        encoder: Features and choices; ``sizes`` of an encoder with several parts.
        hidden: Widths of the hidden layers.
        critic: Whether there is a critic.
        normalise: Whether observations are normalised; see :meth:`observe`.
        dtype: Of the weights.
        seed: Decides the first weights.
        name: Shown in reports and stored with episodes.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        hidden: Sequence[int] = (64, 64),
        critic: bool = False,
        normalise: bool = False,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        name: str = "categorical",
    ) -> None:
        self.sizes: tuple[int, ...] = getattr(encoder, "sizes", (encoder.actions,))
        self._wide = max(self.sizes)
        network = ActorCritic(
            encoder.features,
            len(self.sizes) * self._wide,
            hidden=hidden,
            critic=critic,
            normalise=normalise,
            dtype=dtype,
            seed=seed,
        )
        super().__init__(encoder, network, name)
        # Parts of different sizes share one rectangle; what is beyond a part's size is never chosen.
        self._beyond: Array = np.arange(self._wide) >= np.array(self.sizes)[:, None]
        self._strides = [int(np.prod(self.sizes[part + 1 :], dtype=object)) for part in range(len(self.sizes))]
        self._choose: Callable[[SeatView, int], Any] = encoder.action

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        """Sample a choice for each view, each from its own seat's generator."""
        features = self._features(views)
        scores = self._outputs(features).reshape(len(views), len(self.sizes), self._wide)
        masks = [view.info.get("action_mask") for view in views]
        masked = any(mask is not None for mask in masks)
        illegal = self._illegal(masks) if masked else None
        blocked = self._beyond if illegal is None else illegal[:, None, :]
        scores = np.where(blocked, -np.inf, scores) if blocked.any() else scores
        scores -= scores.max(-1, keepdims=True)
        weights = np.exp(scores).cumsum(-1)
        total = weights[..., -1:]
        if self.greedy:
            digits = scores.argmax(-1)
        else:
            parts = len(self.sizes)
            uniform = np.array([view.rng.random(parts) if parts > 1 else view.rng.random() for view in views])
            # Below the total even after rounding, so that the first sum above it is a choice of positive weight.
            digits = (weights <= uniform.reshape(len(views), parts, 1) * total).sum(-1)
        logps = np.take_along_axis(scores, digits[..., None], -1) - np.log(total)
        return self._decide(views, digits, logps.sum((-2, -1)), features, illegal, masks)

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        *,
        entropy: bool = False,
        values: bool = False,
    ) -> Forward:
        """Log-probabilities of choices that were made earlier; see :meth:`Policy.score`.

        Raises:
            DataError: If a token is no choice of this policy.
        """
        observation = context["observation"][policy_mask]
        scores = self.network.outputs(observation).unflatten(-1, (len(self.sizes), self._wide))
        blocked = torch.from_numpy(self._beyond).to(scores.device).expand(scores.shape)
        if "illegal" in context:
            blocked = blocked | context["illegal"][policy_mask][:, None, :]
        logps = scores.masked_fill(blocked, -torch.inf).log_softmax(-1)
        joint = self._joint(logps, tokens[policy_mask][:, None]).squeeze(-1)
        spread = _entropy(logps, blocked) if entropy else None

        def gather(ids: Tensor) -> Tensor:
            return placed(self._joint(logps, ids[policy_mask]), policy_mask)

        def expect(function: Callable[[Tensor], Tensor]) -> Tensor:
            return placed(self._expect(logps, function), policy_mask)

        return self._forward(policy_mask, observation, joint, spread, values, gather, expect)

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        """As :meth:`VectorPolicy.context`, with ``illegal`` ``[T,A]`` bool where any turn had an action mask."""
        base = super().context(turns, final_observation)
        written = [turn for turn in turns if turn.action_token_ids]
        if all(turn.policy_data is None for turn in written):
            return base
        everything = np.zeros(self._wide, bool)
        illegal = [everything if turn.policy_data is None else turn.policy_data["illegal"] for turn in written]
        return RowContext({**base.per_token, "illegal": np.stack(illegal)}, base.per_row)

    def _illegal(self, masks: Sequence[Any]) -> Array:
        """``[B,A]`` bool of the choices that the masks forbid."""
        illegal = np.zeros((len(masks), self._wide), bool)
        for row, mask in enumerate(masks):
            if mask is None:
                continue
            if len(self.sizes) > 1 or np.shape(mask) != (self._wide,):
                raise ConfigurationError(
                    f"an action_mask of shape {np.shape(mask)} for parts of sizes {self.sizes}: expected one entry "
                    "for each choice of a single Discrete action."
                )
            illegal[row] = np.asarray(mask) == 0
        return illegal

    def _decide(
        self,
        views: Sequence[SeatView],
        digits: Array,
        logps: Array,
        features: Array,
        illegal: Array | None,
        masks: Sequence[Any],
    ) -> list[Decision | Exception]:
        """One decision per view from the sampled parts ``[B,D]``."""
        choose, version = self._choose, self.version
        rows = digits.tolist()
        indices = [row[0] for row in rows] if len(self.sizes) == 1 else [self._index(row) for row in rows]
        decisions: list[Decision | Exception] = []
        for row, (view, index, logp) in enumerate(zip(views, indices, logps.tolist(), strict=True)):
            if logp != logp:
                decisions.append(_undecidable(view, features[row]))
                continue
            data = None if illegal is None or masks[row] is None else {"illegal": illegal[row]}
            decisions.append(Decision(choose(view, index), (), (index,), (logp,), version, None, data))
        return decisions

    def _index(self, digits: Sequence[int]) -> int:
        return sum(digit * stride for digit, stride in zip(digits, self._strides, strict=True))

    def _joint(self, logps: Tensor, ids: Tensor) -> Tensor:
        """Log-probabilities ``[M,k]`` of joint choices ``[M,k]`` from those of the parts ``[M,D,W]``."""
        actions = self._strides[0] * self.sizes[0]
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= actions):
            raise DataError(
                f"tokens from {int(ids.min())} to {int(ids.max())}: {self.name} has choices 0 to {actions - 1}."
            )
        total = logps.new_zeros(ids.shape)
        for part, (size, stride) in enumerate(zip(self.sizes, self._strides, strict=True)):
            total = total + logps[:, part].gather(-1, ids // stride % size)
        return total

    def _expect(self, logps: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """``function`` ``[M]`` of the joint log-probabilities ``[M,A]``, chunk by chunk."""
        actions = self._strides[0] * self.sizes[0]
        if actions > _MOST_EXPECTED:
            raise ConfigurationError(
                f"an expectation over {actions} joint actions: expected at most {_MOST_EXPECTED}; use a sampled term."
            )
        ids = torch.arange(actions, device=logps.device)
        rows = max(_CHUNK // actions, 1)
        chunks = [self._joint(part, ids.expand(len(part), -1)) for part in logps.split(rows)]
        return torch.cat([function(chunk) for chunk in chunks]) if chunks else logps.new_zeros(0)


def placed(values: Tensor, mask: Tensor) -> Tensor:
    """Values ``[M,…]`` at the True places of ``mask`` ``[N,T]``, 0 elsewhere: ``[N,T,…]`` with gradient."""
    return values.new_zeros((*mask.shape, *values.shape[1:])).index_put((mask,), values)


def _entropy(logps: Tensor, blocked: Tensor) -> Tensor:
    """Sum of the parts' entropies, ``[M]``; a choice of probability 0 adds nothing."""
    finite = logps.masked_fill(blocked, 0.0)
    return -(logps.exp() * finite).sum((-2, -1))


def _undecidable(view: SeatView, features: Array) -> Exception:
    """Why no choice can be made for a view."""
    if np.isfinite(features).all():
        return AgentError(f"the action_mask of {view.env_id} forbids every action: expected at least one legal.")
    broken = InfrastructureError(f"{view.env_id} shows an observation that is not finite: {view.observation!r}.")
    broken.retryable = False
    return broken
