"""From a configuration to the objects that it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from fogline.agents.collector import EnvFactory, collect_all
from fogline.agents.environments import choose_tasks, environment_name, make_environment, task_ids_of
from fogline.agents.policies.policy import Policy
from fogline.agents.registry import SCRIPTED, make_agent
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.core.spaces import UnicodeText
from fogline.trainers.config import PolicyConfig, TrainConfig
from fogline.trainers.processes import Processes
from fogline.trainers.recipes import make_recipe
from fogline.trainers.trainer import Trainer

TINY = "tiny"
_FITTED_EPISODES = 64


def make_trainer(
    config: TrainConfig,
    *,
    on_update: Callable[[Mapping[str, Any]], None] | None = None,
    processes: Processes | None = None,
) -> Trainer:
    """Build all that a training run needs.

    Raises:
        ConfigurationError: Something does not exist, or does not fit together.
    """
    recipe = make_recipe(config.recipe, **config.options)
    needs = frozenset(recipe.needs).union(*(term.needs for term in recipe.terms))
    factory = partial(make_environment, config.env, config.env_kwargs)
    env = factory()
    try:
        tasks = choose_tasks(task_ids_of(env), config.tasks, config.limit)
        texts = partial(example_texts, config.env, config.env_kwargs, tasks[:_FITTED_EPISODES])
        policy = make_policy(config.policy, env, critic="values" in needs, seed=config.seed, texts=texts)
    finally:
        env.close()
    evaluation = partial(make_environment, config.env, {**config.env_kwargs, **config.evaluation.env_kwargs})
    return Trainer(
        policy,
        recipe,
        config,
        factory,
        tasks,
        reference=policy.reference() if "reference" in needs else None,
        evaluation_factory=evaluation,
        evaluation_tasks=_evaluation_tasks(config, evaluation, tasks),
        on_update=on_update,
        processes=processes,
    )


def make_policy(
    settings: PolicyConfig,
    env: Any,
    *,
    critic: bool = False,
    seed: int = 0,
    texts: Callable[[], Sequence[str]] | None = None,
) -> Policy:
    """Build the policy that an environment needs: a language model where actions are text, else one for its spaces.

    Args:
        settings: Who is trained.
        env: The environment.
        critic: Whether it has a critic.
        seed: Decides the first weights.
        texts: What the tokenizer of a ``tiny`` model is fitted to.

    Raises:
        ConfigurationError: For a text environment without a model, or a vector environment with one.
    """
    if not _is_text(env):
        if settings.model is not None:
            raise ConfigurationError(
                f"model={settings.model!r}, but the actions of {_name(env)} are no text: leave model out."
            )
        from fogline.agents.policies.vector import policy_for

        return policy_for(
            env,
            hidden=settings.hidden,
            critic=critic,
            normalise=settings.normalise_observations,
            dtype=getattr(torch, settings.dtype),
            seed=seed,
        )
    if settings.model is None:
        raise ConfigurationError(
            f"{_name(env)} is played in text and needs model=: a folder or hub name of a causal language model, or "
            f"{TINY!r} for a small one made here."
        )
    return language_policy(settings, critic=critic, seed=seed, texts=texts)


def language_policy(
    settings: PolicyConfig,
    *,
    critic: bool = False,
    seed: int = 0,
    texts: Callable[[], Sequence[str]] | None = None,
) -> Policy:
    """Build the language model that the settings describe."""
    from fogline.agents.policies.language import CausalLMPolicy

    model: Any = settings.model
    tokenizer = None
    if model == TINY:
        from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm

        if texts is None:
            raise ConfigurationError(f"model={TINY!r} needs texts to fit its tokenizer to: pass texts=.")
        tokenizer = fit_tokenizer(texts(), vocabulary_size=settings.vocabulary_size)
        model = tiny_causal_lm(
            tokenizer,
            layers=settings.layers,
            width=settings.width,
            heads=settings.heads,
            context=settings.max_context or 1024,
            seed=seed,
            dtype=getattr(torch, settings.dtype),
        )
    return CausalLMPolicy(
        model,
        tokenizer,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        max_context=settings.max_context,
        stop=settings.stop,
        dtype=settings.dtype,
        device=settings.device,
        lora=None if settings.lora_rank is None else {"r": settings.lora_rank, "target_modules": "all-linear"},
        critic=critic,
    )


def demonstrations(
    env: str,
    env_kwargs: Mapping[str, Any],
    agent: str,
    tasks: Sequence[str],
    *,
    samples: int = 1,
    seed: int = 0,
    agent_options: Mapping[str, Any] | None = None,
) -> list[Episode]:
    """Let an agent play every task, and return its episodes."""
    player = make_agent(agent, environment_name(env), env_kwargs=env_kwargs, **(agent_options or {}))
    wanted = [Assignment(task, seed + sample) for sample in range(samples) for task in tasks]
    return collect_all(partial(make_environment, env, env_kwargs), player, wanted)


def example_texts(env: str, env_kwargs: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    """What an environment's oracle (else a random agent) reads and writes, to fit a tokenizer to."""
    from fogline.agents.policies.tiny import episode_texts

    known = SCRIPTED.get(environment_name(env), {})
    agent = "oracle" if "oracle" in known else "random"
    return list(episode_texts(demonstrations(env, env_kwargs, agent, tasks)))


def _evaluation_tasks(config: TrainConfig, factory: EnvFactory, tasks: Sequence[str]) -> Sequence[str]:
    settings = config.evaluation
    if not settings.env_kwargs and not settings.tasks and settings.limit is None:
        return tasks
    env = factory()
    try:
        return choose_tasks(task_ids_of(env), settings.tasks, settings.limit)
    finally:
        env.close()


def _is_text(env: Any) -> bool:
    if hasattr(env, "possible_agents"):
        return isinstance(env.action_space(env.possible_agents[0]), UnicodeText)
    return isinstance(env.action_space, UnicodeText)


def _name(env: Any) -> str:
    unwrapped = getattr(env, "unwrapped", env)
    return str(getattr(unwrapped, "metadata", {}).get("name", type(unwrapped).__name__))
