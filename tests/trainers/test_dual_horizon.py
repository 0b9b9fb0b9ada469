"""The recipes of two horizons: what reaches which token, in every kind of world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tabular import BigramPolicy
from torch import Tensor
from worlds import WORLDS

from fogline.agents.collector import collect_all
from fogline.core.episode import Episode, Failure, Turn
from fogline.core.errors import ConfigurationError
from fogline.core.rewards import RewardScheme
from fogline.trainers.advantages import group_normalise
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.checkpoints import checkpoints
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.hian import hian
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.recipes import make_recipe
from fogline.trainers.recipes.dual_horizon import by_turn, comparable
from fogline.trainers.rollouts import Rollouts
from fogline.trainers.trainer import Trainer

torch.set_num_threads(1)

NEW = ("duca", "gdpo", "mt-grpo")
SPREADS = {"sigma_session", "sigma_turn", "silent_groups"}
SCHEME = RewardScheme(turn={"style": 0.5, "cost": -0.1, "unpaid": 0.0}, session={"won": 1.0})


def call(
    task: str, seed: int, terms: Sequence[Mapping[str, float]], won: float, *,
    broken: bool = False, written: Sequence[int] | None = None,
) -> Episode:  # fmt: skip
    """A session under :data:`SCHEME`: one turn for each of ``terms``, of two tokens unless told, after one read."""
    turns = []
    for index, of_turn in enumerate(terms):
        count = 2 if written is None else written[index]
        reward = SCHEME.of_turn(of_turn) + (won if index == len(terms) - 1 else 0.0)
        turns.append(
            Turn("agent", None, 0, reward, dict(of_turn), "", False, (4,), (1,) * count, (-1.0,) * count)
        )  # fmt: skip
    status: Any = "infra_error" if broken else "terminated"
    failure = Failure("InfrastructureError", "the line is dead") if broken else None
    return Episode("Call-v0", task, seed, tuple(turns), status, outcome={"won": won}, failure=failure)


def style(*values: float) -> list[dict[str, float]]:
    return [{"style": value} for value in values]


CALLS = [
    call("a", 0, style(0, -1), 1.0),
    call("a", 1, style(0, 0, 0), 0.0),
    call("a", 2, [{"style": -1.0, "cost": 3.0}, {"style": -1.0, "unpaid": 1.0}, {"cost": 1.0}], 0.0, written=(1, 3, 2)),
    call("a", 3, style(0), 1.0),
    call("b", 4, style(0, 0), 0.0),
    call("b", 5, [{"style": -1.0, "cost": 2.0}, {"unpaid": 5.0}], 0.0),
]


def laid_out(calls: Sequence[Episode], scheme: RewardScheme | None = SCHEME) -> Batch:
    return batch_of(calls, BigramPolicy(), dtype=torch.float64, scheme=scheme)


def advantage(name: str, batch: Batch, **options: Any) -> Tensor:
    return make_recipe(name, **options).advantage(batch)["policy"]


def turns_of(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return batch.session["session_reward"], batch.turn["turn_reward"], batch.turn_mask, batch.group, batch.valid


# From turns to tokens


def test_credit_of_a_turn_is_on_the_tokens_that_were_written_in_it() -> None:
    batch = laid_out(CALLS)
    credit = torch.arange(18, dtype=torch.float64).reshape(6, 3) + 1
    found = by_turn(credit, batch)
    for row in range(6):
        for place in range(batch.tokens.shape[1]):
            turn = int(batch.turn_index[row, place])
            assert float(found[row, place]) == (float(credit[row, turn]) if turn >= 0 else 0.0)
    assert found[2].tolist() == [0, 7, 0, 8, 8, 8, 0, 9, 9]
    dropped = replace(batch, valid=torch.arange(6) != 2)
    assert not by_turn(credit, dropped)[2].any()


def test_a_turn_that_wrote_nothing_has_no_token() -> None:
    calls = [call("a", 0, style(-1, 0, -1), 1.0, written=(2, 0, 1)), call("a", 1, style(0, 0, 0), 0.0)]
    found = by_turn(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), laid_out(calls))
    assert found.tolist() == [[0, 1, 1, 0, 0, 3, 0, 0, 0], [0, 4, 4, 0, 5, 5, 0, 6, 6]]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {}),
        ({"turn_scope": "group", "turn_discount": 0.5}, {"scope": "group", "discount": 0.5}),
        ({"rescale": False, "turn_weight": 3, "advantage_clip": 1}, {"rescale": False, "turn_weight": 3, "clip": 1}),
        ({"rescale": "batch", "leave_one_out": True}, {"rescale": "batch", "leave_one_out": True}),
        ({"session_weight": 0.0, "epsilon": 0.1, "floor": 0.2}, {"session_weight": 0.0, "epsilon": 0.1, "floor": 0.2}),
        ({"advantage_clip": None, "rescale": False}, {"clip": math.inf, "rescale": False}),
    ],
)  # fmt: skip
def test_duca_is_hian_by_turn(options: dict[str, Any], settings: dict[str, Any]) -> None:
    batch = laid_out(CALLS)
    expected = by_turn(hian(*turns_of(batch), **settings), batch)
    assert expected.any()
    assert torch.equal(advantage("duca", batch, **options), expected)


def test_a_clean_turn_is_not_punished_for_another() -> None:
    """Smearing, section 2: GRPO gives every turn of a session the same; HIAN gives each its own."""
    calls = [call("a", seed, style(0, -1 if seed else 0, 0), 0.0) for seed in range(2)]
    batch = laid_out(calls)
    summed, fused = advantage("grpo", batch), advantage("duca", batch)
    written = batch.policy_mask[1]
    assert len(set(summed[1][written].tolist())) == 1 and summed[1].min() < 0
    assert (fused[1] < 0).tolist() == (batch.turn_index[1] == 1).tolist()
    assert (fused[1] > 0).sum() == 0


def test_gdpo_and_mt_grpo_by_hand() -> None:
    batch = laid_out(CALLS)
    won, group = torch.tensor([1.0, 0, 0, 1, 0, 0]).double(), torch.tensor([0, 0, 0, 0, 1, 1])
    paid = (torch.tensor([-0.5, 0, -1.0, 0, 0, -0.5]).double(), torch.tensor([0, 0, -0.4, 0, 0, -0.2]).double())
    valid = torch.ones(6, dtype=torch.bool)
    parts = [group_normalise(part, group, valid, 1, 1e-4) for part in (won, *paid)]
    row = group_normalise(sum(parts), torch.zeros(6).long(), valid, 1, 1e-4)
    expected = torch.where(batch.policy_mask, row[:, None], 0.0)
    torch.testing.assert_close(advantage("gdpo", batch), expected, rtol=0, atol=1e-9)
    heavy = group_normalise(4 * parts[0] + parts[1] + 0 * parts[2], torch.zeros(6).long(), valid, 1, 1e-4)
    found = advantage("gdpo", batch, component_weights={"session_reward": 4.0, "cost": 0.0})
    torch.testing.assert_close(found, torch.where(batch.policy_mask, heavy[:, None], 0.0), rtol=0, atol=1e-9)
    # MT-GRPO: the pair of group b plays two turns; of the first, -0.7 is compared with 0.
    found = advantage("mt-grpo", batch, turn_weight=2.0)
    half = math.sqrt(0.5)
    pair = {4: 2 * half, 5: -2 * half}
    for number, of_turn in pair.items():
        tokens = [float(found[number, batch.turn_index[number] == turn][0]) for turn in range(2)]
        assert tokens == pytest.approx([of_turn, 0.0], abs=1e-4)


# Costs, and what is not paid


@pytest.mark.parametrize(
    ("name", "options"), [("duca", {}), ("duca", {"per_component": True}), ("gdpo", {}), ("mt-grpo", {})]
)
def test_a_cost_lowers_the_advantage_and_an_unpaid_term_does_nothing(name: str, options: dict[str, Any]) -> None:
    """The terms are reported without a sign: it is the environment's weight that makes 3 messages a cost."""
    calls = [call("a", seed, [{"cost": 3.0 * seed, "unpaid": -9.0 * seed}, {}], 0.0) for seed in range(2)]
    batch = laid_out(calls)
    found = advantage(name, batch, **options)
    first = [float(found[row, batch.turn_index[row] == 0][0]) for row in range(2)]
    assert first[0] > 0.1 and first[1] < -0.1
    free = [call("a", seed, [{"unpaid": -9.0 * seed}, {}], 0.0) for seed in range(2)]
    assert not advantage(name, laid_out(free), **options).any()


@pytest.mark.parametrize(
    ("name", "options"), [("duca", {}), ("duca", {"per_component": True}), ("gdpo", {}), ("mt-grpo", {})]
)
def test_without_known_weights_all_is_the_sessions(name: str, options: dict[str, Any]) -> None:
    batch = laid_out(CALLS, scheme=None)
    assert not batch.paid and "turn_reward" not in batch.turn
    found = advantage(name, batch, **options)
    for row in range(len(batch)):
        assert len(set(found[row][batch.policy_mask[row]].tolist())) == 1, "one value for the whole session"
    plain = advantage("grpo", batch, ddof=0, epsilon=1e-6)
    if name == "duca":
        torch.testing.assert_close(found, plain / math.sqrt(2), rtol=0, atol=1e-12)


# Settings


def test_weights_that_leave_nothing_or_say_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="session_weight=0 and turn_weight=0 leave no advantage"):
        make_recipe("duca", session_weight=0.0, turn_weight=0.0)
    with pytest.raises(ConfigurationError, match="says nothing without per_component=True"):
        make_recipe("duca", component_weights={"style": 2.0})
    with pytest.raises(ConfigurationError, match="no key 'turn_scope'"):
        make_recipe("gdpo", turn_scope="group")
    for bad in (math.nan, math.inf):
        with pytest.raises(ConfigurationError, match=r"component_weights.style=.* does not fit"):
            make_recipe("gdpo", component_weights={"style": bad})
        with pytest.raises(ConfigurationError, match=r"session_weight=.* does not fit"):
            make_recipe("duca", session_weight=bad)
    batch = laid_out(CALLS)
    for name, options in (("gdpo", {}), ("duca", {"per_component": True})):
        with pytest.raises(ConfigurationError, match=r"no key 'stile'.*Did you mean 'style'"):
            advantage(name, batch, component_weights={"stile": 2.0}, **options)


def test_each_component_has_a_voice_of_its_own() -> None:
    """Rare costs beside frequent breaches of style: summed first, they are a footnote."""
    calls = [
        call("a", seed, [{"style": -20.0 * (seed % 2), "cost": 1.0 * (seed == 0)} for _ in range(2)], 0.0)
        for seed in range(8)
    ]
    batch = laid_out(calls)
    summed, apart = advantage("duca", batch), advantage("duca", batch, per_component=True)
    places = batch.turn_index[0] == 0

    def loss(found: Tensor) -> float:
        return float(found[2][places][0] - found[0][places][0])

    assert 0 < loss(summed) < 0.05
    assert loss(apart) > 1.0
    louder = advantage("duca", batch, per_component=True, component_weights={"cost": 3.0})
    assert loss(louder) > loss(apart)
    # A turn term that nothing paid in this batch is known nevertheless.
    clean = laid_out([call("a", seed, style(0.0, -1.0 * seed), 0.0) for seed in range(2)])
    assert set(clean.paid) == {"style", "cost"}
    advantage("duca", clean, per_component=True, component_weights={"cost": 3.0})


# Rows that have nothing to be compared with


@pytest.mark.parametrize("name", NEW)
def test_a_session_that_failures_left_alone_is_left_out(name: str) -> None:
    alone = [*CALLS, call("c", 6, style(-1, 0), 1.0), call("c", 7, style(0), 0.0, broken=True)]
    batch, without = laid_out(alone), laid_out(CALLS)
    assert batch.valid.tolist() == [True] * 7 + [False]
    assert comparable(batch).valid.tolist() == [True] * 6 + [False] * 2
    found = advantage(name, batch)
    width = without.tokens.shape[1]
    torch.testing.assert_close(found[:6, :width], advantage(name, without), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[6:], torch.zeros_like(found[6:]), rtol=0, atol=1e-12)
    policy = BigramPolicy()
    logged = Learner(policy, make_recipe(name), LearnerConfig()).update(batch)
    assert all(math.isfinite(value) for value in logged.values())
    assert make_recipe(name).statistics(batch) == pytest.approx(make_recipe(name).statistics(without))  # type: ignore[misc]


@pytest.mark.parametrize("name", NEW)
def test_where_every_session_is_alone_nothing_is_learned(name: str) -> None:
    calls = [call(task, seed, style(-1, 0), float(seed)) for seed, task in enumerate("xyz")]
    assert not advantage(name, laid_out(calls)).any()
    assert make_recipe(name).statistics(laid_out(calls)) == {}  # type: ignore[misc]


# Gates


@pytest.mark.parametrize("name", NEW)
def test_what_a_gate_takes_is_the_sessions(name: str) -> None:
    """Six tokens are too many for a limit of 4: the whole punishment, on every turn of the long session."""
    batch = laid_out([call("a", seed, style(*[0.0] * length), 0.0) for seed, length in enumerate((3, 1, 1, 1))])
    recipe = make_recipe(name, overlong_length=4, overlong_buffer=1)
    prepared = Learner(BigramPolicy(), recipe, LearnerConfig(old_logp="sampler")).prepare(batch)
    assert prepared.session["session_reward"].tolist() == [-1.0, 0.0, 0.0, 0.0]
    assert prepared.reward.tolist() == [-1.0, 0.0, 0.0, 0.0]
    assert torch.equal(prepared.turn["turn_reward"], batch.turn["turn_reward"])
    assert not recipe.advantage(batch)["policy"].any()
    found = recipe.advantage(prepared)["policy"]
    assert (found[0][batch.policy_mask[0]] < -0.5).all() and (found[1:][batch.policy_mask[1:]] > 0.1).all()


# Logs


def test_duca_logs_the_shares_of_its_own_advantage() -> None:
    batch = laid_out(CALLS)
    said = make_recipe("duca").statistics(batch)  # type: ignore[misc]
    assert said.keys() == SPREADS | {"turn_share", "turn_share_of_sum", "horizon_correlation"}
    assert said["silent_groups"] == 0.5
    assert said["sigma_session"] == pytest.approx((0.5 + 0.0) / 2)
    assert 0.3 < said["turn_share"] < 0.8
    louder = make_recipe("duca", turn_weight=10.0).statistics(batch)  # type: ignore[misc]
    assert louder["turn_share"] > 0.97
    assert {name: louder[name] for name in SPREADS} == {name: said[name] for name in SPREADS}
    summed = make_recipe("grpo").statistics(batch)  # type: ignore[misc]
    assert summed.keys() == said.keys()
    assert summed["turn_share"] != said["turn_share"]
    for name in ("gdpo", "mt-grpo"):
        assert make_recipe(name).statistics(batch).keys() == SPREADS | {"turn_share_of_sum"}  # type: ignore[misc]


def test_a_share_is_never_that_of_another_advantage() -> None:
    """Sessions that differ in length alone: what a sum leaves to the turns is all, but HIAN's advantage is 0."""
    batch = laid_out([call("a", seed, style(*[-1.0] * (seed + 1)), 0.0) for seed in range(3)])
    assert not advantage("duca", batch).any()
    assert make_recipe("duca").statistics(batch).keys() == SPREADS | {"turn_share_of_sum"}  # type: ignore[misc]
    assert make_recipe("grpo").statistics(batch)["turn_share"] == 1.0  # type: ignore[misc]


def test_where_turns_pay_nothing_other_methods_log_nothing_of_horizons() -> None:
    calls = [call("a", seed, style(0, 0), float(seed)) for seed in range(2)]
    assert make_recipe("grpo").statistics(laid_out(calls)) == {}  # type: ignore[misc]
    assert make_recipe("grpo").statistics(laid_out(CALLS, scheme=None)) == {}  # type: ignore[misc]
    assert make_recipe("duca").statistics(laid_out(calls))["turn_share"] == 0.0  # type: ignore[misc]


# Every world


def trainer(name: str, world: str, folder: Path, updates: int = 1, **changes: Any) -> Trainer:
    options = changes.pop("options", {})
    recipe = make_recipe(name, **options)
    settings: dict[str, Any] = {
        "rollout": RolloutConfig(tasks_per_update=2, group_size=4),
        "learner": LearnerConfig(learning_rate=0.01, epochs=2),
        "save_every": 1,
    }
    config = TrainConfig(
        recipe=name, env=WORLDS[world].env, options=options, updates=updates, out=str(folder), **settings | changes
    )
    return Trainer(WORLDS[world].policy(), recipe, config, WORLDS[world].factory, WORLDS[world].tasks(2))


def weights(run: Trainer) -> list[Tensor]:
    return [value.clone() for value in run.policy.module.state_dict().values()]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", NEW)
def test_every_method_runs_in_every_world(name: str, world: str, tmp_path: Path) -> None:
    run = trainer(name, world, tmp_path)
    before = weights(run)
    row = run.step()
    run.close()
    assert row["train/unscored"] == 0
    assert all(math.isfinite(value) for value in row.values())
    if world != "SQL, text":  # Words drawn at random are all worth the same there.
        assert any(not torch.equal(one, other) for one, other in zip(before, weights(run), strict=True))


@pytest.mark.parametrize("name", ["duca", "grpo"])
def test_a_log_of_sales_says_how_the_horizons_fare(name: str, tmp_path: Path) -> None:
    run = trainer(name, "sales, acts", tmp_path, rollout=RolloutConfig(tasks_per_update=2, group_size=8))
    row = run.step()
    run.close()
    assert {"turn_share", "silent_groups", "horizon_correlation", "sigma_session", "sigma_turn"} <= row.keys()
    assert 0 <= row["turn_share"] <= 1 and -1 <= row["horizon_correlation"] <= 1


def test_other_options_run_too(tmp_path: Path) -> None:
    for number, options in enumerate(
        (
            {"per_component": True, "component_weights": {"repetition": 2.0}, "leave_one_out": True},
            {"turn_scope": "group_turn", "turn_discount": 1.0, "rescale": "batch", "kl_coefficient": 0.0},
            {"overlong_length": 4, "overlong_buffer": 2, "entropy_coefficient": 0.01, "rescale": False},
        )
    ):
        run = trainer("duca", "sales, acts", tmp_path / str(number), options=options)
        assert all(math.isfinite(value) for value in run.step().values())
        run.close()


def test_a_resumed_run_of_duca_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = trainer("duca", "sales, acts", tmp_path / "whole", updates=2)
    rows = whole.train()
    first = trainer("duca", "sales, acts", tmp_path / "parts", updates=2)
    first.train(stop=lambda: True)
    assert len(checkpoints(tmp_path / "parts" / "checkpoints")) == 1
    again = trainer("duca", "sales, acts", tmp_path / "parts", updates=2)
    (row,) = again.train()
    assert all(torch.equal(one, other) for one, other in zip(weights(whole), weights(again), strict=True))
    clock = {"play_s", "learn_s", "wall_s"}
    assert {k: v for k, v in row.items() if k not in clock} == {k: v for k, v in rows[1].items() if k not in clock}


def test_in_a_world_without_terms_duca_is_grpo_over_the_root_of_two() -> None:
    world = WORLDS["cart pole"]
    policy = world.policy()
    source = Rollouts(world.factory, policy, ("",), RolloutConfig(tasks_per_update=2, group_size=6))
    batch = source.play(make_recipe("duca")).batch
    assert source.scheme is None and not batch.paid
    source.close()
    found = advantage("duca", batch)
    expected = advantage("grpo", batch, ddof=0, epsilon=1e-6) / math.sqrt(2)
    assert found.any()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


# What is paid, and by whom


@pytest.mark.parametrize("world", ["sales, acts", "SQL, text", "silo, seats"])
@pytest.mark.parametrize("seat_reward", ["own", "team"])
def test_both_horizons_add_up_to_the_reward(world: str, seat_reward: str) -> None:
    kind = WORLDS[world]
    policy = kind.policy()
    source = Rollouts(kind.factory, policy, kind.tasks(1), RolloutConfig())
    scheme = source.scheme
    assert scheme is not None
    source.close()
    episodes = collect_all(kind.factory, policy, [(task, seed) for task in kind.tasks(2) for seed in range(4)])
    batch = batch_of(episodes, policy, seat_reward=seat_reward, scheme=scheme, dtype=torch.float64)
    session, turn = batch.session["session_reward"], batch.turn["turn_reward"]
    torch.testing.assert_close(session + turn.sum(1), batch.reward, rtol=0, atol=1e-12)
    assert set(batch.paid) == {name for name, weight in scheme.turn.items() if weight}
    for paid in (*batch.paid.values(), turn):
        assert not paid[~batch.turn_mask].any()
    if batch.paid:
        torch.testing.assert_close(torch.stack(list(batch.paid.values())).sum(0), turn, rtol=0, atol=1e-12)
        assert turn.any()
    else:
        assert not turn.any()
    seats = len(episodes[0].seats)
    for number, episode in enumerate(episodes):
        for seat, name in enumerate(episode.seats):
            row = number * seats + seat
            own = sum(
                scheme.of_turn(item.terms) for item in episode.turns if item.seat == name or seat_reward == "team"
            )
            assert float(turn[row].sum()) == pytest.approx(own, abs=1e-12)
            outcome = 0.0 if world.startswith("silo") else scheme.of_session(episode.outcome)
            assert float(session[row]) == pytest.approx(outcome, abs=1e-12)


def test_a_message_costs_the_seat_that_gdpo_pays() -> None:
    """SiloBench reports messages and tokens as counts; their weights are negative."""
    kind = WORLDS["silo, seats"]
    policy = kind.policy()
    source = Rollouts(kind.factory, policy, kind.tasks(1), RolloutConfig())
    assert source.scheme is not None
    assert source.scheme.turn["messages"] == -0.25
    episodes = collect_all(kind.factory, policy, [(kind.tasks(1)[0], seed) for seed in range(6)])
    batch = batch_of(episodes, policy, scheme=source.scheme)
    source.close()
    assert batch.turn["messages"].max() >= 1
    assert torch.equal(batch.paid["messages"], -0.25 * batch.turn["messages"])
