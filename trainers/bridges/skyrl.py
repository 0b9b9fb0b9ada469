"""SkyRL-Gym: any text environment as a ``BaseTextEnv``, registered under a name of your choice.

    >>> import skyrl_gym
    >>> from fogline.trainers.bridges.skyrl import register, rows
    >>> register("fogline-math", "MathReasoning-v0")
    >>> (row,) = rows("fogline-math", "MathReasoning-v0", limit=1)
    >>> env = skyrl_gym.make(row["env_class"], env_config={}, extras=row)
    >>> prompt, info = env.init(row["prompt"])
    >>> prompt[-1]["content"], info["task_id"]
    ('What is 2 + 9?', 'arithmetic-01-0000')
    >>> output = env.step("<answer>11</answer>")
    >>> output["reward"], output["done"]
    (1.0, True)
    >>> env.close()

:func:`rows` is the data set of prompts that SkyRL's trainer reads. SkyRL samples a prompt ``n_samples_per_prompt``
times and hands the same row to all of them; each ``init`` draws the task's next seed, so that a group is one task with
distinct seeds.

SkyRL has no mark for an episode without a reward: what ``step`` and ``init`` raise ends the run of the trainer. So an
infrastructure failure, after the retries of the session, is raised as it is and never returned as a reward of zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.core.errors import ConfigurationError, missing_dependency
from fogline.trainers.bridges.session import Seeds, Session, openings

try:
    import skyrl_gym
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
    from skyrl_gym.envs.registration import registry
except ImportError as error:
    raise missing_dependency("skyrl-gym", "skyrl") from error


class FoglineTextEnv(BaseTextEnv):  # type: ignore[misc]
    """One episode of a fogline environment.

    Args:
        session: Plays.
        seeds: Of the episodes.
        extras: The row: ``task_id``, and ``seed`` where it is to be this one and no other.
    """

    def __init__(self, session: Session, seeds: Seeds, extras: Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(extras.get("task_id"), str):
            raise ConfigurationError(f"the row has {sorted(extras)}: expected a 'task_id', as rows() writes it.")
        self.session = session
        self.max_turns = int(extras.get("max_turns", 1_000_000))
        self._seeds, self._extras = seeds, extras

    def init(self, prompt: list[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Begin: the conversation's last message becomes this episode's first observation."""
        task_id = str(self._extras["task_id"])
        seed = self._extras.get("seed")
        seed = self._seeds.draw(task_id) if seed is None else int(seed)
        observation = self.session.reset(task_id, seed)
        return [*prompt[:-1], {"role": "user", "content": observation}], {"task_id": task_id, "seed": seed}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Play one turn; what the environment says last, when it is over, is in no conversation."""
        reply = self.session.step(action)
        self.turns += 1
        said = [] if reply.done else [{"role": "user", "content": reply.observation}]
        told = {"terms": dict(reply.terms), "phase": reply.phase, "malformed": reply.malformed}
        over = reply.done or self.turns >= self.max_turns
        return BaseTextEnvStepOutput(observations=said, reward=reply.reward, done=over, metadata=told)

    def get_metrics(self) -> dict[str, Any]:
        """Named results of the episode, for SkyRL's averages."""
        episode = self.session.episode()
        named: dict[str, Any] = {**episode.metrics, **episode.outcome}
        return {key: value for key, value in named.items() if isinstance(value, (bool, int, float))}

    def close(self) -> None:
        """Release the environment."""
        self.session.close()


def register(
    name: str, env_id: str, env_kwargs: Mapping[str, Any] | None = None, *, seeds: Seeds | None = None, retries: int = 2
) -> None:
    """Make an environment known to ``skyrl_gym.make``; a name that is known already is replaced.

    Args:
        name: Goes into the ``env_class`` of the trainer's rows.
        env_id: fogline's or any other text environment.
        env_kwargs: Keywords of its constructor.
        seeds: Where the seeds of a task's episodes begin.
        retries: Further attempts at an episode after a failure that is not the policy's.

    Raises:
        ConfigurationError: For an unknown environment, or one that does not read and write text.
    """
    Session(env_id, env_kwargs).close()
    stream = seeds or Seeds()

    def make(env_config: Any = None, extras: Mapping[str, Any] | None = None, **_: Any) -> FoglineTextEnv:
        return FoglineTextEnv(Session(env_id, env_kwargs, retries=retries, agent="skyrl"), stream, extras or {})

    registry.pop(name, None)
    skyrl_gym.register(id=name, entry_point=make)


def rows(
    name: str,
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    task_ids: Sequence[str] = (),
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Rows for SkyRL's prompt data set: ``prompt, env_class, task_id``; JSON or Parquet holds them.

    The prompt holds the rules; the first observation, which may depend on the seed, is put in by ``init``.
    """
    session = Session(env_id, env_kwargs)
    try:
        return [
            {"prompt": opening.messages(), "env_class": name, "task_id": opening.task_id}
            for opening in openings(session, task_ids, limit)
        ]
    finally:
        session.close()
