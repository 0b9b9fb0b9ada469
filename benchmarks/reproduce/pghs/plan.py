"""The plan: worlds, arms, margins; committed before the full run. Nothing is tuned: all options are the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.reproduce.results import Claim, Published
from fogline.simulators.merchants.strategies import LOGGED, Intervention, Strategy

SCENARIOS: Mapping[str, Strategy] = {
    "logged": LOGGED,
    "discount .10": Strategy("discount .10", (Intervention("discount", "set", 0.10),)),
    "discount .30": Strategy("discount .30", (Intervention("discount", "set", 0.30),)),
    "badge": Strategy("badge", (Intervention("badges", "add", "recommended"),)),
}
"""As logged; inside what was logged; far outside; and what nobody has ever shown."""

REASONING, REASONING_PLAIN = "R guided", "R plain"
FITTING, FITTING_PLAIN = "F guided", "F plain"
SINGLE = (REASONING_PLAIN, REASONING, FITTING_PLAIN, FITTING)
ANCHORED, POOL, BATES_GRANGER, BEST = "anchored", "pool", "Bates-Granger", "best single branch"
EVERYDAY = "anchored, everyday reasoner"
PERSONA, FEW_SHOT, BELIEVED = "R persona", "R few-shot", "R believed in full"
T_LEARNER, SCORE_AS_FEATURE = "F T-learner", "F with the reasoner's word"

DEFAULT = "default"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {},
    "reasoner noise 0": {"noise": 0.0},
    "reasoner noise 1": {"noise": 1.0},
    "reasoner flipped": {"flipped": True},
    "habit only": {"world": {"habit_share": 1.0}},
    "no habit": {"world": {"habit_scale": 0.0}},
    "no confounding": {"world": {"confounding": 0.0}},
    "no confounding, wide logging": {"world": {"confounding": 0.0, "discounts": "wide"}},
    "no hidden quality": {"world": {"quality_sd": 0.0}},
    "policies drift": {"world": {"drift": 1.0}},
    "a third of the traffic": {"world": {"n_trajectories": 8_700}},
    "cold merchants": {"cold": 0.25},
}
"""Worlds and reasoners in which the claim could fail; each changes the default in one respect."""

PAPER: Mapping[str, Any] = {
    "name": "PGHS, arXiv 2604.15190, SIGIR 2026 Industry Track; the abstract alone is known",
    "setting": "Meituan, 101 merchants, more than 26,000 trajectories; the formula of the error is not published",
    "group simulation error": "8.80 %",
    "against the best reasoning baseline": "45.8 % lower",
    "against the best fitting baseline": "40.9 % lower",
    "policy guidance (secondary source)": "15.4 % lower error in the LLM branch, 9.7 % in the ML branch",
    "beside ours": "a synthetic market and rule reasoners: an implementation of the idea, not comparable in size",
}


_ABSTRACT, _SECONDARY, _OURS = "abstract", "third-party summary", "specification, prototype"


def _lower(source: str, difference: float | None = None) -> Published:
    return Published(direction="lower", difference=difference, source=source)


_LOGGED, _FAR = "level error, logged", "uplift error, discount .30"
_CLAIMS: tuple[tuple[str, str, str, Published, bool], ...] = (
    ("level error, discount .30", ANCHORED, BEST, _lower(_OURS), False),
    ("level error, discount .10", ANCHORED, BEST, _lower(_OURS), False),
    ("level error, badge", ANCHORED, BEST, _lower(_OURS), False),
    (_LOGGED, POOL, REASONING_PLAIN, _lower(_ABSTRACT, -0.458), True),
    (_LOGGED, POOL, FITTING_PLAIN, _lower(_ABSTRACT, -0.409), True),
    (_LOGGED, REASONING, REASONING_PLAIN, _lower(_SECONDARY, -0.154), True),
    (_LOGGED, REASONING, "R one policy", _lower(_SECONDARY), True),
    (_LOGGED, FITTING, "F without policies", _lower(_SECONDARY, -0.097), True),
    (_LOGGED, FITTING, "F shuffled policies", _lower(_OURS), True),
    (_FAR, REASONING, "R one policy", _lower(_OURS), False),
    (_FAR, REASONING, "R shuffled policies", _lower(_OURS), False),
    (_FAR, REASONING, BELIEVED, _lower(_OURS), False),
    (_FAR, ANCHORED, SCORE_AS_FEATURE, _lower(_OURS), False),
    (_FAR, ANCHORED, "anchored, one policy", _lower(_OURS), False),
    (_FAR, ANCHORED, "anchored, shuffled policies", _lower(_OURS), False),
    (_FAR, ANCHORED, "anchored, no merchant effects", _lower(_OURS), False),
    ("level error, discount .30", EVERYDAY, BEST, _lower(_OURS), False),
)
CLAIMS: tuple[Claim, ...] = (
    Claim(
        metric="accuracy, logged",
        arm=ANCHORED,
        baseline=BEST,
        margin=0.003,
        paper=Published(direction="not lower", source=_OURS),
    ),
    *(
        Claim(metric=metric, arm=arm, baseline=baseline, paper=paper, relative=relative)
        for metric, arm, baseline, paper, relative in _CLAIMS
    ),
)


class Plan(BaseModel):
    """Budgets; the full and the quick form differ in nothing else.

    Attributes:
        seeds: Of the worlds.
        settings: Which of :data:`SETTINGS`.
        merchants: Of each world.
        trajectories: Of each world, about.
        noise: Spread of the logarithm of the reasoner's weights about the true ones.
        gain: Of the reasoner: over-confident.
        intercept: Of the reasoner.
        policies: Numbers of policies that are tried beside the chosen one.
        replicates: Refits behind intervals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...] = tuple(range(20, 40))
    settings: tuple[str, ...] = tuple(SETTINGS)
    merchants: int = 101
    trajectories: int = 26_000
    noise: float = 0.4
    gain: float = 1.6
    intercept: float = -0.2
    policies: tuple[int, ...] = (3, 5, 8)
    replicates: int = 40

    def shapes(self) -> dict[str, Any]:
        """What shapes a world; seeds and settings do not."""
        return self.model_dump(mode="json", exclude={"seeds", "settings"})

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            "seeds": list(self.seeds),
            "scenarios": {name: [str(item) for item in strategy.interventions] for name, strategy in SCENARIOS.items()},
            "settings": {name: SETTINGS[name] for name in self.settings},
            "margins": {
                "logged": "anchored is no worse than the best single branch of each seed by more than 0.3 points",
                "discount .30": "anchored is better than the best single branch in at least 80% of seeds",
            },
            "best single branch": "in each seed and scenario the best of four, known only afterwards",
            "errors": (
                "against exact true rates of the rows of the test window, merchants with at least five such rows; "
                "'realised' against sampled outcomes, with the floor that sampling sets"
            ),
            "before the plan": (
                "a first run on seeds 0 to 19 showed three faults, mended before these seeds were run: cold merchants "
                "leaned too far on the reasoner (kappa 15, now 5), so that anchored lost 0.44 points as logged; a "
                "sign-flipped reasoner was flagged in 10% of worlds, because chance leaves some policy's sensitivity "
                "above 0 (the flag now tests one slope over all policies); and intervals of the level held 41-58% of "
                "merchants (its error now comes from the spread between merchants and each one's own traffic)"
            ),
            "tuning": (
                "kappa on worlds of seeds below 20, by error as logged; how far a reasoner's weights may be off (doubt "
                "0.8, 0.4 before) on seeds 0 to 4, by what 90% intervals of the change held; all else is as it was "
                "first written, and the weights of the everyday reasoner were never fitted"
            ),
        }


FULL = Plan()
QUICK = Plan(
    seeds=(0, 1, 2),
    settings=(DEFAULT, "reasoner flipped", "habit only"),
    merchants=40,
    trajectories=4_000,
    policies=(3,),
    replicates=8,
)
