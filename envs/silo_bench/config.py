"""Options of Silo-Bench, checked once and shared by its seat-by-seat and its central form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fogline.core.errors import ConfigurationError, suggestion
from fogline.envs.silo_bench.calls import Protocol
from fogline.envs.silo_bench.tasks.catalogue import TASKS
from fogline.envs.silo_bench.tasks.task import DataMode

HintLevel = Literal["none", "structural", "algorithm", "topology"]
Scaffold = Literal["none", "planning", "reminder", "scratchpad"]
Reward = Literal["own", "team", "partial"]


class UnknownKeyword(ConfigurationError, TypeError):
    """A keyword that Silo-Bench does not have; a TypeError too, as it is of any function."""


class SiloConfig(BaseModel):
    """What is played, over which channel, under which rules.

    Attributes:
        task: ``"I-01"`` to ``"III-30"``, or several of them.
        n_agents: Seats, at least 1.
        protocol: ``"p2p"`` mailboxes, ``"broadcast"`` log or shared ``"files"``.
        max_rounds: Rounds after which whoever has not submitted has no answer.
        delivery: ``"push"`` shows what arrived in the observation; ``"pull"`` makes seats ask for it, as the
            published code does, so that a hop costs two rounds.
        hint_level: What the prompt tells: ``"none"`` task and form of the answer, ``"structural"`` (the paper's)
            also which data lies where, ``"algorithm"`` also how shards combine, ``"topology"`` also who best
            talks to whom (as the published files do).
        scaffold: ``"planning"`` opens with a round in which nothing but messages is allowed, ``"reminder"`` repeats
            the rules in every round, ``"scratchpad"`` asks for a workspace (Silo-Bench, appendix H).
        actions: ``"structured"`` tuples of :class:`~fogline.envs.silo_bench.calls.ToolCall`, ``"text"`` what a
            model writes.
        reward: ``"own"`` pays a seat 1 for its right answer; ``"team"`` pays every seat 1 at the end if all are
            right; ``"partial"`` pays a seat the partial correctness of its answer.
        message_cost: Taken from a seat's reward for each message (or file write).
        token_cost: Taken for each token that a seat writes (four characters count as one).
        max_message_chars: Longest content; None for no bound.
        action_budget: Most calls of a seat in a round; None for no bound, else at least ``n_agents + 1``, so that
            one seat can answer all others.
        drop: Probability that a message is lost.
        delay: Probability that it arrives late, by up to ``max_delay`` rounds.
        duplicate: Probability that it arrives twice.
        max_delay: Most rounds of delay.
        topology: ``"complete"``, ``"ring"``, ``"chain"``, ``"star"``, ``"tree"``, ``"grid"``, ``"random-regular"``,
            or pairs of seats that may talk.
        data: ``"fixed"`` repaired generators, ``"repo"`` as published.
        scale: With ``n_agents=1`` only: the one seat holds the data of so many.
        suite_seed: Root of all instances.
        instances: Instances of each task; instance k is the same however many there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: tuple[str, ...] = ("I-01",)
    n_agents: int = Field(default=5, ge=1)
    protocol: Protocol = "p2p"
    max_rounds: int = Field(default=100, ge=1)
    delivery: Literal["push", "pull"] = "push"
    hint_level: HintLevel = "structural"
    scaffold: Scaffold = "none"
    actions: Literal["structured", "text"] = "structured"
    reward: Reward = "own"
    message_cost: float = Field(default=0.0, ge=0)
    token_cost: float = Field(default=0.0, ge=0)
    max_message_chars: int | None = Field(default=None, ge=1)
    action_budget: int | None = None
    drop: float = Field(default=0.0, ge=0, lt=1)
    delay: float = Field(default=0.0, ge=0, le=1)
    duplicate: float = Field(default=0.0, ge=0, le=1)
    max_delay: int = Field(default=3, ge=1)
    topology: str | tuple[tuple[int, int], ...] = "complete"
    data: DataMode = "fixed"
    scale: int | None = Field(default=None, ge=1)
    suite_seed: int = Field(default=0, ge=0)
    instances: int = Field(default=100, ge=1)

    @field_validator("task", mode="before")
    @classmethod
    def _tasks(cls, value: Any) -> Any:
        chosen = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else value
        for task_id in chosen if isinstance(chosen, tuple) else ():
            if task_id not in TASKS:
                raise ValueError(f"{task_id!r} is not a task: expected I-01 to III-30.{suggestion(task_id, TASKS)}")
        if chosen == ():
            raise ValueError("expected at least one task")
        return chosen

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.action_budget is not None and self.action_budget <= self.n_agents:
            raise ValueError(
                f"action_budget={self.action_budget} is too few for n_agents={self.n_agents}: expected at least "
                f"{self.n_agents + 1}, so that one seat can answer all others in a round, or None"
            )
        if self.scale is not None and self.n_agents != 1:
            raise ValueError(
                f"scale={self.scale} with n_agents={self.n_agents}: expected n_agents=1, the one seat that holds the "
                "data of so many"
            )
        return self

    @property
    def shards(self) -> int:
        """Agents that the data is generated for."""
        return self.scale or self.n_agents


def read_config(keywords: Mapping[str, Any]) -> SiloConfig:
    """Check keywords.

    Raises:
        ConfigurationError: For an unknown value, with what is expected.
        UnknownKeyword: For an unknown keyword.
    """
    for name in keywords:
        if name not in SiloConfig.model_fields:
            known = list(SiloConfig.model_fields)
            raise UnknownKeyword(
                f"Silo-Bench has no keyword {name!r}: expected one of {', '.join(known)}.{suggestion(name, known)}"
            )
    try:
        return SiloConfig(**keywords)
    except ValidationError as error:
        raise ConfigurationError(_told(error)) from error


def _told(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"][:1])
        message = problem["msg"].removeprefix("Value error, ")
        given = f"{where}={problem['input']!r}: " if where else ""
        choices = get_args(SiloConfig.model_fields[where].annotation) if problem["type"] == "literal_error" else ()
        lines.append(f"{given}{message}.{suggestion(problem['input'], map(str, choices))}")
    return "; ".join(lines)
