"""Scores of whole sets of answers: POPE, CHAIR and MME (specification 3).

A share of nothing is 0, so that a constant answer can be scored; a set of nothing is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fogline.core.errors import DataError
from fogline.simulators.scenes.mme import COGNITION, HALLUCINATION, PERCEPTION, QUESTIONS_PER_IMAGE

Reading = Literal["plain", "published"]
_SAID = {"yes": True, "no": False, "": None}


@dataclass(frozen=True, slots=True)
class PopeScores:
    """POPE; positive is yes. Shares are in [0, 1].

    Attributes:
        questions: How many.
        accuracy: (TP + TN) / all.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: Their harmonic mean.
        yes_rate: (TP + FP) / all.
        unreadable: Share of answers that say neither. Each counts as the wrong one, a false negative or a false
            positive, so that nobody gains by saying nothing where it is in doubt.
    """

    questions: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    yes_rate: float
    unreadable: float


def pope_scores(labels: Sequence[bool], answers: Sequence[bool | None]) -> PopeScores:
    """Score answers.

    Args:
        labels: Whether the answer is yes.
        answers: What was said; None where it could not be read.

    Raises:
        DataError: No answers, or not one for each label.
    """
    _check(len(labels), len(answers))
    pairs = list(zip(labels, answers, strict=True))
    hits = sum(label and answer is True for label, answer in pairs)
    false_alarms = sum(not label and answer is not False for label, answer in pairs)
    rejections = sum(not label and answer is False for label, answer in pairs)
    precision, recall = _share(hits, hits + false_alarms), _share(hits, sum(map(bool, labels)))
    return PopeScores(
        len(pairs),
        (hits + rejections) / len(pairs),
        precision,
        recall,
        _share(2 * precision * recall, precision + recall),
        (hits + false_alarms) / len(pairs),
        sum(answer is None for answer in answers) / len(pairs),
    )


class CaptionCounts(NamedTuple):
    """What CHAIR counts of one caption.

    Attributes:
        mentions: Of objects, repeated ones each time.
        hallucinated: Mentions of objects that are not there.
        found: Objects that are there and mentioned.
        objects: Objects that are there.
    """

    mentions: int
    hallucinated: int
    found: int
    objects: int


@dataclass(frozen=True, slots=True)
class ChairScores:
    """CHAIR; shares are in [0, 1].

    Attributes:
        captions: How many.
        chair_s: Captions with a hallucinated object / captions.
        chair_i: Hallucinated mentions / mentions.
        recall: Distinct objects that are there and mentioned / objects that are there, over all captions.
    """

    captions: int
    chair_s: float
    chair_i: float
    recall: float


def caption_counts(mentions: Sequence[str], objects: Collection[str]) -> CaptionCounts:
    """Count what a caption mentions.

    Args:
        mentions: Objects, once for each mention.
        objects: Those that are there.
    """
    there = set(objects)
    hallucinated = sum(name not in there for name in mentions)
    return CaptionCounts(len(mentions), hallucinated, len(there & set(mentions)), len(there))


def chair_scores(counts: Sequence[CaptionCounts]) -> ChairScores:
    """Score captions.

    Raises:
        DataError: No captions.
    """
    _check(len(counts), len(counts))
    mentions, hallucinated, found, objects = (sum(column) for column in zip(*counts, strict=True))
    return ChairScores(
        len(counts),
        sum(caption.hallucinated > 0 for caption in counts) / len(counts),
        _share(hallucinated, mentions),
        _share(found, objects),
    )


class SubtaskScores(NamedTuple):
    """A subtask of MME.

    Attributes:
        images: How many; each has two questions.
        accuracy: Per cent of the questions that were answered rightly.
        accuracy_plus: Per cent of the images with both answers right.
    """

    images: int
    accuracy: float
    accuracy_plus: float

    @property
    def score(self) -> float:
        """Sum of both, from 0 to 200."""
        return self.accuracy + self.accuracy_plus


@dataclass(frozen=True, slots=True)
class MmeScores:
    """MME.

    Attributes:
        subtasks: By name.
        hallucination: Sum of existence, count, position and color, at most 800; None where one is missing.
        perception: Sum of the ten subtasks of perception, at most 2000; None where one is missing.
        cognition: Sum of the four subtasks of cognition, at most 800; None where one is missing.
    """

    subtasks: Mapping[str, SubtaskScores]
    hallucination: float | None
    perception: float | None
    cognition: float | None


def mme_scores(
    subtasks: Sequence[str], images: Sequence[str], labels: Sequence[bool], answers: Sequence[bool | None]
) -> MmeScores:
    """Score answers; one that could not be read is wrong.

    Args:
        subtasks: Of each question.
        images: Picture of each question.
        labels: Whether the answer is yes.
        answers: What was said; None where it could not be read.

    Raises:
        DataError: No answers, not as many of one as of another, or an image without exactly two.
    """
    _check(len(labels), len(answers), len(subtasks), len(images))
    right: dict[str, dict[str, list[bool]]] = {}
    for subtask, image, label, answer in zip(subtasks, images, labels, answers, strict=True):
        right.setdefault(subtask, {}).setdefault(image, []).append(answer is not None and answer == label)
    scores = {name: _subtask(name, by_image) for name, by_image in right.items()}
    return MmeScores(scores, *(_total(scores, names) for names in (HALLUCINATION, PERCEPTION, COGNITION)))


def _subtask(name: str, right: Mapping[str, Sequence[bool]]) -> SubtaskScores:
    for image, answers in right.items():
        if len(answers) != QUESTIONS_PER_IMAGE:
            raise DataError(
                f"{name}, {image!r}: {len(answers)} answers: expected {QUESTIONS_PER_IMAGE} for each image."
            )
    hits = sum(map(sum, right.values()))
    both = sum(map(all, right.values()))
    return SubtaskScores(len(right), 100 * hits / (QUESTIONS_PER_IMAGE * len(right)), 100 * both / len(right))


def _total(scores: Mapping[str, SubtaskScores], names: Sequence[str]) -> float | None:
    return sum(scores[name].score for name in names) if all(name in scores for name in names) else None


# From the metrics of stored episodes


def pope_of(metrics: Iterable[Mapping[str, Any]], reading: Reading = "plain") -> PopeScores:
    """POPE from the metrics of episodes that were asked about presence.

    Args:
        metrics: ``Episode.metrics`` of each.
        reading: ``plain``, our own, or ``published``, POPE's.
    """
    rows = list(metrics)
    return pope_scores(_labels(rows), _answers(rows, reading))


def chair_of(metrics: Iterable[Mapping[str, Any]]) -> ChairScores:
    """CHAIR from the metrics of episodes that asked for a caption."""
    rows = list(metrics)
    return chair_scores([CaptionCounts(*(row[name] for name in CaptionCounts._fields)) for row in rows])


def mme_of(metrics: Iterable[Mapping[str, Any]], reading: Reading = "published") -> MmeScores:
    """MME from the metrics of episodes that played its folders, one for each question.

    Args:
        metrics: ``Episode.metrics`` of each.
        reading: ``published``, MME's, or ``plain``, our own.
    """
    rows = list(metrics)
    kinds, images = [row["kind"] for row in rows], [row["image_id"] for row in rows]
    return mme_scores(kinds, images, _labels(rows), _answers(rows, reading))


def _labels(rows: Iterable[Mapping[str, Any]]) -> list[bool]:
    return [row["label"] == "yes" for row in rows]


def _answers(rows: Iterable[Mapping[str, Any]], reading: Reading) -> list[bool | None]:
    key = "answer" if reading == "plain" else "published_answer"
    return [_SAID[row[key]] for row in rows]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _check(*lengths: int) -> None:
    if len(set(lengths)) != 1 or not lengths[0]:
        raise DataError(
            f"{', '.join(map(str, lengths))} labels, answers and the like: expected as many of each, and one."
        )
