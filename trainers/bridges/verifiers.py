"""verifiers: a taskset of an environment's tasks, and the environment that plays them (``verifiers.v1``).

verifiers finds both by the name of a module, so give them one, ``my_fogline.py``, anywhere on the path::

    from fogline.trainers.bridges.verifiers import FoglineEnv, FoglineTaskset
    __all__ = ["FoglineEnv", "FoglineTaskset"]

and ``eval my-fogline --env.taskset.env-id TrustSQL-v0`` evaluates a model in it, as does any trainer that loads it. The
taskset alone:

    >>> from fogline.trainers.bridges.verifiers import FoglineTaskset, FoglineTasksetConfig
    >>> taskset = FoglineTaskset(FoglineTasksetConfig(env_id="MathReasoning-v0", limit=2))
    >>> [task.data.task_id for task in taskset]
    ['arithmetic-01-0000', 'arithmetic-01-0001']
    >>> next(iter(taskset)).data.system_prompt.split(".")[0]
    'You solve mathematical problems'

The rules are the task's system prompt. Tasks have no prompt: the environment opens each episode with its first
observation, which may depend on the seed, and answers as the user until it ends.

**Groups**: each rollout of a task (``-r``) takes the task's next seed. **Failures** of what the environment needs are
raised, after the session's retries: verifiers marks the episode as not ``ok``, with the error on it, and records no
reward; trainers drop it, and ``--env.retries`` plays it again. Nor has an episode a reward whose player's model broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field

from fogline.agents.environments import choose_tasks
from fogline.core.errors import missing_dependency
from fogline.trainers.bridges.session import Seeds, Session

try:
    import verifiers.v1 as vf
except ImportError as error:
    raise missing_dependency("verifiers", "verifiers") from error

__all__ = ["FoglineEnv", "FoglineEnvConfig", "FoglineTaskset", "FoglineTasksetConfig"]

REWARD = "fogline"
"""Name of the reward on a trace: the episode's."""


class FoglineTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Which environment, and which of its tasks.

    Attributes:
        env_id: A text environment.
        env_kwargs: Keywords of its constructor.
        task_ids: Only these tasks; all where empty.
        limit: Only so many.
    """

    env_id: str = "MathReasoning-v0"
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    task_ids: list[str] = Field(default_factory=list)
    limit: int | None = None


class FoglineData(vf.TaskData):  # type: ignore[misc]
    """A task by name.

    Attributes:
        env_id: The environment.
        env_kwargs: Keywords of its constructor.
        task_id: The task.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    task_id: str


class FoglineTask(vf.Task[FoglineData, vf.State, vf.TaskConfig]):  # type: ignore[misc]
    """A task; the environment scores it."""

    @property
    def key(self) -> str:
        """Its name, which outlives a change of the rules."""
        return f"{self.data.env_id}/{self.data.task_id}"


class FoglineTaskset(vf.Taskset[FoglineTask, FoglineTasksetConfig]):  # type: ignore[misc]
    """The tasks of an environment, in its order."""

    def load(self) -> Iterator[FoglineTask]:
        """Yield the tasks.

        Raises:
            ConfigurationError: For an unknown environment, keyword or task, or one that does not read and write text.
        """
        config = self.config
        session = Session(config.env_id, config.env_kwargs)
        try:
            rules, chosen = session.system_prompt, choose_tasks(session.task_ids, config.task_ids, config.limit)
        finally:
            session.close()
        for index, task_id in enumerate(chosen):
            data = FoglineData(
                idx=index,
                name=task_id,
                prompt=None,
                system_prompt=rules or None,
                env_id=config.env_id,
                env_kwargs=config.env_kwargs,
                task_id=task_id,
            )
            yield FoglineTask(data, config.task)


class FoglineEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """How episodes are played.

    Attributes:
        player: Who acts; a plain conversation, which runs nothing of its own, so a subprocess will do.
        first_seed: Seed of a task's first episode; set it apart where several servers share a group.
        attempts: Further attempts at an episode after a failure that is not the player's.
    """

    player: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime=vf.SubprocessConfig())
    first_seed: int = 0
    attempts: int = 2


class FoglineEnv(vf.Env[FoglineEnvConfig]):  # type: ignore[misc]
    """Plays a fogline environment as the other side of a conversation."""

    def __init__(self, config: FoglineEnvConfig) -> None:
        super().__init__(config)
        self._seeds = Seeds(self.config.first_seed)

    async def run(self, task: FoglineTask, agents: Any) -> None:
        """One episode.

        Raises:
            InfrastructureError: What the environment needs failed, in every attempt.
        """
        # One thread for each episode: it may wait, and an environment stays where it was made.
        with ThreadPoolExecutor(1, thread_name_prefix="fogline-env") as thread:
            loop = asyncio.get_running_loop()
            data = task.data
            seed = self._seeds.draw(data.task_id)
            session = await loop.run_in_executor(thread, self._session, data)
            try:
                opening = await loop.run_in_executor(thread, session.reset, data.task_id, seed)
                async with agents.player.interaction(task) as interaction:
                    segment = await interaction.turn(opening)
                    while not segment.terminated:
                        reply = await loop.run_in_executor(thread, session.step, _said(segment))
                        if reply.done:
                            break
                        segment = await interaction.turn(reply.observation)
                    # Inside, so that the trace has its reward before it is closed and handed on.
                    _record(interaction.trace, session, seed)
            finally:
                await loop.run_in_executor(thread, session.close)

    def _session(self, data: FoglineData) -> Session:
        return Session(data.env_id, data.env_kwargs, retries=self.config.attempts, agent="verifiers")


def _said(segment: Any) -> str:
    """The player's last words as it said them; ``segment.last_reply`` has lost the white space around them."""
    (*_, last) = (message for message in segment.messages if isinstance(message, vf.AssistantMessage))
    return str(last.content or "")


def _record(trace: Any, session: Session, seed: int) -> None:
    episode = session.episode()
    if trace.errors:
        # The player's model or program broke: what was paid before is not the reward of the episode.
        trace.info[REWARD] = {"task_id": episode.task_id, "seed": seed, "status": "infra_error"}
        return
    trace.record_reward(REWARD, session.reward, 1.0)
    for name, value in {**episode.metrics, **episode.outcome}.items():
        if isinstance(value, (bool, int, float)):
            trace.record_metric(name, float(value))
    trace.info[REWARD] = {
        "task_id": episode.task_id,
        "seed": seed,
        "status": episode.status,
        "rewards": [turn.reward for turn in episode.turns],
    }
