"""A softmax over the choices of any discrete space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import mul
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.encoders import Encoder
from fogline.agents.policies.forward import Forward, Reading
from fogline.agents.policies.networks import ActorCritic
from fogline.agents.policies.one_token import Array, OneTokenPolicy, placed, undecidable
from fogline.agents.policies.policy import RowContext
from fogline.core.episode import Episode, Turn
from fogline.core.errors import ConfigurationError, DataError

_CHUNK = 2**22
_MOST_EXPECTED = 2**20


class CategoricalPolicy(OneTokenPolicy):
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
        self._strides = [math.prod(self.sizes[part + 1 :]) for part in range(len(self.sizes))]
        self._choose: Callable[[SeatView, int], Any] = encoder.action

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        """Sample a choice for each view, each from its own seat's generator."""
        features = self._features(views)
        scores = self._outputs(features).reshape(len(views), len(self.sizes), self._wide)
        illegal = self._illegal([view.info.get("action_mask") for view in views])
        if illegal or self._beyond.any():
            blocked = np.broadcast_to(self._beyond, scores.shape).copy()
            for row, forbidden in illegal.items():
                blocked[row] |= forbidden
            scores[blocked] = -np.inf
        with np.errstate(invalid="ignore"):
            scores -= scores.max(-1, keepdims=True)
        weights = np.exp(scores).cumsum(-1)
        total = weights[..., -1:]
        digits = scores.argmax(-1) if self.greedy else self._sampled(views, weights, total)
        logps = (np.take_along_axis(scores, digits[..., None], -1) - np.log(total)).sum((-2, -1))
        choose, version = self._choose, self.version
        decisions: list[Decision | Exception] = []
        for row, (view, index, logp) in enumerate(zip(views, self._indices(digits), logps.tolist(), strict=True)):
            if logp != logp:
                decisions.append(undecidable(view, features[row]))
                continue
            data = {"illegal": illegal[row]} if row in illegal else None
            decisions.append(Decision(choose(view, index), (), (index,), (logp,), version, None, data))
        return decisions

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
        """Log-probabilities of choices that were made earlier; see :meth:`Policy.score`.

        Raises:
            DataError: If a token is no choice of this policy.
        """
        observation, logps, blocked = self._parts(policy_mask, context)
        joint = self._joint(logps, tokens[policy_mask][:, None]).squeeze(-1)
        spread = _entropy(logps, blocked) if entropy else None

        def gather(ids: Tensor) -> Tensor:
            return placed(self._joint(logps, ids[policy_mask]), policy_mask)

        def expect(fn: Callable[..., Tensor], beside: Tensor | None = None) -> Tensor:
            return placed(self._expect(logps, fn, None if beside is None else beside[policy_mask]), policy_mask)

        return self._forward(policy_mask, observation, joint, spread, values, gather, expect, observe, read)

    @property
    def vocabulary_size(self) -> int:
        """Joint choices."""
        return self._strides[0] * self.sizes[0]

    def states(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> Tensor:
        """Log-probabilities of all joint choices, ``[N,T,A]``; :meth:`distribution` gives them back as they are."""
        _, logps, _ = self._parts(policy_mask, context)
        return placed(self._expect(logps, lambda logp: logp), policy_mask)

    def distribution(self, states: Tensor) -> Tensor:
        """The log-probabilities that :meth:`states` gave."""
        return states

    def _parts(self, policy_mask: Tensor, context: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Observations ``[M,…]``, log-probabilities of the parts ``[M,D,W]``, and which of them are impossible."""
        observation = context["observation"][policy_mask]
        scores = self.network.outputs(observation).reshape(-1, len(self.sizes), self._wide)
        blocked = torch.from_numpy(self._beyond).to(scores.device).expand(scores.shape)
        if "illegal" in context:
            blocked = blocked | context["illegal"][policy_mask][:, None, :]
        return observation, scores.masked_fill(blocked, -torch.inf).log_softmax(-1), blocked

    def transcribe(self, episode: Episode, rules: str | Mapping[str, str] = "") -> Episode:
        """Somebody else's episode as this policy's tokens, to learn from by :func:`~fogline.trainers.sft.fine_tune`.

        Args:
            episode: Actions of the policy's own space, by any agent.
            rules: Not read; language models read them.

        Returns:
            The episode with the index of each action. Log-probabilities are 0: a demonstrator was certain.

        Raises:
            ConfigurationError: If the encoder cannot tell an action's index.
        """
        index = getattr(self.encoder, "index", None)
        if index is None:
            raise ConfigurationError(
                f"{type(self.encoder).__name__} has no method 'index', from an action to its number: give the encoder "
                "one to learn from demonstrations."
            )
        turns = [
            turn._replace(action_token_ids=(index(turn.action),), logps=(0.0,), policy_data=None)
            for turn in episode.turns
        ]
        return replace(episode, turns=tuple(turns))

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        """As :meth:`OneTokenPolicy.context`, with ``illegal`` ``[T,A]`` bool where any turn had an action mask."""
        base = super().context(turns, final_observation)
        written = [turn for turn in turns if turn.action_token_ids]
        if all(turn.policy_data is None for turn in written):
            return base
        everything = np.zeros(self._wide, bool)
        illegal = [everything if turn.policy_data is None else turn.policy_data["illegal"] for turn in written]
        return RowContext({**base.per_token, "illegal": np.stack(illegal)}, base.per_row)

    def _illegal(self, masks: Sequence[Any]) -> dict[int, Array]:
        """``[A]`` bool of the choices that a mask forbids, by row; rows without a mask are absent."""
        illegal = {row: np.asarray(mask) == 0 for row, mask in enumerate(masks) if mask is not None}
        for forbidden in illegal.values():
            if len(self.sizes) > 1 or forbidden.shape != self.sizes:
                raise ConfigurationError(
                    f"an action_mask of shape {forbidden.shape} for parts of sizes {self.sizes}: expected one entry "
                    "for each choice of a single Discrete action."
                )
        return illegal

    def _sampled(self, views: Sequence[SeatView], weights: Array, total: Array) -> Array:
        """Parts ``[B,D]`` by inverse transform of the cumulative weights ``[B,D,W]``."""
        parts = len(self.sizes)
        drawn = [view.rng.random() for view in views] if parts == 1 else [view.rng.random(parts) for view in views]
        # Below the total even after rounding, so the first sum above it belongs to a choice of positive weight.
        bar = np.array(drawn).reshape(len(views), parts, 1) * total
        digits: Array = (weights <= bar).sum(-1)
        return digits

    def _indices(self, digits: Array) -> list[int]:
        """Joint indices of parts ``[B,D]``."""
        if len(self.sizes) == 1:
            return [int(index) for index in digits[:, 0].tolist()]
        return [sum(map(mul, row, self._strides)) for row in digits.tolist()]

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

    def _expect(self, logps: Tensor, fn: Callable[..., Tensor], beside: Tensor | None = None) -> Tensor:
        """``fn`` ``[M,…]`` of the joint log-probabilities ``[M,A]``, and of what lies beside, chunk by chunk."""
        actions = self._strides[0] * self.sizes[0]
        if actions > _MOST_EXPECTED:
            raise ConfigurationError(
                f"an expectation over {actions} joint actions: expected at most {_MOST_EXPECTED}; use a sampled term."
            )
        ids = torch.arange(actions, device=logps.device)
        rows = max(_CHUNK // actions, 1)
        chunks = (self._joint(part, ids.expand(len(part), -1)) for part in torch.split(logps, rows))
        if beside is None:
            return torch.cat([fn(chunk) for chunk in chunks])
        return torch.cat([fn(chunk, part) for chunk, part in zip(chunks, torch.split(beside, rows), strict=True)])


def _entropy(logps: Tensor, blocked: Tensor) -> Tensor:
    """Sum of the parts' entropies, ``[M]``; a choice of probability 0 adds nothing."""
    finite = logps.masked_fill(blocked, 0.0)
    return -(logps.exp() * finite).sum((-2, -1))
