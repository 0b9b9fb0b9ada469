from __future__ import annotations

import doctest
from typing import Any

import gymnasium
import numpy as np
import pytest
from bridged import native as collected
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor
from unsteady import Outage

import fogline.trainers.bridges.stable_baselines3 as bridge
from fogline.core.errors import ConfigurationError
from fogline.trainers.bridges.stable_baselines3 import as_vec_env, vec_env

ENVS = 3
SAME_STEP = {"autoreset_mode": AutoresetMode.SAME_STEP}
WORLDS: list[tuple[str, dict[str, Any], str | None]] = [
    ("MerchantStrategy-v0", {"horizon": 4}, None),
    ("MerchantStrategy-v0", {"horizon": 4, "actions": "grid"}, None),
    ("MerchantStrategy-v0", {"horizon": 4}, "sync"),
    ("SalesDialogue-v0", {"actions": "acts"}, "sync"),
]


def native(env_id: str, keywords: dict[str, Any], mode: str | None, envs: int = ENVS) -> Any:
    if mode is None:
        return gymnasium.make_vec(f"fogline.envs:{env_id}", envs, autoreset="same_step", **keywords)
    return gymnasium.make_vec(f"fogline.envs:{env_id}", envs, mode, vector_kwargs=SAME_STEP, **keywords)


@pytest.mark.parametrize(("env_id", "keywords", "mode"), WORLDS)
def test_steps_pay_the_native_rewards(env_id: str, keywords: dict[str, Any], mode: str | None) -> None:
    expected = native(env_id, keywords, mode)
    env = vec_env(env_id, ENVS, vectorization_mode=mode, **keywords)
    env.seed(11)
    seen, _ = expected.reset(seed=11)
    np.testing.assert_array_equal(env.reset(), seen)
    expected.action_space.seed(2)
    ends = 0
    for _ in range(40):
        actions = expected.action_space.sample()
        seen, rewards, terminations, truncations, infos = expected.step(actions)
        told, paid, dones, each = env.step(actions)
        np.testing.assert_array_equal(told, seen)
        np.testing.assert_array_equal(paid, rewards)
        assert paid.dtype == np.float64
        np.testing.assert_array_equal(dones, terminations | truncations)
        for index in np.flatnonzero(dones):
            ends += 1
            np.testing.assert_array_equal(each[index]["terminal_observation"], infos["final_obs"][index])
            assert each[index]["TimeLimit.truncated"] == (truncations[index] and not terminations[index])
        assert all("terminal_observation" not in info for info, done in zip(each, dones, strict=True) if not done)
    assert ends >= ENVS
    expected.close()
    env.close()


@pytest.mark.parametrize(("env_id", "keywords"), [(env_id, keywords) for env_id, keywords, mode in WORLDS if mode])
def test_first_episodes_are_those_of_the_collector(env_id: str, keywords: dict[str, Any]) -> None:
    """Environment ``i`` of single ones has seed ``seed + i``, and opens an episode of its own by it."""
    env = vec_env(env_id, ENVS, vectorization_mode="sync", **keywords)
    env.action_space.seed(4)
    env.seed(11)
    env.reset()
    actions: list[list[Any]] = [[] for _ in range(ENVS)]
    paid: list[list[float]] = [[] for _ in range(ENVS)]
    running = set(range(ENVS))
    while running:
        joint = np.stack([env.action_space.sample() for _ in range(ENVS)])
        _, rewards, dones, _ = env.step(joint)
        for index in sorted(running):
            actions[index].append(joint[index])
            paid[index].append(float(rewards[index]))
        running -= set(np.flatnonzero(dones).tolist())
    for index in range(ENVS):
        episode = collected(env_id, keywords, "", 11 + index, actions[index])
        assert [turn.reward for turn in episode.turns] == paid[index]
    env.close()


def test_ppo_learns_a_few_hundred_steps_and_sums_up_the_native_rewards() -> None:
    env = VecMonitor(vec_env("MerchantStrategy-v0", 4, actions="grid", horizon=6))
    model = PPO("MlpPolicy", env, n_steps=24, batch_size=48, n_epochs=2, seed=3, device="cpu")
    model.learn(384)
    assert model.num_timesteps == 384
    again = native("MerchantStrategy-v0", {"actions": "grid", "horizon": 6}, None, 4)
    again.reset(seed=5)
    env.seed(5)
    observations = env.reset()
    totals, ended = np.zeros(4), 0
    for _ in range(24):
        actions, _ = model.predict(observations, deterministic=True)
        observations, rewards, dones, infos = env.step(actions)
        paid = again.step(actions)[1]
        np.testing.assert_array_equal(rewards, paid)
        totals += paid
        for index in np.flatnonzero(dones):
            assert infos[index]["episode"]["r"] == pytest.approx(totals[index], abs=1e-5)
            totals[index], ended = 0.0, ended + 1
    assert ended >= 4
    again.close()
    env.close()


def test_a_policy_of_acts_is_trained_in_sales_dialogue() -> None:
    env = vec_env("SalesDialogue-v0", 2, vectorization_mode="sync", actions="acts")
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu").learn(64)
    assert model.num_timesteps == 64
    env.close()


def test_an_outage_ends_the_learning() -> None:
    made = gymnasium.vector.SyncVectorEnv([breaking] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    model = PPO("MlpPolicy", as_vec_env(made), n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(Outage):
        model.learn(16)


class _Numbers(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        if self._steps == 2:
            raise Outage("no answer")
        return np.zeros(1, np.float32), 0.0, False, False, {}


def breaking() -> _Numbers:
    return _Numbers()


def test_what_cannot_be_expressed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="learns from numbers"):
        vec_env("TrustSQL-v0")
    with pytest.raises(ConfigurationError, match="learns from numbers"):
        vec_env("SiloBench-v0", n_agents=2)
    with pytest.raises(ConfigurationError, match="SAME_STEP"):
        as_vec_env(gymnasium.make_vec("MerchantStrategy-v0", 2))
    env = vec_env("MerchantStrategy-v0", 2)
    with pytest.raises(ConfigurationError, match="constructor"):
        env.set_attr("horizon", 3)
    with pytest.raises(ConfigurationError, match="sync"):
        env.env_method("render")
    env.set_options([{"task_id": "a"}, {"task_id": "b"}])
    with pytest.raises(ConfigurationError, match="differ"):
        env.reset()


def test_the_example_of_the_bridge_runs() -> None:
    assert doctest.testmod(bridge).failed == 0
