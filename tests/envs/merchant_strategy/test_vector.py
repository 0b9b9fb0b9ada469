"""Thousands of shops: one seed decides them all, and they are shops like the single one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from scipy.stats import ks_2samp

from fogline.core.errors import ConfigurationError
from fogline.envs.merchant_strategy.env import MerchantStrategyEnv
from fogline.envs.merchant_strategy.vector import MerchantStrategyVectorEnv

SMALL = {"n_merchants": 6, "n_trajectories": 900}
SPENDING = np.array([0.5, 0.2, 0.6, 0.8, 0.3])


def make(count: int = 64, **options: Any) -> MerchantStrategyVectorEnv:
    return MerchantStrategyVectorEnv(count, world=SMALL, **options)


def trajectory(env: MerchantStrategyVectorEnv, seed: int, steps: int = 30) -> list[Any]:
    rng = np.random.default_rng(9)
    found: list[Any] = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        actions = rng.uniform(size=(env.num_envs, 5)).astype(np.float32)
        found += env.step(actions)[:4]
    return found


def test_make_vec_takes_the_vectorised_form_by_itself() -> None:
    env = gymnasium.make_vec("fogline.envs:MerchantStrategy-v0", num_envs=5, world=SMALL, horizon=4)
    assert isinstance(env.unwrapped, MerchantStrategyVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observations, _ = env.reset(seed=0)
    assert observations in env.observation_space
    observations, rewards, terminated, truncated, _ = env.step(env.action_space.sample())
    assert observations.dtype == np.float32
    assert observations in env.observation_space
    assert rewards.shape == terminated.shape == truncated.shape == (5,)


@pytest.mark.parametrize("options", [{}, {"common_random_numbers": True}, {"autoreset": "same_step"}])
def test_one_seed_gives_the_same_bits(options: dict[str, Any]) -> None:
    one, other = trajectory(make(**options), 3), trajectory(make(**options), 3)
    assert all(left.tobytes() == right.tobytes() for left, right in zip(one, other, strict=True))
    again = make(**options)
    trajectory(again, 8)
    assert all(left.tobytes() == right.tobytes() for left, right in zip(one, trajectory(again, 3), strict=True))
    assert any(
        left.tobytes() != right.tobytes() for left, right in zip(one, trajectory(make(**options), 4), strict=True)
    )


@pytest.mark.parametrize("paired", [False, True])
def test_a_shop_among_many_is_a_shop(paired: bool) -> None:
    """Each period's profits have the distribution of single environments', and as many shops have closed by then."""
    promoting = np.array([0.6, 0.0, 0.5, 0.6, 0.5])
    vector = make(3_000, common_random_numbers=paired, autoreset="same_step", horizon=6)
    vector.reset(seed=1, options={"task_id": "m002"})
    single = MerchantStrategyEnv(world=SMALL, horizon=6)
    alone = [_profits(single, promoting, seed) for seed in range(1_000)]
    still_open, shares = np.ones(3_000, dtype=bool), []
    for period in range(5):
        _, rewards, terminated, truncated, _ = vector.step(np.tile(promoting, (3_000, 1)))
        expected = [profits[period] for profits in alone if len(profits) > period]
        if min(still_open.sum(), len(expected)) > 100:
            assert ks_2samp(rewards[still_open], expected).pvalue > 1e-3
        still_open &= ~(terminated | truncated)
        shares.append(np.mean([len(profits) > period + 1 for profits in alone]))
        assert still_open.mean() == pytest.approx(shares[-1], abs=0.06)
    assert any(0.05 < share < 0.95 for share in shares), "some close earlier than others"


def _profits(env: MerchantStrategyEnv, action: Any, seed: int) -> list[float]:
    env.reset(seed=seed, options={"task_id": "m002"})
    rewards, over = [], False
    while not over:
        _, reward, terminated, truncated, _ = env.step(action)
        rewards.append(reward)
        over = terminated or truncated
    return rewards


def test_the_step_after_an_end_opens_the_next_shop_and_pays_nothing() -> None:
    env = make(4, horizon=2)
    env.reset(seed=0)
    nothing = np.tile([0.0, 0.0, 0.0, 0.0, 0.5], (4, 1))
    _, _, _, truncated, _ = env.step(nothing)
    assert not truncated.any()
    _, _, _, truncated, _ = env.step(nothing)
    assert truncated.all()
    observations, rewards, terminated, truncated, _ = env.step(nothing)
    assert not rewards.any()
    assert not (terminated | truncated).any()
    np.testing.assert_array_equal(observations[:, 10], 0.0)
    np.testing.assert_array_equal(observations[:, 11], 1.0)
    _, rewards, _, _, _ = env.step(nothing)
    assert rewards.all()


def test_in_the_same_step_the_last_observation_is_kept_apart() -> None:
    env = make(4, horizon=2, autoreset="same_step")
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    nothing = np.tile([0.0, 0.0, 0.0, 0.0, 0.5], (4, 1))
    env.step(nothing)
    observations, rewards, _, truncated, info = env.step(nothing)
    assert truncated.all()
    assert rewards.all()
    np.testing.assert_array_equal(observations[:, 10], 0.0)
    np.testing.assert_array_equal(info["final_obs"][:, 10], 1.0)
    assert info["_final_obs"].all()


def test_only_those_that_ended_open_anew() -> None:
    env = make(2, autoreset="same_step")
    env.reset(seed=0)
    actions = np.array([[0.0, 0.0, 0.0, 0.0, 0.5], [1.0, 1.0, 1.0, 1.0, 0.0]])
    for _ in range(12):
        observations, _, terminated, _, _ = env.step(actions)
        if terminated[1]:
            break
    assert terminated.tolist() == [False, True]
    assert observations[1, 10] == 0
    assert observations[0, 10] > 0


def test_pessimism_and_branches_are_told_as_in_the_single_environment() -> None:
    vector = make(8, simulator="hybrid", pessimism=0.5)
    single = MerchantStrategyEnv(world=SMALL, simulator="hybrid", pessimism=0.5)
    vector.reset(seed=0, options={"task_id": "m003"})
    single.reset(seed=0, options={"task_id": "m003"})
    _, rewards, _, _, info = vector.step(np.tile(SPENDING, (8, 1)))
    told = single.step(SPENDING)[4]
    for name in ("reasoning", "fitting", "hybrid"):
        np.testing.assert_allclose(info[name], told["branches"][name])
    np.testing.assert_allclose(info["doubt"], told["terms"]["doubt"])
    np.testing.assert_allclose(info["uncertainty"], told["uncertainty"])
    unit = single._trading.usual_profit[3]
    np.testing.assert_allclose(rewards, info["profit"] / unit - 0.5 * info["doubt"])


def test_rows_that_cannot_be_read_are_usual_periods_and_counted() -> None:
    env, usual = make(3), make(3)
    for shops in (env, usual):
        shops.reset(seed=0, options={"task_id": "m000"})
    actions = np.tile(SPENDING, (3, 1))
    actions[1, 2] = np.nan
    plain = np.tile(SPENDING, (3, 1))
    plain[1] = usual._trading.usual_action[0]
    found, expected = env.step(actions), usual.step(plain)
    np.testing.assert_array_equal(found[1], expected[1])
    assert found[4]["malformed"].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, r"num_envs=0"),
        ({"autoreset": "disabled"}, r"autoreset='disabled'"),
        ({"render_mode": "ansi"}, r"render_mode='ansi' of many shops"),
        ({"pessimism": 1.0}, r"no doubts"),
    ],
)
def test_what_cannot_be_made_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


def test_wrong_shapes_tasks_and_orders_are_refused() -> None:
    env = make(3)
    with pytest.raises(ConfigurationError, match=r"call reset"):
        env.step(np.zeros((3, 5)))
    with pytest.raises(ConfigurationError, match=r"task_id='m1'.*Did you mean"):
        env.reset(options={"task_id": "m1"})
    with pytest.raises(ConfigurationError, match=r"no key 'task'"):
        env.reset(options={"task": "m001"})
    env.reset(seed=0)
    with pytest.raises(ConfigurationError, match=r"shape \(5,\): expected \(3, 5\)"):
        env.step(np.zeros(5))
