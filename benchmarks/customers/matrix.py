"""Policies on customers that they were not trained on: the matrix of training and test.

Source: DuCA specification, sections 5.4 and 14 (a policy overfits its simulator; report train x test).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fogline.agents.rollout import Assignment
from fogline.benchmarks.customers.checks import number
from fogline.benchmarks.customers.config import ENV_ID, ValidationConfig
from fogline.benchmarks.customers.judging import Check, Measured, check, mean, rate, share
from fogline.benchmarks.customers.sessions import Calls, Session, assignments, play
from fogline.benchmarks.reproduce.cells import Cell, CellResult, Progress, run_cells
from fogline.benchmarks.sweeps.tables import Column, Line, Number, Table
from fogline.core.errors import InfrastructureError
from fogline.core.intervals import LEAST_RUNS
from fogline.envs.sales_dialogue.env import SalesDialogueEnv

RECIPE = "duca"
OPTIONS = {"entropy_coefficient": 0.02}
SESSION = "graded"
"""What a session pays while a policy learns; conversions alone are too rare at first. Tests count conversions."""
CUSTOMERS = 100
"""Of each product, to train on."""
TASKS_PER_UPDATE, GROUP_SIZE = 32, 8
LEARNER = {"learning_rate": 3e-3, "epochs": 4, "minibatches": 4}
SELLERS = ("random-acts", "scripted")
FIRST_SEED = 100
"""Seeds of the policies; none was looked at when settings were chosen."""

Fared = Mapping[str, Any]
"""What a seller's calls to one variant came to: ``keys`` (task, seed), ``converted`` and ``repetition``, call by call,
and ``planned`` and ``faults``."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """What became of the policies.

    Attributes:
        variants: Trained on, and tested on.
        policies: By variant of training, one entry a policy: by variant of test, how it fared.
        sellers: The same for sellers that learn nothing.
        failures: Policies that could not be trained, in words.
    """

    variants: Sequence[str]
    policies: Mapping[str, Sequence[Mapping[str, Fared]]]
    sellers: Mapping[str, Mapping[str, Fared]]
    failures: Sequence[str] = ()


def run_matrix(config: ValidationConfig, progress: Progress) -> Matrix:
    """Train policies on every variant, in processes of their own, and let them call every variant.

    Policies that an earlier run has trained under the same settings are taken over.

    Args:
        config: Variants and budget.
        progress: Told how many sellers are done, of how many.
    """
    budget = config.budget
    seeds = range(FIRST_SEED + config.seed, FIRST_SEED + config.seed + budget.matrix_seeds)
    policies = [Cell(variant, seed) for variant in config.matrix_variants for seed in seeds]
    cells = [Cell(seller, config.seed) for seller in SELLERS] + policies
    results = run_cells(
        cells,
        partial(sell, config=config),
        config.policies_folder,
        config=_settings(config),
        workers=config.workers,
        resume=config.resume,
        on_progress=progress,
    )
    done = [result for result in results if result.status == "done"]
    return Matrix(
        config.matrix_variants,
        {variant: _of(done, variant) for variant in config.matrix_variants},
        {seller: fared for seller in SELLERS for fared in _of(done, seller)},
        [
            f"{item.arm}, seed {item.seed}: {item.error.strip().rpartition(chr(10))[2]}"
            for item in results
            if item.error
        ],
    )


def sell(cell: Cell, config: ValidationConfig) -> Mapping[str, Any]:
    """One seller: trained first where the cell's name is a variant's, then calling customers of every variant."""
    seller: Any = cell.arm if cell.arm in SELLERS else train(cell, config)
    wanted = assignments(config, config.budget.matrix_sessions)
    actions = "text" if cell.arm in SELLERS else "acts"
    fared = {}
    for variant in config.matrix_variants:
        calls = play(config.by_rules(variant), seller, wanted, actions=actions)
        if not calls.sessions:
            raise InfrastructureError(f"none of {calls.planned} calls to {variant!r} customers ended: expected some.")
        fared[variant] = _fared(calls)
    return {"fared": fared}


def train(cell: Cell, config: ValidationConfig) -> Any:
    """Train a policy on a variant and return it; from now on it does what it finds most likely."""
    from fogline.trainers.config import EvaluationConfig, RolloutConfig, TrainConfig
    from fogline.trainers.learner import LearnerConfig
    from fogline.trainers.setup import make_trainer

    settings = TrainConfig(
        recipe=RECIPE,
        env=ENV_ID,
        env_kwargs=config.by_rules(cell.arm).keywords(
            split="train", actions="acts", session=SESSION, scenarios=CUSTOMERS
        ),
        options=dict(OPTIONS),
        updates=config.budget.matrix_updates,
        seed=cell.seed,
        rollout=RolloutConfig(tasks_per_update=TASKS_PER_UPDATE, group_size=GROUP_SIZE),
        learner=LearnerConfig.model_validate(LEARNER),
        # It is tested afterwards, on every variant.
        evaluation=EvaluationConfig(limit=1),
        out=str(Path(config.policies_folder) / f"{cell.arm}-{cell.seed}"),
        resume=False,
    )
    trainer = make_trainer(settings)
    trainer.train()
    trainer.policy.greedy = True
    return trainer.policy


def matrix_tables(matrix: Matrix) -> list[Table]:
    """Conversion and repetition, a line for each seller and variant of training, a column for each of test."""
    return [
        _table(matrix, "conversion", "Trained on one variant, tested on another: conversion"),
        _table(matrix, "repetition", "Trained on one variant, tested on another: repetition"),
    ]


def transfer_checks(matrix: Matrix) -> list[Check]:
    """Whatever a policy was trained on, on every variant it sells better than random acts do.

    The worst pair of training and test is judged.
    """
    gains = {
        (trained, tested): mean(
            [_gain(one[tested], matrix.sellers["random-acts"][tested]) for one in policies], LEAST_RUNS
        )
        for trained, policies in matrix.policies.items()
        for tested in matrix.variants
        if policies and "random-acts" in matrix.sellers
    }
    statement = "On every variant, policies trained on any variant convert more than random acts"
    if not gains:
        return [check("Ladder", "transfer", statement, Measured(), "above", 0.0)]
    worst = min(gains, key=lambda pair: gains[pair].least)
    note = f"the worst pair: trained on {worst[0]}, tested on {worst[1]}; N counts policies"
    return [check("Ladder", "transfer", statement, gains[worst], "above", 0.0, note=note)]


def trained_gain(matrix: Matrix, variant: str, scripted: Calls) -> Measured:
    """Conversion of the policies that were trained on a variant minus the script's, policy by policy.

    Args:
        matrix: With the policies.
        variant: Of training and test.
        scripted: Calls of the scripted seller to that variant.
    """
    gains = []
    for one in matrix.policies.get(variant, ()):
        calls = zip(map(_assignment, one[variant]["keys"]), one[variant]["converted"], strict=True)
        pairs = [won - scripted.sessions[key].converted for key, won in calls if key in scripted.sessions]
        if pairs:
            gains.append(sum(pairs) / len(pairs))
    return mean(gains, LEAST_RUNS)


def _of(results: Sequence[CellResult], arm: str) -> list[Mapping[str, Fared]]:
    return [result.value["fared"] for result in results if result.arm == arm]


def _fared(calls: Calls) -> dict[str, Any]:
    sessions: list[Session] = list(calls)
    return {
        "keys": [list(session.assignment) for session in sessions],
        "converted": [int(session.converted) for session in sessions],
        "repetition": [session.repetition for session in sessions],
        "planned": calls.planned,
        "faults": calls.faults,
    }


def _assignment(key: Sequence[Any]) -> Assignment:
    return Assignment(*key)


def _share(fared: Fared) -> float:
    return sum(fared["converted"]) / len(fared["converted"])


def _repetition(fared: Fared) -> float:
    known = [value for value in fared["repetition"] if value is not None]
    return math.fsum(known) / len(known)


def _gain(fared: Fared, other: Fared) -> float:
    return _share(fared) - _share(other)


def _table(matrix: Matrix, what: str, title: str) -> Table:
    columns = [Column(variant, f"on {variant}", percent=True) for variant in matrix.variants]
    of = _share if what == "conversion" else _repetition
    lines = []
    for seller, fared in matrix.sellers.items():
        numbers = {variant: number(_of_calls(fared[variant], what)) for variant in matrix.variants}
        lines.append(Line((seller,), {**numbers, "faults": _faults([fared])}))
    for trained, policies in matrix.policies.items():
        means = [mean([of(one[tested]) for one in policies], LEAST_RUNS) for tested in matrix.variants]
        numbers = dict(zip(matrix.variants, map(number, means), strict=True))
        lines.append(Line((f"{RECIPE} on {trained}",), {**numbers, "faults": _faults(policies)} if policies else {}))
    if what == "conversion":
        columns.append(Column("faults", "Simulator faults", percent=True))
    note = (
        "Policies: mean over independent runs, with Student's interval over them. Sellers that learn nothing: one set "
        "of calls, with an interval over calls. All on customers of the test split, who were not there in training."
    )
    return Table(f"matrix_{what}", title, ("seller",), tuple(columns), tuple(lines), note)


def _faults(everything: Sequence[Mapping[str, Fared]]) -> Number:
    fared = [one for tested in everything for one in tested.values()]
    return number(share(sum(one["faults"] for one in fared), sum(one["planned"] for one in fared)))


def _of_calls(fared: Fared, what: str) -> Measured:
    if what == "conversion":
        return rate([bool(won) for won in fared["converted"]])
    return mean([value for value in fared["repetition"] if value is not None])


def _settings(config: ValidationConfig) -> dict[str, Any]:
    """All that shapes a cell."""
    return {
        "simulator_version": SalesDialogueEnv.simulator_version,
        "variants": list(config.matrix_variants),
        "seed": config.seed,
        "env_kwargs": config.by_rules("default").keywords(),
        "updates": config.budget.matrix_updates,
        "sessions": config.budget.matrix_sessions,
        "recipe": RECIPE,
        "options": OPTIONS,
        "session": SESSION,
        "customers": CUSTOMERS,
        "tasks_per_update": TASKS_PER_UPDATE,
        "group_size": GROUP_SIZE,
        "learner": LEARNER,
    }
