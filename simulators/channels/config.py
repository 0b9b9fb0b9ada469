"""The options of a channel, checked when they are given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fogline.core.errors import ConfigurationError, check_choice
from fogline.simulators.channels.topology import TOPOLOGIES, Graph, Pair, read_pairs

DeliveryMode = Literal["push", "pull"]
_MODES: tuple[DeliveryMode, ...] = ("push", "pull")


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Who may exchange what with whom, and what goes wrong on the way.

    Attributes:
        n_agents: Number of agents, at least 1.
        max_message_chars: Longest content of a message or file; None for no bound.
        drop: Probability that a message is lost.
        delay: Probability that one which is not lost comes 1 to ``max_delay`` rounds late, each equally likely.
        duplicate: Probability that one which is not lost comes twice, both in the same round.
        max_delay: Most rounds of delay.
        delivery: ``"push"`` hands messages over at the start of the round in which they become visible (Silo-Bench,
            arXiv 2603.01045, appendix A.5); ``"pull"`` keeps them until the agent asks, as the paper's code does.
            Files are always read on demand.
        topology: A name of :data:`~fogline.simulators.channels.topology.TOPOLOGIES`, undirected pairs of agents, or a
            graph that has ``edges``; kept as a name or as sorted pairs.
    """

    n_agents: int
    max_message_chars: int | None = None
    drop: float = 0.0
    delay: float = 0.0
    duplicate: float = 0.0
    max_delay: int = 1
    delivery: DeliveryMode = "push"
    topology: str | Iterable[Pair] | Graph = "complete"

    def __post_init__(self) -> None:
        """Refuse values that do not make a channel.

        Raises:
            ConfigurationError: Naming the option, the value, and what was expected.
        """
        for name in ("n_agents", "max_delay", "max_message_chars"):
            value = getattr(self, name)
            if name == "max_message_chars" and value is None:
                continue
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name}={value!r} is out of range: pass an integer of at least 1.")
        for name in ("drop", "delay", "duplicate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise ConfigurationError(f"{name}={value!r} is not a probability: expected a number from 0 to 1.")
        check_choice("delivery", self.delivery, _MODES)
        if isinstance(self.topology, str):
            check_choice("topology", self.topology, TOPOLOGIES)
        else:
            object.__setattr__(self, "topology", read_pairs(self.topology, self.n_agents))

    @property
    def faulty(self) -> bool:
        """Whether anything can go wrong on the way."""
        return bool(self.drop or self.delay or self.duplicate)
