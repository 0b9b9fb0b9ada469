"""What every bridge shares: one environment played episode by episode, from text to text, failures told apart.

    >>> from fogline.trainers.bridges.session import Session
    >>> session = Session("MathReasoning-v0")
    >>> session.reset("arithmetic-01-0000", seed=3)
    'What is 2 + 9?'
    >>> reply = session.step("<answer>11</answer>")
    >>> reply.reward, reply.done, session.episode().status
    (1.0, True, 'terminated')
    >>> session.close()

A session steps what the collector steps and records what the collector records: with the same task, seed and actions
its episode is the collector's. A step's reward is the sum over the seats that acted.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, cast

from fogline.agents.agent import Decision, SeatView
from fogline.agents.chat import rendered
from fogline.agents.environments import choose_tasks, make_environment, task_ids_of
from fogline.agents.rollout import Assignment, Rollout, make_rollout
from fogline.agents.scheduler import close_quietly, env_id_of
from fogline.core.episode import Episode, Failure, Status
from fogline.core.errors import ConfigurationError, InfrastructureError
from fogline.core.jsonable import to_jsonable
from fogline.core.spaces import UnicodeText


class Reply(NamedTuple):
    """What one step brought.

    Attributes:
        observation: What the seat sees now; a mapping by seat where there are several.
        reward: Of this step, summed over the seats that acted.
        terminated: The rules ended the episode.
        truncated: The budget did.
        terms: Named turn-level reward terms; by seat where there are several.
        phase: The environment's name for the kind of turn; empty where seats differ.
        malformed: Whether an action could not be read.
    """

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    terms: Mapping[str, Any]
    phase: str
    malformed: bool

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated


class EpisodeChanged(InfrastructureError):
    """An episode that was begun anew after a failure did not go the same way: it cannot be continued."""

    retryable = False


class Session:
    """Plays one environment for a caller who takes the steps.

    After a failure that another attempt may mend, the environment is made anew and led back to where it was, which
    the same seed and actions allow; where it answers differently the second time, the episode is given up.

    Args:
        env_id: As in :func:`~fogline.agents.environments.make_environment`.
        env_kwargs: Keywords of the environment's constructor.
        text: The caller has one voice and writes text. False passes observations and actions on as they are.
        retries: Further attempts at an episode.
        agent: Who acts, for the record.

    Raises:
        ConfigurationError: For an unknown environment or keyword, or one that has no single seat that reads and
            writes, unless ``text`` is False.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: Mapping[str, Any] | None = None,
        *,
        text: bool = True,
        retries: int = 2,
        agent: str = "bridge",
    ) -> None:
        self._factory = partial(make_environment, env_id, dict(env_kwargs or {}))
        self._text, self._retries, self._agent = text, retries, agent
        self._env = self._factory()
        self.env_id = env_id_of(self._env)
        self._seats: tuple[str, ...] = tuple(getattr(self._env, "possible_agents", ("agent",)))
        if text:
            self._check_text()
        self._rollout: Rollout | None = None
        self._opening: Any = None
        self._actions: list[Any] = []
        self._replies: list[Reply] = []
        self._failed: tuple[Status, Failure] | None = None
        self._began = 0.0

    @property
    def task_ids(self) -> tuple[str, ...]:
        """Every task of the environment; one empty name where it has none."""
        return task_ids_of(self._env)

    @property
    def single(self) -> bool:
        """Whether one seat alone acts."""
        return not self._several

    @property
    def system_prompt(self) -> str:
        """The rules; those of all seats where there are several."""
        prompt = getattr(self._unwrapped, "system_prompt", "")
        return "\n\n".join(prompt.values()) if isinstance(prompt, Mapping) else str(prompt)

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """JSON schemas of the tools, as ``{"type": "function", "function": {…}}``; those of the first seat."""
        tools = getattr(self._unwrapped, "tools", ())
        own = tools[self._seats[0]] if isinstance(tools, Mapping) else tools
        return tuple(tool if "function" in tool else {"type": "function", "function": tool} for tool in own)

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The action that a call of a tool stands for."""
        return self._unwrapped.tool_action(name, arguments)

    def reset(self, task_id: str = "", seed: int = 0) -> Any:
        """Begin an episode and return its first observation, as text unless ``text`` is False.

        Args:
            task_id: The environment draws one by the seed where it is empty.
            seed: Of the episode's noise.

        Raises:
            ConfigurationError: For an unknown task.
            InfrastructureError: What the environment needs failed, in every attempt.
        """
        broken, assignment = self._failed is not None, Assignment(task_id, seed)
        self._actions, self._replies, self._failed = [], [], None
        self._began = perf_counter()
        self._rollout = self._opening = None
        if broken:
            self._rollout = make_rollout(self._env, self.env_id, assignment, 0)
            self._again(self._rollout, InfrastructureError("the last episode broke this environment"))
        else:
            self._attempt(assignment, 1)
        return self.observation

    def step(self, action: Any) -> Reply:
        """Play one turn.

        Raises:
            ConfigurationError: There is no episode, it is over, or an action of several seats leaves one out.
            InfrastructureError: What the environment needs failed, in every attempt: the episode has no reward.
        """
        rollout = self._rollout
        if rollout is None or rollout.over or self._failed is not None:
            raise ConfigurationError("there is no episode to step: call reset() first.")
        self._actions.append(action)
        try:
            self._replies.append(self._played(rollout, action))
        except ConfigurationError:
            self._actions.pop()
            raise
        except Exception as error:
            self._again(rollout, error)
        return self._replies[-1]

    @property
    def observation(self) -> Any:
        """What is to be seen now."""
        return self._seen(self._current())

    @property
    def reward(self) -> float | None:
        """Sum of the rewards so far; None after a failure that is not the agent's."""
        return None if self._failed is not None else sum(reply.reward for reply in self._replies)

    @property
    def done(self) -> bool:
        """Whether the episode is over, by the rules, the budget or a failure."""
        return self._failed is not None or (self._rollout is not None and self._rollout.over)

    def episode(self) -> Episode:
        """The record, as the collector would have written it; one that the caller left open counts as truncated.

        Raises:
            ConfigurationError: If nothing was begun.
        """
        rollout = self._current()
        wall_s = perf_counter() - self._began
        if self._failed is not None:
            return rollout.episode(wall_s, self._agent, *self._failed)
        return rollout.episode(wall_s, self._agent, None if rollout.over else "truncated")

    def words(self, observation: Any) -> str:
        """A seat's observation as text, the environment's own way where it has one.

        Raises:
            ConfigurationError: For one with a picture.
        """
        render = getattr(self._unwrapped, "observation_text", None) or rendered
        return str(render(observation))

    def close(self) -> None:
        """Release the environment."""
        close_quietly(self._env)

    # Playing

    def _attempt(self, assignment: Assignment, number: int) -> None:
        """Begin ``assignment`` and play what was played so far."""
        rollout = make_rollout(self._env, self.env_id, assignment, number)
        self._rollout = rollout
        try:
            rollout.begin()
            opening = self._seen(rollout)
            if self._opening is None:
                self._opening = opening
            self._check_same(rollout, 0, opening, self._opening)
            for index, action in enumerate(self._actions):
                reply = self._played(rollout, action)
                if index == len(self._replies):
                    self._replies.append(reply)
                self._check_same(rollout, index + 1, reply, self._replies[index])
        except Exception as error:
            if isinstance(error, ConfigurationError) and number == 1:
                # The caller's mistake: nothing was begun. Later, what was taken once is refused: the episode is lost.
                self._rollout = None
                raise
            self._again(rollout, error)

    def _check_same(self, rollout: Rollout, turn: int, one: Any, other: Any) -> None:
        if one is not other and _form(one) != _form(other):
            task_id, seed = rollout.assignment
            raise EpisodeChanged(
                f"task {task_id!r} with seed {seed} went another way in turn {turn} of attempt {rollout.attempt}: it "
                "depends on more than seed and actions, and cannot be continued."
            )

    def _again(self, rollout: Rollout, error: Exception) -> None:
        """Try once more, or record the failure and raise it."""
        attempt = rollout.attempt
        while getattr(error, "retryable", True) and attempt <= self._retries:
            attempt += 1
            close_quietly(self._env)
            try:
                self._env = self._factory()
            except Exception as unmade:
                # An outage may outlast the making of the environment: that spends an attempt like any other.
                error = unmade
                continue
            self._attempt(rollout.assignment, attempt)
            return
        status: Status = "infra_error" if isinstance(error, InfrastructureError) else "env_error"
        self._failed = (status, Failure(type(error).__name__, str(error), attempt))
        raise error

    def _played(self, rollout: Rollout, action: Any) -> Reply:
        acted = len(rollout.pending)
        decisions = [Decision(one) for one in self._each(rollout.pending, action)]
        began = perf_counter()
        rollout.record(self._env.step(rollout.action(decisions)))
        rollout.env_s += perf_counter() - began
        episode = rollout.episode(0.0, self._agent)
        turns = episode.turns[-acted:]
        terms: Mapping[str, Any] = {turn.seat: turn.terms for turn in turns} if self._several else turns[0].terms
        phases = {turn.phase for turn in turns}
        return Reply(
            self._seen(rollout),
            sum(turn.reward for turn in turns),
            rollout.over and episode.status == "terminated",
            rollout.over and episode.status == "truncated",
            terms,
            phases.pop() if len(phases) == 1 else "",
            any(turn.malformed for turn in turns),
        )

    def _each(self, pending: Sequence[SeatView], action: Any) -> list[Any]:
        if not self._several:
            return [action]
        seats = [view.seat for view in pending]
        if not isinstance(action, Mapping) or any(seat not in action for seat in seats):
            given = sorted(action) if isinstance(action, Mapping) else action
            raise ConfigurationError(f"the action is {given!r}: expected a mapping with one for each of {seats}.")
        return [action[seat] for seat in seats]

    # Small helpers

    @property
    def _unwrapped(self) -> Any:
        return getattr(self._env, "unwrapped", self._env)

    @property
    def _several(self) -> bool:
        return len(self._seats) > 1

    def _current(self) -> Rollout:
        if self._rollout is None:
            raise ConfigurationError("no episode was begun: call reset() first.")
        return self._rollout

    def _seen(self, rollout: Rollout) -> Any:
        if rollout.over:
            final = rollout.episode(0.0, self._agent).final_observation
            if self._several or not isinstance(final, Mapping) or self._seats[0] not in final:
                return self.words(final) if self._text else final
            return self.words(final[self._seats[0]]) if self._text else final[self._seats[0]]
        if self._several:
            return {view.seat: view.observation for view in rollout.pending}
        observation = rollout.pending[0].observation
        return self.words(observation) if self._text else observation

    def _check_text(self) -> None:
        if self._several:
            raise ConfigurationError(
                f"{self.env_id} has {len(self._seats)} seats, and this bridge has one voice: choose n_agents=1, or the "
                "OpenEnv bridge, whose actions may be mappings."
            )
        seated = hasattr(self._env, "possible_agents")
        space = self._env.action_space(self._seats[0]) if seated else self._env.action_space
        if not isinstance(space, UnicodeText):
            raise ConfigurationError(
                f"{self.env_id} takes {space}, and this bridge writes text: choose a form of the environment whose "
                "actions are text (such as actions='text'), or the bridge to OpenEnv or Stable-Baselines3."
            )


def _form(value: Any) -> str:
    """Text that two values share only where they are the same to the last bit: arrays, and what is no number, too."""
    return json.dumps(to_jsonable(value), sort_keys=True)


class Seeds:
    """Distinct seeds for the rollouts of a group, where a peer hands one and the same row to all of them.

    A group is one task with distinct seeds. The n-th episode of a task gets ``first + n``; where several processes
    play shares of a group, process ``rank`` of ``world`` gets every ``world``-th. Safe to share among threads.

    Args:
        first: Seed of a task's first episode.
        rank: This process.
        world: How many there are.
    """

    def __init__(self, first: int = 0, rank: int = 0, world: int = 1) -> None:
        if first < 0 or not 0 <= rank < world:
            raise ConfigurationError(
                f"first={first}, rank={rank}, world={world}: expected 0 or more, and rank < world."
            )
        self._first, self._rank, self._world = first, rank, world
        self._given: dict[str, int] = {}
        self._lock = threading.Lock()

    def draw(self, task_id: str) -> int:
        """The next seed of a task."""
        with self._lock:
            number = self._given.get(task_id, 0)
            self._given[task_id] = number + 1
        return self._first + number * self._world + self._rank


class Opening(NamedTuple):
    """How a task begins.

    Attributes:
        task_id: The task.
        system_prompt: The rules.
        observation: The first observation, as text.
    """

    task_id: str
    system_prompt: str
    observation: str

    def messages(self) -> list[dict[str, str]]:
        """The conversation before the agent's first word."""
        rules = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        return [*rules, {"role": "user", "content": self.observation}]


def openings(session: Session, task_ids: Sequence[str] = (), limit: int | None = None, seed: int = 0) -> list[Opening]:
    """How each task begins with one seed.

    Args:
        session: Of the environment.
        task_ids: Only these; all where empty.
        limit: Only so many.
        seed: Of the noise.

    Raises:
        ConfigurationError: For an unknown task.
    """
    chosen = choose_tasks(session.task_ids, task_ids, limit)
    return [Opening(task_id, session.system_prompt, cast(str, session.reset(task_id, seed))) for task_id in chosen]
