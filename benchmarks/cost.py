"""What an evaluation would take in model calls, tokens and money, known before anything is sent."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fogline.agents.environments import default_keyword, make_environment
from fogline.agents.registry import price_of
from fogline.benchmarks.evaluation import EvalConfig, Plan, make_plan
from fogline.core.chat.prices import approximate_prompt_tokens
from fogline.core.errors import ConfigurationError

ASSUMED_REPLY_TOKENS = 512
"""Reply length that is reckoned with where no ``max_tokens`` bounds it."""

_TASKS_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """An estimate of what is still to be played.

    Attributes:
        episodes: Episodes to play.
        finished: Episodes that the store has already.
        calls: Most model calls; 0 for agents that make none, None where the environment names no budget of turns.
        prompt_tokens: Most prompt tokens, about; None where ``calls`` is.
        completion_tokens: Most completion tokens; None where ``calls`` is.
        bounded: Whether the token counts are upper bounds: False where a reply's length had to be assumed.
        cost: Price of these tokens; None where it is unknown.
        currency: Its unit.
        notes: What was assumed.
    """

    episodes: int
    finished: int
    calls: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    bounded: bool
    cost: float | None
    currency: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """A few lines for a terminal."""
        lines = [f"Episodes to play: {self.episodes:,} ({self.finished:,} are finished already)."]
        if self.calls == 0:
            lines.append("This agent calls no model.")
        elif self.calls is None:
            lines.append("Model calls: cannot say. Price unknown.")
        else:
            bound = "at most" if self.bounded else "about"
            lines.append(f"Model calls: at most {self.calls:,}.")
            tokens = f"{bound} {self.prompt_tokens:,} prompt, {bound} {self.completion_tokens:,} completion"
            lines.append(f"Tokens: {tokens}.")
            price = "price unknown" if self.cost is None else f"{bound} {self.cost:,.4f} {self.currency}"
            lines.append(f"Price: {price}.")
        return "\n".join([*lines, *self.notes])


def estimate_cost(config: EvalConfig) -> CostEstimate:
    """Estimate an evaluation without playing, storing or calling anybody.

    A call's prompt is the rules, the tool schemas, the question and everything said so far; every episode is
    reckoned to use its whole budget of turns and every observation its whole length.

    Raises:
        ConfigurationError: For an unknown environment, agent, task, option or price.
        DataError: For a damaged data set or price list.
    """
    plan = make_plan(config)
    finished = _finished(config, plan)
    episodes = len(plan.task_ids) * len(plan.seeds) - finished
    if config.agent != "chat":
        known = ":" not in config.agent
        notes = () if known else (f"{config.agent} is an agent of yours: whether it calls a model cannot be told.",)
        return CostEstimate(episodes, finished, 0 if known else None, None, None, False, None, "", notes)
    turns = _keyword(config, "max_turns")
    if turns is None:
        note = f"{plan.env_id} names no budget of turns."
        return CostEstimate(episodes, finished, None, None, None, False, None, "", (note,))
    return _chat_estimate(config, plan, episodes, finished, int(turns))


def _chat_estimate(config: EvalConfig, plan: Plan, episodes: int, finished: int, turns: int) -> CostEstimate:
    options = config.agent_options
    votes, limit = int(options.get("votes", 1)), options.get("max_tokens")
    reply = int(limit) if limit is not None else ASSUMED_REPLY_TOKENS
    observation = int(_keyword(config, "max_observation_tokens") or 0)
    opening = _opening_tokens(config, plan, tools=options.get("mode") == "tools")
    spoken = opening * turns + (reply + observation) * (turns * (turns - 1) // 2)
    calls, prompt = episodes * turns * votes, round(episodes * spoken * votes)
    price = None if config.prices is None else price_of(str(options["model"]), config.prices)
    notes = [f"Reckoned with {turns} turns an episode, {observation} tokens an observation, a cache that has nothing."]
    if limit is None:
        notes.append(f"No max_tokens is set: replies of {reply} tokens are assumed (-o max_tokens=N makes it a bound).")
    if price is None:
        notes.append("No price list is given: --prices FILE.")
    return CostEstimate(
        episodes,
        finished,
        calls,
        prompt,
        calls * reply,
        bounded=limit is not None,
        cost=None if price is None else price.cost(prompt, calls * reply),
        currency="" if price is None else price.currency,
        notes=tuple(notes),
    )


def _opening_tokens(config: EvalConfig, plan: Plan, *, tools: bool) -> float:
    """Mean prompt of a first call, over some tasks spread through the plan."""
    step = max(1, len(plan.task_ids) // _TASKS_LOOKED_AT)
    chosen = plan.task_ids[::step]
    total = 0
    with closing(make_environment(config.env, config.env_kwargs)) as env:
        rules: Any = env.unwrapped
        for task_id in chosen:
            observation, _ = env.reset(seed=plan.seeds[0], options={"task_id": task_id} if task_id else None)
            messages = [
                {"role": "system", "content": getattr(rules, "system_prompt", "")},
                {"role": "user", "content": str(observation)},
            ]
            total += approximate_prompt_tokens(messages, getattr(rules, "tools", ()) if tools else ())
    return total / len(chosen)


def _keyword(config: EvalConfig, name: str) -> Any:
    return config.env_kwargs.get(name, default_keyword(config.env, name))


def _finished(config: EvalConfig, plan: Plan) -> int:
    """Episodes of the plan that the store has; a store that is not there yet has none and is not made."""
    if not config.resume or ("://" not in config.store and not Path(config.store).exists()):
        return 0
    from fogline.core.store import RunStore, StoreUnavailable, cell_key

    try:
        with closing(RunStore(config.store, create=False)) as store:
            return len(store.finished(cell_key(plan.cell)).intersection(plan.assignments()))
    except StoreUnavailable as error:
        raise ConfigurationError(f"store={config.store!r}: {error}") from error
