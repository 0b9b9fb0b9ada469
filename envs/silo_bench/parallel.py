"""Silo-Bench seat by seat: a PettingZoo Parallel environment in which one step is one round."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

from fogline.core.errors import ConfigurationError, check_choice, suggestion
from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.silo_bench import prompts
from fogline.envs.silo_bench.calls import SiloView
from fogline.envs.silo_bench.config import SiloConfig, read_config
from fogline.envs.silo_bench.game import Game, Played
from fogline.envs.silo_bench.instances import instance_ids
from fogline.envs.silo_bench.metrics import game_metrics, outcome_of
from fogline.envs.silo_bench.spaces import ToolCalls, observation_space, tool_schemas

NAME = "SiloBench-v0"
VERSION = "silo-bench-1"


def scheme_of(config: SiloConfig) -> RewardScheme:
    """The documented sum that a seat is paid: its answer, less what it sent and wrote."""
    weights = {"answer": 1.0, "messages": -config.message_cost, "tokens": -config.token_cost}
    return RewardScheme(turn=weights)


# PettingZoo publishes no types.
class SiloParallelEnv(ParallelEnv[str, dict[str, Any], Any]):  # type: ignore[misc]
    """N seats, each with a shard, in synchronous rounds over one channel (Silo-Bench, section 3).

    Observations are Dicts (``prompt``, ``inbox``, ``tool_results`` as text, and the round); ``infos[seat]["view"]``
    holds the same typed, as a :class:`~fogline.envs.silo_bench.calls.SiloView`. Actions are tuples of tool calls, or
    text. A seat terminates in the step in which it submits (with ``reward="team"`` it stays, inert, until the
    end, when all are paid); seats without an answer are truncated after ``max_rounds``.

    ``reset(seed)`` draws the instance and the channel's faults; ``options={"task_id": "I-01/7"}`` names the instance.

    Args:
        render_mode: ``"ansi"`` or None.
        **keywords: Fields of :class:`~fogline.envs.silo_bench.config.SiloConfig`.

    Raises:
        ConfigurationError: For an unknown value of a keyword.
        TypeError: For an unknown keyword.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": NAME, "render_modes": ["ansi"], "is_parallelizable": True}
    simulator_version: ClassVar[str] = VERSION
    blocking = False

    def __init__(self, render_mode: str | None = None, **keywords: Any) -> None:
        if render_mode is not None:
            check_choice("render_mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.config = read_config(keywords)
        self.task_ids = instance_ids(self.config)
        self._known = frozenset(self.task_ids)
        self.possible_agents = [f"agent_{number}" for number in range(self.config.n_agents)]
        self.agents: list[str] = []
        self.reward_scheme = scheme_of(self.config)
        self.tools = tool_schemas(self.config.protocol)
        self.system_prompt = {
            seat: prompts.rules(self.config, number) for number, seat in enumerate(self.possible_agents)
        }
        self._numbers = {seat: number for number, seat in enumerate(self.possible_agents)}
        # Spaces carry the generator of their samples, so each seat has its own.
        self._observation_spaces = {seat: self._seen() for seat in self.possible_agents}
        self._action_spaces = {seat: self._acted() for seat in self.possible_agents}
        self.state_space = gymnasium.spaces.Dict(self._observation_spaces)
        self._random: np.random.Generator | None = None
        self._game: Game | None = None
        self._prompts: dict[str, str] = {}
        self._metrics: dict[str, Any] | None = None
        self._last = ""

    def observation_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """What ``agent`` sees; the same object at every call."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Space[Any]:
        """What ``agent`` may do; the same object at every call."""
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Deal an instance.

        Args:
            seed: Decides instance and faults; without one the last seed's draws go on.
            options: ``{"task_id": "I-01/7"}`` to choose the instance; other keys are ignored, as PettingZoo asks.

        Raises:
            ConfigurationError: For an unknown instance.
        """
        if seed is not None or self._random is None:
            self._random = seeding.np_random(seed)[0]
        instance_id = self._instance((options or {}).get("task_id"), self._random)
        self._game = Game(self.config, instance_id, self._random.spawn(1)[0])
        self.agents = list(self.possible_agents)
        self._metrics = None
        self._last = ""
        self._prompts = {
            seat: prompts.task_text(self._game.task, self._game.problem, number, self.config.hint_level)
            for seat, number in self._numbers.items()
        }
        infos = {seat: {"task_id": instance_id, "phase": "", "view": self._view(seat)} for seat in self.agents}
        return {seat: self._observe(seat) for seat in self.agents}, infos

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one round; seats without an action wait.

        Raises:
            ResetNeeded: If no seat is live.
        """
        game = self._game
        if game is None or not self.agents:
            raise gymnasium.error.ResetNeeded("the episode is over (or was never begun): call reset() first.")
        live = self.agents
        played = game.play({self._numbers[seat]: actions[seat] for seat in live if seat in actions})
        over = game.over
        self._last = _rendered(game, played) if self.render_mode else ""
        terminations, truncations, rewards, infos, observations = {}, {}, {}, {}, {}
        for seat in live:
            number = self._numbers[seat]
            submitted = game.seats[number].submitted
            terminations[seat] = submitted and (over or self.config.reward != "team")
            truncations[seat] = over and not submitted
            terms = self._terms(number, played.get(number), over)
            rewards[seat] = self.reward_scheme.of_turn(terms)
            did = played.get(number)
            infos[seat] = {
                "terms": terms,
                "phase": did.phase if did else "wait",
                "malformed": did.malformed if did else False,
                "view": self._view(seat),
            }
            observations[seat] = self._observe(seat)
        if over:
            self._metrics = game_metrics(game)
            for info in infos.values():
                info["outcome"] = outcome_of(self._metrics)
                info["metrics"] = self._metrics
                info["episode_metrics"] = self._metrics
        self.agents = [seat for seat in live if not (terminations[seat] or truncations[seat])]
        return observations, rewards, terminations, truncations, infos

    def metrics(self) -> dict[str, Any]:
        """Metrics of the episode that has ended.

        Raises:
            ConfigurationError: While it is going on: they would tell who is right.
        """
        if self._metrics is None:
            raise ConfigurationError("metrics() before the end of the episode: they are known once all have submitted.")
        return dict(self._metrics)

    def state(self) -> dict[str, Any]:
        """What all seats see together, for training with a central critic."""
        return {seat: self._observe(seat) for seat in self.possible_agents}

    @staticmethod
    def observation_text(observation: Mapping[str, Any]) -> str:
        """An observation in words, for agents that read."""
        return prompts.observation_text(observation)

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Turn a tool call into an action of the configured form."""
        if self.config.actions == "text":
            call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
            return f"<tool_call>{call}</tool_call>"
        return ((name, dict(arguments)),)

    def render(self) -> str | None:
        """The last round as text, in ``render_mode="ansi"``."""
        if self.render_mode is None or self._game is None:
            return None
        return self._last or f"{self._game.instance_id}: {self.config.n_agents} agents, {self.config.protocol}, round 1"

    def close(self) -> None:
        """Nothing to release."""

    def _seen(self) -> gymnasium.spaces.Space[Any]:
        return observation_space(self.config.n_agents, self.config.max_rounds)

    def _acted(self) -> gymnasium.spaces.Space[Any]:
        text = self.config.actions == "text"
        return UnicodeText() if text else ToolCalls(self.config.protocol, self.config.n_agents)

    def _instance(self, task_id: Any, random: np.random.Generator) -> str:
        if task_id is None:
            return self.task_ids[int(random.integers(len(self.task_ids)))]
        if not isinstance(task_id, str) or task_id not in self._known:
            raise ConfigurationError(
                f"task_id={task_id!r} is not a task of this environment: it has {len(self.task_ids)}, "
                f"from {self.task_ids[0]!r} to {self.task_ids[-1]!r}.{suggestion(task_id, self.task_ids)}"
            )
        return task_id

    def _terms(self, number: int, did: Played | None, over: bool) -> dict[str, float]:
        game = self._game
        assert game is not None
        paid = 0.0
        if self.config.reward == "team":
            paid = float(over and all(map(game.correct, range(self.config.n_agents))))
        elif did is not None and did.phase == "submit":
            paid = game.partial(number) if self.config.reward == "partial" else float(game.correct(number))
        return {
            "answer": paid,
            "messages": float(did.messages if did else 0),
            "tokens": float(did.tokens if did else 0),
        }

    def _view(self, seat: str) -> SiloView:
        assert self._game is not None
        return self._game.view(self._numbers[seat])

    def _observe(self, seat: str) -> dict[str, Any]:
        game, number = self._game, self._numbers[seat]
        assert game is not None
        inbox = [{"from": item.sender, "content": item.content, "round": item.round} for item in game.inbox(number)]
        results = [
            {"tool": item.tool, **item.result} if item.tool else dict(item.result)
            for item in game.seats[number].results
        ]
        if self.config.scaffold == "reminder":
            results.append({"reminder": prompts.REMINDER})
        return {
            "round": np.array([game.round], dtype=np.int32),
            "rounds_left": np.array([max(0, self.config.max_rounds - game.round)], dtype=np.int32),
            "agent_id": np.int64(number),
            "prompt": self._prompts.get(seat, ""),
            "inbox": json.dumps(inbox, ensure_ascii=False),
            "tool_results": json.dumps(results, ensure_ascii=False),
            "submitted": np.int64(game.seats[number].submitted),
        }


def _rendered(game: Game, played: Mapping[int, Played]) -> str:
    lines = [f"{game.instance_id}, round {game.round - 1}"]
    for number, did in played.items():
        seat = game.seats[number]
        said = ", ".join(result.tool or "unreadable" for result in seat.results)
        lines.append(f"agent_{number}: {said}" + (f" -> {seat.answer!r}" if did.phase == "submit" else ""))
    return "\n".join(lines)
