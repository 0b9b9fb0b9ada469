"""The plan: allocations, arms, seeds, margins; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fogline.benchmarks.reproduce.experiment import ACCURACY, Method
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY, PASS, MathPlan
from fogline.benchmarks.reproduce.results import Claim, claimed

UNIFORM, ALLOCATION, THEORY = "uniform", "allocation only", "allocation by theory"
RELEASED, MODULATION, DYNAMO = "allocation by the release", "modulation only", "DynaMO"
UNIFORM_DGPO, OVER_DGPO = "DGPO, uniform", "DynaMO over DGPO"

_STILL: Mapping[str, Any] = {"compensation": 0.0, "stabilisation": 1.0}
METHODS: Mapping[str, Method] = {
    UNIFORM: Method("dynamo", {"allocator": "uniform", **_STILL}),
    ALLOCATION: Method("dynamo", _STILL, tuned_as=UNIFORM),
    THEORY: Method("dynamo", {"proxy_power": 0.5, "prompt_weighting": "prompt", **_STILL}, tuned_as=UNIFORM),
    RELEASED: Method("dynamo", {"allocator": "released", **_STILL}, tuned_as=UNIFORM),
    MODULATION: Method("dynamo", {"allocator": "uniform"}, tuned_as=UNIFORM),
    DYNAMO: Method("dynamo"),
    UNIFORM_DGPO: Method("dynamo", {"allocator": "uniform", "loss": "dgpo", **_STILL}),
    OVER_DGPO: Method("dynamo", {"loss": "dgpo"}, tuned_as=UNIFORM_DGPO),
}
"""One recipe with parts switched off, so that band, dual clip and aggregation are equal: 'uniform' is GRPO with the
release's band (0.2, 0.28)."""

SAME_RATE = "uniform, at DynaMO's rate"
CONTROLS: Mapping[str, Method] = {SAME_RATE: Method("dynamo", METHODS[UNIFORM].options, tuned_as=DYNAMO)}
"""Added when the planned arms had been seen: tuning gave DynaMO and 'uniform' different rates."""

START, LATER = "warm start", "trained"
"""When the gradient's variance is measured: before the first update, and after the last one of 'uniform'."""

EVEN, BEST, FREE = "even", "optimum in the box", "optimum without a box"
HALF_KNOWN, HALF, ONE, RULE = "power 0.5, rates known", "power 0.5", "power 1", "released rule"
ALLOCATIONS = (EVEN, BEST, FREE, HALF_KNOWN, HALF, ONE, RULE)

REDUCTION, EFFICIENCY = "reduction", "efficiency"
"""1 - V/V(even), and V(optimum in the box)/V, of the measured variance V of the mean over problems."""
NORMALISED = "reduction, divided by the deviation"
"""The same where each advantage is divided by its group's deviation, as GRPO does."""

PAPER: Mapping[str, Any] = {
    "name": "DynaMO, arXiv 2602.19208, Findings of ACL 2026",
    "setting": "Qwen2.5-Math-1.5B and 7B, six mathematical benchmarks, P@1 / P@32 in percent",
    "GRPO": "29.0 / 53.8 (1.5B), 37.2 / 57.2 (7B)",
    "DynaMO": "32.7 / 55.6 (1.5B), 41.6 / 63.3 (7B)",
    "ablations of its components": "not known",
    "reduction of the gradient's variance": "up to 50 %, by a machine-written page; not verified",
    "published defects": (
        "the release repeats answers and golds by different counts, books correctness in another order than it played, "
        "and explores before it grants the floor; none is copied. Its rule allots by p(1-p), its theorem by the root"
    ),
}

WITHIN = 1 - 1 / 1.05
"""A variance of 1.05 times the optimum is an efficiency of 1/1.05."""
HIGHER = 0.01
_TABLE, _OURS = "table of the six benchmarks, 1.5B", "our question"
_THEOREM, _BERNOULLI = "theorem: Neyman's allocation", "its proxy: variance in proportion to p(1-p)"


def at(allocation: str, stage: str) -> str:
    """Name of an allocation that is measured at a stage."""
    return f"{allocation}, {stage}"


def _of_variance(stage: str) -> tuple[Claim, ...]:
    return (
        claimed(
            EFFICIENCY, at(HALF, stage), at(HALF_KNOWN, stage), "not lower", _THEOREM, margin=WITHIN, relative=True
        ),
        claimed(EFFICIENCY, at(HALF_KNOWN, stage), at(BEST, stage), "not lower", _BERNOULLI, margin=WITHIN),
        claimed(EFFICIENCY, at(HALF, stage), at(BEST, stage), "not lower", _BERNOULLI, margin=WITHIN),
        claimed(REDUCTION, at(BEST, stage), at(EVEN, stage), "higher", _THEOREM),
        claimed(REDUCTION, at(HALF, stage), at(EVEN, stage), "higher", _THEOREM),
        claimed(REDUCTION, at(HALF, stage), at(ONE, stage), "higher", _THEOREM),
        claimed(REDUCTION, at(RULE, stage), at(EVEN, stage), "higher", "the release"),
        claimed(NORMALISED, at(HALF, stage), at(EVEN, stage), "higher", _OURS),
    )


CLAIMS: tuple[Claim, ...] = (
    *_of_variance(START),
    *_of_variance(LATER),
    claimed(ACCURACY, DYNAMO, UNIFORM, "higher", _TABLE, 0.037, margin=HIGHER),
    claimed(PASS, DYNAMO, UNIFORM, "higher", _TABLE, 0.018, margin=HIGHER),
    claimed(ACCURACY, ALLOCATION, UNIFORM, "higher", "no figure", margin=HIGHER),
    claimed(ACCURACY, THEORY, UNIFORM, "higher", _OURS, margin=HIGHER),
    claimed(ACCURACY, RELEASED, UNIFORM, "higher", "no figure", margin=HIGHER),
    claimed(ACCURACY, MODULATION, UNIFORM, "higher", "no figure", margin=HIGHER),
    claimed(ACCURACY, OVER_DGPO, UNIFORM_DGPO, "higher", _OURS, margin=HIGHER),
    claimed(ENTROPY, MODULATION, UNIFORM, "higher", "stabilisation is meant to slow what entropy loses; no figure"),
)


AFTERWARDS: tuple[Claim, ...] = tuple(
    claimed(metric, DYNAMO, SAME_RATE, "higher", "a control; not planned, see the notes", margin=HIGHER)
    for metric in (ACCURACY, PASS)
)


class Plan(MathPlan):
    """Budgets of this reproduction.

    Attributes:
        low: Fewest answers to a problem.
        high: Most answers to a problem.
        measured_problems: Drawn from those of training, whose gradients' variance is measured.
        measured_samples: Answers to each, for variance and rate.
    """

    levels: tuple[int, int] = (1, 4)
    error: float = 0.2
    problems: int = 130
    tasks_per_update: int = 32
    group_size: int = 16
    low: int = 8
    high: int = 24
    measured_problems: int = 128
    measured_samples: int = 256
    seeds: tuple[int, ...] = tuple(range(200, 208))

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            **super().stated(),
            "rates of the others": "allocation and modulation alone take the rate of 'uniform', DynaMO over DGPO that "
            "of 'DGPO, uniform'",
            "mix": (
                f"{self.measured_problems} problems drawn at random from those of training; pass rates and variances "
                f"are measured with {self.measured_samples} answers to each, before training and after '{UNIFORM}'"
            ),
            "variance": (
                "of one answer's part of the gradient, (R - p) times the gradient of its log-probability over all "
                "weights: mean squared length minus squared length of the mean, unbiased; V = sum of variance / n"
            ),
            "allocations": (
                f"{self.group_size} answers a problem on average, {self.low} to {self.high} each. Rates 'known' are of "
                f"the {self.measured_samples} answers, the others of {self.group_size} further answers, as a trainer "
                "has them after one round"
            ),
            "two gaps": (
                f"'{HALF}' against '{HALF_KNOWN}', the optimum in the box by Bernoulli's variance: what counting "
                f"costs; '{HALF_KNOWN}' against '{BEST}', by the measured variances: what the proxy costs, which "
                "takes the gradients of all problems for equally long"
            ),
            "margins": {
                "efficiency": f"a variance of at most 1.05 times the other's: not lower by {WITHIN:.4f}",
                "accuracy and pass@k": f"at least {HIGHER}, and the interval leaves 0 out",
                "reduction and entropy": "the interval leaves 0 out",
            },
            "before the plan": (
                "on seed 0: with levels 1 to 3 and an error of 0.25, DGPO's world, the rates lay between 0.02 and 0.81 "
                "and no allocation could save more than 7.6 %; levels 1 to 5 with an error of 0.1 left a third of the "
                "problems never solved; levels 1 to 4 with 0.2 were taken (0 to 0.85; 18 % in the box, of which power "
                "0.5 with known rates saved 10 %, with counts 7 %). Steps on a batch and candidates for rates are "
                "those of DGPO's reproduction. Problems are few, so that each comes again some five times and its "
                "rate is known"
            ),
        }


FULL = Plan()
QUICK = Plan(
    shown_problems=1000,
    shown_samples=2,
    shown_epochs=2,
    problems=10,
    tasks_per_update=8,
    group_size=4,
    low=2,
    high=6,
    updates=2,
    minibatches=2,
    warmup=0,
    test_problems=10,
    test_samples=2,
    evaluations=1,
    measured_problems=6,
    measured_samples=16,
    seeds=(0,),
    tuning_seeds=(100,),
    learning_rates=(1e-4,),
)
