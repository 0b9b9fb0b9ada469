"""SCOPE (arXiv 2604.10688) with tiny language models: do weights by perplexity teach more, and keep answers many?

In stages, each resumable by arm and seed: a teacher, and for students of two strengths warm starts, learning rates and
the arms of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

import torch

from fogline.agents.policies.language import CausalLMPolicy
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellResult, Progress, run_cells
from fogline.benchmarks.reproduce.distillation import both, claims_at_equal_rates, run_students
from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, TEACHER, of
from fogline.benchmarks.reproduce.experiment import ACCURACY, curves_of, described
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY, MathPlan
from fogline.benchmarks.reproduce.math_reasoning.warm_start import sampled_answers
from fogline.benchmarks.reproduce.results import Findings, Plot, arms_of, failures_of, judge
from fogline.benchmarks.reproduce.scope.concentration import concentration
from fogline.benchmarks.reproduce.scope.plan import (
    AFTERWARDS,
    BEGINNING,
    CLAIMS,
    CLAIMS_AFTERWARDS,
    DISTINCT,
    FULL,
    GRPO,
    METHODS,
    OPD,
    PAPER,
    QUICK,
    RIVALS,
    SCOPE,
    SPREAD,
    TEMPERATURES,
    TEMPERED,
    Plan,
)
from fogline.core.episode import Episode
from fogline.trainers.batch import batch_of
from fogline.trainers.whole import scored_parts


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Teacher, students, verdicts against the published tables and ablations.

    Raises:
        InfrastructureError: A warm start or every tuning run of a method failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    starts, cells, rates = run_students(plan, METHODS, RIVALS, config, progress, more=variety, later=AFTERWARDS)
    begun = weighed_before(plan, config, progress)
    arms = (*arms_of(cells), *arms_of(begun))
    equal = claims_at_equal_rates(CLAIMS, RIVALS, STRENGTHS, arms)
    return Findings(
        system="scope",
        claim=(
            "Right answers weighed up where the student did not expect them, wrong ones where the teacher did, teach "
            "more than distillation and than reward alone, and keep right answers many"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"arms": described({**METHODS, **AFTERWARDS}), "rates_chosen": rates, **plan.stated()},
        arms=(*arms_of(starts), *arms),
        comparisons=judge(arms, (*CLAIMS, *equal, *CLAIMS_AFTERWARDS)),
        curves=curves_of(cells, (ACCURACY, ENTROPY)),
        plots=(
            Plot(name="accuracy", title="Sampled accuracy on unseen problems", metric=ACCURACY, y_label="share",
                 arms=both((GRPO, OPD, SCOPE))),
            Plot(name="entropy", title="Entropy during training", metric=ENTROPY, y_label="nats a token",
                 arms=both((GRPO, OPD, SCOPE))),
        ),
        failures=(*failures_of(cells), *failures_of(begun)),
        notes=(
            f"'{TEMPERED}' and '{BEGINNING}' were added afterwards, to find out why the teacher's weight does harm "
            "from a weak start: where the teacher finds most wrong answers very unlikely, weights at temperature 1 "
            "rest on the few that it finds likelier, and what it dislikes most, which distillation has to push down, "
            "counts for little. The paper's figure has surprises of 0.5 to 1.5 nats a token.",
            "The models have some 80,000 weights (the teacher more) and are trained from scratch: this is another "
            "world than the paper's. Problems are of countdown, since answers must differ where variety is to be kept.",
        ),
    )  # fmt: skip


def weighed_before(plan: Plan, config: ReproduceConfig, progress: Progress) -> list[CellResult]:
    """On what the teacher's weight rests in the warm starts of each strength."""
    folder = config.cells_folder
    found: list[CellResult] = []
    for strength in STRENGTHS:
        student = plan.student(strength)
        cells = run_cells(
            [Cell(BEGINNING, seed) for seed in plan.seeds],
            partial(concentration, student, folder / strength / "warm", folder / TEACHER / "warm"),
            folder / strength / "weights",
            config={**student.warm_shapes(), "temperatures": TEMPERATURES},
            workers=config.workers,
            resume=config.resume,
            on_progress=progress,
        )
        found += [replace(cell, arm=of(cell.arm, strength)) for cell in cells]
    return found


@torch.no_grad()
def variety(policy: CausalLMPolicy, plan: MathPlan, split: str) -> Mapping[str, float | None]:
    """How many right answers differ, and the policy's entropy where every sample is right; None where none is."""
    groups = sampled_answers(policy, plan, split)
    distinct = fmean(len({_said(answer) for answer in group if answer.outcome["correct"]}) for group in groups)
    right = [answer for group in groups if all(answer.outcome["correct"] for answer in group) for answer in group]
    return {DISTINCT: distinct, SPREAD: _entropy(policy, right) if right else None}


def _said(answer: Episode) -> str:
    return str(answer.turns[-1].action)


def _entropy(policy: CausalLMPolicy, answers: Sequence[Episode]) -> float:
    """Mean over their tokens, in nats."""
    batch = batch_of(answers, policy)
    entropy = policy.score(*scored_parts(batch), entropy=True).entropy
    assert entropy is not None, "it was asked for"
    return float(entropy[batch.policy_mask].mean())
