"""How TrustSQL-v0 is reported: execution accuracy, answers, names, schema linking, the protocol.

Source: TRUST-SQL specification, sections 15 (protocol), 17 (error taxonomy) and 20 (metrics).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from fogline.agents.registry import load_dataset
from fogline.benchmarks.measures import MALFORMED, REWARD, TURNS, Measure, Suite
from fogline.benchmarks.rescoring import Judgement, RescoreConfig
from fogline.core.episode import Episode
from fogline.core.store import Score, StoredEpisode
from fogline.envs.trust_sql.metrics import measure_time_ratio, r_ves, soft_f1_of, ves
from fogline.envs.trust_sql.scoring import EXECUTION_RIGHT, Answer, Scorer, reward_limits
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import QueryLimits, QueryResult, TextToSQLTask

JUDGE_VERSION = "1"
"""Raise it when :func:`judge` would judge the same episode differently."""

CONTEXT_EXHAUSTED = "ContextLengthExceeded"

ENV_ID = "TrustSQL-v0"


def suite(env_kwargs: Mapping[str, Any]) -> Suite:
    """The measures of a TrustSQL-v0 with these keywords: schema linking only where the Propose action exists."""
    proposing = _SCHEMA if env_kwargs.get("propose", True) else ()
    return Suite(
        (*_ANSWER, REWARD, *_CONDUCT, *proposing),
        groups=("difficulty", "database"),
        outcome_class=outcome_class,
        incidents=_violations,
    )


def outcome_class(episode: Episode) -> str:
    """Class of the error taxonomy; an agent that failed by itself is ``agent_error``, a full context ``no_answer``."""
    if episode.failure is not None:
        return "no_answer" if episode.failure.kind == CONTEXT_EXHAUSTED else "agent_error"
    return str(episode.metrics["error_class"])


def fingerprint(env_kwargs: Mapping[str, Any]) -> str:
    """Content hash of the questions and their golds: results over changed data are other results.

    Locations do not enter it, so a data set may move.
    """
    digest = hashlib.sha256()
    for task in load_dataset(ENV_ID, env_kwargs):
        digest.update(repr((task.task_id, task.database, task.question, task.gold_sql, task.evidence)).encode())
        digest.update(repr(task.paraphrases).encode())
    return digest.hexdigest()[:16]


def confirmed(episode: Episode) -> bool:
    """Whether the episode ended with an answer."""
    return episode.metrics.get("final_sql") is not None


def judge(
    stored: Sequence[StoredEpisode],
    env_kwargs: Mapping[str, Any],
    config: RescoreConfig,
    rescoring: str,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Judgement]:
    """Judge stored answers under another comparator: their statements and the golds are run again.

    Args:
        stored: Scored episodes.
        env_kwargs: Keywords of the environment that they were played in.
        config: Comparator, timing and how many tasks at once.
        rescoring: Id of the run that rescores; it tells apart measurements, which differ each time.
        progress: Called with the numbers of judged and of all episodes.

    Yields:
        One judgement per episode, task by task.

    Raises:
        GoldFailed: If a gold statement no longer runs.
        DatabaseUnavailable: If a database does not open.
    """
    dataset = load_dataset(ENV_ID, env_kwargs)
    by_task: dict[str, list[StoredEpisode]] = defaultdict(list)
    for item in stored:
        by_task[item.episode.task_id].append(item)
    limits = reward_limits(env_kwargs.get("seconds_per_query", 10.0))
    done = 0
    with ExitStack() as stack:
        databases = {
            name: stack.enter_context(Database(reference, limits)) for name, reference in dataset.databases.items()
        }
        # Statements that are timed must not compete for the processors.
        threads = stack.enter_context(ThreadPoolExecutor(1 if config.timed else config.workers))

        def work(task_id: str) -> list[Judgement]:
            task = dataset.tasks[task_id]
            bench = _Bench(task, databases[task.database], config, limits, rescoring)
            try:
                return [bench.judge(item) for item in by_task[task_id]]
            finally:
                bench.scorer.close()

        for judgements in threads.map(work, by_task):
            done += len(judgements)
            if progress is not None:
                progress(done, len(stored))
            yield from judgements


@dataclass(slots=True)
class _Bench:
    """Judges the answers to one task."""

    task: TextToSQLTask
    database: Database
    config: RescoreConfig
    limits: QueryLimits
    rescoring: str
    scorer: Scorer = field(init=False)

    def __post_init__(self) -> None:
        self.scorer = Scorer(self.config.comparator, "truematch", self.limits)

    def judge(self, stored: StoredEpisode) -> Judgement:
        """Run the stored statement and compare; an episode without an answer is wrong."""
        episode = stored.episode
        sql = episode.metrics.get("final_sql")
        answer = Answer() if sql is None else Answer(sql, result=self.database.execute(sql, self.limits))
        execution = self.scorer.execution(self.task, self.database, answer)
        values: dict[str, float | None] = {
            "ex": float(execution == EXECUTION_RIGHT),
            "soft_f1": 0.0 if answer.result is None else soft_f1_of(answer.result, self._gold()),
            "reward": execution + float(episode.outcome.get("format", 0.0)),
        }
        scores = [self._score(stored, f"trust_sql.{self.config.comparator}", JUDGE_VERSION, values)]
        if self.config.timed:
            timed = self._timed(sql)
            scores.append(self._score(stored, "trust_sql.timed", f"{JUDGE_VERSION}@{self.rescoring}", timed))
            values.update(timed)
        before = float(episode.metrics.get("ex", 0.0))
        return Judgement(stored.id, episode.task_id, before, values, scores)

    def _gold(self) -> QueryResult:
        return self.scorer.gold(self.task, self.database)[0]

    def _timed(self, sql: str | None) -> dict[str, float | None]:
        """VES and R-VES of one answer as shares; right means set-equal, whatever the comparator."""
        ratio = None
        if sql is not None:
            ratio = measure_time_ratio(self.database, sql, self.task.gold_sql, self.config.repeats, self.limits)
        right = ratio is not None
        return {"ves": ves([right], [ratio]) / 100.0, "r_ves": r_ves([right], [ratio]) / 100.0, "time_ratio": ratio}

    @staticmethod
    def _score(stored: StoredEpisode, scorer: str, version: str, values: Mapping[str, float | None]) -> Score:
        return Score(stored.id, scorer, version, dict(values), values.get("reward"))


def _metric(name: str) -> Callable[[Episode], float | None]:
    """A metric of the environment; 0 where the agent's own failure left none."""
    return lambda episode: float(episode.metrics.get(name, 0.0))


def _of_answers(name: str) -> Callable[[Episode], float | None]:
    return lambda episode: float(episode.metrics[name]) if confirmed(episode) else None


def _violations(episode: Episode) -> tuple[str, ...]:
    return tuple(str(name) for _, name in episode.metrics.get("violations", ()))


_ANSWER = (
    Measure("ex", "Execution accuracy", "success", _metric("ex"), percent=True),
    Measure("soft_f1", "Soft F1", "number", _metric("soft_f1"), percent=True),
)
_CONDUCT = (
    Measure("unconfirmed", "Never confirmed", "share", lambda episode: float(not confirmed(episode)), percent=True),
    Measure("hallucinated", "Hallucinated names", "share", _of_answers("hallucinated"), percent=True),
    Measure("ungrounded", "Names never shown", "share", _of_answers("ungrounded"), percent=True),
    TURNS,
    MALFORMED,
    Measure(
        "violating",
        "Any violation",
        "share",
        lambda episode: float(bool(_violations(episode))),
        percent=True,
    ),
)
_SCHEMA = (
    Measure("schema_exact", "Schema exact", "share", _metric("schema_exact"), percent=True),
    Measure("schema_table_precision", "Table precision", "number", _metric("schema_table_precision"), percent=True),
    Measure("schema_table_recall", "Table recall", "number", _metric("schema_table_recall"), percent=True),
    Measure("schema_column_precision", "Column precision", "number", _metric("schema_column_precision"), percent=True),
    Measure("schema_column_recall", "Column recall", "number", _metric("schema_column_recall"), percent=True),
)
