"""A message and where it may go."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """Text from one agent to another, or to everybody.

    Attributes:
        sender: Number of the agent that sent it.
        content: The text, bytes preserved.
        round: Round in which it was sent, from 1.
    """

    sender: int
    content: str
    round: int
