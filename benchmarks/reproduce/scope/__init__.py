"""SCOPE (arXiv 2604.10688) with tiny language models: do weights by perplexity teach more, and keep answers many?

In stages, each resumable by arm and seed: a teacher, and for students of two strengths warm starts, learning rates and
the arms of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from fogline.agents.policies.language import CausalLMPolicy
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Progress
from fogline.benchmarks.reproduce.distillation import both, run_students
from fogline.benchmarks.reproduce.math_reasoning import curves_of, described
from fogline.benchmarks.reproduce.math_reasoning.plan import ACCURACY, ENTROPY, MathPlan
from fogline.benchmarks.reproduce.math_reasoning.warm_start import sampled_answers
from fogline.benchmarks.reproduce.results import Findings, Plot, arms_of, failures_of, judge
from fogline.benchmarks.reproduce.scope.plan import CLAIMS, FULL, GRPO, METHODS, OPD, PAPER, QUICK, SCOPE, SPREAD
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
    starts, cells, rates = run_students(plan, METHODS, config, progress, more=spread_where_right)
    arms = arms_of(cells)
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
        comparisons=judge(arms, CLAIMS),
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
            "world than the paper's. An answer is one number: right answers to a problem differ in nothing, and there "
            "is no variety that weights by perplexity could keep but the odds of saying it.",
        ),
    )  # fmt: skip


@torch.no_grad()
def spread_where_right(policy: CausalLMPolicy, plan: MathPlan, split: str) -> Mapping[str, float | None]:
    """Entropy of the policy on the answers to problems of which every sample is right; None where there is none."""
    right = [
        episode
        for group in sampled_answers(policy, plan, split)
        if all(answer.outcome["correct"] for answer in group)
        for episode in group
    ]
    if not right:
        return {SPREAD: None}
    batch = batch_of(right, policy)
    entropy = policy.score(*scored_parts(batch), entropy=True).entropy
    assert entropy is not None, "it was asked for"
    return {SPREAD: float(entropy[batch.policy_mask].mean())}
