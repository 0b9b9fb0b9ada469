"""A small world for policy optimisers: arithmetic that a tiny model half knows, and the stages of an experiment in it.

Warm starts, a choice of learning rates, the methods: each stage is resumable by arm and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellFunction, CellResult, Progress, run_cells
from fogline.benchmarks.reproduce.math_reasoning.plan import ACCURACY, MathPlan, Method
from fogline.benchmarks.reproduce.math_reasoning.training import MakeTeacher, Measure, train_method
from fogline.benchmarks.reproduce.math_reasoning.warm_start import WARM, warm_start
from fogline.benchmarks.reproduce.results import Curve, arms_of, curve_of, failures_of
from fogline.core.errors import InfrastructureError

Begin = Callable[[Any, Path, Cell], Mapping[str, Any]]


class Experiment:
    """The stages of one reproduction.

    Args:
        plan: Budgets.
        methods: By name.
        config: Folders, processes.
        progress: Told how far a stage is.
        place: Folder of its stages within the reproduction's, where there are several experiments.
        teacher: Of methods that distil.
        more: What else is measured of a trained policy.
        begin: What makes a warm start, from budgets, the folder of warm starts and a cell.
    """

    def __init__(
        self,
        plan: MathPlan,
        methods: Mapping[str, Method],
        config: ReproduceConfig,
        progress: Progress,
        *,
        place: str = "",
        teacher: MakeTeacher | None = None,
        more: Measure | None = None,
        begin: Begin = warm_start,
    ) -> None:
        self.plan = plan
        self.methods = methods
        self.folder = config.cells_folder / place
        self._teacher = teacher
        self._more = more
        self._begin = begin
        self._config = config
        self._progress = progress

    def stage(
        self, name: str, cells: Sequence[Cell], function: CellFunction, shapes: Mapping[str, Any]
    ) -> list[CellResult]:
        """Run the cells of a stage that are not done."""
        return run_cells(
            cells,
            function,
            self.folder / name,
            config=shapes,
            workers=self._config.workers,
            resume=self._config.resume,
            on_progress=self._progress,
        )

    def warm_starts(self, seeds: Sequence[int] = ()) -> list[CellResult]:
        """A warm start for every seed of the plan, or for these.

        Raises:
            InfrastructureError: One failed: its seed could not go on.
        """
        cells = [Cell(WARM, seed) for seed in seeds or self.plan.all_seeds()]
        found = self.stage(
            "warm", cells, partial(self._begin, self.plan, self.folder / "warm"), self.plan.warm_shapes()
        )
        for failure in failures_of(found):
            raise InfrastructureError(
                f"the warm start of seed {failure.seed} failed ({failure.error}): see its file in "
                f"{self.folder / 'warm'}."
            )
        return found

    def rates(self) -> dict[str, float]:
        """The learning rate of each method that is tuned: best on validation, over the tuning seeds.

        Without tuning seeds there is one candidate, which is taken.

        Raises:
            InfrastructureError: Every run of a method failed.
        """
        tuned = [name for name, method in self.methods.items() if not method.tuned_as]
        if not self.plan.tuning_seeds:
            (rate,) = self.plan.learning_rates
            return dict.fromkeys(tuned, rate)
        candidates = {f"{name}@{rate:g}": (name, rate) for name in tuned for rate in self.plan.learning_rates}
        cells = self.stage(
            "tuning",
            [Cell(name, seed) for name in candidates for seed in self.plan.tuning_seeds],
            self._training({}, self.methods),
            {**self.plan.shapes(), "methods": described(self.methods)},
        )
        scores: dict[str, dict[float, float]] = {name: {} for name in tuned}
        for arm in arms_of(cells):
            values = arm.known(ACCURACY).values()
            name, rate = candidates[arm.name]
            scores[name][rate] = sum(values) / len(values)
        for name, found in scores.items():
            if not found:
                raise InfrastructureError(
                    f"every tuning run of {name!r} failed: see the files in {self.folder / 'tuning'}."
                )
        return {name: max(found, key=lambda rate: (found[rate], -rate)) for name, found in scores.items()}

    def arms(self, rates: Mapping[str, float], seeds: Mapping[str, Sequence[int]]) -> list[CellResult]:
        """Every method from every seed that it has."""
        return self._run("arms", self.methods, rates, seeds)

    def controls(
        self, methods: Mapping[str, Method], rates: Mapping[str, float], seeds: Sequence[int]
    ) -> list[CellResult]:
        """Further methods, in a stage of their own that leaves the arms as they are; each is ``tuned_as`` another."""
        return self._run("controls", methods, rates, dict.fromkeys(methods, seeds))

    def _run(
        self, stage: str, methods: Mapping[str, Method], rates: Mapping[str, float], seeds: Mapping[str, Sequence[int]]
    ) -> list[CellResult]:
        return self.stage(
            stage,
            [Cell(name, seed) for name in methods for seed in seeds[name]],
            self._training(rates, methods),
            {**self.plan.shapes(), "methods": described(methods), "rates": dict(rates)},
        )

    def _training(self, rates: Mapping[str, float], methods: Mapping[str, Method]) -> CellFunction:
        return partial(train_method, self.plan, methods, dict(rates), self.folder / "warm", self._teacher, self._more)


def described(methods: Mapping[str, Method]) -> dict[str, str]:
    """Recipe and settings of each method, in words."""
    return {
        name: method.recipe + "".join(f", {option}={value}" for option, value in method.options.items())
        for name, method in methods.items()
    }


def curves_of(cells: Sequence[CellResult], metrics: Sequence[str]) -> tuple[Curve, ...]:
    """Curves of every arm that has them, metric by metric."""
    names = list(dict.fromkeys(cell.arm for cell in cells if cell.status == "done"))
    found = (curve_of(cells, name, metric, "updates") for metric in metrics for name in names)
    return tuple(curve for curve in found if curve.x)
