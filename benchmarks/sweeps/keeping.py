"""What a sweep stores of an episode: every seat's answer, or everything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fogline.benchmarks.sweeps.config import Keep
from fogline.core.episode import Episode, Turn
from fogline.core.errors import DataError
from fogline.envs.silo_bench.reading import read_calls, read_text

_SAME = "same_answer_as"
_SUBMIT = "submit_result"


def kept(episode: Episode, keep: Keep, agent: str) -> Episode:
    """The episode as it is stored, under the name of its team.

    ``"answers"`` keeps of every seat one turn: its last, without the observation, with the rewards and terms of all
    its turns added up, so that the episode's reward and each seat's stay what they were. Of structured actions only
    the submission stays, and an answer that another seat gave, too, stands there once: a hundred seats may submit the
    same ten thousand numbers. :func:`answers_of` reads both forms.

    Args:
        episode: As it was played.
        keep: ``"answers"`` or ``"all"``.
        agent: Name of the team.
    """
    if keep == "all":
        return replace(episode, agent=agent)
    turns: list[Turn] = []
    given: dict[str, str] = {}
    for seat, own in _by_seat(episode).items():
        last = own[-1]
        action = last.action if isinstance(last.action, str) else _told_once(seat, _submission(last), given)
        reward = sum(turn.reward for turn in own)
        turns.append(Turn(seat, None, action, reward, _added_up(own), last.phase, last.malformed))
    return replace(episode, turns=tuple(turns), final_observation=None, agent=agent)


def answers_of(episode: Episode) -> dict[str, Any]:
    """What the seats submitted, by seat, from an episode in either form; seats without an answer are left out.

    Raises:
        DataError: If a turn refers to a seat that has no answer.
    """
    answers: dict[str, Any] = {}
    same: dict[str, str] = {}
    for turn in episode.turns:
        if turn.phase != "submit":
            continue
        if isinstance(turn.action, Mapping) and _SAME in turn.action:
            same[turn.seat] = str(turn.action[_SAME])
        else:
            for _, arguments in _submission(turn):
                answers[turn.seat] = arguments["answer"]
    for seat, other in same.items():
        if other not in answers:
            raise DataError(f"{seat} of {episode.task_id!r} is said to have answered as {other!r}, who has no answer.")
        answers[seat] = answers[other]
    return {seat: answers[seat] for seat in episode.seats if seat in answers}


def _by_seat(episode: Episode) -> dict[str, list[Turn]]:
    own: dict[str, list[Turn]] = {seat: [] for seat in episode.seats}
    for turn in episode.turns:
        own[turn.seat].append(turn)
    return {seat: turns for seat, turns in own.items() if turns}


def _submission(turn: Turn) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The call that submitted, or nothing."""
    if turn.phase != "submit":
        return ()
    reading = read_text(turn.action) if isinstance(turn.action, str) else read_calls(turn.action)
    for tool, arguments in reading.calls:
        if tool == _SUBMIT:
            return ((tool, {"answer": arguments.get("answer")}),)
    return ()


def _told_once(seat: str, submission: tuple[tuple[str, dict[str, Any]], ...], given: dict[str, str]) -> Any:
    """The submission, or the seat that gave the same answer before."""
    for _, arguments in submission:
        try:
            # As text, because 1, 1.0 and True are equal in Python and not the same answer.
            text = json.dumps(arguments["answer"])
        except (TypeError, ValueError, RecursionError):
            return submission
        first = given.setdefault(text, seat)
        if first != seat:
            return {_SAME: first}
    return submission


def _added_up(turns: list[Turn]) -> dict[str, float]:
    total: dict[str, float] = {}
    for turn in turns:
        for name, value in turn.terms.items():
            total[name] = total.get(name, 0.0) + value
    return total
