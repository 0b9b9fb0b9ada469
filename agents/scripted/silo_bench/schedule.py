"""What all schedules share: a program for each seat, and what is promised of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fogline.agents.agent import SeatView
from fogline.agents.scripted.silo_bench.seat import Action, Program, Seat
from fogline.core.errors import AgentError
from fogline.core.spaces import UnicodeText
from fogline.envs.silo_bench.calls import Delivery, Protocol, SiloView
from fogline.envs.silo_bench.tasks.catalogue import silo_task
from fogline.envs.silo_bench.tasks.task import Scope, SiloTask


class ProgramAgent(ABC):
    """Runs one program per seat; one object may play all seats, of any number of episodes.

    A program lives in its seat's ``memory`` and hears nothing but what its seat is shown. Where the environment takes
    text, calls are spelt out.

    Attributes:
        name: Shown in reports.
        batch_size: None: takes all views at once.
    """

    name: str
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Play one round of every view.

        Returns:
            One action per view; an :class:`~fogline.core.errors.AgentError` in place of it where the game is not one
            that this agent is made for.
        """
        return [self._decide(view) for view in views]

    @abstractmethod
    def start(self, view: SiloView, rng: np.random.Generator) -> Program:
        """The program of a seat.

        Args:
            view: What it sees in its first round.
            rng: The seat's own generator.

        Raises:
            AgentError: The game is not one that this agent is made for.
        """

    def _decide(self, view: SeatView) -> Action | str | AgentError:
        shown: SiloView | None = view.info.get("view")
        if shown is None:
            return AgentError(
                f"{view.env_id!r} shows no typed seat: agent {self.name!r} plays Silo-Bench seat by seat, "
                "'fogline.envs.silo_bench:parallel_env'."
            )
        try:
            program: Program | None = view.memory.get("program")
            if program is not None:
                return _spelt(view, program.send(shown))
            program = view.memory["program"] = self.start(shown, view.rng)
            return _spelt(view, next(program))
        except AgentError as error:
            return error


class Schedule(ProgramAgent):
    """Who tells whom what and when: independent of the task, which is known by its summaries alone.

    Attributes:
        protocols: Protocols that it is made for.
        scopes: Scopes of the tasks that it solves.
    """

    protocols: ClassVar[tuple[Protocol, ...]] = ("p2p",)
    scopes: ClassVar[tuple[Scope, ...]] = ("all", "prefix", "neighbours")

    def messages(self, task: SiloTask, n_agents: int) -> int:
        """Messages that a game takes: those sent, on the log those spoken, of files the reads of another's file."""
        return self._messages(task, n_agents) if n_agents > 1 else 0

    def rounds(self, task: SiloTask, n_agents: int) -> int:
        """Rounds until the last seat has submitted, where messages are pushed."""
        return self._rounds(task, n_agents) if n_agents > 1 else 1

    @abstractmethod
    def program(self, seat: Seat) -> Program:
        """What a seat does, in a game that was found fit, with two seats or more."""

    def fits(self, task: SiloTask, n_agents: int, max_rounds: int, delivery: Delivery = "push") -> bool:
        """Whether the schedule solves a task in the given rounds."""
        return self._solves(task) and self._latest(task, n_agents, delivery) <= max_rounds

    def start(self, view: SiloView, rng: np.random.Generator) -> Program:
        """The program of a seat. A lone seat knows everything and answers at once.

        Raises:
            AgentError: For another protocol, a task that this schedule does not solve, or too few rounds.
        """
        task = silo_task(view.task_id)
        self._check(view, task)
        seat = Seat(view, task)
        return seat.answer([seat.own]) if view.n_agents == 1 else self.program(seat)

    @abstractmethod
    def _messages(self, task: SiloTask, n_agents: int) -> int: ...

    @abstractmethod
    def _rounds(self, task: SiloTask, n_agents: int) -> int: ...

    def _solves(self, task: SiloTask) -> bool:
        return task.scope in self.scopes

    def _latest(self, task: SiloTask, n_agents: int, delivery: str) -> int:
        rounds = self.rounds(task, n_agents)
        return 2 * rounds - 1 if delivery == "pull" and self.protocols != ("files",) else rounds

    def _check(self, view: SiloView, task: SiloTask) -> None:
        if view.protocol not in self.protocols:
            expected = " or ".join(map(repr, self.protocols))
            raise AgentError(
                f"agent {self.name!r} cannot play protocol={view.protocol!r}: expected protocol={expected}, or another "
                "agent ('tree', 'flood' and 'leader' play all three)."
            )
        if not self._solves(task):
            raise AgentError(
                f"agent {self.name!r} does not solve {task.task_id} (scope {task.scope!r}): expected another task, or "
                "another agent ('tree', 'flood' and 'leader' solve all)."
            )
        needed = self._latest(task, view.n_agents, view.delivery)
        if needed > view.max_rounds:
            raise AgentError(
                f"agent {self.name!r} needs {needed} rounds with n_agents={view.n_agents}, delivery={view.delivery!r}, "
                f"but max_rounds={view.max_rounds}: raise max_rounds, or play 'tree' or 'flood'."
            )


def _spelt(view: SeatView, calls: Action) -> Action | str:
    """The calls as the environment takes them: as they are, or as text."""
    if view.tool_action is None or not isinstance(view.action_space, UnicodeText):
        return calls
    return "\n".join(view.tool_action(call.tool, call.arguments) for call in calls)


def steps(n_agents: int) -> int:
    """Doublings from one agent to all: the binary logarithm of ``n_agents``, rounded up."""
    return (n_agents - 1).bit_length()
