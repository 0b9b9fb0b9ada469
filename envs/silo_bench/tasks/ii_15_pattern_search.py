"""II-15: counting a pattern with gaps (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_text
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined

PATTERN = "ABC"
ALPHABET = "ABCDXYZ"
PLANTED = 2


class PatternSearch(SiloTask):
    """How often A, B and C follow each other, with gaps and without overlap, reading greedily.

    The reader is a machine whose state is the number of letters found. A summary says, for each state in which the
    machine may enter a range, ``[state at its end, patterns completed]``.
    """

    task_id = "II-15"
    name = "Pattern Search"
    items_per_agent = 20
    topology = "chain"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 20 letters per agent, then plant the pattern twice with gaps."""
        letters = list(random_text(rng, ALPHABET, self.items_per_agent * n_agents))
        for _ in range(PLANTED):
            start = int(rng.integers(len(letters) - 15, endpoint=True))
            letters[start] = "A"
            letters[start + int(rng.integers(1, 5, endpoint=True))] = "B"
            letters[start + int(rng.integers(6, 10, endpoint=True))] = "C"
        return Problem(tuple("".join(shard) for shard in dealt(letters, n_agents)))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Read the whole text."""
        return (read(joined(problem.shards), 0)[1],) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard read from each state."""
        return [read(shard, state) for state in range(len(PATTERN))]

    def merge(self, left: Any, right: Any) -> Any:
        """Enter the right where the left ends."""
        return [[right[state][0], count + right[state][1]] for state, count in left]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """The count of a machine that starts with nothing found."""
        return summary[0][1]

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Count a pattern while reading a text once from its start: look for an A, then for the next B after "
            "it, then for the next C after that, skipping all other letters. Each C found this way completes one "
            "pattern, and the search for an A begins anew behind it. A pattern may span blocks. "
            + held(problem, agent, "letters", "text"),
            answer="Submit the number of completed patterns in the whole text as a JSON integer, such as 17.",
            algorithm="What happens in a block depends only on which letter is looked for when it begins. For each of "
            "the three cases a block yields a count and the letter looked for at its end; blocks link in order.",
        )


def read(text: str, state: int) -> list[int]:
    """Run the machine over ``text``: the state at the end and the number of completed patterns."""
    completed = 0
    for letter in text:
        if letter == PATTERN[state]:
            state += 1
            if state == len(PATTERN):
                state = 0
                completed += 1
    return [state, completed]
