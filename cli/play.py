"""``fogline play``: watch one episode, or play it yourself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fogline.cli import arguments
from fogline.cli.console import clean, console, print_error, print_json

if TYPE_CHECKING:
    from fogline.agents.agent import SeatView
    from fogline.benchmarks.playing import PlayConfig
    from fogline.core.episode import Episode, Turn

_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_cyan", "bright_magenta")
_MALFORMED = "red"
_LONGEST_TEXT = 32


def play(
    env: arguments.Env,
    agent: arguments.OneAgent = None,
    human: arguments.Human = False,
    task: Annotated[str | None, typer.Option(metavar="ID", help="Which task. (default: the seed decides)")] = None,
    seed: arguments.Seed = None,
    env_kwargs: arguments.EnvKwargs = None,
    agent_options: arguments.AgentOptions = None,
    as_json: arguments.Json = False,
) -> None:
    """Play one episode, turn by turn: what was seen, what was done, what it earned.

    Example: fogline play TrustSQL-v0 --agent oracle --task chinook-001 -k protocol=strict
    """
    from fogline.benchmarks.playing import PlayConfig
    from fogline.benchmarks.playing import play as run
    from fogline.cli.options import build_config, key_values
    from fogline.core.errors import ConfigurationError

    if human and agent not in (None, "human"):
        raise ConfigurationError(f"--human and --agent {agent}: expected one of them.")
    flags = {
        "env": env,
        "agent": "human" if human else agent,
        "task": task,
        "seed": seed,
        "env_kwargs": key_values(env_kwargs, "--set"),
        "agent_options": key_values(agent_options, "--agent-option"),
    }
    config = _with_clean_screen(build_config(PlayConfig, {}, flags))
    spectator = Narrator(config, silent=as_json)
    episode = run(config, spectator)
    if as_json:
        print_json(episode.to_json())
    else:
        spectator.end(episode)
    if episode.failure is not None:
        print_error(f"{episode.status}, {episode.failure.kind}: {episode.failure.message}")
        raise typer.Exit(1)


class Narrator:
    """Prints an episode as it happens.

    Args:
        config: What is being played.
        silent: Print nothing.
    """

    def __init__(self, config: PlayConfig, *, silent: bool = False) -> None:
        self._config = config
        self._human = config.agent == "human"
        self._out = console()
        self._silent = silent
        self._colours: dict[str, str] = {}
        self._render: Callable[[Any], str] = _in_words

    def begin(self, view: SeatView) -> None:
        """Print the header and the first observation; a human is shown it by the agent."""
        if self._silent:
            return
        self._render = view.render or _in_words
        seed = self._config.seed
        task = f", task {view.task_id}" if view.task_id else ""
        self._rule(f"{view.env_id}{task}, seed {seed}", "bold")
        if not self._human:
            self._text(self._render(view.observation))

    def turn(self, number: int, turn: Turn, observation: Any) -> None:
        """Print one turn and what it led to."""
        if self._silent:
            return
        colour = self._colour(turn)
        seat = "" if turn.seat == "agent" else f" · {turn.seat}"
        phase = f" · {turn.phase}" if turn.phase else ""
        self._rule(f"turn {number}{seat}{phase} · reward {turn.reward:.3f}", colour)
        if not self._human:
            self._text(turn.action, colour)
        if turn.terms:
            self._text(f"terms: {_pairs(turn.terms)}", "dim")
        if observation is not None and not self._human:
            self._out.print()
            self._text(self._render(observation))

    def end(self, episode: Episode) -> None:
        """Print how it ended."""
        self._rule(f"{episode.status} after {len(episode.turns)} turns", "bold")
        last = _in_words(episode.final_observation)
        # Of several seats each has seen its own end.
        if episode.final_observation is not None and last and len(episode.seats) == 1:
            self._text(last)
        if episode.outcome:
            self._text(f"outcome: {_pairs(episode.outcome)}")
        if episode.metrics:
            self._text(f"metrics: {_pairs(episode.metrics)}", "dim")
        reward = "none: the failure was not the agent's" if episode.reward is None else f"{episode.reward:.3f}"
        self._text(f"reward: {reward}", "bold")

    def _colour(self, turn: Turn) -> str:
        if turn.malformed:
            return _MALFORMED
        return self._colours.setdefault(turn.phase, _COLOURS[len(self._colours) % len(_COLOURS)])

    def _rule(self, title: str, style: str) -> None:
        self._out.print()
        self._out.rule(clean(title), style=style, align="left")

    def _text(self, value: Any, style: str = "") -> None:
        from rich.text import Text

        self._out.print(Text(clean(value), style=style))


class CleanWriter:
    """Standard output for agents that print what environments say."""

    def write(self, text: str) -> int:
        """Write ``text`` with control characters made visible."""
        return sys.stdout.write(clean(text))

    def flush(self) -> None:
        """Flush standard output."""
        sys.stdout.flush()


def _with_clean_screen(config: PlayConfig) -> PlayConfig:
    if config.agent != "human":
        return config
    return config.model_copy(update={"agent_options": {"write": CleanWriter(), **config.agent_options}})


def _in_words(observation: Any) -> str:
    """An observation as text; of pictures the shape."""
    if isinstance(observation, Mapping):
        return "\n".join(f"{name}: {_in_words(value)}" for name, value in observation.items())
    if getattr(observation, "ndim", 0) > 1:
        return f"{list(observation.shape)} {observation.dtype}"
    return str(observation)


def _pairs(values: Mapping[str, Any]) -> str:
    """Numbers and short texts of a mapping in one line; --json has the rest."""
    plain = {
        name: value
        for name, value in values.items()
        if isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _LONGEST_TEXT)
    }
    return ", ".join(
        f"{name}={value:g}" if type(value) is float else f"{name}={value}" for name, value in plain.items()
    )
