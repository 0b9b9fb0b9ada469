"""OpenEnv: a server around any environment, and its client.

    $ uvicorn --factory my_server:app          # my_server.py: app = lambda: server("TrustSQL-v0")

    >>> from fogline.trainers.bridges.openenv import FoglineAction, FoglineEnvironment
    >>> env = FoglineEnvironment("MathReasoning-v0")
    >>> env.reset(seed=3, task_id="arithmetic-01-0000").text
    'What is 2 + 9?'
    >>> answered = env.step(FoglineAction(text="<answer>11</answer>"))
    >>> answered.reward, answered.done, answered.status
    (1.0, True, 'terminated')
    >>> env.close()

Over the wire :class:`FoglineClient` does the same: ``client.reset(seed=3, task_id=…)``, ``client.step(action)``; each
connection has an environment of its own. What is no text travels as JSON that keeps arrays and tuples: ``value``. So
every environment can be served, Silo-Bench with all its seats included, whose action is a mapping by seat.

**Groups** are the client's: it names ``task_id`` and ``seed``; without a seed, the server gives each of a task's
episodes the next one. **Failures** of what the environment needs end the episode with ``done`` and the reward None,
which OpenEnv allows, and are named in ``status`` and ``failure``: never a zero. What the caller did wrong (an unknown
task, a step after the end) is answered with an error, which the client raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from fogline.core.errors import ConfigurationError, missing_dependency
from fogline.core.jsonable import from_jsonable, to_jsonable
from fogline.trainers.bridges.session import Seeds, Session

try:
    from openenv.core.client_types import StepResult
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server import create_fastapi_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State
except ImportError as error:
    raise missing_dependency("openenv", "openenv") from error

_SPLIT = "all"


class FoglineAction(Action):  # type: ignore[misc]
    """An action: words, or anything else in the form of :func:`~fogline.core.jsonable.to_jsonable`.

    Attributes:
        text: For environments that read.
        value: For all others; ignored where there is a text.
    """

    text: str | None = None
    value: Any = None


class FoglineObservation(Observation):  # type: ignore[misc]
    """What a step brought, beside OpenEnv's ``reward`` and ``done``.

    Attributes:
        text: The observation in words; None where it has none (a picture, several seats).
        value: The observation itself, in the form of :func:`~fogline.core.jsonable.to_jsonable`.
        terms: Named turn-level reward terms.
        phase: The environment's name for the kind of turn.
        malformed: Whether the action could not be read.
        status: How the episode ended; empty before.
        outcome: Named session-level terms, at the end.
        metrics: Further named results, at the end.
        failure: What broke, where ``status`` is ``env_error`` or ``infra_error``.
        system_prompt: The rules, with the first observation.
        tools: JSON schemas of the tools, with the first observation.
    """

    text: str | None = None
    value: Any = None
    terms: dict[str, Any] = Field(default_factory=dict)
    phase: str = ""
    malformed: bool = False
    status: str = ""
    outcome: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    failure: str | None = None
    system_prompt: str = ""
    tools: list[dict[str, Any]] = Field(default_factory=list)


class FoglineState(State):  # type: ignore[misc]
    """Which episode is played.

    Attributes:
        env_id: The environment.
        task_id: The task.
        seed: Of its noise.
    """

    env_id: str = ""
    task_id: str = ""
    seed: int = 0


class FoglineEnvironment(Environment[FoglineAction, FoglineObservation, FoglineState]):  # type: ignore[misc]
    """A fogline environment as one of OpenEnv.

    Args:
        env_id: Any environment.
        env_kwargs: Keywords of its constructor.
        seeds: For episodes whose seed the client leaves open.
        retries: Further attempts at an episode after a failure that is not the agent's.

    Raises:
        ConfigurationError: For an unknown environment or keyword.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        env_id: str,
        env_kwargs: Mapping[str, Any] | None = None,
        seeds: Seeds | None = None,
        retries: int = 2,
    ) -> None:
        super().__init__()
        self._session = Session(env_id, env_kwargs, text=False, retries=retries, agent="openenv")
        self._seeds = seeds or Seeds()
        self._state = FoglineState(env_id=self._session.env_id)

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        task_id: str = "",
        split: str = _SPLIT,
        index: int | None = None,
    ) -> FoglineObservation:
        """Begin an episode.

        Args:
            seed: Of its noise; the task's next one where None.
            episode_id: Any name of the caller's.
            task_id: The task; drawn by the seed where it is empty and there is no ``index``.
            split: ``"all"``.
            index: The task by its number, as :meth:`get_task` counts.

        Raises:
            ConfigurationError: For an unknown task.
        """
        task_id = self.get_task(split, index)["id"] if index is not None else task_id
        seed = self._seeds.draw(task_id) if seed is None else seed
        self._state = FoglineState(
            episode_id=episode_id, env_id=self._session.env_id, task_id=task_id, seed=seed, step_count=0
        )
        try:
            self._session.reset(task_id, seed)
        except ConfigurationError:
            raise
        except Exception:
            return self._lost()
        tools = [dict(tool) for tool in self._session.tools]
        return self._seen(reward=None, system_prompt=self._session.system_prompt, tools=tools)

    def step(self, action: FoglineAction, timeout_s: float | None = None) -> FoglineObservation:
        """Play one turn.

        Raises:
            ConfigurationError: There is no episode, it is over, or a seat's action is missing.
        """
        chosen = from_jsonable(action.value) if action.text is None else action.text
        try:
            reply = self._session.step(chosen)
        except ConfigurationError:
            raise
        except Exception:
            return self._lost()
        self._state.step_count += 1
        told = {"terms": to_jsonable(reply.terms), "phase": reply.phase, "malformed": reply.malformed}
        if reply.done:
            episode = self._session.episode()
            told |= {
                "status": episode.status,
                "outcome": dict(episode.outcome),
                "metrics": to_jsonable(episode.metrics),
            }
        return self._seen(reward=reply.reward, done=reply.done, **told)

    @property
    def state(self) -> FoglineState:
        """Which episode is played, and how far it has come."""
        return self._state

    def close(self) -> None:
        """Release the environment."""
        self._session.close()

    # OpenEnv's task discovery

    def list_splits(self) -> list[str]:
        """The one split; an environment's keywords decide its tasks."""
        return [_SPLIT]

    def num_tasks(self, split: str) -> int:
        """How many tasks there are."""
        return len(self._tasks(split))

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """Every task, as ``{"id", "index"}``."""
        return self.get_task_range(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One task.

        Raises:
            IndexError: If there are not so many.
        """
        return {"id": self._tasks(split)[index], "index": index}

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Tasks from ``start`` up to ``stop``."""
        tasks = list(enumerate(self._tasks(split)))[start:stop]
        return [{"id": task_id, "index": index} for index, task_id in tasks]

    def _tasks(self, split: str) -> tuple[str, ...]:
        if split != _SPLIT:
            raise ConfigurationError(f"split={split!r} is unknown: expected {_SPLIT!r}.")
        return self._session.task_ids

    # Small helpers

    def _seen(self, **told: Any) -> FoglineObservation:
        observation = self._session.observation
        try:
            text = self._session.words(observation) if self._session.single else None
        except ConfigurationError:
            # A picture has no words; it is in `value`.
            text = None
        return FoglineObservation(text=text, value=to_jsonable(observation), **told)

    def _lost(self) -> FoglineObservation:
        episode = self._session.episode()
        failure = "" if episode.failure is None else f"{episode.failure.kind}: {episode.failure.message}"
        return FoglineObservation(done=True, reward=None, status=episode.status, failure=failure)


def server(
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    sessions: int = 64,
    first_seed: int = 0,
    retries: int = 2,
) -> Any:
    """A FastAPI application that serves an environment; run it with ``uvicorn``.

    Args:
        env_id: Any environment.
        env_kwargs: Keywords of its constructor.
        sessions: Most connections at once; each has an environment of its own.
        first_seed: Of a task's episodes whose seed the client leaves open.
        retries: Further attempts at an episode after a failure that is not the agent's.

    Raises:
        ConfigurationError: For an unknown environment or keyword.
    """
    FoglineEnvironment(env_id, env_kwargs).close()
    seeds = Seeds(first_seed)
    return create_fastapi_app(
        lambda: FoglineEnvironment(env_id, env_kwargs, seeds, retries),
        FoglineAction,
        FoglineObservation,
        max_concurrent_envs=sessions,
        state_cls=FoglineState,
    )


class FoglineClient(EnvClient[FoglineAction, FoglineObservation, FoglineState]):  # type: ignore[misc]
    """The client of :func:`server`: ``FoglineClient(base_url=…)``, asynchronous; ``.sync()`` gives the blocking one."""

    def _step_payload(self, action: FoglineAction) -> dict[str, Any]:
        return {"text": action.text, "value": to_jsonable(action.value)}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[FoglineObservation]:
        reward, done = payload.get("reward"), bool(payload.get("done", False))
        told = {**payload["observation"], "value": from_jsonable(payload["observation"].get("value"))}
        observation = FoglineObservation(**told, reward=reward, done=done)
        return StepResult(observation=observation, reward=reward, done=done)

    def _parse_state(self, payload: dict[str, Any]) -> FoglineState:
        return FoglineState(**payload)
