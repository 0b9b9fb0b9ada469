"""Scores against sums worked out by hand, and what holds of any answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import DataError
from fogline.envs.object_presence.scores import (
    CaptionCounts,
    PopeScores,
    caption_counts,
    chair_of,
    chair_scores,
    mme_of,
    mme_scores,
    pope_of,
    pope_scores,
)
from fogline.simulators.scenes.mme import COGNITION, HALLUCINATION, PERCEPTION

YES, NO = True, False
SAID = st.sampled_from([True, False, None])


def test_pope_by_hand() -> None:
    labels = [YES, YES, YES, YES, NO, NO, NO, NO]
    answers = [YES, YES, YES, NO, YES, NO, NO, NO]
    assert pope_scores(labels, answers) == PopeScores(8, 6 / 8, 3 / 4, 3 / 4, 3 / 4, 4 / 8, 0.0)
    answers = [YES, NO, NO, NO, YES, YES, NO, NO]
    found = pope_scores(labels, answers)
    assert (found.accuracy, found.precision, found.recall) == (3 / 8, 1 / 3, 1 / 4)
    assert found.f1 == pytest.approx(2 / 7)


def test_constant_answers_score_half() -> None:
    labels = [YES, NO] * 50
    assert pope_scores(labels, [YES] * 100) == PopeScores(100, 0.5, 0.5, 1.0, 2 / 3, 1.0, 0.0)
    assert pope_scores(labels, [NO] * 100) == PopeScores(100, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_what_cannot_be_read_is_the_wrong_answer() -> None:
    found = pope_scores([YES, YES, NO, NO], [YES, None, None, NO])
    assert found == PopeScores(4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert pope_scores([YES, NO], [None, None]) == PopeScores(2, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0)


@given(st.lists(st.tuples(SAID, SAID), min_size=1, max_size=40))
def test_on_balanced_questions_f1_is_bounded_by_accuracy(pairs: list[tuple[bool | None, bool | None]]) -> None:
    found = pope_scores([YES, NO] * len(pairs), [answer for pair in pairs for answer in pair])
    assert found.f1 <= 1 / (2 - found.accuracy) + 1e-12
    assert 0 <= found.accuracy <= 1 - found.unreadable + 1e-12


@given(st.lists(st.tuples(st.booleans(), SAID), min_size=1, max_size=60))
def test_pope_agrees_with_counting_in_arrays(pairs: list[tuple[bool, bool | None]]) -> None:
    label = np.array([one for one, _ in pairs])
    yes = np.array([said is True or (said is None and not one) for one, said in pairs])
    right = np.array([said is one for one, said in pairs])
    found = pope_scores(*map(list, zip(*pairs, strict=True)))
    assert found.accuracy == pytest.approx(right.mean()) and found.yes_rate == pytest.approx(yes.mean())
    assert found.recall == pytest.approx((yes & label).sum() / max(label.sum(), 1))
    assert found.precision == pytest.approx((yes & label).sum() / max(yes.sum(), 1))


def test_chair_by_hand() -> None:
    captions = [
        (["dog", "cat", "dog"], {"dog", "cat", "bus"}),
        (["dog", "tree", "tree"], {"dog"}),
        ([], {"cat", "bus"}),
        (["bus"], {"bus"}),
    ]
    counts = [caption_counts(mentions, objects) for mentions, objects in captions]
    assert counts == [(3, 0, 2, 3), (3, 2, 1, 1), (0, 0, 0, 2), (1, 0, 1, 1)]
    found = chair_scores(counts)
    assert (found.captions, found.chair_s, found.chair_i, found.recall) == (4, 1 / 4, 2 / 7, 4 / 7)


def test_repeating_what_is_not_there_raises_chair_i_alone() -> None:
    once = chair_scores([caption_counts(["dog", "tree"], {"dog"})])
    twice = chair_scores([caption_counts(["dog", "tree", "tree"], {"dog"})])
    assert twice.chair_i == 2 / 3 > once.chair_i == 1 / 2
    assert twice.chair_s == once.chair_s == 1.0


def test_silence_hallucinates_nothing() -> None:
    found = chair_scores([caption_counts([], {"dog"}), caption_counts([], set())])
    assert (found.chair_s, found.chair_i, found.recall) == (0.0, 0.0, 0.0)


@given(st.lists(st.tuples(st.lists(st.sampled_from("abcd"), max_size=5), st.sets(st.sampled_from("abcd"))), min_size=1))
def test_chair_is_zero_exactly_without_hallucination(captions: list[tuple[list[str], set[str]]]) -> None:
    found = chair_scores([caption_counts(*caption) for caption in captions])
    clean = all(set(mentions) <= objects for mentions, objects in captions)
    assert (found.chair_i == 0) == (found.chair_s == 0) == clean
    assert found.chair_s >= (found.chair_i > 0) / len(captions)
    assert 0 <= found.chair_i <= 1 and 0 <= found.recall <= 1


def mme(**answers: list[Any]) -> dict[str, list[Any]]:
    """Arguments for subtasks with the answers given, two for each image, whose labels are yes and no."""
    rows = [
        (name, f"{name}/{number // 2}", number % 2 == 0, said)
        for name, all_said in answers.items()
        for number, said in enumerate(all_said)
    ]
    subtasks, images, labels, said = map(list, zip(*rows, strict=True))
    return {"subtasks": subtasks, "images": images, "labels": labels, "answers": said}


def test_mme_by_hand() -> None:
    found = mme_scores(**mme(count=[YES, NO, YES, YES, NO, NO, YES, NO], color=[YES, None, None, NO]))
    count, colour = found.subtasks["count"], found.subtasks["color"]
    assert (count.images, count.accuracy, count.accuracy_plus, count.score) == (4, 75.0, 50.0, 125.0)
    assert (colour.accuracy, colour.accuracy_plus, colour.score) == (50.0, 0.0, 50.0)
    assert found.hallucination is found.perception is found.cognition is None


def test_totals_of_mme_are_sums_of_their_subtasks() -> None:
    right = {name: [YES, NO] * 3 for name in (*PERCEPTION, *COGNITION)}
    found = mme_scores(**mme(**right))
    assert (found.hallucination, found.perception, found.cognition) == (800.0, 2000.0, 800.0)
    found = mme_scores(**mme(**{name: [YES] * 6 for name in HALLUCINATION}))
    assert (found.hallucination, found.perception) == (200.0, None)


def test_guessing_at_mme_makes_about_75() -> None:
    said = (np.random.default_rng(0).random(20_000) < 0.5).tolist()
    assert mme_scores(**mme(existence=said)).subtasks["existence"].score == pytest.approx(75, abs=2)


@given(st.lists(st.tuples(SAID, SAID), min_size=1, max_size=30))
def test_both_right_is_rarer_than_one(pairs: list[tuple[bool | None, bool | None]]) -> None:
    found = mme_scores(**mme(scene=[answer for pair in pairs for answer in pair])).subtasks["scene"]
    assert 0 <= found.accuracy_plus <= found.accuracy <= 100


@pytest.mark.parametrize("answers", [[YES], [YES, NO, YES], []])
def test_images_of_mme_with_more_or_fewer_than_two_answers_are_refused(answers: list[bool]) -> None:
    length = len(answers)
    with pytest.raises(DataError, match="expected"):
        mme_scores(["count"] * length, ["count/1"] * length, [YES] * length, answers)


def test_nothing_to_score_is_refused() -> None:
    for labels, answers in (([], []), ([YES], [YES, NO])):
        with pytest.raises(DataError, match="expected as many"):
            pope_scores(labels, answers)
    with pytest.raises(DataError, match="expected as many"):
        chair_scores([])


def test_scores_come_from_the_metrics_of_episodes() -> None:
    rows = [
        {"kind": "count", "image_id": "count/1", "label": "yes", "answer": "", "published_answer": "yes"},
        {"kind": "count", "image_id": "count/1", "label": "no", "answer": "no", "published_answer": ""},
    ]
    assert pope_of(rows) == PopeScores(2, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5)
    assert pope_of(rows, "published") == PopeScores(2, 0.5, 0.5, 1.0, 2 / 3, 1.0, 0.5)
    assert mme_of(rows).subtasks["count"] == (1, 50.0, 0.0) == mme_of(rows, "plain").subtasks["count"]
    counts = CaptionCounts(3, 1, 2, 4)
    assert chair_of([{**counts._asdict(), "kind": "caption"}]) == chair_scores([counts])
