"""How SalesDialogue-v0 is reported: conversion, repetition, detection, compliance, the course of the call.

Source: DuCA specification, section 9. Conversion and all other shares are of valid calls: those that the simulator
broke are in no average, and their share stands beside conversion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fogline.agents.environments import default_keyword
from fogline.benchmarks.measures import MALFORMED, REWARD, TURNS, Measure, Suite
from fogline.core.episode import Episode
from fogline.simulators.customers.customer import SamplingIgnored, SimulatorFault
from fogline.simulators.customers.products import ProductCard, cards_of
from fogline.simulators.customers.scenarios import scenario_of

ENV_ID = "SalesDialogue-v0"

FAULTS = frozenset({SimulatorFault.__name__, SamplingIgnored.__name__})
"""Kinds of failures that are the simulated customer's."""

BUYER, NON_BUYER = "buyer", "non-buyer"


def suite(env_kwargs: Mapping[str, Any]) -> Suite:
    """The measures of a SalesDialogue-v0 with these keywords."""
    return Suite(
        _MEASURES,
        groups=("domain", "persona", "customer"),
        outcome_class=outcome_class,
        incidents=breaches,
        strata=partial(
            strata,
            cards=cards_of(_keyword(env_kwargs, "domain")),
            variant=_keyword(env_kwargs, "variant"),
            difficulty=_keyword(env_kwargs, "difficulty"),
        ),
    )


def strata(
    episode: Episode, cards: Mapping[str, ProductCard], variant: str = "default", difficulty: float = 0.0
) -> Mapping[str, str]:
    """What the seller was not told of the customer, made again from the task's name.

    Args:
        episode: Of SalesDialogue-v0.
        cards: The environment's product cards by domain.
        variant: Which customers it was played with.
        difficulty: Shift of their moods.

    Returns:
        ``domain``, ``persona``, and ``customer``: ``buyer``, or ``non-buyer`` for one who can never be won.
    """
    scenario = scenario_of(episode.task_id, variant=variant, cards=cards, difficulty=difficulty)
    return {
        "domain": scenario.domain,
        "persona": scenario.persona,
        "customer": BUYER if scenario.is_buyer else NON_BUYER,
    }


def outcome_class(episode: Episode) -> str:
    """How the call ended, one of some exclusive ways."""
    if episode.failure is not None:
        return "agent_error"
    metrics = episode.metrics
    for name in ("converted", "hung_up", "false_close"):
        if metrics[name]:
            return name
    if metrics["agreed"]:
        return "agreed_only"
    return "out_of_turns" if episode.status == "truncated" else "ended"


def breaches(episode: Episode) -> tuple[str, ...]:
    """Compliance rules that the seller broke, one entry an occurrence."""
    counts: Mapping[str, int] = episode.metrics.get("breaches", {})
    return tuple(rule for rule, times in counts.items() for _ in range(times))


def faulty(episode: Episode) -> bool:
    """Whether the simulated customer broke the call, whatever the number of attempts."""
    return episode.failure is not None and episode.failure.kind in FAULTS


def fingerprint(env_kwargs: Mapping[str, Any]) -> str:
    """Content hash of the product cards: results over changed cards are other results.

    The customer's rules are told apart by the simulator's version.
    """
    digest = hashlib.sha256()
    for domain, card in sorted(cards_of(_keyword(env_kwargs, "domain")).items()):
        digest.update(f"{domain} {card.model_dump_json()}\n".encode())
    return digest.hexdigest()[:16]


def _keyword(env_kwargs: Mapping[str, Any], name: str) -> Any:
    return env_kwargs[name] if name in env_kwargs else default_keyword(ENV_ID, name)


def _metric(name: str) -> Callable[[Episode], float | None]:
    """A metric of the environment; None where the call has none."""

    def of(episode: Episode) -> float | None:
        value = episode.metrics.get(name)
        return None if value is None else float(value)

    return of


def _share(name: str, label: str) -> Measure:
    return Measure(name, label, "share", _metric(name), percent=True)


def _number(name: str, label: str, *, percent: bool = False) -> Measure:
    return Measure(name, label, "number", _metric(name), percent=percent)


_MEASURES = (
    # An agent that failed by itself has no metrics, and has not converted.
    Measure(
        "converted",
        "Conversion",
        "success",
        lambda episode: float(episode.metrics.get("converted", False)),
        percent=True,
    ),
    Measure(
        "simulator_fault",
        "Simulator faults, of all calls",
        "share",
        lambda episode: float(faulty(episode)),
        percent=True,
        of_unscored=True,
    ),
    REWARD,
    _share("agreed", "Agreed"),
    _number("repetition", "Repetition", percent=True),
    _number("mean_max_similarity", "Mean largest similarity"),
    _number("exact_duplicate_rate", "Exact duplicates", percent=True),
    _number("distinct_2", "Distinct-2"),
    _share("detected", "Detected by the customer"),
    _share("revealed", "Revealed by the seller"),
    _share("breached", "Any compliance breach"),
    _number("fluency", "Fluency term of a turn"),
    MALFORMED,
    TURNS,
    _number("turns_to_conversion", "Turns to conversion"),
    _share("hung_up", "Hung up on"),
    _share("refused", "Refused"),
    _share("false_close", "False close"),
)
