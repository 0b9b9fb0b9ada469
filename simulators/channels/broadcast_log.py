"""One log for everybody: whatever is said goes to all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fogline.simulators.channels.base import Parameter, failure, success
from fogline.simulators.channels.mailboxes import MessageChannel


class BroadcastChannel(MessageChannel):
    """A log that each agent reads except for its own entries (Silo-Bench, appendix A).

    An entry goes to the neighbours of its sender. It has one fate: it is lost, late or doubled for all of them.
    """

    parameters: ClassVar[Mapping[str, tuple[Parameter, ...]]] = {
        "broadcast_message": (Parameter("content", str),),
        "receive_messages": (),
        "list_agents": (),
    }

    def _run(self, agent: int, tool: str, values: Sequence[Any]) -> dict[str, Any]:
        if tool == "broadcast_message":
            return self._broadcast(agent, *values)
        return self._receive(agent) if tool == "receive_messages" else self._list()

    def _broadcast(self, agent: int, content: str) -> dict[str, Any]:
        problem = self._over_length(content)
        if problem:
            return failure(problem)
        self._post(agent, self._neighbours[agent], content)
        return success("Broadcast.")

    def _list(self) -> dict[str, Any]:
        total = self.config.n_agents
        return {"agent_ids": list(range(total)), "total": total}
