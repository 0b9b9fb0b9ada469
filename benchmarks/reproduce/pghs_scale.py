"""How PGHS grows: time and memory of checking, fitting and answering, from the paper's size to a million trajectories.

The largest size is answered three times: here, in worker processes, and through Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fogline.benchmarks.merchants.scale import ANSWERED, FITTED, WORKERS, Size, measure_size
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, Progress, run_cells
from fogline.benchmarks.reproduce.results import Claim, Findings, Published, arms_of, failures_of, judge

PAPERS, MIDDLE, MILLION = "101 merchants", "500 merchants", "5,000 merchants"
_TOLERATED = 0.35
_OURS = "the issue: growth is linear"


FULL: Mapping[str, Size] = {
    PAPERS: Size(merchants=101, trajectories=26_000, strategies=50),
    MIDDLE: Size(merchants=500, trajectories=100_000, strategies=5),
    MILLION: Size(merchants=5_000, trajectories=1_000_000, strategies=5, engines=("process", "ray")),
}
QUICK: Mapping[str, Size] = {
    PAPERS: Size(merchants=20, trajectories=2_000, strategies=2),
    MIDDLE: Size(merchants=40, trajectories=4_000, strategies=2),
    MILLION: Size(merchants=80, trajectories=8_000, strategies=2, engines=("process",)),
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
            "Seconds are of the processor, one thread, but for those by the clock, which other programs on the machine "
            f"lengthen. {WORKERS} worker processes start, load their packages and are sent the model within them.",
            "LightGBM stops early on a small log and grows up to 600 trees on a large one: what-if then takes longer "
            "for a trajectory. What is not LightGBM's own prediction does not: it stands in a column of its own.",
        ),
    )


def measure(sizes: Mapping[str, Size], cell: Cell) -> dict[str, Any]:
    """Measure the size that a cell's arm names, in the market of its seed."""
    return {"metrics": measure_size(sizes[cell.arm], cell.seed)}
