"""What went over a channel, counted."""

from __future__ import annotations

from collections.abc import Iterable


class Traffic:
    """Counts of one episode. Calls that failed are in none of them.

    What agents sent is counted when they send it, whatever becomes of it; what they received when it arrives, or when
    they fetch or read it. Lists have one entry per agent.

    Args:
        n_agents: Number of agents.

    Attributes:
        n_agents: Number of agents.
        sent: Messages sent; a broadcast is one. Files are no messages.
        delivered: Messages received, duplicates included; of files, reads of what others wrote.
        characters_sent: Characters of what was sent or written; a broadcast counts once.
        characters_delivered: Characters of what was received, or read of others.
        reads: Files read, one's own included.
        cross_reads: Reads by others of files that the agent wrote.
        writes: Files written: a path counts once a round, for the one whose write is its last in that round.
        dropped: Messages, log entries, and changes of files that were lost.
        delayed: Those that came late.
        duplicated: Those that came twice.
        max_in_degree: Most messages (or reads of others' files) that one agent received in one round.
        max_characters_received: Most characters that one agent received in one round.
    """

    __slots__ = (
        "_characters_now",
        "_messages_now",
        "_pairs",
        "characters_delivered",
        "characters_sent",
        "cross_reads",
        "delayed",
        "delivered",
        "dropped",
        "duplicated",
        "max_characters_received",
        "max_in_degree",
        "n_agents",
        "reads",
        "sent",
        "writes",
    )

    def __init__(self, n_agents: int) -> None:
        self.n_agents = n_agents
        self.sent = [0] * n_agents
        self.delivered = [0] * n_agents
        self.characters_sent = [0] * n_agents
        self.characters_delivered = [0] * n_agents
        self.reads = [0] * n_agents
        self.cross_reads = [0] * n_agents
        self.writes = [0] * n_agents
        self.dropped = self.delayed = self.duplicated = 0
        self.max_in_degree = self.max_characters_received = 0
        self._pairs = [0] * (n_agents * n_agents)
        self._messages_now = [0] * n_agents
        self._characters_now = [0] * n_agents

    @property
    def pairs(self) -> dict[tuple[int, int], int]:
        """Messages sent from one agent to another by ``(sender, receiver)``, a broadcast to each that it is for.

        Of files, reads by ``(writer, reader)``. Only pairs with at least one, in ascending order.
        """
        return {divmod(place, self.n_agents): count for place, count in enumerate(self._pairs) if count}

    def begin_round(self) -> None:
        """Start the counts of one round afresh."""
        self._messages_now = [0] * self.n_agents
        self._characters_now = [0] * self.n_agents

    def count_sent(self, sender: int, receivers: Iterable[int], characters: int) -> None:
        """One message from ``sender`` to all of ``receivers``."""
        self.sent[sender] += 1
        self.characters_sent[sender] += characters
        first = sender * self.n_agents
        for receiver in receivers:
            self._pairs[first + receiver] += 1

    def count_received(self, receiver: int, messages: int, characters: int) -> None:
        """So many ``messages`` that came to ``receiver`` in the present round."""
        self.delivered[receiver] += messages
        self.characters_delivered[receiver] += characters
        self._messages_now[receiver] += messages
        self._characters_now[receiver] += characters
        self.max_in_degree = max(self.max_in_degree, self._messages_now[receiver])
        self.max_characters_received = max(self.max_characters_received, self._characters_now[receiver])

    def count_read(self, reader: int, writer: int, characters: int) -> None:
        """One file of ``writer`` that ``reader`` read."""
        self.reads[reader] += 1
        if reader != writer:
            self.cross_reads[writer] += 1
            self._pairs[writer * self.n_agents + reader] += 1
            self.count_received(reader, 1, characters)
