"""The plan: arms, seeds, margins, tuning rules, budgets; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.reproduce.results import Claim, Direction, Published
from fogline.trainers.hian import SCOPES

ENVIRONMENT = "SalesDialogue-v0"
SUM = "GRPO-sum"
HIAN = "HIAN"
TUNED = f"{SUM}, tuned weight"
SESSION_ONLY = "session only"
TURN_TERMS = ("repetition", "identity", "fluency", "compliance", "format")


@dataclass(frozen=True)
class Arm:
    """A method in a world.

    Attributes:
        recipe: Its name.
        options: Settings of the recipe that differ from its defaults.
        scale: S, what a conversion pays; the turn terms keep their weights.
        turns_paid: Whether the turn terms are paid at all.
    """

    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    turns_paid: bool = True


def summed(scale: float) -> str:
    """Name of the arm that adds both rewards up, a conversion paying ``scale``."""
    return f"{SUM} S={scale:g}"


def hian(scale: float) -> str:
    """Name of the arm of HIAN in the same world."""
    return f"{HIAN} S={scale:g}"


def scoped(scope: str) -> str:
    """Name of HIAN with one of the four ways to compare turns; the paper's is not known."""
    return f"{HIAN} {scope}"


SCALES = (1.0, 5.0, 10.0, 100.0)
HIAN_SCALES = (1.0, 10.0, 100.0)
"""HIAN does not see the scale but through rounding; these show it."""
HEADLINE = tuple(name_of(scale) for scale in (1.0, 10.0) for name_of in (hian, summed))
"""Arms that the headline compares, which get more seeds."""
WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Weights of the turn rewards that the honest rival is tuned over, a conversion paying 1."""

# Every method is given the same surrogate, entropy bonus and divisor of the deviation.
_SURROGATE: Mapping[str, Any] = {"clip_low": 0.2, "clip_high": 0.2, "entropy_coefficient": 0.01}
_GRPO: Mapping[str, Any] = {**_SURROGATE, "aggregation": "token-mean", "ddof": 0}

ARMS: Mapping[str, Arm] = {
    **{scoped(scope): Arm("duca", {**_SURROGATE, "turn_scope": scope}) for scope in SCOPES},
    SESSION_ONLY: Arm("grpo", _GRPO, turns_paid=False),
    **{summed(scale): Arm("grpo", _GRPO, scale) for scale in SCALES},
    "GDPO": Arm("gdpo", _SURROGATE),
    "MT-GRPO": Arm("mt-grpo", _SURROGATE),
    "PPO": Arm("ppo", {**_SURROGATE, "discount": 1.0}),
}
"""What is tuned. HIAN in the scope that tuning chose, at each scale, and the tuned rival take the place of their
candidates afterwards; the other scopes stay as arms of their own."""


def rival(weight: float) -> str:
    """Name of a candidate for the tuned rival: turn rewards weigh ``weight`` times as much as a conversion's 1."""
    return summed(1.0 / weight) if summed(1.0 / weight) in ARMS else f"{SUM} λ={weight:g}"


def rival_arm(weight: float) -> Arm:
    """The candidate. GRPO ignores the common scale, so λ on the turns is 1/λ on the conversion."""
    return Arm("grpo", _GRPO, 1.0 / weight)


DEFAULT, UNDISCLOSED = "default", "undisclosed"
UNSEEN = ("sceptical", "impulsive", "analytical")
WORLDS: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {},
    **{variant: {"variant": variant} for variant in UNSEEN},
    UNDISCLOSED: {"disclose_ai": False},
}
"""Where a trained policy is measured; it was trained in the first."""


def metric(name: str, world: str = DEFAULT) -> str:
    """A metric's name in the results: the world it was measured in stands behind it, unless it is the default."""
    return name if world == DEFAULT else f"{name}, {world}"


PAPER: Mapping[str, Any] = {
    "name": "DuCA, arXiv 2603.01481, ACL 2026 Industry Track",
    "setting": "an industrial sales agent and its own user simulator; absolute values are not published",
    "conversion, relative to GRPO": "+6.82 %",
    "inter-sentence repetition, relative to GRPO": "-82.28 %",
    "identity detection, relative to GRPO": "-27.35 %",
    "beside ours": "another environment, not comparable in size",
}

_NOT_LOWER = 0.02
_LESS_REPETITION = 0.6
_ABSTRACT = "abstract, relative to GRPO; another environment"


def _against(arm: str, baseline: str, worlds: tuple[str, ...]) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            metric=metric(name, world),
            arm=arm,
            baseline=baseline,
            paper=Published(direction=direction, difference=difference, source=_ABSTRACT),
            margin=margin,
            relative=relative,
        )
        for world in worlds
        for name, direction, difference, margin, relative in _CLAIMED
    )


_CLAIMED: tuple[tuple[str, Direction, float | None, float, bool], ...] = (
    ("conversion", "not lower", None, _NOT_LOWER, False),
    ("conversion", "higher", 0.0682, 0.0, True),
    ("repetition", "lower", -0.8228, _LESS_REPETITION, True),
    ("detected", "lower", -0.2735, 0.0, True),
)
"""Metric, direction, published difference, margin, and whether relative to the baseline."""

CLAIMS: tuple[Claim, ...] = (
    *(claim for scale in (1.0, 10.0) for claim in _against(hian(scale), summed(scale), (DEFAULT, *UNSEEN))),
    *_against(hian(1.0), summed(1.0), (UNDISCLOSED,)),
    *_against(hian(10.0), summed(10.0), (UNDISCLOSED,)),
    *_against(hian(1.0), TUNED, (DEFAULT,)),
    *(
        claim
        for baseline in (SESSION_ONLY, "GDPO", "MT-GRPO", "PPO")
        for claim in _against(hian(1.0), baseline, (DEFAULT,))
    ),
)


class Plan(BaseModel):
    """Budgets; the full and the quick form differ in nothing else.

    Attributes:
        tasks_per_update: Customers of a batch.
        group_size: Calls with each.
        updates: Batches; the same for all arms, tuning included.
        epochs: Passes over a batch.
        minibatches: Steps of a pass.
        hidden: Widths of the policy's layers.
        imitation_samples: Calls of the scripted seller with each customer, for the warm start that all arms share.
        imitation_epochs: Passes over them.
        imitation_rate: Its learning rate.
        domains: Products that are sold.
        scenarios: Customers of each product, to train on and to measure on; no customer is in both.
        test_samples: Calls with each customer that measures; actions are sampled, as in training.
        seeds: Of the arms.
        headline_seeds: Further seeds, of the arms that the headline compares.
        tuning_seeds: Of the choices.
        learning_rates: Candidates.
        weights: Candidates for the rival's weight.
        worlds: Where policies are measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks_per_update: int = 16
    group_size: int = 8
    updates: int = 400
    epochs: int = 2
    minibatches: int = 2
    hidden: tuple[int, ...] = (64, 64)
    imitation_samples: int = 4
    imitation_epochs: int = 16
    imitation_rate: float = 3e-3
    domains: tuple[str, ...] = ("gym-membership", "home-internet", "mobile-plan")
    scenarios: int = 128
    test_samples: int = 6
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    headline_seeds: tuple[int, ...] = (8, 9, 10, 11, 12, 13, 14, 15)
    tuning_seeds: tuple[int, ...] = (100, 101)
    learning_rates: tuple[float, ...] = (3e-3, 1e-2)
    weights: tuple[float, ...] = WEIGHTS
    worlds: tuple[str, ...] = tuple(WORLDS)

    def seeds_of(self, arm: str) -> tuple[int, ...]:
        """Seeds of an arm."""
        return self.seeds + self.headline_seeds if arm in HEADLINE else self.seeds

    def environment(self, split: str, **keywords: Any) -> dict[str, Any]:
        """Keywords of an environment in act mode."""
        return {"actions": "acts", "domain": self.domains, "scenarios": self.scenarios, "split": split, **keywords}

    def shapes(self) -> dict[str, Any]:
        """What shapes a run; seeds and candidates do not."""
        return self.model_dump(
            mode="json", exclude={"seeds", "headline_seeds", "tuning_seeds", "learning_rates", "weights"}
        )

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            "seeds": list(self.seeds),
            "headline_seeds": f"{list(self.headline_seeds)} besides, for {', '.join(HEADLINE)}",
            "margins": {
                "conversion": f"not lower: the 95% interval stays above -{_NOT_LOWER:.0%} (absolute)",
                "repetition": f"at least {_LESS_REPETITION:.0%} lower, relative to the baseline's mean",
                "detected": "lower: the interval leaves 0 out",
            },
            "tuning": (
                "the score is conversion - repetition - detected, measured on customers of the split 'validation' over "
                f"seeds {list(self.tuning_seeds)} with the budget of the arms. Learning rate of each arm from "
                f"{list(self.learning_rates)}; HIAN's scope from {list(SCOPES)}, once, at S=1; weight of the tuned "
                f"rival from {list(self.weights)}; each with its own best learning rate. Ties go to the smaller rate "
                "and weight, and to the earlier scope"
            ),
            "before the plan": (
                "on seeds 100 to 103: rates of 1e-3 and 3e-2 were worse for HIAN and for GRPO-sum at S=10; more passes "
                "of imitation, 400 updates and one joint choice of act and wording were settled for all arms; with the "
                "default scope HIAN converted some four points less than GRPO-sum at S=10, with 'group' as much, which "
                "is why the scope is tuned; no seed below 100 was run but to try the code"
            ),
            "budget": "equal updates, groups, group sizes, epochs and entropy bonus for all arms",
        }


FULL = Plan()
QUICK = Plan(
    updates=6,
    domains=("mobile-plan",),
    scenarios=24,
    imitation_samples=2,
    imitation_epochs=4,
    test_samples=1,
    seeds=(0,),
    headline_seeds=(),
    tuning_seeds=(100,),
    learning_rates=(3e-3,),
    weights=(1.0, 10.0),
    worlds=(DEFAULT, "sceptical", UNDISCLOSED),
)
