"""One small world of every kind that a trainer must run on, each with a policy that fits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

from fogline.agents.collector import EnvFactory
from fogline.agents.environments import make_environment, task_ids_of
from fogline.agents.policies.categorical import CategoricalPolicy
from fogline.agents.policies.policy import Policy
from fogline.agents.policies.silo_bench import ExchangeEncoder
from fogline.agents.policies.vector import policy_for
from fogline.trainers.config import PolicyConfig
from fogline.trainers.setup import example_texts, make_policy


class World(NamedTuple):
    """An environment and who plays it."""

    env: str
    env_kwargs: Mapping[str, Any]
    make_policy: Callable[[Any, bool], Policy]

    @property
    def factory(self) -> EnvFactory:
        return partial(make_environment, self.env, dict(self.env_kwargs))

    def policy(self, critic: bool = False) -> Policy:
        env = self.factory()
        try:
            return self.make_policy(env, critic)
        finally:
            env.close()

    def tasks(self, count: int) -> tuple[str, ...]:
        env = self.factory()
        try:
            return tuple(task_ids_of(env)[:count])
        finally:
            env.close()


def _vector(env: Any, critic: bool) -> Policy:
    return policy_for(env, hidden=(8,), critic=critic)


def _seats(env: Any, critic: bool) -> Policy:
    return CategoricalPolicy(ExchangeEncoder(2, 4), critic=critic)


@lru_cache(maxsize=1)
def _words() -> tuple[tuple[str, ...], ...]:
    env = make_environment("TrustSQL-v0", _POCKET)
    try:
        texts = example_texts("TrustSQL-v0", _POCKET, env.unwrapped.task_ids[:1])
    finally:
        env.close()
    return tuple(map(tuple, texts))


def _writer(env: Any, critic: bool) -> Policy:
    settings = PolicyConfig(model="tiny", layers=2, width=16, vocabulary_size=300, max_new_tokens=4, max_context=2048)
    return make_policy(settings, env, critic=critic, texts=_words)


_POCKET: dict[str, Any] = {"dataset": "pocket", "max_turns": 3}
WORLDS: Mapping[str, World] = {
    "cart pole": World("CartPole-v1", {}, _vector),
    "sales, acts": World(
        "SalesDialogue-v0", {"actions": "acts", "session": "graded", "scenarios": 2, "max_turns": 6}, _vector
    ),
    "SQL, text": World("TrustSQL-v0", _POCKET, _writer),
    "silo, seats": World(
        "SiloBench-v0",
        {"task": "I-05", "n_agents": 2, "max_rounds": 4, "message_cost": 0.25, "token_cost": 0.01},
        _seats,
    ),
}
