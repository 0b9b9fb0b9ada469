"""How ObjectPresence-v0 is reported: POPE's shares of answers, CHAIR's of captions.

Source: vision specification, section 3. Precision and recall are shares of other episodes each, so that their harmonic
mean, F1, is that of the two figures shown; :func:`~fogline.envs.object_presence.scores.pope_of` gives it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from fogline.agents.registry import load_dataset
from fogline.benchmarks.measures import MALFORMED, REWARD, Measure, Suite
from fogline.core.episode import Episode

ENV_ID = "ObjectPresence-v0"


def suite(env_kwargs: Mapping[str, Any]) -> Suite:
    """The measures of an ObjectPresence-v0, whatever its keywords."""
    return Suite(_MEASURES, groups=("kind",))


def fingerprint(env_kwargs: Mapping[str, Any]) -> str:
    """Content hash of the questions: results over other questions are other results."""
    digest = hashlib.sha256()
    for task_id, task in load_dataset(ENV_ID, env_kwargs).tasks.items():
        digest.update(f"{task_id} {task.kind} {task.image_id} {task.asked} {task.label} {task.objects}\n".encode())
    return digest.hexdigest()[:16]


def _metric(name: str) -> Callable[[Episode], float | None]:
    """A metric of the environment; None where the episode has none."""

    def of(episode: Episode) -> float | None:
        value = episode.metrics.get(name)
        return None if value is None else float(value)

    return of


def _correct_where(name: str, value: Any) -> Callable[[Episode], float | None]:
    """Whether the answer is right, of episodes with this metric."""

    def of(episode: Episode) -> float | None:
        return float(episode.metrics["correct"]) if episode.metrics.get(name) == value else None

    return of


def _hallucinated_share(episode: Episode) -> float | None:
    mentions = episode.metrics.get("mentions")
    return float(episode.metrics["hallucinated"]) / mentions if mentions else None


_MEASURES = (
    # An agent that failed by itself has no metrics, and is not right.
    Measure("accuracy", "Accuracy", "success", lambda episode: float(episode.metrics.get("correct", False))
            if "mentions" not in episode.metrics else None, percent=True),
    Measure("precision", "Precision", "share", _correct_where("said_yes", True), percent=True),
    Measure("recall", "Recall", "share", _correct_where("label", "yes"), percent=True),
    Measure("yes_rate", "Yes rate", "share", _metric("said_yes"), percent=True),
    Measure("readable", "Readable", "share", _metric("readable"), percent=True),
    Measure("chair_s", "CHAIR_s: captions that hallucinate", "share", _metric("hallucinates"), percent=True),
    Measure("chair_i", "Hallucinated mentions, mean of captions", "number", _hallucinated_share, percent=True),
    Measure("exact", "Exact captions", "share", _metric("exact"), percent=True),
    REWARD,
    MALFORMED,
)  # fmt: skip
