"""MerchantStrategy-v0: what a period pays, how it ends, what it tells and what it hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.envs.merchant_strategy.env import MerchantStrategyEnv
from fogline.envs.merchant_strategy.shop import FIELDS, GRID
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.fitted_responses import FittedResponses
from fogline.simulators.merchants.logs import check_log
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.responses import MixtureResponse
from fogline.simulators.merchants.trading import Shops, Trading
from fogline.simulators.merchants.truth import Truth
from fogline.simulators.merchants.world import World, WorldConfig, make_world

SMALL = {"n_merchants": 6, "n_trajectories": 900}
CHEAP = np.array([1.0, 1.0, 1.0, 1.0, 0.0], np.float32)
NOTHING = np.array([0.0, 0.0, 0.0, 0.0, 0.5], np.float32)
FITTED = ("hybrid", "reasoning", "fitting")


@pytest.fixture(scope="module")
def model() -> PGHS:
    return PGHS.fit(check_log(make_world(WorldConfig(**SMALL), 0).table()), PGHSConfig(replicates=0))


@pytest.fixture(scope="module")
def responses(model: PGHS) -> FittedResponses:
    return FittedResponses.of_model(model)


def make(**options: Any) -> MerchantStrategyEnv:
    return MerchantStrategyEnv(world=SMALL, **options)


def played(env: MerchantStrategyEnv, action: Any, seed: int = 0, task: str = "m001") -> list[tuple[Any, ...]]:
    env.reset(seed=seed, options={"task_id": task})
    steps = []
    while not steps or not (steps[-1][2] or steps[-1][3]):
        steps.append(env.step(action))
    return steps


@pytest.mark.parametrize("actions", ["box", "grid"])
def test_gymnasiums_checker_is_content(actions: str) -> None:
    check_env(gymnasium.make("fogline.envs:MerchantStrategy-v0", actions=actions).unwrapped)


def test_a_period_pays_its_profit_in_usual_profits() -> None:
    env = make()
    for _, reward, _, _, info in played(env, np.array([0.3, 0.1, 0.5, 0.6, 0.7], np.float32)):
        unit = float(env._trading.usual_profit[1])
        assert reward == pytest.approx(info["profit"] / unit)
        assert reward == pytest.approx(info["terms"]["sales"] - info["terms"]["spending"])


def test_the_horizon_cuts_and_a_spent_budget_ends() -> None:
    *_, last = played(make(), NOTHING)
    assert (last[2], last[3]) == (False, True)
    assert last[4]["outcome"] == {"budget_spent": 0.0}
    assert last[4]["metrics"]["periods"] == 12
    *_, last = played(make(), CHEAP)
    assert (last[2], last[3]) == (True, False)
    assert last[4]["outcome"] == {"budget_spent": 1.0}
    assert last[4]["metrics"]["periods"] < 12


def test_the_horizon_may_be_the_end() -> None:
    *_, last = played(make(horizon_ends=True, horizon=3), NOTHING)
    assert (last[2], last[3]) == (True, False)
    assert last[4]["outcome"] == {"budget_spent": 0.0}


def test_observations_are_what_an_owner_knows() -> None:
    env = make()
    first, _ = env.reset(seed=3, options={"task_id": "m002"})
    said = dict(zip(FIELDS, first.tolist(), strict=True))
    profiles = env._trading.profiles
    assert said["log price"] == pytest.approx(np.log(profiles.price[2]), abs=1e-6)
    assert said["usual discount"] == pytest.approx(profiles.discount[2], abs=1e-6)
    assert (said["period"], said["budget"], said["visitors"], said["order rate"]) == (0.0, 1.0, 0.0, 0.0)
    second, _, _, _, info = env.step(CHEAP)
    said = dict(zip(FIELDS, second.tolist(), strict=True))
    assert said["period"] == pytest.approx(1 / 12)
    assert said["budget"] == pytest.approx(1 - info["promotion"] / float(env._trading.budget[2]), abs=1e-5)
    assert [said[f"last {name}"] for name in ("discount", "coupon", "advertising", "page", "price")] == CHEAP.tolist()
    assert said["profit"] == pytest.approx(info["terms"]["sales"] - info["terms"]["spending"], abs=1e-5)


def test_an_observation_in_words_names_every_field() -> None:
    env = make()
    first, _ = env.reset(seed=3)
    words = env.observation_text(first)
    assert all(f"{name} {value:.3g}" in words for name, value in zip(FIELDS, first.tolist(), strict=True))
    assert len(words.splitlines()) == 3


def test_a_grid_action_is_the_box_action_that_it_stands_for() -> None:
    grid, box = make(actions="grid"), make()
    chosen = np.array([1, 2, 3, 4, 0])
    for one, other in zip(played(grid, chosen), played(box, chosen / (np.array(GRID) - 1)), strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-6)
        assert one[1] == pytest.approx(other[1], abs=1e-6)


@pytest.mark.parametrize("action", [None, "x", [1, 2], np.full(5, np.nan), [np.inf] * 5, {}, object(), [[0.1] * 5]])
def test_what_cannot_be_read_is_a_usual_period_and_counted(action: Any) -> None:
    env, usual = make(), make()
    env.reset(seed=1, options={"task_id": "m000"})
    usual.reset(seed=1, options={"task_id": "m000"})
    found = env.step(action)
    assert found[4]["malformed"] is True
    assert found[4]["phase"] == "malformed"
    assert found[1] == usual.step(usual._trading.usual_action[0])[1]


def test_what_is_out_of_range_is_clipped() -> None:
    one, other = make(), make()
    assert played(one, [2.0, -1.0, 5.0, 0.5, 0.5])[0][1] == played(other, [1.0, 0.0, 1.0, 0.5, 0.5])[0][1]


def test_common_random_numbers_depend_on_the_merchant_alone() -> None:
    env = make(common_random_numbers=True)
    first = [step[4]["visitors"] for step in played(env, NOTHING, seed=0)]
    assert first == [step[4]["visitors"] for step in played(env, NOTHING, seed=99)]
    assert first != [step[4]["visitors"] for step in played(make(), NOTHING, seed=99)]
    assert first != [step[4]["visitors"] for step in played(env, NOTHING, task="m002")]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), page=st.floats(0, 1))
def test_with_one_seed_a_better_page_loses_no_order_in_the_first_period(seed: int, page: float) -> None:
    env = make(horizon=1)
    worse = played(env, np.array([0, 0, 0, 0, 0.5]), seed)[0][4]
    better = played(env, np.array([0, 0, 0, page, 0.5]), seed)[0][4]
    assert worse["visitors"] == better["visitors"]
    assert worse["orders"] <= better["orders"]


# Fitted simulators


@pytest.mark.parametrize("simulator", FITTED)
def test_info_of_a_fitted_simulator_tells_its_branches_and_its_doubts(
    responses: FittedResponses, simulator: str
) -> None:
    env = make(simulator=simulator, model=responses, pessimism=0.5)
    _, reward, _, _, info = played(env, CHEAP)[0]
    assert set(info["branches"]) == {"reasoning", "fitting", "hybrid"}
    assert info["support"] == 0.0
    assert info["uncertainty"] > 0
    logits = {name: np.log(rate / (1 - rate)) for name, rate in info["branches"].items()}
    assert info["terms"]["doubt"] == pytest.approx(abs(logits["reasoning"] - logits["fitting"]))
    plain = info["terms"]["sales"] - info["terms"]["spending"]
    assert reward == pytest.approx(plain - 0.5 * info["terms"]["doubt"])


def test_in_support_there_is_no_doubt(responses: FittedResponses) -> None:
    env = make(simulator="hybrid", model=responses)
    usual = env._trading.usual_action[1]
    info = played(env, usual)[0][4]
    assert info["support"] == 1.0
    assert info["terms"]["doubt"] == 0.0


def test_only_the_response_differs_between_simulators(responses: FittedResponses) -> None:
    """With all levers at the usual, what happens to a shop between periods is the same function."""
    envs = [make(), *(make(simulator=simulator, model=responses) for simulator in FITTED)]
    assert len({type(env._trading) for env in envs}) == 1
    for name in ("usual_visits", "usual_profit", "budget", "usual_action"):
        for env in envs[1:]:
            np.testing.assert_allclose(getattr(env._trading, name), getattr(envs[0]._trading, name))
    assert len({env._trading.config for env in envs}) == 1
    assert len({env.task_ids for env in envs}) == 1


def test_a_model_may_come_as_an_object_a_folder_or_its_responses(
    model: PGHS, responses: FittedResponses, tmp_path: Any
) -> None:
    model.save(tmp_path / "model")
    found = [
        [step[1] for step in played(make(simulator="hybrid", model=given), CHEAP)]
        for given in (model, responses, str(tmp_path / "model"), None)
    ]
    assert all(rewards == found[0] for rewards in found)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"simulator": "truth"}, r"simulator='truth'"),
        ({"actions": "text"}, r"actions='text'"),
        ({"horizon": 0}, r"horizon=0: expected a whole number"),
        ({"horizon_ends": 1}, r"horizon_ends=1: expected True or False"),
        ({"budget": 0.0}, r"budget=0\.0: expected a finite number, more than 0"),
        ({"budget": float("nan")}, r"budget=nan"),
        ({"pessimism": -1.0}, r"pessimism=-1\.0: expected a finite number, at least 0"),
        ({"pessimism": 1.0}, r"true market, which has no doubts"),
        ({"model": "somewhere"}, r"simulator='world' is the true market"),
        ({"render_mode": "human"}, r"render_mode='human'"),
    ],
)
def test_what_no_environment_can_be_made_of_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MerchantStrategyEnv(**{"world": SMALL, **options})


def test_unknown_knobs_of_the_market_or_of_trade_are_refused() -> None:
    with pytest.raises(ValueError, match="n_shops"):
        MerchantStrategyEnv(world={"n_shops": 3})
    with pytest.raises(ValueError, match="habits"):
        MerchantStrategyEnv(world=SMALL, trading={"habits": 3})


# What is hidden

LATENT = (Truth, World, Trading, Shops, MixtureResponse, np.random.Generator)
KEYS = {"terms", "phase", "malformed", "visitors", "orders", "profit", "promotion", "outcome", "metrics"}


def public(value: Any, seen: set[int]) -> Iterator[Any]:
    """Everything that public attributes, items and keys lead to."""
    if id(value) in seen or isinstance(value, str | bytes | int | float | type):
        return
    seen.add(id(value))
    yield value
    if isinstance(value, Mapping):
        for item in value.values():
            yield from public(item, seen)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from public(item, seen)
    elif type(value).__module__.startswith("fogline"):
        for name in dir(value):
            if not name.startswith("_") and name != "np_random":
                yield from public(getattr(value, name), seen)


def test_no_public_attribute_leads_to_what_customers_think() -> None:
    env = make(render_mode="ansi")
    steps = played(env, CHEAP)
    for value in (*public(env, set()), *public(steps, set())):
        assert not isinstance(value, LATENT), type(value)


def test_info_holds_what_it_is_documented_to_hold() -> None:
    for step in played(make(), NOTHING):
        assert set(step[4]) <= KEYS


def test_habit_and_expected_price_do_not_show() -> None:
    """Two shops that differ in nothing but what customers remember look the same to their owners."""
    env = make()
    env.reset(seed=0)
    assert env._shop is not None
    before = env._window.observe(env._shop)
    env._shop.habit[:], env._shop.reference[:] = 2.0, -1.0
    np.testing.assert_array_equal(env._window.observe(env._shop), before)
