"""SCOPE (arXiv 2604.10688) with tiny language models: do weights by perplexity teach more, and keep answers many?

In stages, each resumable by arm and seed: a teacher, and for students of two strengths warm starts, learning rates and
the arms of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import torch

from fogline.agents.policies.language import CausalLMPolicy
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Progress
from fogline.benchmarks.reproduce.distillation import both, claims_at_equal_rates, run_students
from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS
from fogline.benchmarks.reproduce.math_reasoning import curves_of, described
from fogline.benchmarks.reproduce.math_reasoning.plan import ACCURACY, ENTROPY, MathPlan
from fogline.benchmarks.reproduce.math_reasoning.warm_start import sampled_answers
from fogline.benchmarks.reproduce.results import Findings, Plot, arms_of, failures_of, judge
from fogline.benchmarks.reproduce.scope.plan import (
    CLAIMS,
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
    starts, cells, rates = run_students(plan, METHODS, RIVALS, config, progress, more=variety)
    arms = arms_of(cells)
    equal = claims_at_equal_rates(CLAIMS, RIVALS, STRENGTHS, arms)
    return Findings(
        system="scope",
        claim=(
            "Right answers weighed up where the student did not expect them, wrong ones where the teacher did, teach "
            "more than distillation and than reward alone, and keep right answers many"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"arms": described(METHODS), "rates_chosen": rates, **plan.stated()},
        arms=(*arms_of(starts), *arms),
        comparisons=judge(arms, (*CLAIMS, *equal)),
        curves=curves_of(cells, (ACCURACY, ENTROPY)),
        plots=(
            Plot(name="accuracy", title="Sampled accuracy on unseen problems", metric=ACCURACY, y_label="share",
                 arms=both((GRPO, OPD, SCOPE))),
            Plot(name="entropy", title="Entropy during training", metric=ENTROPY, y_label="nats a token",
                 arms=both((GRPO, OPD, SCOPE))),
        ),
        failures=failures_of(cells),
        notes=(
            "The models have some 80,000 weights (the teacher more) and are trained from scratch: this is another "
            "world than the paper's. Problems are of countdown, since answers must differ where variety is to be kept.",
        ),
    )  # fmt: skip


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
