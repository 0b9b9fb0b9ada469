"""Which facts can have reached whom: exact, whatever the messages said."""

from __future__ import annotations

from typing import NamedTuple


class Delivery(NamedTuple):
    """A message, log entry or file that came before the eyes of an agent.

    Attributes:
        sender: Who sent or wrote it.
        receiver: Who got to see it.
        sent: Round in which it was sent or written.
        delivered: Round from whose start the receiver has it. That is the round in which a message becomes visible
            when the channel pushes; for what an agent fetches or reads it is the round after the call, because
            an agent sees what a call returned in its next round.
        characters: Length of the content.
        gained: Bit mask of the facts that the receiver could not know before.
    """

    sender: int
    receiver: int
    sent: int
    delivered: int
    characters: int
    gained: int


class Provenance:
    """Causal knowledge of every agent, as bit masks over facts.

    Fact i is the shard that agent i starts with. Whatever an agent sends or writes can tell all that it knows at that
    time, so a delivery carries the sender's mask of then. What an agent is said to know is thus an upper bound: a
    message may have left facts out.

    Args:
        n_agents: Number of agents, and of facts.

    Attributes:
        n_agents: Number of agents.
        log: Every delivery, in the order in which they happened. A duplicate is a delivery of its own.
    """

    __slots__ = ("_known", "log", "n_agents")

    def __init__(self, n_agents: int) -> None:
        self.n_agents = n_agents
        self.log: list[Delivery] = []
        self._known = [1 << agent for agent in range(n_agents)]

    def knows(self, agent: int) -> int:
        """Bit mask of the facts that can have reached ``agent``."""
        return self._known[agent]

    def coverage(self, agent: int) -> float:
        """Share of all facts that can have reached ``agent``, above 0 and up to 1."""
        return self._known[agent].bit_count() / self.n_agents

    def deliver(self, sender: int, receiver: int, sent: int, delivered: int, characters: int, carried: int) -> None:
        """Record a delivery.

        Args:
            sender: Who sent or wrote it.
            receiver: Who sees it.
            sent: Round in which it was sent.
            delivered: Round from whose start the receiver has it.
            characters: Length of the content.
            carried: What the sender knew when it sent, as a bit mask.
        """
        known = self._known[receiver]
        self.log.append(Delivery(sender, receiver, sent, delivered, characters, carried & ~known))
        self._known[receiver] = known | carried

    def path_of(self, fact: int, agent: int) -> tuple[Delivery, ...] | None:
        """The chain of deliveries by which a fact first reached an agent.

        Args:
            fact: Number of the fact, which is that of the agent whose shard it is.
            agent: Where it went.

        Returns:
            Deliveries from the owner of the fact to the agent: each one's receiver is the next one's sender, and it was
            delivered no later than the next was sent. Empty for an agent's own fact; None if the fact never came.
        """
        if not self._known[agent] >> fact & 1:
            return None
        chain: list[Delivery] = []
        # A fact is gained once, and before it is passed on: one walk back through the log meets the whole chain.
        for delivery in reversed(self.log):
            if agent == fact:
                break
            if delivery.receiver == agent and delivery.gained >> fact & 1:
                chain.append(delivery)
                agent = delivery.sender
        return tuple(reversed(chain))


def facts_of(mask: int) -> tuple[int, ...]:
    """Numbers of the facts in a bit mask, in ascending order."""
    return tuple(fact for fact in range(mask.bit_length()) if mask >> fact & 1)
