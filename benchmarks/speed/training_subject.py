"""fogline's trainer on the task of :mod:`fogline.benchmarks.speed.training_task`, and its turns one by one."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from fogline.agents.agent import Decision, SeatView
from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.rollout import Assignment
from fogline.benchmarks.speed.timing import MeasurementFailed
from fogline.benchmarks.speed.training_task import FixedTurns, Work, quiet, save_model
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.recipes import make_recipe
from fogline.trainers.trainer import Trainer


class FoglineTrainer:
    """One :meth:`Trainer.step` is one update: play, score with the reference, one step of the optimiser.

    Args:
        work: What an update does.
    """

    name = "fogline"

    def __init__(self, work: Work) -> None:
        torch.set_num_threads(work.threads)
        self._work = work
        self.policy = make_policy(work)
        # The options are those of TRL's loss_type="grpo" and its optimiser, which keeps all its other defaults.
        recipe = make_recipe("grpo", kl_coefficient=work.kl_coefficient, aggregation="seq-mean-token-mean")
        config = TrainConfig(
            recipe="grpo",
            env=FixedTurns.__name__,
            rollout=RolloutConfig(tasks_per_update=work.prompts, group_size=work.group_size),
            learner=LearnerConfig(learning_rate=work.learning_rate),
            resume=False,
        )
        self.trainer = Trainer(
            self.policy,
            recipe,
            config,
            lambda: FixedTurns(work),
            [str(task) for task in range(work.prompts)],
            reference=copy.deepcopy(self.policy),
        )

    def update(self) -> float:
        """Make one update and return its seconds.

        Raises:
            MeasurementFailed: The policy did not write what the task asks for.
        """
        before = self.policy.tokens_forwarded
        began = perf_counter()
        row = self.trainer.step()
        seconds = perf_counter() - began
        work = self._work
        written = row["train/tokens"]
        if written != work.turns * work.new_tokens or row["train/unscored"]:
            raise MeasurementFailed(f"fogline wrote {written} tokens: expected {work.turns * work.new_tokens}.")
        # The last token of a row is written and never read.
        read, expected = self.policy.tokens_forwarded - before, work.rows * (work.row_tokens - 1)
        if read != expected:
            raise MeasurementFailed(f"fogline read {read} tokens in {work.rows} episodes: expected {expected}.")
        return seconds

    def read_tokens(self) -> int:
        """Make one update, untimed, and return the tokens that went through the model to generate it."""
        before = self.policy.tokens_forwarded
        self.update()
        return self.policy.tokens_forwarded - before

    def close(self) -> None:
        """Close the environments."""
        self.trainer.close()


def make_policy(work: Work) -> CausalLMPolicy:
    """The task's model as a policy."""
    with tempfile.TemporaryDirectory(prefix="fogline-bench-") as folder, quiet():
        save_model(work, Path(folder))
        return CausalLMPolicy(folder, max_new_tokens=work.new_tokens, reply_role="tool")


@dataclass(frozen=True)
class PlayedTurn:
    """One turn of all rows together.

    Attributes:
        ended: When it ended, in seconds of a clock without a meaning of its own.
        read: Tokens that went through the model.
        new: Tokens that were not there before: the environment's, and the policy's.
    """

    ended: float
    read: int
    new: int


class WatchedPolicy:
    """A policy that notes each of its turns.

    Args:
        policy: Who plays.
    """

    batch_size: int | None = None
    together = True

    def __init__(self, policy: CausalLMPolicy) -> None:
        self.name = policy.name
        self.turns: list[PlayedTurn] = []
        self._policy = policy

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        """Let the policy act."""
        before = self._policy.tokens_forwarded
        decisions = self._policy.act(views)
        played = [decision for decision in decisions if isinstance(decision, Decision)]
        new = sum(len(decision.context_token_ids) + len(decision.action_token_ids) for decision in played)
        self.turns.append(PlayedTurn(perf_counter(), self._policy.tokens_forwarded - before, new))
        return decisions


def play_turns(policy: CausalLMPolicy, work: Work) -> list[PlayedTurn]:
    """Play every row of ``work`` once, all together, and return the turns.

    Raises:
        MeasurementFailed: Rows did not act together, or some did not finish.
    """
    torch.set_num_threads(work.threads)
    watched = WatchedPolicy(policy)
    tasks = [Assignment(str(row % work.prompts), row) for row in range(work.rows)]
    envs: list[Any] = []
    episodes = collect_all(lambda: FixedTurns(work), watched, tasks, concurrency=work.rows, kept=envs)
    if len(watched.turns) != work.turns or not all(episode.scored for episode in episodes):
        raise MeasurementFailed(f"{work.rows} episodes took {len(watched.turns)} joint turns: expected {work.turns}.")
    return watched.turns


def expected_reading(work: Work) -> list[int]:
    """Tokens that each turn has to read, exactly: what is new, with its last token left to the turn after it."""
    first = work.prompt_tokens + work.new_tokens - 1
    return [work.rows * first] + [work.rows * (work.observation_tokens + work.new_tokens)] * (work.turns - 1)
