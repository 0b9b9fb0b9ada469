"""Databases and environments of the reproduction."""

from __future__ import annotations

from functools import partial
from typing import Any

from fogline.agents.collector import EnvFactory
from fogline.agents.policies.policy import Policy
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce.trust_sql.plan import FORMS, Plan
from fogline.envs.trust_sql.env import TrustSQLEnv
from fogline.simulators.databases.pocket import PocketConfig, pocket_dataset
from fogline.simulators.databases.pocket.words import Part
from fogline.simulators.databases.records import TextToSQLDataset
from fogline.simulators.databases.shelf import Shelf
from fogline.trainers.measuring import measure

EVALUATION_SEED = 20_000_000
OF_ANSWERS = ("ex", "hallucinated", "ungrounded", "schema_exact")
OF_EPISODES = ("reward", "turns", "malformed", "truncated", "agent_error")


def databases(part: Part, count: int, questions: int) -> TextToSQLDataset:
    """Small databases of a part; parts share no word."""
    shape: dict[str, Any] = {"tables": (2, 3), "columns": (3, 4), "rows": (6, 10)}
    return pocket_dataset(PocketConfig(part=part, databases=count, questions_per_database=questions, **shape))


def environments(plan: Plan, form: str, dataset: TextToSQLDataset) -> EnvFactory:
    """Environments of a form that share one shelf."""
    return partial(TrustSQLEnv, dataset, shelf=Shelf(), max_turns=plan.max_turns, **FORMS[form])


def measured(policy: Policy, factory: EnvFactory, dataset: TextToSQLDataset) -> dict[str, float | None]:
    """Greedy means over every task. An episode that ran out of context has no answer, so it is no right one."""
    wanted = [Assignment(task, EVALUATION_SEED) for task in dataset.tasks]
    means = measure(factory, policy, wanted)
    ended = 1.0 - means.get("agent_error", 0.0)
    of_answers = {name: ended * means[name] if name in means else None for name in OF_ANSWERS}
    return of_answers | {name: means.get(name) for name in OF_EPISODES}
