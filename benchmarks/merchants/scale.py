"""What PGHS costs at a size: time and memory of checking a log, fitting a model and answering what-if.

Beside it stands what LightGBM alone takes for the same matrix. A process measures one size, so that its memory is its
own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from fogline.benchmarks.speed.training_memory import peak_bytes

if TYPE_CHECKING:
    from fogline.core.engine import Engine
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.strategies import Strategy
    from fogline.simulators.merchants.what_if import WhatIf

FITTED, ANSWERED = "trajectories fitted per second", "trajectories times trees answered per second"
WORKERS = 2
_DEEPEST = 0.4


class Size(BaseModel):
    """A log's size, and what is asked.

    Attributes:
        merchants: In the log.
        trajectories: About.
        strategies: That are asked about.
        engines: Through which the same is asked again, each with two workers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merchants: int
    trajectories: int
    strategies: int
    engines: tuple[Literal["process", "ray"], ...] = ()


def measure_size(size: Size, seed: int) -> dict[str, float]:
    """Measure one size, in the calling process, with one thread.

    Times are of the processor, but for those that are called by the clock.

    Args:
        size: What is measured.
        seed: Of the market.

    Returns:
        Figures by name, each with its unit.
    """
    import lightgbm  # noqa: F401  (only what is loaded can be limited)
    from threadpoolctl import threadpool_limits

    import fogline.simulators.merchants.pghs  # noqa: F401

    # Threads wait for work at full speed: the processor's time would be no cost.
    with threadpool_limits(limits=1):
        return _measured(size, seed)


def measure_apart(size: Size, seed: int) -> Mapping[str, float]:
    """:func:`measure_size` in a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure_size, size, seed).result()


def _measured(size: Size, seed: int) -> dict[str, float]:
    from fogline.simulators.merchants.logs import check_log
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.world import WorldConfig, make_world

    frame = make_world(WorldConfig(n_merchants=size.merchants, n_trajectories=size.trajectories), seed).table()
    check = _Clocks()
    log = check_log(frame)
    check.stop()
    del frame
    fit = _Clocks()
    model = PGHS.fit(log)
    fit.stop()
    asked = _strategies(size.strategies)
    answer = _Clocks()
    answers = model.what_if(asked)
    answer.stop()
    peak = _peak()
    rows, trees, times = len(model.rows()), _trees(model), len(asked) + 1
    bare_fit, bare_answer = _bare(model, trees)
    return {
        "trajectories": float(len(log)),
        "trees": float(trees),
        "check, s": check.processor,
        "fit, s": fit.processor,
        "fit by the clock, s": fit.wall,
        "LightGBM's fit alone, s": bare_fit,
        "what-if, s": answer.processor,
        "what-if by the clock, s": answer.wall,
        "what-if of one strategy, s": answer.processor / times,
        "LightGBM's prediction alone, of one strategy, s": bare_answer,
        "what-if but for that, of one strategy and 1,000 trajectories, ms": 1e6
        * (answer.processor / times - bare_answer)
        / rows,
        "peak memory, MiB": peak,
        FITTED: len(log) / fit.processor,
        ANSWERED: rows * trees * times / answer.processor,
        "answers": float(len(answers.table)),
        **{name: value for engine in size.engines for name, value in _again(model, asked, answers, engine).items()},
    }


@dataclass
class _Clocks:
    """Time since it was made: of this process's processor, and of the clock, in seconds."""

    def __post_init__(self) -> None:
        self.processor, self.wall = -process_time(), -perf_counter()

    def stop(self) -> None:
        self.processor += process_time()
        self.wall += perf_counter()


def _strategies(count: int) -> list[Strategy]:
    from fogline.simulators.merchants.strategies import Intervention, Strategy

    depths = [_DEEPEST * index / count for index in range(count)]
    return [Strategy(f"{depth:.1%} off", (Intervention("discount", "set", depth),)) for depth in depths]


def _trees(model: PGHS) -> int:
    return sum(stage.estimator.num_trees() for stage in model.branches.fitting.stages.values())


def _bare(model: PGHS, trees: int) -> tuple[float, float]:
    """LightGBM alone on the same matrix: as many trees on the training window, and the recent window's prediction."""
    import lightgbm

    from fogline.simulators.merchants.logs import TEST, TRAIN, ordered, time_split

    branch, table = model.branches.fitting, model.log.table
    rows = model.branches.prepare(table)
    matrix = branch.builder.matrix(table, rows.membership, rows.anchor_rate, branch.rates.encode(table))
    windows = time_split(table)
    learn, recent = windows == TRAIN, matrix[windows == TEST]
    fit = _Clocks()
    booster = lightgbm.train(
        branch.config.parameters(), lightgbm.Dataset(matrix[learn], ordered(table)[learn].astype(float)), trees
    )
    fit.stop()
    answer = _Clocks()
    booster.predict(recent, num_threads=branch.config.num_threads)
    answer.stop()
    return fit.processor, answer.processor


def _again(model: PGHS, asked: list[Strategy], answers: WhatIf, name: str) -> dict[str, float]:
    """The same through an engine, its start included; and whether the answers are the same, to the bit."""
    from fogline.core.engine import make_engine

    here = _Clocks()
    with make_engine(name, WORKERS) as engine:
        again = model.what_if(asked, engine=engine)
        here.stop()
        workers = _workers(engine)
    return {
        f"what-if through {name} by the clock, s": here.wall,
        f"what-if through {name}, s": here.processor + sum(processor for processor, _ in workers),
        f"peak memory of {name}'s workers together, MiB": sum(peak for _, peak in workers),
        f"answers through {name} are the same": float(again.table.equals(answers.table)),
    }


def _workers(engine: Engine) -> list[tuple[float, float]]:
    """What each worker has used: seconds of its processor, and its peak memory in MiB."""
    return [outcome.unwrap() for outcome in engine.map(_used, range(engine.workers))]


def _used(_: Any) -> tuple[float, float]:
    return process_time(), _peak()


def _peak() -> float:
    """Of this process so far, in MiB."""
    return peak_bytes() / 2**20
