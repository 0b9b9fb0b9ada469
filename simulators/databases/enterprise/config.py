"""The options of the generator, checked when they are given."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.databases.enterprise.domains import DOMAINS
from fogline.simulators.databases.enterprise.model import Half

VERSION = "1"
Vocabulary = Literal["a", "b", "all"]
_SHARES = (
    "twin_share", "misleading_names", "synonyms", "abbreviations", "lexical_gap", "coded_categories", "audit_columns",
    "soft_delete", "declared_keys", "opaque_columns", "view_share", "explained_codes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EnterpriseConfig:
    """What to generate. Shares are probabilities between 0 and 1.

    Attributes:
        seed: Decides everything that the other options leave open.
        domains: Names of the main domains, used in turn; empty for all of the vocabulary. Larger databases take
            further domains of the same vocabulary in.
        databases: Number of databases.
        tables: Base tables of each database, 20 to 500; views come on top.
        rows_per_table: Typical number of rows of a master table, 20 to 20000; events have more, references fewer.
        questions_per_database: Questions of each database.
        vocabulary: ``a`` and ``b`` are disjoint halves: other domains, other words, other abbreviations, so that no
            identifier but ``id`` is shared; ``all`` takes both.
        twin_share: Share of entities that have outdated twins (older copies, former versions) with other rows.
        misleading_names: Share of those whose names do not tell which one is current.
        synonyms: Share of tables and references named by a near-synonym instead of the plain business word.
        abbreviations: Share of identifier words that are abbreviated.
        lexical_gap: How often a question prefers business words that the identifier does not contain; otherwise it
            takes the plain ones.
        coded_categories: Share of categories stored as codes that only a code table explains.
        audit_columns: Share of tables with audit columns.
        soft_delete: Share of tables whose rows may be flagged as deleted.
        declared_keys: Share of references declared as foreign keys.
        opaque_columns: Share of columns whose name says nothing; a notes table explains them.
        view_share: Views per base table.
        explained_codes: How often the evidence of a question spells out the codes it needs.
    """

    seed: int = 0
    domains: tuple[str, ...] = ()
    databases: int = 4
    tables: int = 60
    rows_per_table: int = 120
    questions_per_database: int = 25
    vocabulary: Vocabulary = "all"
    twin_share: float = 0.75
    misleading_names: float = 0.85
    synonyms: float = 0.6
    abbreviations: float = 0.45
    lexical_gap: float = 0.5
    coded_categories: float = 0.6
    audit_columns: float = 0.45
    soft_delete: float = 0.15
    declared_keys: float = 0.7
    opaque_columns: float = 0.05
    view_share: float = 0.06
    explained_codes: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values that do not make a data set.

        Raises:
            ConfigurationError: Naming the option, the value, and what was expected.
        """
        object.__setattr__(self, "domains", tuple(self.domains))
        _check_range("seed", self.seed, 0, 2**63 - 1)
        _check_range("databases", self.databases, 1, 10_000)
        _check_range("tables", self.tables, 20, 500)
        _check_range("rows_per_table", self.rows_per_table, 20, 20_000)
        _check_range("questions_per_database", self.questions_per_database, 1, 500)
        check_choice("vocabulary", self.vocabulary, ("a", "b", "all"))
        for name in _SHARES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise ConfigurationError(f"{name}={value!r} is not a share: expected a number from 0 to 1.")
        for domain in self.domains:
            check_choice("domains", domain, self.pool())

    def pool(self) -> tuple[str, ...]:
        """Names of the domains that the vocabulary allows."""
        return tuple(name for name, domain in DOMAINS.items() if self.vocabulary in ("all", domain.half))

    def main_domain(self, index: int) -> str:
        """Main domain of database ``index``."""
        names = self.domains or self.pool()
        return names[index % len(names)]

    def half(self, index: int) -> Half:
        """Vocabulary half of database ``index``: that of its main domain."""
        return DOMAINS[self.main_domain(index)].half

    def digest(self, index: int) -> str:
        """Content hash of all that decides database ``index``; the number of databases does not."""
        content = asdict(self)
        del content["databases"], content["domains"]
        content |= {"domain": self.main_domain(index), "index": index, "version": VERSION}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigurationError(f"{name}={value!r} is out of range: pass an integer from {low} to {high}.")
