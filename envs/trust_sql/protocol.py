"""The four-phase protocol: what is legal when, what was seen, what is owed to the format reward."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from fogline.envs.trust_sql.parser import PHASES, ParsedTurn
from fogline.simulators.databases.records import Catalogue, QueryResult, SchemaSubset

_WORD = re.compile(r"[\w$]+")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One readable proposal: at which turn, what, and how much of it had been seen by then."""

    turn: int
    schema: SchemaSubset
    ungrounded: tuple[str, ...]


class Evidence:
    """Identifiers that an agent has been shown. Indexed only when somebody asks."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._waiting: list[tuple[str, str]] = []
        self._tables: set[str] = set()
        self._columns: set[str] = set()

    def show(self, statement: str, text: str) -> None:
        """Note that ``text`` was shown in answer to ``statement``."""
        self._waiting.append((statement, text))

    def show_everything(self) -> None:
        """Note that the whole schema was shown."""
        for table, columns in self._catalogue.tables.items():
            self._tables.add(table.lower())
            self._columns.update(f"{table}.{column.name}".lower() for column in columns)

    def seen(self) -> SchemaSubset:
        """Tables and columns seen so far.

        A table is seen when its name is shown, or when a statement that names it was answered with names of
        its columns. A column is seen when its name is shown in an answer that shows its table or
        answers a statement that names its table.
        """
        for statement, text in self._waiting:
            self._index(statement.lower(), text.lower())
        self._waiting.clear()
        return SchemaSubset(frozenset(self._tables), frozenset(self._columns))

    def _index(self, statement: str, text: str) -> None:
        asked, shown = set(_WORD.findall(statement)), set(_WORD.findall(text))
        for table, columns in self._catalogue.tables.items():
            name = table.lower()
            in_text = _mentions(name, text, shown)
            if not in_text and not _mentions(name, statement, asked):
                continue
            found = [column.name.lower() for column in columns if _mentions(column.name.lower(), text, shown)]
            if in_text or found:
                self._tables.add(name)
            self._columns.update(f"{name}.{column}" for column in found)


def _mentions(name: str, text: str, words: set[str]) -> bool:
    return name in words if _WORD.fullmatch(name) else name in text


@dataclass(slots=True)
class Protocol:
    """State of one episode under ``protocol="off" | "soft" | "strict"`` (TRUST-SQL, protocol and legality).

    Attributes:
        mode: ``off`` notes nothing, ``soft`` notes violations, ``strict`` refuses.
        propose: Whether the Propose action exists.
        prefilled: Whether the schema was shown at the start; exploring is optional then.
        explored: What explorations showed: the evidence that proposals are held against.
        observed: What any statement showed.
        proposals: Readable proposals so far, the last one in force.
        tested: Last statement that a generate turn ran successfully since the last proposal.
        generated: Statements of generate turns, with their turn and the number of proposals made by then.
        violations: Every violation so far, with its turn.
    """

    mode: str
    propose: bool
    prefilled: bool
    explored: Evidence
    observed: Evidence
    proposals: list[Proposal] = field(default_factory=list)
    tested: str | None = None
    generated: list[tuple[int, str, int]] = field(default_factory=list)
    explorations: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)
    well_formed: bool = True
    complaints: int = 0
    syntax_errors: int = 0
    achieved: set[str] = field(default_factory=set)
    phases: list[str] = field(default_factory=list)

    def check(self, parsed: ParsedTurn) -> list[str]:
        """Violations that can be told before anything runs."""
        if self.mode == "off":
            return []
        match parsed.phase:
            case "sql":
                return ["untyped_tool_call"]
            case "propose":
                return self._check_proposal(parsed)
            case "generate" if self.propose and not self.proposals:
                return ["generate_before_propose"]
            case "confirm":
                return self._check_confirm(parsed)
        return []

    def _check_proposal(self, parsed: ParsedTurn) -> list[str]:
        found = []
        if not self.prefilled and not self.explorations:
            found.append("propose_before_explore")
        if parsed.schema is not None and self.ungrounded(parsed.schema):
            found.append("ungrounded_proposal")
        return found

    def _check_confirm(self, parsed: ParsedTurn) -> list[str]:
        if self.propose and not self.proposals:
            return ["confirm_before_propose"]
        if self.tested is None:
            return ["confirm_before_generate"]
        return [] if same_statement(parsed.sql, self.tested) else ["confirm_differs_from_tested"]

    def ungrounded(self, schema: SchemaSubset) -> tuple[str, ...]:
        """Names in ``schema`` that no exploration has shown, sorted."""
        return missing(schema, self.explored.seen())

    def show_everything(self) -> None:
        """Note that the schema was prefilled."""
        self.explored.show_everything()
        self.observed.show_everything()

    def note_turn(self, parsed: ParsedTurn, turn: int, violations: Sequence[str]) -> None:
        """Book a turn that was read, before its effect."""
        self.phases.append(parsed.phase)
        self.violations.extend((turn, name) for name in violations)
        self.well_formed &= parsed.well_formed
        self.complaints += parsed.phase == "malformed"
        if parsed.phase == "confirm" and parsed.well_formed:
            self.achieved.add("confirm")

    def note_result(self, parsed: ParsedTurn, turn: int, result: QueryResult, shown: str) -> None:
        """Book what an explore, generate or untyped statement gave, and the text that was shown of it."""
        if result.status == "error" and result.error_class == "syntax":
            self.syntax_errors += 1
        if parsed.well_formed:
            self.achieved.add(parsed.phase)
        if parsed.phase == "generate":
            self.generated.append((turn, parsed.sql, len(self.proposals)))
        if not result.ran:
            return
        if result.status == "ok":
            self.observed.show(parsed.sql, shown)
        if parsed.phase == "explore":
            self.explorations += 1
            # The header of a catalogue query names the catalogue's own columns, or what the agent called them.
            self.explored.show(parsed.sql, shown.partition("\n")[2] if result.metadata_only else shown)
        elif parsed.phase == "generate":
            self.tested = parsed.sql

    def note_proposal(self, parsed: ParsedTurn, turn: int) -> Proposal:
        """Put a proposal in force; what was tested under the last one no longer counts."""
        schema = parsed.schema or SchemaSubset()
        proposal = Proposal(turn, schema, self.ungrounded(schema))
        self.proposals.append(proposal)
        self.tested = None
        if parsed.well_formed:
            self.achieved.add("propose")
        return proposal

    def note_answer(self, parsed: ParsedTurn) -> None:
        """Book an answer that ends the episode."""
        if parsed.well_formed:
            self.achieved.add("confirm")

    def earns_format(self) -> bool:
        """Whether the format reward is due, given that the episode ended with a well-formed answer."""
        required = {name for name in PHASES if (name != "propose" or self.propose)}
        if self.prefilled:
            required.discard("explore")
        clean = self.well_formed and not self.complaints and not self.syntax_errors and not self.violations
        return clean and required <= self.achieved

    def boundary(self, which: str) -> tuple[int | None, int]:
        """Where the schema track ends.

        Args:
            which: ``"last"`` or ``"first"`` proposal.

        Returns:
            Turn index of the proposal that is the checkpoint (None without one), and index of the last turn
            of the schema track: the checkpoint, else the last exploration, else -1.
        """
        if self.proposals:
            turn = self.proposals[-1 if which == "last" else 0].turn
            return turn, turn
        explored = [index for index, phase in enumerate(self.phases) if phase == "explore"]
        return None, (explored[-1] if explored else -1)


def missing(schema: SchemaSubset, within: SchemaSubset) -> tuple[str, ...]:
    """Names of ``schema`` that ``within`` lacks, sorted."""
    return tuple(sorted((schema.tables - within.tables) | (schema.columns - within.columns)))


def same_statement(one: str, other: str) -> bool:
    """Equal up to white space and a closing semicolon."""
    return one.split() == other.split() or _squeeze(one) == _squeeze(other)


def _squeeze(sql: str) -> str:
    return " ".join(sql.split()).rstrip("; ")
