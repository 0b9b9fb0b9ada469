"""From tasks to batches: which episodes are played for an update, and what is remembered of each prompt."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from fogline.agents.collector import EnvFactory, collect_all
from fogline.agents.policies.policy import Policy
from fogline.agents.rollout import Assignment
from fogline.agents.scheduler import close_quietly
from fogline.core.engine import Engine, make_engine
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, InfrastructureError
from fogline.core.rewards import RewardScheme
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.config import SEEDS_PER_RUN, RolloutConfig
from fogline.trainers.critics import Critic, Judged, Judgement, judged
from fogline.trainers.processes import Processes
from fogline.trainers.recipe import Recipe


@dataclass
class Cursor:
    """Where a run is in its stream of tasks and seeds; the whole state of the environments' side.

    Attributes:
        groups: Groups that were handed out so far.
        episodes: Episodes that were handed out so far.
    """

    groups: int = 0
    episodes: int = 0


@dataclass
class PromptStatistics:
    """What is known of each task.

    Attributes:
        tasks: Every task of the run, in the order that the cursor counts in; nothing is known of any other.
        trials: Scored episodes.
        correct: Those that earned more than ``correct_above``.
        reward: Sum of their rewards.
    """

    tasks: tuple[str, ...] = ()
    trials: dict[str, int] = field(default_factory=dict)
    correct: dict[str, int] = field(default_factory=dict)
    reward: dict[str, float] = field(default_factory=dict)

    def note(self, episode: Episode, correct_above: float) -> None:
        """Book a scored episode."""
        if episode.reward is None:
            return
        task = episode.task_id
        self.trials[task] = self.trials.get(task, 0) + 1
        self.correct[task] = self.correct.get(task, 0) + (episode.reward > correct_above)
        self.reward[task] = self.reward.get(task, 0.0) + episode.reward


@dataclass(frozen=True)
class Played:
    """What was played for one update.

    Attributes:
        batch: Rows to learn from.
        episodes: Every episode, those that selection dropped included.
        generations: How often a batch was filled.
        kept: Share of rows that selection kept.
    """

    batch: Batch
    episodes: tuple[Episode, ...]
    generations: int
    kept: float


class _Row(NamedTuple):
    """An episode with the number of its group and what a critic thinks of it."""

    group: int
    episode: Episode
    judgement: Judgement | None


class Rollouts:
    """Plays what an update needs.

    Args:
        env_factory: Makes the environment.
        policy: Who plays.
        task_ids: Tasks, walked through in an order that is drawn anew for each pass.
        config: Sizes and limits.
        seed: Of the run.
        processes: Each of them plays its share, and all see all episodes.
        critic: Judges the steps of every episode; None for methods that need none.
        dtype: Of rewards and log-probabilities.

    Raises:
        ConfigurationError: For no tasks.
    """

    def __init__(
        self,
        env_factory: EnvFactory,
        policy: Policy,
        task_ids: Sequence[str],
        config: RolloutConfig,
        *,
        seed: int = 0,
        processes: Processes | None = None,
        critic: Critic | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not task_ids:
            raise ConfigurationError("no tasks to train on: expected at least one; see tasks and limit.")
        if getattr(policy, "decoding", None) is not None:
            raise ConfigurationError(
                f"{policy.name!r} writes by a decoding method, not by the distribution that is trained: leave decoding "
                "out for training, and evaluate with it."
            )
        self.env_factory = env_factory
        self.policy = policy
        self.task_ids = tuple(task_ids)
        self.config = config
        self.seed = seed
        self.processes = processes or Processes()
        self.critic = critic
        self.dtype = dtype
        self.cursor = Cursor()
        self.statistics = PromptStatistics(self.task_ids)
        self._kept: list[Any] = []
        self._engine: Engine | None = None
        self._scheme: tuple[RewardScheme | None] | None = None
        self._order: tuple[int, tuple[str, ...]] = (-1, ())

    def play(self, recipe: Recipe) -> Played:
        """Fill a batch, and refill it while the recipe's selection drops groups.

        A group keeps its place: what selection drops is replaced by new tasks until ``tasks_per_update`` groups are
        there, or ``max_generation_batches`` were played; the first ones are kept where there are more.
        """
        wanted = self.config.tasks_per_update
        most = int(recipe.options.get("max_generation_batches", 1)) if recipe.select is not None else 1
        groups: list[list[_Row]] = []
        everything: list[Episode] = []
        generations = rows = kept = 0
        while len(groups) < wanted and generations < most:
            played = self._generation(recipe, wanted - len(groups) if generations else wanted)
            everything += [row.episode for row in played]
            generations += 1
            keep = self._kept_groups(played, recipe)
            rows += len(played)
            kept += sum(len(group) for group in keep)
            groups += keep
        if not groups:
            groups = _by_group(played)
        batch = self._batch([row for group in groups[:wanted] for row in group], self.scheme)
        return Played(batch, tuple(everything), generations, kept / max(rows, 1))

    def restore(self, cursor: Mapping[str, int], statistics: Mapping[str, Any]) -> None:
        """Take up the stream of tasks, and what is known of them, from a checkpoint.

        Raises:
            ConfigurationError: They are of another set of tasks.
        """
        found = PromptStatistics(**statistics)
        if found.tasks != self.task_ids:
            strange = sorted({*found.tasks} ^ {*self.task_ids})
            raise ConfigurationError(
                f"the checkpoint's prompt statistics are of {len(found.tasks)} tasks, this run has "
                f"{len(self.task_ids)} (in one only: {strange[:4]}): expected the same tasks in the same order. Use "
                "the same tasks and limit, another folder with out=, or resume=False."
            )
        self.cursor, self.statistics = Cursor(**cursor), found

    @property
    def scheme(self) -> RewardScheme | None:
        """The environment's weights of turn and session terms; None where it has no such terms."""
        if self._scheme is None:
            if not self._kept:
                self._kept.append(self.env_factory())
            env = self._kept[0]
            found = getattr(getattr(env, "unwrapped", env), "reward_scheme", None)
            self._scheme = (found if isinstance(found, RewardScheme) else None,)
        return self._scheme[0]

    def close(self) -> None:
        """Close the environments, and end the engine's workers."""
        for env in self._kept:
            close_quietly(env)
        self._kept.clear()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _generation(self, recipe: Recipe, tasks: int) -> list[_Row]:
        """Play ``tasks`` new groups, in the order of assignment."""
        assignments: list[Assignment] = []
        group_of: dict[Assignment, int] = {}
        names = [self._task(self.cursor.groups + index) for index in range(tasks)]
        for name, size in zip(names, self._sizes(recipe, names), strict=True):
            for _ in range(size):
                assignment = Assignment(name, (self.seed + 1) * SEEDS_PER_RUN + self.cursor.episodes)
                group_of[assignment] = self.cursor.groups
                assignments.append(assignment)
                self.cursor.episodes += 1
            self.cursor.groups += 1
        mine = assignments[self.processes.rank :: self.processes.count]
        found = self.processes.gather(judged(self.critic, self._collect(mine)))
        by_seed: dict[int, Judged] = {item.episode.seed: item for item in found}
        played = [_Row(group_of[item], *by_seed[item.seed]) for item in assignments]
        check_fresh([row.episode for row in played], self.policy)
        for row in played:
            self.statistics.note(row.episode, self.config.correct_above)
        return played

    def _batch(self, rows: Sequence[_Row], scheme: RewardScheme | None = None) -> Batch:
        return batch_of(
            [row.episode for row in rows],
            self.policy,
            seat_reward=self.config.seat_reward,
            dtype=self.dtype,
            groups=[row.group for row in rows],
            scheme=scheme,
            judgements=None if self.critic is None else [row.judgement for row in rows],
        )

    def _kept_groups(self, played: Sequence[_Row], recipe: Recipe) -> list[list[_Row]]:
        """Groups of which selection keeps a row."""
        groups = _by_group(played)
        if recipe.select is None:
            return groups
        rows = [row for group in groups for row in group]
        batch = self._batch(rows)
        keep = recipe.select(batch)
        order = list(dict.fromkeys(row.group for row in rows))
        alive = {order[int(index)] for index in torch.unique(batch.group[keep])}
        return [group for group in groups if group[0].group in alive]

    def _collect(self, assignments: Sequence[Assignment]) -> list[Episode]:
        if not assignments:
            return []
        config = self.config
        options: dict[str, Any] = {
            "concurrency": config.concurrency or len(assignments),
            "timeout_s": config.timeout_s,
            "retries": config.retries,
        }
        if (config.engine, config.workers, config.address, config.chunk) == ("inline", None, None, None):
            return collect_all(self.env_factory, self.policy, assignments, kept=self._kept, **options)
        if self._engine is None:
            self._engine = make_engine(config.engine, config.workers, address=config.address)
        chunk = config.chunk or -(-len(assignments) // self._engine.workers)
        player = travelling(self.policy)
        return collect_all(self.env_factory, player, assignments, engine=self._engine, chunk=chunk, **options)

    def _sizes(self, recipe: Recipe, names: Sequence[str]) -> Sequence[int]:
        if recipe.allocate is None:
            return [self.config.group_size] * len(names)
        return recipe.allocate(vars(self.statistics), names, self.config.group_size * len(names))

    def _task(self, number: int) -> str:
        """The task of a group: every pass over the tasks has an order of its own, decided by the run's seed."""
        turn, place = divmod(number, len(self.task_ids))
        if self._order[0] != turn:
            order = np.random.default_rng([self.seed, turn]).permutation(len(self.task_ids))
            self._order = (turn, tuple(self.task_ids[index] for index in order))
        return self._order[1][place]


class StaleWeights(InfrastructureError):
    """Episodes that other weights sampled than those that are about to learn from them."""


def check_fresh(episodes: Sequence[Episode], policy: Policy) -> None:
    """Refuse episodes that the policy's weights, as they are, did not sample.

    Raises:
        StaleWeights: Naming the versions.
    """
    turns = (turn.policy_version for episode in episodes for turn in episode.turns)
    found = {version for version in turns if version is not None and version != policy.version}
    if found:
        raise StaleWeights(
            f"a batch was sampled by version {', '.join(map(str, sorted(found)))} of the weights of "
            f"{policy.name!r}, and version {policy.version} is about to learn from it: send the weights to whoever "
            "samples after every update (ServedPolicy does so with synchronise=True)."
        )


def travelling(policy: Policy) -> Policy:
    """The policy as workers get it: with its weights on the CPU, which every machine has."""
    if all(weight.device.type == "cpu" for weight in policy.module.parameters()):
        return policy
    copied = copy.deepcopy(policy)
    copied.module.to("cpu")
    return copied


def _by_group(played: Sequence[_Row]) -> list[list[_Row]]:
    groups: dict[int, list[_Row]] = {}
    for row in played:
        groups.setdefault(row.group, []).append(row)
    return list(groups.values())
