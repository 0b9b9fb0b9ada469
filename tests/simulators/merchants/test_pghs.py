"""The specification's acceptance tests that need a fitted model, in small worlds; twenty full ones are reproduced."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fogline.core.engine import make_engine
from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.logs import Log, check_log
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.reasoning import RuleReasoner
from fogline.simulators.merchants.strategies import Cost, Intervention, Strategy
from fogline.simulators.merchants.world import World, WorldConfig, make_world

TEN = Strategy("ten", (Intervention("discount", "set", 0.10),))
THIRTY = Strategy("thirty", (Intervention("discount", "set", 0.30, cost=Cost(per_order=0.05)),))
BADGE = Strategy("badge", (Intervention("badges", "add", "recommended", cost=Cost(fixed=2)),))
ADS = Strategy("ads", (Intervention("ad_level", "set", 0.5),))
MENU = Strategy("menu", (Intervention("menu_size", "set", 40),))
CONFIG = PGHSConfig(replicates=10)
SMALL = {"n_merchants": 60, "n_trajectories": 9_000}


def reasoner(world: World, noise: float = 0.4) -> RuleReasoner:
    return RuleReasoner(world.truth.noised_priorities(noise, np.random.default_rng(7)), gain=1.6, intercept=-0.2)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldConfig(**SMALL), 0)


@pytest.fixture(scope="module")
def log(world: World) -> Log:
    return check_log(world.table())


@pytest.fixture(scope="module")
def model(world: World, log: Log) -> PGHS:
    return PGHS.fit(log, CONFIG, reasoner=reasoner(world))


def test_people_follow_the_reasoner_that_knows_them(model: PGHS) -> None:
    assert not model.report.doubtful
    assert not model.report.silent


def test_a_model_does_not_lead_to_the_truth(world: World, model: PGHS) -> None:
    seen, waiting = set(), [model]
    while waiting:
        item = waiting.pop()
        if id(item) not in seen and not callable(item):
            seen.add(id(item))
            waiting += gc.get_referents(item)
    assert id(world.truth) not in seen
    assert id(world.truth._people.offline) not in seen


def test_where_habit_decides_alone_the_simulator_sees_no_change() -> None:
    market = make_world(WorldConfig(habit_share=1.0), 1)
    fitted = PGHS.fit(check_log(market.table()), PGHSConfig(replicates=0), reasoner=reasoner(market))
    totals = fitted.what_if([TEN, THIRTY, BADGE]).totals()
    assert totals["uplift"].abs().max() < 0.01


def test_anchored_answers_the_unseen_discount_better_than_every_branch(world: World, log: Log, model: PGHS) -> None:
    rows = model.what_if([THIRTY]).table
    true = world.truth.merchant_rates({"discount": 0.3}, world.truth.test_window)
    error = (rows[["level", "reasoning", "fitting"]].sub(true, axis=0)).abs().mean()
    assert error["level"] < min(error["reasoning"], error["fitting"])
    change = true - world.truth.merchant_rates(None, world.truth.test_window)
    assert np.abs(rows["uplift"] - change).mean() < np.abs(rows["fitting"] - rows["fitting_baseline"] - change).mean()


def test_a_reasoner_with_the_wrong_sign_is_flagged_and_useless(world: World, log: Log) -> None:
    fitted = PGHS.fit(log, PGHSConfig(replicates=0), reasoner=reasoner(world).flipped())
    assert fitted.report.doubtful
    assert fitted.report.slope < 0
    answers = fitted.what_if([THIRTY]).table
    assert answers["uplift"].max() < 0.02
    assert answers["warnings"].str.contains("no signal|do not believe").all()
    assert fitted.evaluate().verdict == "fail"


def test_one_seed_fits_the_same_bytes_and_answers_do_not_depend_on_where_they_are_worked_out(
    world: World, log: Log, model: PGHS, tmp_path: Path
) -> None:
    again = PGHS.fit(log, CONFIG, reasoner=reasoner(world))
    for number, item in enumerate((model, again)):
        item.save(tmp_path / str(number))
    for name in ("model.json", "policies.json"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    here = model.what_if([TEN, BADGE])
    with make_engine("process", 2) as engine:
        there = model.what_if([TEN, BADGE], engine=engine)
    pd.testing.assert_frame_equal(here.table, there.table)
    loaded = PGHS.load(tmp_path / "0")
    pd.testing.assert_frame_equal(loaded.what_if([TEN, BADGE]).table, here.table)
    assert loaded.report == model.report


def test_pieces_of_the_log_add_up(model: PGHS, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.what_if([TEN, THIRTY])
    smaller = {"engine": None, "most_rows": 500}
    monkeypatch.setattr("fogline.simulators.merchants.what_if.what_if.__kwdefaults__", smaller)
    pieces = model.what_if([TEN, THIRTY])
    pd.testing.assert_frame_equal(pieces.table, whole.table)
    pd.testing.assert_frame_equal(pieces.totals(), whole.totals())


def test_what_nobody_has_evidence_for_is_not_answered(model: PGHS) -> None:
    answers = model.what_if([BADGE, ADS, MENU]).table.set_index("strategy")
    assert (answers.loc["badge", "answer"] == "estimate").all()
    assert (answers.loc["badge", "support"] == 0).all()
    for name, why in (("ads", "funnel"), ("menu", "no policy mentions it")):
        assert (answers.loc[name, "answer"] == "cannot say").all()
        assert answers.loc[name, ["level", "uplift", "cost", "uplift_low"]].isna().all().all()
        assert answers.loc[name, "warnings"].str.contains(why).all()


def test_numbers_of_an_answer_belong_together(model: PGHS) -> None:
    rows = model.what_if([THIRTY, BADGE]).table
    np.testing.assert_allclose(rows["level"] - rows["baseline"], rows["uplift"])
    np.testing.assert_allclose(rows["extra_orders"], rows["uplift"] * rows["trajectories"])
    parts = rows[[name for name in rows if name.startswith("policy:")]].sum(axis=1)
    np.testing.assert_allclose(parts, rows["uplift"], atol=1e-9)
    assert (rows["level_low"] <= rows["level_high"]).all()
    assert ((rows["uplift_low"] <= rows["uplift"]) & (rows["uplift"] <= rows["uplift_high"])).mean() > 0.9
    thirty = rows[rows["strategy"] == "thirty"]
    np.testing.assert_allclose(thirty["cost"], 0.05 * thirty["level"] * thirty["trajectories"])
    nothing = model.what_if([Strategy("nothing")]).table
    assert nothing["uplift"].abs().max() == 0.0
    assert (nothing["support"] == 1).all()
    turned = model.what_if([Strategy("back")], baseline=THIRTY).table
    np.testing.assert_allclose(turned["uplift"], -thirty["uplift"])


def test_ranking_keeps_to_its_budget_and_more_money_never_gains_less(model: PGHS) -> None:
    gains = []
    for budget in (0.0, 10.0, 40.0, None):
        ranking = model.rank([TEN, THIRTY, BADGE], objective="orders", budget=budget)
        assert budget is None or ranking.by_merchant["cost"].sum() <= budget + 1e-9
        assert len(ranking.by_merchant) == 60
        gains.append(ranking.by_merchant["gain"].sum())
    assert gains == sorted(gains)
    best = model.what_if([TEN, THIRTY, BADGE]).table.groupby("merchant_id")["extra_orders"].max().clip(lower=0)
    assert gains[-1] == pytest.approx(best.sum())
    listed = model.rank([ADS, TEN], objective="orders").for_all
    assert listed["strategy"].tolist() == ["ten", "ads"]
    with pytest.raises(ConfigurationError, match="budget=-1"):
        model.rank([TEN], budget=-1)


def test_explanations_and_diagnoses_are_about_the_merchant(model: PGHS) -> None:
    found = model.explain("m001", THIRTY)
    answer = model.what_if([THIRTY], merchants=["m001"]).table.iloc[0]
    assert found.uplift == pytest.approx(answer["uplift"])
    assert math.fsum(move.uplift or 0 for move in found.moves) == pytest.approx(answer["uplift"])
    assert math.fsum(move.share for move in found.moves) == pytest.approx(1.0)
    assert any("discount" in {name for name, _, _ in move.weighed} for move in found.moves)
    assert "cannot say" in model.explain("m001", ADS).lines()[0]
    diagnosis = model.diagnose("m001")
    own = model.rows("all", ["m001"])
    everybody = diagnosis.gaps[diagnosis.gaps["policy"] == "everybody"].set_index("stage")
    intents = own["outcome"].isin(["intent", "order"])
    assert everybody.loc["intent", "rate"] == pytest.approx(intents.mean())
    assert everybody.loc["order", "rate"] == pytest.approx((own["outcome"] == "order").sum() / intents.sum())
    with pytest.raises(ConfigurationError, match=r"m0x1.*Did you mean"):
        model.diagnose("m0x1")


def test_new_merchants_lean_on_the_reasoner_and_are_told(log: Log, world: World) -> None:
    new = log.table["merchant_id"] == "m005"
    fitted = PGHS.fit(Log(log.table[~new].reset_index(drop=True), log.report), CONFIG, reasoner=reasoner(world))
    stranger = Log(log.table[new].reset_index(drop=True), log.report)
    answer = fitted.what_if([TEN], log=stranger).table.iloc[0]
    assert "no history" in answer["warnings"]
    assert answer["baseline"] == pytest.approx(answer["reasoning_baseline"])
    odd = Log(stranger.table.assign(category="sushi"), log.report)
    notes = list(map(str, fitted.what_if([TEN], log=odd).notes))
    assert notes == [f"category: rows of a category unseen at fit, treated as missing, {len(odd):,} (such as sushi)"]


def test_an_evaluation_has_floors_strata_and_one_verdict(model: PGHS) -> None:
    found = model.evaluate()
    assert set(found.errors) == {"reasoning", "fitting", "pool", "anchored"}
    for error in found.errors.values():
        assert 0 < error.floors["absolute"] < error.absolute + 0.02
        assert error.interval is not None
        assert error.interval.low < error.absolute < error.interval.high
    assert {"tier=head", "tier=tail"} <= set(found.strata)
    assert found.verdict == "pass"


def test_logs_that_nothing_can_be_learned_from_are_refused(log: Log) -> None:
    with pytest.raises(DataError, match="expected at least 200"):
        PGHS.fit(Log(log.table.head(50), log.report))
    with pytest.raises(DataError, match="ended in an order"):
        PGHS.fit(Log(log.table.assign(outcome="engage"), log.report))
    with pytest.raises(ConfigurationError, match="named"):
        PGHS.fit(log, PGHSConfig(replicates=0)).what_if([TEN, TEN])


def test_a_funnel_has_stages_and_still_says_nothing_of_what_was_never_advertised() -> None:
    market = make_world(WorldConfig(**{**SMALL, "n_trajectories": 20_000}, funnel=True), 0)
    from fogline.simulators.merchants.fitting import FittingConfig

    config = PGHSConfig(replicates=0, fitting=FittingConfig(target="funnel"))
    fitted = PGHS.fit(check_log(market.table()), config)
    assert fitted.evaluate().stages is not None
    answers = fitted.what_if([TEN, ADS]).table.set_index("strategy")
    assert (answers.loc["ten", "answer"] == "estimate").all()
    assert answers.loc["ads", "warnings"].str.contains("never seen such ad_level").all()
