"""The plan: arms, markets, margins, tuning; committed before the full run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.reproduce.results import Claim, Direction, Published
from fogline.envs.merchant_strategy.sources import Simulator

ENVIRONMENT = "MerchantStrategy-v0"
PROFIT = "usual profits"
"""Mean profit of a period in the true market, in usual profits: what is compared."""
GAP = "promised above true"

WORLD, HYBRID, REASONING, FITTING = "PPO in the market", "PPO in the hybrid", "PPO in reasoning", "PPO in fitting"
PESSIMIST = "PPO in the hybrid, pessimistic"
CONSTANT_TRUE, CONSTANT_HYBRID = "best constant of the market", "best constant of the hybrid"
RANKED, USUAL = "ranked first by the hybrid", "as usual"


@dataclass(frozen=True)
class Arm:
    """One way to run shops.

    Attributes:
        kind: ``ppo``; ``constant`` (the best of all grid actions, the same for all merchants and periods); ``ranked``
            (for each merchant the page that is best in a first period); ``usual``.
        simulator: Where it is learned, searched or ranked; everything is tested in the true market.
        pessimism: Weight of the simulator's own doubt while learning.
    """

    kind: Literal["ppo", "constant", "ranked", "usual"]
    simulator: Simulator = "hybrid"
    pessimism: float = 0.0


ARMS: Mapping[str, Arm] = {
    WORLD: Arm("ppo", "world"),
    HYBRID: Arm("ppo", "hybrid"),
    REASONING: Arm("ppo", "reasoning"),
    FITTING: Arm("ppo", "fitting"),
    PESSIMIST: Arm("ppo", "hybrid", pessimism=0.1),
    CONSTANT_TRUE: Arm("constant", "world"),
    CONSTANT_HYBRID: Arm("constant", "hybrid"),
    RANKED: Arm("ranked", "hybrid"),
    USUAL: Arm("usual"),
}

_OURS = "our question; the paper trains no agent"


def _claim(arm: str, baseline: str, direction: Direction = "higher", margin: float = 0.0) -> Claim:
    return Claim(
        metric=PROFIT, arm=arm, baseline=baseline, margin=margin, paper=Published(direction=direction, source=_OURS)
    )


CLAIMS: tuple[Claim, ...] = (
    _claim(HYBRID, CONSTANT_HYBRID),
    _claim(HYBRID, CONSTANT_TRUE),
    _claim(HYBRID, REASONING),
    _claim(HYBRID, FITTING),
    _claim(HYBRID, WORLD, "not lower", 0.02),
    _claim(PESSIMIST, HYBRID),
    _claim(WORLD, CONSTANT_TRUE),
    _claim(RANKED, USUAL),
)

PAPER: Mapping[str, Any] = {
    "name": "PGHS, arXiv 2604.15190: scores strategies of merchants, and trains no agent",
    "question": "is a fitted simulator good enough to learn a shop's strategy in?",
}


class Plan(BaseModel):
    """Budgets; the full and the quick form differ in nothing else.

    Attributes:
        seeds: Each is a market of its own (its log, the model fitted on it) and a learner's seed.
        merchants: Of each market.
        trajectories: Of each market, about.
        updates: Batches that PPO learns from.
        episodes: Of twelve periods, in each batch.
        learning_rate: Down to 0 at the last update.
        epochs: Passes over a batch.
        minibatches: Steps of a pass.
        entropy: Coefficient of the entropy bonus.
        test_samples: Episodes of each merchant that measure.
        search_samples: Episodes of each merchant by which constants are searched, first and last round.
        finalists: Constants of the last round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...] = tuple(range(40, 46))
    merchants: int = 101
    trajectories: int = 26_000
    updates: int = 400
    episodes: int = 128
    learning_rate: float = 3e-3
    epochs: int = 4
    minibatches: int = 4
    entropy: float = 0.001
    test_samples: int = 20
    search_samples: tuple[int, int] = (2, 20)
    finalists: int = 30

    def environment(self, seed: int, **options: Any) -> dict[str, Any]:
        """Keywords of an environment in a seed's market."""
        world = {"n_merchants": self.merchants, "n_trajectories": self.trajectories}
        return {"world": world, "world_seed": seed, "actions": "grid", "horizon_ends": True, **options}

    def shapes(self) -> dict[str, Any]:
        """What shapes a cell; seeds do not."""
        return self.model_dump(mode="json", exclude={"seeds"})

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            "seeds": list(self.seeds),
            "arms": {name: vars(arm) for name, arm in ARMS.items()},
            "tested in": "the true market of each seed, all merchants, the same visitors for every arm",
            "unit": "usual profits: 1 is a merchant's margin at its logged discount and traffic, before fixed costs",
            "margins": "against PPO in the market itself, a loss of 0.02 usual profits is accepted; elsewhere none",
            "tuning": (
                "learning rate, batch and entropy bonus on market 100 with PPO in the market itself, then the same for "
                "all; the simulators' options are their defaults"
            ),
            "before the plan": (
                "on market 100: with the horizon a cut, PPO without discounting learned from its own guess of what "
                "comes after and lost what it had learned, so the horizon is the end here; expected prices weighed 2 "
                "and advertising cost 0.25 at first, and the dearest price and full advertising were best for "
                "everybody: they are 4 and 0.35 now, which leaves the best constant inside the grid"
            ),
            "exploited error": (
                "of each simulator at the pages that its learner shows: points of order rate that the change from the "
                "usual page is overstated by, together and lever by lever"
            ),
        }


FULL = Plan()
QUICK = Plan(
    seeds=(0, 1, 2),
    merchants=12,
    trajectories=2_000,
    updates=4,
    episodes=24,
    test_samples=2,
    search_samples=(1, 2),
    finalists=5,
)
