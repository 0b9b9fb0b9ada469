"""The plan: arms, seeds, margins; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, STRONG, WEAK, DistillationPlan, of, tiny
from fogline.benchmarks.reproduce.experiment import ACCURACY, Method
from fogline.benchmarks.reproduce.math_reasoning.plan import PASS
from fogline.benchmarks.reproduce.results import Claim, claimed

GRPO, OPD, SCOPE = "GRPO", "OPD", "SCOPE"
PLAIN, NO_STUDENT, NO_TEACHER = "SCOPE, no weights", "SCOPE, no student weight", "SCOPE, no teacher weight"
RELEASED, REVERSED = "SCOPE, student weight reversed", "SCOPE, teacher weight reversed"
OVER_AOPD = "SCOPE over AOPD"
SPREAD = "entropy where all are right"
"""Nats a token, over the answers to test problems of which every sample is right."""
DISTINCT = "distinct right answers"
"""Of the samples to a test problem, as they are written."""
RIVALS = tuple((SCOPE, rival) for rival in (OPD, GRPO))

SURPRISE = "surprise of the teacher"
"""Median over wrong answers of its mean surprise, in nats a token."""

_UNIFORM = {"student_weight": "uniform", "teacher_weight": "uniform"}
METHODS: Mapping[str, Method] = {
    GRPO: Method("grpo", {"aggregation": "token-mean"}),
    OPD: Method("opd"),
    SCOPE: Method("scope"),
    PLAIN: Method("scope", _UNIFORM, tuned_as=SCOPE),
    NO_STUDENT: Method("scope", {"student_weight": "uniform"}, tuned_as=SCOPE),
    NO_TEACHER: Method("scope", {"teacher_weight": "uniform"}, tuned_as=SCOPE),
    RELEASED: Method("scope", {"student_weight": "inverse-perplexity"}, tuned_as=SCOPE),
    REVERSED: Method("scope", {"teacher_weight": "perplexity"}, tuned_as=SCOPE),
    OVER_AOPD: Method("scope", {"wrong_loss": "aopd"}, tuned_as=SCOPE),
}
"""The student's weight reversed is what the released flags amount to; SCOPE over AOPD is our composition."""

TEMPERATURES = (1.0, 5.0)
TEMPERED = f"SCOPE, temperature {TEMPERATURES[1]:g}"
AFTERWARDS: Mapping[str, Method] = {
    TEMPERED: Method("scope", {"perplexity_temperature": TEMPERATURES[1]}, tuned_as=SCOPE)
}
"""Added when the planned arms had been seen, to find out why the teacher's weight does harm from a weak start."""
BEGINNING = "teacher's weight before training"
RESTS_ON = {temperature: f"share it rests on, temperature {temperature:g}" for temperature in TEMPERATURES}
"""Effective number of wrong answers to a problem by those weights, as a share of all of them."""

PAPER: Mapping[str, Any] = {
    "name": "SCOPE, arXiv 2604.10688",
    "setting": "R1-Distill-Qwen-1.5B and Qwen3-1.7B-Base, six mathematical benchmarks, Avg@32 / Pass@32 in percent",
    GRPO: "49.6 / 71.1 and 26.5 / 50.4",
    OPD: "52.3 / 73.1 and 30.6 / 55.9",
    SCOPE: "55.2 / 75.0 and 32.5 / 58.6",
    "ablations": (
        "no weighting: AIME25 Pass@32 50.9 -> 45.7; no student weight: AIME24 Pass@32 77.9 -> 74.1; teacher weight "
        "reversed: AIME24 Avg@32 42.7 -> 38.6"
    ),
    "published defects": "the released flags reverse the student's weight against the paper; ours are the paper's",
}

HIGHER = 0.01
_TABLE, _ABLATION = "table of the six benchmarks", "ablation"
_PUBLISHED = {STRONG: (0.029, 0.019, 0.056, 0.039), WEAK: (0.019, 0.027, 0.060, 0.082)}
"""SCOPE minus OPD and minus GRPO, Avg@32 and Pass@32 each; the base model is the weak student."""


def _of_strength(strength: str) -> tuple[Claim, ...]:
    average, passing, over_grpo, passing_grpo = _PUBLISHED[strength]

    def claim(metric: str, arm: str, baseline: str, source: str, difference: float | None, margin: float) -> Claim:
        return claimed(metric, of(arm, strength), of(baseline, strength), "higher", source, difference, margin=margin)

    return (
        claim(ACCURACY, SCOPE, OPD, _TABLE, average, HIGHER),
        claim(PASS, SCOPE, OPD, _TABLE, passing, HIGHER),
        claim(ACCURACY, SCOPE, GRPO, _TABLE, over_grpo, HIGHER),
        claim(PASS, SCOPE, GRPO, _TABLE, passing_grpo, HIGHER),
        claim(PASS, SCOPE, PLAIN, _ABLATION, 0.052, HIGHER),
        claim(PASS, SCOPE, NO_STUDENT, _ABLATION, 0.038, HIGHER),
        claim(ACCURACY, SCOPE, NO_TEACHER, _ABLATION, None, HIGHER),
        claim(ACCURACY, SCOPE, REVERSED, _ABLATION, 0.041, HIGHER),
        claim(DISTINCT, SCOPE, OPD, "its purpose; no figure", None, 0.0),
        claim(DISTINCT, SCOPE, GRPO, "its purpose; no figure", None, 0.0),
        claim(DISTINCT, SCOPE, NO_STUDENT, "its fixed point is uniform over right answers", None, 0.0),
        claim(SPREAD, SCOPE, NO_STUDENT, "its fixed point is uniform over right answers", None, 0.0),
        claim(SPREAD, SCOPE, RELEASED, "its fixed point is uniform over right answers", None, 0.0),
        claim(ACCURACY, OVER_AOPD, SCOPE, "our composition", None, HIGHER),
    )


CLAIMS: tuple[Claim, ...] = tuple(claim for strength in STRENGTHS for claim in _of_strength(strength))


_AFTERWARDS = "added afterwards, see the notes"
CLAIMS_AFTERWARDS: tuple[Claim, ...] = tuple(
    claimed(metric, of(arm, strength), of(baseline, strength), "higher", _AFTERWARDS, margin=HIGHER)
    for strength in STRENGTHS
    for arm, baseline in ((TEMPERED, SCOPE), (TEMPERED, OPD), (NO_TEACHER, OPD))
    for metric in (ACCURACY, PASS)
)


class Plan(DistillationPlan):
    """Budgets of this reproduction, in countdown: most problems have many right answers there."""

    source: Literal["arithmetic", "countdown"] = "countdown"
    longest: int = 11
    shown_epochs: int = 2
    weak_problems: int = 2500
    updates: int = 80
    evaluations: int = 4

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            **super().stated(),
            "margins": {
                "accuracy and pass@k": f"at least {HIGHER}, and the interval leaves 0 out",
                f"{SPREAD}, {DISTINCT}": "the interval leaves 0 out",
            },
            "rates of the ablations": "SCOPE's",
            "before the plan": (
                "on one strong start of seed 0, with the problems of validation: GRPO, OPD and SCOPE at 1e-4, 3e-4 and "
                "1e-3 with 60 updates, and at 1e-4 with 120, two ablations among them; sizes of the weak start. No "
                "seed above was run but to try the code"
            ),
            SPREAD: "of the policy, over tokens of the answers to test problems of which every sampled answer is right",
            DISTINCT: f"right answers of the {self.test_samples} sampled to a test problem, each counted once",
        }


FULL = Plan()
QUICK: Plan = tiny(Plan)
