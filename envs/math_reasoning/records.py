"""What a mathematical problem is, and a set of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MathTask:
    """One problem with its gold answer.

    Attributes:
        task_id: Unique within a data set.
        question: The problem in words.
        answer: Gold answer: a number, LaTeX, or one of several expressions that are right.
        kind: Family (``arithmetic``, ``shopping``, ``countdown``, ``algebra``, …).
        level: Graded difficulty, from 1; 0 where a file does not say.
        steps: Operations that solve it; 0 where unknown.
        short: The problem in the fewest characters (``7+5=``); empty where that is the question.
        paraphrases: The same problem in other words.
        numbers: What the answer must be made of, each used once; empty where its value alone counts.
    """

    task_id: str
    question: str
    answer: str = field(repr=False)
    kind: str
    level: int
    steps: int
    short: str
    paraphrases: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class MathDataset:
    """Problems by id.

    Attributes:
        name: Shown in errors and reports.
        tasks: Problems; generated ones are made when they are asked for.
    """

    name: str
    tasks: Mapping[str, MathTask] = field(repr=False)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[MathTask]:
        return iter(self.tasks.values())
