from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.simulators.scenes.questions import POPE_SPLITS, ask, counted, object_of, rank, wording

NAMES = ("cup", "fork", "knife", "spoon", "bowl", "apple", "car", "bus")
PICTURES = [
    ("cup", "fork", "knife"),
    ("cup", "fork", "knife", "spoon"),
    ("cup", "fork", "bowl"),
    ("cup", "apple", "bus"),
    ("car", "bus", "cup"),
]
RANKING = rank(NAMES, *counted(NAMES, PICTURES))


def test_objects_are_ranked_by_how_often_they_are_there_and_together() -> None:
    single, together = counted(NAMES, PICTURES)
    assert single.tolist() == [5, 3, 2, 1, 1, 1, 1, 2]
    assert together[0].tolist() == [5, 3, 2, 1, 1, 1, 1, 2] and together[1, 2] == 2
    assert RANKING.popular == ("cup", "fork", "knife", "bus", "spoon", "bowl", "apple", "car")
    assert RANKING.partners["cup"] == ("fork", "knife", "bus", "spoon", "bowl", "apple", "car")
    assert RANKING.partners["bus"] == ("cup", "apple", "car")
    assert RANKING.partners["spoon"] == ("cup", "fork", "knife")


def test_what_differs_in_the_last_bits_only_keeps_its_order() -> None:
    single = np.array([0.3, 0.3 + 1e-16, 0.1 + 0.2])
    assert rank("abc", single, np.diag(single)).popular == ("a", "b", "c")


def test_negatives_of_the_popular_split_are_the_most_frequent_that_are_not_there() -> None:
    asked = ask(np.random.default_rng(0), ("car", "apple", "bowl"), "popular", RANKING)
    assert [name for name, label in asked if not label] == ["cup", "fork", "knife"]


def test_negatives_of_the_adversarial_split_go_with_the_object_asked_about_before() -> None:
    asked = ask(np.random.default_rng(0), ("spoon", "bus", "bowl"), "adversarial", RANKING, ("bus", "spoon", "bowl"))
    assert asked[:5] == [("bus", True), ("cup", False), ("spoon", True), ("fork", False), ("bowl", True)]
    # Of bowl's partners, cup and fork, none is left: one is drawn.
    assert asked[5][0] in {"knife", "apple", "car"} and not asked[5][1]


def test_the_random_split_draws_every_object_that_is_not_there_alike() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        name for _ in range(2000) for name, label in ask(rng, ("cup", "fork", "knife"), "random", RANKING) if not label
    ]
    shares = {name: drawn.count(name) / len(drawn) for name in NAMES}
    assert shares["cup"] == shares["fork"] == shares["knife"] == 0
    assert all(shares[name] == pytest.approx(1 / 5, abs=0.02) for name in NAMES[3:])


@given(
    seed=st.integers(0, 10_000),
    present=st.lists(st.sampled_from(NAMES), min_size=3, max_size=5, unique=True),
    split=st.sampled_from(POPE_SPLITS),
)
def test_yes_and_no_alternate_and_nothing_is_asked_twice(seed: int, present: list[str], split: str) -> None:
    asked = ask(np.random.default_rng(seed), present, split, RANKING)
    assert [label for _, label in asked] == [True, False] * 3
    assert len({name for name, _ in asked}) == 6
    assert all((name in present) == label for name, label in asked)
    assert asked == ask(np.random.default_rng(seed), present, split, RANKING)


def test_too_few_objects_and_unknown_splits_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigurationError, match="a picture of 2 objects"):
        ask(rng, ("cup", "fork"), "random", RANKING)
    with pytest.raises(ConfigurationError, match="2 objects that are not"):
        ask(rng, NAMES[:6], "random", RANKING)
    with pytest.raises(ConfigurationError, match="adversarial"):
        ask(rng, NAMES[:3], "adverserial", RANKING)


def test_the_wording_is_popes_and_can_be_read_back() -> None:
    assert wording("cup") == "Is there a cup in the image?"
    assert wording("apple") == "Is there an apple in the image?"
    for name in (*NAMES, "orange saltire", "dining table"):
        assert object_of(wording(name)) == name
    assert object_of("Is there an apple in the imange?") == "apple"
    assert object_of("How many cups are there?") == ""
