"""The reproduction of TRUST-SQL: its plan holds together, and a miniature of it runs from warm start to arms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.trust_sql.plan import ARMS, CLAIMS, FORMS, FULL, HIDDEN, QUICK, Plan, tuned_arms
from fogline.benchmarks.reproduce.trust_sql.training import RECIPE, train_arm
from fogline.benchmarks.reproduce.trust_sql.warm_start import warm_start
from fogline.benchmarks.reproduce.trust_sql.world import databases
from fogline.simulators.databases.records import TextToSQLDataset
from fogline.trainers.recipes import make_recipe

torch.set_num_threads(1)

MINIATURE = Plan(
    sft_databases=4,
    sft_questions=2,
    sft_copies=1,
    train_databases=2,
    train_questions=2,
    test_databases=2,
    test_questions=2,
    tasks_per_update=2,
    group_size=2,
    updates=2,
    evaluations=2,
    max_turns=3,
    max_new_tokens=8,
    max_context=400,
)


def names(dataset: TextToSQLDataset) -> set[str]:
    """Invented words of all questions and golds."""
    texts = " ".join(f"{task.question} {task.gold_sql}" for task in dataset.tasks.values())
    return set(re.findall(r"\b(?:[bdfgklmnprstvz][aeiou]){2}\b|\w+_\w\w\b", texts))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOGLINE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_every_arm_is_a_recipe_of_a_form_tuned_as_an_arm() -> None:
    assert all(arm["form"] in FORMS and arm["tuned_as"] in ARMS for arm in ARMS.values())
    assert [make_recipe(RECIPE, **arm["options"]).name for arm in ARMS.values()] == [RECIPE] * len(ARMS)
    assert set(tuned_arms()) == {"execution only", "naive mixing", "dual λ=0.25"}
    assert all({arm, baseline} <= set(ARMS) for _, arm, baseline, _, _ in CLAIMS)


def test_the_plan_has_seeds_enough_and_tunes_on_others() -> None:
    assert len(FULL.seeds) >= 5
    assert not set(FULL.seeds) & set(FULL.tuning_seeds)
    assert not set(QUICK.seeds) & set(QUICK.tuning_seeds)
    assert all(margin > 0 for *_, margin, _ in CLAIMS)


def test_no_name_of_one_part_occurs_in_another() -> None:
    parts = [names(databases(part, 3, 2)) for part in ("sft", "train", "validation", "test")]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_a_miniature_runs_from_warm_start_to_arms(tmp_path: Path) -> None:
    warm = warm_start(MINIATURE, tmp_path, Cell(HIDDEN, 0))
    assert warm["metrics"]["demonstrations"] >= 1
    assert warm["metrics"]["ex"] is None or 0 <= warm["metrics"]["ex"] <= 1
    tuned = train_arm(MINIATURE, {}, tmp_path, Cell("dual λ=0.25@0.001", 100))
    again = train_arm(MINIATURE, {}, tmp_path, Cell("dual λ=0.25@0.001", 100))
    assert {**tuned["metrics"], "train_s": 0} == {**again["metrics"], "train_s": 0}
    arm = train_arm(MINIATURE, {"dual λ=0.25": 1e-3}, tmp_path, Cell("dual λ=1", 0))
    assert [point[0] for point in arm["curves"]["ex"]] == [1, 2]
    assert arm["metrics"]["episodes"] == 8
    assert 0 <= arm["metrics"]["schema_reward_density"] <= 1
