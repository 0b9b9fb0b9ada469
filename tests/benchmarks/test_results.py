"""Results of reproductions: paired comparisons, verdicts, cells that resume, the page that is written."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest
import toy_cells
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fogline.benchmarks.reproduce.cells import Cell, CellResult, run_cells, wall_clock
from fogline.benchmarks.reproduce.report import duration, figure, markdown
from fogline.benchmarks.reproduce.results import (
    Arm,
    Curve,
    Direction,
    Published,
    Results,
    Verdict,
    arms_of,
    compare,
    curve_of,
    failures_of,
    verdict,
)
from fogline.core.errors import ConfigurationError, DataError
from fogline.core.intervals import student_t, t_quantile

HIGHER, LOWER = Published(direction="higher"), Published(direction="lower")
NUMBERS = st.floats(-1e3, 1e3)


@pytest.mark.parametrize(
    ("freedom", "confidence", "printed"),
    [(1, 0.95, 12.706), (2, 0.95, 4.303), (4, 0.95, 2.776), (9, 0.95, 2.262), (30, 0.95, 2.042), (5, 0.99, 4.032)],
)
def test_the_quantiles_are_those_of_the_printed_table(freedom: int, confidence: float, printed: float) -> None:
    assert round(t_quantile(freedom, confidence), 3) == printed


def test_with_many_degrees_of_freedom_it_is_the_normal_quantile() -> None:
    assert t_quantile(100_000) == pytest.approx(1.959964, abs=1e-4)


def test_the_interval_of_a_mean_is_students() -> None:
    low, high = student_t([1.0, 2.0, 3.0, 4.0, 5.0]) or (math.nan, math.nan)
    assert (low + high) / 2 == pytest.approx(3.0)
    assert (high - low) / 2 == pytest.approx(2.7764451 * math.sqrt(2.5 / 5), abs=1e-6)
    assert student_t([1.0, 2.0]) is None
    assert student_t([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_differences_are_paired_by_seed_whatever_the_order_of_the_seeds() -> None:
    arms = [
        Arm(name="a", seeds=(3, 1, 2), metrics={"x": (13.0, 11.0, 12.5)}),
        Arm(name="b", seeds=(1, 2, 3, 4), metrics={"x": (1.0, 2.0, 3.0, 99.0)}),
    ]
    found = compare(arms, "x", "a", "b", paper=HIGHER)
    differences = [10.0, 10.0, 10.5]
    assert found.difference == pytest.approx(sum(differences) / 3)
    assert found.ci95 == pytest.approx(student_t(differences))
    assert found.verdict == "same direction"


def test_a_run_that_cannot_say_is_no_pair() -> None:
    arms = [
        Arm(name="a", seeds=(0, 1, 2), metrics={"x": (1.0, None, 1.0)}),
        Arm(name="b", seeds=(0, 1, 2), metrics={"x": (0.0, 0.0, 0.0)}),
    ]
    found = compare(arms, "x", "a", "b", paper=HIGHER)
    assert (found.difference, found.ci95, found.verdict) == (1.0, None, "not shown")


@pytest.mark.parametrize(
    ("difference", "ci95", "margin", "direction", "expected"),
    [
        (1.0, (0.1, 1.9), 0.5, "higher", "same direction"),
        (1.0, (0.1, 1.9), 1.0, "higher", "same direction"),
        (1.0, (0.1, 1.9), 1.1, "higher", "not shown"),
        (1.0, (0.0, 2.0), 0.0, "higher", "not shown"),
        (-1.0, (-1.9, -0.1), 0.5, "higher", "opposite"),
        (-1.0, (-1.9, -0.1), 1.1, "higher", "not shown"),
        (-1.0, (-1.9, -0.1), 0.5, "lower", "same direction"),
        (1.0, (0.1, 1.9), 0.5, "lower", "opposite"),
        (1.0, None, 0.0, "higher", "not shown"),
        (None, None, 0.0, "lower", "not shown"),
        (0.0, (0.0, 0.0), 0.0, "higher", "not shown"),
    ],
)
def test_the_verdict_needs_an_interval_beyond_zero_and_a_difference_of_the_margin(
    difference: float | None,
    ci95: tuple[float, float] | None,
    margin: float,
    direction: Direction,
    expected: Verdict,
) -> None:
    assert verdict(difference, ci95, margin, direction) == expected


@given(NUMBERS, st.floats(0, 100), st.floats(0, 10))
def test_turning_the_claim_around_turns_the_verdict_around(difference: float, half: float, margin: float) -> None:
    ci95 = (difference - half, difference + half)
    turned = {"same direction": "opposite", "opposite": "same direction", "not shown": "not shown"}
    assert verdict(difference, ci95, margin, "lower") == turned[verdict(difference, ci95, margin, "higher")]


def test_what_was_not_measured_is_refused_with_what_was() -> None:
    arms = [Arm(name="dual", seeds=(0,), metrics={"ex": (1.0,)})]
    with pytest.raises(ConfigurationError, match="Did you mean 'dual'"):
        compare(arms, "ex", "dua", "dual", paper=HIGHER)
    with pytest.raises(ConfigurationError, match="metric='em' is unknown: expected one of 'ex'"):
        compare(arms, "em", "dual", "dual", paper=HIGHER)
    with pytest.raises(ConfigurationError, match="margin=-1"):
        compare(arms, "ex", "dual", "dual", paper=LOWER, margin=-1)


def test_an_arm_has_one_finite_value_per_seed() -> None:
    with pytest.raises(ValidationError, match="1 values for 2 seeds"):
        Arm(name="a", seeds=(0, 1), metrics={"x": (1.0,)})
    with pytest.raises(ValidationError, match="finite"):
        Arm(name="a", seeds=(0,), metrics={"x": (math.nan,)})


def test_arms_and_curves_are_read_from_the_cells_that_ended_well() -> None:
    cells = [
        CellResult("a", 0, "done", {"metrics": {"x": 1.0}, "curves": {"x": [[0, 2.0], [10, 4.0], [20, 9.0]]}}),
        CellResult("a", 1, "failed", error="Traceback\nValueError: no"),
        CellResult("a", 2, "done", {"metrics": {"x": 3.0, "y": 5.0}, "curves": {"x": [[0, 4.0], [10, 8.0]]}}),
    ]
    (arm,) = arms_of(cells)
    assert (arm.seeds, arm.metrics) == ((0, 2), {"x": (1.0, 3.0), "y": (None, 5.0)})
    assert [(item.seed, item.error) for item in failures_of(cells)] == [(1, "ValueError: no")]
    curve = curve_of(cells, "a", "x", "update")
    assert (curve.x, curve.mean, curve.low) == ((0, 10), (3.0, 6.0), (None, None))


def test_cells_run_once_fail_alone_and_go_on_where_they_were(tmp_path: Path) -> None:
    diary, folder = tmp_path / "diary", tmp_path / "cells"
    function = partial(toy_cells.play, diary=str(diary))
    told: list[tuple[int, int, str]] = []
    cells = [Cell("broken", 0), Cell("killed", 0), Cell("better", 1)]
    first = run_cells(cells, function, folder, config={}, on_progress=lambda *now: told.append(now))
    assert [result.status for result in first] == ["failed", "failed", "done"]
    assert "ValueError: seed 0 is unlucky" in first[0].error
    assert "exit code -9" in first[1].error
    assert first[2].value["metrics"] == {"score": 2.0, "threads": 1}
    assert (told[0], told[-1]) == ((0, 3, ""), (3, 3, "2 failed"))
    spent = wall_clock(folder)
    again = run_cells([*cells[::2], Cell("base", 1)], function, folder, config={}, workers=1)
    assert again[1] == first[2]
    assert sorted(diary.read_text().split()) == sorted(["broken-0", "killed-0", "better-1", "broken-0", "base-1"])
    assert wall_clock(folder) > spent > 0
    assert not list(folder.glob("*.part"))


def test_cells_of_another_configuration_are_not_taken_over(tmp_path: Path) -> None:
    cells = [Cell("base", 0)]
    run_cells(cells, toy_cells.play, tmp_path, config={"rate": 1}, workers=1)
    with pytest.raises(ConfigurationError, match="another configuration"):
        run_cells(cells, toy_cells.play, tmp_path, config={"rate": 2}, workers=1)
    run_cells(cells, toy_cells.play, tmp_path, config={"rate": 2}, workers=1, resume=False)
    next(tmp_path.glob("base-*.json")).write_text("{")
    with pytest.raises(DataError, match="no finished cell"):
        run_cells(cells, toy_cells.play, tmp_path, config={"rate": 2}, workers=1)


def test_cells_that_cannot_be_kept_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="seed 0 is there twice"):
        run_cells([Cell("base", 0)] * 2, toy_cells.play, tmp_path, config={})
    with pytest.raises(ConfigurationError, match="workers=0"):
        run_cells([], toy_cells.play, tmp_path, config={}, workers=0)


def results() -> Results:
    arms = (
        Arm(name="grpo", seeds=(0, 1, 2), metrics={"ex": (0.1, 0.2, 0.3)}),
        Arm(name="a|b", seeds=(0, 1, 2), metrics={"ex": (0.3, 0.4, 0.5)}),
    )
    paper = Published(direction="higher", difference=0.125, source="Table 2")
    return Results(
        system="Toy",
        claim="Better is better.",
        paper={"figures": {"ex": 0.6}},
        config={"rate": 0.001},
        plan={"arms": ["grpo", "a|b"], "margins": {"ex": 0.05}},
        arms=arms,
        comparisons=(compare(arms, "ex", "a|b", "grpo", paper=paper, margin=0.05),),
        curves=(Curve(arm="grpo", metric="ex", x_label="update", x=tuple(range(100)), mean=tuple(range(100))),),
        command="fogline reproduce toy",
        versions={"python": "3.11"},
        hardware={"cores": 2},
        wall_clock_s=3725.0,
    )


def test_the_json_has_the_keys_of_the_design_in_their_order_and_reads_back() -> None:
    plain = results().to_json()
    named = [
        "system",
        "claim",
        "paper",
        "command",
        "versions",
        "hardware",
        "wall_clock_s",
        "config",
        "plan",
        "arms",
        "comparisons",
    ]
    assert list(plain)[: len(named)] == named
    comparison = plain["comparisons"][0]
    keys = ["metric", "arm", "baseline", "difference", "ci95", "margin", "paper", "verdict", "relative"]
    assert list(comparison) == keys
    assert Results.model_validate_json(json.dumps(plain, allow_nan=False)) == results()


def test_the_page_says_what_the_json_says() -> None:
    page = markdown(results(), "trust-sql")
    assert "| grpo | 3 | 0.2 (-0.0484 … 0.448) |" in page
    assert "| ex | a\\|b | grpo | 0.2 | 0.2 … 0.2 | 0.05 | higher (+0.125), Table 2 | **same direction** |" in page
    assert "- margins:\n  - ex: 0.05" in page
    assert "Wall-clock: 1 h 2 min" in page
    assert "`fogline reproduce toy`" in page
    rows = page.partition("| update | grpo |")[2].split("\n\n")[0].splitlines()[2:]
    assert (rows[0], rows[-1], len(rows)) == ("| 0 | 0 |", "| 99 | 99 |", 8)


def test_figures_and_durations_are_short() -> None:
    assert [figure(value) for value in (None, 0.12345, 12345.6, -1.0)] == ["–", "0.123", "12,346", "-1"]
    assert [duration(value) for value in (5.4, 65, 7260)] == ["5 s", "1 min 5 s", "2 h 1 min"]


@pytest.mark.parametrize(
    ("ci95", "expected"),
    [
        ((-0.02, 0.5), "same direction"),
        ((-0.021, 0.5), "not shown"),
        ((-0.5, -0.02), "not shown"),
        ((-0.5, -0.03), "opposite"),
    ],
)
def test_not_lower_is_shown_where_the_interval_stays_above_minus_the_margin(
    ci95: tuple[float, float], expected: Verdict
) -> None:
    assert verdict((ci95[0] + ci95[1]) / 2, ci95, 0.02, "not lower") == expected


def test_relative_differences_are_shares_of_the_baselines_mean() -> None:
    arms = [
        Arm(name="a", seeds=(0, 1, 2), metrics={"x": (0.1, 0.2, 0.3), "zero": (0.1, 0.1, 0.1)}),
        Arm(name="b", seeds=(0, 1, 2), metrics={"x": (0.3, 0.5, 0.7), "zero": (0.0, 0.0, 0.0)}),
    ]
    found = compare(arms, "x", "a", "b", paper=LOWER, margin=0.6, relative=True)
    assert found.difference == pytest.approx(-0.6)
    assert found.ci95 == pytest.approx(student_t([-0.4, -0.6, -0.8]))
    assert found.verdict == "same direction"
    nothing = compare(arms, "zero", "a", "b", paper=LOWER, relative=True)
    assert (nothing.difference, nothing.ci95, nothing.verdict) == (None, None, "not shown")


def test_a_picture_is_the_same_file_every_time_and_leaves_out_other_arms(tmp_path: Path) -> None:
    from fogline.benchmarks.reproduce.plots import draw
    from fogline.benchmarks.reproduce.results import Plot

    curves = [
        Curve(arm=arm, metric="m", x_label="updates", x=(1, 2), mean=(0.0, 1.0), low=(None, 0.5), high=(None, 1.5))
        for arm in ("shown", "hidden")
    ]
    plot = Plot(name="p", title="Title", metric="m", y_label="share", arms=("shown",))
    for name in ("one.svg", "two.svg"):
        draw(plot, curves, tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two
    draw(plot.model_copy(update={"arms": ()}), curves, tmp_path / "all.svg")
    assert (tmp_path / "all.svg").read_bytes() != one
