"""One episode in progress: what the collector steps, for one seat or for several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fogline.agents.agent import Decision, SeatView
from fogline.core.episode import Episode, Failure, Status, Turn, Usage

_ALONE = "agent"


class Assignment(NamedTuple):
    """What to play: a task and the seed of its noise. A group is one task with distinct seeds."""

    task_id: str
    seed: int


class Rollout:
    """Steps one environment through one episode and records every turn.

    The collector asks for ``pending`` views, hands their decisions to :meth:`action`, steps the
    environment its own way (inline, in a thread, awaited) and gives the result to :meth:`record`.

    Attributes:
        env: The environment being stepped.
        step_async: The environment's own way to step without blocking, if it has one.
        blocking: Whether reset and step may wait for something outside Python.
        assignment: Task and seed.
        attempt: 1 for the first try.
        pending: Seats that must act before the environment can step.
        over: The episode has ended by the rules or by the budget.
        agent_s: Seconds that the agents took.
        env_s: Seconds that the environment took.
    """

    seats: tuple[str, ...] = (_ALONE,)

    def __init__(self, env: Any, env_id: str, assignment: Assignment, attempt: int = 1) -> None:
        self.env = env
        self.step_async: Callable[[Any], Any] | None = getattr(env, "step_async", None)
        self.blocking = bool(getattr(getattr(env, "unwrapped", env), "blocking", False))
        self.env_id = env_id
        self.assignment = assignment
        self.attempt = attempt
        self.pending: list[SeatView] = []
        self.over = False
        self.agent_s = 0.0
        self.env_s = 0.0
        self._task_id = assignment.task_id
        self._turns: list[Turn] = []
        self._usages: list[Usage] = []
        self._status: Status = "terminated"
        self._outcome: Mapping[str, float] = {}
        self._metrics: Mapping[str, Any] = {}
        self._final: Any = None
        self._decision = Decision(None)

    def begin(self) -> None:
        """Reset the environment and show its first observation."""
        observation, info = self.env.reset(seed=self.assignment.seed, options=self._options())
        self._task_id = str(info.get("task_id", self.assignment.task_id))
        view = self._view(_ALONE, 0, self.env.action_space)
        view.observation, view.info = observation, info
        self.pending = [view]

    def action(self, decisions: Sequence[Decision]) -> Any:
        """Note the decisions of ``pending``, in order, and return what the environment's step takes."""
        decision = decisions[0]
        if decision.usage is not None:
            self._usages.append(decision.usage)
        self._decision = decision
        return decision.action

    def record(self, result: Any) -> None:
        """Take in what the step returned."""
        observation, reward, terminated, truncated, info = result
        view = self.pending[0]
        decision = self._decision
        turn = Turn(
            _ALONE,
            view.observation,
            decision.action,
            float(reward),
            info.get("terms", _NOTHING),
            info.get("phase", ""),
            info.get("malformed", False),
            decision.context_token_ids,
            decision.action_token_ids,
            decision.logps,
            decision.policy_version,
            decision.policy_data,
        )
        self._turns.append(turn)
        view.turns.append(turn)
        view.observation = observation
        view.info = info
        if terminated or truncated:
            self._finish("terminated" if terminated else "truncated", observation, info)

    def episode(
        self, wall_s: float, agent: str, status: Status | None = None, failure: Failure | None = None
    ) -> Episode:
        """The record of what happened so far."""
        unwrapped = getattr(self.env, "unwrapped", self.env)
        return Episode(
            env_id=self.env_id,
            task_id=self._task_id,
            seed=self.assignment.seed,
            turns=tuple(self._turns),
            status=status or self._status,
            seats=self.seats,
            outcome=self._outcome,
            metrics=self._metrics,
            final_observation=self._final,
            usage=self._usage(wall_s),
            simulator_version=str(getattr(unwrapped, "simulator_version", "")),
            failure=failure,
            agent=agent,
        )

    def _finish(self, status: Status, observation: Any, info: Mapping[str, Any]) -> None:
        self.over = True
        self.pending = []
        self._status = status
        self._final = observation
        self._outcome = info.get("outcome", _NOTHING)
        self._metrics = info.get("metrics", _NOTHING)

    def _options(self) -> dict[str, Any] | None:
        return {"task_id": self.assignment.task_id} if self.assignment.task_id else None

    def _view(self, seat: str, index: int, action_space: Any) -> SeatView:
        unwrapped = getattr(self.env, "unwrapped", self.env)
        prompt = getattr(unwrapped, "system_prompt", "")
        tools = getattr(unwrapped, "tools", ())
        return SeatView(
            self.env_id,
            self._task_id,
            seat,
            action_space,
            entropy=(self.assignment.seed, index, *self.assignment.task_id.encode()),
            system_prompt=prompt[seat] if isinstance(prompt, Mapping) else prompt,
            tools=tools[seat] if isinstance(tools, Mapping) else tools,
            tool_action=getattr(unwrapped, "tool_action", None),
            render=getattr(unwrapped, "observation_text", None),
        )

    def _usage(self, wall_s: float) -> Usage:
        """What the agents took, and what the environment took itself, such as a simulated customer's chat calls."""
        own = getattr(getattr(self.env, "unwrapped", self.env), "usage", None)
        used = self._usages if own is None else [*self._usages, own()]
        return Usage(
            wall_s=wall_s,
            agent_s=self.agent_s,
            env_s=self.env_s,
            model_calls=sum(item.model_calls for item in used),
            prompt_tokens=sum(item.prompt_tokens for item in used),
            completion_tokens=sum(item.completion_tokens for item in used),
            cost=sum(item.cost for item in used),
            retries=sum(item.retries for item in used) + self.attempt - 1,
        )


class ParallelRollout(Rollout):
    """The same for a PettingZoo Parallel environment: all live seats decide, then one step."""

    def __init__(self, env: Any, env_id: str, assignment: Assignment, attempt: int = 1) -> None:
        super().__init__(env, env_id, assignment, attempt)
        self.seats = tuple(str(seat) for seat in env.possible_agents)
        self._views: dict[str, SeatView] = {}
        self._decisions: dict[str, Decision] = {}

    def begin(self) -> None:
        """Reset and show every live seat its observation."""
        observations, infos = self.env.reset(seed=self.assignment.seed, options=self._options())
        told = (str(info["task_id"]) for info in infos.values() if "task_id" in info)
        self._task_id = next(told, self.assignment.task_id)
        for index, seat in enumerate(self.seats):
            self._views[seat] = self._view(seat, index, self.env.action_space(seat))
        self._show(observations, infos)

    def action(self, decisions: Sequence[Decision]) -> dict[str, Any]:
        """Return the joint action of the pending seats."""
        self._decisions = {view.seat: decision for view, decision in zip(self.pending, decisions, strict=True)}
        self._usages.extend(item.usage for item in decisions if item.usage is not None)
        return {seat: decision.action for seat, decision in self._decisions.items()}

    def record(self, result: Any) -> None:
        """Take in one joint step: a turn per seat that acted, in the environment's order of seats."""
        observations, rewards, terminations, truncations, infos = result
        for view in self.pending:
            seat, decision, info = view.seat, self._decisions[view.seat], infos.get(view.seat, _NOTHING)
            turn = Turn(
                seat=seat,
                observation=view.observation,
                action=decision.action,
                reward=float(rewards.get(seat, 0.0)),
                terms=info.get("terms", _NOTHING),
                phase=info.get("phase", ""),
                malformed=info.get("malformed", False),
                context_token_ids=decision.context_token_ids,
                action_token_ids=decision.action_token_ids,
                logps=decision.logps,
                policy_version=decision.policy_version,
                policy_data=decision.policy_data,
            )
            self._turns.append(turn)
            view.turns.append(turn)
        if self.env.agents:
            self._show(observations, infos)
            return
        ended: Status = "terminated" if any(terminations.values()) or not any(truncations.values()) else "truncated"
        reported = next((info for info in infos.values() if "outcome" in info), _NOTHING)
        self._finish(ended, observations, reported)

    def _show(self, observations: Mapping[str, Any], infos: Mapping[str, Any]) -> None:
        self.pending = []
        for seat in self.env.agents:
            view = self._views[seat]
            view.observation, view.info = observations[seat], infos.get(seat, _NOTHING)
            self.pending.append(view)


_NOTHING: Mapping[str, Any] = {}


def make_rollout(env: Any, env_id: str, assignment: Assignment, attempt: int) -> Rollout:
    """Pick the rollout for the kind of environment."""
    kind = ParallelRollout if hasattr(env, "possible_agents") else Rollout
    return kind(env, env_id, assignment, attempt)
