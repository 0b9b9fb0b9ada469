"""From episodes to a summary: averages, Pass@k, votes, breakdowns, and what failed.

A *task* is the unit of everything: its samples are averaged first, then the tasks; a measure with weights is a ratio of
sums instead. Episodes that are not scored (the world failed, not the policy) enter no number but their own count.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fogline.benchmarks.estimators import majority_vote, pass_at_k, pass_hat_k, reported_k
from fogline.benchmarks.measures import Kind, Measure, Suite
from fogline.core.episode import Episode, Usage
from fogline.core.intervals import Interval, cluster_bootstrap, ratio_bootstrap, wilson

UNKNOWN_GROUP = "unknown"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks.

    Attributes:
        value: The mean; None where no task has one, or a value is not finite.
        interval: 95 % confidence interval; None where the data cannot say.
        tasks: Tasks that entered it.
    """

    value: float | None
    interval: Interval | None
    tasks: int


@dataclass(frozen=True, slots=True)
class MeasureSummary:
    """One measure over all tasks.

    Attributes:
        name: As in :class:`~fogline.benchmarks.measures.Measure`, like the next three.
        label: Heading in tables.
        kind: What sort of number it is.
        percent: Whether tables show percent.
        average: Avg@k: mean over tasks of the mean over their samples.
        pass_at: Pass@k by k, for a success; tasks with fewer than k scored samples are left out.
        pass_hat: pass^k by k, likewise.
        majority: What the vote of a task's samples gets, for a success with more than one sample.
    """

    name: str
    label: str
    kind: Kind
    percent: bool
    average: Estimate
    pass_at: Mapping[int, Estimate] = field(default_factory=dict)
    pass_hat: Mapping[int, Estimate] = field(default_factory=dict)
    majority: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that share a property.

    Attributes:
        by: The property, e.g. ``"difficulty"``.
        name: Its value.
        tasks: Tasks with at least one scored episode.
        episodes: Scored episodes.
        averages: Avg@k of the success and the reward, by name of the measure.
    """

    by: str
    name: str
    tasks: int
    episodes: int
    averages: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class FailureCount:
    """Episodes that failed alike.

    Attributes:
        status: ``agent_error`` (scored), ``env_error`` or ``infra_error`` (not scored).
        kind: Class name of the error.
        episodes: How many.
        example: Message of the first.
    """

    status: str
    kind: str
    episodes: int
    example: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a set of episodes amounts to.

    Attributes:
        tasks: Tasks planned.
        samples: Samples planned per task, the K of every "@K".
        planned: Episodes planned.
        scored: Episodes with a score.
        unscored: Episodes whose every attempt failed for reasons outside the policy.
        missing: Episodes never played to an end.
        statuses: Episodes by status.
        measures: One entry a measure.
        groups: Breakdowns.
        outcome_classes: Scored episodes by exclusive class.
        incidents: Occurrences of rule violations by name.
        failures: Failed episodes by status and kind, most frequent first.
        voting_tasks: Tasks in which at least one sample had an answer to vote with.
        usage: Time, calls, tokens, cost and retries of all episodes together.
    """

    tasks: int
    samples: int
    planned: int
    scored: int
    unscored: int
    missing: int
    statuses: Mapping[str, int]
    measures: Sequence[MeasureSummary]
    groups: Sequence[Group]
    outcome_classes: Mapping[str, int]
    incidents: Mapping[str, int]
    failures: Sequence[FailureCount]
    voting_tasks: int
    usage: Usage

    def measure(self, name: str) -> MeasureSummary:
        """The summary of one measure.

        Raises:
            KeyError: If there is none of that name.
        """
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(f"{name!r} is not a measure of this summary: it has {[item.name for item in self.measures]}.")


@dataclass(slots=True)
class _Sample:
    """What aggregation keeps of a scored episode."""

    values: dict[str, float | None]
    weights: dict[str, float]
    answer: str | None
    groups: dict[str, str]


def aggregate(episodes: Iterable[Episode], suite: Suite, task_ids: Sequence[str], seeds: Sequence[int]) -> Summary:
    """Summarise the episodes of a plan, every task with every seed.

    Args:
        episodes: One per pair of task and seed, in any order; what is outside the plan is left out. They are
            read once and not kept.
        suite: How to read them.
        task_ids: The plan's tasks.
        seeds: The plan's seeds in sample order, which decides a tied vote.
    """
    reader = _Reader(suite, task_ids, seeds)
    for episode in episodes:
        reader.take(episode)
    return reader.summary()


def estimate(values: Sequence[float], kind: Kind, single: bool) -> Estimate:
    """Mean of one value per task, with its interval.

    Wilson's for a success or share with one sample a task. Otherwise a bootstrap over tasks; where all tasks
    agree it has nothing to resample, and a success or share falls back to Wilson's, which takes each task as
    one trial.
    """
    if not values or not all(map(math.isfinite, values)):
        return Estimate(None, None, len(values))
    mean = math.fsum(values) / len(values)
    trials = kind != "number" and all(value in (0, 1) for value in values)
    interval = None if single and trials else cluster_bootstrap(values)
    if interval is None and trials:
        interval = wilson(round(math.fsum(values)), len(values))
    return Estimate(mean, interval, len(values))


class _Reader:
    """Takes episodes in one by one and keeps what the summary needs of each."""

    def __init__(self, suite: Suite, task_ids: Sequence[str], seeds: Sequence[int]) -> None:
        self._suite = suite
        self._tasks = list(dict.fromkeys(task_ids))
        self._order = {seed: index for index, seed in enumerate(seeds)}
        self._samples: dict[str, dict[int, _Sample]] = {task_id: {} for task_id in self._tasks}
        self._lost: dict[str, dict[int, dict[str, float | None]]] = {task_id: {} for task_id in self._tasks}
        self._found: dict[str, Measure] = {measure.name: measure for measure in suite.measures}
        self._statuses: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()
        self._incidents: Counter[str] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        self._usages: list[Usage] = []
        self._unscored = 0

    def take(self, episode: Episode) -> None:
        """Read one episode, if it belongs to the plan."""
        order = self._order.get(episode.seed)
        samples = self._samples.get(episode.task_id)
        if order is None or samples is None:
            return
        self._statuses[episode.status] += 1
        self._usages.append(episode.usage)
        if episode.failure is not None:
            kind = (episode.status, episode.failure.kind)
            self._failures[kind] += 1
            self._examples.setdefault(kind, episode.failure.message)
        if not episode.scored:
            self._unscored += 1
            self._lost[episode.task_id][order] = {
                name: measure.of(episode) for name, measure in self._found.items() if measure.of_unscored
            }
            return
        samples[order] = self._sample(episode)
        if self._suite.outcome_class is not None:
            self._classes[self._suite.outcome_class(episode)] += 1
        if self._suite.incidents is not None:
            self._incidents.update(self._suite.incidents(episode))

    def _sample(self, episode: Episode) -> _Sample:
        if self._suite.discover:
            for name, value in episode.metrics.items():
                if name not in self._found and isinstance(value, (bool, int, float)):
                    self._found[name] = _discovered(name, isinstance(value, bool))
        values = {name: measure.of(episode) for name, measure in self._found.items()}
        weighed = {name: measure.weight(episode) for name, measure in self._found.items() if measure.weight is not None}
        known = episode.metrics if self._suite.strata is None else {**episode.metrics, **self._suite.strata(episode)}
        groups = {by: str(known[by]) for by in self._suite.groups if by in known}
        return _Sample(values, weighed, episode.metrics.get("answer_key"), groups)

    def summary(self) -> Summary:
        """Sum up what was taken in."""
        planned = len(self._tasks) * len(self._order)
        scored = sum(map(len, self._samples.values()))
        return Summary(
            tasks=len(self._tasks),
            samples=len(self._order),
            planned=planned,
            scored=scored,
            unscored=self._unscored,
            missing=planned - scored - self._unscored,
            statuses=_sorted(self._statuses),
            measures=[self._measure(measure) for measure in self._found.values()],
            groups=[group for by in self._suite.groups for group in self._breakdown(by)],
            outcome_classes=_sorted(self._classes),
            incidents=_sorted(self._incidents),
            failures=[
                FailureCount(status, kind, count, self._examples[status, kind])
                for (status, kind), count in _sorted(self._failures).items()
            ],
            voting_tasks=sum(any(sample.answer for sample in own.values()) for own in self._samples.values()),
            usage=_total(self._usages),
        )

    def _measure(self, measure: Measure) -> MeasureSummary:
        summary = (measure.name, measure.label, measure.kind, measure.percent, self._average(measure, self._tasks))
        if measure.kind != "success":
            return MeasureSummary(*summary)
        samples = len(self._order)
        return MeasureSummary(
            *summary,
            pass_at={k: self._passing(measure, pass_at_k, k) for k in reported_k(samples)},
            pass_hat={k: self._passing(measure, pass_hat_k, k) for k in reported_k(samples)},
            majority=self._majority(measure) if samples > 1 else None,
        )

    def _average(self, measure: Measure, task_ids: Iterable[str]) -> Estimate:
        if measure.weight is not None:
            return self._ratio(measure, task_ids)
        means = []
        for task_id in task_ids:
            values = self._values(measure, task_id)
            if values:
                means.append(math.fsum(values) / len(values))
        if not means:
            return Estimate(measure.empty, None, 0)
        return estimate(means, measure.kind, single=len(self._order) == 1)

    def _ratio(self, measure: Measure, task_ids: Iterable[str]) -> Estimate:
        """Sum over all episodes of value times weight, over that of the weights."""
        parts, wholes = [], []
        for task_id in task_ids:
            pairs = [
                (value * sample.weights[measure.name], sample.weights[measure.name])
                for sample in self._in_order(task_id)
                if (value := sample.values.get(measure.name)) is not None
            ]
            if pairs:
                parts.append(math.fsum(part for part, _ in pairs))
                wholes.append(math.fsum(whole for _, whole in pairs))
        whole = math.fsum(wholes)
        if not whole:
            return Estimate(measure.empty, None, len(wholes))
        if all(one == 1 for one in wholes):
            return estimate(parts, measure.kind, single=len(self._order) == 1)
        return Estimate(math.fsum(parts) / whole, ratio_bootstrap(parts, wholes), len(wholes))

    def _passing(self, measure: Measure, estimator: Callable[[int, int, int], float], k: int) -> Estimate:
        results = []
        for task_id in self._tasks:
            values = self._values(measure, task_id)
            if len(values) >= k:
                results.append(estimator(len(values), round(math.fsum(values)), k))
        return estimate(results, measure.kind, single=len(self._order) == 1)

    def _majority(self, measure: Measure) -> Estimate:
        """Vote in each task; the winner's earliest sample is judged, and a task without a vote counts as wrong."""
        results = []
        for task_id in self._tasks:
            own = self._in_order(task_id)
            if own:
                winner = majority_vote([sample.answer for sample in own])
                results.append(0.0 if winner is None else own[winner].values.get(measure.name) or 0.0)
        return estimate(results, measure.kind, single=True)

    def _breakdown(self, by: str) -> list[Group]:
        members: dict[str, list[str]] = defaultdict(list)
        for task_id in self._tasks:
            own = self._in_order(task_id)
            if own:
                known = (sample.groups[by] for sample in own if by in sample.groups)
                members[next(known, UNKNOWN_GROUP)].append(task_id)
        shown = [measure for measure in self._found.values() if measure.kind == "success" or measure.name == "reward"]
        return [
            Group(
                by,
                name,
                len(task_ids),
                sum(len(self._samples[task_id]) for task_id in task_ids),
                {measure.name: self._average(measure, task_ids) for measure in shown},
            )
            for name, task_ids in members.items()
        ]

    def _values(self, measure: Measure, task_id: str) -> list[float]:
        values = [sample.values.get(measure.name) for sample in self._in_order(task_id)]
        if measure.of_unscored:
            values += [lost.get(measure.name) for lost in self._lost[task_id].values()]
        return [value for value in values if value is not None]

    def _in_order(self, task_id: str) -> list[_Sample]:
        own = self._samples[task_id]
        return [own[order] for order in sorted(own)]


def _discovered(name: str, yes_or_no: bool) -> Measure:
    label = name.replace("_", " ").capitalize()
    kind: Kind = "share" if yes_or_no else "number"
    return Measure(name, label, kind, lambda episode: _number(episode.metrics.get(name)), percent=yes_or_no)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (bool, int, float)) else None


def _sorted(counts: Counter[Any]) -> dict[Any, int]:
    """Most frequent first; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _total(usages: Sequence[Usage]) -> Usage:
    names = Usage.__dataclass_fields__
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in names})
