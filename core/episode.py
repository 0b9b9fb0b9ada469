"""Turn and Episode: the one record that play, evaluation, sweeps and training share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from fogline.core.errors import DataError
from fogline.core.jsonable import from_jsonable, to_jsonable

Status = Literal["terminated", "truncated", "agent_error", "env_error", "infra_error"]
STATUSES: tuple[Status, ...] = get_args(Status)
UNSCORED: frozenset[Status] = frozenset({"env_error", "infra_error"})
"""Statuses of a failure that is not the policy's: no reward, left out of every average."""


class Turn(NamedTuple):
    """One seat acted once. A named tuple, because a rollout makes hundreds of thousands a second.

    Attributes:
        seat: Name of the agent that acted (``"agent"`` in a single-agent environment).
        observation: What the seat saw before it acted.
        action: What it did.
        reward: Scalar reward of the step, the environment's documented weighted sum.
        terms: Named turn-level reward terms, unweighted.
        phase: The environment's name for what kind of turn this was.
        malformed: Whether the environment could not read the action.
        context_token_ids: Token ids that the environment's side appended since this seat's last turn.
        action_token_ids: Token ids that the policy sampled, ``[T]``.
        logps: Log-probability of each sampled token under the sampler, ``[T]`` (nats).
        policy_version: Which version of the weights sampled the action.
        policy_data: Named arrays that the policy needs, beside its tokens, to score this turn again; None for none.
    """

    seat: str
    observation: Any
    action: Any
    reward: float
    terms: Mapping[str, float]
    phase: str = ""
    malformed: bool = False
    context_token_ids: tuple[int, ...] = ()
    action_token_ids: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()
    policy_version: int | None = None
    policy_data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an episode did not end by the rules.

    Attributes:
        kind: Class name of the error, e.g. ``"RateLimited"``.
        message: Its text, free of secrets.
        attempts: How many times the episode was tried.
    """

    kind: str
    message: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """What an episode cost. Not deterministic, so kept out of observations, info and comparisons.

    Attributes:
        wall_s: Wall-clock from reset to end, in seconds.
        agent_s: Seconds spent waiting for the agent.
        env_s: Seconds spent in the environment's reset and steps.
        model_calls: Chat completions requested.
        prompt_tokens: Tokens sent to chat models.
        completion_tokens: Tokens received from chat models.
        cost: Price of the tokens in the currency of the price list, 0 where none is set.
        retries: Attempts that failed in between and were repeated.
    """

    wall_s: float = 0.0
    agent_s: float = 0.0
    env_s: float = 0.0
    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Episode:
    """One whole interaction, complete enough to be re-scored without inference.

    Attributes:
        env_id: Registered environment id.
        task_id: Which task was played.
        seed: Seed of ``reset``; a group is one task with distinct seeds.
        turns: Every seat's turns in the order they happened.
        status: How it ended.
        seats: Names of all seats, in the environment's order.
        outcome: Named session-level reward terms, unweighted; empty unless the environment ended the episode.
        metrics: Further named results of the environment (deterministic).
        final_observation: What the last step returned.
        usage: Time, tokens and money.
        simulator_version: Version of the world's rules.
        failure: Set when ``status`` ends in ``_error``.
        agent: Name of the agent that played.
    """

    env_id: str
    task_id: str
    seed: int
    turns: tuple[Turn, ...]
    status: Status
    seats: tuple[str, ...] = ("agent",)
    outcome: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    final_observation: Any = None
    usage: Usage = field(default_factory=Usage)
    simulator_version: str = ""
    failure: Failure | None = None
    agent: str = ""

    def __post_init__(self) -> None:
        """Refuse a status outside the contract and a failure that contradicts it."""
        if self.status not in STATUSES:
            raise DataError(f"status={self.status!r} is not an episode status: expected one of {STATUSES}.")
        if self.status.endswith("_error") != (self.failure is not None):
            raise DataError(
                f"status={self.status!r} with failure={self.failure!r}: errors carry a failure, others none."
            )

    @property
    def scored(self) -> bool:
        """False when the failure was not the policy's: such an episode enters no average."""
        return self.status not in UNSCORED

    @property
    def reward(self) -> float | None:
        """Sum of the turns' rewards over all seats, or None where there is no reward to speak of."""
        return sum(turn.reward for turn in self.turns) if self.scored else None

    def reward_of(self, seat: str) -> float | None:
        """Sum of one seat's rewards, or None for an unscored episode."""
        return sum(turn.reward for turn in self.turns if turn.seat == seat) if self.scored else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; :meth:`from_json` is its exact inverse."""
        row = to_jsonable(
            {name: getattr(self, name) for name in self.__slots__ if name not in {"turns", "usage", "failure"}}
        )
        row["turns"] = [to_jsonable(turn._asdict()) for turn in self.turns]
        row["usage"] = _fields(self.usage)
        row["failure"] = None if self.failure is None else _fields(self.failure)
        return dict(row)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Episode:
        """Rebuild an episode from :meth:`to_json`.

        Raises:
            DataError: If a field is missing or unknown.
        """
        try:
            fields = {name: from_jsonable(value) for name, value in row.items()}
            fields["turns"] = tuple(Turn(**turn) for turn in fields["turns"])
            fields["seats"] = tuple(fields["seats"])
            fields["usage"] = Usage(**fields["usage"])
            fields["failure"] = None if fields["failure"] is None else Failure(**fields["failure"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"this row is not an Episode ({error}): expected the output of Episode.to_json()."
            ) from error


def _fields(record: Any) -> dict[str, Any]:
    return {name: to_jsonable(getattr(record, name)) for name in record.__slots__}
