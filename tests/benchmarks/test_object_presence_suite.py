"""What ``fogline eval`` says of ObjectPresence-v0 is what POPE and CHAIR say of the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fogline.agents.agent import SeatView
from fogline.agents.scripted.object_presence import GuessAgent
from fogline.benchmarks.evaluation import EvalConfig, evaluate
from fogline.benchmarks.object_presence import fingerprint
from fogline.core.store import RunStore
from fogline.envs.object_presence.scores import chair_of, pope_of
from fogline.simulators.scenes.records import SceneTask


def evaluated(agent: str, folder: Path, samples: int = 1, **env_kwargs: Any) -> tuple[dict[str, float], list[Any]]:
    store = str(folder / "runs.db")
    world = {"n_images": 20, **env_kwargs}
    config = EvalConfig(env="ObjectPresence-v0", agent=agent, env_kwargs=world, samples=samples, store=store)
    report = evaluate(config)
    with RunStore(store) as opened:
        metrics = [stored.episode.metrics for stored in opened.episodes(cell_key=report.cell_key)]
    found = {item.name: item.average.value for item in report.summary.measures}
    return {name: value for name, value in found.items() if value is not None}, metrics


class Mumbler(GuessAgent):
    """Says neither yes nor no to a third of the questions."""

    name = "mumbler"

    def _reply(self, task: SceneTask, view: SeatView) -> str:
        return "hm" if view.rng.random() < 1 / 3 else super()._reply(task, view)


ANSWERS = ("accuracy", "precision", "recall", "f1", "yes_rate")


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("agent", ["oracle", "always-yes", "always-no", "guess", f"{__name__}:Mumbler"])
def test_answers_are_scored_as_pope_does(agent: str, samples: int, tmp_path: Path) -> None:
    shown, metrics = evaluated(agent, tmp_path, samples, split="popular")
    scores = pope_of(metrics)
    assert {name: shown[name] for name in ANSWERS} == pytest.approx({name: getattr(scores, name) for name in ANSWERS})
    assert shown["readable"] == pytest.approx(1 - scores.unreadable)


@pytest.mark.parametrize("agent", ["oracle", "prior"])
def test_captions_are_scored_as_chair_does(agent: str, tmp_path: Path) -> None:
    shown, metrics = evaluated(agent, tmp_path, task="caption")
    scores = chair_of(metrics)
    found = (shown["chair_s"], shown["chair_i"], shown["found"])
    assert found == pytest.approx((scores.chair_s, scores.chair_i, scores.recall))
    assert "accuracy" not in shown


def test_other_questions_are_another_cell() -> None:
    same = fingerprint({"n_images": 5})
    assert same == fingerprint({"n_images": 5}) != fingerprint({"n_images": 5, "split": "popular"})
