"""What answers are worth: canonical forms, tolerances, partial correctness repaired and as published."""

from __future__ import annotations

import enum
import json
import math
import time
from dataclasses import FrozenInstanceError
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench.scoring import (
    DEEPEST,
    LONGEST_LITERAL,
    LONGEST_TEXT,
    MOST_VALUES,
    NOT_PARSED,
    AnswerScores,
    canonical,
    correct,
    partial_correctness,
    published_partial,
    score_answers,
    strict_correct,
)
from fogline.envs.silo_bench.tasks.iii_21_distributed_sort import DistributedSort
from fogline.envs.silo_bench.tasks.task import SiloTask


def scored_as(task_id: str, tolerance: float = 0.0) -> SiloTask:
    """A task that has a level and a tolerance, and nothing else."""
    methods = dict.fromkeys(SiloTask.__abstractmethods__)
    return type("Scored", (SiloTask,), {"task_id": task_id, "tolerance": tolerance, **methods})()


ONE, TWO, THREE = scored_as("I-01"), scored_as("II-17"), scored_as("III-21")
LEVELS = (ONE, TWO, THREE, scored_as("I-07", 0.01), scored_as("II-12", 0.01), scored_as("III-27", 1e-3))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)
truths = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("012"), inner, max_size=3),
    max_leaves=8,
)


class Colour(enum.IntEnum):
    RED = 3


def circular() -> list[Any]:
    held: list[Any] = []
    held.extend([held] * 10)
    return held


def shared(levels: int) -> list[Any]:
    """Ten references to ten references to …: few objects, astronomically many values."""
    held: list[Any] = [1]
    for _ in range(levels):
        held = [held] * 10
    return held


def nested(levels: int) -> list[Any]:
    held: list[Any] = []
    for _ in range(levels):
        held = [held]
    return held


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (" 42\n", 42),
        ("-1.50", -1.5),
        ("3.0", 3),
        ("1e2", 100),
        ("+5", 5),
        ("true", True),
        ("False", False),
        ("Candidate_A", "Candidate_A"),
        ('"Candidate_A"', "Candidate_A"),
        ("'it\\'s'", "it's"),
        ("[1, 2.0, 2.5]", [1, 2, 2.5]),
        ("(1, (2, 3))", [1, [2, 3]]),
        ("[1, 2,]", [1, 2]),
        ("{0: 1, 1: -1}", {"0": 1, "1": -1}),
        ('{"0": 1}', {"0": 1}),
        ("{'a': None, 'b': True}", {"a": None, "b": True}),
        ("[('U1', 'I2', 2.5)]", [["U1", "I2", 2.5]]),
        ("the answer is 42", "the answer is 42"),
        ((1, 2.0), [1, 2]),
        ({1: (True,), None: 2, False: 3, 1.5: 4}, {"1": [True], "null": 2, "false": 3, "1.5": 4}),
        (Colour.RED, 3),
        (np.float64(2.5), 2.5),
    ],
)
def test_canonical_forms(answer: object, value: object) -> None:
    found = canonical(answer)
    assert found == value
    assert json.dumps(found) == json.dumps(value)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        "  \n",
        "null",
        "None",
        "{1, 2}",
        {1, 2},
        b"12",
        1j,
        object(),
        [object()],
        {(1, 2): 3},
        10**400,
        {10**5000: 1},
        "1" * 400,
        "x" * (LONGEST_TEXT + 1),
        [0] * (MOST_VALUES + 1),
        nested(DEEPEST + 1),
        nested(100_000),
        circular(),
        shared(40),
        np.arange(3),
    ],
)
def test_null_and_what_json_does_not_have_are_not_parsed(answer: object) -> None:
    assert canonical(answer) is NOT_PARSED
    assert not correct(answer, 1)
    assert score_answers([answer], [1], ONE) == AnswerScores((False,), (0.0,), (False,), (0.0,), 1)


def test_limits_leave_room_for_the_longest_honest_answers() -> None:
    matrix = [[3025] * 100] * 100
    ranks = {node: 0.001234 for node in range(800)}
    assert len(repr(ranks)) < LONGEST_LITERAL
    assert canonical(json.dumps(matrix, indent=4)) == canonical(matrix) == matrix
    assert canonical(repr(ranks)) == {str(node): rank for node, rank in ranks.items()}


@given(json_values)
def test_text_and_value_have_the_same_canonical_form(value: Any) -> None:
    if not isinstance(value, str):
        text = json.dumps(value)
        assert repr(canonical(text)) == repr(canonical(value))
        assert correct(value, True) == correct(text, True)


@given(truths)
def test_python_literals_are_as_good_as_json(value: Any) -> None:
    if not isinstance(value, str):
        assert canonical(repr(value)) == canonical(json.dumps(value))


@given(json_values | st.text() | st.text(alphabet="[](){}:,'\"0123456789.eE+-TrueFalsNn \\\n", max_size=30), truths)
@example("(1)(2)", [1])
@example("{[]: 1}", {})
@example("1" + ".0" * 100, 1.0)
@example(float("nan"), 1.0)
@example(float("inf"), 1.0)
@example(10**400, 0.5)
@example([10**308], [0.5])
@example("\ud800", "a")
@example("'\x00'", "a")
@example([[1]], [1, 2])
@example({"0": [1]}, {"0": 1})
def test_no_answer_raises_and_a_correct_one_is_worth_1(answer: Any, expected: Any) -> None:
    for task in LEVELS:
        scores = score_answers([answer, answer], [expected, expected], task)
        assert 0.0 <= scores.partial[0] <= 1.0
        assert (scores.partial[0] == 1.0) or not scores.correct[0]
        assert scores.published[0] is None or 0.0 <= scores.published[0] <= 1.0
        assert scores.correct == (correct(answer, expected, task.tolerance),) * 2
        assert scores.partial == (partial_correctness(answer, expected, task),) * 2
        assert scores.strict == (strict_correct(answer, expected),) * 2
        assert scores.published == (published_partial(answer, expected, task),) * 2


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 200_000,
        "[" * 100_000 + "]" * 100_000,
        "(" * 30_000 + "1" + ")" * 30_000,
        "(" * 150 + "1" + ")" * 150,
        "{1:" * 20_000 + "1" + "}" * 20_000,
        "-" * 60_000 + "1",
        "1" + "+1" * 30_000,
        "1" + " -1" * 20_000,
        "not " * 15_000 + "1",
        "lambda:" * 9_000 + "1",
        "()" * 30_000,
        "[1]" * 20_000,
        "9" * 200_000,
        "'" * 60_001,
        "'" + "\\'" * 30_000,
        "1" * 60_000 + "..",
        "[" + "1," * 130_000 + "1]",
        "(" + "1," * 32_000 + "1)",
        list(range(MOST_VALUES)),
        [5] * MOST_VALUES,
        circular(),
        shared(40),
    ],
)
@pytest.mark.parametrize("task", [TWO, THREE], ids=["II", "III"])
def test_hostile_answers_are_dealt_with_quickly(answer: Any, task: SiloTask) -> None:
    start = time.process_time()
    scores = score_answers([answer] * 5, [[1, 2, 3]] * 5, task)
    # A quadratic scan of the longest of them would take minutes.
    assert time.process_time() - start < 10
    assert scores.success_rate == 0.0


def test_a_list_that_holds_a_correct_prefix_is_not_correct() -> None:
    assert correct([1, 2], [1, 2])
    assert not correct([1, 2, 3], [1, 2])
    assert not correct([1], [1, 2])
    assert not correct({"0": 1, "1": 2}, {"0": 1})
    assert not correct({"0": 1}, {"0": 1, "1": 2})


def test_truth_values_are_no_numbers() -> None:
    assert correct("True", True)
    assert not correct(1, True)
    assert not correct(True, 1)
    assert not correct(True, 1.0, 0.5)
    assert not correct([1, 0], [True, False])
    assert score_answers([True, 1], [1, 1], ONE).correct == (False, True)
    assert score_answers([True, 1], [True, True], ONE).correct == (True, False)
    assert partial_correctness(True, 1, ONE) == 0.0


@pytest.mark.parametrize(
    ("answer", "expected", "tolerance", "right"),
    [
        (0.13, 0.12, 0.01, True),
        (0.1301, 0.12, 0.01, False),
        (50, 50.0, 0.0, True),
        ("50.0", 50.0, 0.01, True),
        (50.01, 50.0, 0.01, True),
        (7, 7, 0.01, True),
        (7.0, 7, 0.0, True),
        (7.001, 7, 0.01, False),
        ([["U1", "I2", 2.5004]], [["U1", "I2", 2.5]], 1e-3, True),
        ([["U1", "I3", 2.5]], [["U1", "I2", 2.5]], 1e-3, False),
        ({"variance": 0.256, "max_load": 12}, {"variance": 0.25, "max_load": 12}, 0.01, True),
        ({"variance": 0.25, "max_load": 12.005}, {"variance": 0.25, "max_load": 12}, 0.01, False),
        ({"0": 0.000011}, {"0": 0.000002}, 1e-5, True),
        ({"0": 0.000013}, {"0": 0.000002}, 1e-5, False),
        (math.nan, 0.0, 0.01, False),
        (math.inf, math.inf, 0.01, False),
        ("NaN", math.nan, 0.01, False),
        ("1e999", 1.0, 0.01, False),
        ("0.5", "0.5", 0.01, False),
    ],
)
def test_the_tolerance_is_for_floats_of_the_truth_only(
    answer: Any, expected: Any, tolerance: float, right: bool
) -> None:
    assert correct(answer, expected, tolerance) is right


@pytest.mark.parametrize(
    ("answer", "expected", "worth"),
    [
        (1182, 1182, 1.0),
        (1176, 1182, 1.0),
        ("1170.2", 1182, 1.0),
        (1170, 1182, 0.0),
        (-1176, -1182, 1.0),
        (1176, -1182, 0.0),
        (0, 0, 1.0),
        (1e-9, 0, 0.0),
        ("some", 1, 0.0),
        ([9, 8], [9, 8], 1.0),
        ([9, 7], [9, 8], 0.0),
        ("Candidate_B", "Candidate_A", 0.0),
        ("nan", 3, 0.0),
        (math.nan, 3, 0.0),
        (None, 0, 0.0),
    ],
)
def test_level_one_is_all_or_nothing_but_for_one_per_cent(answer: Any, expected: Any, worth: float) -> None:
    assert partial_correctness(answer, expected, ONE) == worth
    assert published_partial(answer, expected, ONE) == worth


@pytest.mark.parametrize(
    ("answer", "expected", "worth"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0),
        ([1, 9, 3, 4], [1, 2, 3, 4], 0.75),
        ([1, 2], [1, 2, 3, 4], 0.5),
        ([2, 3, 4], [1, 2, 3, 4], 0.0),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4], 1.0),
        ([True, 2], [1, 2], 0.5),
        ([], [1, 2], 0.0),
        (7, [1, 2], 0.0),
        (7, 7, 1.0),
        ({"5": 0, "2": 2, "9": 1}, {"5": 0, "2": 1, "9": 2, "4": 3}, 0.25),
        ("{5: 0, 2: 1}", {"5": 0, "2": 1}, 1.0),
        ([], [], 1.0),
        ([1], [], 0.0),
    ],
)
def test_level_two_is_the_share_of_elements_in_place(answer: Any, expected: Any, worth: float) -> None:
    assert partial_correctness(answer, expected, TWO) == worth


def test_level_two_elements_have_the_tolerance_too() -> None:
    task = scored_as("II-12", 0.01)
    assert partial_correctness([1.5, 2.344, 9.0], [1.5, 2.34, 3.5], task) == 2 / 3


@pytest.mark.parametrize(
    ("answer", "expected", "worth"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 1.0),
        ([2, 1, 3, 4], [1, 2, 3, 4], 0.75),
        ([4, 3, 2, 1], [1, 2, 3, 4], 0.25),
        ([9, 1, 8, 2], [1, 2, 3, 4], 0.5),
        ([3, 4], [1, 2, 3, 4], 0.5),
        ([5, 5, 5], [5, 5, 5], 1.0),
        ([5, 5, 5, 5], [5, 5, 5], 1.0),
        ([5, 5], [5, 5, 5, 6], 0.5),
        ([5, 6, 5], [5, 5, 6], 2 / 3),
        ([1, 1, 1, 1], [1, 2, 3, 4], 0.25),
        ([True, 2, 3, 4], [1, 2, 3, 4], 0.75),
        ([[1], 2, {"3": 3}, 4], [1, 2, 3, 4], 0.5),
        ("1, 2, 3, 4", [1, 2, 3, 4], 1.0),
        ("1 2 3 4", [1, 2, 3, 4], 0.0),
        ({"0": 1}, [1, 2], 0.0),
        (3, 3, 1.0),
        (3, 300, 0.0),
    ],
)
def test_level_three_is_the_longest_subsequence_in_order(answer: Any, expected: Any, worth: float) -> None:
    assert partial_correctness(answer, expected, THREE) == pytest.approx(worth)


@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_copies_match_copies_and_the_subsequence_is_the_longest(answer: list[int], expected: list[int]) -> None:
    expected.sort()
    places = []
    for index, value in enumerate(answer):
        copies = [place for place, other in enumerate(expected) if other == value]
        earlier = answer[:index].count(value)
        places += copies[earlier : earlier + 1]
    lengths = (size for size in range(len(places), -1, -1))
    best = next(size for size in lengths if any(list(c) == sorted(c) for c in combinations(places, size)))
    assert partial_correctness(answer, expected, THREE) == best / len(expected)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_a_perfect_sorted_segment_is_worth_1_but_less_as_published_when_values_repeat(values: list[int]) -> None:
    values.sort()
    assert partial_correctness(values, values, THREE) == 1.0
    assert published_partial(values, values, THREE) == len(set(values)) / len(values)


@pytest.mark.parametrize(
    ("answer", "expected", "tolerance", "worth"),
    [
        ([[1.0, 2.0], [3.5, 9.0]], [[1.0, 2.0], [3.5, 4.0]], 0.01, 0.75),
        ([[1.004, 2.0]], [[1.0, 2.0], [3.5, 4.0]], 0.01, 0.5),
        ([["U1", "I1", 2.5], ["U2", "I9", 2.4]], [["U1", "I1", 2.5], ["U2", "I2", 2.4]], 1e-3, 5 / 6),
        ([1, 2], [[1, 2], [3, 4]], 0.0, 0.0),
        ({"0": 0, "1": 5, "7": 1}, {"0": 0, "1": 1}, 0.0, 0.5),
        ({"variance": 9.0, "max_load": 3, "min_load": 2}, {"variance": 0.2, "max_load": 3, "min_load": 2}, 0.01, 2 / 3),
        ([[19, 22], [43, 50]], [[19, 22], [43, 50]], 0.0, 1.0),
    ],
)
def test_nested_answers_are_scored_element_by_element(
    answer: Any, expected: Any, tolerance: float, worth: float
) -> None:
    assert partial_correctness(answer, expected, scored_as("III-30", tolerance)) == pytest.approx(worth)


def test_a_number_within_tolerance_is_worth_1_where_one_per_cent_is_less() -> None:
    assert partial_correctness(0.11, 0.12, scored_as("I-07", 0.01)) == 1.0
    assert published_partial(0.11, 0.12, scored_as("I-07", 0.01)) == 0.0


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("[1, 2]", [1, 2], True),
        ("[1.0, 2]", [1, 2], True),
        ("(1, 2)", [1, 2], False),
        ('{"0": 1}', {"0": 1}, True),
        ("{0: 1}", {"0": 1}, False),
        ("True", True, True),
        ("TRUE", True, True),
        (1, True, True),
        ("Candidate_A ", "Candidate_A", True),
        ("'Candidate_A'", "Candidate_A", False),
        (0.121, 0.12, False),
        ("NaN", 0.12, False),
        (None, None, False),
        ("", "", False),
    ],
)
def test_strict_equality_reads_json_only_and_forgives_nothing(answer: Any, expected: Any, right: bool) -> None:
    assert strict_correct(answer, expected) is right


@pytest.mark.parametrize(
    ("task", "answer", "expected", "worth"),
    [
        (TWO, [1, 9, 3], [1, 2, 3, 4], 0.5),
        (TWO, {"0": 1, "1": 9}, {"0": 1, "1": 2}, 0.0),
        (THREE, [1, 1, 2], [1, 1, 2], 2 / 3),
        (THREE, [2, 1, 3], [1, 2, 3], 2 / 3),
        (THREE, {"0": 1}, {"0": 1}, 1.0),
        (THREE, "{0: 1}", {"0": 1}, 0.0),
        (THREE, [[1, 2]], [[1, 2]], None),
        (THREE, [], [[1, 2]], None),
        (THREE, [1, [2]], [1, 2], None),
        (THREE, "(1, 2)", [[1, 2]], 0.0),
        (THREE, 5, 5, 1.0),
        (THREE, None, [[1, 2]], 0.0),
        (ONE, [9, 8], [9, 8], 1.0),
    ],
)
def test_partial_correctness_as_published(task: SiloTask, answer: Any, expected: Any, worth: float | None) -> None:
    assert published_partial(answer, expected, task) == (worth if worth is None else pytest.approx(worth))


@pytest.mark.parametrize(
    ("size", "published"), [(2, 0.975), (5, 0.93), (10, 0.895), (20, 0.825), (50, 0.653), (100, 0.465)]
)
def test_a_perfect_sort_loses_as_published_what_was_measured_there(size: int, published: float) -> None:
    """The figures were measured on one random instance each; the band is what other instances differ by."""
    task, found = DistributedSort(), []
    for seed in range(8):
        expected = task.solve(task.generate(np.random.default_rng(seed), size, "fixed"))
        scores = score_answers(list(expected), expected, task)
        assert (scores.success_rate, scores.partial_correctness, scores.strict_success_rate) == (1.0, 1.0, 1.0)
        found.append(scores.published_partial_correctness)
    assert abs(np.mean(found) - published) < 0.025
    assert np.std(found) < 0.03


def test_scores_of_an_episode() -> None:
    expected = [[1, 2, 2, 4]] * 5
    scores = score_answers(["(1, 2, 2, 4)", [1, 2, 2, 4], "[4, 1, 2]", "no idea", None], expected, THREE)
    assert scores.correct == (True, True, False, False, False)
    assert scores.partial == (1.0, 1.0, 0.5, 0.0, 0.0)
    assert scores.strict == (False, True, False, False, False)
    assert scores.published == (0.0, 0.75, 0.5, 0.0, 0.0)
    assert scores.parse_failures == 2
    assert scores.success_rate == pytest.approx(0.4)
    assert scores.partial_correctness == pytest.approx(0.5)
    assert scores.strict_success_rate == pytest.approx(0.2)
    assert scores.published_partial_correctness == pytest.approx(0.25)
    with pytest.raises(FrozenInstanceError):
        scores.parse_failures = 0  # type: ignore[misc]


def test_plain_words_are_a_parse_failure_unless_words_are_expected() -> None:
    assert score_answers(["Candidate_B"], ["Candidate_A"], ONE).parse_failures == 0
    assert score_answers(["Candidate_B"], [3], ONE).parse_failures == 1
    assert score_answers(["[1, 2"], [[1, 2]], TWO).parse_failures == 1
    assert score_answers([["a", "b"]], [[1, 2]], TWO).parse_failures == 0


def test_agents_answer_for_their_own_segment() -> None:
    scores = score_answers(["[1, 2]", "[1, 2]", [1, 2]], [[1, 2], [3, 4], [3, 4]], THREE)
    assert scores.correct == (True, False, False)


def test_the_published_mean_cannot_be_said_where_the_published_run_had_ended() -> None:
    scores = score_answers(["[[1, 2]]", None], [[[1, 2]]] * 2, scored_as("III-25"))
    assert scores.published == (None, 0.0)
    assert scores.published_partial_correctness is None
    assert scores.success_rate == 0.5


@pytest.mark.parametrize(("answers", "expected"), [([1], [1, 2]), ([], [])])
def test_one_answer_per_agent_is_needed(answers: list[Any], expected: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{len(answers)} answers .* {len(expected)} expected"):
        score_answers(answers, expected, ONE)
