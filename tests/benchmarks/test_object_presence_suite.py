"""What ``fogline eval`` says of ObjectPresence-v0 is what POPE and CHAIR say of the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fogline.benchmarks.evaluation import EvalConfig, evaluate
from fogline.benchmarks.object_presence import fingerprint
from fogline.core.store import RunStore
from fogline.envs.object_presence.scores import chair_of, pope_of


def evaluated(agent: str, folder: Path, **env_kwargs: Any) -> tuple[dict[str, float], list[Any]]:
    store = str(folder / "runs.db")
    config = EvalConfig(env="ObjectPresence-v0", agent=agent, env_kwargs={"n_images": 20, **env_kwargs}, store=store)
    report = evaluate(config)
    with RunStore(store) as opened:
        metrics = [stored.episode.metrics for stored in opened.episodes(cell_key=report.cell_key)]
    found = {item.name: item.average.value for item in report.summary.measures}
    return {name: value for name, value in found.items() if value is not None}, metrics


@pytest.mark.parametrize("agent", ["oracle", "always-yes", "guess"])
def test_answers_are_scored_as_pope_does(agent: str, tmp_path: Path) -> None:
    shown, metrics = evaluated(agent, tmp_path, split="popular")
    scores = pope_of(metrics)
    for name in ("accuracy", "precision", "recall", "yes_rate"):
        assert shown[name] == pytest.approx(getattr(scores, name)), name


@pytest.mark.parametrize("agent", ["oracle", "prior"])
def test_captions_are_scored_as_chair_does(agent: str, tmp_path: Path) -> None:
    shown, metrics = evaluated(agent, tmp_path, task="caption")
    assert shown["chair_s"] == pytest.approx(chair_of(metrics).chair_s)
    assert "accuracy" not in shown


def test_other_questions_are_another_cell() -> None:
    same = fingerprint({"n_images": 5})
    assert same == fingerprint({"n_images": 5}) != fingerprint({"n_images": 5, "split": "popular"})
