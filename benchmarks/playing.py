"""Play one episode and let somebody watch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from fogline.agents.agent import Agent, SeatView
from fogline.agents.collector import collect_all
from fogline.agents.environments import NO_TASK, choose_tasks, environment_name, make_environment, task_ids_of
from fogline.agents.registry import agent_names, make_agent
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode, Turn


class PlayConfig(BaseModel):
    """What ``fogline play`` does.

    Attributes:
        env: Registered id of the environment.
        agent: Name of the agent, or ``"module:Class"``; the environment's oracle (else ``random``) where None.
        env_kwargs: Keywords of the environment.
        agent_options: Keywords of the agent.
        task: Which task; the seed decides where None.
        seed: Seed of the episode.
        timeout_s: Wall-clock limit, in seconds.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    env: str
    agent: str | None = None
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    agent_options: dict[str, Any] = Field(default_factory=dict)
    task: str | None = None
    seed: int = Field(default=0, ge=0)
    timeout_s: float | None = Field(default=None, gt=0)


class Spectator(Protocol):
    """Is told what happens, as it happens."""

    def begin(self, view: SeatView) -> None:
        """A seat sees its first observation."""
        ...

    def turn(self, number: int, turn: Turn, observation: Any) -> None:
        """A turn was played; ``observation`` answers it, None where the episode is over."""
        ...


def play(config: PlayConfig, spectator: Spectator) -> Episode:
    """Play one episode.

    Raises:
        ConfigurationError: For an unknown environment, agent, task or option.
        DataError: For a damaged data set.
    """
    env_id = environment_name(config.env)
    if config.task is not None:
        env = make_environment(config.env, config.env_kwargs)
        choose_tasks(task_ids_of(env), (config.task,))
        env.close()
    agent = make_agent(agent_of(config), env_id, env_kwargs=config.env_kwargs, **config.agent_options)
    watched = _Watched(agent, spectator)
    assignment = Assignment(config.task or NO_TASK, config.seed)
    factory = partial(make_environment, config.env, config.env_kwargs)
    episode = collect_all(factory, watched, [assignment], concurrency=1, retries=0, timeout_s=config.timeout_s)[0]
    watched.finish(episode)
    return episode


def agent_of(config: PlayConfig) -> str:
    """The agent that plays."""
    if config.agent is not None:
        return config.agent
    return "oracle" if "oracle" in agent_names(environment_name(config.env)) else "random"


class _Watched:
    """An agent that tells a spectator what each decision led to before it makes the next one."""

    def __init__(self, agent: Agent, spectator: Spectator) -> None:
        self.name = agent.name
        self.batch_size = agent.batch_size
        self._agent = agent
        self._spectator = spectator
        self._told = 0

    def act(self, views: Sequence[SeatView]) -> Any:
        """Tell, then let the agent decide."""
        for view in views:
            if view.turns:
                self._tell(view.turns[-1], view.observation)
            else:
                self._spectator.begin(view)
        return self._agent.act(views)

    def finish(self, episode: Episode) -> None:
        """Tell the turns that no decision followed."""
        for turn in episode.turns[self._told :]:
            self._tell(turn, None)

    def _tell(self, turn: Turn, observation: Any) -> None:
        self._told += 1
        self._spectator.turn(self._told, turn, observation)
