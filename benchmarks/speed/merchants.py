"""PGHS at the paper's size and at four times that: a fit, fifty strategies, memory, and how time grows.

LightGBM alone, on the same matrix, stands beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fogline.benchmarks.merchants.scale import ANSWERED, FITTED, Size, measure_apart
from fogline.benchmarks.speed.report import QUICK, Effort, Finding, Target
from fogline.benchmarks.speed.timing import Spread

NAME = "merchants"
FIT, ANSWERS, MEMORY = Target("at most", 60.0), Target("at most", 20.0), Target("at most", 2_000.0)
GROWTH = Target("at most", 1.5)
FULL = (
    Size(merchants=101, trajectories=26_000, strategies=50),
    Size(merchants=500, trajectories=100_000, strategies=5),
)
TINY = (
    Size(merchants=20, trajectories=2_000, strategies=2),
    Size(merchants=40, trajectories=4_000, strategies=2),
)
_ROUNDS = 3
_NOTE = "CPU time of one thread; a process of its own for each size, another market each round"

Figures = Mapping[str, float]


def run(effort: Effort) -> list[Finding]:
    """Measure both sizes in turn; smaller ones, once, where the effort is small."""
    whole = effort.rounds > QUICK.rounds
    sizes = FULL if whole else TINY
    rounds = [[measure_apart(size, seed) for size in sizes] for seed in range(_ROUNDS if whole else 1)]
    early, late = ([found[place] for found in rounds] for place in (0, 1))
    alone = "LightGBM's prediction alone, of one strategy, s"
    answers = _spread(early, lambda found: found[alone] * (sizes[0].strategies + 1))
    memory, note = _named(early, "peak memory, MiB"), f"{_NOTE}; {_told(sizes[0])}"
    return [
        _finding("fit", "s", _named(early, "fit, s"), _named(early, "LightGBM's fit alone, s"), FIT, note),
        _finding(f"{sizes[0].strategies} strategies", "s", _named(early, "what-if, s"), answers, ANSWERS, note),
        _finding("memory", "MiB", memory, memory, MEMORY, note, "(alone)", "peak"),
        _growth("growth of the fit", late, early, FITTED, sizes),
        _growth("growth of what-if", late, early, ANSWERED, sizes),
    ]


def _told(size: Size) -> str:
    return f"{size.merchants:,} merchants, {size.trajectories:,} trajectories"


def _spread(rounds: Sequence[Figures], figure: Callable[[Figures], float]) -> Spread:
    return Spread.of([figure(found) for found in rounds])


def _named(rounds: Sequence[Figures], name: str) -> Spread:
    return _spread(rounds, lambda found: found[name])


def _growth(
    case: str, late: Sequence[Figures], early: Sequence[Figures], rate: str, sizes: tuple[Size, Size]
) -> Finding:
    """Time of a million units of work at the larger size beside the smaller, market by market."""
    grown = Spread.of([small[rate] / large[rate] for large, small in zip(late, early, strict=True)])
    here, there = (_spread(rounds, lambda found: 1e6 / found[rate]) for rounds in (late, early))
    note = f"a million {rate.partition(' per ')[0]}: {_told(sizes[1])} beside {_told(sizes[0])}"
    return _finding(case, "s", here, there, GROWTH, note, _told(sizes[0]), "time of a unit", grown, "×")


def _finding(
    case: str,
    unit: str,
    subject: Spread,
    peer_value: Spread,
    target: Target,
    note: str,
    peer: str = "LightGBM alone",
    quantity: str = "time",
    seen: Spread | None = None,
    seen_unit: str = "",
) -> Finding:
    return Finding(
        benchmark=NAME,
        case=case,
        subject="PGHS",
        peer=peer,
        unit=unit,
        subject_value=subject,
        peer_value=peer_value,
        quantity=quantity,
        seen=seen or subject,
        seen_unit=seen_unit or unit,
        target=target,
        note=note,
    )
