"""Who plays a cell: one agent for all seats, or the members of a mixed team in turn."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fogline.agents.agent import Agent, Decision, SeatView
from fogline.agents.registry import SCRIPTED, make_agent
from fogline.envs.silo_bench.parallel import NAME

if TYPE_CHECKING:
    from fogline.benchmarks.sweeps.config import SweepConfig

CHAT = "chat"
_CHAT_WITH = "chat:"


def is_chat(name: str) -> bool:
    """Whether a name is ``"chat"`` or ``"chat:MODEL"``."""
    return name == CHAT or name.startswith(_CHAT_WITH)


def registered_name(name: str) -> str:
    """The name that the registry of agents knows: ``"chat:MODEL"`` is ``"chat"``."""
    return CHAT if is_chat(name) else name


def options_of(config: SweepConfig, name: str) -> dict[str, Any]:
    """Keywords of an agent; they are part of a cell's key."""
    chosen = config.agent_options
    if not is_chat(name):
        return dict(chosen.get(name, {}))
    model = {"model": name.removeprefix(_CHAT_WITH)} if name != CHAT else {}
    return {**chosen.get(CHAT, {}), **model, **chosen.get(name, {})}


def make_member(config: SweepConfig, name: str) -> Agent:
    """Build one member of a team.

    Raises:
        ConfigurationError: For an unknown agent or option.
        DataError: For a damaged price list.
    """
    options = options_of(config, name)
    if is_chat(name):
        from fogline.envs.silo_bench.prompts import observation_text

        # How it is played and paid: none of this makes another cell.
        own: dict[str, Any] = {"concurrency": config.concurrency, "render": observation_text}
        own.update({key: value for key in ("prices", "cache_dir") if (value := getattr(config, key)) is not None})
        options = {**own, **options}
    return make_agent(registered_name(name), NAME, **options)


class InWords:
    """Writes the tool calls of a scripted agent down, for games in which seats write: beside a chat agent, say.

    Args:
        agent: Who decides.
    """

    def __init__(self, agent: Agent) -> None:
        self.name = agent.name
        self.batch_size = agent.batch_size
        self._agent = agent

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Decide for each view, in text."""
        decisions: Any = self._agent.act(views)
        return [_in_words(view, decision) for view, decision in zip(views, decisions, strict=True)]


def waits(agent: Agent) -> bool:
    """Whether an agent waits, for a server, say: its ``act`` is ``async``."""
    return inspect.iscoroutinefunction(agent.act)


def seated(members: Mapping[str, Agent], team: Sequence[str], seats: int) -> Agent | dict[str, Agent]:
    """The team at its seats: one agent for all of them, or seat i with member i modulo their number."""
    if len(team) == 1:
        return members[team[0]]
    return {f"agent_{seat}": members[team[seat % len(team)]] for seat in range(seats)}


def is_scripted(name: str) -> bool:
    """Whether an agent is one of fogline's own for Silo-Bench, which make tool calls and do not write."""
    return name in SCRIPTED[NAME]


def _in_words(view: SeatView, decision: Any) -> Any:
    """The text of tool calls; what is none, such as an error, stays as it is."""
    if isinstance(decision, Decision) or not isinstance(decision, tuple) or view.tool_action is None:
        return decision
    return "".join(view.tool_action(tool, arguments) for tool, arguments in decision)
