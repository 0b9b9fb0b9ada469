"""REINFORCE (Williams, 1992) over the collector's episodes: the smallest trainer that the contracts carry.

It learns ``CartPole-v1``, ``TrustSQL-v0`` through a menu of skills, and a PettingZoo game with a shared policy, all
from the same :class:`~fogline.core.episode.Episode`: an action is a turn of one token, whatever it means to the
environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fogline.agents.agent import Decision, SeatView
from fogline.agents.collector import EnvFactory, collect
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode, Turn
from fogline.core.errors import ConfigurationError


class Encoder(Protocol):
    """Turns what a seat knows into numbers, at acting and again at training, from the same record.

    Attributes:
        features: Length of the vector.
        actions: Number of discrete actions.
    """

    features: int
    actions: int

    def encode(self, turns: Sequence[Turn], observation: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Features ``[features]`` of a decision, given the seat's earlier turns and what it sees now."""
        ...

    def action(self, view: SeatView, index: int) -> Any:
        """The environment's action for choice ``index``."""
        ...


@dataclass(frozen=True)
class VectorEncoder:
    """Box observations and discrete actions as they are."""

    features: int
    actions: int

    def encode(self, turns: Sequence[Turn], observation: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The observation itself, flattened to ``float32``."""
        return np.asarray(observation, dtype=np.float32).reshape(-1)

    def action(self, view: SeatView, index: int) -> int:
        """The index itself."""
        return index


@dataclass(frozen=True)
class ReinforceConfig:
    """Settings of :func:`reinforce`.

    Attributes:
        updates: Gradient steps.
        episodes: Episodes per update.
        learning_rate: Of Adam.
        discount: Per turn.
        entropy: Coefficient of the entropy bonus.
        hidden: Width of the two hidden layers.
        concurrency: Environments in flight.
        seed: Decides weights, sampling and the seeds of the episodes.
    """

    updates: int = 100
    episodes: int = 16
    learning_rate: float = 5e-3
    discount: float = 0.99
    entropy: float = 0.0
    hidden: int = 64
    concurrency: int = 16
    seed: int = 0


class MenuPolicy:
    """A categorical policy over an encoder's choices; an agent for the collector.

    Args:
        encoder: Features and actions.
        hidden: Width of the hidden layers.
        seed: Of the initial weights.
    """

    name = "reinforce"
    batch_size: int | None = None

    def __init__(self, encoder: Encoder, hidden: int = 64, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.encoder = encoder
        self.version = 0
        self.greedy = False
        self.network = nn.Sequential(
            nn.Linear(encoder.features, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, encoder.actions),
        )
        for parameter in self.network.parameters():
            bound = 1.0 / np.sqrt(parameter.shape[-1])
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def act(self, views: Sequence[SeatView]) -> list[Decision]:
        """Sample one choice per view, each from its own seat's generator."""
        features = np.stack([self.encoder.encode(view.turns, view.observation) for view in views])
        with torch.no_grad():
            logps = torch.log_softmax(self.network(torch.from_numpy(features)), dim=-1).double().numpy()
        decisions = []
        for view, row in zip(views, logps, strict=True):
            index = int(row.argmax()) if self.greedy else _sample(row, view.rng.random())
            action = self.encoder.action(view, index)
            decisions.append(
                Decision(action, action_token_ids=(index,), logps=(float(row[index]),), policy_version=self.version)
            )
        return decisions


def reinforce(
    env_factory: EnvFactory,
    encoder: Encoder,
    config: ReinforceConfig,
    task_ids: Sequence[str] = ("",),
    progress: Callable[[int, float], None] | None = None,
) -> tuple[MenuPolicy, list[float]]:
    """Train a policy by plain REINFORCE with a batch-mean baseline.

    Args:
        env_factory: Makes the environment.
        encoder: Features and choices.
        config: Settings.
        task_ids: Tasks, played in turn; ``("",)`` for an environment without tasks.
        progress: Called after each update with its number and the mean reward of its episodes.

    Returns:
        The policy, and the mean episode reward per seat of each update.

    Raises:
        ConfigurationError: If an update has no scored episode to learn from.
    """
    policy = MenuPolicy(encoder, config.hidden, config.seed)
    optimiser = torch.optim.Adam(policy.network.parameters(), lr=config.learning_rate)
    tasks = _assignments(task_ids, config.seed)
    curve = []
    for update in range(config.updates):
        wanted = [next(tasks) for _ in range(config.episodes)]
        episodes = _play(env_factory, policy, wanted, config.concurrency)
        rows = [row for episode in episodes if episode.scored for row in _rows(episode, encoder, config.discount)]
        if not rows:
            raise ConfigurationError(
                f"update {update}: none of {len(episodes)} episodes could be scored; see their failures."
            )
        loss = reinforce_loss(policy.network, *_stack(rows), entropy=config.entropy)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        policy.version += 1
        curve.append(
            float(np.mean([(episode.reward or 0.0) / len(episode.seats) for episode in episodes if episode.scored]))
        )
        if progress is not None:
            progress(update, curve[-1])
    return policy, curve


def reinforce_loss(
    network: nn.Module, features: Tensor, actions: Tensor, returns: Tensor, entropy: float = 0.0
) -> Tensor:
    """``-mean(log π(a|s) · Â)`` with ``Â`` the returns normalised over the batch.

    Args:
        network: Features ``[B,F]`` to logits ``[B,A]``.
        features: ``[B,F]`` float32.
        actions: ``[B]`` int64.
        returns: Discounted rewards to go, ``[B]`` float32.
        entropy: Coefficient of the bonus.
    """
    logps = torch.log_softmax(network(features), dim=-1)
    advantage = (returns - returns.mean()) / (returns.std(correction=0) + 1e-8)
    chosen = logps.gather(1, actions[:, None]).squeeze(1)
    bonus = -(logps.exp() * logps).sum(-1).mean()
    return -(chosen * advantage).mean() - entropy * bonus


Row = tuple[np.ndarray[Any, np.dtype[np.float32]], int, float]


def _rows(episode: Episode, encoder: Encoder, discount: float) -> list[Row]:
    """One row per turn: features, choice, reward to go; each seat on its own."""
    rows = []
    for seat in episode.seats:
        turns = [turn for turn in episode.turns if turn.seat == seat]
        to_go = 0.0
        for index in range(len(turns) - 1, -1, -1):
            to_go = turns[index].reward + discount * to_go
            features = encoder.encode(turns[:index], turns[index].observation)
            rows.append((features, turns[index].action_token_ids[0], to_go))
    return rows


def _stack(rows: Sequence[Row]) -> tuple[Tensor, Tensor, Tensor]:
    features, actions, returns = zip(*rows, strict=True)
    return torch.from_numpy(np.stack(features)), torch.tensor(actions), torch.tensor(returns, dtype=torch.float32)


def _play(env_factory: EnvFactory, policy: MenuPolicy, tasks: Sequence[Assignment], concurrency: int) -> list[Episode]:
    async def run() -> list[Episode]:
        return [episode async for episode in collect(env_factory, policy, tasks, concurrency=concurrency)]

    # The order in which episodes end depends on timing; the order of a batch must not.
    return sorted(asyncio.run(run()), key=lambda episode: (episode.task_id, episode.seed))


def _assignments(task_ids: Sequence[str], seed: int) -> Iterator[Assignment]:
    counter = 0
    while True:
        yield Assignment(task_ids[counter % len(task_ids)], seed * 1_000_003 + counter)
        counter += 1


def _sample(logps: np.ndarray[Any, np.dtype[np.float64]], uniform: float) -> int:
    """Inverse-transform sample of a categorical distribution."""
    return min(int(np.searchsorted(np.cumsum(np.exp(logps)), uniform, side="right")), len(logps) - 1)
