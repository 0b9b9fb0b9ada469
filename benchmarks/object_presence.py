"""How ObjectPresence-v0 is reported: POPE's shares of answers, CHAIR's of captions.

Source: vision specification, section 3. An answer that says neither yes nor no counts as the wrong one, as in
:func:`~fogline.envs.object_presence.scores.pope_scores`, and a share of nothing is 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from fogline.agents.environments import default_keyword
from fogline.agents.registry import load_dataset
from fogline.benchmarks.measures import MALFORMED, REWARD, Measure, Suite
from fogline.core.episode import Episode
from fogline.simulators.scenes.records import CAPTION

ENV_ID = "ObjectPresence-v0"


def suite(env_kwargs: Mapping[str, Any]) -> Suite:
    """The measures of an ObjectPresence-v0 with these keywords."""
    task = env_kwargs["task"] if "task" in env_kwargs else default_keyword(ENV_ID, "task")
    return Suite(_CAPTIONS if task == CAPTION else _ANSWERS, groups=("kind",))


def fingerprint(env_kwargs: Mapping[str, Any]) -> str:
    """Content hash of the questions: results over other questions are other results."""
    digest = hashlib.sha256()
    for task_id, task in load_dataset(ENV_ID, env_kwargs).tasks.items():
        digest.update(f"{task_id} {task.kind} {task.image_id} {task.asked} {task.label} {task.objects}\n".encode())
    return digest.hexdigest()[:16]


# Answers


def _accuracy(episode: Episode) -> float:
    """An agent that failed by itself has no metrics, and is not right."""
    return float(episode.metrics.get("correct", False))


def _taken_for_yes(episode: Episode) -> bool:
    metrics = episode.metrics
    return bool(metrics["said_yes"] or (not metrics["readable"] and metrics["label"] == "no"))


def _yes_rate(episode: Episode) -> float | None:
    return float(_taken_for_yes(episode)) if episode.metrics else None


def _precision(episode: Episode) -> float | None:
    return _accuracy(episode) if episode.metrics and _taken_for_yes(episode) else None


def _recall(episode: Episode) -> float | None:
    return _accuracy(episode) if episode.metrics.get("label") == "yes" else None


def _f1(episode: Episode) -> float | None:
    """``2 TP / (2 TP + FP + FN)``: rejections do not count, and hits count twice."""
    either = _precision(episode) is not None or _recall(episode) is not None
    return _accuracy(episode) if either else None


def _f1_weight(episode: Episode) -> float:
    return 1.0 + _accuracy(episode)


# Captions


def _metric(name: str) -> Callable[[Episode], float | None]:
    """A metric of the environment; None where the episode has none."""

    def of(episode: Episode) -> float | None:
        value = episode.metrics.get(name)
        return None if value is None else float(value)

    return of


def _share(part: str, whole: str) -> Callable[[Episode], float | None]:
    """One metric over another, which is its weight."""

    def of(episode: Episode) -> float | None:
        return episode.metrics[part] / episode.metrics[whole] if episode.metrics.get(whole) else None

    return of


def _counted(name: str) -> Callable[[Episode], float]:
    return lambda episode: float(episode.metrics.get(name, 0))


_ANSWERS = (
    Measure("accuracy", "Accuracy", "success", _accuracy, percent=True),
    Measure("precision", "Precision", "share", _precision, percent=True, empty=0.0, weight=lambda episode: 1.0),
    Measure("recall", "Recall", "share", _recall, percent=True, empty=0.0),
    Measure("f1", "F1", "share", _f1, percent=True, empty=0.0, weight=_f1_weight),
    Measure("yes_rate", "Yes rate", "share", _yes_rate, percent=True),
    Measure("readable", "Readable", "share", _metric("readable"), percent=True),
    REWARD,
    MALFORMED,
)
_CAPTIONS = (
    Measure("chair_s", "CHAIR_s: captions that hallucinate", "share", _metric("hallucinates"), percent=True),
    Measure(
        "chair_i",
        "CHAIR_i: hallucinated mentions",
        "share",
        _share("hallucinated", "mentions"),
        percent=True,
        empty=0.0,
        weight=_counted("mentions"),
    ),
    Measure(
        "found",
        "Objects found",
        "share",
        _share("found", "objects"),
        percent=True,
        weight=_counted("objects"),
        empty=0.0,
    ),
    Measure("exact", "Exact captions", "share", _metric("exact"), percent=True),
    REWARD,
    MALFORMED,
)
