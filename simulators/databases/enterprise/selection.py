"""Which entities a database holds, what questions call them, and how many tables go to what."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from fogline.simulators.databases.enterprise.config import EnterpriseConfig
from fogline.simulators.databases.enterprise.domains import DOMAINS, SHARED
from fogline.simulators.databases.enterprise.model import Domain
from fogline.simulators.databases.enterprise.schema import Edge, PlacedEntity

_LIVE_SHARE = 0.33
_CODE_SHARE = 0.15
_FEWEST_LIVE = 8
INFRASTRUCTURE = 2  # the table registry and the column notes


@dataclass(frozen=True, slots=True)
class Budget:
    """How many base tables go to live entities and to code tables; noise takes the rest."""

    live: int
    code: int

    @classmethod
    def of(cls, tables: int) -> Budget:
        """Split ``tables``."""
        return cls(max(_FEWEST_LIVE, round(_LIVE_SHARE * tables)), max(1, round(_CODE_SHARE * tables)))


def _parent_key(domain: Domain, parent: str) -> str:
    known = {entity.key for entity in domain.entities}
    return f"{domain.name}.{parent}" if parent in known else f"shared.{parent}"


def _closure(key: str, edges: dict[str, list[Edge]], chosen: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = [key]
    while waiting:
        current = waiting.pop()
        if current in chosen or current in found:
            continue
        found.add(current)
        waiting += [edge.parent for edge in edges[current]]
    return found


def _domain_order(config: EnterpriseConfig, index: int, rng: Generator) -> list[Domain]:
    main = DOMAINS[config.main_domain(index)]
    others = [DOMAINS[name] for name in config.pool() if name != main.name and DOMAINS[name].half == main.half]
    order = [main, *(others[i] for i in rng.permutation(len(others)))]
    if config.vocabulary == "all":
        rest = [domain for domain in DOMAINS.values() if domain.half != main.half]
        order += [rest[i] for i in rng.permutation(len(rest))]
    return order


def _nouns(
    placed: dict[str, tuple[Domain, tuple[tuple[str, str], ...]]],
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Nouns per entity that no other entity of the database answers to."""
    uses: dict[str, int] = {}
    for _, nouns in placed.values():
        for one, _many in nouns:
            uses[one] = uses.get(one, 0) + 1
    result = {}
    for key, (domain, nouns) in placed.items():
        own = tuple(noun for noun in nouns if uses[noun[0]] == 1)
        result[key] = own or tuple((f"{domain.adjective} {one}", f"{domain.adjective} {many}") for one, many in nouns)
    return result


def choose_entities(
    config: EnterpriseConfig, index: int, budget: Budget, rng: Generator
) -> tuple[dict[str, PlacedEntity], tuple[Edge, ...]]:
    """Draw the entities of a database: those of the main domain first, each with all that it refers to.

    Returns:
        Placed entities, parents before children, and the references among them.
    """
    half = config.half(index)
    domains = [SHARED[half], *_domain_order(config, index, rng)]
    owner = {f"{domain.name}.{entity.key}": (domain, entity) for domain in domains for entity in domain.entities}
    edges = {
        key: [Edge(key, _parent_key(domain, reference.parent), reference) for reference in entity.references]
        for key, (domain, entity) in owner.items()
    }
    chosen: set[str] = set()
    for domain in domains:
        keys = [f"{domain.name}.{entity.key}" for entity in domain.entities]
        for position in rng.permutation(len(keys)):
            addition = _closure(keys[position], edges, chosen)
            if len(chosen) + len(addition) <= budget.live:
                chosen |= addition
    ordered = _parents_first([key for key in owner if key in chosen], edges)
    nouns = _nouns({key: (owner[key][0], owner[key][1].nouns) for key in ordered})
    placed = {key: PlacedEntity(key, owner[key][1], nouns[key]) for key in ordered}
    return placed, tuple(edge for key in ordered for edge in edges[key])


def _parents_first(keys: list[str], edges: dict[str, list[Edge]]) -> list[str]:
    ordered: list[str] = []
    waiting = list(keys)
    while waiting:
        ready = [key for key in waiting if all(edge.parent in ordered or edge.parent == key for edge in edges[key])]
        ordered += ready
        waiting = [key for key in waiting if key not in ready]
    return ordered
