"""How PGHS grows: time and memory of checking, fitting and answering, from the paper's size to a million trajectories.

Each size is measured in a process of its own, so that its memory is its own. Times are of the processor where one
process works, and of the clock where Ray does.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from functools import partial
from time import perf_counter, process_time
from typing import Any

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, Progress, run_cells
from fogline.benchmarks.reproduce.results import Claim, Findings, Published, arms_of, failures_of, judge

PAPERS, MIDDLE, MILLION = "101 merchants", "500 merchants", "5,000 merchants"
MILLION_RAY = f"{MILLION}, through Ray"
FITTED, ANSWERED = "trajectories fitted per second", "trajectories times trees answered per second"
_TOLERATED = 0.35
_OURS = "the issue: growth is linear"


class Size(BaseModel):
    """A log's size, and who answers.

    Attributes:
        merchants: In the log.
        trajectories: About.
        strategies: That are asked about.
        ray: Whether Ray answers, with two workers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merchants: int
    trajectories: int
    strategies: int
    ray: bool = False


FULL: Mapping[str, Size] = {
    PAPERS: Size(merchants=101, trajectories=26_000, strategies=50),
    MIDDLE: Size(merchants=500, trajectories=100_000, strategies=5),
    MILLION: Size(merchants=5_000, trajectories=1_000_000, strategies=5),
    MILLION_RAY: Size(merchants=5_000, trajectories=1_000_000, strategies=5, ray=True),
}
QUICK: Mapping[str, Size] = {
    PAPERS: Size(merchants=20, trajectories=2_000, strategies=2),
    MIDDLE: Size(merchants=40, trajectories=4_000, strategies=2),
    MILLION: Size(merchants=80, trajectories=8_000, strategies=2),
}
SEEDS, QUICK_SEEDS = (0, 1, 2), (0,)

CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        metric=metric,
        arm=MILLION,
        baseline=MIDDLE,
        margin=_TOLERATED,
        relative=True,
        paper=Published(direction="not lower", source=_OURS),
    )
    for metric in (FITTED, ANSWERED)
)


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Sizes, rates, verdicts."""
    sizes = QUICK if config.quick else FULL
    seeds = config.seeds or (QUICK_SEEDS if config.quick else SEEDS)
    cells = run_cells(
        [Cell(name, seed) for name in sizes for seed in seeds],
        partial(measure, dict(sizes)),
        config.cells_folder / "sizes",
        config={name: size.model_dump() for name, size in sizes.items()},
        # One at a time: beside another measurement a time means little.
        workers=1,
        resume=config.resume,
        on_progress=progress,
    )
    arms = arms_of(cells)
    return Findings(
        system="pghs-scale",
        claim="Time grows with trajectories, and when trees grow in number, with trajectories times trees; not faster",
        paper={
            "name": "PGHS, arXiv 2604.15190",
            "limits": (
                "101 merchants, 26,000 trajectories: fit at most 60 s, 50 strategies at most 20 s, less than 2,000 MB"
            ),
        },
        config={"quick": config.quick, "sizes": {name: size.model_dump() for name, size in sizes.items()}},
        plan={
            "seeds": list(seeds),
            "claims": [claim.model_dump(mode="json", exclude_defaults=True) for claim in CLAIMS],
            "margin": f"a rate may be lower by {_TOLERATED:.0%} at ten times the size: caches are not that large",
            "answered": "the recent window, a quarter of the log, once as logged and once for each strategy",
        },
        arms=arms,
        comparisons=judge(arms, CLAIMS),
        failures=failures_of(cells),
        notes=(
            "LightGBM stops early on a small log and grows all 600 trees on a large one: what-if then takes longer per "
            "trajectory, in proportion to the trees.",
        ),
    )


def measure(sizes: Mapping[str, Size], cell: Cell) -> dict[str, Any]:
    """Measure one size.

    Args:
        sizes: By name.
        cell: Its arm names the size, its seed the market.
    """
    from fogline.core.engine import make_engine
    from fogline.simulators.merchants.logs import check_log
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.strategies import Intervention, Strategy
    from fogline.simulators.merchants.world import WorldConfig, make_world

    size = sizes[cell.arm]
    world = make_world(WorldConfig(n_merchants=size.merchants, n_trajectories=size.trajectories), cell.seed)
    frame = world.table()
    asked = [
        Strategy(f"discount {index}", (Intervention("discount", "set", 0.4 * index / size.strategies),))
        for index in range(size.strategies)
    ]
    clocks = [process_time()]
    log = check_log(frame)
    clocks.append(process_time())
    model = PGHS.fit(log)
    clocks.append(process_time())
    began = perf_counter()
    with make_engine("ray" if size.ray else "inline", 2 if size.ray else None) as engine:
        answers = model.what_if(asked, engine=engine)
    wall, clock = perf_counter() - began, process_time()
    trees = sum(stage.estimator.num_trees() for stage in model.branches.fitting.stages.values())
    rows, check, fit = len(model.rows()), clocks[1] - clocks[0], clocks[2] - clocks[1]
    answering = wall if size.ray else clock - clocks[2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "metrics": {
            "trajectories": float(len(frame)),
            "trees": float(trees),
            "check, s": check,
            "fit, s": fit,
            "what-if, s": answering,
            "what-if of one strategy, s": answering / (size.strategies + 1),
            "peak memory, MB": peak,
            FITTED: len(frame) / fit,
            ANSWERED: rows * trees * (size.strategies + 1) / answering,
            "answers": float(len(answers.table)),
        }
    }
