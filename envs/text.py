"""The common face of fogline's turn-by-turn environments."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import gymnasium

from fogline.core.errors import ConfigurationError, check_choice, check_keys, suggestion
from fogline.core.rewards import RewardScheme

ObservationT = TypeVar("ObservationT")
ActionT = TypeVar("ActionT")

NO_TERMS: Mapping[str, float] = {}


class Response(NamedTuple):
    """What the world answers to one action.

    Attributes:
        observation: The next observation.
        phase: The environment's name for the kind of turn that was played.
        terms: Named turn-level reward terms, unweighted.
        malformed: Whether the action could not be read.
        outcome: Named session-level terms; given exactly when the episode ends.
        metrics: Further deterministic results, given with ``outcome``.
        truncated: Whether the end is a cut (budget) and not the rules' own.
        extra: More deterministic entries for this step's ``info``.
    """

    observation: Any
    phase: str
    terms: Mapping[str, float] = NO_TERMS
    malformed: bool = False
    outcome: Mapping[str, float] | None = None
    metrics: Mapping[str, Any] = NO_TERMS
    truncated: bool = False
    extra: Mapping[str, Any] = NO_TERMS


class TurnEnv(gymnasium.Env[ObservationT, ActionT], Generic[ObservationT, ActionT]):
    """A Gymnasium environment that is described by its tasks, its rules and how it responds.

    A subclass sets the spaces and implements :meth:`begin` and :meth:`respond`. This class owns what
    all of them share: choosing the task, the reward as the documented weighted sum, ``info``, ansi rendering.

    Attributes:
        reward_scheme: Weights of turn-level and session-level terms; an instance may have its own.
        simulator_version: Stored with every episode.
        system_prompt: The rules of the game, for an agent that reads.
        tools: JSON schemas of the tools, for an agent that calls them.
        blocking: True when a step may wait for something outside Python; collectors then step it off the event loop.
    """

    # Gymnasium declares it on the instance.
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012
    reward_scheme: RewardScheme = RewardScheme()
    simulator_version: ClassVar[str] = "1"
    blocking: bool = False
    system_prompt: str = ""
    tools: Sequence[Mapping[str, Any]] = ()

    def __init__(self, task_ids: Sequence[str], render_mode: str | None = None) -> None:
        if not task_ids:
            raise ConfigurationError(
                "the environment has no tasks: expected at least one; check the data set and its filters."
            )
        if render_mode is not None:
            check_choice("render_mode", render_mode, self.metadata["render_modes"])
        self.task_ids: tuple[str, ...] = tuple(task_ids)
        self.render_mode = render_mode
        self._known = frozenset(task_ids)
        self._over = True
        self._last: tuple[Any, Any] = (None, "")

    @abstractmethod
    def begin(self, task_id: str) -> tuple[ObservationT, dict[str, Any]]:
        """Start ``task_id`` with ``self.np_random``; return the first observation and extra info."""

    @abstractmethod
    def respond(self, action: ActionT) -> Response:
        """Answer one action. Must not raise for anything that an agent may send."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObservationT, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Decides all noise, and the task where ``options`` names none.
            options: ``{"task_id": ...}`` to choose the task.

        Raises:
            ConfigurationError: For an unknown option or task.
        """
        super().reset(seed=seed)
        options = options or {}
        check_keys("options", options, ("task_id",))
        task_id = options.get("task_id")
        if task_id is None:
            task_id = self.task_ids[int(self.np_random.integers(len(self.task_ids)))]
        elif not isinstance(task_id, str) or task_id not in self._known:
            raise ConfigurationError(
                f"task_id={task_id!r} is not a task of this environment: it has {len(self.task_ids)}, "
                f"from {self.task_ids[0]!r} to {self.task_ids[-1]!r}.{suggestion(task_id, self.task_ids)}"
            )
        observation, extra = self.begin(task_id)
        self._over = False
        self._last = (None, observation)
        return observation, {"task_id": task_id, "phase": "", **extra}

    def step(self, action: ActionT) -> tuple[ObservationT, float, bool, bool, dict[str, Any]]:
        """Play one turn.

        Raises:
            ResetNeeded: If the episode is over.
        """
        if self._over:
            raise gymnasium.error.ResetNeeded("the episode is over (or was never begun): call reset() first.")
        return self.settle(action, self.respond(action))

    def settle(self, action: ActionT, response: Response) -> tuple[ObservationT, float, bool, bool, dict[str, Any]]:
        """Turn a response into Gymnasium's five-tuple: the weighted sum and ``info``."""
        observation, phase, terms, malformed, outcome, metrics, truncated, extra = response
        self._last = (action, observation)
        info: dict[str, Any] = {"terms": dict(terms), "phase": phase, "malformed": malformed}
        if extra:
            info.update(extra)
        reward = self.reward_scheme.of_turn(terms) if terms else 0.0
        if outcome is None:
            return observation, reward, False, False, info
        self._over = True
        info["outcome"] = outcome
        info["metrics"] = metrics
        return observation, reward + self.reward_scheme.of_session(outcome), not truncated, truncated, info

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Turn a tool call into an action of this environment's text form."""
        call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
        return f"<tool_call>{call}</tool_call>"

    def render(self) -> str | None:
        """The last action and observation as text, in ``render_mode="ansi"``."""
        if self.render_mode is None:
            return None
        action, observation = self._last
        return f"{observation}" if action is None else f"> {action}\n{observation}"
