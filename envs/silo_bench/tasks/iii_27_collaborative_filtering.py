"""III-27: the best matches between everybody's users and everybody's items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt

Vectors = dict[str, list[float]]


class CollaborativeFiltering(SiloTask):
    """The three (user, item, score) of highest score among 3N users and 3N items; the score is the dot product.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. Vectors have five coordinates from 0 to 1; users and
    items are mixed and dealt, six to an agent, as ``{"users": {"U4": [...]}, "items": {"I0": [...]}}``. Scores are
    rounded to four decimals, which the release does not tell its agents. Equal scores are ordered by user number,
    then item number. Summary: the vectors. Both data modes are the same.
    """

    task_id = "III-27"
    name = "Collaborative Filtering"
    items_per_agent = 6
    topology = "all-to-all"
    tolerance = 1e-3
    dimensions = 5
    best = 3

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw vectors for all names, then deal them out shuffled."""
        size = 3 * n_agents
        names = [f"{kind}{number}" for kind in "UI" for number in range(size)]
        vectors = rng.uniform(size=(2 * size, self.dimensions)).tolist()
        order = rng.permutation(2 * size).tolist()
        shards = tuple(
            {
                "users": {names[index]: vectors[index] for index in part if index < size},
                "items": {names[index]: vectors[index] for index in part if index >= size},
            }
            for part in dealt(order, n_agents)
        )
        return Problem(shards, {"users": size, "items": size})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Score all pairs."""
        everything = _united(problem.shards)
        return (_best_pairs(everything["users"], everything["items"], self.best),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The vectors."""
        return shard

    def merge(self, left: Any, right: Any) -> Any:
        """The vectors of both."""
        return _united((left, right))

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Score all pairs."""
        return _best_pairs(summary["users"], summary["items"], self.best)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Tells sizes, tie rule and rounding."""
        users, items = problem.public["users"], problem.public["items"]
        held = "You hold all vectors."
        if len(problem.shards) > 1:
            own = problem.shards[agent]
            held = (
                "The vectors were mixed and dealt out at random among the agents; you hold those of "
                f"{len(own['users'])} users and {len(own['items'])} items."
            )
        return Wording(
            task=f"There are {users} users (U0 to U{users - 1}) and {items} items (I0 to I{items - 1}), each with a "
            f"vector of {self.dimensions} numbers. The score of a user and an item is the dot product of their "
            f"vectors. Find the {self.best} pairs of highest score among all pairs of a user and an item, whoever "
            f"holds them. {held}",
            answer=f"Submit a JSON list of {self.best} triples [user, item, score], highest score first; at equal "
            "scores the lower user number comes first, then the lower item number. Names are strings; the score is "
            'rounded to 4 decimals. One triple looks like ["U4", "I0", 2.0731].',
            algorithm="A pair can be scored wherever both vectors are known, so every user vector has to meet every "
            "item vector somewhere. Of any set of scored pairs, only the best few can be in the answer.",
        )

    def united(self, problem: Problem) -> Problem:
        """All users and all items in one shard."""
        return Problem((_united(problem.shards),), problem.public)


def _united(shards: Sequence[Mapping[str, Vectors]]) -> dict[str, Vectors]:
    return {
        kind: {name: vector for shard in shards for name, vector in shard[kind].items()} for kind in ("users", "items")
    }


def _best_pairs(users: Vectors, items: Vectors, count: int) -> list[list[Any]]:
    user_names, item_names = (sorted(names, key=lambda name: int(name[1:])) for names in (users, items))
    user_vectors = np.array([users[name] for name in user_names])
    item_vectors = np.array([items[name] for name in item_names])
    # The fast product differs between machines in its last digits, so that it only nominates (with a margin).
    rough = user_vectors @ item_vectors.T
    nominated = np.argwhere(rough >= np.partition(rough, -count, axis=None)[-count] - 1e-9).tolist()
    scored = []
    for user, item in nominated:
        user_name, item_name = user_names[user], item_names[item]
        score = sum(a * b for a, b in zip(users[user_name], items[item_name], strict=True))
        scored.append((-score, user, item, [user_name, item_name, round(score, 4)]))
    return [triple for *_, triple in sorted(scored)[:count]]
