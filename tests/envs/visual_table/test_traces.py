from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.visual_table.traces import (
    INVALID,
    MAX_REPLY,
    MAX_STEPS,
    read_step,
    read_trace,
    written_step,
    written_trace,
)
from fogline.simulators.tables.records import Box, Cell, Step

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9 .%-]{0,8}[A-Za-z0-9]", fullmatch=True)
ANCHORS = st.one_of(
    st.builds(Cell, st.integers(0, 99), st.integers(1, 99)),
    st.builds(Box, *[st.integers(0, 9999)] * 4),
)
STEPS = st.one_of(
    st.builds(lambda name, anchor: Step("find", name, anchor), NAMES, ANCHORS),
    st.builds(lambda anchor, value: Step("read", anchor=anchor, value=value), ANCHORS, NAMES),
    st.builds(lambda name, anchor: Step("pick", name, anchor), st.sampled_from(["max", "min"]), ANCHORS),
    st.builds(
        lambda operands, value: Step("calc", "sum", operands=tuple(operands), value=value),
        st.lists(NAMES, min_size=1, max_size=4),
        NAMES,
    ),
)


@given(st.lists(STEPS, min_size=1, max_size=6), NAMES)
def test_what_is_written_is_read_back(steps: list[Step], answer: str) -> None:
    assert read_trace(written_trace(steps, answer))[:3] == (tuple(steps), answer, True)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("find Total -> sum -> <cell: Row 0, Col 2>", Step("find", "Total -> sum", Cell(0, 2))),
        ("find X-><cell: Row 0, Col 2>", Step("find", "X", Cell(0, 2))),
        ("read <cell: Row 3, Col 2> = a = b", Step("read", anchor=Cell(3, 2), value="a = b")),
        ("read <cell: Row 3, Col 2> =", Step("read", anchor=Cell(3, 2))),
        ("read <box: 1,2, 30,40> = 7", Step("read", anchor=Box(1, 2, 30, 40), value="7")),
        ("calc count>10(1, 20,3) = 1", Step("calc", "count>10", operands=("1", "20", "3"), value="1")),
        ("pick min -> <cell: Row 1, Col 1>", Step("pick", "min", Cell(1, 1))),
    ],
)
def test_steps_of_the_grammar(text: str, step: Step) -> None:
    assert read_step(text) == step
    assert read_step(written_step(step)) == step


@pytest.mark.parametrize(
    "text",
    [
        "",
        "look at the table",
        "find -> <cell: Row 0, Col 2>",
        "find X -> <cell: Row -1, Col 2>",
        "find X -> <cell: Row 0 Col 2>",
        "find X -> <cell: Row 99999, Col 2>",
        "find X -> <cell: Row 0, Col 2> then",
        "find X",
        "read 7",
        "read <box: 1,2,3> = 7",
        "calc sum() = 0",
        "calc sum(1,) = 1",
        "calc sum(1, 2)",
        "calc sum(1, 2) = ",
        "calc two words(1) = 1",
        "pick most -> <cell: Row 0, Col 2>",
        "Find X -> <cell: Row 0, Col 2>",
    ],
)
def test_anything_else_is_one_invalid_step(text: str) -> None:
    assert read_step(text) == INVALID


GOOD = "<think>find A -> <cell: Row 0, Col 1></think><answer>7</answer>"


@pytest.mark.parametrize(
    ("reply", "well_formed", "answer", "steps"),
    [
        (GOOD, True, "7", 1),
        (f" \n{GOOD}\n", True, "7", 1),
        (GOOD.replace("><", ">\n <", 1), True, "7", 1),
        (f"well: {GOOD}", False, "7", 1),
        (GOOD + "<answer>8</answer>", False, "7", 1),
        (GOOD.replace("</answer>", ""), False, "7", 1),
        (GOOD.replace("</think>", ""), False, "7", 1),
        (GOOD.replace("find A", "see A"), False, "7", 1),
        ("<think></think><answer>7</answer>", False, "7", 0),
        ("<answer>7</answer>", False, "7", 0),
        (GOOD.replace("7", ""), False, "", 1),
        ("7", False, None, 0),
        ("", False, None, 0),
        (GOOD.replace(";", "\n"), True, "7", 1),
        (GOOD.replace("<think>", "<think>;;\n;"), True, "7", 1),
    ],
)
def test_the_whole_reply_must_be_a_trace(reply: str, well_formed: bool, answer: str | None, steps: int) -> None:
    found = read_trace(reply)
    assert (found.well_formed, found.answer, len(found.steps)) == (well_formed, answer, steps)


def test_what_is_too_long_is_cut_and_no_trace() -> None:
    many = read_trace(f"<think>{'find A -> <cell: Row 0, Col 1>; ' * (MAX_STEPS + 50)}</think><answer>7</answer>")
    assert len(many.steps) == MAX_STEPS + 1
    assert many.steps[-1] == INVALID and not many.well_formed
    assert not read_trace(GOOD + " " * MAX_REPLY).well_formed


@given(
    st.one_of(st.text(max_size=300), st.text(alphabet="<>thinkaswer/:;= ->0123456789RowCl,()calcfind\n", max_size=300))
)
def test_no_text_raises_and_none_is_a_trace_by_chance(text: str) -> None:
    assert not read_trace(text).well_formed


@pytest.mark.parametrize(
    "text", ["<think>" * 3000, "find " * 4000, "calc sum(" + "1," * 9000, "read <box: " + "1," * 9000]
)
def test_hostile_text_is_read_in_time(text: str) -> None:
    assert not read_trace(f"<think>{text}").well_formed


def test_places_are_where_the_steps_stand() -> None:
    reply = "<think>  find A -> <cell: Row 1, Col 1> ;;\n read <cell: Row 1, Col 2> = 3;x</think><answer>3</answer>"
    trace = read_trace(reply)
    assert [reply[start:end] for start, end in trace.places] == [
        "find A -> <cell: Row 1, Col 1>",
        "read <cell: Row 1, Col 2> = 3",
        "x",
    ]
    assert [step.kind for step in trace.steps] == ["find", "read", "invalid"]


def test_what_follows_the_most_steps_is_one_place() -> None:
    reply = f"<think>{'x;' * MAX_STEPS} y; z </think><answer>3</answer>"
    trace = read_trace(reply)
    assert len(trace.places) == len(trace.steps) == MAX_STEPS + 1
    assert reply[slice(*trace.places[-1])] == "y; z"
