"""A human at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from fogline.agents.agent import SeatView
from fogline.core.errors import AgentError


class HumanAgent:
    """Shows each observation and asks for the action: a numbered tool with its arguments, or free text.

    Args:
        read: Reads one line after showing a prompt; ``input`` by default.
        write: Where to show things.
    """

    name = "human"
    batch_size: int | None = 1

    def __init__(self, read: Callable[[str], str] = input, write: TextIO | None = None) -> None:
        self._read = read
        self._write = write or sys.stdout

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Ask for one action per view.

        Raises:
            AgentError: When the input ends.
        """
        try:
            return [self._ask(view) for view in views]
        except EOFError as error:
            raise AgentError("the input ended before the episode did.") from error

    def _ask(self, view: SeatView) -> Any:
        if not view.turns and view.system_prompt:
            print(view.system_prompt, end="\n\n", file=self._write)
        print(f"{view.observation}\n", file=self._write)
        if not view.tools or view.tool_action is None:
            return self._plain(view)
        for number, tool in enumerate(view.tools, 1):
            function = tool["function"]
            print(f"  {number}. {function['name']} — {function['description']}", file=self._write)
        while True:
            choice = self._read(f"turn {len(view.turns) + 1}: number of a tool, or t for free text> ").strip()
            if choice.lower() == "t":
                return self._text()
            if choice.isdecimal() and 1 <= int(choice) <= len(view.tools):
                function = view.tools[int(choice) - 1]["function"]
                return view.tool_action(function["name"], self._arguments(function["parameters"]))
            print(f"{choice!r} is not one of them: expected 1 to {len(view.tools)}, or t.", file=self._write)

    def _arguments(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        required = parameters.get("required", [])
        for name, kind in parameters.get("properties", {}).items():
            if name not in required:
                continue
            given[name] = self._argument(name, kind)
        return given

    def _argument(self, name: str, kind: Mapping[str, Any]) -> Any:
        if kind.get("type") == "array":
            return [item.strip() for item in self._read(f"  {name} (comma-separated)> ").split(",") if item.strip()]
        if kind.get("type") == "object":
            mapping: dict[str, list[str]] = {}
            while line := self._read(f"  {name} (KEY: a, b; an empty line ends)> ").strip():
                key, _, items = line.partition(":")
                mapping[key.strip()] = [item.strip() for item in items.split(",") if item.strip()]
            return mapping
        return self._read(f"  {name}> ")

    def _text(self) -> str:
        print("  text; an empty line ends it", file=self._write)
        lines = []
        while line := self._read("  "):
            lines.append(line)
        return "\n".join(lines)

    def _plain(self, view: SeatView) -> Any:
        from gymnasium import spaces

        if isinstance(view.action_space, spaces.Discrete):
            first, count = int(view.action_space.start), int(view.action_space.n)
            while True:
                choice = self._read(f"action, {first} to {first + count - 1}> ").strip()
                if choice.removeprefix("-").isdecimal() and first <= int(choice) < first + count:
                    return int(choice)
        return self._text()
