"""What the reproductions of AOPD and SCOPE share: a teacher, two strengths of student, and budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fogline.benchmarks.reproduce.math_reasoning.plan import MathPlan

STRONG, WEAK = "strong", "weak"
STRENGTHS = (STRONG, WEAK)
TEACHER = "teacher"


def of(method: str, strength: str) -> str:
    """Name of a method's arm from a strength of start."""
    return f"{method}, {strength}"


class DistillationPlan(MathPlan):
    """Budgets; the warm start of :class:`MathPlan` is the strong student's.

    Attributes:
        teacher_width: Of the teacher's model.
        teacher_samples: Demonstrations of each problem that the teacher has seen, without errors.
        teacher_epochs: Its passes over them.
        weak_problems: Demonstrated problems of each level that a weak student has seen.
        weak_samples: Demonstrations of each.
        weak_epochs: Its passes over them.
    """

    tasks_per_update: int = 32
    group_size: int = 8
    updates: int = 60
    shown_samples: int = 2
    epochs: int = 1
    minibatches: int = 4
    evaluations: int = 6
    teacher_width: int = 96
    teacher_samples: int = 4
    teacher_epochs: int = 3
    weak_problems: int = 8000
    weak_samples: int = 1
    weak_epochs: int = 1
    seeds: tuple[int, ...] = tuple(range(300, 305))
    tuning_seeds: tuple[int, ...] = (100, 101)
    learning_rates: tuple[float, ...] = (1e-4, 3e-4)

    def student(self, strength: str) -> DistillationPlan:
        """The same budgets from a strength of start."""
        if strength == STRONG:
            return self
        weak = {
            "shown_problems": self.weak_problems,
            "shown_samples": self.weak_samples,
            "shown_epochs": self.weak_epochs,
        }
        return self.model_copy(update=weak)

    def of_teacher(self) -> DistillationPlan:
        """The teacher's own warm start: wider, longer, from a solver who does not err."""
        own = {
            "error": 0.0,
            "width": self.teacher_width,
            "shown_samples": self.teacher_samples,
            "shown_epochs": self.teacher_epochs,
        }
        return self.model_copy(update=own)

    def stated(self) -> dict[str, Any]:
        """Seeds, rules and budgets in words."""
        return {
            **super().stated(),
            TEACHER: (
                f"one for all, of width {self.teacher_width}, that imitated a solver who does not err "
                f"({_seen(self.shown_problems, self.teacher_samples, self.teacher_epochs)}); it has the students' "
                "tokenizer and scores at their temperature of 1"
            ),
            "budget": (
                f"{self.updates} updates of {self.tasks_per_update} x {self.group_size} answers for every method, none "
                "with a divergence from a reference or a bonus for entropy"
            ),
            STRONG: _seen(self.shown_problems, self.shown_samples, self.shown_epochs),
            WEAK: _seen(self.weak_problems, self.weak_samples, self.weak_epochs),
            "at equal rates": (
                "where tuning gives a method and its rival different learning rates, the rival runs at the method's "
                "rate as well, and the comparison is made again"
            ),
        }


def _seen(problems: int, samples: int, epochs: int) -> str:
    return f"{problems} problems of each level, demonstrated {samples} times each; passes over them: {epochs}"


def tiny(plan: type[DistillationPlan], **more: Any) -> Any:
    """The quick form of a plan."""
    return plan(**{**_TINY, **more})


_TINY: Mapping[str, Any] = {
    "shown_problems": 1000,
    "shown_samples": 2,
    "shown_epochs": 2,
    "weak_problems": 500,
    "teacher_epochs": 3,
    "problems": 50,
    "tasks_per_update": 8,
    "group_size": 4,
    "updates": 2,
    "minibatches": 1,
    "warmup": 0,
    "test_problems": 10,
    "test_samples": 2,
    "evaluations": 1,
    "seeds": (0,),
    "tuning_seeds": (100,),
    "learning_rates": (1e-4,),
}
