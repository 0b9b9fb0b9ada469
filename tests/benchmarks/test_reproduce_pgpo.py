"""PGPO run again: the plan is of one piece, a warm start and a cell of each kind say what the page needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from fogline.agents.collector import collect_all
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce.cells import Cell, CellResult
from fogline.benchmarks.reproduce.experiment import ACCURACY, WARM
from fogline.benchmarks.reproduce.pgpo import unable
from fogline.benchmarks.reproduce.pgpo.plan import (
    CLAIMS,
    COUNTER,
    DAPO,
    FIRST_ROW,
    FULL,
    GREEDY,
    GRPO,
    JUDGE,
    JUDGED,
    LEARNED,
    METHODS,
    OUTCOME,
    OVERLAP,
    PGPO,
    PROCESS,
    QUICK,
    SHORTCUTS,
    TablePlan,
    at,
)
from fogline.benchmarks.reproduce.pgpo.training import train_method
from fogline.benchmarks.reproduce.pgpo.warm_start import TAUGHT, lessons, model_folder, warm_start
from fogline.benchmarks.reproduce.pgpo.world import (
    PHRASES,
    environments,
    measured,
    most_likely_right,
    overlap,
    questions,
)
from fogline.core.episode import Episode
from fogline.envs.visual_table.perturbations import KINDS
from fogline.simulators.tables.records import TableDataset
from fogline.simulators.tables.sources import load_tables
from fogline.trainers.recipes import make_recipe
from fogline.trainers.table_critics import OracleCritic, reply_of

torch.set_num_threads(1)

MICRO = TablePlan(
    layers=2,
    width=32,
    vision_width=16,
    sight_tables=64,
    sight_epochs=1,
    shown_tables=48,
    shown_epochs=1,
    critic_tables=24,
    critic_epochs=1,
    tables=16,
    tasks_per_update=2,
    group_size=2,
    updates=2,
    test_tables=6,
    test_samples=1,
    evaluations=2,
)


def test_quick_and_full_differ_in_budget_and_sight_only() -> None:
    assert type(QUICK) is type(FULL)
    assert (QUICK.observation, FULL.observation) == ("symbols", "image")
    assert len(FULL.seeds) >= 5
    arms = {at(name, shortcut) for name in METHODS for shortcut in SHORTCUTS}
    assert {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS} <= arms
    assert SHORTCUTS == (0.0, 0.8)


def test_what_the_reward_holds_is_not_what_is_claimed() -> None:
    assert PROCESS not in {claim.metric for claim in CLAIMS}
    assert {OVERLAP, COUNTER, JUDGED} <= {claim.metric for claim in CLAIMS}


def test_the_ablation_differs_from_pgpo_in_the_gate_alone() -> None:
    with_process, without = (make_recipe("pgpo", **METHODS[name].options).options for name in (PGPO, OUTCOME))
    assert {name for name in with_process if with_process[name] != without[name]} == {"process_gate"}
    dapo, grpo = (make_recipe(METHODS[name].recipe, **METHODS[name].options).options for name in (DAPO, GRPO))
    for name in ("advantage", "scale", "aggregation", "clip_low"):
        assert len({found[name] for found in (with_process, without, dapo, grpo)}) == 1


def test_every_phrase_is_one_token_and_traces_are_short() -> None:
    from fogline.agents.policies.tiny import episode_texts, fit_tokenizer

    shown = replies("oracle")
    tokenizer = fit_tokenizer(
        episode_texts(shown), vocabulary_size=160, phrase_share=None, piece_length=1, phrases=PHRASES
    )
    assert all(len(tokenizer(phrase)["input_ids"]) == 1 for phrase in PHRASES)
    assert max(len(tokenizer(item.turns[0].action)["input_ids"]) for item in shown) < FULL.longest


def replies(agent: str, **options: Any) -> list[Episode]:
    dataset = questions("test", 20)
    player = make_agent(agent, "VisualTable-v0", dataset=dataset, **options)
    symbols = MICRO.model_copy(update={"observation": "symbols"})
    return collect_all(environments(symbols, dataset), player, [Assignment(task, 0) for task in dataset.tasks])


def test_overlap_is_one_for_gold_and_falls_with_what_is_beside_it() -> None:
    tasks = questions("test", 20).tasks
    assert {overlap(tasks[item.task_id], item) for item in replies("oracle")} == {1.0}
    assert {overlap(tasks[item.task_id], item) for item in replies("guesser")} == {0.0}
    moved = replies("slippery", kinds=("wrong row",))
    for item in moved:
        gold = {step.anchor for step in tasks[item.task_id].steps}
        said = {step.anchor for step in reply_of(item).steps}
        assert overlap(tasks[item.task_id], item) == len(gold & said) / len(gold | said) <= 1


def test_lessons_are_balanced_and_the_marks_are_the_oracles() -> None:
    dataset = load_tables(level=(1, 2, 3), tasks_per_level=20, size="tiny")
    symbols = MICRO.model_copy(update={"observation": "symbols"})
    gold, spoilt = lessons(symbols, dataset, 0)
    assert set(spoilt) == set(KINDS)
    assert len({len(found) for found in spoilt.values()}) == 1
    assert all(item.outcome["process"] == 1 for item in gold)
    oracle = OracleCritic(dataset)
    for found in spoilt.values():
        for episode, place in found:
            (verdict,) = oracle.judge([episode])
            assert verdict.steps[place].score == 0
            assert all(step.score == 1 for step in verdict.steps[:place])


Begun = tuple[TablePlan, Path, Any]


def begin(observation: Literal["symbols", "image"], folder: Path) -> Begun:
    plan = MICRO.model_copy(update={"observation": observation})
    return plan, folder, warm_start(plan, folder, Cell(WARM, 0))


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return begin("symbols", tmp_path_factory.mktemp("symbols"))


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return begin("image", tmp_path_factory.mktemp("image"))


def check_warm_start(begun: Begun) -> None:
    _, folder, found = begun
    for name in (TAUGHT, JUDGE):
        assert (model_folder(folder, 0, name) / "critic.json").exists()
        assert {f"AUC of the {name}, {kind}" for kind in KINDS} <= set(found["metrics"])
    assert {ACCURACY, COUNTER, FIRST_ROW, GREEDY, OVERLAP, JUDGED} <= set(found["metrics"])


def check_cell(begun: Begun, name: str) -> None:
    plan, folder, _ = begun
    world = plan.model_copy(update={"shortcut": 0.8})
    found = train_method(folder, world, METHODS, dict.fromkeys(METHODS, 1e-3), folder, Cell(name, 0))
    assert [point[0] for point in found["curves"][ACCURACY]] == [0, 1, 2]
    assert 0 <= found["metrics"]["share kept"] <= 1
    assert found["metrics"]["episodes"] >= world.updates * world.tasks_per_update * world.group_size


def test_a_warm_start_has_two_critics_measured_by_kind(symbols: Begun, pixels: Begun) -> None:
    check_warm_start(symbols)
    check_warm_start(pixels)


@pytest.mark.parametrize("name", METHODS)
def test_a_cell_of_each_kind_with_symbols(symbols: Begun, name: str) -> None:
    check_cell(symbols, name)


@pytest.mark.parametrize("name", [PGPO, LEARNED])
def test_a_cell_with_pixels(pixels: Begun, name: str) -> None:
    check_cell(pixels, name)


def test_a_start_that_cannot_read_is_named() -> None:
    def start(seed: int, share: float) -> CellResult:
        return CellResult(WARM, seed, "done", {"metrics": {GREEDY: share}})

    assert unable([start(3, 0.95)]) == ()
    (note,) = unable([start(3, 0.95), start(4, 0.5)])
    assert "4 (0.50)" in note and "3 (" not in note


class Reader:
    """Replies with the gold trace."""

    name, batch_size, together, greedy = "reader", None, False, False

    def __init__(self, dataset: TableDataset) -> None:
        self._oracle = make_agent("oracle", "VisualTable-v0", dataset=dataset)

    def act(self, views: Any) -> Any:
        return self._oracle.act(views)


def test_who_reads_rightly_is_measured_so() -> None:
    plan = MICRO.model_copy(update={"observation": "symbols"})
    dataset = questions("test", plan.test_tables)
    found = measured(plan, Reader(dataset), OracleCritic(dataset))  # type: ignore[arg-type]
    assert (found[ACCURACY], found[OVERLAP], found[PROCESS], found[JUDGED]) == (1.0, 1.0, 1.0, 1.0)
    assert found[FIRST_ROW] == 0.0
    reader = Reader(questions("validation", plan.test_tables))
    assert most_likely_right(plan, reader) == 1.0  # type: ignore[arg-type]
