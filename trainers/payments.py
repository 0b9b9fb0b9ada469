"""What a seat's turns were paid: by the environment's whole sum, by their own terms, or by one of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fogline.core.episode import Episode, Turn
from fogline.core.rewards import RewardScheme

Value = Callable[[Turn], float]


def whole(turn: Turn) -> float:
    """The turn's reward."""
    return float(turn.reward)


def of_terms(scheme: RewardScheme) -> Value:
    """The part of a turn's reward that its own terms make."""
    return lambda turn: float(scheme.of_turn(turn.terms)) if turn.terms else 0.0


def of_term(name: str, weight: float) -> Value:
    """The part that one term makes."""
    return lambda turn: weight * float(turn.terms.get(name, 0.0))


def payments(episode: Episode, turns: Sequence[Turn], seat: str, seat_reward: str, value: Value) -> list[float]:
    """The value of each of a seat's turns: its own alone, or with ``team`` all values until the seat's next turn.

    Seats that act in one step are paid by one step: a step ends where a seat comes up again.
    """
    if seat_reward == "own":
        return [value(turn) for turn in turns]
    steps: list[dict[str, Turn]] = [{}]
    for turn in episode.turns:
        if turn.seat in steps[-1]:
            steps.append({})
        steps[-1][turn.seat] = turn
    rewards, position = [0.0] * len(turns), -1
    for step in steps:
        position += seat in step
        rewards[max(position, 0)] += sum(map(value, step.values()))
    return rewards
