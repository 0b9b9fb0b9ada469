"""Agents that are told everything and integrate what fits a bounded memory.

An illustration of how loss at integration would look: no language model, and nothing that says why models fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from fogline.agents.scripted.silo_bench.gathers import BroadcastOnce, Flood, WriteRead
from fogline.agents.scripted.silo_bench.knowledge import Span, decode, encode, label
from fogline.agents.scripted.silo_bench.schedule import ProgramAgent, Schedule
from fogline.agents.scripted.silo_bench.seat import Program, Seat
from fogline.core.errors import ConfigurationError, check_choice
from fogline.envs.silo_bench.calls import Protocol, SiloView
from fogline.envs.silo_bench.tasks.catalogue import silo_task
from fogline.envs.silo_bench.tasks.task import SiloTask

Order = Literal["arrival", "random"]
Told = tuple[int, str]
"""A seat's number and the text of its shard."""

_SCHEDULES: Mapping[Protocol, Schedule] = {"p2p": Flood(), "broadcast": BroadcastOnce(), "files": WriteRead()}


class BoundedMemory(ProgramAgent):
    """Tells its whole shard to all, hears all shards, and answers from what its memory holds of them.

    The memory takes in a seat's own data first and then, shard after shard, what it was told of the data that its
    answer needs, item by item, until the next item does not fit; that and all that follows is lost, as the end of a
    text is lost where a prompt is cut. From what is held the seat computes without a mistake, as if it were all there
    is; it submits null where that makes no sense. A lone seat, which holds all the data itself, has the same memory.

    Args:
        capacity: Characters of compact JSON that the memory holds, a separator counted with each item; None for no
            bound.
        order: ``"arrival"``: shards are taken in as they come (those of one round by the sender's number);
            ``"random"``: in an order that each seat draws.

    Raises:
        ConfigurationError: For a negative capacity or another order.
    """

    name = "bounded-memory"

    def __init__(self, capacity: int | None, order: Order = "arrival") -> None:
        if capacity is not None and capacity < 0:
            raise ConfigurationError(f"capacity={capacity}: expected 0 or more, or None for no bound.")
        check_choice("order", order, ("arrival", "random"))
        self.capacity = capacity
        self.order = order

    def start(self, view: SiloView, rng: np.random.Generator) -> Program:
        """Tell all, hear all, answer."""
        seat = _ForgetfulSeat(view, silo_task(view.task_id), self.capacity, rng if self.order == "random" else None)
        return seat.answer([seat.own]) if view.n_agents == 1 else _SCHEDULES[view.protocol].program(seat)


class _ForgetfulSeat(Seat):
    """A seat that speaks of shards, not of their summaries."""

    __slots__ = ("_capacity", "_rng")

    def __init__(self, view: SiloView, task: SiloTask, capacity: int | None, rng: np.random.Generator | None) -> None:
        super().__init__(view, task)
        self.known = {label(self.own): encode(view.shard)}
        self._capacity = capacity
        self._rng = rng

    def answer(self, spans: Sequence[Span]) -> Program:
        """Submit what follows from what the memory holds of these shards."""
        needed = {label(span): span[0] for span in spans}
        # Texts are noted as they arrive, the seat's own before all others.
        own, *heard = [(needed[name], text) for name, text in self.known.items() if name in needed]
        if self._rng is not None:
            heard = [heard[place] for place in self._rng.permutation(len(heard))]
        kept = remembered([own, *heard], self._capacity)
        return self.submit(conclusion(self.task, kept, self.agent, self.n_agents, self.view.public))


class Part(NamedTuple):
    """What a memory holds of a shard.

    Attributes:
        text: Of it; empty where it holds nothing.
        length: Characters that this takes.
        whole: Whether it is all of the shard.
    """

    text: str
    length: int
    whole: bool


def remembered(told: Iterable[Told], capacity: int | None) -> dict[int, str]:
    """What a memory holds of shards that it takes in one after the other; text by the seat that it is of."""
    kept: dict[int, str] = {}
    held = 0
    for agent, text in told:
        part = beginning(text, None if capacity is None else capacity - held)
        if part.text:
            kept[agent] = part.text
        if not part.whole:
            break
        held += part.length
    return kept


@lru_cache(maxsize=4096)
def beginning(text: str, room: int | None) -> Part:
    """The first items of a shard that fit: letters of a text, items of a list, lines of a table in parts.

    Args:
        text: The shard as compact JSON.
        room: Characters; None for no bound.
    """
    shard = decode(text)
    if isinstance(shard, str):
        kept: Any = shard[:room]
        return Part(encode(kept) if kept else "", len(kept), len(kept) == len(shard))
    items = list(_items(shard))
    length = count = 0
    for _, item in items:
        size = len(encode(item)) + 1
        if room is not None and length + size > room:
            break
        length += size
        count += 1
    whole = count == len(items)
    return Part("" if count == 0 else text if whole else encode(_without(shard, items[count:])), length, whole)


def conclusion(task: SiloTask, kept: Mapping[int, str], agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
    """The answer as if the data that is held were all there is; None where nothing is held or that makes no sense.

    Args:
        task: What is computed.
        kept: Text of what is held of each seat's shard, the own one among them where there is any.
        agent: Whose answer.
        n_agents: Number of seats.
        public: Facts told to all.
    """
    if not kept:
        return None
    facts = encode(public)
    try:
        texts = tuple([_summary(task, kept[other], other, facts) for other in sorted(kept)])
        if not task.segmented:
            return _common(task, texts, n_agents, facts)
        return task.finalise(_merged(task, texts), decode(kept[agent]), agent, n_agents, public)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # Tasks are free to rely on data that is missing here.
        return None


def _items(shard: Any) -> Iterable[tuple[Any, Any]]:
    """What a shard is made of, in order, each with where it lies."""
    if isinstance(shard, list):
        return enumerate(shard)
    return [((kind, name), {name: line}) for kind, lines in shard.items() for name, line in lines.items()]


def _without(shard: Any, lost: Sequence[tuple[Any, Any]]) -> Any:
    if isinstance(shard, list):
        return shard[: len(shard) - len(lost)]
    gone = {place for place, _ in lost}
    return {
        kind: {name: line for name, line in lines.items() if (kind, name) not in gone} for kind, lines in shard.items()
    }


# A hundred seats that hold the same compute the same: once.


@lru_cache(maxsize=4096)
def _summary(task: SiloTask, text: str, agent: int, facts: str) -> str:
    return encode(task.local(decode(text), agent, decode(facts)))


@lru_cache(maxsize=1024)
def _merged(task: SiloTask, texts: tuple[str, ...]) -> Any:
    if len(texts) == 1:
        return decode(texts[0])
    return task.merge(_merged(task, texts[:-1]), decode(texts[-1]))


@lru_cache(maxsize=256)
def _common(task: SiloTask, texts: tuple[str, ...], n_agents: int, facts: str) -> Any:
    return task.finalise(_merged(task, texts), None, 0, n_agents, decode(facts))
