"""What is read off an episode, environment by environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from fogline.core.episode import Episode

Kind = Literal["success", "share", "number"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of an episode.

    Attributes:
        name: Key in reports.
        label: Heading in tables.
        kind: ``"success"`` (0 or 1, Pass@k makes sense of it), ``"share"`` (0 or 1) or ``"number"``.
        of: Reads it off a scored episode; None where it does not apply, which leaves the episode out.
        percent: Whether tables show it in percent.
        of_unscored: Whether it is read off episodes without a score, too: how often the world failed.
        weight: How much an episode counts, where not all count alike: the measure is then a ratio of sums over all
            episodes, such as F1 of answers or the hallucinated share of all mentions, and no mean over tasks.
        empty: What it is where it applies to no episode; None where nobody can say.
    """

    name: str
    label: str
    kind: Kind
    of: Callable[[Episode], float | None]
    percent: bool = False
    of_unscored: bool = False
    weight: Callable[[Episode], float] | None = None
    empty: float | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """How an environment's episodes are reported.

    Attributes:
        measures: In the order of the report; the first one of kind ``"success"`` heads every breakdown.
        groups: What to break results down by: keys of ``metrics``, or of what ``strata`` gives.
        outcome_class: Sorts a scored episode into one of some exclusive classes; None for no such table.
        incidents: Names of what went against the rules, one entry an occurrence.
        discover: Whether further numbers among ``metrics`` are measures, too.
        strata: Finds out what an episode does not say of its task: properties that were hidden from whoever played.
    """

    measures: tuple[Measure, ...]
    groups: tuple[str, ...] = ()
    outcome_class: Callable[[Episode], str] | None = None
    incidents: Callable[[Episode], tuple[str, ...]] | None = None
    discover: bool = False
    strata: Callable[[Episode], Mapping[str, str]] | None = None


REWARD = Measure("reward", "Reward", "number", lambda episode: episode.reward)
TURNS = Measure("turns", "Turns", "number", lambda episode: float(len(episode.turns)))
MALFORMED = Measure(
    "malformed",
    "Malformed turns",
    "number",
    lambda episode: sum(turn.malformed for turn in episode.turns) / len(episode.turns) if episode.turns else None,
    percent=True,
)

GENERAL = Suite((REWARD, TURNS, MALFORMED), discover=True)
"""For environments without a suite of their own: reward, turns, and every number among ``metrics``."""

_SUITES = {
    "TrustSQL-v0": "fogline.benchmarks.text_to_sql",
    "SalesDialogue-v0": "fogline.benchmarks.sales_dialogue",
    "ObjectPresence-v0": "fogline.benchmarks.object_presence",
}


def suite_of(env_id: str, env_kwargs: Mapping[str, Any] | None = None) -> Suite:
    """The suite of an environment, as it is configured."""
    module = suite_module(env_id)
    return GENERAL if module is None else module.suite(env_kwargs or {})


def suite_module(env_id: str) -> Any:
    """The module with ``suite`` and ``fingerprint`` of an environment; None where it has none.

    One whose episodes can be scored again has ``judge``, too.
    """
    name = _SUITES.get(env_id)
    return None if name is None else import_module(name)
