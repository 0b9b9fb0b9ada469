"""The plan: arms, seeds, margins, tuning rule, budgets; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.reproduce.results import Direction, Published

HIDDEN, WITHOUT_PROPOSE, PREFILLED = "sft hidden", "sft hidden, no propose", "sft prefilled"
FORMS: Mapping[str, Mapping[str, Any]] = {
    HIDDEN: {},
    WITHOUT_PROPOSE: {"propose": False},
    PREFILLED: {"schema": "prefilled"},
}
"""Forms of the environment, each with a warm start of its own."""

ARMS: Mapping[str, Mapping[str, Any]] = {
    "execution only": {"form": HIDDEN, "options": {"schema_coefficient": 0.0}, "tuned_as": "execution only"},
    "naive mixing": {"form": HIDDEN, "options": {"mixing": "naive"}, "tuned_as": "naive mixing"},
    "dual λ=0.25": {"form": HIDDEN, "options": {"schema_coefficient": 0.25}, "tuned_as": "dual λ=0.25"},
    "dual λ=0.375": {"form": HIDDEN, "options": {"schema_coefficient": 0.375}, "tuned_as": "dual λ=0.25"},
    "dual λ=1": {"form": HIDDEN, "options": {"schema_coefficient": 1.0}, "tuned_as": "dual λ=0.25"},
    "execution only, no propose": {
        "form": WITHOUT_PROPOSE,
        "options": {"schema_coefficient": 0.0},
        "tuned_as": "execution only",
    },
    "execution only, prefilled": {
        "form": PREFILLED,
        "options": {"schema_coefficient": 0.0},
        "tuned_as": "execution only",
    },
}
"""Recipe dual-track-grpo throughout, so that aggregation, clip and normalisation are equal; λ = 0 is plain GRPO."""

PAPER: Mapping[str, Any] = {
    "name": "TRUST-SQL, arXiv 2603.16448",
    "setting": "Qwen3-4B on BIRD-Dev, greedy execution accuracy in percent",
    "execution only": 60.9,
    "naive mixing": 58.7,
    "dual λ=0.25": 64.5,
    "dual λ=0.375": 54.2,
    "hallucination without and with Propose": [26.4, 2.8],
    "prefilled minus hidden": -2.4,
}

Claim = tuple[str, str, str, float, Published]
_MARGIN = 0.01


def _claim(metric: str, arm: str, baseline: str, difference: float, source: str = "ablation, 4B, BIRD-Dev") -> Claim:
    direction: Direction = "higher" if difference > 0 else "lower"
    return (metric, arm, baseline, _MARGIN, Published(direction=direction, difference=difference, source=source))


CLAIMS: tuple[Claim, ...] = (
    _claim("ex", "dual λ=0.25", "naive mixing", 0.058),
    _claim("ex", "dual λ=0.25", "execution only", 0.036),
    _claim("ex", "naive mixing", "execution only", -0.022),
    _claim("ex", "dual λ=0.375", "dual λ=0.25", -0.103),
    _claim("hallucinated", "execution only", "execution only, no propose", -0.236, "pilot study"),
    _claim("ex", "execution only, prefilled", "execution only", -0.024, "Spider-DK, 4B"),
)
"""Metric, arm, baseline, margin (a share), what is published."""


class Plan(BaseModel):
    """Budgets; the full and the quick form differ in nothing else.

    Attributes:
        sft_databases: Databases of the part ``sft``.
        sft_questions: Questions of each.
        sft_copies: Relettered copies of each demonstration; every copy is seen once.
        sft_rows: Demonstrations per step.
        sft_learning_rate: Of the warm start.
        train_databases: Databases of the part ``train``.
        train_questions: Questions of each.
        test_databases: Databases that measure: of the part ``test`` for the arms, ``validation`` for tuning.
        test_questions: Questions of each.
        tasks_per_update: Groups of a batch.
        group_size: Episodes of a group.
        updates: Batches; the same for all arms, tuning included.
        warmup: Updates over which the learning rate rises.
        evaluations: How often the curve is measured.
        max_turns: Budget of an episode.
        max_new_tokens: Of a turn.
        max_context: Of an episode; one that fills it has no answer.
        temperature: Of sampling in training, as published; measuring is greedy.
        seeds: Of the arms.
        tuning_seeds: Of the choice of learning rates.
        learning_rates: Candidates.
        forms: Forms of the environment.
        start_between: Where greedy execution accuracy must lie after the warm start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sft_databases: int = 200
    sft_questions: int = 6
    sft_copies: int = 10
    sft_rows: int = 16
    sft_learning_rate: float = 3e-3
    train_databases: int = 60
    train_questions: int = 8
    test_databases: int = 40
    test_questions: int = 5
    tasks_per_update: int = 16
    group_size: int = 8
    updates: int = 40
    warmup: int = 10
    evaluations: int = 2
    max_turns: int = 8
    max_new_tokens: int = 48
    max_context: int = 448
    temperature: float = 0.8
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    tuning_seeds: tuple[int, ...] = (100, 101)
    learning_rates: tuple[float, ...] = (1e-4, 2e-4)
    forms: tuple[str, ...] = tuple(FORMS)
    start_between: tuple[float, float] = (0.2, 0.6)

    def shapes(self) -> dict[str, Any]:
        """What shapes a run; seeds and candidates do not."""
        return self.model_dump(
            mode="json", exclude={"seeds", "tuning_seeds", "learning_rates", "start_between", "forms"}
        )

    def warm_shapes(self) -> dict[str, Any]:
        """What shapes a warm start."""
        shared = ("test_databases", "test_questions", "max_turns", "max_new_tokens", "max_context")
        return {name: value for name, value in self.shapes().items() if name.startswith("sft_") or name in shared}

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            "seeds": list(self.seeds),
            "margins": {f"{claim[0]}: {claim[1]} against {claim[2]}": claim[3] for claim in CLAIMS},
            "tuning": (
                f"learning rate of {', '.join(tuned_arms())} from {list(self.learning_rates)} by mean reward on the "
                f"validation databases over seeds {list(self.tuning_seeds)}, with the budget of the arms; other arms "
                "take the rate of the arm named as tuned_as"
            ),
            "budget": "equal updates, groups and group sizes for all arms",
        }


FULL = Plan()
QUICK = Plan(
    sft_databases=60,
    sft_copies=4,
    train_databases=12,
    test_databases=8,
    tasks_per_update=4,
    updates=3,
    warmup=0,
    evaluations=1,
    seeds=(0,),
    tuning_seeds=(100,),
    learning_rates=(1e-4,),
)


def tuned_arms() -> tuple[str, ...]:
    """Arms whose learning rate is chosen."""
    return tuple(dict.fromkeys(str(arm["tuned_as"]) for arm in ARMS.values()))
