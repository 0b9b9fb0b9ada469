"""The invariants of the process score (specification 6.5)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fogline.envs.visual_table.process import calculation_holds, check, score_of, step_validity
from fogline.simulators.tables.generated import LEVELS
from fogline.simulators.tables.records import Cell, Step, Table, TableTask
from fogline.simulators.tables.rendering import render
from fogline.simulators.tables.sources import load_tables

TASKS = [
    *load_tables(tasks_per_level=12),
    *load_tables(size="tiny", tasks_per_level=6),
]


def grounding(task: TableTask) -> list[int]:
    return [place for place, step in enumerate(task.steps) if step.kind == "read"]


def test_a_gold_trace_is_perfect_in_both_forms() -> None:
    for task in TASKS:
        for form in ("product", "prefix"):
            found = check(task.table, task.steps, task.steps, form=form)  # type: ignore[arg-type]
            assert (found.score, found.precision, found.coverage, found.redundancy, found.misplaced) == (1, 1, 1, 0, 0)


@pytest.mark.parametrize("form", ["product", "prefix"])
def test_any_single_shifted_anchor_lowers_the_score(form: str) -> None:
    for task in TASKS:
        for place, step in enumerate(task.steps):
            if not isinstance(step.anchor, Cell):
                continue
            for row, column in ((1, 0), (-1, 0), (0, 1), (0, -1), (50, 0)):
                anchor = Cell(step.anchor.row + row, step.anchor.column + column)
                if anchor in task.table and step.kind == "read" and task.table.text(anchor) == step.value:
                    continue  # the neighbour says the same: nothing was misread
                steps = [*task.steps[:place], replace(step, anchor=anchor), *task.steps[place + 1 :]]
                found = check(task.table, steps, task.steps, form=form)  # type: ignore[arg-type]
                assert found.score < 1 and not found.valid[place] and found.misplaced >= 1


def test_without_a_grounding_step_the_score_falls_and_what_depends_on_it_does_not_hold() -> None:
    for task in TASKS:
        values = [task.steps[place].value for place in grounding(task)]
        if len(set(values)) < len(values):
            continue
        for place in grounding(task):
            steps = [*task.steps[:place], *task.steps[place + 1 :]]
            found = check(task.table, steps, task.steps)
            assert found.score < 1
            later = zip(steps[place:], found.valid[place:], strict=True)
            assert not any(held for step, held in later if step.kind in ("calc", "pick"))


def test_repeating_steps_never_raises_the_score() -> None:
    rng = np.random.default_rng(0)
    for task in TASKS:
        steps = list(task.steps)
        spoilt = int(rng.integers(len(steps)))
        steps[spoilt] = replace(steps[spoilt], value="nonsense", name="nonsense")
        for start in (list(task.steps), steps):
            before = check(task.table, start, task.steps).score
            for place in range(len(start)):
                padded = [*start, start[place]]
                assert check(task.table, padded, task.steps).score <= before


def test_padding_with_true_but_needless_steps_costs_beyond_twice_the_gold() -> None:
    task = next(task for task in TASKS if task.level == 1 and task.table.height >= 3)
    needless = [Step("read", anchor=cell, value=task.table.text(cell)) for cell in task.table.cells()]
    found = check(task.table, [*task.steps, *needless], task.steps)
    assert found.redundancy > 0 and 0 < found.score < 1


def test_without_anchors_the_score_is_nothing() -> None:
    for task in TASKS:
        bare = [step for step in task.steps if step.anchor is None] or [Step("calc", "sum", operands=("1",), value="1")]
        assert check(task.table, bare, task.steps).score == 0
    assert check(TASKS[0].table, (), TASKS[0].steps).score == 0


def test_rows_and_anchors_that_move_together_score_the_same() -> None:
    rng = np.random.default_rng(1)
    for task in TASKS:
        order = [int(place) for place in rng.permutation(task.table.height)]
        moved = {old + 1: new + 1 for new, old in enumerate(order)}
        table = replace(task.table, rows=tuple(task.table.rows[place] for place in order))

        def follow(step: Step, moved: dict[int, int] = moved) -> Step:
            if not isinstance(step.anchor, Cell) or step.anchor.row == 0:
                return step
            return replace(step, anchor=Cell(moved[step.anchor.row], step.anchor.column))

        steps = [follow(step) for step in task.steps]
        assert check(table, steps, steps) == check(task.table, task.steps, task.steps)


def test_anchors_in_pixels_score_like_cells() -> None:
    for task in TASKS[:20]:
        picture = render(
            task.table, "tiny" if task.table.header[0].isupper() and len(task.table.header[0]) == 1 else "pretty"
        )
        steps = [
            replace(step, anchor=picture.box(step.anchor)) if isinstance(step.anchor, Cell) else step
            for step in task.steps
        ]
        assert check(task.table, steps, task.steps, picture=picture).score == 1
        assert check(task.table, steps, task.steps).score == 0


TABLE = Table(("Team", "Points", "Note"), (("Otters", "12", "x"), ("Ravens", "7", "y"), ("Lynxes", "30", "12")))


def find(name: str, row: int, column: int) -> Step:
    return Step("find", name, Cell(row, column))


def read(row: int, column: int, value: str) -> Step:
    return Step("read", anchor=Cell(row, column), value=value)


def calc(name: str, value: str, *operands: str) -> Step:
    return Step("calc", name, operands=operands, value=value)


@pytest.mark.parametrize(
    ("steps", "valid"),
    [
        ([find("points", 0, 2)], [True]),
        ([find("Otters", 1, 1)], [True]),
        ([find("12", 1, 2)], [False]),  # strict: no name stands there
        ([find("Points", 1, 2)], [False]),
        ([find("Points", 9, 9)], [False]),
        ([read(1, 2, "12.0"), read(1, 2, "12.0")], [True, False]),
        ([read(1, 2, "12"), read(1, 2, "12.0")], [True, True]),  # said otherwise, so no exact repeat
        ([calc("sum", "19", "12", "7")], [False]),  # operands come from nowhere
        ([read(1, 2, "12"), read(2, 2, "7"), calc("sum", "19", "12", "7")], [True, True, True]),
        ([read(1, 2, "13"), read(2, 2, "7"), calc("sum", "20", "13", "7")], [False, True, False]),
        ([read(1, 2, "12"), calc("sum", "24", "12", "12"), calc("sum", "36", "24", "12")], [True, True, True]),
        ([read(1, 2, "12"), Step("pick", "max", Cell(1, 2))], [True, False]),  # not all were read
        (
            [read(1, 2, "12"), read(2, 2, "7"), read(3, 2, "30"), Step("pick", "max", Cell(3, 2))],
            [True, True, True, True],
        ),
        (
            [read(1, 2, "12"), read(2, 2, "7"), read(3, 2, "30"), Step("pick", "min", Cell(3, 2))],
            [True, True, True, False],
        ),
        (
            [read(1, 3, "x"), read(2, 3, "y"), read(3, 3, "12"), Step("pick", "max", Cell(3, 3))],
            [True, True, True, False],  # not all are numbers
        ),
        ([Step("pick", "max", Cell(0, 2))], [False]),
        ([Step("invalid")], [False]),
    ],
)
def test_each_kind_of_step(steps: list[Step], valid: list[bool]) -> None:
    assert step_validity(TABLE, steps) == valid


def test_the_loose_rule_takes_any_cell_of_the_named_row_or_column() -> None:
    for step, held in ((find("Points", 2, 2), True), (find("Otters", 1, 3), True), (find("Otters", 2, 3), False)):
        assert step_validity(TABLE, [step], find_rule="row_or_column") == [held]
        assert step_validity(TABLE, [step]) == [False]


@pytest.mark.parametrize(
    ("step", "holds"),
    [
        (calc("difference", "5", "12", "7"), True),
        (calc("difference", "5", "12", "7", "0"), False),
        (calc("product", "84", "12", "7"), True),
        (calc("ratio", "2", "14", "7"), True),
        (calc("ratio", "0", "14", "0"), False),
        (calc("average", "2.5", "2", "3"), True),
        (calc("max", "3", "2", "3"), True),
        (calc("min", "2", "2", "3"), True),
        (calc("count", "2", "2", "3"), True),
        (calc("count>2", "1", "2", "3"), True),
        (calc("count<2.5", "1", "2", "3"), True),
        (calc("count>2", "2", "2", "3"), False),
        (calc("greater", "true", "3", "2"), True),
        (calc("greater", "False", "2", "3"), True),
        (calc("less", "yes", "2", "3"), False),
        (calc("equal", "true", "2", "2.0"), True),
        (calc("median", "2", "2"), False),
        (calc("sum", "x", "2"), False),
        (calc("sum", "2", "x"), False),
        (calc("sum", "1234", "1,000", "234"), True),
    ],
)
def test_calculations(step: Step, holds: bool) -> None:
    assert calculation_holds(step) is holds


def test_without_a_gold_trace_one_valid_reading_is_what_coverage_asks_for() -> None:
    assert check(TABLE, [find("Points", 0, 2)]).score == 0
    assert check(TABLE, [find("Points", 0, 2), read(1, 2, "12")]).score == 1
    assert check(TABLE, [find("Points", 0, 2), read(1, 2, "12"), read(2, 2, "9")]).score == pytest.approx(2 / 3)


def test_a_critics_scores_take_the_place_of_the_check() -> None:
    task = TASKS[0]
    ones = score_of(task.table, task.steps, [1.0] * len(task.steps), task.steps)
    half = score_of(task.table, task.steps, [0.5] * len(task.steps), task.steps)
    none = score_of(task.table, task.steps, [0.0] * len(task.steps), task.steps)
    assert (ones.score, half.score, none.score) == (1.0, 0.5, 0.0)


def test_scores_stay_within_bounds() -> None:
    rng = np.random.default_rng(3)
    for task in TASKS:
        pool = [*task.steps, Step("invalid"), read(0, 1, "?"), calc("sum", "1", "1")]
        for _ in range(10):
            steps = [pool[index] for index in rng.integers(len(pool), size=int(rng.integers(0, 12)))]
            for form in ("product", "prefix"):
                assert 0 <= check(task.table, steps, task.steps, form=form).score <= 1  # type: ignore[arg-type]
    assert {task.level for task in TASKS} == set(LEVELS)
