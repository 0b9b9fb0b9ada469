"""From a configuration to the objects that it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from gymnasium import spaces

from fogline.agents.collector import EnvFactory, collect_all
from fogline.agents.environments import choose_tasks, environment_name, make_environment, task_ids_of
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.pictures import IMAGE, QUESTION
from fogline.agents.policies.policy import Policy
from fogline.agents.registry import SCRIPTED, load_dataset, make_agent
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.core.spaces import UnicodeText
from fogline.trainers.config import EvaluationConfig, PolicyConfig, TrainConfig
from fogline.trainers.critics import Critic
from fogline.trainers.processes import Processes
from fogline.trainers.recipes import make_recipe
from fogline.trainers.teachers import LocalTeacher, Teacher
from fogline.trainers.trainer import Trainer

Item = TypeVar("Item")

TINY = "tiny"
TABLES = "VisualTable-v0"
FITTED_EPISODES = 64


def make_trainer(
    config: TrainConfig,
    *,
    on_update: Callable[[Mapping[str, Any]], None] | None = None,
    processes: Processes | None = None,
    texts: Callable[[], Sequence[Sequence[str]]] | None = None,
) -> Trainer:
    """Build all that a training run needs.

    Args:
        config: What is trained, where and how.
        on_update: Told each row of the log.
        processes: The processes that share the work.
        texts: What the tokenizer of a ``tiny`` model is fitted to; by default what a demonstrator reads and writes.

    Raises:
        ConfigurationError: Something does not exist, or does not fit together.
    """
    recipe = make_recipe(config.recipe, **config.options)
    needs = frozenset(recipe.needs).union(*(term.needs for term in recipe.terms))
    if config.teacher is not None and recipe.teaching is None:
        raise ConfigurationError(
            f"teacher={config.teacher!r}, but recipe {config.recipe!r} listens to none: leave it out, or choose one "
            "that distils, such as aopd."
        )
    factory = partial(make_environment, config.env, config.env_kwargs)
    env = factory()
    try:
        seeing = picture_shape(env) is not None
        teacher = None if config.teacher is None else open_teacher(config.teacher, config.policy, seeing=seeing)
        tasks = choose_tasks(task_ids_of(env), config.tasks, config.limit)
        texts = texts or partial(example_texts, config.env, config.env_kwargs, evenly(tasks), rules_of(env))
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
        teacher=teacher,
        critic=None if config.critic is None else open_critic(config.critic, config),
        evaluation_factory=evaluation,
        evaluation_tasks=evaluation_tasks(config.evaluation, evaluation, tasks),
        on_update=on_update,
        processes=processes,
    )


def open_teacher(source: str, settings: PolicyConfig, *, seeing: bool = False) -> Teacher:
    """A teacher by where it is.

    Args:
        source: A folder or hub name of a causal language model, the URL of a scoring server, or a Parquet file.
        settings: Of the student; a local model scores at its temperature, in its dtype, on its device.
        seeing: Whether observations are pictures.

    Raises:
        ConfigurationError: There is no such teacher.
        InfrastructureError: The server does not answer.
    """
    if source.startswith(("http://", "https://")):
        from fogline.trainers.remote_teachers import RemoteTeacher

        return RemoteTeacher(source)
    if source.endswith(".parquet"):
        from fogline.trainers.cached_teachers import CachedTeacher

        return CachedTeacher(source)
    return LocalTeacher(
        _kind(seeing)(
            source,
            temperature=settings.temperature,
            dtype=settings.dtype,
            device=settings.device,
            max_context=settings.max_context,
            name=source,
        )
    )


def open_critic(source: str, config: TrainConfig) -> Critic:
    """A critic of steps by where it is.

    Args:
        source: ``oracle``, ``oracle:CHANCE``, a folder, or ``URL#MODEL``.
        config: Of the run; an oracle knows its environment's data set.

    Raises:
        ConfigurationError: There is no such critic, or none for this environment.
    """
    if source.startswith(("http://", "https://")):
        from fogline.core.chat import OpenAIChatModel
        from fogline.trainers.chat_critics import ChatCritic

        url, _, model = source.partition("#")
        if not model:
            raise ConfigurationError(f"critic={source!r} names no model: expected URL#MODEL, as the server knows it.")
        return ChatCritic(OpenAIChatModel(model, base_url=url))
    name, _, chance = source.partition(":")
    if name != "oracle":
        from fogline.trainers.learned_critics import LearnedCritic

        return LearnedCritic.load(source)
    from fogline.trainers.table_critics import OracleCritic

    if environment_name(config.env) != TABLES:
        raise ConfigurationError(f"critic={source!r}: only {TABLES} has an oracle of steps, not {config.env!r}.")
    try:
        flip = float(chance or 0)
    except ValueError:
        raise ConfigurationError(f"critic={source!r}: expected oracle, or oracle:CHANCE such as oracle:0.2.") from None
    shared = {name: config.env_kwargs[name] for name in ("size", "find_rule", "form") if name in config.env_kwargs}
    return OracleCritic(load_dataset(TABLES, config.env_kwargs), flip=flip, seed=config.seed, **shared)


def make_policy(
    settings: PolicyConfig,
    env: Any,
    *,
    critic: bool = False,
    seed: int = 0,
    texts: Callable[[], Sequence[Sequence[str]]] | None = None,
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
    if not is_text(env):
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
    return language_policy(settings, critic=critic, seed=seed, texts=texts, picture=picture_shape(env))


def language_policy(
    settings: PolicyConfig,
    *,
    critic: bool = False,
    seed: int = 0,
    texts: Callable[[], Sequence[Sequence[str]]] | None = None,
    picture: tuple[int, int] | None = None,
) -> CausalLMPolicy:
    """Build the language model that the settings describe.

    Args:
        settings: Who is trained.
        critic: As :func:`make_policy`.
        seed: As there.
        texts: As there.
        picture: Height and width of the pictures of observations, see :func:`picture_shape`; None for text alone.

    Raises:
        ConfigurationError: For ``tiny`` without texts, or a server with pictures.
    """
    model: Any = settings.model
    tokenizer = None
    if model == TINY:
        if texts is None:
            raise ConfigurationError(f"model={TINY!r} needs texts to fit its tokenizer to: pass texts=.")
        model, tokenizer = _tiny(settings, texts(), seed, picture)
    kind: Callable[..., CausalLMPolicy] = _kind(picture is not None)
    if settings.server is not None:
        if picture is not None:
            raise ConfigurationError(f"server={settings.server!r} reads no pictures: leave server out.")
        from fogline.trainers.served_policy import ServedPolicy

        kind = partial(ServedPolicy, server=settings.server)
    return kind(
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


def _kind(seeing: bool) -> type[CausalLMPolicy]:
    if not seeing:
        return CausalLMPolicy
    from fogline.agents.policies.vision import VisionLMPolicy

    return VisionLMPolicy


def _tiny(
    settings: PolicyConfig, texts: Sequence[Sequence[str]], seed: int, picture: tuple[int, int] | None
) -> tuple[Any, Any]:
    """A small model and its tokenizer."""
    from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm

    shape: dict[str, Any] = {
        "layers": settings.layers,
        "width": settings.width,
        "heads": settings.heads,
        "context": settings.max_context or 1024,
        "seed": seed,
        "dtype": getattr(torch, settings.dtype),
    }
    if picture is None:
        tokenizer = fit_tokenizer(texts, vocabulary_size=settings.vocabulary_size)
        return tiny_causal_lm(tokenizer, **shape), tokenizer
    from fogline.agents.policies.tiny_vision import seeing_tokenizer, tiny_vision_lm

    # The image token is one of the vocabulary.
    tokenizer = seeing_tokenizer(fit_tokenizer(texts, vocabulary_size=settings.vocabulary_size - 1))
    edge = -(-max(picture) // settings.patch) * settings.patch
    return tiny_vision_lm(tokenizer, image_size=edge, patch=settings.patch, **shape), tokenizer


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


def example_texts(
    env: str, env_kwargs: Mapping[str, Any], tasks: Sequence[str], rules: Sequence[str] = ()
) -> list[list[str]]:
    """What an environment's oracle (else a random agent) reads and writes, to fit a tokenizer to; no pictures."""
    from fogline.agents.policies.tiny import episode_texts

    known = SCRIPTED.get(environment_name(env), {})
    agent = "oracle" if "oracle" in known else "random"
    return episode_texts(demonstrations(env, env_kwargs, agent, tasks), rules)


def evenly(items: Sequence[Item]) -> Sequence[Item]:
    """As many as a tokenizer is fitted to, from all over the sequence: neighbours are often of one database."""
    return items[:: -(-len(items) // FITTED_EPISODES) or 1]


def rules_of(env: Any) -> tuple[str, ...]:
    """The distinct system prompts of an environment; empty where it has none."""
    prompt = getattr(getattr(env, "unwrapped", env), "system_prompt", "")
    texts = prompt.values() if isinstance(prompt, Mapping) else (prompt,)
    return tuple(dict.fromkeys(text for text in texts if text))


def evaluation_tasks(settings: EvaluationConfig, factory: EnvFactory, tasks: Sequence[str]) -> Sequence[str]:
    """Tasks that measure: those of training, unless the settings say otherwise."""
    if not settings.env_kwargs and not settings.tasks and settings.limit is None:
        return tasks
    env = factory()
    try:
        return choose_tasks(task_ids_of(env), settings.tasks, settings.limit)
    finally:
        env.close()


def is_text(env: Any) -> bool:
    """Whether actions are text."""
    return isinstance(_space(env, "action_space"), UnicodeText)


def picture_shape(env: Any) -> tuple[int, int] | None:
    """Height and width of the pictures that an environment shows with its questions; None where it shows none."""
    space = _space(env, "observation_space")
    shown = space.spaces if isinstance(space, spaces.Dict) else {}
    image, question = shown.get(IMAGE), shown.get(QUESTION)
    if not isinstance(image, spaces.Box) or not isinstance(question, UnicodeText | spaces.Text):
        return None
    return int(image.shape[0]), int(image.shape[1])


def _space(env: Any, name: str) -> Any:
    """A space of the environment, of its first seat where there are several."""
    space = getattr(env, name)
    return space(env.possible_agents[0]) if hasattr(env, "possible_agents") else space


def _name(env: Any) -> str:
    unwrapped = getattr(env, "unwrapped", env)
    return str(getattr(unwrapped, "metadata", {}).get("name", type(unwrapped).__name__))
