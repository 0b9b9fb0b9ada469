"""Learning to run shops in a simulator: the search, the measured error that was exploited, one cell of each kind."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from fogline.benchmarks.reproduce import pghs_strategy
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.pghs_strategy import running
from fogline.benchmarks.reproduce.pghs_strategy.plan import ARMS, CLAIMS, FULL, GAP, PROFIT, QUICK, Arm
from fogline.benchmarks.reproduce.pghs_strategy.searching import best_constant, mean_profits
from fogline.benchmarks.reproduce.results import Arm as Measured
from fogline.envs.merchant_strategy.shop import GRID, of_grid
from fogline.simulators.merchants.trading import ACTIONS, Trading, TradingConfig

PLAN = QUICK.model_copy(update={"merchants": 6, "trajectories": 900, "updates": 2, "episodes": 8, "test_samples": 1})


def test_quick_and_full_differ_in_budget_only() -> None:
    assert type(QUICK) is type(FULL)
    assert len(FULL.seeds) >= 5
    assert {claim.arm for claim in CLAIMS} | {claim.baseline for claim in CLAIMS} <= set(ARMS)


def test_the_search_finds_what_pays_where_that_is_known() -> None:
    """Customers who order whatever is shown: no discount, no coupon, no page, the highest price."""

    class Loyal:
        def rate(self, merchant: Any, levers: Any) -> Any:
            return np.full(len(merchant), 0.5)

    rules = running._rules(PLAN, Arm("usual", "world"), 0)
    calm = TradingConfig(habit=0.0, reference=0.0, rating=0.0, competition=0.0)
    loyal = Trading(rules.profiles, Loyal(), calm, horizon=12, budget=0.5, paired=False)
    best = best_constant(loyal, (1, 4), 20, seed=0)
    assert best[[0, 1, 3, 4]].tolist() == [0, 0, 0, 1]
    assert best[2] > 0


def test_mean_profits_do_not_depend_on_how_many_are_played_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = running._rules(PLAN, Arm("usual", "world"), 0)
    actions = of_grid(np.array(list(itertools.islice(itertools.product(*map(range, GRID)), 0, 3000, 400))))
    whole = mean_profits(rules, actions, 60, np.random.default_rng(0))
    monkeypatch.setattr("fogline.benchmarks.reproduce.pghs_strategy.searching._AT_ONCE", 500)
    pieces = mean_profits(rules, actions, 60, np.random.default_rng(0))
    np.testing.assert_allclose(whole, pieces, atol=0.08)


@pytest.mark.parametrize("name", ["PPO in the hybrid", "best constant of the hybrid", "ranked first by the hybrid"])
def test_a_cell_says_what_was_earned_and_what_was_promised(name: str) -> None:
    metrics = running.run_arm(PLAN, Cell(name, 1))["metrics"]
    assert {PROFIT, GAP, "overstated, level", "overstated, change"} <= set(metrics)
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(0 <= metrics[f"mean {lever}"] <= 1 for lever in ACTIONS)


def test_the_true_market_overstates_nothing_and_keeps_its_promises() -> None:
    metrics = running.run_arm(PLAN, Cell("best constant of the market", 1))["metrics"]
    assert metrics[GAP] == 0
    assert all(value == 0 for name, value in metrics.items() if name.startswith("overstated"))


def test_a_simulator_that_believes_in_discounts_is_said_to_have_been_exploited_there() -> None:
    values = {PROFIT: (1.0,), GAP: (0.3,), "overstated, level": (1.0,), "overstated, change": (9.0,)}
    levers = {f"overstated, {lever}": (8.0 if lever == "discount" else 0.1,) for lever in ACTIONS}
    arm = Measured(name="PPO in the hybrid", seeds=(1,), metrics={**values, **levers})
    (note,) = pghs_strategy._notes([arm])
    assert "+0.300 usual profits" in note
    assert "most of it by discount (+8.0 alone)" in note
