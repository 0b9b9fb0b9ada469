"""Keeps count of a sweep: what is done, what it took, whether a limit is reached, and how the teams did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fogline.benchmarks.recording import Progress
from fogline.benchmarks.sweeps.cells import SweepCell, facts_of
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.rows import Row, row_of
from fogline.benchmarks.sweeps.tables import Table, by_protocol
from fogline.core.episode import Episode, Usage
from fogline.core.redaction import redact
from fogline.core.store import StoredEpisode

Work = TypeVar("Work")
_USED = ("model_calls", "prompt_tokens", "completion_tokens", "cost", "retries")


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What has become of a sweep.

    Attributes:
        config: What was asked for.
        run_id: The run in the store.
        cells: Cells planned.
        complete: Cells whose every episode is scored.
        episodes: Episodes planned.
        scored: Episodes with a score, those of earlier runs included.
        played: Episodes that this run played.
        reused: Episodes that earlier runs had finished.
        unscored: Episodes whose every attempt failed for reasons outside the agents; they enter no average.
        missing: Episodes not played, because a limit was reached.
        failures: Unscored episodes by kind of failure.
        stopped: Which limit was reached; empty for none.
        usage: What all stored episodes of the sweep took, failed attempts of earlier runs included.
        wall_s: Seconds that playing took.
        table: Success rate and the like by team and protocol.
    """

    config: SweepConfig
    run_id: str
    cells: int
    complete: int
    episodes: int
    scored: int
    played: int
    reused: int
    unscored: int
    missing: int
    failures: Mapping[str, int]
    stopped: str
    usage: Mapping[str, float]
    wall_s: float
    table: Table

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary without secrets."""
        row = {name: getattr(self, name) for name in self.__slots__}
        config = redact(self.config.model_dump(mode="json"))
        return {**row, "config": config, "failures": dict(self.failures), "table": self.table.to_json()}


class Ledger:
    """Counts episodes as they end.

    Args:
        config: What is played; it names the limits.
        run_id: The run.
        cells: All cells of the sweep.
        tell: Called at the start and after each episode.
    """

    def __init__(
        self, config: SweepConfig, run_id: str, cells: Sequence[SweepCell], tell: Callable[[Progress], None] | None
    ) -> None:
        self._config = config
        self._run_id = run_id
        self._cells = {cell.key: cell for cell in cells}
        self._planned = {(cell.key, *item) for cell in cells for item in cell.assignments}
        self._tell = tell
        self._rows: dict[tuple[str, str, int], Row] = {}
        self._used: Counter[str] = Counter()
        self._failures: dict[tuple[str, str, int], str] = {}
        self._played = self._reused = 0
        self._stopped = ""

    def reuse(self, stored: Iterable[StoredEpisode]) -> None:
        """Take in what earlier runs stored of these cells, every attempt, and tell where the sweep begins."""
        for item in stored:
            if (item.cell_key, item.episode.task_id, item.episode.seed) in self._planned:
                self._use(item.episode.usage)
                self._reused += self._note(item.cell_key, item.episode)
        self._report()

    def add(self, key: str, episode: Episode) -> None:
        """Take in an episode that has ended and is on its way to the store."""
        self._played += 1
        self._use(episode.usage)
        if not self._note(key, episode):
            failure = episode.failure
            self._failures[key, episode.task_id, episode.seed] = "unknown" if failure is None else failure.kind
        self._report()

    def admitted(self, work: Iterable[Work]) -> Iterator[Work]:
        """Work that may still be begun: none after a limit is reached."""
        for item in work:
            self._stopped = self._stopped or self._limit()
            if self._stopped:
                return
            yield item

    def report(self, wall_s: float) -> SweepReport:
        """Sum up."""
        scored = len(self._rows)
        done = Counter(key for key, _, _ in self._rows)
        return SweepReport(
            self._config,
            self._run_id,
            cells=len(self._cells),
            complete=sum(done[key] == len(cell.assignments) for key, cell in self._cells.items()),
            episodes=len(self._planned),
            scored=scored,
            played=self._played,
            reused=self._reused,
            unscored=len(self._failures),
            missing=len(self._planned) - scored - len(self._failures),
            failures=dict(sorted(Counter(self._failures.values()).items())),
            stopped=self._stopped,
            usage={name: self._used[name] for name in _USED},
            wall_s=wall_s,
            table=by_protocol(list(self._rows.values())),
        )

    def _note(self, key: str, episode: Episode) -> bool:
        if episode.scored:
            facts = facts_of(self._cells[key].config)
            self._rows[key, episode.task_id, episode.seed] = row_of(facts, episode)
        return episode.scored

    def _use(self, usage: Usage) -> None:
        for name in _USED:
            self._used[name] += getattr(usage, name)

    def _limit(self) -> str:
        most_tokens, most_cost = self._config.max_tokens, self._config.max_cost
        tokens = self._used["prompt_tokens"] + self._used["completion_tokens"]
        if most_tokens is not None and tokens >= most_tokens:
            return f"max_tokens={most_tokens:,} is reached: {tokens:,} tokens are used"
        if most_cost is not None and self._used["cost"] >= most_cost:
            return f"max_cost={most_cost:g} is reached: {self._used['cost']:.4f} is spent"
        return ""

    def _report(self) -> None:
        if self._tell is not None:
            done = len(self._rows) + len(self._failures)
            self._tell(Progress(done, len(self._planned), len(self._failures)))
