"""One arm in one market: learned, searched or ranked in a simulator, tested in the true market."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fogline.agents.agent import Agent
from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment, task_ids_of
from fogline.agents.policies.policy import Policy
from fogline.agents.policies.vector import policy_for
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.merchant_strategy import Constant, Ranked, Usual
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pghs_strategy.plan import ARMS, ENVIRONMENT, GAP, PROFIT, Arm, Plan
from fogline.benchmarks.reproduce.pghs_strategy.searching import best_constant
from fogline.core.episode import Episode
from fogline.envs.merchant_strategy.env import trading_of
from fogline.envs.merchant_strategy.shop import of_grid
from fogline.envs.merchant_strategy.sources import customers
from fogline.simulators.merchants.responses import Response
from fogline.simulators.merchants.trading import ACTIONS, Trading
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.measuring import episode_means
from fogline.trainers.recipes import make_recipe
from fogline.trainers.trainer import Trainer

Floats = NDArray[np.float64]

TEST_SEED = 30_000_000
_TOLD = ("budget_spent", "orders", "rating")


def run_arm(plan: Plan, cell: Cell) -> Mapping[str, Any]:
    """Run one arm in one market.

    Args:
        plan: Budgets.
        cell: Its arm, and the market's seed.

    Returns:
        Metrics, and for a learner its curve.
    """
    arm = ARMS[cell.arm]
    agent: Agent
    curves: dict[str, Any] = {}
    if arm.kind == "ppo":
        agent, curves = _learned(plan, arm, cell.seed)
    else:
        agent = _fixed(plan, arm, cell.seed)
    told = _played(plan, agent, cell.seed, simulator="world")
    metrics = {PROFIT: told[0]["usual_profits"], **{name: told[0][name] for name in _TOLD}}
    actions = np.concatenate([_actions(episode) for episode in told[1]])
    metrics |= {f"mean {name}": float(value) for name, value in zip(ACTIONS, actions.mean(axis=0), strict=True)}
    if arm.kind != "usual":
        promised = _played(plan, agent, cell.seed, simulator=arm.simulator)[0]["usual_profits"]
        metrics[GAP] = promised - metrics[PROFIT]
        metrics |= _overstated(plan, arm, cell.seed, told[1])
    return {"metrics": metrics, "curves": curves}


def _learned(plan: Plan, arm: Arm, seed: int) -> tuple[Policy, dict[str, Any]]:
    """PPO in a simulator, and how its profit there rose."""
    options = plan.environment(seed, simulator=arm.simulator, pessimism=arm.pessimism)
    factory = partial(make_environment, ENVIRONMENT, options)
    env = factory()
    policy, tasks = policy_for(env, critic=True, normalise=True, seed=seed), task_ids_of(env)
    env.close()
    settings = {"discount": 1.0, "entropy_coefficient": plan.entropy}
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            recipe="ppo",
            env=ENVIRONMENT,
            options=settings,
            updates=plan.updates,
            seed=seed,
            rollout=RolloutConfig(tasks_per_update=plan.episodes, group_size=1),
            learner=LearnerConfig(
                learning_rate=plan.learning_rate,
                schedule="linear",
                epochs=plan.epochs,
                minibatches=plan.minibatches,
                max_gradient_norm=0.5,
            ),
            out=folder,
            resume=False,
        )
        trainer = Trainer(policy, make_recipe("ppo", **settings), config, factory, tasks)
        rows = [trainer.step() for _ in range(plan.updates)]
        trainer.close()
    every = max(plan.updates // 40, 1)
    points = [[row["env_steps"], row["train/usual_profits"]] for row in rows[every - 1 :: every]]
    policy.greedy = True
    return policy, {"promised": points}


def _fixed(plan: Plan, arm: Arm, seed: int) -> Agent:
    """An owner who does not learn."""
    if arm.kind == "usual":
        return Usual()
    options = plan.environment(seed)
    market = {"world": options["world"], "world_seed": seed}
    if arm.kind == "ranked":
        return Ranked(arm.simulator, **market)
    best = best_constant(_rules(plan, arm, seed), plan.search_samples, plan.finalists, seed)
    return Constant(*best.tolist())


def _rules(plan: Plan, arm: Arm, seed: int) -> Trading:
    found = customers(arm.simulator, plan.environment(seed)["world"], seed, None)
    return trading_of(found, None, horizon=12, budget=0.5, paired=False)


def _played(plan: Plan, agent: Agent, seed: int, simulator: str) -> tuple[dict[str, float], Sequence[Episode]]:
    """Means and episodes, every merchant as often, every episode with a seed of its own."""
    factory = partial(make_environment, ENVIRONMENT, plan.environment(seed, simulator=simulator))
    env = factory()
    tasks = task_ids_of(env)
    env.close()
    wanted = [
        Assignment(task, TEST_SEED + sample * len(tasks) + place)
        for sample in range(plan.test_samples)
        for place, task in enumerate(tasks)
    ]
    episodes = collect_all(factory, agent, wanted, concurrency=256)
    return episode_means(episodes), episodes


def _actions(episode: Episode) -> Floats:
    """Actions of an episode within [0, 1]; float64 [periods, 5]."""
    return of_grid(np.array([turn.action for turn in episode.turns]))


def _overstated(plan: Plan, arm: Arm, seed: int, episodes: Sequence[Episode]) -> dict[str, float]:
    """Where the simulator promises more than the market keeps, at the pages that were shown; points of order rate.

    ``level`` at the usual page; ``change`` from it to the page that was shown; and the change of each lever alone.
    """
    true, believed = _rules(plan, Arm("usual", "world"), seed), _rules(plan, arm, seed)
    places = {name: place for place, name in enumerate(true.profiles.ids)}
    merchant = np.concatenate([np.full(len(episode.turns), places[episode.task_id]) for episode in episodes])
    shown = np.concatenate([_actions(episode) for episode in episodes])
    usual = true.usual_action[merchant]
    pages = {"change": shown}
    for place, name in enumerate(ACTIONS):
        pages[name] = usual.copy()
        pages[name][:, place] = shown[:, place]
    base = _excess(true, believed, merchant, usual)
    found = {"overstated, level": float(base.mean())}
    for name, actions in pages.items():
        # Advertising brings people, and does not change their minds.
        if name != "advertising":
            found[f"overstated, {name}"] = float((_excess(true, believed, merchant, actions) - base).mean())
    return found


def _excess(true: Trading, believed: Trading, merchant: NDArray[np.int64], actions: Floats) -> Floats:
    """Order rate as believed less as true, in points; float64 [B]."""
    levers = true.levers(true.open(merchant, np.random.default_rng(0)), actions)

    def rate(response: Response) -> Floats:
        return response.rate(merchant, levers)

    return 100 * (rate(believed.response) - rate(true.response))
