"""What a sweep would take in cells, model calls, tokens and money, known before anything is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fogline.agents.registry import price_of
from fogline.benchmarks.cost import ASSUMED_REPLY_TOKENS
from fogline.benchmarks.sweeps.cells import SweepCell
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.plan import plan_cells
from fogline.benchmarks.sweeps.teams import is_chat, options_of
from fogline.core.chat.prices import approximate_prompt_tokens
from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench import prompts
from fogline.envs.silo_bench.config import SiloConfig, read_config
from fogline.envs.silo_bench.instances import make_problem
from fogline.envs.silo_bench.tasks.catalogue import silo_task

ASSUMED_ROUNDS = 13
"""Rounds until the last seat submits: the paper's failed runs took 12.7 on average (table 16)."""
ASSUMED_MESSAGE_TOKENS = 64
"""Length of a message as it is shown to its receiver."""
ASSUMED_MESSAGES = 3
"""Messages that a seat sends in a round; the paper counts about 31 a seat in ten rounds (table 16)."""
_DATA = ("task", "n_agents", "scale", "data", "suite_seed")
_SHOWN_TOKENS = 24
"""The frame of an observation: the round, results of calls."""


class Taken(NamedTuple):
    """Calls and tokens of an episode, or of many."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, other: Taken) -> Taken:
        """The sum of both."""
        return Taken(*(one + two for one, two in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class SweepEstimate:
    """An estimate of what is still to be played.

    Attributes:
        cells: Cells of the sweep.
        episodes: Episodes to play.
        finished: Episodes that the store has already.
        calls: Model calls, about; 0 where no agent makes any.
        prompt_tokens: Tokens sent, about.
        completion_tokens: Tokens received, about.
        cost: Their price; None where one of the models has none.
        currency: Its unit.
        notes: What was assumed.
    """

    cells: int
    episodes: int
    finished: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    currency: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """A few lines for a terminal."""
        lines = [
            f"Cells: {self.cells:,}.",
            f"Episodes to play: {self.episodes:,} ({self.finished:,} are finished already).",
        ]
        if self.calls:
            price = "price unknown" if self.cost is None else f"about {self.cost:,.2f} {self.currency}"
            lines.append(f"Model calls: about {self.calls:,}.")
            tokens = f"about {self.prompt_tokens:,} prompt, about {self.completion_tokens:,} completion"
            lines += [f"Tokens: {tokens}.", f"Price: {price}."]
        else:
            lines.append("No agent named here calls a model.")
        return "\n".join([*lines, *self.notes])


def estimate_sweep(config: SweepConfig) -> SweepEstimate:
    """Estimate a sweep without playing, storing or calling anybody.

    A call's prompt is the rules, the task with the data of an actual instance of the cell's task and size, and all
    that was said and heard before it; the notes name what had to be assumed.

    Raises:
        ConfigurationError: For an unknown task, agent, option, keyword or price.
        DataError: For a damaged price list.
    """
    # Those of one instance beside each other, so that its data are made once.
    cells = sorted(plan_cells(config), key=lambda cell: tuple(str(cell.env_kwargs.get(name)) for name in _DATA))
    left = [cell.without(done) for cell, done in zip(cells, _finished(config, cells), strict=True)]
    taken: dict[str, Taken] = {}
    for cell in left:
        for name, seats in _chat_seats(cell).items():
            one = _of_seat(cell, _reply_tokens(config, name))
            many = Taken(*(round(number * seats * len(cell.assignments)) for number in one))
            taken[name] = taken.get(name, Taken()).plus(many)
    total = Taken()
    for own in taken.values():
        total = total.plus(own)
    cost, currency = _price(config, taken)
    episodes = sum(len(cell.assignments) for cell in left)
    finished = sum(len(cell.assignments) for cell in cells) - episodes
    return SweepEstimate(len(cells), episodes, finished, *total, cost, currency, _notes(config, taken))


def _chat_seats(cell: SweepCell) -> Counter[str]:
    """Seats of each chat agent."""
    names = (cell.members[seat % len(cell.members)] for seat in range(cell.seats))
    return Counter(name for name in names if is_chat(name))


def _of_seat(cell: SweepCell, reply: int) -> Taken:
    """What one seat takes in an episode."""
    rules = read_config(cell.env_kwargs)
    rounds = 1 if rules.n_agents == 1 else min(ASSUMED_ROUNDS, rules.max_rounds)
    grown = reply + _SHOWN_TOKENS + _heard(rules) * ASSUMED_MESSAGE_TOKENS
    prompt = rounds * _opening_tokens(rules) + grown * (rounds * (rounds - 1) // 2)
    return Taken(rounds, prompt, rounds * reply)


def _heard(rules: SiloConfig) -> int:
    """Messages that a seat receives in a round: as many as it sends, or on the log all that the others say."""
    others = rules.n_agents - 1
    return others if rules.protocol == "broadcast" else min(ASSUMED_MESSAGES, others)


def _opening_tokens(rules: SiloConfig) -> int:
    """Prompt of a seat's first call: rules, task, data."""
    task, problem = _instance(rules)
    said = prompts.task_text(task, problem, 0, rules.hint_level)
    messages = [{"role": "system", "content": prompts.rules(rules, 0)}, {"role": "user", "content": said}]
    return approximate_prompt_tokens(messages) + _SHOWN_TOKENS


def _instance(rules: SiloConfig) -> tuple[Any, Any]:
    return _made(*(getattr(rules, name) for name in _DATA))


@lru_cache(maxsize=1)
def _made(task: tuple[str, ...], n_agents: int, scale: int | None, data: Any, suite_seed: int) -> tuple[Any, Any]:
    config = SiloConfig(task=task, n_agents=n_agents, scale=scale, data=data, suite_seed=suite_seed)
    return silo_task(task[0]), make_problem(config, f"{task[0]}/0")


def _reply_tokens(config: SweepConfig, name: str) -> int:
    limit = options_of(config, name).get("max_tokens")
    return ASSUMED_REPLY_TOKENS if limit is None else int(limit)


def _price(config: SweepConfig, taken: dict[str, Taken]) -> tuple[float | None, str]:
    if config.prices is None or not taken:
        return None, ""
    prices = {name: price_of(str(options_of(config, name)["model"]), config.prices) for name in taken}
    currencies = {price.currency for price in prices.values()}
    if len(currencies) > 1:
        raise ConfigurationError(
            f"prices={config.prices!r} counts in {sorted(currencies)}: expected one currency for all models of a sweep."
        )
    cost = sum(prices[name].cost(own.prompt_tokens, own.completion_tokens) for name, own in taken.items())
    return cost, currencies.pop()


def _notes(config: SweepConfig, taken: dict[str, Taken]) -> tuple[str, ...]:
    unknown = sorted({name for team in config.agents for name in team.split("+") if ":" in name and not is_chat(name)})
    notes = [f"{name} is an agent of yours: whether it calls a model cannot be told." for name in unknown]
    if not taken:
        return tuple(notes)
    notes.append(
        f"Reckoned with {ASSUMED_ROUNDS} rounds a seat (one for a single agent), the whole conversation sent in each, "
        f"{ASSUMED_MESSAGES} messages of {ASSUMED_MESSAGE_TOKENS} tokens heard in each, on the broadcast log one from "
        "every other seat, and a cache that has nothing. Agents that talk on take more: the bound is max_rounds."
    )
    if any(options_of(config, name).get("max_tokens") is None for name in taken):
        notes.append(f"Replies of {ASSUMED_REPLY_TOKENS} tokens are assumed where no max_tokens bounds them.")
    if config.prices is None:
        notes.append("No price list is given: --prices FILE.")
    return tuple(notes)


def _finished(config: SweepConfig, cells: Sequence[SweepCell]) -> Iterable[set[tuple[str, int]]]:
    """Episodes of each cell that the store has; a store that is not there yet has none and is not made."""
    if not config.resume or ("://" not in config.store and not Path(config.store).exists()):
        return [set() for _ in cells]
    from fogline.core.store import RunStore, StoreUnavailable

    try:
        with closing(RunStore(config.store, create=False)) as store:
            known = store.finished_in(cell.key for cell in cells)
    except StoreUnavailable as error:
        raise ConfigurationError(f"store={config.store!r}: {error}") from error
    return [known.get(cell.key, set()) for cell in cells]
