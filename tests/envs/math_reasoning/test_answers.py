from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.math_reasoning.answers import boxed_answer, extract_answer, marked_answer


@pytest.mark.parametrize(
    ("reply", "text", "form"),
    [
        ("<answer>5</answer>", "5", "tags"),
        ("<answer>4</answer> no, <answer> 5 </answer>", "5", "tags"),
        ("<answer>5</answer> or \\boxed{6}", "5", "tags"),
        ("so \\boxed{\\frac{1}{2}} it is", "\\frac{1}{2}", "boxed"),
        ("\\boxed{1} then \\boxed{\\{1,\\{2\\}\\}}", "\\{1,\\{2\\}\\}", "boxed"),
        ("6*7 = 42\n#### 42", "42", "hashes"),
        ("The answer is 42.", "42", "said"),
        ("**Answer:** 3.5 litres", "3.5 litres", "said"),
        ("The answer is $1,000. Good.", "$1,000", "said"),
        ("12", "12", "plain"),
        (" -7/2 \n", "-7/2", "plain"),
        ("First 3 and 4, so we get 7.", "7", "number"),
        ("it costs $1,234.50 now", "$1,234.50", "number"),
        ("that makes -3", "-3", "number"),
        ("10-3", "10-3", "plain"),
        ("he took 10-3 away", "3", "number"),
        ("half: 1/2!", "1/2", "number"),
    ],
)
def test_the_last_answer_of_the_clearest_form_counts(reply: str, text: str, form: str) -> None:
    assert extract_answer(reply) == (text, form)


@pytest.mark.parametrize("reply", ["", "no", "no idea", "<answer></answer>", "\\boxed{", "####", "the answer is", "٣"])
def test_without_an_answer_there_is_none(reply: str) -> None:
    assert extract_answer(reply) is None


def test_the_end_of_an_endless_reply_is_read() -> None:
    assert extract_answer("7 " * 500_000 + "<answer>8</answer>") == ("8", "tags")


@pytest.mark.parametrize(
    "reply",
    [
        "<answer>" * 200_000,
        "\\boxed{" * 100_000,
        "{" * 100_000 + "\\boxed{1" + "}" * 10,
        "answer is " * 50_000,
        "#### " * 100_000,
        "1" * 1_000_000,
        "1," * 500_000,
        "-" * 1_000_000,
        "answer" + " " * 500_000 + "is",
    ],
)
def test_long_replies_of_marks_are_read_to_an_end(reply: str) -> None:
    extract_answer(reply)


@given(st.text(max_size=300), st.integers(-(10**9), 10**9))
def test_a_tagged_answer_is_found_behind_any_text(before: str, value: int) -> None:
    assert extract_answer(f"{before}<answer>{value}</answer>") == (str(value), "tags")


@given(st.recursive(st.just("1"), lambda inner: inner.map(lambda text: f"{{{text}}}"), max_leaves=8))
def test_a_box_is_closed_by_its_own_brace(inner: str) -> None:
    assert boxed_answer(f"x \\boxed{{{inner}}} y}}") == inner
    assert marked_answer(f"a\n#### {inner}\n") == inner
