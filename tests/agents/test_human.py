"""The human at the terminal: what is asked, what becomes of the answers."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from games import CountEnv
from gymnasium import spaces
from shop import GOLD, LIST_SQL, make

from fogline.agents.agent import SeatView
from fogline.agents.collector import collect_all
from fogline.agents.human import HumanAgent
from fogline.simulators.databases.records import TextToSQLDataset


def typing(*lines: str) -> Callable[[str], str]:
    """Reads as somebody who types these lines and then leaves."""
    left = list(lines)

    def read(prompt: str) -> str:
        if not left:
            raise EOFError
        return left.pop(0)

    return read


def human(*lines: str) -> tuple[HumanAgent, io.StringIO]:
    screen = io.StringIO()
    return HumanAgent(typing(*lines), screen), screen


def test_a_whole_game_can_be_played_by_numbers(shop: TextToSQLDataset) -> None:
    agent, screen = human(
        *("1", LIST_SQL),
        *("2", "customer", "customer: country", ""),
        *("3", GOLD["shop-count"]),
        *("4", GOLD["shop-count"]),
    )
    (episode,) = collect_all(lambda: make(shop), agent, [("shop-count", 0)])
    assert episode.reward == pytest.approx(1.1)
    assert episode.outcome["schema"] == 1.0
    shown = screen.getvalue()
    assert shown.count("You answer questions about a SQLite database") == 1
    assert "1. explore_schema — " in shown
    assert "CREATE TABLE customer" in shown
    assert "Schema recorded: 1 table(s)" in shown


def test_free_text_ends_with_an_empty_line(shop: TextToSQLDataset) -> None:
    agent, _ = human("t", "first line", "second line", "", "4", "SELECT 1")
    (episode,) = collect_all(lambda: make(shop), agent, [("shop-count", 0)])
    assert episode.turns[0].action == "first line\nsecond line"
    assert episode.turns[0].malformed


@pytest.mark.parametrize("wrong", ["0", "5", "x", "", "-1", "²", "1.0"])
def test_a_wrong_number_is_asked_again(shop: TextToSQLDataset, wrong: str) -> None:
    agent, screen = human(wrong, "4", "SELECT 1")
    (episode,) = collect_all(lambda: make(shop), agent, [("shop-count", 0)])
    assert len(episode.turns) == 1
    assert "is not one of them: expected 1 to 4, or t." in screen.getvalue()


@pytest.mark.parametrize("lines", [(), ("1",), ("t", "half")])
def test_the_end_of_the_input_is_the_agents_end(shop: TextToSQLDataset, lines: tuple[str, ...]) -> None:
    agent, _ = human(*lines)
    (episode,) = collect_all(lambda: make(shop), agent, [("shop-count", 0)])
    assert episode.failure is not None
    assert (episode.status, episode.failure.kind) == ("agent_error", "AgentError")


def test_a_discrete_action_is_a_number_in_range() -> None:
    agent, _ = human("17", "x", "²", "4")
    (episode,) = collect_all(CountEnv, agent, [("length-1", 0)])
    assert episode.turns[0].action == 4


def test_a_discrete_action_may_start_below_zero() -> None:
    view = SeatView("E", "", "agent", spaces.Discrete(3, start=-1))
    assert human("-2", "-1")[0].act([view]) == [-1]


def test_lists_and_mappings_are_typed_in_pieces() -> None:
    calls: list[tuple[str, Any]] = []
    tool = {
        "function": {
            "name": "move",
            "description": "Moves.",
            "parameters": {
                "properties": {
                    "to": {"type": "string"},
                    "via": {"type": "array"},
                    "load": {"type": "object"},
                    "why": {"type": "string"},
                },
                "required": ["to", "via", "load"],
            },
        }
    }
    view = SeatView(
        "E", "", "agent", None, tools=[tool], tool_action=lambda name, arguments: calls.append((name, arguments))
    )
    human("1", "home", "a, b ,,c", "cart: x, y", "bag:", "")[0].act([view])
    assert calls == [("move", {"to": "home", "via": ["a", "b", "c"], "load": {"cart": ["x", "y"], "bag": []}})]
