"""How many periods of ``MerchantStrategy-v0`` a core plays in a second: one shop, and 4,096 at once.

Many shops stand beside what no implementation can spare: numpy drawing their visitors and orders.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fogline.benchmarks.speed.report import Effort, Finding, Target, step_rate
from fogline.benchmarks.speed.timing import alternate, cpu_rate
from fogline.benchmarks.speed.trivial import ACTION, NoOperation

NAME = "merchant-strategy"
SHOPS = 4_096
TOGETHER = Target("at least", 1_000_000.0)
ALONE = Target("at least", 10_000.0)

_ROUGH_ALONE, _ROUGH_TOGETHER = 10_000, 1_500_000
_FEWEST_SHOP_STEPS, _FEWEST_STEPS = 1_000, 24
_PROMOTING = (0.2, 0.0, 0.5, 0.6, 0.5)
_PER_CPU_SECOND = "per second of this process's CPU time; resets included, one strategy throughout"


def run(effort: Effort) -> list[Finding]:
    """Measure the true market alone and together, and the fitted simulators together."""
    import gymnasium

    import fogline.envs  # noqa: F401  (registers the environment)

    alone = max(_FEWEST_SHOP_STEPS, int(effort.seconds * _ROUGH_ALONE))
    together = max(_FEWEST_STEPS, int(effort.seconds * _ROUGH_TOGETHER / SHOPS))
    single = gymnasium.make("MerchantStrategy-v0")
    many: dict[str, Any] = {
        simulator: gymnasium.make_vec("MerchantStrategy-v0", num_envs=SHOPS, simulator=simulator)
        for simulator in ("world", "hybrid", "fitting")
    }
    rates = alternate(
        {
            "raw": lambda: cpu_rate(lambda: _bare(alone)),
            "alone": lambda: cpu_rate(lambda: _one(single, alone)),
            "draws": lambda: cpu_rate(lambda: _draws(together)),
            **{name: _timed(env, together) for name, env in many.items()},
        },
        effort.rounds,
    )
    found = partial(step_rate, NAME, subject="MerchantStrategy-v0 step", note=_PER_CPU_SECOND)
    many_shops = partial(found, raw=rates["draws"], peer="numpy's Poisson and binomial draws")
    return [
        found("one shop, true market", rates=rates["alone"], raw=rates["raw"], target=ALONE),
        many_shops(f"{SHOPS:,} shops, true market", rates=rates["world"], target=TOGETHER),
        many_shops(f"{SHOPS:,} shops, hybrid", rates=rates["hybrid"], target=None),
        many_shops(f"{SHOPS:,} shops, fitting branch", rates=rates["fitting"], target=None),
    ]


def _timed(env: Any, steps: int) -> Callable[[], float]:
    return lambda: cpu_rate(lambda: _many(env, steps))


def _one(env: Any, steps: int) -> int:
    action = np.array(_PROMOTING, np.float32)
    env.reset(seed=0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return steps


def _many(env: Any, steps: int) -> int:
    actions = np.tile(np.array(_PROMOTING, np.float32), (SHOPS, 1))
    env.reset(seed=0)
    for _ in range(steps):
        env.step(actions)
    return steps * SHOPS


def _bare(steps: int) -> int:
    env = NoOperation()
    env.reset(seed=0)
    for _ in range(steps):
        env.step(ACTION)
    return steps


def _draws(steps: int) -> int:
    rng = np.random.default_rng(0)
    usual, rate = np.full(SHOPS, 80.0), np.full(SHOPS, 0.4)
    for _ in range(steps):
        rng.binomial(rng.poisson(usual), rate)
    return steps * SHOPS
