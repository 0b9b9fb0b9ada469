"""REINFORCE learns three kinds of game through the one collector: vectors, tools, and two seats."""

from __future__ import annotations

import statistics
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from echo_game import EchoEncoder, EchoGame, Stubborn, Whisperer
from games import CountEnv
from pettingzoo.test import parallel_api_test
from shop import SCHEMAS, make

from fogline.agents.agent import SeatView
from fogline.agents.collector import collect_all
from fogline.agents.scripted.trust_sql_skills import SkillEncoder
from fogline.core.episode import Turn
from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.records import TextToSQLDataset
from fogline.trainers.reinforce import MenuPolicy, ReinforceConfig, VectorEncoder, reinforce, reinforce_loss

# Networks this small only lose time to threads, on a busy machine most of it.
torch.set_num_threads(1)

CARTPOLE = VectorEncoder(features=4, actions=2)


def cartpole() -> Any:
    return gymnasium.make("CartPole-v1")


# The pieces


def test_the_loss_is_the_policy_gradient_of_normalised_returns() -> None:
    """By hand, for one linear layer: the gradient of -mean(log softmax · Â) is (p - onehot) · Â / B."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2, bias=False).double()
    features = torch.randn(5, 3, dtype=torch.float64)
    actions = torch.tensor([0, 1, 1, 0, 1])
    returns = torch.tensor([1.0, 2.0, 0.5, -1.0, 3.0], dtype=torch.float64)
    reinforce_loss(network, features, actions, returns).backward()
    advantage = (returns - returns.mean()) / returns.std(correction=0)
    probability = torch.softmax(network(features), -1)
    onehot = torch.nn.functional.one_hot(actions, 2)
    expected = ((probability - onehot) * advantage[:, None]).T @ features / 5
    assert network.weight.grad is not None
    assert torch.allclose(network.weight.grad, expected, atol=1e-7)


def test_equal_returns_teach_nothing() -> None:
    network = torch.nn.Linear(3, 2)
    reinforce_loss(network, torch.randn(4, 3), torch.tensor([0, 1, 0, 1]), torch.full((4,), 7.0)).backward()
    assert network.weight.grad is not None
    assert not network.weight.grad.any()


def test_the_entropy_bonus_alone_makes_choices_even() -> None:
    network = torch.nn.Linear(1, 3)
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    features, actions, returns = torch.ones(2, 1), torch.tensor([0, 1]), torch.ones(2)
    for _ in range(300):
        optimiser.zero_grad()
        reinforce_loss(network, features, actions, returns, entropy=1.0).backward()
        optimiser.step()
    assert torch.allclose(torch.softmax(network(features), -1), torch.full((2, 3), 1 / 3), atol=1e-2)


def test_a_policy_reports_the_log_probability_of_what_it_sampled() -> None:
    policy = MenuPolicy(CARTPOLE, seed=3)
    views = []
    for seed in range(400):
        view = SeatView("CartPole-v1", "", "agent", None, entropy=(seed,))
        view.observation = np.array([0.1, -0.2, 0.3, 0.4])
        views.append(view)
    decisions = policy.act(views)
    logps = {decision.action_token_ids[0]: decision.logps[0] for decision in decisions}
    assert set(logps) == {0, 1}
    assert sum(np.exp(value) for value in logps.values()) == pytest.approx(1.0)
    share = statistics.mean(decision.action_token_ids[0] for decision in decisions)
    assert share == pytest.approx(np.exp(logps[1]), abs=0.08)


def test_the_first_weights_follow_the_seed_and_no_global_generator() -> None:
    torch.manual_seed(1)
    one = MenuPolicy(CARTPOLE, seed=0)
    torch.manual_seed(2)
    same, other = MenuPolicy(CARTPOLE, seed=0), MenuPolicy(CARTPOLE, seed=1)
    weights = [policy.network[0].weight for policy in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_repeats_bit_by_bit() -> None:
    config = ReinforceConfig(updates=3, episodes=4, seed=5)
    first, second = (reinforce(cartpole, CARTPOLE, config) for _ in range(2))
    assert first[1] == second[1]
    assert torch.equal(first[0].network[0].weight, second[0].network[0].weight)
    assert first[0].version == 3


def test_episodes_that_are_not_the_policys_fault_are_left_out() -> None:
    class Sick(CountEnv):
        def on_step(self) -> None:
            if self.task_id == "length-2":
                raise RuntimeError("sick")

    config = ReinforceConfig(updates=1, episodes=4)
    encoder = VectorEncoder(features=1, actions=10)
    _, curve = reinforce(Sick, encoder, config, ("length-1", "length-2"))
    assert 0 <= curve[0] <= 10
    with pytest.raises(ConfigurationError, match="none of 4 episodes could be scored"):
        reinforce(Sick, encoder, config, ("length-2",))


# CartPole


def test_cartpole_is_learned() -> None:
    config = ReinforceConfig(updates=25, episodes=16, learning_rate=1e-2, seed=0)
    _, curve = reinforce(cartpole, CARTPOLE, config)
    assert curve[0] < 40, "a random policy lasts some twenty steps"
    assert statistics.mean(curve[-5:]) > 150


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(5))
def test_cartpole_is_solved_greedily(seed: int) -> None:
    config = ReinforceConfig(updates=100, episodes=32, learning_rate=4e-3, seed=seed)
    policy, _ = reinforce(cartpole, CARTPOLE, config)
    policy.greedy = True
    episodes = collect_all(cartpole, policy, [("", 10_000_000 + index) for index in range(100)])
    assert statistics.mean(episode.reward or 0.0 for episode in episodes) >= 475


# TrustSQL-v0 through a menu of skills


def test_the_order_of_skills_is_learned_in_trust_sql(shop: TextToSQLDataset) -> None:
    config = ReinforceConfig(updates=50, episodes=24, learning_rate=2e-2, entropy=0.01, seed=0)
    tasks = [task_id for task_id in SCHEMAS if task_id.startswith("shop")]
    policy, curve = reinforce(lambda: make(shop, actions="structured"), SkillEncoder(), config, tasks)
    first, last = statistics.mean(curve[:3]), statistics.mean(curve[-5:])
    assert first < 0.15
    assert last > first + 0.15
    policy.greedy = True
    episodes = collect_all(lambda: make(shop, actions="structured"), policy, [(task_id, 0) for task_id in tasks])
    assert all((episode.reward or 0.0) >= 0.2 for episode in episodes), "it explores, then confirms what runs"


# Two seats


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_echo_game_is_a_pettingzoo_game() -> None:
    parallel_api_test(EchoGame(), num_cycles=50)


def test_the_echo_game_pays_talk_that_is_understood() -> None:
    tasks = [("", seed) for seed in range(200)]
    talk = collect_all(EchoGame, Whisperer(), tasks)
    noise = collect_all(EchoGame, Stubborn(0), tasks)
    assert {episode.reward for episode in talk} == {2.0}
    assert statistics.mean(episode.reward or 0.0 for episode in noise) == pytest.approx(2 / 3, abs=0.2)


def test_two_seats_learn_a_code_with_one_policy() -> None:
    config = ReinforceConfig(updates=60, episodes=48, learning_rate=1e-2, discount=0.0, entropy=0.01, seed=1)
    policy, curve = reinforce(EchoGame, EchoEncoder(), config)
    assert curve[0] < 0.5, "guessing is right once in three"
    assert statistics.mean(curve[-5:]) > 0.85
    policy.greedy = True
    episodes = collect_all(EchoGame, policy, [("", 5_000_000 + index) for index in range(60)])
    assert statistics.mean(episode.reward or 0.0 for episode in episodes) > 1.8
    assert {turn.seat for episode in episodes for turn in episode.turns} == {"left", "right"}


def test_rows_of_one_seat_never_see_the_other() -> None:
    seen: list[tuple[int, str]] = []

    class Spy(EchoEncoder):
        def encode(self, turns: Any, observation: Any) -> Any:
            seats = {turn.seat for turn in turns}
            seen.append((len(turns), ",".join(sorted(seats))))
            return super().encode(turns, observation)

    reinforce(EchoGame, Spy(), ReinforceConfig(updates=1, episodes=4))
    assert {seats for _, seats in seen} <= {"", "left", "right"}
    assert {count for count, _ in seen} == {0, 1}


def test_returns_go_back_discounted_from_the_end() -> None:
    """A two-turn episode paid at its end: with discount 0.5 the first turn's return is half of the second's."""
    from fogline.core.episode import Episode
    from fogline.trainers.reinforce import _rows

    turns = tuple(
        Turn("agent", np.zeros(4), 0, reward, {}, action_token_ids=(index,)) for index, reward in enumerate((1.0, 4.0))
    )
    rows = _rows(Episode("E", "t", 0, turns, "terminated"), CARTPOLE, 0.5)
    assert {(choice, to_go) for _, choice, to_go in rows} == {(0, 3.0), (1, 4.0)}
