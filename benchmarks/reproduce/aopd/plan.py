"""The plan: arms, seeds, margins; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, STRONG, WEAK, DistillationPlan, of, tiny
from fogline.benchmarks.reproduce.experiment import ACCURACY, Method
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY
from fogline.benchmarks.reproduce.results import Claim, claimed
from fogline.trainers.sft import SFT

SEQ_KD, GRPO, OPD, EXOPD, GKD = "SeqKD", "GRPO", "OPD", "ExOPD", "GKD"
AOPD, BUCKET = "AOPD", "AOPD with a tail"
METHODS: Mapping[str, Method] = {
    SEQ_KD: Method(SFT),
    GRPO: Method("grpo", {"aggregation": "token-mean"}),
    OPD: Method("opd"),
    EXOPD: Method("g-opd"),
    GKD: Method("gkd"),
    AOPD: Method("aopd"),
    BUCKET: Method("aopd", {"tail": "bucket", "imitation_reduction": "sum"}),
}
"""AOPD as it is quoted (K = 16, divided by K, no tail), and as its fixed point is the teacher. SeqKD
imitates the teacher's own answers, the only method here whose data are not the student's."""

RIVALS = tuple((arm, rival) for arm in (AOPD, BUCKET) for rival in (OPD, GKD))

RECOVERY = {OPD: "recovery by OPD", AOPD: "recovery by AOPD"}
STEPS, RECOVERED = "steps to recover", "recovered"

PAPER: Mapping[str, Any] = {
    "name": "AOPD, arXiv 2605.06387",
    "setting": "mathematics; the average gain over OPD, in points",
    "strong start": "+4.09",
    "weak start": "+8.34",
    "said beside": "higher entropy in training; better retention of earlier skills after tool use was learned",
    "not known": "K, learning rate, batch, models, data, numbers of the ablations",
}

HIGHER = 0.01
_TEXT, _CLOSED = "abstract", "closed form: at least a hundred times sooner"
_GAIN = {STRONG: 0.0409, WEAK: 0.0834}


def _of_strength(strength: str) -> tuple[Claim, ...]:
    def claim(metric: str, arm: str, baseline: str, source: str, difference: float | None, margin: float) -> Claim:
        return claimed(metric, of(arm, strength), of(baseline, strength), "higher", source, difference, margin=margin)

    return (
        *(
            comparison
            for arm in (AOPD, BUCKET)
            for comparison in (
                claim(ACCURACY, arm, OPD, _TEXT, _GAIN[strength], HIGHER),
                claim(ACCURACY, arm, GKD, "its baselines; no figure", None, HIGHER),
                claim(ACCURACY, arm, EXOPD, "its baselines; no figure", None, HIGHER),
                claim(ACCURACY, arm, GRPO, "our question", None, HIGHER),
                claim(ENTROPY, arm, OPD, _TEXT, None, 0.0),
            )
        ),
    )


CLAIMS: tuple[Claim, ...] = (
    claimed(STEPS, RECOVERY[AOPD], RECOVERY[OPD], "lower", _CLOSED, margin=0.99, relative=True),
    *(claim for strength in STRENGTHS for claim in _of_strength(strength)),
)


class Plan(DistillationPlan):
    """Budgets of this reproduction.

    Attributes:
        recovery_seeds: Of the exploration test.
        recovery_limit: Steps after which a token counts as not recovered.
        recovery_samples: Tokens sampled for each step.
    """

    recovery_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    recovery_limit: int = 20_000
    recovery_samples: int = 16

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            **super().stated(),
            "before the plan": "sizes of the starts on seed 0; no seed above was run but to try the code",
            "recovery": (
                "q = (.5, .3, .15, .05), p = (1e-6, .6, .3, .1), logit steps of 0.5 on the mean over "
                f"{self.recovery_samples} sampled tokens, K = 2, reduction 'sum': steps until p_0 > .25, at most "
                f"{self.recovery_limit:,}; seeds {list(self.recovery_seeds)}"
            ),
            "margins": {
                "accuracy": f"at least {HIGHER}, and the interval leaves 0 out",
                "entropy": "the interval leaves 0 out",
                STEPS: "at least 99% fewer",
            },
        }


FULL = Plan()
QUICK: Plan = tiny(Plan, recovery_seeds=(0, 1, 2), recovery_limit=500)
