"""Demonstrations of TrustSQL-v0 for supervised warm starts: sloppy annotators who know the gold, and the filter.

The paper's annotators were chat models whose trajectories were kept if execution-correct and format-compliant
(TRUST-SQL, SFT warm-up). These are scripted: they explore honestly, propose too much about half the time, and
make mistakes at stated rates. What is kept is right and well formed, but its proposals are not the gold schema:
that is left for reinforcement learning to find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from gymnasium import spaces
from numpy.random import Generator

from fogline.agents.agent import SeatView
from fogline.agents.collector import collect_all
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.golds import Golds
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.envs.trust_sql.parser import ACTION_OF_PHASE, TOOL_NAME, Phase
from fogline.envs.trust_sql.scoring import EXECUTION_RIGHT, FORMAT
from fogline.simulators.databases.pocket.words import Part, Relettering
from fogline.simulators.databases.records import Catalogue, TextToSQLDataset
from fogline.simulators.databases.shelf import Shelf

LIST_TABLES = "SELECT name FROM sqlite_master"
LIST_COLUMNS = "SELECT name FROM pragma_table_info('{}')"
"""The two catalogue statements of SQLite whose answers are shortest: one name a line."""

Proposal = dict[str, list[str]]


class Annotator:
    """Explores, proposes, generates and confirms as a person in a hurry does who knows the answer.

    Turns are as short as the turn check allows. Without a Propose action the proposal is left out; with a prefilled
    schema the exploration is. Randomness comes from the seat's generator alone.

    Args:
        dataset: The data set that the environment plays; its databases are SQLite.
        exact: How often the proposal is the gold schema; otherwise it is too broad: half of the time all columns of
            the tables it needs, else one column more. It is never too narrow, for then nothing right could follow.
        wander: How often a table is looked at that the answer does not need.
        stumble: How often the first statement has a name wrong and is put right after the error.
        careless: How often that happens and the wrong statement is confirmed all the same; the filter drops it.
        thought: What stands in the reasoning block.

    Raises:
        ConfigurationError: A rate is outside [0, 1].
    """

    name = "annotator"
    batch_size: int | None = None

    def __init__(
        self,
        dataset: TextToSQLDataset,
        *,
        exact: float = 0.5,
        wander: float = 0.2,
        stumble: float = 0.05,
        careless: float = 0.05,
        thought: str = "",
    ) -> None:
        for option, rate in (("exact", exact), ("wander", wander), ("stumble", stumble), ("careless", careless)):
            if not 0.0 <= rate <= 1.0:
                raise ConfigurationError(f"{option}={rate} is not a rate: expected a number from 0 to 1.")
        self._golds = Golds(dataset, self.name)
        self._exact, self._wander, self._stumble, self._careless = exact, wander, stumble, careless
        self._thought = thought

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Write the next turn of each view's plan; the last one again where ``protocol="strict"`` refused it."""
        turns = []
        for view in views:
            plan = view.memory.get("plan")
            if plan is None:
                plan = view.memory["plan"] = self._plan(view)
            turns.append(plan[min(len(view.turns), len(plan) - 1)])
        return turns

    def _plan(self, view: SeatView) -> list[str]:
        first = str(view.observation)
        if "**Database engine:** SQLite" not in first or isinstance(view.action_space, spaces.Dict):
            raise ConfigurationError(
                f"annotators write text turns over SQLite, which {view.env_id} does not play here: "
                'pass actions="text" and a data set of SQLite databases.'
            )
        rng, task = view.rng, self._golds.task(view.task_id)
        catalogue = self._golds.catalogue(task.database)
        gold = _as_listed(self._golds.columns(view.task_id), catalogue)
        looked_at = self._tables_to_describe(rng, list(gold), catalogue)
        plan: list[str] = []
        if "**Schema:**" not in first:
            plan.append(self._call("explore", LIST_TABLES))
            plan += [self._call("explore", LIST_COLUMNS.format(table.replace("'", "''"))) for table in looked_at]
        if any(tool["function"]["name"] == "propose_schema" for tool in view.tools):
            broad = rng.random() >= self._exact
            proposal = _broadened(rng, gold, looked_at, catalogue) if broad else gold
            payload = {"tables": list(proposal), "columns": proposal}
            plan.append(self._turn("propose", f"<schema>{_json(payload)}</schema>"))
        return plan + self._answer(rng, task.gold_sql, gold)

    def _tables_to_describe(self, rng: Generator, needed: list[str], catalogue: Catalogue) -> list[str]:
        tables = [needed[i] for i in rng.permutation(len(needed))]
        others = [table for table in catalogue.tables if table not in needed]
        if others and rng.random() < self._wander:
            tables.insert(int(rng.integers(len(tables) + 1)), others[int(rng.integers(len(others)))])
        return tables

    def _answer(self, rng: Generator, sql: str, gold: Proposal) -> list[str]:
        mishap = rng.random()
        turns: list[str] = []
        if mishap < self._stumble + self._careless:
            wrong = _with_a_wrong_name(sql, gold)
            turns.append(self._call("generate", wrong))
            if mishap < self._careless:
                return [*turns, self._turn("confirm", f"<answer>{wrong}</answer>")]
        return [*turns, self._call("generate", sql), self._turn("confirm", f"<answer>{sql}</answer>")]

    def _call(self, phase: Phase, sql: str) -> str:
        call = {"name": TOOL_NAME, "arguments": {"sql": sql}}
        return self._turn(phase, f"<tool_call>{_json(call)}</tool_call>")

    def _turn(self, phase: Phase, payload: str) -> str:
        return f"<think>{self._thought}</think><action>{ACTION_OF_PHASE[phase]}</action>{payload}"


def is_demonstration(episode: Episode) -> bool:
    """Whether an episode may be learnt from: its answer is right and every turn as it should be (spec 12)."""
    return (
        episode.scored
        and episode.outcome.get("execution") == EXECUTION_RIGHT
        and episode.outcome.get("format") == FORMAT
    )


def demonstrate(
    dataset: TextToSQLDataset,
    tasks: Iterable[Assignment],
    annotator: Annotator | None = None,
    *,
    concurrency: int = 16,
    **env_options: Any,
) -> list[Episode]:
    """Have an annotator play tasks of TrustSQL-v0 and keep what passes the filter.

    Args:
        dataset: The data set.
        tasks: What to play; several seeds of one task give several demonstrations of it.
        annotator: Who plays; one with the default rates when left out.
        concurrency: Environments in flight.
        env_options: Further keywords of the environment, e.g. ``propose=False`` or ``schema="prefilled"``.

    Returns:
        The kept episodes in the order of ``tasks``.
    """
    from fogline.envs.trust_sql.env import TrustSQLEnv

    with closing(Shelf()) as shelf:
        make_env = partial(TrustSQLEnv, dataset, **{"shelf": shelf, **env_options})
        episodes = collect_all(make_env, annotator or Annotator(dataset), tasks, concurrency=concurrency)
    return [episode for episode in episodes if is_demonstration(episode)]


def relettered(episode: Episode, part: Part, rng: Generator) -> Episode:
    """The same demonstration in a pocket database of other names; see :class:`Relettering`."""
    rename = Relettering(part, rng)
    turns = tuple(
        turn._replace(observation=rename(turn.observation), action=rename(turn.action)) for turn in episode.turns
    )
    return replace(episode, turns=turns)


def _broadened(rng: Generator, gold: Proposal, looked_at: Sequence[str], catalogue: Catalogue) -> Proposal:
    """A proposal with more than the answer needs, of what was looked at; the gold one where there is no more."""
    spare = [
        (table, column.name)
        for table in dict.fromkeys([*gold, *looked_at])
        for column in catalogue.tables[table]
        if column.name not in gold.get(table, ())
    ]
    if rng.random() < 0.5:
        chosen = [pair for pair in spare if pair[0] in gold]
    else:
        chosen = [spare[int(rng.integers(len(spare)))]] if spare else []
    proposal = {table: list(columns) for table, columns in gold.items()}
    for table, column in chosen:
        proposal.setdefault(table, []).append(column)
    return _as_listed(proposal, catalogue)


def _as_listed(proposal: Proposal, catalogue: Catalogue) -> Proposal:
    """The proposal with tables and columns in the order in which the catalogue shows them, and as it spells them."""
    wanted = {table.lower(): {column.lower() for column in columns} for table, columns in proposal.items()}
    return {
        table: [column.name for column in columns if column.name.lower() in wanted[table.lower()]]
        for table, columns in catalogue.tables.items()
        if table.lower() in wanted
    }


def _with_a_wrong_name(sql: str, gold: Proposal) -> str:
    """The statement as written from memory: its last name without the ending that only the catalogue shows."""
    names = sorted({*gold, *(column for columns in gold.values() for column in columns)})
    found = max(
        (match for name in names for match in re.finditer(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE)),
        key=lambda match: (match.start(), match.end()),
        default=None,
    )
    if found is None:
        return sql
    name = found.group()
    short = name.rpartition("_")[0] or name[:-1]
    return f"{sql[: found.start()]}{short}{sql[found.end() :]}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
