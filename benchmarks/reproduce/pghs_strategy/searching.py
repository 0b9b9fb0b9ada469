"""The best constant strategy: every action of the grid, tried on all merchants at once."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from fogline.envs.merchant_strategy.shop import GRID, of_grid
from fogline.simulators.merchants.trading import Trading

Floats = NDArray[np.float64]

_AT_ONCE = 200_000
"""Shops that are played at once, to bound memory."""


def best_constant(trading: Trading, samples: tuple[int, int], finalists: int, seed: int) -> Floats:
    """The grid action with the highest mean profit over all merchants and periods.

    In two rounds with visitors of their own: all actions, then the best of them anew, so that luck in the first does
    not decide.

    Args:
        trading: The rules, with whoever answers for the customers.
        samples: Episodes of each merchant in either round.
        finalists: Actions in the second round.
        seed: Of the visitors.

    Returns:
        Within [0, 1]; float64 [5].
    """
    actions = of_grid(np.array(list(itertools.product(*map(range, GRID)))))
    first, last = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    kept = actions[np.argsort(-mean_profits(trading, actions, samples[0], first), kind="stable")[:finalists]]
    best: Floats = kept[int(np.argmax(mean_profits(trading, kept, samples[1], last)))]
    return best


def mean_profits(trading: Trading, actions: Floats, samples: int, rng: np.random.Generator) -> Floats:
    """Mean profit of a period under each action, over merchants and episodes, in usual profits; float64 [A].

    Args:
        trading: The rules.
        actions: Within [0, 1]; float64 [A, 5].
        samples: Episodes of each merchant.
        rng: Of the visitors.
    """
    merchants = len(trading.profiles.ids)
    shops_of_one = merchants * samples
    found = []
    for some in np.array_split(actions, -(-len(actions) * shops_of_one // _AT_ONCE)):
        shops = trading.open(np.tile(np.arange(merchants), len(some) * samples), rng)
        chosen = np.repeat(some, shops_of_one, axis=0)
        total, still_open = np.zeros(len(chosen)), np.ones(len(chosen), dtype=bool)
        for _ in range(trading.horizon):
            trading.trade(shops, chosen, rng)
            total += np.where(still_open, shops.profit, 0.0)
            still_open &= shops.budget > 0
        found.append(total.reshape(len(some), -1).mean(axis=1) / trading.horizon)
    return np.concatenate(found)
