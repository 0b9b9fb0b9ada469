"""Agents that fail on purpose: lower bounds, and known failures for the detectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fogline.agents.scripted.silo_bench.knowledge import Span, label, merged, shard_spans
from fogline.agents.scripted.silo_bench.schedule import ProgramAgent
from fogline.agents.scripted.silo_bench.seat import Program, Seat
from fogline.core.errors import AgentError, ConfigurationError
from fogline.envs.silo_bench.calls import SiloView
from fogline.envs.silo_bench.tasks.catalogue import silo_task


class SilentLocal(ProgramAgent):
    """Says nothing and submits, in its first round, what its own shard alone seems to say. Plays every protocol."""

    name = "silent"

    def start(self, view: SiloView, rng: np.random.Generator) -> Program:
        """Answer at once."""
        seat = Seat(view, silo_task(view.task_id))
        return seat.submit(guess(seat))


class RandomGossip(ProgramAgent):
    """Tells one random peer all it knows, round after round, then submits what it knows by then.

    Sends ``rounds`` messages per seat, over mailboxes, and submits in the round after them.

    Args:
        rounds: Rounds of gossip, at least 1.

    Raises:
        ConfigurationError: For fewer rounds.
    """

    name = "gossip"

    def __init__(self, rounds: int = 3) -> None:
        if rounds < 1:
            raise ConfigurationError(f"rounds={rounds} is too few: expected at least 1.")
        self.rounds = rounds

    def start(self, view: SiloView, rng: np.random.Generator) -> Program:
        """Gossip, then guess.

        Raises:
            AgentError: For a protocol without mailboxes.
        """
        _check_mailboxes(self.name, view)
        return self._program(Seat(view, silo_task(view.task_id)), rng)

    def _program(self, seat: Seat, rng: np.random.Generator) -> Program:
        for _ in range(self.rounds if seat.view.peers else 0):
            target = seat.view.peers[int(rng.integers(len(seat.view.peers)))]
            seat.send(target, seat.quote(_known_shards(seat)))
            yield from seat.end_round()
        yield from seat.submit(guess(seat))


class Premature(ProgramAgent):
    """Begins the star of agent 0 and submits in round 2, with what has reached it by then.

    With messages pushed, agent 0 has heard all by then and the others nobody; with messages pulled nobody has.
    """

    name = "premature"

    def start(self, view: SiloView, rng: np.random.Generator) -> Program:
        """Tell agent 0, then guess too early.

        Raises:
            AgentError: For a protocol without mailboxes.
        """
        _check_mailboxes(self.name, view)
        return self._program(Seat(view, silo_task(view.task_id)))

    def _program(self, seat: Seat) -> Program:
        if seat.agent:
            seat.send(0, seat.quote([seat.own]))
        yield from seat.end_round()
        yield from seat.submit(guess(seat))


def guess(seat: Seat) -> Any:
    """The answer as if the summaries that the seat has were all there are; None where that makes no sense."""
    texts = tuple([seat.known[label(span)] for span in _known_shards(seat)])
    view = seat.view
    try:
        return seat.task.finalise(merged(seat.task, texts), view.shard, seat.agent, seat.n_agents, view.public)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # Tasks are free to rely on the shards that are missing here: the rank in a list without a head is nothing.
        return None


def _known_shards(seat: Seat) -> list[Span]:
    return [span for span in shard_spans((0, seat.n_agents)) if label(span) in seat.known]


def _check_mailboxes(name: str, view: SiloView) -> None:
    if view.protocol != "p2p":
        raise AgentError(
            f"agent {name!r} cannot play protocol={view.protocol!r}: expected protocol='p2p' ('silent' plays all)."
        )
