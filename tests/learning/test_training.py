"""The trainer learns: what was observed, vectors, tools, and a game of two seats, all by the same code."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from echo_game import EchoEncoder, EchoGame, Stubborn, Whisperer
from gymnasium import spaces
from identity import Identity
from pettingzoo.test import parallel_api_test
from shop import SCHEMAS, make

from fogline.agents.agent import SeatView
from fogline.agents.collector import EnvFactory, collect_all
from fogline.agents.policies.policy import Policy
from fogline.agents.policies.vector import CategoricalPolicy, policy_for
from fogline.agents.scripted.trust_sql_skills import SkillEncoder
from fogline.benchmarks.learning_curves import CURVES, run_curve
from fogline.simulators.databases.records import TextToSQLDataset
from fogline.trainers.config import EvaluationConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.measuring import measure
from fogline.trainers.recipes import RECIPES, make_recipe
from fogline.trainers.rollouts import Assignment
from fogline.trainers.teachers import LocalTeacher, Teacher
from fogline.trainers.trainer import Trainer

# Networks this small only lose time to threads, on a busy machine most of it.
torch.set_num_threads(1)


def train(
    policy: Policy,
    recipe: str,
    env: EnvFactory,
    folder: Path,
    *,
    updates: int,
    group_size: int,
    tasks: Sequence[str] = ("",),
    tasks_per_update: int = 1,
    options: dict[str, Any] | None = None,
    seat_reward: Any = "own",
    samples: int = 20,
    teacher: Teacher | None = None,
    **learner: Any,
) -> list[dict[str, Any]]:
    """Rows of a run's log; the last one has been measured greedily."""
    config = TrainConfig(
        recipe=recipe,
        env="local",
        updates=updates,
        rollout=RolloutConfig(tasks_per_update=tasks_per_update, group_size=group_size, seat_reward=seat_reward),
        learner=LearnerConfig(**learner),
        evaluation=EvaluationConfig(samples=samples),
        out=str(folder),
    )
    method = make_recipe(recipe, **options or {})
    return Trainer(policy, method, config, env, tasks, reference=policy.reference(), teacher=teacher).train()


# What was observed is the right action


WORLDS = {"discrete": spaces.Discrete(3, start=1), "multi-discrete": spaces.MultiDiscrete([2, 3])}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("recipe", [name for name in RECIPES if make_recipe(name).teaching is not None])
def test_the_identity_is_learned_from_a_teacher_by_every_method_that_listens(
    recipe: str, world: str, tmp_path: Path
) -> None:
    def env() -> Identity:
        return Identity(WORLDS[world], length=4)

    knows = policy_for(env(), hidden=(32,), seed=1)
    train(knows, "rloo", env, tmp_path / "teacher", updates=30, group_size=32, learning_rate=0.03)
    reads = RECIPES[recipe].defaults
    fitting = {"top_k": 3, "correct_threshold": 3.5}
    policy = policy_for(env(), hidden=(32,))
    rows = train(
        policy,
        recipe,
        env,
        tmp_path / "student",
        updates=30,
        group_size=32,
        options={name: value for name, value in fitting.items() if name in reads},
        learning_rate=0.03,
        teacher=LocalTeacher(knows),
    )
    assert rows[0]["train/reward"] < 2.4, "four guesses"
    assert rows[-1]["evaluation/reward"] > 3.9


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("recipe", [name for name in RECIPES if make_recipe(name).teaching is None])
def test_the_identity_is_learned_by_every_method(recipe: str, world: str, tmp_path: Path) -> None:
    policy = policy_for(Identity(WORLDS[world]), critic=recipe == "ppo", hidden=(32,))
    by_step = recipe in ("reinforce", "reinforce++", "ppo")
    rows = train(
        policy,
        recipe,
        lambda: Identity(WORLDS[world], length=4),
        tmp_path,
        updates=30,
        group_size=32,
        # Four right guesses in a row are rare at first, and a filter on them would leave nothing to learn from.
        options={"discount": 0.0} if by_step else {"filter_on": "none"} if recipe == "pgpo" else {},
        learning_rate=0.03,
    )
    assert rows[0]["train/reward"] < 2.4, "four guesses"
    assert rows[-1]["evaluation/reward"] > 3.9


def test_the_identity_of_numbers_is_learned_by_a_normal_distribution(tmp_path: Path) -> None:
    space = spaces.Box(-1.0, 1.0, (1,))
    policy = policy_for(Identity(space), critic=True, hidden=(32,))
    rows = train(
        policy,
        "ppo",
        lambda: Identity(space, length=8),
        tmp_path,
        updates=25,
        group_size=32,
        options={"discount": 0.0},
        learning_rate=0.01,
        epochs=4,
        minibatches=2,
    )
    assert rows[0]["train/reward"] < 8 * 0.4, "noise"
    assert rows[-1]["evaluation/reward"] > 8 * 0.85


# CartPole and Pendulum


def cartpole() -> Any:
    return gymnasium.make("CartPole-v1")


@pytest.mark.parametrize("recipe", ["ppo", "grpo"])
def test_cartpole_is_learned(recipe: str, tmp_path: Path) -> None:
    rows = train(
        policy_for(cartpole(), critic=recipe == "ppo"),
        recipe,
        cartpole,
        tmp_path,
        updates=8 if recipe == "ppo" else 14,
        group_size=24,
        options={} if recipe == "ppo" else {"aggregation": "token-mean"},
        samples=10,
        learning_rate=5e-3,
        epochs=6,
        minibatches=4,
    )
    assert rows[0]["train/reward"] < 40, "a random policy lasts some twenty steps"
    assert rows[-1]["evaluation/reward"] > 150


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("seed", range(5))
def test_classic_worlds_are_solved_within_their_budgets(name: str, seed: int) -> None:
    """One seed at a time; the median over seeds is what is promised, and reported with the curves."""
    curve = run_curve(name, seed)
    assert curve["env_steps"] <= curve["step_budget"]
    assert curve["reward"] >= curve["threshold"]


# TrustSQL-v0 through a menu of skills


def test_the_order_of_skills_is_learned_in_trust_sql(shop: TextToSQLDataset, tmp_path: Path) -> None:
    tasks = [task_id for task_id in SCHEMAS if task_id.startswith("shop")]
    policy = CategoricalPolicy(SkillEncoder())

    def env() -> Any:
        return make(shop, actions="structured")

    rows = train(
        policy,
        "reinforce",
        env,
        tmp_path,
        updates=30,
        group_size=4,
        tasks=tasks,
        tasks_per_update=6,
        samples=1,
        options={"entropy_coefficient": 0.01},
        learning_rate=2e-2,
    )
    first = statistics.mean(row["train/reward"] for row in rows[:3])
    last = statistics.mean(row["train/reward"] for row in rows[-5:])
    assert first < 0.15
    assert last > first + 0.15
    policy.greedy = True
    episodes = collect_all(env, policy, [(task_id, 0) for task_id in tasks])
    assert all((episode.reward or 0.0) >= 0.2 for episode in episodes), "it explores, then confirms what runs"


# Two seats


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_echo_game_is_a_pettingzoo_game() -> None:
    parallel_api_test(EchoGame(), num_cycles=50)


def test_the_echo_game_pays_talk_that_is_understood() -> None:
    tasks = [("", seed) for seed in range(200)]
    talk = collect_all(EchoGame, Whisperer(), tasks)
    noise = collect_all(EchoGame, Stubborn(0), tasks)
    assert {episode.reward for episode in talk} == {2.0}
    assert statistics.mean(episode.reward or 0.0 for episode in noise) == pytest.approx(2 / 3, abs=0.2)


@pytest.mark.parametrize("seat_reward", ["own", "team"])
def test_two_seats_learn_a_code_with_one_policy(seat_reward: str, tmp_path: Path) -> None:
    policy = policy_for(EchoGame(), hidden=(32,), seed=1)
    rows = train(
        policy,
        "reinforce",
        EchoGame,
        tmp_path,
        updates=40,
        group_size=48,
        options={"discount": 0.0, "entropy_coefficient": 0.01},
        seat_reward=seat_reward,
        learning_rate=2e-2,
    )
    assert rows[0]["train/reward"] < 1.0, "guessing is right once in three"
    assert rows[-1]["evaluation/reward"] > 1.8
    measured = measure(EchoGame, policy, [Assignment("", 5_000_000 + index) for index in range(60)])
    assert measured["reward"] > 1.8
    assert not policy.greedy


def test_rows_of_one_seat_never_see_the_other(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    class Spy(EchoEncoder):
        def encode(self, turns: Any, observation: Any) -> Any:
            seen.append((len(turns), ",".join(sorted({turn.seat for turn in turns}))))
            return super().encode(turns, observation)

    train(CategoricalPolicy(Spy()), "grpo", EchoGame, tmp_path, updates=1, group_size=4)
    assert {seats for _, seats in seen} <= {"", "left", "right"}
    assert {count for count, _ in seen} <= {0, 1, 2}


# What every learner relies on


def test_a_policy_reports_the_log_probability_of_what_it_sampled() -> None:
    policy = policy_for(cartpole(), seed=3)
    with torch.no_grad():
        policy.network.actor[-1].weight.mul_(100)  # type: ignore[operator,union-attr]
    views = []
    for seed in range(400):
        view = SeatView("CartPole-v1", "", "agent", None, entropy=(seed,))
        view.observation = np.array([0.1, -0.2, 0.3, 0.4])
        views.append(view)
    decisions: list[Any] = list(policy.act(views))
    logps = {decision.action_token_ids[0]: decision.logps[0] for decision in decisions}
    assert set(logps) == {0, 1}
    assert sum(np.exp(value) for value in logps.values()) == pytest.approx(1.0)
    share = statistics.mean(decision.action_token_ids[0] for decision in decisions)
    assert share == pytest.approx(np.exp(logps[1]), abs=0.08)


def test_training_repeats_bit_by_bit_whatever_the_global_generator(tmp_path: Path) -> None:
    tables = []
    for attempt in range(2):
        torch.manual_seed(attempt)
        policy = policy_for(cartpole(), critic=True, seed=5)
        train(policy, "ppo", cartpole, tmp_path / str(attempt), updates=3, group_size=4, samples=2, minibatches=2)
        assert policy.version == 3
        tables.append(list(policy.module.state_dict().values()))
    assert all(torch.equal(one, other) for one, other in zip(*tables, strict=True))


def test_the_entropy_bonus_alone_makes_choices_even(tmp_path: Path) -> None:
    """Of a world that pays nothing."""

    class Free(Identity):
        def step(self, action: Any) -> Any:
            observation, _, over, cut, info = super().step(action)
            return observation, 0.0, over, cut, info

    policy = policy_for(Free(spaces.Discrete(3)), hidden=(8,))
    with torch.no_grad():
        policy.network.actor[-1].bias.copy_(torch.tensor([1.0, 0.0, -1.0]))  # type: ignore[operator,union-attr]
    train(
        policy,
        "reinforce",
        lambda: Free(spaces.Discrete(3)),
        tmp_path,
        updates=60,
        group_size=4,
        options={"entropy_coefficient": 1.0},
        learning_rate=0.1,
    )
    with torch.no_grad():
        chosen = policy.network.outputs(torch.eye(3)).softmax(-1)
    torch.testing.assert_close(chosen, torch.full((3, 3), 1 / 3), rtol=0, atol=2e-2)
