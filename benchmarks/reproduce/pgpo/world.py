"""Small tables that a small model can learn to read, and what is measured of a reader."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from fogline.agents.collector import EnvFactory, collect_all
from fogline.agents.policies.policy import Policy
from fogline.agents.rollout import Assignment
from fogline.benchmarks.reproduce.experiment import ACCURACY
from fogline.benchmarks.reproduce.pgpo.plan import (
    COUNTER,
    FIRST_ROW,
    IN_TRAINING,
    JUDGED,
    MISPLACED,
    OVERLAP,
    PREFIX,
    PROCESS,
    TOKENS,
    TablePlan,
)
from fogline.core.episode import Episode
from fogline.envs.visual_table.env import VisualTableEnv
from fogline.envs.visual_table.process import check
from fogline.envs.visual_table.traces import written_anchor
from fogline.simulators.tables.records import Cell, TableDataset, TableTask
from fogline.simulators.tables.sources import SYNTHETIC, load_tables
from fogline.trainers.critics import Critic, Judgement
from fogline.trainers.process import process_score
from fogline.trainers.sight import Place
from fogline.trainers.table_critics import reply_of

LEVELS, KINDS = (1, 3), ("value", "argmax", "argmin")
ROWS, COLUMNS = 3, 3
TEST_SEED = 80_000_000

_ANCHORS = [[written_anchor(Cell(row, column)) for column in range(1, COLUMNS + 1)] for row in range(ROWS + 1)]
PLACES = tuple(
    place for row in _ANCHORS for place in (*(Place(f" -> {here}", f"; read {here} = ") for here in row), None)
)
"""Of every patch of a picture, row by row; the last of a row is blank."""
PHRASES = (
    *("<think>find ", "; find ", "; pick max", "; pick min", "</think><answer>", "</answer>"),
    *("most ", "fewest ", " of "),
    *(text for place in PLACES if place is not None for text in place),
)
"""One token each: the grammar's words, and what is said of every place of a table."""


def questions(split: str, per_level: int, shortcut: float = 0.0) -> TableDataset:
    """Look a value up, or find an extremum, in tables of three rows of single digits under letters."""
    return load_tables(
        SYNTHETIC, level=LEVELS, kinds=KINDS, split=split, tasks_per_level=per_level, shortcut=shortcut, size="tiny"
    )


def environments(plan: TablePlan, dataset: TableDataset) -> EnvFactory:
    """No rules and no gate: what a method makes of the process score is the method's own."""
    return partial(VisualTableEnv, dataset, observation=plan.observation, size="tiny", prompt="short", gate="off")


def replies(plan: TablePlan, policy: Policy, dataset: TableDataset, samples: int) -> list[Episode]:
    """Sampled replies to every question."""
    wanted = [Assignment(task, TEST_SEED + sample) for task in dataset.tasks for sample in range(samples)]
    return collect_all(environments(plan, dataset), policy, wanted, concurrency=512)


def accuracy(plan: TablePlan, policy: Policy) -> float:
    """Of one sampled reply to each test question: a point of a curve."""
    return _mean(replies(plan, policy, questions("test", plan.test_tables), 1), "correct")


def most_likely_right(plan: TablePlan, policy: Policy) -> float:
    """Of the most likely replies to validation questions: can it read at all?"""
    policy.greedy = True
    try:
        return _mean(replies(plan, policy, questions("validation", plan.test_tables), 1), "correct")
    finally:
        policy.greedy = False


def measured(plan: TablePlan, policy: Policy, judge: Critic) -> dict[str, float]:
    """What a reader does on tables that nobody has seen.

    Args:
        plan: Budgets.
        policy: Who reads.
        judge: A critic that nobody learned from.
    """
    dataset = questions("test", plan.test_tables)
    episodes = replies(plan, policy, dataset, plan.test_samples)
    misled = [item for item in episodes if _search(dataset, item) and not item.metrics["shortcut"]]
    anchors = sum(item.metrics["anchors"] for item in episodes)
    biased = questions("test", plan.test_tables, plan.shortcut)
    return {
        ACCURACY: _mean(episodes, "correct"),
        COUNTER: _mean(misled, "correct"),
        FIRST_ROW: fmean(item.metrics["given"] == dataset.tasks[item.task_id].table.rows[0][0] for item in misled),
        IN_TRAINING: _mean(replies(plan, policy, biased, 1), "correct"),
        OVERLAP: fmean(overlap(dataset.tasks[item.task_id], item) for item in episodes),
        MISPLACED: sum(item.metrics["misplaced"] for item in episodes) / max(anchors, 1),
        PROCESS: _mean(episodes, "process"),
        PREFIX: fmean(_prefix(dataset.tasks[item.task_id], item) for item in episodes),
        JUDGED: fmean(judged_scores(judge, episodes)),
        TOKENS: fmean(len(item.turns[0].action_token_ids) for item in episodes),
    }


def overlap(task: TableTask, episode: Episode) -> float:
    """Cells that are pointed at and belong to the gold trace, as a share of all cells that are either."""
    gold = {step.anchor for step in task.steps if step.anchor is not None}
    said = {step.anchor for step in reply_of(episode).steps if step.anchor is not None}
    return len(gold & said) / len(gold | said)


def judged_scores(judge: Critic, episodes: Sequence[Episode]) -> list[float]:
    """A critic's process scores as PGPO makes them of its steps; replies of which it has nothing to say are left out.

    Raises:
        InfrastructureError: It had nothing to say of any.
    """
    import torch

    found = [item for item in judge.judge(episodes) if isinstance(item, Judgement)]
    longest = max(len(item.steps) for item in found)
    score = torch.zeros(len(found), max(longest, 1), dtype=torch.float64)
    mask = torch.zeros_like(score, dtype=torch.bool)
    for row, item in enumerate(found):
        score[row, : len(item.steps)] = torch.tensor([step.score for step in item.steps], dtype=torch.float64)
        mask[row, : len(item.steps)] = True
    return process_score(score, mask, torch.tensor([item.anchored for item in found])).tolist()


def _prefix(task: TableTask, episode: Episode) -> float:
    return check(task.table, reply_of(episode).steps, task.steps, form="prefix").score


def _search(dataset: TableDataset, episode: Episode) -> bool:
    return dataset.tasks[episode.task_id].kind != "value"


def _mean(episodes: Sequence[Episode], term: str) -> float:
    return fmean(float(episode.outcome[term]) for episode in episodes)
