"""TrustSQL-v0: explore an unknown schema, commit to a part of it, write SQL, confirm."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.text import Response, TurnEnv
from fogline.envs.trust_sql import prompts
from fogline.envs.trust_sql.observation import Display
from fogline.envs.trust_sql.parser import ACTION_NAMES, PHASES, ParsedTurn, parse_structured, parse_turn, render_turn
from fogline.envs.trust_sql.protocol import Evidence, Protocol
from fogline.envs.trust_sql.scoring import Answer, Scorer, reward_limits
from fogline.envs.trust_sql.sources import engine_of, load_tasks
from fogline.simulators.databases.executor import Database
from fogline.simulators.databases.records import QueryLimits, QueryResult, TextToSQLDataset, TextToSQLTask
from fogline.simulators.databases.shelf import Shelf

PROTOCOLS = ("off", "soft", "strict")
_MAX_TEXT = 200_000


@dataclass(slots=True)
class _Session:
    """One episode's hidden side."""

    task: TextToSQLTask
    database: Database
    protocol: Protocol
    turn: int = 0


class TrustSQLEnv(TurnEnv[str, Any]):
    """Text-to-SQL over a database whose schema nobody shows (TRUST-SQL, arXiv 2603.16448).

    Each turn is one of four actions: explore the catalogue, propose a schema, generate (run) SQL, confirm an
    answer. The reward is paid at the end: ``1.0·execution + 1.0·format``, with execution in {0, 0.2, 1} and
    format in {0, 0.1}; the schema reward in {0, 1} is reported in ``outcome`` with weight 0, for the
    second track of Dual-Track GRPO.

    Args:
        dataset: ``"bundled"`` (Chinook and Northwind), ``"enterprise"`` or ``"pocket"`` (generated, large or small
            enough for a tiny language model), the path of a BIRD or Spider folder or of a JSONL file, or a loaded
            :class:`TextToSQLDataset`.
        databases: Keep only tasks of these databases.
        engine: Where bundled data are loaded: ``sqlite``, ``duckdb``, or ``postgresql`` with ``engine_url``.
        engine_url: SQLAlchemy URL of the PostgreSQL server.
        schema: ``"hidden"``, or ``"prefilled"`` to show the whole schema with the question.
        propose: Whether the Propose action exists.
        protocol: ``"off"`` (as released), ``"soft"`` (note violations, withhold the format reward) or ``"strict"``
            (refuse, explain, spend the turn).
        comparator: ``"bird"``, ``"spider"`` or ``"strict"``.
        schema_mode: ``"truematch"`` (the paper's), ``"totalmatch"`` or ``"recall_then_precision_strict"``.
        boundary: Which proposal is the checkpoint, ``"last"`` or ``"first"``.
        actions: ``"text"``, or ``"structured"`` for ``{"phase", "sql", "schema"}``.
        max_turns: Budget of turns; reaching it truncates.
        max_rows_shown: Rows of a result that are shown (30 in the paper, 100 in the release).
        max_observation_tokens: Longest tool output, in tokens of four characters.
        seconds_per_query: Limit of one statement.
        show_turns_left: Whether observations say how much of the budget is left.
        paraphrase: Ask each question in another wording where the data set has one.
        shelf: Opens databases once and remembers answers for all environments that are given it (training on files).
        render_mode: ``"ansi"`` or None.

    Raises:
        ConfigurationError: For an unknown choice, an empty data set, or options that do not fit together.
    """

    metadata: dict[str, Any] = {**TurnEnv.metadata, "name": "TrustSQL-v0"}  # noqa: RUF012
    reward_scheme: RewardScheme = RewardScheme(session={"execution": 1.0, "format": 1.0, "schema": 0.0})
    simulator_version: ClassVar[str] = "trust-sql-1"
    blocking: bool = True

    def __init__(
        self,
        dataset: str | Path | TextToSQLDataset = "bundled",
        *,
        databases: Sequence[str] | None = None,
        engine: Literal["sqlite", "duckdb", "postgresql"] = "sqlite",
        engine_url: str | None = None,
        schema: Literal["hidden", "prefilled"] = "hidden",
        propose: bool = True,
        protocol: Literal["off", "soft", "strict"] = "soft",
        comparator: Literal["bird", "spider", "strict"] = "bird",
        schema_mode: Literal["truematch", "totalmatch", "recall_then_precision_strict"] = "truematch",
        boundary: Literal["last", "first"] = "last",
        actions: Literal["text", "structured"] = "text",
        max_turns: int = 10,
        max_rows_shown: int = 30,
        max_observation_tokens: int = 1024,
        seconds_per_query: float = 10.0,
        show_turns_left: bool = False,
        paraphrase: bool = False,
        shelf: Shelf | None = None,
        render_mode: str | None = None,
    ) -> None:
        _check_options(schema, protocol, comparator, schema_mode, boundary, actions)
        for name, value in (
            ("max_turns", max_turns),
            ("max_rows_shown", max_rows_shown),
            ("max_observation_tokens", max_observation_tokens),
        ):
            if value < 1:
                raise ConfigurationError(f"{name}={value} is too small: expected at least 1.")
        if not seconds_per_query > 0:
            raise ConfigurationError(f"seconds_per_query={seconds_per_query} is too short: expected more than 0.")
        self._dataset = load_tasks(dataset, databases=databases, engine=engine, engine_url=engine_url)
        super().__init__(tuple(self._dataset.tasks), render_mode)
        self._prefilled = schema == "prefilled"
        self._propose = propose
        self._protocol_mode = protocol
        self._boundary = boundary
        self._structured = actions == "structured"
        self._max_turns = max_turns
        self._show_turns_left = show_turns_left
        self._paraphrase = paraphrase
        self._display = Display(max_rows_shown, max_observation_tokens)
        self._limits = QueryLimits(seconds=seconds_per_query, keep_rows=max_rows_shown)
        self._scorer = Scorer(comparator, schema_mode, reward_limits(seconds_per_query))
        self._shelf = shelf
        # Off a shelf a database is opened once in a run: no reset is worth a thread.
        self.blocking = shelf is None
        self._databases: dict[str, Database] = {}
        self._spec: EnvSpec | None = None
        self._session: _Session | None = None
        self._engine = engine_of(self._dataset)
        self.system_prompt = prompts.system_prompt(
            engine=self._engine,
            prefilled=self._prefilled,
            propose=propose,
            max_turns=max_turns,
            rows=max_rows_shown,
            seconds=seconds_per_query,
        )
        self.tools = prompts.tools(propose, max_rows_shown)
        self.observation_space = UnicodeText(_MAX_TEXT)
        self.action_space = _structured_space() if self._structured else UnicodeText(_MAX_TEXT)

    # Gymnasium

    @property
    def spec(self) -> EnvSpec | None:
        """How the environment was made; a loaded data set is named only, since it holds the golds."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        if value is not None and isinstance(value.kwargs.get("dataset"), TextToSQLDataset):
            value = replace(value, kwargs={**value.kwargs, "dataset": value.kwargs["dataset"].name})
        if value is not None and "shelf" in value.kwargs:
            value = replace(value, kwargs={key: kept for key, kept in value.kwargs.items() if key != "shelf"})
        self._spec = value

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        """Open the task's database and show the question."""
        task = self._dataset.tasks[task_id]
        database = self._database(task.database)
        catalogue = database.catalogue()
        protocol = Protocol(
            self._protocol_mode,
            self._propose,
            self._prefilled,
            explored=Evidence(catalogue),
            observed=Evidence(catalogue),
        )
        schema = ""
        if self._prefilled:
            protocol.show_everything()
            schema = prompts.schema_text(catalogue)
        self._session = _Session(task, database, protocol)
        block = prompts.task_block(
            engine=self._engine,
            database=task.database,
            question=self._wording(task),
            evidence=task.evidence,
            schema=schema,
        )
        return self._with_notice(block, 0), {"database": task.database}

    def respond(self, action: Any) -> Response:
        """Answer one turn, waiting for the database."""
        session = self._playing()
        parsed = self._parse(action)
        statement, response = self._read(session, parsed)
        if statement is not None:
            limits = self._scorer.limits if parsed.phase == "confirm" else self._limits
            response = self._take_in(session, parsed, session.database.execute(statement, limits))
        return self._noticed(session, response)

    async def step_async(self, action: Any) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """As :meth:`step`, without blocking the event loop while a statement runs."""
        session = self._session
        if self._over or session is None:
            return self.step(action)
        parsed = self._parse(action)
        if parsed.phase == "confirm" and self._scorer.at_hand(session.task, session.database, parsed.sql):
            return self.step(action)
        if parsed.phase == "confirm" or session.turn + 1 >= self._max_turns:
            # The end may run gold statements over several databases: one thread waits for all of them.
            return await asyncio.to_thread(self.step, action)
        statement, response = self._read(session, parsed)
        if statement is not None:
            response = self._take_in(session, parsed, await session.database.execute_async(statement, self._limits))
        return self.settle(action, self._noticed(session, response))

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Turn a call of one of :attr:`tools` into an action; a wrong call becomes a malformed turn."""
        phase = ACTION_NAMES.get(name)
        if self._structured:
            return {"phase": phase, "sql": arguments.get("sql", ""), "schema": dict(arguments)}
        if phase is None:
            return super().tool_action(name, arguments)
        return render_turn(
            phase,
            f"call of {name}",
            sql=str(arguments.get("sql", "")),
            database=self._session.task.database if self._session else "",
            schema=arguments,
        )

    def close(self) -> None:
        """Let go of the databases that are this environment's own."""
        for database in self._databases.values():
            if self._shelf is None:
                database.close()
        self._databases.clear()
        self._scorer.close()

    # One turn

    def _parse(self, action: Any) -> ParsedTurn:
        return (parse_structured if self._structured else parse_turn)(action, self._propose)

    def _read(self, session: _Session, parsed: ParsedTurn) -> tuple[str | None, Response]:
        """Judge a turn: a statement to run first, or the response that needs none."""
        protocol = session.protocol
        found = protocol.check(parsed)
        wrong = parsed.database is not None and parsed.database.lower() != session.task.database.lower()
        if wrong and self._protocol_mode != "off":
            found.append("wrong_database")
        protocol.note_turn(parsed, session.turn, found)
        session.turn += 1
        nothing = Response("", parsed.phase)
        if parsed.phase == "malformed":
            text = prompts.complaint(self._display.truncate(parsed.problem), self._propose)
            return None, self._answered(session, parsed, text, found, malformed=True)
        if wrong:
            text = f"Error: this task is about the database {session.task.database!r}; no other can be queried."
            return None, self._answered(session, parsed, text, found)
        if found and self._protocol_mode == "strict":
            return None, self._answered(session, parsed, prompts.refusal(found), found)
        if parsed.phase == "propose":
            return None, self._proposed(session, parsed, found)
        if self._protocol_mode == "strict" and parsed.phase == "generate" and self._propose:
            outside = self._scorer.outside(parsed.sql, protocol.proposals[-1].schema, session.database)
            if outside:
                found.append("generate_outside_proposal")
                protocol.violations.append((session.turn - 1, found[-1]))
                text = self._display.truncate(prompts.refusal(found, outside))
                return None, self._answered(session, parsed, text, found)
        return parsed.sql, nothing

    def _take_in(self, session: _Session, parsed: ParsedTurn, result: QueryResult) -> Response:
        """Respond to what a statement gave."""
        protocol = session.protocol
        found = [name for turn, name in protocol.violations if turn == session.turn - 1]
        if parsed.phase == "confirm":
            protocol.note_answer(parsed)
            return self._end(session, parsed.phase, Answer(parsed.sql, result=result), found)
        if parsed.phase == "explore" and result.ran and not result.metadata_only and self._protocol_mode != "off":
            protocol.violations.append((session.turn - 1, "explore_not_metadata"))
            found.append("explore_not_metadata")
            if self._protocol_mode == "strict":
                return self._answered(session, parsed, prompts.refusal(found), found)
        text = self._display.render(result)
        protocol.note_result(parsed, session.turn - 1, result, text)
        return self._answered(session, parsed, text, found, status=result.status)

    def _proposed(self, session: _Session, parsed: ParsedTurn, found: list[str]) -> Response:
        proposal = session.protocol.note_proposal(parsed, session.turn - 1)
        text = prompts.acknowledgement(len(proposal.schema.tables), len(proposal.schema.columns))
        return self._answered(session, parsed, text, found)

    def _answered(
        self,
        session: _Session,
        parsed: ParsedTurn,
        text: str,
        found: list[str],
        *,
        malformed: bool = False,
        status: str = "",
    ) -> Response:
        """Go on with ``text``, or end where the budget is spent."""
        if session.turn >= self._max_turns:
            return self._end(session, parsed.phase, Answer(malformed=malformed), found, text)
        extra = {"turn": session.turn, "violations": found, "status": status}
        return Response(text, parsed.phase, malformed=malformed, extra=extra)

    def _end(self, session: _Session, phase: str, answer: Answer, found: list[str], text: str = "") -> Response:
        if self._propose and self._protocol_mode == "soft":
            self._scorer.note_outside_proposals(session.protocol, session.database)
        outcome, metrics = self._scorer.score(session.task, session.database, session.protocol, answer, self._boundary)
        extra = {"turn": session.turn, "violations": found, "status": answer.result.status if answer.result else ""}
        cut = answer.sql is None
        return Response(
            text, phase, malformed=answer.malformed, outcome=outcome, metrics=metrics, truncated=cut, extra=extra
        )

    # Small helpers

    def _playing(self) -> _Session:
        if self._session is None:
            raise ConfigurationError("no episode is running: call reset() first.")
        return self._session

    def _database(self, name: str) -> Database:
        database = self._databases.get(name)
        if database is None:
            ref = self._dataset.databases[name]
            opened = Database(ref, self._limits) if self._shelf is None else self._shelf.database(ref, self._limits)
            database = self._databases[name] = opened
        return database

    def _wording(self, task: TextToSQLTask) -> str:
        if self._paraphrase and task.paraphrases:
            return task.paraphrases[int(self.np_random.integers(len(task.paraphrases)))]
        return task.question

    def _noticed(self, session: _Session, response: Response) -> Response:
        if not self._show_turns_left or response.outcome is not None:
            return response
        return response._replace(observation=self._with_notice(response.observation, session.turn))

    def _with_notice(self, text: str, turn: int) -> str:
        return f"{prompts.turn_notice(turn, self._max_turns)}\n{text}" if self._show_turns_left else text


def _structured_space() -> spaces.Dict:
    return spaces.Dict(
        {"phase": spaces.Discrete(len(PHASES)), "sql": UnicodeText(_MAX_TEXT), "schema": UnicodeText(_MAX_TEXT)}
    )


def _check_options(
    schema: str,
    protocol: str,
    comparator: str,
    schema_mode: str,
    boundary: str,
    actions: str,
) -> None:
    check_choice("schema", schema, ("hidden", "prefilled"))
    check_choice("protocol", protocol, PROTOCOLS)
    check_choice("comparator", comparator, ("bird", "spider", "strict"))
    check_choice("schema_mode", schema_mode, ("truematch", "totalmatch", "recall_then_precision_strict"))
    check_choice("boundary", boundary, ("last", "first"))
    check_choice("actions", actions, ("text", "structured"))
