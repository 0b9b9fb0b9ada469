"""The reproduction of DuCA: its plan holds together, and miniatures of it run from warm start to verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fogline.agents.environments import make_environment
from fogline.benchmarks.reproduce import ReproduceConfig, reproduce
from fogline.benchmarks.reproduce import duca as experiment
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.duca import text
from fogline.benchmarks.reproduce.duca.plan import (
    ARMS,
    CLAIMS,
    ENVIRONMENT,
    FULL,
    HEADLINE,
    HIAN_SCALES,
    QUICK,
    SESSION_ONLY,
    TUNED,
    UNSEEN,
    WEIGHTS,
    WORLDS,
    Plan,
    hian,
    rival_arm,
    scoped,
    summed,
)
from fogline.benchmarks.reproduce.duca.training import SILENCED, train_arm
from fogline.core.rewards import RewardScheme
from fogline.trainers.hian import SCOPES
from fogline.trainers.recipes import make_recipe

torch.set_num_threads(1)

MINIATURE = Plan(
    tasks_per_update=2,
    group_size=2,
    updates=2,
    imitation_samples=1,
    imitation_epochs=1,
    domains=("mobile-plan",),
    scenarios=4,
    test_samples=1,
    seeds=(0,),
    headline_seeds=(),
    tuning_seeds=(100,),
    learning_rates=(1e-3,),
    weights=(0.1, 10.0),
    worlds=("default", "undisclosed"),
)


def scheme(**keywords: object) -> RewardScheme:
    env = make_environment(ENVIRONMENT, keywords)
    found = env.unwrapped.reward_scheme
    env.close()
    assert isinstance(found, RewardScheme)
    return found


def test_every_arm_is_a_recipe_and_every_claim_is_about_arms_and_worlds() -> None:
    assert {make_recipe(arm.recipe, **arm.options).name for arm in ARMS.values()} == {
        "duca", "grpo", "gdpo", "mt-grpo", "ppo",
    }  # fmt: skip
    known = {*ARMS, TUNED, *map(hian, HIAN_SCALES)}
    assert {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS} <= known
    assert {claim.metric.partition(", ")[2] or "default" for claim in CLAIMS} <= set(WORLDS)
    assert {ARMS[scoped(scope)].options["turn_scope"] for scope in SCOPES} == set(SCOPES)


def test_both_headline_scales_are_judged_on_two_variants_that_nobody_was_trained_on_and_on_the_tuned_rival() -> None:
    for scale in (1.0, 10.0):
        for world in ("", *(f", {variant}" for variant in UNSEEN)):
            judged = [claim for claim in CLAIMS if (claim.arm, claim.baseline) == (hian(scale), summed(scale))]
            mine = {
                (claim.metric.partition(",")[0], claim.paper.direction, claim.margin)
                for claim in judged
                if claim.metric.endswith(world or claim.metric)
            }
            assert {("conversion", "not lower", 0.02), ("repetition", "lower", 0.6), ("detected", "lower", 0.0)} <= mine
    assert any(claim.baseline == TUNED for claim in CLAIMS)


def test_seeds_are_enough_and_tuning_uses_others() -> None:
    assert len(FULL.seeds) >= 8
    assert not {*FULL.seeds, *FULL.headline_seeds} & set(FULL.tuning_seeds)
    assert all(len(set(FULL.seeds_of(arm))) == 16 for arm in HEADLINE)
    assert not set(QUICK.seeds) & set(QUICK.tuning_seeds)
    assert not set(text.FULL.seeds) & set(text.FULL.tuning_seeds)
    assert len(text.FULL.seeds) >= 5


def test_weight_on_the_turns_is_the_inverse_scale_of_the_session() -> None:
    own = scheme().turn
    for weight in WEIGHTS:
        changed = scheme(session_scale=rival_arm(weight).scale)
        assert changed.turn == own
        assert own["repetition"] / changed.session["conversion"] == pytest.approx(weight)


def test_the_session_only_arm_is_paid_nothing_for_turns() -> None:
    arm = ARMS[SESSION_ONLY]
    assert not arm.turns_paid
    silenced = scheme(turn_weights=SILENCED)
    assert set(silenced.turn.values()) == {0.0} and silenced.session["conversion"] == 1.0


@pytest.mark.parametrize("name", [scoped("group"), SESSION_ONLY, summed(10.0), "GDPO", "MT-GRPO", "PPO"])
def test_a_miniature_of_every_kind_of_arm_trains_and_is_measured_in_every_world(name: str) -> None:
    found = train_arm(MINIATURE, {name: (ARMS[name], 1e-3)}, Cell(name, 0))
    for world in ("", ", undisclosed"):
        assert 0 <= found["metrics"][f"conversion{world}"] <= 1
        assert 0 <= found["metrics"][f"repetition{world}"] <= 1
    assert found["metrics"]["env_steps"] > 0
    assert 0 <= (found["metrics"]["turn_share"] or 0.0) <= 1


def test_the_same_cell_gives_the_same_result() -> None:
    name = scoped("batch")
    one, two = (dict(train_arm(MINIATURE, {name: (ARMS[name], 1e-3)}, Cell(name, 0))["metrics"]) for _ in range(2))
    del one["train_s"], two["train_s"]
    assert one == two


def test_a_miniature_ends_in_verdicts_curves_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "QUICK", MINIATURE)
    monkeypatch.setattr(experiment, "run_cells", _in_this_process)
    config = ReproduceConfig(name="duca", quick=True, out=str(tmp_path), runs=str(tmp_path / "runs"))
    results = reproduce(config, lambda *_: None, "test")
    assert {arm.name for arm in results.arms} | set(map(scoped, SCOPES)) == {*ARMS, TUNED, *map(hian, HIAN_SCALES)}
    assert all(comparison.verdict == "not shown" for comparison in results.comparisons)
    page = (tmp_path / "duca.md").read_text()
    for plot in results.plots:
        picture = (tmp_path / f"duca-{plot.name}.svg").read_text()
        assert picture.lstrip().startswith("<?xml") and f"](duca-{plot.name}.svg)" in page


def _in_this_process(cells, function, folder, **_):  # type: ignore[no-untyped-def]
    from fogline.benchmarks.reproduce.cells import CellResult

    return [CellResult(cell.arm, cell.seed, "done", dict(function(cell))) for cell in cells]


def test_the_text_miniature_imitates_and_learns(tmp_path: Path) -> None:
    plan = text.TextPlan(
        scenarios=3,
        imitation_samples=2,
        imitation_epochs=1,
        imitation_rows=3,
        tasks_per_update=1,
        group_size=2,
        updates=1,
        max_context=4096,
        max_new_tokens=8,
        test_samples=1,
    )
    warm = text.warm_start(plan, tmp_path, Cell(text.WARM, 0))
    assert warm["metrics"]["agent_error"] == 0
    for name in (text.IMITATION, hian(1.0)):
        found = text.train_arm(plan, tmp_path, {hian(1.0): 1e-4}, Cell(name, 0))
        assert 0 <= found["metrics"]["repetition"] <= 1
