"""The fitting branch: one seed one model, signs that hold, no leak, any classifier, and a file that comes back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.fitting import FittingBranch, FittingConfig
from fogline.simulators.merchants.logs import CALIBRATE, TEST, TRAIN, check_log, ordered, time_split
from fogline.simulators.merchants.mining import mine
from fogline.simulators.merchants.policies import PolicyLibrary
from fogline.simulators.merchants.strategies import LOGGED, Intervention, Strategy
from fogline.simulators.merchants.world import WorldConfig, make_world

SMALL = FittingConfig(n_estimators=60)


@dataclass(frozen=True)
class Case:
    table: pd.DataFrame
    windows: np.ndarray
    policy_library: PolicyLibrary
    membership: np.ndarray
    rate: np.ndarray

    def fit(self, config: FittingConfig = SMALL, **options) -> FittingBranch:
        given = {"table": self.table, "membership": self.membership, "anchor_rate": self.rate}
        given |= {"windows": self.windows, "config": config, "seed": 0, "library": self.policy_library}
        return FittingBranch.fit(**(given | options))

    def predict(self, branch: FittingBranch, strategy: Strategy = LOGGED, rows: np.ndarray | None = None) -> np.ndarray:
        keep = np.ones(len(self.table), dtype=bool) if rows is None else rows
        table = strategy.apply(self.table[keep].reset_index(drop=True))
        return branch.predict(table, self.membership[keep], self.rate[keep])

    @property
    def test(self) -> np.ndarray:
        return self.windows == TEST


def make_case(seed: int = 0) -> Case:
    world = make_world(WorldConfig(n_merchants=40, n_trajectories=9_000, discounts="wide"), seed=seed)
    table = check_log(world.table()).table
    windows = time_split(table)
    library, _ = mine(table[windows == TRAIN].reset_index(drop=True), seed=seed)
    membership = library.membership(table)
    rate = membership @ np.array([policy.anchor for policy in library.policies])
    return Case(table, windows, library, membership, rate)


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case()


@pytest.fixture(scope="module")
def branch(case: Case) -> FittingBranch:
    return case.fit()


def text_of(branch: FittingBranch) -> str:
    return branch.stages["order"].estimator.model_to_string()


def log_loss(probability: np.ndarray, happened: np.ndarray) -> float:
    return -float(np.log(np.where(happened, probability, 1 - probability)).mean())


# One seed, one model


def test_two_fits_are_the_same_to_the_byte_and_another_seed_is_not(case: Case, branch: FittingBranch):
    assert text_of(case.fit()) == text_of(branch)
    assert text_of(case.fit(seed=1)) != text_of(branch)


_ELSEWHERE = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_fitting import FittingConfig, make_case, text_of
branch = make_case().fit(FittingConfig(n_estimators=4, num_threads=2))
print(hashlib.sha256(text_of(branch).encode()).hexdigest())
"""


def test_another_process_with_more_threads_finds_the_same_bytes(case: Case):
    here = hashlib.sha256(text_of(case.fit(FittingConfig(n_estimators=4))).encode()).hexdigest()
    # Threads that wait may sleep: on a busy machine they would fight for the same core.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "7"}
    script = _ELSEWHERE.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == here


def test_fitting_is_quiet(case: Case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        case.predict(case.fit())


# What it learns


def test_early_stopping_keeps_the_trees_of_the_best_round(case: Case):
    stopped = case.fit(FittingConfig(n_estimators=400, learning_rate=0.3, early_stopping=10, calibration="none"))
    trees = stopped.stages["order"].estimator.num_trees()
    assert 1 < trees < 390
    check = case.windows == CALIBRATE
    happened = ordered(case.table)[check]
    loss = log_loss(case.predict(stopped, rows=check), happened)
    for rounds in (trees // 2, trees + 9):
        # With as much patience as rounds there is no stopping, and the last trees stay where they do not help.
        longer = case.fit(
            FittingConfig(n_estimators=rounds, learning_rate=0.3, early_stopping=rounds + 1, calibration="none")
        )
        assert loss <= log_loss(case.predict(longer, rows=check), happened) + 1e-12


def test_probabilities_are_near_what_happened_and_better_than_the_base_rate(case: Case, branch: FittingBranch):
    happened = ordered(case.table)[case.test]
    found, base = (
        case.predict(one, rows=case.test) for one in (branch, case.fit(FittingConfig(estimator="base-rate")))
    )
    assert found.mean() == pytest.approx(happened.mean(), abs=0.03)
    assert log_loss(found, happened) < log_loss(base, happened) - 0.015
    assert branch.stages["order"].calibrator.kind == "isotonic"
    check = branch.stages["order"].check
    assert check is not None and branch.stages["order"].group_error == check.mean < check.floor + 0.03
    assert check.mean <= check.largest


def test_base_rate_is_the_training_rate(case: Case):
    base = case.fit(FittingConfig(estimator="base-rate", calibration="none"))
    assert case.predict(base) == pytest.approx(ordered(case.table)[case.windows == TRAIN].mean())


NEVER_STOPPED = FittingConfig(n_estimators=60, early_stopping=61, calibration="none")


def test_merchants_own_rate_helps_off_the_rows_it_was_learnt_on(case: Case):
    """Encoded by leaving one out, trees learn that a lower rate means an order, and gain a tenth of this."""
    happened = ordered(case.table)[case.test]
    found = case.predict(case.fit(NEVER_STOPPED), rows=case.test)
    assert log_loss(found, happened) < log_loss(np.full(len(found), happened.mean()), happened) - 0.02


def test_noise_is_not_learnt(case: Case):
    outcome = np.random.default_rng(3).permutation(case.table["outcome"].to_numpy())
    found = case.predict(case.fit(NEVER_STOPPED, table=case.table.assign(outcome=outcome)), rows=case.test)
    assert found.std() < 0.03
    assert found.mean() == pytest.approx((outcome == "order").mean(), abs=0.03)


def test_what_was_done_and_how_it_ended_does_not_count(case: Case, branch: FittingBranch):
    other = case.table.assign(n_tap_coupon=9, dwell_s=1.0, outcome="engage")
    assert (branch.predict(other, case.membership, case.rate) == case.predict(branch)).all()


def test_policies_count_where_the_branch_is_guided(case: Case, branch: FittingBranch):
    unguided = case.fit(FittingConfig(n_estimators=60, policies=False))
    turned = np.roll(case.membership, 1, axis=1)
    assert (branch.predict(case.table, turned, 1 - case.rate) != case.predict(branch)).any()
    assert (unguided.predict(case.table, turned, 1 - case.rate) == case.predict(unguided)).all()


# Signs


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("discount", np.linspace(0, 0.6, 13)),
        ("price_level", np.geomspace(2.5, 0.4, 13)),
        ("coupon_value", (0.0, 0.2, 0.4)),
    ],
)
def test_levers_act_only_the_way_all_policies_agree_on_even_calibrated(
    case: Case, branch: FittingBranch, field: str, values: np.ndarray
):
    signs = case.policy_library.signs()
    assert (signs["discount"], signs["coupon_value"], signs["price_level"]) == (1, 1, -1)
    found = [case.predict(branch, Strategy("s", (Intervention(field, "set", float(value)),))) for value in values]
    assert (np.diff(found, axis=0) >= 0).all()
    assert found[-1].mean() > found[0].mean()


def test_a_callers_sign_takes_the_place_of_the_policies(case: Case):
    down = case.fit(signs={"discount": -1})
    found = [case.predict(down, Strategy("s", (Intervention("discount", "set", value),))) for value in (0.0, 0.2, 0.4)]
    assert (np.diff(found, axis=0) <= 0).all()


def test_without_monotone_no_sign_holds(case: Case):
    free = case.fit(FittingConfig(n_estimators=60, monotone=False))
    assert "[monotone_constraints: ]" in text_of(free)
    assert text_of(free) == text_of(case.fit(FittingConfig(n_estimators=60, monotone=False), signs={"discount": -1}))


@pytest.mark.parametrize("signs", [{"category": 1}, {"rating": 1}, {"discount": 2}, {"discounts": 1}])
def test_signs_are_for_levers(case: Case, signs: dict[str, int]):
    with pytest.raises(ConfigurationError, match="expected 1 or -1 by lever"):
        case.fit(signs=signs)


# Other classifiers


@pytest.mark.parametrize("estimator", ["logistic", RandomForestClassifier(40, min_samples_leaf=20)])
def test_any_classifier_takes_the_place_of_trees(case: Case, estimator: object):
    config = FittingConfig(estimator=estimator)
    one, again = case.fit(config), case.fit(config)
    happened = ordered(case.table)[case.test]
    found = case.predict(one, rows=case.test)
    assert (found == case.predict(again, rows=case.test)).all()
    assert log_loss(found, happened) < log_loss(np.full(len(found), happened.mean()), happened) - 0.02
    if not isinstance(estimator, str):
        assert not hasattr(estimator, "classes_") and estimator.get_params()["random_state"] is None


def test_categories_are_no_numbers_to_a_linear_model(case: Case):
    """The middle one of three categories can stand out."""
    rng = np.random.default_rng(0)
    category = rng.integers(0, 3, len(case.table))
    outcome = np.where(rng.random(len(category)) < np.array([0.2, 0.8, 0.2])[category], "order", "engage")
    table = case.table.assign(category=np.array(["a", "b", "c"])[category], outcome=outcome)
    fitted = case.fit(FittingConfig(estimator="logistic"), table=table)
    found = fitted.predict(table, case.membership, case.rate)
    assert [found[category == kind].mean() for kind in range(3)] == pytest.approx([0.2, 0.8, 0.2], abs=0.04)


@pytest.mark.parametrize("estimator", ["lightgb", 3, RandomForestClassifier])
def test_what_is_no_classifier_is_refused_at_once(estimator: object):
    with pytest.raises(ValueError, match="expected one of 'lightgbm', 'logistic', 'base-rate', or an instance"):
        FittingConfig(estimator=estimator)


# What it has never seen


def test_new_merchants_categories_and_gaps_are_answered_and_told(case: Case, branch: FittingBranch):
    strange = case.table.head(50).assign(merchant_id="new", category="grill", price_level=np.nan).drop(columns="hour")
    found = branch.predict(strange, case.membership[:50], case.rate[:50])
    assert np.isfinite(found).all() and ((found > 0) & (found < 1)).all()
    assert [note.column for note in branch.notes(strange)] == ["category", "hour"]


def test_strange_names_of_badges_are_no_matter(case: Case):
    names = np.array(["", "top: 10%", "老店|新店", 'a "b"'])
    badges = names[np.arange(len(case.table)) % len(names)]
    fitted = case.fit(FittingConfig(n_estimators=5), table=case.table.assign(badges=badges))
    assert FittingBranch.from_json(json.loads(json.dumps(fitted.to_json()))).builder == fitted.builder


def test_rows_that_all_ended_alike_teach_nothing(case: Case):
    with pytest.raises(DataError, match="ended alike"):
        case.fit(table=case.table.assign(outcome="order"))


# As a file


def test_branch_comes_back_from_its_file_to_the_bit(case: Case, branch: FittingBranch, tmp_path: Path):
    branch.save(tmp_path / "branch.json")
    again = FittingBranch.load(tmp_path / "branch.json")
    assert (case.predict(again) == case.predict(branch)).all()
    assert text_of(again) == text_of(branch)
    assert again.config == branch.config and again.stages["order"].check == branch.stages["order"].check
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "branch.json").read_bytes()


def test_classifiers_without_a_safe_format_are_not_written(case: Case, tmp_path: Path):
    with pytest.raises(DataError, match="cannot be written safely: fit with estimator='lightgbm'"):
        case.fit(FittingConfig(estimator="logistic")).save(tmp_path / "branch.json")
    assert not list(tmp_path.iterdir())


def test_what_is_no_branch_is_not_read(tmp_path: Path):
    (tmp_path / "branch.json").write_text("{}", "utf-8")
    for name in ("branch.json", "gone.json"):
        with pytest.raises(DataError, match="holds no fitting branch"):
            FittingBranch.load(tmp_path / name)
