"""Stable-Baselines3: the vector environments as its ``VecEnv``, for its PPO, A2C, DQN, SAC and the rest.

    >>> from stable_baselines3 import PPO
    >>> from fogline.trainers.bridges.stable_baselines3 import vec_env
    >>> env = vec_env("MerchantStrategy-v0", num_envs=4, actions="grid", horizon=6)
    >>> model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu").learn(32)
    >>> model.num_timesteps
    32
    >>> env.close()

Stable-Baselines3 wants the next episode's first observation in the step that ended one, so environments are made in
Gymnasium's same-step mode; the last observation is where it expects it, in ``info["terminal_observation"]``, and an
end by the budget is ``info["TimeLimit.truncated"]``. Rewards are passed on as they are, in double precision.

It has no mark for an episode without a reward: an infrastructure failure is raised out of ``step``, which ends
``learn()``; no zero is put in its place. Its learners have no groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from fogline.agents.environments import environment_name, make_environment
from fogline.core.errors import ConfigurationError, missing_dependency

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise missing_dependency("stable-baselines3", "sb3") from error

_SPACES = (
    gymnasium.spaces.Box,
    gymnasium.spaces.Discrete,
    gymnasium.spaces.MultiDiscrete,
    gymnasium.spaces.MultiBinary,
)
_NO_MASK = "_"


def vec_env(env_id: str, num_envs: int = 1, *, vectorization_mode: str | None = None, **keywords: Any) -> VecEnv:
    """Make ``num_envs`` environments for Stable-Baselines3.

    Args:
        env_id: A registered id with spaces of numbers, such as ``MerchantStrategy-v0``, or ``SalesDialogue-v0`` with
            ``actions="acts"``.
        num_envs: How many.
        vectorization_mode: Of ``gymnasium.make_vec``: ``"sync"``, ``"async"``, ``"vector_entry_point"``; its choice
            where None.
        **keywords: Of the environment's constructor.

    Raises:
        ConfigurationError: For an unknown environment or keyword, or spaces that hold text.
    """
    probe = make_environment(env_id, {key: value for key, value in keywords.items() if key != "autoreset"})
    try:
        _check_spaces(env_id, probe)
    finally:
        probe.close()
    own = gymnasium.spec(environment_name(env_id)).vector_entry_point is not None
    if own and vectorization_mode in (None, "vector_entry_point"):
        made = gymnasium.make_vec(env_id, num_envs, vectorization_mode, autoreset="same_step", **keywords)
    else:
        same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
        made = gymnasium.make_vec(env_id, num_envs, vectorization_mode or "sync", vector_kwargs=same_step, **keywords)
    return as_vec_env(made)


def as_vec_env(env: VectorEnv[Any, Any, Any]) -> VecEnv:
    """Wrap a Gymnasium vector environment that you made yourself, in same-step mode.

    Raises:
        ConfigurationError: If it resets otherwise.
    """
    mode = env.metadata.get("autoreset_mode")
    if mode is not AutoresetMode.SAME_STEP:
        raise ConfigurationError(
            f"the vector environment resets by {mode}: Stable-Baselines3 expects {AutoresetMode.SAME_STEP}; make it "
            "with vector_kwargs={'autoreset_mode': AutoresetMode.SAME_STEP}, or use vec_env()."
        )
    return GymnasiumVecEnv(env)


class GymnasiumVecEnv(VecEnv):
    """A Gymnasium vector environment as Stable-Baselines3's."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        self.env = env
        self._actions: Any = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Begin all episodes, with the seed and options that were set."""
        observations, infos = self.env.reset(seed=self._seeds[0], options=_same_for_all(self._options))
        self.reset_infos = _by_env(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: Any) -> None:
        """Note the actions."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Play them: observations, rewards ``[num_envs]``, ends, and one info for each environment."""
        observations, rewards, terminations, truncations, infos = self.env.step(self._actions)
        told = _by_env(infos, self.num_envs)
        for index, info in enumerate(told):
            info["TimeLimit.truncated"] = bool(truncations[index] and not terminations[index])
            if "final_obs" in info:
                info["terminal_observation"] = info.pop("final_obs")
                info.update(info.pop("final_info", {}))
        return observations, rewards, np.logical_or(terminations, truncations), told

    def close(self) -> None:
        """Release the environments."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of each environment."""
        own = getattr(self.env, "get_attr", None)
        every = [getattr(self.env, attr_name)] * self.num_envs if own is None else list(own(attr_name))
        return [every[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: an environment's attributes are decided by its constructor."""
        raise ConfigurationError(f"set_attr({attr_name!r}): pass it to the environment's constructor.")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of each environment; those that are one on arrays have none of their own."""
        call = getattr(self.env, "call", None)
        if call is None:
            raise ConfigurationError(
                f"env_method({method_name!r}): {type(self.env).__name__} is one environment on arrays; "
                "vectorization_mode='sync' makes single ones."
            )
        every = call(method_name, *method_args, **method_kwargs)
        return [every[index] for index in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Never: wrap the whole in ``VecMonitor`` instead."""
        return [False for _ in self._get_indices(indices)]


def _by_env(infos: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Gymnasium's one mapping of arrays as one mapping for each environment; what is masked out is left out."""
    told: list[dict[str, Any]] = [{} for _ in range(count)]
    for key, values in infos.items():
        if key.startswith(_NO_MASK) and key[1:] in infos:
            continue
        each: Iterable[Any] = _by_env(values, count) if isinstance(values, Mapping) else values
        mask = infos.get(_NO_MASK + key, [True] * count)
        if not isinstance(values, Mapping) and len(values) != count:
            continue
        for info, value, given in zip(told, each, mask, strict=True):
            if given:
                info[key] = value
    return told


def _same_for_all(options: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if any(dict(one) != dict(options[0]) for one in options):
        raise ConfigurationError(f"options={list(options)!r} differ: Gymnasium's vector environments take one for all.")
    return dict(options[0]) or None


def _check_spaces(env_id: str, env: Any) -> None:
    for name in ("observation_space", "action_space"):
        space = getattr(env, name)
        if not isinstance(space, _SPACES):
            raise ConfigurationError(
                f"{env_id} has {name} {space}: Stable-Baselines3 learns from numbers. Choose a form of the environment "
                "with a Box (such as actions='acts' of SalesDialogue-v0), or another bridge."
            )
