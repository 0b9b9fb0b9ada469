"""What a sweep would take: counted cells, and for chat agents tokens and money by stated assumptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fogline.benchmarks.sweeps import cost
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.cost import estimate_sweep
from fogline.benchmarks.sweeps.running import sweep
from fogline.core.chat.prices import approximate_prompt_tokens
from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench import parallel_env

ROUNDS = cost.ASSUMED_ROUNDS


def config(tmp_path: Path, **changes: Any) -> SweepConfig:
    settings: dict[str, Any] = {
        "tasks": ("I-01", "III-23"),
        "n_agents": (2, 5),
        "agents": ("chat:small",),
        "agent_options": {"chat": {"max_tokens": 100}},
        "store": str(tmp_path / "runs.db"),
    }
    return SweepConfig(**settings | changes)


def test_scripted_agents_take_nothing_but_their_episodes(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree",), agent_options={}, seeds=3)
    estimate = estimate_sweep(settings)
    assert (estimate.cells, estimate.episodes, estimate.finished, estimate.calls) == (12, 36, 0, 0)
    assert "No agent named here calls a model." in str(estimate)
    assert list(tmp_path.iterdir()) == []
    sweep(settings.model_copy(update={"tasks": ("I-01",)}))
    estimate = estimate_sweep(settings)
    assert (estimate.episodes, estimate.finished) == (18, 18)
    assert estimate_sweep(settings.model_copy(update={"resume": False})).finished == 0


def test_calls_are_those_of_every_seat_in_every_assumed_round(tmp_path: Path) -> None:
    estimate = estimate_sweep(config(tmp_path))
    seats = 2 * 3 * (2 + 5)  # tasks, protocols, seats of both sizes
    assert estimate.calls == seats * ROUNDS
    assert estimate.completion_tokens == estimate.calls * 100
    short = estimate_sweep(config(tmp_path, env_kwargs={"max_rounds": 4}))
    assert short.calls == seats * 4


def test_a_single_round_is_the_prompt_of_an_actual_instance(tmp_path: Path) -> None:
    settings = config(tmp_path, tasks=("III-23",), n_agents=(5,), protocols=("files",), env_kwargs={"max_rounds": 1})
    estimate = estimate_sweep(settings)
    env = parallel_env(task="III-23", n_agents=5, protocol="files", actions="text", max_rounds=1)
    observations, _ = env.reset(seed=0, options={"task_id": "III-23/0"})
    messages = [
        {"role": "system", "content": env.system_prompt["agent_0"]},
        {"role": "user", "content": observations["agent_0"]["prompt"]},
    ]
    prompt = estimate.prompt_tokens / 5
    assert approximate_prompt_tokens(messages) < prompt < approximate_prompt_tokens(messages) + 50


def test_prompts_grow_with_what_was_said_and_heard(tmp_path: Path) -> None:
    def prompt_tokens(**changes: Any) -> int:
        return estimate_sweep(config(tmp_path, n_agents=(5,), **changes)).prompt_tokens

    p2p, log = prompt_tokens(protocols=("p2p",)), prompt_tokens(protocols=("broadcast",))
    assert log > p2p
    assert prompt_tokens(protocols=("p2p",), agent_options={"chat": {"max_tokens": 200}}) > p2p
    by_rounds = [prompt_tokens(protocols=("p2p",), env_kwargs={"max_rounds": rounds}) for rounds in (1, 2, 3)]
    # The whole conversation is sent in each round, so each costs more than the one before.
    assert by_rounds[2] - by_rounds[1] > by_rounds[1] - by_rounds[0] > by_rounds[0] * 0.9


def test_only_the_seats_of_chat_agents_are_reckoned(tmp_path: Path) -> None:
    whole = estimate_sweep(config(tmp_path, n_agents=(5,)))
    mixed = estimate_sweep(config(tmp_path, n_agents=(5,), agents=("tree+chat:small",)))
    assert mixed.calls == whole.calls * 2 / 5
    alone = estimate_sweep(config(tmp_path, n_agents=(5,), agents=("tree+chat:small",), baseline=True))
    assert alone.calls == mixed.calls  # the tree plays alone
    assert alone.cells == mixed.cells + 2


def test_each_model_has_its_own_price_and_an_unknown_one_is_said_to_be(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(
        json.dumps({"small": {"prompt": 1.0, "completion": 2.0}, "large": {"prompt": 10, "completion": 20}})
    )
    one = estimate_sweep(config(tmp_path, prices=str(prices)))
    assert one.cost == pytest.approx((one.prompt_tokens + 2 * one.completion_tokens) / 1e6)
    two = estimate_sweep(config(tmp_path, agents=("chat:small", "chat:large"), prices=str(prices)))
    assert two.cost == pytest.approx(11 * one.cost)
    assert (two.currency, two.calls) == ("USD", 2 * one.calls)
    unpriced = estimate_sweep(config(tmp_path))
    assert unpriced.cost is None
    assert "price unknown" in str(unpriced)
    assert "No price list is given" in str(unpriced)
    with pytest.raises(ConfigurationError, match="no price for model='smal'"):
        estimate_sweep(config(tmp_path, agents=("chat:smal",), prices=str(prices)))


def test_assumptions_are_stated(tmp_path: Path) -> None:
    told = str(estimate_sweep(config(tmp_path, agents=("chat:small", "silo_players:Waiting"), agent_options={})))
    assert f"{ROUNDS} rounds a seat" in told
    assert "512 tokens are assumed" in told
    assert "silo_players:Waiting is an agent of yours" in told
