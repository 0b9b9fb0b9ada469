"""The plan: arms, seeds, margins; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fogline.benchmarks.reproduce.aopd.plan import (
    AOPD,
    BUCKET,
    EXOPD,
    GKD,
    GRPO,
    HIGHER,
    OPD,
    SEQ_KD,
)
from fogline.benchmarks.reproduce.aopd.plan import METHODS as ALL_METHODS
from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, TEACHER, DistillationPlan, tiny
from fogline.benchmarks.reproduce.experiment import ACCURACY, WARM, Method
from fogline.benchmarks.reproduce.results import Claim, claimed
from fogline.benchmarks.reproduce.trust_sql.plan import FULL as TRUST_SQL
from fogline.benchmarks.reproduce.trust_sql.plan import QUICK as TRUST_SQL_QUICK
from fogline.benchmarks.reproduce.trust_sql.plan import Plan as TrustSqlPlan

METHODS: Mapping[str, Method] = {name: method for name, method in ALL_METHODS.items() if name != EXOPD}

FIRST = "first skill"
"""Execution accuracy in TrustSQL-v0, after whatever was trained."""
SPECIALIST = "specialist"
"""The teacher of the second skill."""

PAPER: Mapping[str, Any] = {
    "name": "AOPD, arXiv 2605.06387",
    "setting": "tool use learned after mathematics; what is left of mathematics",
    "said": "better retention of earlier skills than OPD",
    "figures": "ToolAlpaca 75; average Pass@4 of mathematics before adaptation 67.43 (setting not stated)",
}

KEPT, NOT_LOWER = 0.02, 0.05
_GAINED = [
    claimed(metric, arm, rival, "higher", source, margin=margin)
    for arm in (AOPD, BUCKET)
    for metric, margin in ((FIRST, KEPT), (ACCURACY, HIGHER))
    for rival, source in ((OPD, "abstract; no figure"), *((name, "our question") for name in (GKD, GRPO, SEQ_KD)))
]
_KEPT_BY = [claimed(FIRST, name, WARM, "not lower", "our question", margin=NOT_LOWER) for name in METHODS]
CLAIMS: tuple[Claim, ...] = (*_GAINED, *_KEPT_BY)


_SPECIALIST = ("specialist_problems", "specialist_epochs")
_NOT_HERE = (*STRENGTHS, "at equal rates")


class Plan(DistillationPlan):
    """Budgets of this reproduction.

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
    updates: int = 40
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
            **{name: words for name, words in super().stated().items() if name not in _NOT_HERE},
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
            "margins": {
                ACCURACY: f"at least {HIGHER}, and the interval leaves 0 out",
                FIRST: (
                    f"at least {KEPT}, and the interval leaves 0 out; against the start the interval stays above "
                    f"-{NOT_LOWER}"
                ),
            },
            "before the plan": (
                "on seed 0 with the problems of validation, levels 4 to 6: OPD at 1e-4 and 3e-4, AOPD at 3e-4. No seed "
                "above was run to its end"
            ),
            FIRST: (
                f"greedy execution accuracy on {first.test_databases * first.test_questions} questions to databases "
                "whose names nobody has seen, after training that plays the second skill alone"
            ),
        }


FULL = Plan()
QUICK: Plan = tiny(Plan, tuning_seeds=(), first=TRUST_SQL_QUICK, specialist_problems=200)
