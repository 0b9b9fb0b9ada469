"""Why a seat failed, from tracked provenance: exact, where the paper reads logs and asks annotators (section 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fogline.envs.silo_bench.scoring import canonical
from fogline.envs.silo_bench.tasks.task import Problem, SiloTask


@dataclass(frozen=True, slots=True)
class Failures:
    """Labels of one game; a seat may have none, and they do not exclude one another across seats.

    Provenance is an upper bound on knowledge: a message may have left data out.

    Attributes:
        premature: Seats that submitted before the shards that decide their answer could have reached them.
        computation_error: Seats that could know all they needed and were wrong.
        no_submission: Seats without an answer.
        consensus_failure: Whether seats that owe the same answer gave different ones; None for segmented tasks,
            whose answers differ by right.
        distinct_answers: How many different answers were submitted.
    """

    premature: tuple[int, ...]
    computation_error: tuple[int, ...]
    no_submission: tuple[int, ...]
    consensus_failure: bool | None
    distinct_answers: int


def find_failures(
    task: SiloTask,
    problem: Problem,
    submitted: Sequence[bool],
    answers: Sequence[Any],
    known: Sequence[int],
    correct: Sequence[bool],
) -> Failures:
    """Label every seat.

    Args:
        task: What was computed.
        problem: The instance.
        submitted: Whether each seat submitted.
        answers: What it submitted.
        known: Bit mask of the shards that can have reached it by then.
        correct: Whether its answer is right.
    """
    seats = range(len(submitted))
    enough = [task.sufficient(problem, agent, known[agent]) for agent in seats]
    given = {repr(canonical(answers[agent])) for agent in seats if submitted[agent]}
    return Failures(
        premature=tuple(agent for agent in seats if submitted[agent] and not enough[agent]),
        computation_error=tuple(agent for agent in seats if submitted[agent] and enough[agent] and not correct[agent]),
        no_submission=tuple(agent for agent in seats if not submitted[agent]),
        consensus_failure=None if task.segmented else len(given) > 1,
        distinct_answers=len(given),
    )
