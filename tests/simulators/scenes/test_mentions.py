from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.simulators.scenes.mentions import Vocabulary
from fogline.simulators.scenes.worlds import SceneWorld

COCO = Vocabulary(
    ("person", "hot dog", "dog", "dining table", "chair", "toilet", "bird", "tie", "knife", "wine glass", "bus"),
    {"man": "person", "woman": "person", "child": "person", "baby": "person", "table": "dining table", "puppy": "dog",
     "seat": "chair", "bow": "tie", "bow tie": "tie"},
    {"baby bird": "bird", "toilet seat": "toilet", "home plate": None},
    {"seat": "toilet"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "mentions"),
    [
        ("A man eats a hot dog.", ("person", "hot dog")),
        ("Two men and three women, with children; puppies!", ("person", "person", "person", "dog")),
        ("hot dogs beside a dog", ("hot dog", "dog")),
        ("a dining table, tables, and TABLE", ("dining table",) * 3),
        ("a baby bird and a baby", ("bird", "person")),
        ("the seat of a chair", ("chair", "chair")),
        ("the seat of the toilet", ("toilet",)),
        ("a toilet seat", ("toilet",)),
        ("a man at home plate", ("person",)),
        ("knives, wine glasses and buses", ("knife", "wine glass", "bus")),
        ("a man in a bow tie", ("person", "tie")),
        ("a hot day, a dogged manner, chairman", ()),
        ("", ()),
    ],
)
def test_mentions_are_counted_by_the_longest_name_with_synonyms_and_plurals(caption: str, mentions: object) -> None:
    assert COCO.mentions(caption) == mentions


def test_names_of_two_words_are_found_however_they_are_joined() -> None:
    world = SceneWorld()
    words = Vocabulary(world.names)
    assert words.mentions(", ".join(world.names)) == world.names
    assert words.mentions("Red-square; BLUE   DISC\nblue discs and a red disc") == (
        "red square",
        "blue disc",
        "blue disc",
    )


@given(st.text() | st.text(alphabet="redsquablicyngh -,.'\ud800", max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert all(name in COCO.objects for name in COCO.mentions(text))
