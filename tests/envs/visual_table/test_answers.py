from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.visual_table.answers import is_right, number_of, same_value


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("7", "7", True),
        ("7.0", "7", True),
        ("$1,234", "1234", True),
        ("1234.5", "1234", True),  # within a thousandth
        ("1236", "1234", False),
        ("12%", "12%", True),
        ("12", "12%", False),
        ("0.1234567", "0.1234568", True),
        (" Otters ", "otters", True),
        ("Otters.", "otters", True),
        ("yes", "entailed", True),
        ("False", "refuted", True),
        ("no", "entailed", False),
        ("a|b", "b|a", True),
        ("a|a", "a|b", False),
        ("a", "a|b", False),
        ("a|b|b", "a|b", False),
        ("nan", "7", False),
        ("inf", "inf", True),
        ("", "7", False),
        ("-3", "−3", False),
    ],
)
def test_plain_rules(answer: str, gold: str, right: bool) -> None:
    assert is_right(answer, gold.split("|")) is right


def test_no_answer_is_never_right() -> None:
    assert not is_right(None, ("7",))
    assert not is_right(None, ())


WIKI = [
    # numbers
    ("2004", "2004", True),
    ("2004.0", "2004", True),
    ("1,000", "1000", True),
    ("1000", "1,000", True),
    ("10,00", "1000", False),
    ("0.3333333", "0.3333334", True),
    ("0.333", "0.334", False),
    ("five", "5", False),
    ("nan", "nan", True),
    ("1e3", "1000", True),
    # dates
    ("2001-03-04", "2001-03-04", True),
    ("2001-3-4", "2001-03-04", True),
    ("xxxx-03-04", "xx-3-4", True),
    ("2001-xx-xx", "2001", True),
    ("2001-13-04", "2001-13-4", False),
    ("March 4, 2001", "2001-03-04", False),
    # text
    ("Beyoncé", "beyonce", True),
    ("“Waterloo”", "Waterloo", True),
    ("Waterloo", '"Waterloo"', True),
    ("New York (state)", "new york", True),
    ("New York", "New York[1]", True),
    ("New York", "New York†", True),
    ("(state)", "", False),
    ("Otters.", "otters", True),
    ("rock – pop", "Rock - Pop", True),
    ("rock  pop", "Rock pop", True),
    # units
    ("5 km", "5 km", True),
    ("5", "5 km", False),
    ("5 KM", "5 km", True),
    # lists
    ("b|a", "a|b", True),
    ("a|b|c", "a|b", False),
    ("a|a", "a|b", False),
    ("1|2.0", "2|1", True),
]


@pytest.mark.parametrize(("answer", "gold", "right"), WIKI)
def test_wikitablequestions_rules(answer: str, gold: str, right: bool) -> None:
    assert is_right(answer, gold.split("|"), "wikitablequestions") is right


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_itself_and_the_rules_are_symmetric(one: str, other: str) -> None:
    if "|" in one + other:
        return
    for rules in ("plain", "wikitablequestions"):
        assert is_right(one, (one,), rules)  # type: ignore[arg-type]
    assert is_right(one, (other,), "wikitablequestions") == is_right(other, (one,), "wikitablequestions")


def test_readings_of_a_cell_agree_exactly() -> None:
    assert same_value("1,234", "1234") and same_value("$5", "5.0") and same_value(" A  b", "a B")
    assert not same_value("1234", "1235") and not same_value("5%", "5") and not same_value("a", "b")
    assert number_of("12%") == 12 and number_of("£1,000.50") == 1000.5
    assert number_of("twelve") is None and number_of("") is None and number_of("1e999") is None
