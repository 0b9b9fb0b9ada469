"""III-25: one Lloyd step of k-means over everybody's points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.envs.silo_bench.tasks.scattered import scattered
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording, dealt, joined


class KMeansIteration(SiloTask):
    """The three centroids after one step over 20N points in [0, 100]²; the first centroids are public.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. A point as near to two centroids belongs to the first
    of them; a cluster without points keeps its centroid; coordinates are rounded to two decimals, which the release
    does not tell its agents. Summary: (sum of x, sum of y, count) of each cluster. Both data modes are the
    same.
    """

    task_id = "III-25"
    name = "K-Means Iteration"
    items_per_agent = 20
    tolerance = 0.01
    clusters = 3

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Independent uniform draws, which are in random order already."""
        pairs = rng.uniform(0.0, 100.0, size=(self.items_per_agent * n_agents + self.clusters, 2)).tolist()
        return Problem(dealt(pairs[self.clusters :], n_agents), {"centroids": pairs[: self.clusters]})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """Assign all points at once, then take means."""
        points, centroids = np.array(joined(problem.shards)), np.array(problem.public["centroids"])
        squared = ((points[:, None] - centroids[None]) ** 2).sum(axis=2)
        nearest = squared.argmin(axis=1)
        means = [
            points[nearest == index].mean(axis=0) if (nearest == index).any() else centroid
            for index, centroid in enumerate(centroids)
        ]
        return ([[round(float(x), 2), round(float(y), 2)] for x, y in means],) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """Sums of coordinates and counts: nine numbers."""
        centroids = public["centroids"]
        totals: list[list[float]] = [[0.0, 0.0, 0] for _ in centroids]
        for x, y in shard:
            squared = [(x - a) * (x - a) + (y - b) * (y - b) for a, b in centroids]
            total = totals[squared.index(min(squared))]
            total[0] += x
            total[1] += y
            total[2] += 1
        return totals

    def merge(self, left: Any, right: Any) -> Any:
        """Add up."""
        return [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(left, right, strict=True)]

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Divide by the counts."""
        return [
            [round(x / count, 2), round(y / count, 2)] if count else [round(a, 2), round(b, 2)]
            for (x, y, count), (a, b) in zip(summary, public["centroids"], strict=True)
        ]

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Tells the first centroids, the tie rule and the rounding."""
        return Wording(
            task=f"Carry out one step of k-means over {len(joined(problem.shards))} points [x, y] of the plane, from "
            f"the centroids {problem.public['centroids']}, which everybody knows: assign each point to its nearest "
            "centroid by Euclidean distance (at a tie, to the one that is listed first), then replace each centroid by "
            "the mean of its points. A centroid without points stays where it is. "
            f"{scattered(problem, agent, 'points')}",
            answer=f"Submit a JSON list of the {self.clusters} new centroids as [x, y], in the order of the old ones, "
            "with coordinates rounded to 2 decimals, such as [[1.5, 20.25], [70.0, 3.14], [50.01, 99.9]].",
            algorithm="Per centroid, the sum of x, the sum of y and the number of points add up over shards, "
            "unrounded; divide at the very end.",
        )
