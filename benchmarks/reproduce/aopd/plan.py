"""The plan: arms, seeds, margins; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, STRONG, TEACHER, WEAK, DistillationPlan, of, tiny
from fogline.benchmarks.reproduce.math_reasoning.plan import ACCURACY, ENTROPY, Method
from fogline.benchmarks.reproduce.math_reasoning.warm_start import WARM
from fogline.benchmarks.reproduce.results import Claim, claimed
from fogline.benchmarks.reproduce.trust_sql.plan import FULL as TRUST_SQL
from fogline.benchmarks.reproduce.trust_sql.plan import QUICK as TRUST_SQL_QUICK
from fogline.benchmarks.reproduce.trust_sql.plan import Plan as TrustSqlPlan
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

ADAPTING: Mapping[str, Method] = {name: method for name, method in METHODS.items() if name != EXOPD}
"""Methods that adapt to the second skill."""
SECOND = "second skill"
"""Arms that adapt to it are named after it, as others are after their strength."""
FIRST = "first skill"
"""Execution accuracy in TrustSQL-v0, after whatever was trained."""

SPECIALIST = "specialist"
"""The teacher of the second skill."""

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
KEPT, NOT_LOWER = 0.02, 0.05
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


def _of_second_skill() -> tuple[Claim, ...]:
    start = of(WARM, SECOND)
    gained = [
        claimed(metric, of(arm, SECOND), of(rival, SECOND), "higher", source, margin=margin)
        for arm in (AOPD, BUCKET)
        for metric, margin in ((FIRST, KEPT), (ACCURACY, HIGHER))
        for rival, source in ((OPD, "abstract; no figure"), *((name, "our question") for name in (GKD, GRPO, SEQ_KD)))
    ]
    kept = [claimed(FIRST, of(name, SECOND), start, "not lower", "our question", margin=NOT_LOWER) for name in ADAPTING]
    return (*gained, *kept)


CLAIMS: tuple[Claim, ...] = (
    claimed(STEPS, RECOVERY[AOPD], RECOVERY[OPD], "lower", _CLOSED, margin=0.99, relative=True),
    *(claim for strength in STRENGTHS for claim in _of_strength(strength)),
    *_of_second_skill(),
)


class TwoSkillsPlan(DistillationPlan):
    """Budgets of the adaptation to a second tool-use skill; see :mod:`~fogline.benchmarks.reproduce.aopd.two_skills`.

    Attributes:
        first: The first skill: demonstrations, model and measure of the reproduction of TRUST-SQL.
        specialist_problems: Problems of each level that the teacher has seen demonstrated.
        specialist_epochs: Its passes over them.
    """

    levels: tuple[int, int] = (4, 5)
    tools: Literal["", "calculator"] = "calculator"
    longest: int = 48
    shown_problems: int = 400
    first: TrustSqlPlan = TRUST_SQL
    specialist_problems: int = 3000
    specialist_epochs: int = 1
    tasks_per_update: int = 16
    minibatches: int = 2
    updates: int = 16
    test_problems: int = 50
    test_samples: int = 4
    evaluations: int = 2
    tuning_seeds: tuple[int, ...] = ()
    learning_rates: tuple[float, ...] = (3e-4,)

    def warm_shapes(self) -> dict[str, Any]:
        """What shapes a warm start."""
        return {**super().warm_shapes(), **self.model_dump(mode="json", include={"first", *_SPECIALIST})}

    def stated(self) -> dict[str, Any]:
        """Seeds, rules and budgets in words."""
        first = self.first
        return {
            **{name: words for name, words in super().stated().items() if name not in STRENGTHS},
            "world": (
                f"TrustSQL-v0 in {first.sft_databases} pocket databases, then MathReasoning-v0 with its calculator, "
                f"arithmetic of levels {self.levels[0]} to {self.levels[1]}; a model of 3 layers and width 96 that saw "
                f"{first.sft_copies} relettered copies of each demonstration of the first skill and "
                f"{self.shown_problems} demonstrations of each level of the second, in one pass"
            ),
            TEACHER: (
                f"one for all, of the students' size, that saw {self.specialist_problems} demonstrations of each level "
                "of the second skill and nothing of the first"
            ),
            "tuning": f"none: all learn at {self.learning_rates[0]:g}, so that none keeps more by smaller steps",
            FIRST: (
                f"greedy execution accuracy on {first.test_databases * first.test_questions} questions to databases "
                "whose names nobody has seen, after training that plays the second skill alone"
            ),
        }


_SPECIALIST = ("specialist_problems", "specialist_epochs")


class Plan(DistillationPlan):
    """Budgets of this reproduction.

    Attributes:
        two_skills: Budgets of the adaptation to a second skill.
        recovery_seeds: Of the exploration test.
        recovery_limit: Steps after which a token counts as not recovered.
        recovery_samples: Tokens sampled for each step.
    """

    two_skills: TwoSkillsPlan = TwoSkillsPlan()
    recovery_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    recovery_limit: int = 20_000
    recovery_samples: int = 16

    def shapes(self) -> dict[str, Any]:
        """What shapes a cell of the arithmetic."""
        return {name: value for name, value in super().shapes().items() if name != "two_skills"}

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            **super().stated(),
            SECOND: self.two_skills.stated(),
            "before the plan": (
                "sizes of the starts on seed 0; for the second skill, on seed 0 with the problems of validation, OPD "
                "at 1e-4 and 3e-4 and AOPD at 3e-4, on levels 4 to 6. No seed above was run but to try the code"
            ),
            "recovery": (
                "q = (.5, .3, .15, .05), p = (1e-6, .6, .3, .1), logit steps of 0.5 on the mean over "
                f"{self.recovery_samples} sampled tokens, K = 2, reduction 'sum': steps until p_0 > .25, at most "
                f"{self.recovery_limit:,}; seeds {list(self.recovery_seeds)}"
            ),
            "margins": {
                "accuracy": f"at least {HIGHER}, and the interval leaves 0 out",
                "entropy": "the interval leaves 0 out",
                STEPS: "at least 99% fewer",
                FIRST: (
                    f"at least {KEPT}, and the interval leaves 0 out; against the start the interval stays above "
                    f"-{NOT_LOWER}"
                ),
            },
        }


FULL = Plan()
QUICK: Plan = tiny(
    Plan,
    recovery_seeds=(0, 1, 2),
    recovery_limit=500,
    two_skills=tiny(TwoSkillsPlan, tuning_seeds=(), first=TRUST_SQL_QUICK, specialist_problems=200),
)
