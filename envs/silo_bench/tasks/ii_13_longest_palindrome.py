"""II-13: the longest palindrome (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_text
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, joined

CORE = "racecar"
ARMS = (5, 11)
"""Fewest and most letters that mirror each other on the two sides of the core. Even the fewest make the palindrome
longer (17) than a shard (15), so no agent holds it alone; the most (29) still fit the text of two agents (30)."""


class LongestPalindrome(SiloTask):
    """The length of the longest palindromic substring. A summary is the text.

    As published, ``racecar`` is written at a random place: it often lies inside one shard, and the answer is 7 nearly
    always. The repaired generator mirrors random letters on both sides of it until no shard can hold the palindrome.
    """

    task_id = "II-13"
    name = "Longest Palindrome"
    items_per_agent = 15
    topology = "both ways"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw 15 letters per agent and write a palindrome somewhere."""
        size = self.items_per_agent * n_agents
        text = random_text(rng, string.ascii_lowercase, size)
        planted = CORE
        if data == "fixed" and n_agents > 1:
            arm = random_text(rng, string.ascii_lowercase, int(rng.integers(*ARMS, endpoint=True)))
            planted = arm + CORE + arm[::-1]
        start = int(rng.integers(size - len(planted), endpoint=True))
        text = text[:start] + planted + text[start + len(planted) :]
        cuts = range(0, size, self.items_per_agent)
        return Problem(tuple(text[cut : cut + self.items_per_agent] for cut in cuts))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Search the whole text."""
        return (longest_palindrome(joined(problem.shards)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard itself."""
        return shard

    def merge(self, left: Any, right: Any) -> Any:
        """One after the other."""
        return left + right

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Search the whole text."""
        return longest_palindrome(summary)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Find the length of the longest palindrome in a text: the longest run of consecutive letters that "
            "reads the same in both directions. It may span blocks. " + held(problem, agent, "letters", "text"),
            answer="Submit the length of the longest palindrome of the whole text as a JSON integer, such as 17.",
            algorithm="A palindrome lies inside one block or spans borders between blocks. Besides the longest of each "
            "block, those that start in one block and end in another count; putting the blocks' text together in order "
            "shows them all.",
        )


def longest_palindrome(text: str) -> int:
    """Length of the longest palindromic substring, in linear time (Manacher 1975).

    ``radius[i]`` counts the characters on one side of centre ``i`` in the text with a separator around every letter;
    there it equals the length of the palindrome in the text itself.
    """
    spaced = "|" + "|".join(text) + "|"
    size = len(spaced)
    radius = [0] * size
    centre = end = 0
    for i in range(size):
        # A centre inside the palindrome that reaches furthest right starts from the radius of its mirror image.
        reach = min(end - i, radius[2 * centre - i]) if i < end else 0
        low, high = i - reach - 1, i + reach + 1
        while low >= 0 and high < size and spaced[low] == spaced[high]:
            low -= 1
            high += 1
        radius[i] = high - i - 1
        if high - 1 > end:
            centre, end = i, high - 1
    return max(radius)
