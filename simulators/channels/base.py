"""What all channels share: rounds, tools and their arguments, faults, and the books."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fogline.core.errors import ConfigurationError, suggestion
from fogline.simulators.channels.config import ChannelConfig
from fogline.simulators.channels.messages import Message
from fogline.simulators.channels.provenance import Provenance
from fogline.simulators.channels.topology import make_topology
from fogline.simulators.channels.traffic import Traffic

COMMON_TOOLS = ("wait", "submit_result")
"""Tools of every protocol that need no channel: the game answers them."""
_MISSING: Any = object()
_KINDS: Mapping[type, str] = {int: "an integer", str: "text"}
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class Parameter(NamedTuple):
    """An argument of a tool.

    Attributes:
        name: Its name.
        kind: ``int`` or ``str``.
        default: Value when it is left out; None for an argument that must be given.
    """

    name: str
    kind: type
    default: Any = None


class Channel(ABC):
    """A way to exchange text in synchronous rounds: what is sent in a round is visible from the next one on.

    A round goes ``begin_round``, then ``inbox`` and ``call`` for the agents in any order: without faults it decides
    nothing (faults are drawn call by call). An agent that has submitted is deactivated: it can do nothing more, and
    nothing is delivered to it. Faults strike what the protocol stores: a message, an entry of the log, a change
    of a file; whoever made it is told of success all the same.

    Args:
        config: The options.
        rng: Draws faults and a random topology, and nothing else; without those it is not used.

    Attributes:
        parameters: Arguments of each tool, in order.
        config: The options.
        round: The present round; 0 before the first.
        provenance: Which facts can have reached whom.
        traffic: What was sent and received, counted.

    Raises:
        ConfigurationError: When something is to be drawn and there is no ``rng``.
    """

    parameters: ClassVar[Mapping[str, tuple[Parameter, ...]]]

    def __init__(self, config: ChannelConfig, rng: np.random.Generator | None = None) -> None:
        if config.faulty and rng is None:
            raise ConfigurationError(
                f"drop={config.drop}, delay={config.delay}, duplicate={config.duplicate} are drawn: "
                "pass rng, a seeded numpy Generator."
            )
        self.config = config
        self.round = 0
        self.provenance = Provenance(config.n_agents)
        self.traffic = Traffic(config.n_agents)
        self._neighbours = make_topology(config.topology, config.n_agents, rng)
        self._reach = [frozenset(peers) for peers in self._neighbours]
        self._rng = rng if config.faulty else None
        self._active = set(range(config.n_agents))
        # Fetched or read in this round, seen by its agent in the next: (sender, receiver, sent, characters, known).
        self._unseen: list[tuple[int, int, int, int, int]] = []

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that :meth:`call` carries out."""
        return tuple(self.parameters)

    def peers(self, agent: int) -> tuple[int, ...]:
        """Agents that ``agent`` can send to and read files of."""
        return self._neighbours[agent]

    def begin_round(self, round: int) -> None:
        """Start a round: what earlier rounds brought on the way becomes visible, or takes effect.

        Args:
            round: Its number: 1, then one more each time.

        Raises:
            ConfigurationError: For any other number.
        """
        if round != self.round + 1:
            raise ConfigurationError(f"round={round!r} is out of turn: expected {self.round + 1}.")
        self.round = round
        self.traffic.begin_round()
        for sender, receiver, sent, characters, known in self._unseen:
            if receiver in self._active:
                self.provenance.deliver(sender, receiver, sent, round, characters, known)
        self._unseen.clear()
        self._arrive()

    def inbox(self, agent: int) -> tuple[Message, ...]:
        """Messages that became visible for ``agent`` at the start of this round, where they are pushed.

        Ordered by round sent, sender, and each sender's own order.
        """
        return ()

    def call(self, agent: int, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one tool.

        Args:
            agent: Who calls.
            tool: One of :attr:`tools`.
            arguments: By name, as :attr:`parameters` says.

        Returns:
            The JSON-ready result of the tool. A call that cannot be carried out gives ``{"success": False,
            "message": ...}``, which says what was expected, and leaves no trace.

        Raises:
            ConfigurationError: Before the first round, or for an agent that does not exist.
        """
        if agent not in self._active or not self.round:
            return self._turn_away(agent)
        parameters = self.parameters.get(tool) if isinstance(tool, str) else None
        if parameters is None:
            known = (*self.tools, *COMMON_TOOLS)
            name = shown(tool)
            return failure(f"There is no tool {name}: expected one of {', '.join(known)}.{suggestion(name, known)}")
        values = read_arguments(tool, parameters, arguments)
        return failure(values) if isinstance(values, str) else self._run(agent, tool, values)

    def deactivate(self, agent: int) -> None:
        """Take an agent out that has submitted; what is under way to it is never delivered."""
        self._active.discard(agent)

    @abstractmethod
    def _arrive(self) -> None:
        """Let everything that is due in this round become visible."""

    @abstractmethod
    def _run(self, agent: int, tool: str, values: Sequence[Any]) -> dict[str, Any]:
        """Carry out ``tool`` with the values of its parameters, of the right types."""

    def _turn_away(self, agent: int) -> dict[str, Any]:
        if agent not in range(self.config.n_agents):
            raise ConfigurationError(f"agent={agent!r} does not exist: expected 0 to {self.config.n_agents - 1}.")
        if not self.round:
            raise ConfigurationError("call() before the first round: expected begin_round(1) first.")
        return failure("You have submitted: nothing more can be done.")

    def _fate(self) -> tuple[int, ...]:
        """Rounds in which what is stored now becomes visible: none if it is lost, one of them twice if doubled."""
        due = self.round + 1
        if self._rng is None:
            return (due,)
        config, traffic = self.config, self.traffic
        # Always as many draws: changing one probability leaves what the others strike as it was.
        lost, late, extent, doubled = self._rng.random(4).tolist()
        if lost < config.drop:
            traffic.dropped += 1
            return ()
        if late < config.delay:
            traffic.delayed += 1
            due += 1 + int(extent * config.max_delay)
        if doubled < config.duplicate:
            traffic.duplicated += 1
            return (due, due)
        return (due,)

    def _over_length(self, content: str) -> str:
        """What is wrong with the length of ``content``; empty for nothing."""
        longest = self.config.max_message_chars
        if longest is None or len(content) <= longest:
            return ""
        return f"The content has {len(content)} characters: expected at most {longest}."


def success(message: str) -> dict[str, Any]:
    """The result of an action that was carried out."""
    return {"success": True, "message": message}


def failure(message: str) -> dict[str, Any]:
    """The result of an action that was not."""
    return {"success": False, "message": message}


def shown(value: object) -> str:
    """A value that an agent passed, short enough for a message."""
    try:
        return _SHORT.repr(value)
    except ValueError:
        # Python refuses to spell out integers of thousands of digits.
        return f"a very large {type(value).__name__}"


def read_arguments(tool: str, parameters: Sequence[Parameter], arguments: Any) -> list[Any] | str:
    """Put arguments in order.

    Args:
        tool: Name of the tool.
        parameters: What it takes.
        arguments: What an agent passed.

    Returns:
        One value per parameter, of its type; or what is wrong with the arguments, in words.
    """
    if type(arguments) is not dict and not isinstance(arguments, Mapping):
        return f"{tool} got {shown(arguments)} as arguments: expected them by name, {_signature(parameters)}."
    values: list[Any] = []
    absent = 0
    for name, kind, default in parameters:
        value = arguments.get(name, _MISSING)
        if type(value) is not kind:
            if value is _MISSING and default is not None:
                value = default
                absent += 1
            elif kind is int and isinstance(value, np.integer):
                value = int(value)
            elif value is _MISSING or kind is int or not isinstance(value, kind):
                given = "is missing" if value is _MISSING else f"is {shown(value)}"
                return f"{name} of {tool} {given}: expected {_KINDS[kind]}."
        values.append(value)
    if len(arguments) > len(parameters) - absent:
        extra = next(name for name in arguments if name not in _names(parameters))
        return f"{tool} has no argument {shown(extra)}: expected {_signature(parameters)}."
    return values


def _names(parameters: Sequence[Parameter]) -> list[str]:
    return [parameter.name for parameter in parameters]


def _signature(parameters: Sequence[Parameter]) -> str:
    return f"({', '.join(_names(parameters))})"
