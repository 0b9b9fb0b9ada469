"""Who judges the steps of an episode: the protocol, and what is checked before a method listens.

A critic reads what a policy saw and wrote and scores every step of it. One that has nothing to say of an episode says
so; that episode leaves the batch as a failure that is not the policy's. It never answers with zeros, which would be a
signal like any other (V-tableR1, arXiv 2604.20755; the published rubric is not known).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from fogline.core.episode import Episode, Failure
from fogline.core.errors import ConfigurationError, DataError, InfrastructureError
from fogline.trainers.rows import CriticRows

NO_STEP = -1


class CriticFault(InfrastructureError):
    """A critic has nothing usable to say of an episode: the episode leaves the batch, and is counted."""

    retryable = False


class StepScore(NamedTuple):
    """What a critic thinks of one step.

    Attributes:
        score: From 0, it does not hold, to 1, it holds.
        place: Where it stands in the action: its first character, and the one behind its last.
        turn: The seat's turn that it was written in.
    """

    score: float
    place: tuple[int, int] = (0, 0)
    turn: int = 0


@dataclass(frozen=True)
class Judgement:
    """What a critic thinks of an episode.

    Attributes:
        steps: In order; none where nothing could be read as a step.
        anchored: Whether a step points at something that is there.
        process: A finished process score in [0, 1], of critics that have one; None leaves it to the method to
            aggregate the steps.
    """

    steps: tuple[StepScore, ...]
    anchored: bool
    process: float | None = None


class Critic(Protocol):
    """Judges episodes of one seat.

    Attributes:
        name: In logs and errors.
    """

    name: str

    def judge(self, episodes: Sequence[Episode]) -> Sequence[Judgement | InfrastructureError]:
        """Judge episodes, all of them scored.

        Returns:
            For each episode its judgement, or why there is none.

        Raises:
            InfrastructureError: It cannot judge any more at all.
        """
        ...


class Judged(NamedTuple):
    """An episode with what a critic thinks of it; None for episodes that are not scored."""

    episode: Episode
    judgement: Judgement | None


def judged(critic: Critic | None, episodes: Sequence[Episode]) -> list[Judged]:
    """Ask a critic about every scored episode.

    Returns:
        The episodes in order. One of which the critic had nothing to say is no longer scored.

    Raises:
        ConfigurationError: An episode has several seats.
        DataError: The critic answers about another number of episodes, or with a score outside [0, 1].
    """
    asked = [episode for episode in episodes if episode.scored] if critic is not None else []
    if critic is None or not asked:
        return [Judged(episode, None) for episode in episodes]
    if len(asked[0].seats) > 1:
        raise ConfigurationError(
            f"critic {critic.name!r} judges episodes of one seat, and {asked[0].env_id} has {len(asked[0].seats)}."
        )
    answers = list(critic.judge(asked))
    if len(answers) != len(asked):
        raise DataError(f"critic {critic.name!r} judged {len(answers)} of {len(asked)} episodes: expected all of them.")
    found = iter(_checked(critic, *pair) for pair in zip(asked, answers, strict=True))
    return [next(found) if episode.scored else Judged(episode, None) for episode in episodes]


def _checked(critic: Critic, episode: Episode, answer: Judgement | InfrastructureError) -> Judged:
    if isinstance(answer, InfrastructureError):
        failure = Failure(type(answer).__name__, str(answer))
        return Judged(replace(episode, status="infra_error", failure=failure), None)
    scores = [step.score for step in answer.steps] + ([] if answer.process is None else [answer.process])
    for score in scores:
        if not (math.isfinite(score) and 0 <= score <= 1):
            raise DataError(
                f"critic {critic.name!r} gave task {episode.task_id!r}, seed {episode.seed}, the score {score}: "
                "expected a number from 0 to 1. A critic that cannot say answers with a CriticFault."
            )
    return Judged(episode, answer)


def critic_rows(
    found: Sequence[Judged], policy: Any, turn_index: Tensor, tokens: Tensor, dtype: torch.dtype
) -> CriticRows:
    """Lay out judgements as rows of a batch.

    Args:
        found: Of each row.
        policy: Who wrote the tokens; without a tokenizer, every token belongs to the step of its turn, if it has one.
        turn_index: ``[N,T]`` int64, -1 where the policy did not write.
        tokens: ``[N,T]`` int64.
        dtype: Of scores.
    """
    steps = [() if item.judgement is None else item.judgement.steps for item in found]
    longest = max([len(row) for row in steps] + [1])
    score = torch.zeros(len(found), longest, dtype=dtype)
    mask = torch.zeros(len(found), longest, dtype=torch.bool)
    process = torch.full((len(found),), math.nan, dtype=dtype)
    anchored = torch.zeros(len(found), dtype=torch.bool)
    token_step = torch.full(tokens.shape, NO_STEP)
    for row, item in enumerate(found):
        if item.judgement is None:
            continue
        score[row, : len(steps[row])] = torch.tensor([step.score for step in steps[row]], dtype=dtype)
        mask[row, : len(steps[row])] = True
        anchored[row] = item.judgement.anchored
        if item.judgement.process is not None:
            process[row] = item.judgement.process
        for turn in dict.fromkeys(step.turn for step in steps[row]):
            written = turn_index[row] == turn
            token_step[row, written] = _steps_of_tokens(policy, tokens[row, written].tolist(), steps[row], turn)
    return CriticRows(score, mask, anchored, process, token_step)


def _steps_of_tokens(policy: Any, ids: list[int], steps: Sequence[StepScore], turn: int) -> Tensor:
    """The step of each token of a turn: the last one that begins before the token ends, and ends behind its start."""
    tokenizer = getattr(policy, "tokenizer", None)
    if tokenizer is None:
        return torch.full((len(ids),), next(place for place, step in enumerate(steps) if step.turn == turn))
    ends = _character_ends(tokenizer, ids)
    found = torch.full((len(ids),), NO_STEP)
    for place, step in enumerate(steps):
        if step.turn == turn:
            first, last = step.place
            inside = [start < last and end > first for start, end in zip([0, *ends[:-1]], ends, strict=True)]
            found[torch.tensor(inside)] = place
    return found


def _character_ends(tokenizer: Any, ids: list[int]) -> list[int]:
    """Where each token ends in the decoded text."""

    def decoded(some: list[int]) -> str:
        text: str = tokenizer.decode(some, clean_up_tokenization_spaces=False)
        return text

    parts = [decoded([one]) for one in ids]
    if "".join(parts) != decoded(ids):
        # Characters of several tokens: only prefixes say where one ends.
        parts = [decoded(ids[: place + 1]) for place in range(len(ids))]
        return [len(part) for part in parts]
    ends, length = [], 0
    for part in parts:
        length += len(part)
        ends.append(length)
    return ends
