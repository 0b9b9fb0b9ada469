"""Responses that are played: equal to the truth, to the branches and to the fusion that they stand for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.branches import Branches
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.fitted_responses import KNOTS, FittedResponses, GridResponse, shown
from fogline.simulators.merchants.logs import check_log
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.profiles import RANGED, Profiles
from fogline.simulators.merchants.reasoning import RecordingReasoner, RuleReasoner
from fogline.simulators.merchants.responses import Levers, MixtureResponse, Weights, true_response, weighted_logistic
from fogline.simulators.merchants.strategies import LOGGED, Intervention, Strategy
from fogline.simulators.merchants.support import SupportReference, support
from fogline.simulators.merchants.world import World, WorldConfig, make_world

PAGES = st.tuples(
    st.floats(0, 0.5), st.floats(0, 0.3), st.floats(0.8, 1.2), st.floats(0, 0.4), st.sampled_from([0.0, 1.0])
)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldConfig(n_merchants=12, n_trajectories=1_500), 5)


@pytest.fixture(scope="module")
def model(world: World) -> PGHS:
    return PGHS.fit(check_log(world.table()), PGHSConfig(replicates=0))


@pytest.fixture(scope="module")
def responses(model: PGHS) -> FittedResponses:
    return FittedResponses.of_model(model)


def everywhere(page: tuple[float, ...], merchants: int) -> Levers:
    return Levers(*(np.full(merchants, value) for value in page))


@settings(max_examples=40, deadline=None)
@given(page=PAGES)
def test_the_true_response_is_the_truth(world: World, page: tuple[float, ...]) -> None:
    profiles = Profiles.of(world.columns)
    names = np.asarray(world.columns["merchant_id"])
    _, first, merchant = np.unique(names, return_index=True, return_inverse=True)
    price, photo = world.columns["price_level"][first], world.columns["photo_score"][first]
    found = true_response(world.truth, price).rate(np.arange(12), everywhere(page, 12))
    discount, coupon, scale, better, badge = page
    levers = {"discount": discount, "coupon_value": coupon, "badges": badge}
    levers |= {"price_level": (price * scale)[merchant], "photo_score": (photo + better)[merchant]}
    np.testing.assert_allclose(found, world.truth.merchant_rates(levers), atol=1e-5)
    np.testing.assert_allclose(profiles.price, price)


def test_beyond_what_its_tables_cover_a_rate_stays() -> None:
    one = np.ones(1)
    weights = Weights(one * -1.0, one * 5.0, one * 0.5, one)
    response = MixtureResponse([[weighted_logistic(np.zeros(1), one)]], np.zeros(1), weights, one)
    high, higher = (
        response.rate(np.zeros(1, int), Levers(one * 0, one * 0, one, one * value, one)) for value in (9, 99)
    )
    assert high == higher
    assert 0 < float(high[0]) < 1


def test_the_rules_branch_is_the_branch_that_it_tabulates(model: PGHS, responses: FittedResponses) -> None:
    rows = model.branches.prepare(_all_rows(model))
    for discount, coupon, scale, badge in ((0.0, 0.0, 1.0, 0), (0.12, 0.05, 0.9, 1), (0.4, 0.3, 1.2, 0)):
        strategy = Strategy(
            "page",
            (
                Intervention("discount", "set", discount),
                Intervention("coupon_value", "set", coupon),
                Intervention("price_level", "scale", scale),
                Intervention("badges", "set", ("recommended",) if badge else ()),
            ),
        )
        answered = model.branches.answer(rows, strategy, replicated=False)
        levers = everywhere((discount, coupon, scale, 0.0, float(badge)), 12)
        np.testing.assert_allclose(responses.reasoning.rate(np.arange(12), levers), answered.reasoning, atol=1e-5)


def _all_rows(model: PGHS):  # type: ignore[no-untyped-def]
    from fogline.simulators.merchants.fitted_responses import _thinned

    return _thinned(model.log.table)


def test_the_fitting_branch_is_exact_where_it_was_asked(model: PGHS, responses: FittedResponses) -> None:
    rows = model.branches.prepare(_all_rows(model))
    page = (0.15, 0.3, 1.2, 0.4, 1.0)
    fitted = model.branches.fitting.predict(shown(rows.table, *page), rows.membership, rows.anchor_rate)
    found = responses.fitting.rate(np.arange(12), everywhere(page, 12))
    np.testing.assert_allclose(found, rows.groups.mean(fitted), atol=1e-9)


def test_a_grid_is_straight_in_logits_between_its_knots() -> None:
    shape = tuple(len(values) for values in KNOTS)
    places = np.meshgrid(*KNOTS, indexing="ij")
    slopes = (3.0, -2.0, 1.5, 0.7, -1.1)
    logits = sum(slope * place for slope, place in zip(slopes, places, strict=True)) - 1.0
    response = GridResponse((1 / (1 + np.exp(-logits)))[None].reshape(1, *shape))
    page = (0.07, 0.2, 1.13, 0.1, 1.0)
    expected = sum(slope * value for slope, value in zip(slopes, page, strict=True)) - 1.0
    found = float(response.rate(np.zeros(1, int), everywhere(page, 1))[0])
    assert found == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-12)


@pytest.mark.parametrize("options", [{}, {"eta": 0.3}, {"fusion": "pool"}, {"fusion": "bates-granger"}])
def test_the_hybrid_fuses_as_a_what_if_does(world: World, options: dict[str, object]) -> None:
    config = PGHSConfig(replicates=0, **options)  # type: ignore[arg-type]
    model = PGHS.fit(check_log(world.table()), config)
    responses = FittedResponses.of_model(model)
    rows = model.branches.prepare(_all_rows(model))
    logged = model.branches.answer(rows, LOGGED, replicated=False)
    levers = everywhere((0.1, 0.15, 1.2, 0.0, 1.0), 12)
    merchant = np.arange(12)
    branches = Branches(
        responses.reasoning.rate(merchant, levers), responses.fitting.rate(merchant, levers), logged.by_policy,
        logged.replicated,
    )  # fmt: skip
    expected = model.levels.fuse(config, branches, logged, rows.groups.ids, branches.reasoning)
    np.testing.assert_allclose(responses.of("hybrid").rate(merchant, levers), expected, atol=1e-12)


def test_a_reasoner_that_is_no_rule_cannot_be_asked_about_every_page(world: World, tmp_path: object) -> None:
    reasoner = RecordingReasoner(RuleReasoner(), str(tmp_path))
    model = PGHS.fit(check_log(world.table()), PGHSConfig(replicates=0), reasoner=reasoner)
    with pytest.raises(ConfigurationError, match=r"no rule.*RuleReasoner"):
        FittedResponses.of_model(model)


def test_a_plain_reasoner_is_tabulated_too(world: World) -> None:
    model = PGHS.fit(check_log(world.table()), PGHSConfig(replicates=0, guided=False))
    rows = model.branches.prepare(_all_rows(model))
    answered = model.branches.answer(rows, Strategy("ten", (Intervention("discount", "set", 0.1),)), replicated=False)
    found = FittedResponses.of_model(model).reasoning.rate(np.arange(12), everywhere((0.1, 0, 1, 0, 0), 12))
    np.testing.assert_allclose(found, answered.reasoning, atol=1e-5)


# Profiles


def test_profiles_are_the_logs_means(world: World) -> None:
    table = check_log(world.table()).table
    profiles = Profiles.of(world.columns)
    means = table.groupby("merchant_id")[["price_level", "rating", "photo_score", "discount"]].mean()
    assert list(means.index) == list(profiles.ids)
    for column, values in zip(means, (profiles.price, profiles.rating, profiles.photo, profiles.discount), strict=True):
        np.testing.assert_allclose(values, means[column])
    ordered = (table["outcome"] == "order").groupby(table["merchant_id"]).agg(["sum", "size"])
    expected = (ordered["sum"] + 10 * (table["outcome"] == "order").mean()) / (ordered["size"] + 10)
    np.testing.assert_allclose(profiles.rate, expected)
    np.testing.assert_allclose(profiles.mix.sum(axis=1), 1)
    assert profiles.visits.sum() == pytest.approx(len(table) / 90, rel=0.01)


def test_the_mix_leans_towards_who_really_comes(world: World) -> None:
    profiles = Profiles.of(world.columns)
    _, merchant = np.unique(np.asarray(world.columns["merchant_id"]), return_inverse=True)
    for kind in range(4):
        true = np.bincount(merchant, world.truth.minds == kind) / np.bincount(merchant)
        assert np.corrcoef(true, profiles.mix[:, kind])[0, 1] > 0.6


@settings(max_examples=20, deadline=None)
@given(discount=st.floats(0, 0.4), badge=st.booleans())
def test_support_of_a_page_is_the_what_ifs_support(world: World, discount: float, badge: bool) -> None:
    table = check_log(world.table()).table
    profiles = Profiles.of(world.columns)
    changes = [Intervention("discount", "set", discount)]
    changes += [Intervention("badges", "add", "recommended")] if badge else []
    strategy = Strategy("page", tuple(changes))
    expected = support(SupportReference.of(table), table, strategy.apply(table), strategy)
    values = np.full((12, len(RANGED)), np.nan)
    values[:, 0] = discount
    found = profiles.support(np.arange(12), values, np.full(12, badge))
    np.testing.assert_array_equal(found, expected)


def test_a_log_of_nobody_who_engaged_is_refused(world: World) -> None:
    columns = {**world.columns, "outcome": np.full(len(world.columns["outcome"]), "click")}
    with pytest.raises(DataError, match="no trajectory of the log engaged"):
        Profiles.of(columns)


def test_the_true_market_is_played_with_numpy_alone() -> None:
    script = (
        "import sys, gymnasium\n"
        "env = gymnasium.make('fogline.envs:MerchantStrategy-v0')\n"
        "env.reset(seed=0); env.step(env.action_space.sample())\n"
        "gymnasium.make_vec('MerchantStrategy-v0', num_envs=3).reset(seed=0)\n"
        "print(sorted({'pandas', 'scipy', 'sklearn', 'lightgbm', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
