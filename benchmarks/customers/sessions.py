"""Calls that are played to be looked at: through the collector, with the customer's side written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from fogline.agents.agent import Agent
from fogline.agents.collector import collect_all
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.benchmarks.customers.config import ENV_ID, ValidationConfig
from fogline.benchmarks.customers.observed import Log, ObservedCalls
from fogline.benchmarks.evaluation import sample_seeds
from fogline.benchmarks.sales_dialogue import faulty
from fogline.core.episode import Episode
from fogline.core.rewards import RewardScheme
from fogline.simulators.customers.inversion import inverted
from fogline.simulators.customers.products import ProductCard, cards_of
from fogline.simulators.customers.scenarios import SPLITS, scenario_of, task_ids

Played = Callable[[int], None]
"""Told how many calls have just been played."""

INVERSION = "role_inversion"
"""Kind of a reply that speaks as the seller."""


class Answer(NamedTuple):
    """What the customer did at one time of the call.

    Attributes:
        act: Its public act.
        text: Its words.
    """

    act: str
    text: str


@dataclass(frozen=True, slots=True)
class Session:
    """A valid call, looked at from both sides.

    Attributes:
        assignment: Task and seed.
        is_buyer: Whether the customer could be won at all.
        inversions: Replies that spoke as the seller, those included that a chat model was asked to say otherwise.
        replies: Replies of the customer, those included that it was asked to say otherwise.
        words: What the seller said, turn by turn.
        answers: What the customer did, its first words included.
        converted: Whether it completed the purchase.
        repetition: Share of the seller's sentences that were there before; None for a single sentence.
        session_reward: Weighted sum of the session's terms.
        turn_reward: Weighted sum of a turn's terms, mean over the turns.
        moved: Change of the latent state over the call, by name; empty where a model plays the customer.
    """

    assignment: Assignment
    is_buyer: bool
    inversions: int
    replies: int
    words: tuple[str, ...]
    answers: tuple[Answer, ...]
    converted: bool
    repetition: float | None
    session_reward: float
    turn_reward: float
    moved: Mapping[str, float]

    @property
    def acts(self) -> tuple[str, ...]:
        """The customer's acts, without the one that opens the call."""
        return tuple(answer.act for answer in self.answers[1:])


@dataclass(slots=True)
class Calls:
    """All calls of one seller.

    Attributes:
        seller: Who called.
        planned: How many calls were to be played.
        faults: Those that the simulated customer broke, whatever the number of attempts.
        other_failures: Those that failed otherwise, by kind of error.
        sessions: The valid ones, by task and seed.
    """

    seller: str
    planned: int = 0
    faults: int = 0
    other_failures: dict[str, int] = field(default_factory=dict)
    sessions: dict[Assignment, Session] = field(default_factory=dict)

    def __iter__(self) -> Any:
        """The valid calls."""
        return iter(self.sessions.values())


def _nobody(count: int) -> None:
    """Nobody is told."""


def assignments(config: ValidationConfig, count: int, first: int = 0) -> list[Assignment]:
    """Customers of the test split, all products in turn, each with noise of its own.

    Args:
        config: Which products, and the seed.
        count: How many.
        first: How many to pass over.
    """
    domains = tuple(_cards(config))
    per_domain = -(-(first + count) // len(domains))
    by_domain = [task_ids((domain,), "test", per_domain) for domain in domains]
    names = [task for tasks in zip(*by_domain, strict=True) for task in tasks]
    seeds = sample_seeds(config.seed, first + count)
    return [Assignment(task, seed) for task, seed in zip(names, seeds, strict=False)][first:]


def play(
    config: ValidationConfig,
    seller: str | Agent,
    wanted: Sequence[Assignment],
    played: Played = _nobody,
    *,
    changes: Mapping[str, Any] | None = None,
    concurrency: int | None = None,
    **keywords: Any,
) -> Calls:
    """Let a seller make its calls, and write down both sides.

    Args:
        config: Whom it calls, and how.
        seller: An agent, or the name of one.
        wanted: Which customers; as :func:`assignments` gives them.
        played: Told as calls end.
        changes: Attributes of the customers' start that replace the drawn ones; the rule engine then plays them.
        concurrency: Instead of the configuration's.
        keywords: Of the environment, instead of the configuration's.
    """
    agent = make_agent(seller, ENV_ID, **config.product) if isinstance(seller, str) else seller
    numbers = [int(assignment.task_id.rpartition("/")[2]) for assignment in wanted]
    keywords = config.keywords(scenarios=max(numbers) - SPLITS["test"] + 1, **keywords)
    log = Log(played)
    # It plays nothing: whatever becomes of the others, the chat model that they share stays open.
    with closing(ObservedCalls(log, changes, **keywords)) as first:
        episodes = collect_all(
            partial(ObservedCalls, log, changes, **first.sharing(keywords)),
            agent,
            wanted,
            concurrency=concurrency or config.concurrency,
            retries=config.retries,
        )
    calls = _calls(agent.name, episodes, _Look(first.reward_scheme, log, config.variant, _cards(config)))
    played(len(wanted) - len(calls.sessions))
    return calls


def _calls(seller: str, episodes: Sequence[Episode], look: _Look) -> Calls:
    calls = Calls(seller, len(episodes))
    for episode in episodes:
        if faulty(episode):
            calls.faults += 1
        elif episode.failure is not None:
            kind = episode.failure.kind
            calls.other_failures[kind] = calls.other_failures.get(kind, 0) + 1
        else:
            session = look.at(episode)
            calls.sessions[session.assignment] = session
    return calls


def pairs(first: Calls, second: Calls, of: Callable[[Session], float]) -> list[float]:
    """First minus second of a number, over the calls with the same customer and noise that both have played."""
    return [of(first.sessions[key]) - of(other) for key, other in second.sessions.items() if key in first.sessions]


@dataclass(frozen=True, slots=True)
class _Look:
    """From an episode and its minutes to a session."""

    scheme: RewardScheme
    log: Log
    variant: str
    cards: Mapping[str, ProductCard]

    def at(self, episode: Episode) -> Session:
        key = Assignment(episode.task_id, episode.seed)
        minutes = self.log.calls[key]
        infos = minutes.infos
        scenario = scenario_of(key.task_id, variant=self.variant, cards=self.cards)
        answers = tuple(Answer(str(info["customer_act"]), str(info["reply"])) for info in infos)
        again = minutes.asked_again
        said = sum(bool(inverted(answer.text, scenario.card.company)) for answer in answers)
        paid = [self.scheme.of_turn(turn.terms) for turn in episode.turns]
        repetition = episode.metrics["repetition"]
        return Session(
            assignment=key,
            is_buyer=scenario.is_buyer,
            inversions=said + again.get(INVERSION, 0),
            replies=len(answers) + sum(again.values()),
            words=tuple(str(info["words"]) for info in infos[1:]),
            answers=answers,
            converted=bool(episode.metrics["converted"]),
            repetition=None if repetition is None else float(repetition),
            session_reward=self.scheme.of_session(episode.outcome),
            turn_reward=math.fsum(paid) / len(paid),
            moved=minutes.moved,
        )


def _cards(config: ValidationConfig) -> Mapping[str, ProductCard]:
    return cards_of(config.product.get("domain", "all"))


def is_buyer(config: ValidationConfig, assignment: Assignment) -> bool:
    """Whether a customer can be won at all."""
    return scenario_of(assignment.task_id, variant=config.variant, cards=_cards(config)).is_buyer
