"""Scripted players of TrustSQL-v0: an oracle that explores honestly, and a heuristic without the gold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fogline.agents.agent import SeatView
from fogline.agents.scripted.golds import Golds
from fogline.core.errors import AgentError, ConfigurationError
from fogline.simulators.databases.records import TextToSQLDataset

_ENGINE = re.compile(r"\*\*Database engine:\*\* (\w+)")
_QUESTION = re.compile(r"\*\*Question:\*\* (.*)")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_COUNT = re.compile(r"\b(how many|number of|count)\b", re.IGNORECASE)
_DISTINCT = re.compile(r"\b(different|distinct|unique)\b", re.IGNORECASE)
_AGGREGATES = (
    ("avg", ("average", "mean")),
    ("sum", ("total", "sum")),
    ("max", ("highest", "maximum", "latest")),
    ("min", ("lowest", "minimum", "earliest")),
)
_SHOWN_ROWS = 30


class OracleAgent:
    """Lists tables, looks up exactly the gold columns, proposes the gold schema, runs and confirms the gold SQL.

    What it proposes is what it was shown: it breaks no rule in ``protocol="strict"``. The gold comes from the data
    set that is handed to it, never from the environment.

    Args:
        dataset: The data set that the environment plays.
    """

    name = "oracle"
    batch_size: int | None = None

    def __init__(self, dataset: TextToSQLDataset) -> None:
        self._golds = Golds(dataset, self.name)

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Play the next move of each view's plan."""
        actions = []
        for view in views:
            plan = view.memory.get("plan")
            if plan is None:
                plan = view.memory["plan"] = self._plan(view)
            if len(view.turns) >= len(plan):
                raise AgentError(f"the oracle's plan for {view.task_id!r} is over, but the episode is not.")
            name, arguments = plan[len(view.turns)]
            actions.append(_call(view, name, arguments))
        return actions

    def _plan(self, view: SeatView) -> list[tuple[str, dict[str, Any]]]:
        gold_sql = self._golds.task(view.task_id).gold_sql
        columns = self._golds.columns(view.task_id)
        tables = list(columns)
        catalogue = CatalogueQueries(_engine(view))
        plan: list[tuple[str, dict[str, Any]]] = [("explore_schema", {"sql": catalogue.tables(tables)})]
        plan += [("explore_schema", {"sql": sql}) for sql in catalogue.columns(columns)]
        if any(tool["function"]["name"] == "propose_schema" for tool in view.tools):
            plan.append(("propose_schema", {"tables": tables, "columns": columns}))
        plan.append(("generate_sql", {"sql": gold_sql}))
        plan.append(("confirm_answer", {"sql": gold_sql}))
        return plan


class CatalogueQueries:
    """Metadata statements of one engine.

    Args:
        engine: ``SQLite``, ``DuckDB`` or ``PostgreSQL``, as the task block names it.
    """

    def __init__(self, engine: str) -> None:
        self._sqlite = engine.lower() == "sqlite"

    def tables(self, wanted: Sequence[str] = ()) -> str:
        """List tables and views, all or those ``wanted`` (lower case)."""
        if self._sqlite:
            where = f"lower(name) IN ({_quoted(wanted)})" if wanted else "name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            return f"SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND {where} ORDER BY name"
        where = f"lower(table_name) IN ({_quoted(wanted)})" if wanted else _OWN
        return f"SELECT table_name FROM information_schema.tables WHERE {where} ORDER BY table_name"

    def columns(self, wanted: Mapping[str, Sequence[str]]) -> list[str]:
        """Look up these columns (all of a table where the list is empty), as many statements as the rows need."""
        statements = []
        for chunk in _chunks(wanted, _SHOWN_ROWS):
            if self._sqlite:
                pairs = " OR ".join(_pair("lower(m.name)", "lower(p.name)", table, names) for table, names in chunk)
                source = "sqlite_master AS m JOIN pragma_table_info(m.name) AS p"
                statements.append(f"SELECT m.name, p.name, p.type FROM {source} WHERE {pairs} ORDER BY m.name, p.cid")
            else:
                pairs = " OR ".join(
                    _pair("lower(table_name)", "lower(column_name)", table, names) for table, names in chunk
                )
                shown = "table_name, column_name, data_type"
                order = "table_name, ordinal_position"
                statements.append(f"SELECT {shown} FROM information_schema.columns WHERE {pairs} ORDER BY {order}")
        return statements

    def describe(self, table: str) -> str:
        """All columns of one table: table, column, type."""
        return self.columns({table.lower(): []})[0]


class SchemaExplorer:
    """The skills of a player without the gold; each turns what was shown so far into one tool call.

    The heuristic agent uses them in a fixed order; a learner may choose among them.
    """

    skills: tuple[str, ...] = ("list_tables", "describe_next", "propose", "generate", "confirm")

    def call(self, skill: str, view: SeatView) -> Any:
        """The action that ``skill`` makes of ``view``."""
        move: Callable[[SeatView], tuple[str, dict[str, Any]]] = getattr(self, f"_{skill}")
        name, arguments = move(view)
        return _call(view, name, arguments)

    def _list_tables(self, view: SeatView) -> tuple[str, dict[str, Any]]:
        return "explore_schema", {"sql": CatalogueQueries(_engine(view)).tables()}

    def _describe_next(self, view: SeatView) -> tuple[str, dict[str, Any]]:
        tables, columns = known_schema(view)
        unknown = [table for table in tables if table not in columns]
        question = _words(_question(view))
        best = max(unknown, key=lambda table: _overlap(question, table), default="")
        return "explore_schema", {"sql": CatalogueQueries(_engine(view)).describe(best)}

    def _propose(self, view: SeatView) -> tuple[str, dict[str, Any]]:
        table, columns = self._choice(view)
        return "propose_schema", {"tables": [table], "columns": {table: columns}}

    def _generate(self, view: SeatView) -> tuple[str, dict[str, Any]]:
        return "generate_sql", {"sql": self._sql(view)}

    def _confirm(self, view: SeatView) -> tuple[str, dict[str, Any]]:
        return "confirm_answer", {"sql": self._sql(view)}

    def _choice(self, view: SeatView) -> tuple[str, list[str]]:
        _, described = known_schema(view)
        question = _words(_question(view))

        def score(table: str) -> float:
            return 2 * _overlap(question, table) + sum(_overlap(question, column) for column, _ in described[table])

        table = max(described, key=score, default="")
        columns = [column for column, _ in described.get(table, [])]
        text = _question(view).lower()
        mentioned = [column for column in columns if _overlap(question, column) >= 0.5]
        mentioned.sort(key=lambda column: min(text.find(word) % (len(text) + 1) for word in _words(column)))
        return table, mentioned or columns[:1]

    def _sql(self, view: SeatView) -> str:
        table, columns = self._choice(view)
        if not table:
            return "SELECT 1"
        question = _question(view).lower()
        distinct = "DISTINCT " if _DISTINCT.search(question) else ""
        if _COUNT.search(question):
            counted = f"{distinct}{_identifier(columns[0])}" if distinct and columns else "*"
            return f"SELECT COUNT({counted}) FROM {_identifier(table)}"
        _, described = known_schema(view)
        numeric = [name for name, kind in described[table] if _is_numeric(kind) and name in columns]
        for function, cues in _AGGREGATES:
            if numeric and any(cue in question for cue in cues):
                return f"SELECT {function}({_identifier(numeric[0])}) FROM {_identifier(table)}"
        return f"SELECT {distinct}{', '.join(map(_identifier, columns))} FROM {_identifier(table)}"


class HeuristicAgent:
    """Lists tables, describes the three that share most words with the question, answers over the best one."""

    name = "heuristic"
    batch_size: int | None = None
    order = ("list_tables", "describe_next", "describe_next", "describe_next", "propose", "generate", "confirm")

    def __init__(self) -> None:
        self._explorer = SchemaExplorer()

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Play the next skill of each view."""
        actions = []
        for view in views:
            names = {tool["function"]["name"] for tool in view.tools}
            order = [skill for skill in self.order if skill != "propose" or "propose_schema" in names]
            actions.append(self._explorer.call(order[min(len(view.turns), len(order) - 1)], view))
        return actions


def known_schema(view: SeatView) -> tuple[list[str], dict[str, list[tuple[str, str]]]]:
    """What the explorations showed: tables in order, and columns with types of those described.

    Reads the tab-separated answers of :class:`CatalogueQueries`: one column lists tables, three list columns.
    """
    tables: list[str] = []
    columns: dict[str, list[tuple[str, str]]] = {}
    answers = [*(turn.observation for turn in view.turns[1:]), view.observation]
    for turn, answer in zip(view.turns, answers, strict=False):
        if turn.phase != "explore":
            continue
        for line in str(answer).splitlines()[1:]:
            cells = line.split("\t")
            if len(cells) == 3:
                columns.setdefault(cells[0], []).append((cells[1], cells[2]))
            elif len(cells) == 1 and not line.startswith("["):
                tables.append(line)
    tables.extend(table for table in columns if table not in tables)
    return tables, columns


def _call(view: SeatView, name: str, arguments: Mapping[str, Any]) -> Any:
    if view.tool_action is None:
        raise ConfigurationError(f"{view.env_id} has no tools: this agent plays TrustSQL-v0.")
    return view.tool_action(name, arguments)


def _first(view: SeatView) -> str:
    return str(view.turns[0].observation if view.turns else view.observation)


def _engine(view: SeatView) -> str:
    found = _ENGINE.search(_first(view))
    if found is None:
        raise ConfigurationError(f"{view.env_id} showed no task block of TrustSQL-v0: this agent plays only that.")
    return found.group(1)


def _question(view: SeatView) -> str:
    found = _QUESTION.search(_first(view))
    return found.group(1) if found else ""


def _words(text: str) -> frozenset[str]:
    return frozenset(_singular(word.lower()) for word in _WORD.findall(text))


def _singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else word.rstrip("s")


def _overlap(question: frozenset[str], name: str) -> float:
    """Share of the words of ``name`` that the question has."""
    own = _words(name)
    return len(own & question) / len(own) if own else 0.0


def _is_numeric(kind: str) -> bool:
    return any(mark in kind.upper() for mark in ("INT", "NUM", "DEC", "REAL", "DOUB", "FLOA"))


def _quoted(names: Sequence[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)


def _identifier(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else '"' + name.replace('"', '""') + '"'


def _pair(table_expression: str, column_expression: str, table: str, columns: Sequence[str]) -> str:
    clause = f"{table_expression} = {_quoted([table])}"
    return f"({clause} AND {column_expression} IN ({_quoted(columns)}))" if columns else f"({clause})"


def _chunks(wanted: Mapping[str, Sequence[str]], size: int) -> list[list[tuple[str, list[str]]]]:
    chunks: list[list[tuple[str, list[str]]]] = [[]]
    room = size
    for table, names in wanted.items():
        rest = list(names)
        while True:
            if room == 0:
                chunks.append([])
                room = size
            taken, rest = rest[:room], rest[room:]
            chunks[-1].append((table, taken))
            room -= max(len(taken), 1)
            if not rest:
                break
    return chunks


_OWN = "table_schema NOT IN ('information_schema', 'pg_catalog')"
