"""The stages of an experiment with methods that learn: warm starts, a choice of learning rates, arms, controls.

Each stage is resumable by arm and seed. What a warm start is, and what learning is, the world says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellFunction, CellResult, Progress, run_cells
from fogline.benchmarks.reproduce.results import Curve, arms_of, curve_of, failures_of
from fogline.core.errors import InfrastructureError

WARM = "warm start"
ACCURACY = "accuracy"
"""What decides the choice of a learning rate, on problems of validation."""


@dataclass(frozen=True)
class Method:
    """One way to learn.

    Attributes:
        recipe: Its name.
        options: Settings that differ from its defaults.
        tuned_as: The method whose learning rate it takes; its own where empty.
    """

    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tuned_as: str = ""


class Plan(Protocol):
    """Budgets, as far as the stages need them.

    Attributes:
        seeds: Of the arms; each has a warm start of its own.
        tuning_seeds: Of the choice of learning rates; none where there is one candidate.
        learning_rates: Candidates.
    """

    @property
    def seeds(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def tuning_seeds(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def learning_rates(self) -> tuple[float, ...]: ...  # noqa: D102

    def all_seeds(self) -> tuple[int, ...]:
        """Seeds that need a warm start."""
        ...

    def shapes(self) -> dict[str, Any]:
        """What shapes a cell; seeds and candidates do not."""
        ...

    def warm_shapes(self) -> dict[str, Any]:
        """What shapes a warm start."""
        ...


Begin = Callable[[Any, Path, Cell], Mapping[str, Any]]
"""From budgets, the folder of warm starts and a cell to what came of it."""

Learn = Callable[[Any, Mapping[str, Method], Mapping[str, float], Path, Cell], Mapping[str, Any]]
"""From budgets, methods, their learning rates, the folder of warm starts and a cell to what came of it.

While tuning there are no rates: the cell's own name says ``method@rate``, and :data:`ACCURACY` is of validation.
"""


class Experiment:
    """The stages of one reproduction.

    Args:
        plan: Budgets.
        methods: By name.
        config: Folders, processes.
        progress: Told how far a stage is.
        begin: Makes a warm start.
        learn: Trains one method from one seed's warm start.
        place: Folder of its stages within the reproduction's, where there are several experiments.
    """

    def __init__(
        self,
        plan: Plan,
        methods: Mapping[str, Method],
        config: ReproduceConfig,
        progress: Progress,
        *,
        begin: Begin,
        learn: Learn,
        place: str = "",
    ) -> None:
        self.plan = plan
        self.methods = methods
        self.folder = config.cells_folder / place
        self._begin = begin
        self._learn = learn
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
        return partial(self._learn, self.plan, methods, dict(rates), self.folder / "warm")


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
