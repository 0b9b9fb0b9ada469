"""What a reproduction found: arms, comparisons paired by seed, and verdicts that code computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fogline.benchmarks.reproduce.cells import CellResult
from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.intervals import student_t

Verdict = Literal["same direction", "not shown", "opposite"]
Direction = Literal["higher", "lower", "not lower"]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Arm(_Record):
    """One way of doing it, over all its seeds.

    Attributes:
        name: Of the arm.
        seeds: That were run to the end.
        metrics: One value per seed, in the order of ``seeds``; None where a run cannot say.
    """

    name: str
    seeds: tuple[int, ...]
    metrics: dict[str, tuple[Number | None, ...]]

    @model_validator(mode="after")
    def _one_value_per_seed(self) -> Self:
        for metric, values in self.metrics.items():
            if len(values) != len(self.seeds):
                raise ValueError(
                    f"{metric!r} of arm {self.name!r} has {len(values)} values for {len(self.seeds)} seeds"
                )
        return self

    def known(self, metric: str) -> dict[int, float]:
        """Values by seed, where there is one."""
        values = self.metrics.get(metric, ())
        return {seed: value for seed, value in zip(self.seeds, values, strict=False) if value is not None}


class Published(_Record):
    """What the paper reports of a comparison.

    Attributes:
        direction: Whether the arm is said to be ``higher`` or ``lower`` than its baseline, or at least ``not lower``.
        difference: Arm minus baseline as published, in the unit of the comparison; None where no figure is given.
        source: Table, figure or section.
    """

    direction: Direction
    difference: Number | None = None
    source: str = ""


class Claim(_Record):
    """A comparison that a plan announces: what is compared, what counts, and what is published.

    Attributes:
        metric: What is compared.
        arm: Whose value is taken.
        baseline: Whose value is taken off.
        paper: What is claimed.
        margin: See :class:`Comparison`.
        relative: See :class:`Comparison`.
    """

    metric: str
    arm: str
    baseline: str
    paper: Published
    margin: Number = Field(default=0.0, ge=0)
    relative: bool = False


def claimed(
    metric: str,
    arm: str,
    baseline: str,
    direction: Direction,
    source: str,
    difference: float | None = None,
    *,
    margin: float = 0.0,
    relative: bool = False,
) -> Claim:
    """A claim in one line: what is compared, what is said of it and where, what counts."""
    published = Published(direction=direction, difference=difference, source=source)
    return Claim(metric=metric, arm=arm, baseline=baseline, margin=margin, paper=published, relative=relative)


class Comparison(_Record):
    """Two arms on one metric, paired by seed.

    Attributes:
        metric: What is compared.
        arm: Whose value is taken.
        baseline: Whose value is taken off.
        difference: Mean of arm minus baseline over the seeds that both have; None without such a seed.
        ci95: Student's 95% interval of that mean; None for fewer than three seeds.
        margin: Smallest absolute difference that counts, fixed before the run; of ``not lower``: the largest loss that
            is accepted.
        paper: What is claimed.
        verdict: As :func:`verdict` says.
        relative: Whether difference, interval and margin are shares of the baseline's mean over those seeds.
    """

    metric: str
    arm: str
    baseline: str
    difference: Number | None
    ci95: tuple[Number, Number] | None
    margin: Number = Field(ge=0)
    paper: Published
    verdict: Verdict
    relative: bool = False


class Curve(_Record):
    """A metric of an arm over the run.

    Attributes:
        arm: Of the curve.
        metric: What is drawn.
        x_label: What ``x`` counts.
        x: Ascending.
        mean: Over seeds, at each ``x``.
        low: Lower bound of its 95% interval; None where there is none.
        high: Upper bound.
    """

    arm: str
    metric: str
    x_label: str
    x: tuple[Number, ...]
    mean: tuple[Number, ...]
    low: tuple[Number | None, ...] = ()
    high: tuple[Number | None, ...] = ()


class Plot(_Record):
    """Curves to draw in one picture, ``NAME-PLOT.svg`` beside the page.

    Attributes:
        name: Of the file's last part.
        title: Above it.
        metric: Of the curves that are drawn.
        y_label: Along the upright axis.
        arms: Whose curves; all that have the metric where empty.
        logarithmic: Whether the other axis is.
    """

    name: str
    title: str
    metric: str
    y_label: str
    arms: tuple[str, ...] = ()
    logarithmic: bool = False


class Failure(_Record):
    """A cell that did not end well."""

    arm: str
    seed: int
    error: str


class Findings(_Record):
    """What a reproduction returns.

    Attributes:
        system: Name of the published system.
        claim: What is tested, in a sentence.
        paper: Where it was published, and its figures as published.
        config: All that shaped the runs.
        plan: Arms, seeds, margins and tuning rule, as fixed before the run.
        arms: What was measured.
        comparisons: What was compared.
        curves: How it went over the run.
        plots: Which of the curves are drawn.
        failures: Cells without a result.
        notes: What a reader must know: deviations, what was tried where the claim is not shown.
    """

    system: str
    claim: str
    paper: dict[str, Any]
    config: dict[str, Any]
    plan: dict[str, Any]
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    curves: tuple[Curve, ...] = ()
    plots: tuple[Plot, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()


_ORDER = ("system", "claim", "paper", "command", "versions", "hardware", "wall_clock_s", "config", "plan")


class Results(Findings):
    """Findings with what they were made by; ``docs/results/NAME.json``.

    Attributes:
        command: That makes them again.
        versions: Of Python and of the packages that shape results.
        hardware: Processor, cores, memory.
        wall_clock_s: Over all the times the run was resumed, in seconds.
    """

    command: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    wall_clock_s: Number

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, in the order of the design."""
        plain = self.model_dump(mode="json")
        return {name: plain.pop(name) for name in _ORDER} | plain


def arms_of(cells: Sequence[CellResult]) -> tuple[Arm, ...]:
    """Arms of finished cells, whose value has ``metrics``: a number or None by name; failed cells are left out."""
    done = [cell for cell in cells if cell.status == "done"]
    arms = []
    for name in dict.fromkeys(cell.arm for cell in done):
        mine = [cell for cell in done if cell.arm == name]
        metrics = dict.fromkeys(metric for cell in mine for metric in cell.value["metrics"])
        values = {metric: tuple(cell.value["metrics"].get(metric) for cell in mine) for metric in metrics}
        arms.append(Arm(name=name, seeds=tuple(cell.seed for cell in mine), metrics=values))
    return tuple(arms)


def failures_of(cells: Sequence[CellResult]) -> tuple[Failure, ...]:
    """Cells that failed, with the last line of their error."""
    failed = [cell for cell in cells if cell.status == "failed"]
    return tuple(Failure(arm=cell.arm, seed=cell.seed, error=cell.error.strip().rpartition("\n")[2]) for cell in failed)


def curve_of(cells: Sequence[CellResult], arm: str, metric: str, x_label: str) -> Curve:
    """Mean and interval over an arm's cells, whose value has ``curves``: ``[[x, y], …]`` by metric.

    Points are kept where every cell of the arm has one.
    """
    runs = [
        dict(map(tuple, cell.value["curves"][metric])) for cell in cells if (cell.arm, cell.status) == (arm, "done")
    ]
    shared = sorted(set.intersection(*map(set, runs))) if runs else []
    columns = [[run[x] for run in runs] for x in shared]
    intervals = [student_t(column) for column in columns]
    return Curve(
        arm=arm,
        metric=metric,
        x_label=x_label,
        x=tuple(shared),
        mean=tuple(math.fsum(column) / len(column) for column in columns),
        low=tuple(None if interval is None else interval.low for interval in intervals),
        high=tuple(None if interval is None else interval.high for interval in intervals),
    )


def compare(
    arms: Sequence[Arm],
    metric: str,
    arm: str,
    baseline: str,
    *,
    paper: Published,
    margin: float = 0.0,
    relative: bool = False,
) -> Comparison:
    """Compare two arms on one metric, seed by seed.

    Args:
        arms: What was measured.
        metric: What is compared.
        arm: Whose value is taken.
        baseline: Whose value is taken off.
        paper: What is claimed.
        margin: Smallest absolute difference that counts, in the metric's unit; see :class:`Comparison`.
        relative: Divide difference, interval and margin's unit by the baseline's mean. Where that is 0 or negative
            nothing can be said.

    Raises:
        ConfigurationError: For an arm or a metric that was not measured, or a negative margin.
    """
    if not margin >= 0:
        raise ConfigurationError(f"margin={margin}: expected 0 or more; the direction is the paper's.")
    by_name = {item.name: item for item in arms}
    for role, name in (("arm", arm), ("baseline", baseline)):
        check_choice(role, name, by_name)
        check_choice("metric", metric, by_name[name].metrics)
    ours, theirs = by_name[arm].known(metric), by_name[baseline].known(metric)
    shared = [seed for seed in ours if seed in theirs]
    unit = math.fsum(theirs[seed] for seed in shared) / max(len(shared), 1) if relative else 1.0
    pairs = [(ours[seed] - theirs[seed]) / unit for seed in shared] if unit > 0 else []
    difference = math.fsum(pairs) / len(pairs) if pairs else None
    interval = student_t(pairs)
    return Comparison(
        metric=metric,
        arm=arm,
        baseline=baseline,
        difference=difference,
        ci95=None if interval is None else (interval.low, interval.high),
        margin=margin,
        relative=relative,
        paper=paper,
        verdict=verdict(difference, interval, margin, paper.direction),
    )


def judge(arms: Sequence[Arm], claims: Sequence[Claim]) -> tuple[Comparison, ...]:
    """Compare as claimed, wherever both arms were measured."""
    measured = {arm.name: arm.metrics for arm in arms}
    return tuple(
        compare(
            arms,
            claim.metric,
            claim.arm,
            claim.baseline,
            paper=claim.paper,
            margin=claim.margin,
            relative=claim.relative,
        )
        for claim in claims
        if claim.metric in measured.get(claim.arm, {}) and claim.metric in measured.get(claim.baseline, {})
    )


def verdict(difference: float | None, ci95: tuple[float, float] | None, margin: float, direction: Direction) -> Verdict:
    """Judge a difference against the paper's direction.

    With d and [l, h] the difference and its interval, signs turned where ``lower`` is claimed: ``same direction`` if
    l > 0 and d ≥ margin, ``opposite`` if h < 0 and d ≤ -margin, else ``not shown``; without an interval nothing is
    shown. ``not lower`` is ``same direction`` if l ≥ -margin, ``opposite`` if h < -margin.
    """
    if difference is None or ci95 is None:
        return "not shown"
    if direction == "not lower":
        if ci95[0] >= -margin:
            return "same direction"
        return "opposite" if ci95[1] < -margin else "not shown"
    if direction == "lower":
        difference, ci95 = -difference, (-ci95[1], -ci95[0])
    low, high = ci95
    if low > 0 and difference >= margin:
        return "same direction"
    return "opposite" if high < 0 and difference <= -margin else "not shown"
