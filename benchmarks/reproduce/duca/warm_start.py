"""The warm start that every arm shares: the scripted seller's calls, imitated."""

from __future__ import annotations

from functools import lru_cache, partial

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment, task_ids_of
from fogline.agents.policies.categorical import CategoricalPolicy
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.sales_dialogue import ScriptedSeller
from fogline.benchmarks.reproduce.duca.plan import ENVIRONMENT, Plan
from fogline.core.episode import Episode
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune, transcribe

_SEED = 40_000_000


def imitate(policy: CategoricalPolicy, plan: Plan, seed: int) -> None:
    """Teach a policy the scripted seller's choices, as far as the plan goes."""
    batch = transcribe(policy, demonstrations(plan))
    settings = LearnerConfig(learning_rate=plan.imitation_rate)
    fine_tune(policy, batch, learner=settings, epochs=plan.imitation_epochs, rows=64, seed=seed)


@lru_cache(maxsize=2)
def demonstrations(plan: Plan) -> tuple[Episode, ...]:
    """The scripted seller's calls with every customer of the training split."""
    factory = partial(make_environment, ENVIRONMENT, plan.environment("train"))
    env = factory()
    wanted = [Assignment(task, _SEED + sample) for sample in range(plan.imitation_samples) for task in task_ids_of(env)]
    env.close()
    return tuple(collect_all(factory, ScriptedSeller(), wanted, concurrency=64))
