"""Silo-Bench under central control: one agent sees all seats and moves all of them, or is the only seat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gymnasium import spaces

from fogline.core.rewards import RewardScheme
from fogline.envs.silo_bench.parallel import NAME, VERSION, SiloParallelEnv
from fogline.envs.text import Response, TurnEnv


class SiloBenchEnv(TurnEnv[dict[str, Any], dict[str, Any]]):
    """``SiloBench-v0``: Dict of all seats' observations to Dict of all seats' actions.

    With ``n_agents=1`` (and ``scale=k`` for the data of k seats) it is the single-agent oracle of relative
    coordination cost. The episode's reward is the mean over seats of what
    :class:`~fogline.envs.silo_bench.parallel.SiloParallelEnv` pays them: with the defaults, the success rate S.

    Args:
        render_mode: ``"ansi"`` or None.
        **keywords: Fields of :class:`~fogline.envs.silo_bench.config.SiloConfig`.

    Raises:
        ConfigurationError: For an unknown value of a keyword.
        TypeError: For an unknown keyword.
    """

    metadata: dict[str, Any] = {"name": NAME, "render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012
    reward_scheme: RewardScheme = RewardScheme(
        turn={"reward": 1.0}, session={"success_rate": 0.0, "partial_correctness": 0.0, "success": 0.0}
    )
    simulator_version: ClassVar[str] = VERSION

    def __init__(self, render_mode: str | None = None, **keywords: Any) -> None:
        self._seats = SiloParallelEnv(render_mode, **keywords)
        super().__init__(self._seats.task_ids, render_mode)
        self.config = self._seats.config
        self.tools = self._seats.tools
        self.system_prompt = "\n\n".join(self._seats.system_prompt.values())
        names = self._seats.possible_agents
        self._names = frozenset(names)
        self.observation_space = spaces.Dict({seat: self._seats.observation_space(seat) for seat in names})
        self.action_space = spaces.Dict({seat: self._seats.action_space(seat) for seat in names})

    def begin(self, task_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Deal the instance; the noise of the channel comes from this environment's generator."""
        seed = int(self.np_random.integers(2**31))
        observation, infos = self._seats.reset(seed=seed, options={"task_id": task_id})
        return observation, {"seats": {seat: _told(info) for seat, info in infos.items()}}

    def respond(self, action: Any) -> Response:
        """Play one round. Seats that the action leaves out wait; those that have submitted are passed over."""
        chosen = action if isinstance(action, Mapping) else {}
        readable = bool(chosen) and all(seat in self._names for seat in chosen)
        _, rewards, _, truncations, infos = self._seats.step(
            {seat: chosen[seat] for seat in self._seats.agents if seat in chosen}
        )
        over = not self._seats.agents
        seats = len(self._seats.possible_agents)
        reported = next(iter(infos.values())) if over else {}
        return Response(
            self._seats.state(),
            "round" if readable else "malformed",
            {"reward": sum(rewards.values()) / seats},
            not readable or any(info["malformed"] for info in infos.values()),
            reported.get("outcome"),
            reported.get("metrics", {}),
            truncated=over and any(truncations.values()),
            extra={"seats": {seat: _told(info) for seat, info in infos.items()}},
        )

    def metrics(self) -> dict[str, Any]:
        """As :meth:`SiloParallelEnv.metrics`."""
        return self._seats.metrics()

    def render(self) -> str | None:
        """The last round as text, in ``render_mode="ansi"``."""
        return None if self.render_mode is None else self._seats.render()

    def close(self) -> None:
        """Nothing to release."""


def _told(info: Mapping[str, Any]) -> dict[str, Any]:
    """A seat's info without its typed view: the observation says the same."""
    return {name: info[name] for name in ("terms", "phase", "malformed") if name in info}
