"""Annotators demonstrate at the stated rates, the filter keeps what is right, and a shelf changes nothing but time."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import gymnasium
import numpy as np
import pytest

from fogline.agents.collector import collect_all
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.trust_sql import OracleAgent
from fogline.agents.scripted.trust_sql_demonstrations import (
    Annotator,
    demonstrate,
    is_demonstration,
    relettered,
)
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.envs.trust_sql.parser import parse_turn
from fogline.simulators.databases.pocket import PocketConfig, pocket_dataset
from fogline.simulators.databases.pocket.words import SUFFIXES, words_of
from fogline.simulators.databases.records import TextToSQLDataset
from fogline.simulators.databases.shelf import Shelf

VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"propose": False},
    {"schema": "prefilled"},
    {"schema": "prefilled", "propose": False},
)


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> TextToSQLDataset:
    return pocket_dataset(
        PocketConfig(part="sft", databases=10, questions_per_database=6), tmp_path_factory.mktemp("pocket")
    )


def assignments(dataset: TextToSQLDataset, seeds: int = 1) -> list[Assignment]:
    return [Assignment(task_id, seed) for task_id in dataset.tasks for seed in range(seeds)]


def flawless(dataset: TextToSQLDataset, **rates: float) -> Annotator:
    chosen: dict[str, Any] = {"exact": 1.0, "wander": 0.0, "stumble": 0.0, "careless": 0.0, **rates}
    return Annotator(dataset, **chosen)


def same(episodes: list[Episode]) -> list[Any]:
    return [(episode.task_id, episode.turns, episode.outcome, episode.metrics) for episode in episodes]


@pytest.mark.parametrize("protocol", ["soft", "strict"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_flawless_annotator_earns_everything(
    pocket: TextToSQLDataset, variant: dict[str, Any], protocol: str
) -> None:
    tasks = assignments(pocket)[::4]
    kept = demonstrate(pocket, tasks, flawless(pocket), protocol=protocol, **variant)
    assert [(episode.task_id, episode.seed) for episode in kept] == tasks
    for episode in kept:
        assert episode.reward == pytest.approx(1.1)
        assert episode.outcome["schema"] == float(variant.get("propose", True))
        assert episode.metrics["violations"] == [] and episode.metrics["ungrounded"] is False
        explored = [turn for turn in episode.turns if turn.phase == "explore"]
        assert bool(explored) == ("schema" not in variant)


def test_turns_are_well_formed_with_nothing_in_the_reasoning_block(pocket: TextToSQLDataset) -> None:
    for episode in demonstrate(pocket, assignments(pocket)[::8]):
        for turn in episode.turns:
            assert turn.action.startswith("<think></think><action>")
            assert parse_turn(turn.action).well_formed
            assert "\n" not in turn.action


def test_only_careless_annotators_fail_and_the_filter_drops_them(pocket: TextToSQLDataset) -> None:
    tasks = assignments(pocket, 4)
    annotator = Annotator(pocket, careless=0.2)
    with closing(Shelf()) as shelf:
        with_failures = collect_all(lambda: make(pocket, shelf=shelf), annotator, tasks)
    kept = demonstrate(pocket, tasks, annotator)
    assert same(kept) == same([episode for episode in with_failures if is_demonstration(episode)])
    assert 0.7 < len(kept) / len(tasks) < 0.9
    dropped = [episode for episode in with_failures if not is_demonstration(episode)]
    assert all(episode.metrics["error_class"] == "hallucination" for episode in dropped)
    assert len(demonstrate(pocket, tasks, Annotator(pocket, careless=0.0, stumble=0.5))) == len(tasks)


def test_proposals_are_exact_at_the_rate_that_is_stated_and_never_too_narrow(pocket: TextToSQLDataset) -> None:
    kept = demonstrate(pocket, assignments(pocket, 3), Annotator(pocket, exact=0.5))
    exact = sum(episode.outcome["schema"] for episode in kept) / len(kept)
    assert 0.42 < exact < 0.58
    for episode in kept:
        assert episode.metrics["schema_table_recall"] == episode.metrics["schema_column_recall"] == 1.0
        assert episode.metrics["proposals"][-1]["ungrounded"] == []
    broad = demonstrate(pocket, assignments(pocket), flawless(pocket, exact=0.0))
    assert sum(episode.outcome["schema"] for episode in broad) < 0.05 * len(broad)


def test_stumbling_shows_an_error_and_wandering_one_more_table(pocket: TextToSQLDataset) -> None:
    tasks = assignments(pocket)[::4]
    plain = demonstrate(pocket, tasks, flawless(pocket))
    for rates, phase in (({"stumble": 1.0}, "generate"), ({"wander": 1.0}, "explore")):
        longer = demonstrate(pocket, tasks, flawless(pocket, **rates))
        for one, other in zip(plain, longer, strict=True):
            phases = [[turn.phase for turn in episode.turns] for episode in (one, other)]
            assert phases[1].count(phase) - phases[0].count(phase) in ((1,) if phase == "generate" else (0, 1))
            if phase == "generate":
                position = phases[1].index("generate")
                assert str(other.turns[position + 1].observation).startswith("Error: no such")


def test_the_episode_seed_alone_decides_what_an_annotator_does(pocket: TextToSQLDataset) -> None:
    tasks = assignments(pocket, 2)[:40]
    one = demonstrate(pocket, tasks, concurrency=1)
    assert same(one) == same(demonstrate(pocket, tasks[::-1], concurrency=7)[::-1])
    texts = {(episode.task_id, episode.seed): [turn.action for turn in episode.turns] for episode in one}
    assert any(texts.get((task, 0)) != texts.get((task, 1)) for task, _ in tasks)


@pytest.mark.parametrize("comparator", ["bird", "spider"])
def test_a_shelf_changes_nothing_but_time(pocket: TextToSQLDataset, comparator: str) -> None:
    shelf, tasks = Shelf(), assignments(pocket)[::3]
    annotator = Annotator(pocket, careless=0.3)
    without = collect_all(lambda: make(pocket, comparator=comparator), annotator, tasks)
    for _ in range(2):
        with_shelf = collect_all(lambda: make(pocket, comparator=comparator, shelf=shelf), annotator, tasks)
        assert same(with_shelf) == same(without)
    shelf.close()


def test_a_shelf_is_shared_through_gymnasium_and_outlives_its_environments(pocket: TextToSQLDataset) -> None:
    shelf = Shelf()
    env = make(pocket, shelf=shelf)
    assert "shelf" not in env.spec.kwargs
    task = next(iter(pocket))
    env.reset(seed=0, options={"task_id": task.task_id})
    env.step(Annotator(pocket)._turn("confirm", f"<answer>{task.gold_sql}</answer>"))
    env.close()
    limits = env.unwrapped._limits
    assert shelf.database(pocket.databases[task.database], limits).execute("SELECT 1").ran
    shelf.close()


def test_a_relettered_demonstration_is_that_of_another_database(pocket: TextToSQLDataset) -> None:
    """One name for one name, all of the same part, and nothing else changes."""
    own = set(words_of("sft"))
    for number, episode in enumerate(demonstrate(pocket, assignments(pocket)[:20])):
        other = relettered(episode, "sft", np.random.default_rng(number))
        assert relettered(episode, "sft", np.random.default_rng(number)) == other
        renamed: dict[str, str] = {}
        for before, after in zip(episode.turns, other.turns, strict=True):
            for old, new in ((before.observation, after.observation), (before.action, after.action)):
                words, others = re.findall(r"[a-z]+|[^a-z]", old), re.findall(r"[a-z]+|[^a-z]", new)
                for word, replaced in zip(words, others, strict=True):
                    assert renamed.setdefault(word, replaced) == replaced
                    assert replaced in own if word in own else replaced == word or word in SUFFIXES
        assert len(set(renamed.values())) == len(renamed)
        assert sum(word in own and word != new for word, new in renamed.items()) >= 2


def test_annotators_refuse_what_they_cannot_play(pocket: TextToSQLDataset) -> None:
    task = assignments(pocket)[:1]
    with pytest.raises(ConfigurationError, match=r"exact=1\.5 is not a rate"):
        Annotator(pocket, exact=1.5)
    with pytest.raises(ConfigurationError, match='pass actions="text"'):
        collect_all(lambda: make(pocket, actions="structured"), Annotator(pocket), task)
    with pytest.raises(ConfigurationError, match="the annotator has no task"):
        collect_all(lambda: make(pocket), Annotator(TextToSQLDataset("none", {}, {})), task)


def test_the_oracle_plays_pocket_databases(pocket: TextToSQLDataset) -> None:
    episodes = collect_all(lambda: make(pocket, protocol="strict"), OracleAgent(pocket), assignments(pocket)[::4])
    assert {episode.reward for episode in episodes} == {1.1}
    assert {episode.outcome["schema"] for episode in episodes} == {1.0}


def make(dataset: TextToSQLDataset, **options: Any) -> Any:
    return gymnasium.make("fogline.envs:TrustSQL-v0", dataset=dataset, **options)
