"""III-30: the product of two matrices that are cut in different directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fogline.core.errors import ConfigurationError, check_choice
from fogline.envs.silo_bench.tasks.task import DataMode, Problem, SiloTask, Wording

AnswerForm = Literal["matrix", "digest"]


class MatrixMultiply(SiloTask):
    """C = A · B for square matrices of integers from 1 to 10.

    Source: Silo-Bench, arXiv 2603.01045, appendix E, table 9. As published (data mode ``repo``) the dimension is N and
    agent i gets row i of A and *all* of B: shards and answers of about N² numbers, and no more than one row to ask
    each peer for. Repaired (``fixed``): agent i holds whole rows of A and whole columns of B, as
    ``{"rows": {"3": [...]}, "columns": {"3": [...]}}``, so that every row has to meet every column, and the dimension
    is ``min(N · rows_per_agent, largest_dimension)``; where that is less than N, some agents hold nothing.

    Summaries: the rows and columns held (``fixed``), or the rows of C they yield (``repo``).

    The answer is the matrix C as a list of rows, or its digest: the bitwise XOR over all i and j (from 0) of
    ``C[i][j] * (i * dimension + j + 1)``. Row sums or weighted sums would not need the product at all: one combined
    row and one combined column would do.

    Args:
        rows_per_agent: Rows of A (and columns of B) to an agent in data mode ``fixed``, at least 1.
        largest_dimension: Upper bound of the dimension in data mode ``fixed``, at least 1: an answer of 32 x 32
            numbers is about as long as the longest of the other tasks.
        answer: ``"matrix"`` or ``"digest"``.

    Raises:
        ConfigurationError: For an option out of range.
    """

    task_id = "III-30"
    name = "Matrix Multiply"
    items_per_agent = 1
    topology = "all-to-all"

    def __init__(self, rows_per_agent: int = 1, largest_dimension: int = 32, answer: AnswerForm = "matrix") -> None:
        for option, value in (("rows_per_agent", rows_per_agent), ("largest_dimension", largest_dimension)):
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{option}={value!r} is out of range: pass an integer of at least 1.")
        check_choice("answer", answer, ("matrix", "digest"))
        self.rows_per_agent = rows_per_agent
        self.largest_dimension = largest_dimension
        self.answer = answer

    def generate(self, rng: np.random.Generator, n_agents: int, data: DataMode) -> Problem:
        """Draw both matrices and cut them into contiguous, nearly equal parts."""
        dimension = n_agents
        if data == "fixed":
            dimension = min(n_agents * self.rows_per_agent, self.largest_dimension)
        a, b = rng.integers(1, 11, size=(2, dimension, dimension)).tolist()
        columns = [list(column) for column in zip(*b, strict=True)]
        shards = []
        for agent in range(n_agents):
            held = range(agent * dimension // n_agents, (agent + 1) * dimension // n_agents)
            rows = {str(index): a[index] for index in held}
            other = {"columns": {str(index): columns[index] for index in held}} if data == "fixed" else {"matrix": b}
            shards.append({"rows": rows, **other})
        return Problem(tuple(shards), {"dimension": dimension})

    def solve(self, problem: Problem) -> tuple[Any, ...]:
        """One product of the whole matrices."""
        everything = self.united(problem).shards[0]
        return (self._answer(_product(everything)),) * len(problem.shards)

    def local(self, shard: Any, agent: int, public: Mapping[str, Any]) -> Any:
        """The shard itself, or in data mode ``repo`` its rows of the product."""
        if "columns" in shard:
            return shard
        product = _product(shard).tolist() if shard["rows"] else []
        return {"product": dict(zip(shard["rows"], product, strict=True))}

    def merge(self, left: Any, right: Any) -> Any:
        """What both hold, part by part."""
        return {part: {**left[part], **right[part]} for part in left}

    def finalise(self, summary: Any, shard: Any, agent: int, n_agents: int, public: Mapping[str, Any]) -> Any:
        """Multiply, or put the rows of the product in order."""
        if "product" in summary:
            return self._answer(_ordered(summary["product"]))
        return self._answer(_product(summary))

    def sufficient(self, problem: Problem, agent: int, known: int) -> bool:
        """Shards that hold nothing are not needed."""
        needed = sum(1 << index for index, shard in enumerate(problem.shards) if shard["rows"])
        return known & needed == needed

    def united(self, problem: Problem) -> Problem:
        """All rows of A, and B once."""
        first = problem.shards[0]
        parts = [part for part in first if part != "matrix"]
        whole = {part: {key: line for shard in problem.shards for key, line in shard[part].items()} for part in parts}
        if "matrix" in first:
            whole["matrix"] = first["matrix"]
        return Problem((whole,), problem.public)

    def wording(self, problem: Problem, agent: int) -> Wording:
        """Tells who holds which lines, and how C is to be written."""
        size, shard = problem.public["dimension"], problem.shards[agent]
        indices = ", ".join(shard["rows"]) or "none"
        if len(problem.shards) == 1:
            held = "You hold both matrices."
        elif "matrix" in shard:
            held = f"The rows of A are split among the agents; you hold row {indices}, and all of B as a list of rows."
        else:
            held = (
                "The rows of A and the columns of B are split among the agents; you hold the rows and columns with "
                f"these indices: {indices}."
            )
        return Wording(
            task=f"Compute the matrix product C = A B of two {size} x {size} matrices of integers, with rows and "
            f"columns numbered from 0. {held}",
            answer=self._answer_wording(size),
            algorithm="Entry C[i][j] is the dot product of row i of A and column j of B, so it can be computed "
            "wherever both are known; entries computed in different places are then put together.",
        )

    def _answer(self, product: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
        return product.tolist() if self.answer == "matrix" else digest(product)

    def _answer_wording(self, size: int) -> str:
        if self.answer == "matrix":
            return f"Submit C as a JSON list of {size} rows of {size} integers each, such as [[19, 22], [43, 50]]."
        return (
            "Submit a digest of C as a JSON integer: the bitwise XOR, over all i and j from 0 to "
            f"{size - 1}, of C[i][j] * (i * {size} + j + 1). "
            "For C = [[19, 22], [43, 50]], with the factors 1, 2, 3 and 4, that is 19 XOR 44 XOR 129 XOR 200 = 118."
        )


def digest(product: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    """XOR over all entries of a matrix, each times its place in row-major order, counted from 1."""
    flat = product.ravel()
    return int(np.bitwise_xor.reduce(flat * np.arange(1, len(flat) + 1)))


def _ordered(lines: Mapping[str, Sequence[int]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([lines[key] for key in sorted(lines, key=int)], dtype=np.int64)


def _product(held: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of A held times all of B, given as columns or as a matrix."""
    b = np.array(held["matrix"], dtype=np.int64) if "matrix" in held else _ordered(held["columns"]).T
    product: np.ndarray[Any, np.dtype[np.int64]] = _ordered(held["rows"]) @ b
    return product
