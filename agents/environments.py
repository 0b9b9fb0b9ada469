"""Environments by id, with errors that say what to change."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

import fogline.envs
from fogline.core.errors import ConfigurationError, suggestion

SEATED: Mapping[str, str] = {"SiloBench-v0": "fogline.envs.silo_bench:parallel_env"}
"""Seat-by-seat forms of environments that Gymnasium can only show under central control: agents play these."""
NO_TASK = ""
"""Task of environments that have none, such as Gymnasium's own."""


def make_environment(env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> Any:
    """Build an environment; picklable with ``functools.partial``, for other processes.

    Args:
        env_id: A registered id, ``module:id`` for one that importing the module registers, or ``module:function``
            for a function that makes one (a PettingZoo Parallel environment, which has no registry).
        env_kwargs: Keywords of its constructor.

    Raises:
        ConfigurationError: For an unknown id, or a keyword that it does not take.
    """
    keywords = dict(env_kwargs or {})
    env_id = SEATED.get(environment_name(env_id), env_id)
    _check_keywords(env_id, keywords)
    function = _function(env_id)
    return gymnasium.make(env_id, **keywords) if function is None else function(**keywords)


def environment_name(env_id: str) -> str:
    """The id alone, as episodes carry it: ``"fogline.envs:TrustSQL-v0"`` is ``"TrustSQL-v0"``."""
    return env_id.rpartition(":")[2]


def default_keyword(env_id: str, name: str) -> Any:
    """Default of a keyword of the environment's constructor; None where it has no such keyword."""
    parameter = _constructor(env_id).parameters.get(name)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def task_ids_of(env: Any) -> tuple[str, ...]:
    """Every task of an environment; the one nameless task where it has none."""
    unwrapped = getattr(env, "unwrapped", env)
    return tuple(getattr(unwrapped, "task_ids", (NO_TASK,)))


def choose_tasks(known: Sequence[str], wanted: Sequence[str] = (), limit: int | None = None) -> tuple[str, ...]:
    """Choose tasks, in the environment's order.

    Args:
        known: The environment's tasks.
        wanted: Keep only these; all where empty.
        limit: Keep only so many, the first ones.

    Raises:
        ConfigurationError: For a task that the environment does not have.
    """
    legal = set(known)
    for task_id in wanted:
        if task_id not in legal:
            raise ConfigurationError(
                f"task {task_id!r} is not one of the environment's {len(known)}, from {known[0]!r} to "
                f"{known[-1]!r}.{suggestion(task_id, known)}"
            )
    chosen = [task_id for task_id in known if not wanted or task_id in set(wanted)]
    return tuple(chosen[:limit])


def _check_keywords(env_id: str, keywords: Mapping[str, Any]) -> None:
    parameters = _constructor(env_id).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [name for name in parameters if name != "render_mode"]
    for name in keywords:
        if name not in parameters:
            raise ConfigurationError(
                f"{env_id} has no keyword {name!r}: expected {', '.join(known)}.{suggestion(name, known)}"
            )


def _import(module: str, env_id: str) -> None:
    """Import the module before the colon, which registers the id after it."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        # What a module that is there lacks itself is another matter, which its own error explains.
        if error.name is None or not module.startswith(error.name):
            raise
        raise ConfigurationError(
            f"environment {env_id!r}: there is no module {module!r}. Expected 'module:id', importable from here."
        ) from error


def _function(env_id: str) -> Callable[..., Any] | None:
    """What ``module:function`` names, where it is no registered id."""
    module, _, name = env_id.rpartition(":")
    if not module:
        return None
    _import(module, env_id)
    function = getattr(sys.modules[module], name, None)
    return function if name not in gymnasium.registry and callable(function) else None


def _constructor(env_id: str) -> inspect.Signature:
    function = _function(env_id)
    if function is not None:
        return inspect.signature(function)
    name = environment_name(env_id)
    spec = gymnasium.registry.get(name)
    if spec is None or spec.entry_point is None:
        ours = ", ".join(fogline.envs.ENV_IDS)
        raise ConfigurationError(
            f"environment {env_id!r} is not registered: expected one of {ours}, another id that Gymnasium knows, "
            f"'module:id' or 'module:function'.{suggestion(name, gymnasium.registry)}"
        )
    creator = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    return inspect.signature(creator)
