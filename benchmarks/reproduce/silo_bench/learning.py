"""Self-play in Silo-Bench: does one policy that all seats share learn whom to tell, when to wait and when to submit?

The only reward is the environment's own, 1 for each right answer; a row is credited with what all seats were paid, or
telling others would never pay. The task is range count: a seat that lacks a shard misses some twelve of its thirty
numbers, so that silent and premature answers are almost never right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from fogline.agents.collector import EnvFactory
from fogline.agents.environments import make_environment
from fogline.agents.policies.categorical import CategoricalPolicy
from fogline.agents.policies.silo_bench import ExchangeEncoder
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, Progress, run_cells
from fogline.benchmarks.reproduce.results import Arm, Findings, arms_of, curve_of, failures_of
from fogline.core.errors import check_choice
from fogline.trainers.config import EvaluationConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.measuring import measure
from fogline.trainers.recipes import make_recipe
from fogline.trainers.trainer import Trainer

ENVIRONMENT, TASK = "SiloBench-v0", "I-05"
THRESHOLD = 0.9
TRAINING, ON_THE_WAY, FINAL = 0, 1, 2
"""Suites of instances; no two share one."""
MEASURED, FINAL_EPISODES = 50, 200

SEEDS = (10, 11, 12, 13, 14)
"""Settings were found on seeds 0 to 2; these have seen none of that."""
QUICK_SEEDS, QUICK_TEAMS = (10,), ("2 seats",)


@dataclass(frozen=True)
class Team:
    """A team and what it may take.

    Attributes:
        n_agents: Seats.
        max_rounds: Rounds of a game.
        updates: Batches to learn from.
        tasks_per_update: Instances in a batch.
        step_budget: Most turns, over all seats, that training can take.
    """

    n_agents: int
    max_rounds: int
    updates: int
    tasks_per_update: int
    step_budget: int


TEAMS: Mapping[str, Team] = {
    "2 seats": Team(n_agents=2, max_rounds=5, updates=15, tasks_per_update=8, step_budget=10_000),
    "3 seats": Team(n_agents=3, max_rounds=6, updates=25, tasks_per_update=16, step_budget=60_000),
    "5 seats": Team(n_agents=5, max_rounds=8, updates=30, tasks_per_update=32, step_budget=310_000),
}
RECIPE, OPTIONS = "reinforce++", {"entropy_coefficient": 0.02}
GROUP_SIZE = 8
LEARNER = LearnerConfig(learning_rate=3e-3, epochs=4, minibatches=2, max_gradient_norm=0.5)


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Train every team from every seed, and judge the median over seeds against the threshold."""
    names = QUICK_TEAMS if config.quick else tuple(TEAMS)
    seeds = config.seeds or (QUICK_SEEDS if config.quick else SEEDS)
    plan = _plan(names, seeds)
    cells = run_cells(
        [Cell(name, seed) for name in names for seed in seeds],
        train,
        config.cells_folder,
        config=_plan(tuple(TEAMS), ()),
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    arms = arms_of(cells)
    return Findings(
        system="silo-bench, learning",
        claim=(
            f"One policy shared by all seats goes from random to a success rate S above {THRESHOLD:.0%} on instances "
            f"of {TASK} that it was not trained on, by {RECIPE}: the median over seeds, each team within its budget"
        ),
        paper={"name": "none: thresholds of our own, on a task of Silo-Bench (arXiv 2603.01045)"},
        config={"quick": config.quick, "seeds": list(seeds)},
        plan=plan,
        arms=arms,
        comparisons=(),
        curves=tuple(curve_of(cells, arm.name, "S", "updates") for arm in arms),
        failures=failures_of(cells),
        notes=tuple(_judged(arm) for arm in arms),
    )


def train(cell: Cell) -> Mapping[str, Any]:
    """One team from one seed."""
    return run_self_play(cell.arm, cell.seed)


def run_self_play(
    name: str,
    seed: int,
    *,
    every: int = 5,
    final_episodes: int = FINAL_EPISODES,
    on_update: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train one team from one seed and measure it.

    Args:
        name: One of :data:`TEAMS`.
        seed: Of the run.
        every: Updates between measurements on the way.
        final_episodes: Fresh instances of the last measurement.
        on_update: Told each row of the log.

    Returns:
        ``metrics``: the greedy ``S`` on fresh instances that nothing was chosen by, the share of games in which all
        seats were ``right``, ``S untrained`` of the first weights, which sample nearly uniformly, ``rounds``,
        ``messages`` and ``redundancy`` (messages / fewest possible) of the trained policy, ``env_steps`` and
        ``wall_s`` of training; ``curves``: the greedy ``S`` on the way.

    Raises:
        ConfigurationError: For an unknown team.
    """
    check_choice("team", name, TEAMS)
    team = TEAMS[name]
    policy = CategoricalPolicy(ExchangeEncoder(team.n_agents, team.max_rounds), seed=seed)
    fresh = [Assignment(f"{TASK}/{number}", number) for number in range(final_episodes)]
    untrained = measure(environments(team, FINAL), policy, fresh, greedy=False)
    rows = _train(team, policy, seed, every, on_update)
    final = measure(environments(team, FINAL), policy, fresh)
    return {
        "metrics": {
            "S": final["success_rate"],
            "right": final["success"],
            "S untrained": untrained["success_rate"],
            "rounds": final["rounds"],
            "messages": final["messages"],
            "redundancy": final["redundancy"],
            "env_steps": rows[-1]["env_steps"],
            "wall_s": rows[-1]["wall_s"],
        },
        "curves": {
            "S": [[row["update"], row["evaluation/success_rate"]] for row in rows if "evaluation/success_rate" in row]
        },
    }


def environments(team: Team, suite: int) -> EnvFactory:
    """Games of a team on the instances of a suite; what a seat is paid is 1 for its right answer."""
    return partial(
        make_environment,
        ENVIRONMENT,
        {
            "task": TASK,
            "n_agents": team.n_agents,
            "max_rounds": team.max_rounds,
            "suite_seed": suite,
            "instances": team.updates * team.tasks_per_update if suite == TRAINING else FINAL_EPISODES,
        },
    )


def _train(
    team: Team,
    policy: CategoricalPolicy,
    seed: int,
    every: int,
    on_update: Callable[[Mapping[str, Any]], None] | None,
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            recipe=RECIPE,
            env=ENVIRONMENT,
            options=dict(OPTIONS),
            updates=team.updates,
            seed=seed,
            rollout=RolloutConfig(tasks_per_update=team.tasks_per_update, group_size=GROUP_SIZE, seat_reward="team"),
            learner=LEARNER,
            evaluation=EvaluationConfig(every=every),
            out=folder,
        )
        trainer = Trainer(
            policy,
            make_recipe(RECIPE, **OPTIONS),
            config,
            environments(team, TRAINING),
            # Every instance is played in one update only.
            [f"{TASK}/{number}" for number in range(team.updates * team.tasks_per_update)],
            evaluation_factory=environments(team, ON_THE_WAY),
            evaluation_tasks=[f"{TASK}/{number}" for number in range(MEASURED)],
            on_update=on_update,
        )
        return trainer.train()


def _plan(names: tuple[str, ...], seeds: tuple[int, ...]) -> dict[str, Any]:
    return {
        "teams": {name: vars(TEAMS[name]) for name in names},
        "seeds": list(seeds),
        "recipe": RECIPE,
        "options": dict(OPTIONS),
        "group_size": GROUP_SIZE,
        "learner": LEARNER.model_dump(mode="json"),
        "reward": "1 for each right answer; a row earns what all seats were paid (seat_reward team)",
        "threshold": THRESHOLD,
        "final_episodes": FINAL_EPISODES,
        "margins": "none: a median reaches the threshold or does not",
        "tuning": (
            "settings were chosen on seeds 0 to 2, by hand; none of the seeds above was looked at. ppo was tried "
            "first, on seed 0 of 3 seats: it stayed at two right of three, and with an entropy bonus of 0.05 at never "
            "submitting (its critic stands in for what would follow where the last round cuts a game)"
        ),
    }


def _judged(arm: Arm) -> str:
    budget = TEAMS[arm.name].step_budget
    middle, before = (median(arm.known(metric).values()) for metric in ("S", "S untrained"))
    steps = max(arm.known("env_steps").values())
    held = middle > THRESHOLD and steps <= budget
    return (
        f"{arm.name}: median S {middle:.1%} over {len(arm.seeds)} seeds ({FINAL_EPISODES} greedy games on fresh "
        f"instances each), from {before:.1%} untrained; at most {steps:,.0f} turns; threshold {THRESHOLD:.0%} within "
        f"{budget:,}: {'reached' if held else 'not reached'}."
    )
