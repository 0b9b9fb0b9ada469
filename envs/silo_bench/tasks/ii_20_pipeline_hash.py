"""II-20: a hash that runs through all texts (Silo-Bench, arXiv 2603.01045, appendix E)."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.blocks import held, random_text, segments
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined

MODULUS = 10_000
ALPHABET = string.ascii_letters + string.digits
PAYLOAD = 12


class PipelineHash(SiloTask):
    """The hash after each text, fed with the hash before; each agent answers for its texts.

    The step is not invertible and does not compose into less than the texts' own sums. A summary of a range that
    begins with agent 0 is ``{"before": hash, "after": hash}``, before and after the texts of the last agent in it; of
    any other range it is ``{"sums": [...]}``, one list of character sums for each agent in it.

    As published, text number i reads ``Block_i_Data``, so the answer is known in advance. The repaired generator
    draws twelve random characters for each.
    """

    task_id = "II-20"
    name = "Pipeline Hash"
    items_per_agent = 5
    segmented = True
    scope = "prefix"
    topology = "chain"

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Make five texts per agent."""
        size = self.items_per_agent * n_agents
        if data == "repo":
            return Problem(dealt([f"Block_{index}_Data" for index in range(size)], n_agents))
        text = random_text(rng, ALPHABET, PAYLOAD * size)
        return Problem(dealt([text[cut : cut + PAYLOAD] for cut in range(0, len(text), PAYLOAD)], n_agents))

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Hash all texts and cut."""
        return segments(hashes(sums(joined(problem.shards)), 0), problem)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The hash for agent 0, sums for the others."""
        own = sums(shard)
        return {"sums": [own]} if agent else {"before": 0, "after": hashes(own, 0)[-1]}

    def merge(self, left: Any, right: Any) -> Any:
        """Run the hash through the sums on the right, or put sums side by side."""
        if "sums" in left:
            return {"sums": [*left["sums"], *right["sums"]]}
        after = left["after"]
        for own in right["sums"]:
            before, after = after, hashes(own, after)[-1]
        return {"before": before, "after": after}

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Hash the agent's own texts from where the agents before it end."""
        return hashes(sums(shard), summary["before"])

    def wording(self, problem: Problem, agent: int) -> Wording:
        """The task in words."""
        return Wording(
            task="Compute a running hash over a list of texts. The hash at a position is "
            f"((c mod {MODULUS}) XOR p) mod {MODULUS}, where c is the sum of the character codes (Unicode code points) "
            "of the text there, p is the hash at the position before, and XOR is bitwise; at position 0, p is 0. "
            + held(problem, agent, "texts"),
            answer="Submit the hashes at the positions that you hold, and only these, in order, as a JSON array of "
            "integers.",
            algorithm="The sums of character codes need nothing else. The hashes of a block follow from its sums and "
            "the last hash of the block before.",
        )


def sums(texts: Iterable[str]) -> list[int]:
    """Sum of the character codes of each text, modulo the modulus."""
    return [sum(map(ord, text)) % MODULUS for text in texts]


def hashes(text_sums: Iterable[int], before: int) -> list[int]:
    """Hash after each text, from the texts' sums and the hash before the first."""
    chain = accumulate(text_sums, lambda state, text_sum: (text_sum ^ state) % MODULUS, initial=before)
    return list(chain)[1:]
