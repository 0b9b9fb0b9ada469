"""What a learning seat of Silo-Bench sees of its game, and what its choices do."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from fogline.agents.agent import Decision, SeatView
from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.policies.categorical import CategoricalPolicy
from fogline.agents.policies.encoders import Encoder
from fogline.agents.policies.silo_bench import ExchangeEncoder
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode, Turn
from fogline.core.errors import ConfigurationError

torch.set_num_threads(1)

ROUNDS = 6
N = 3
"""Features of three seats: own number at 0 to 2; held at 3 and 4; senders at 5 and 6; up to date at 7 and 8."""
HELD, SENDERS, TOLD, ROUND = 3, 5, 7, 9
NEXT, AFTER_NEXT, WAIT, SUBMIT = range(4)

Choose = Callable[[SeatView], int]


class Chooser:
    """Plays choices of an encoder as a policy would, and keeps what it saw."""

    name = "chooser"
    batch_size: int | None = None

    def __init__(self, encoder: ExchangeEncoder, choose: Choose) -> None:
        self.encoder = encoder
        self.choose = choose
        self.seen: dict[tuple[str, int], np.ndarray[Any, Any]] = {}

    def act(self, views: Sequence[SeatView]) -> list[Decision]:
        decisions = []
        for view in views:
            self.seen[view.seat, len(view.turns)] = self.encoder.encode(view.turns, view.observation)
            index = self.choose(view)
            decisions.append(Decision(self.encoder.action(view, index), (), (index,), (0.0,)))
        return decisions


def play(choices: dict[int, Sequence[int]], task: str = "I-05/0", n_agents: int = N) -> tuple[Episode, Chooser]:
    """A game in which each seat follows its list of choices and waits after it."""

    def choose(view: SeatView) -> int:
        own = choices.get(int(view.observation["agent_id"]), ())
        return own[len(view.turns)] if len(view.turns) < len(own) else n_agents - 1

    chooser = Chooser(ExchangeEncoder(n_agents, ROUNDS), choose)
    (episode,) = collect_all(games(n_agents), chooser, [Assignment(task, 0)])
    return episode, chooser


def games(n_agents: int = N, **keywords: Any) -> partial[Any]:
    return partial(
        make_environment,
        "SiloBench-v0",
        {"task": ("I-05", "I-10"), "n_agents": n_agents, "max_rounds": ROUNDS, **keywords},
    )


def ones(vector: np.ndarray[Any, Any]) -> set[int]:
    assert set(vector.tolist()) <= {0.0, 1.0}
    return set(np.flatnonzero(vector).tolist())


def test_a_seat_knows_its_number_the_round_and_nothing_else_at_first() -> None:
    _, chooser = play({})
    for seat in range(N):
        assert ones(chooser.seen[f"agent_{seat}", 0]) == {seat, ROUND}
        assert ones(chooser.seen[f"agent_{seat}", 4]) == {seat, ROUND + 4}
    encoder = ExchangeEncoder(N, ROUNDS)
    assert isinstance(encoder, Encoder)
    assert chooser.seen["agent_0", 0].shape == (encoder.features,) == (ROUND + ROUNDS,)
    assert encoder.actions == SUBMIT + 1


def test_what_was_sent_is_seen_one_round_later_by_the_one_it_was_sent_to() -> None:
    _, chooser = play({0: [NEXT]})
    assert ones(chooser.seen["agent_0", 1]) == {0, TOLD, ROUND + 1}
    # Seat 0 is two places further on from seat 1.
    assert ones(chooser.seen["agent_1", 0]) == {1, ROUND}
    assert ones(chooser.seen["agent_1", 1]) == {1, HELD + 1, SENDERS + 1, ROUND + 1}
    assert ones(chooser.seen["agent_2", 1]) == {2, ROUND + 1}


def test_news_is_passed_on_and_makes_what_was_told_before_out_of_date() -> None:
    _, chooser = play({0: [NEXT], 1: [NEXT, NEXT], 2: [WAIT, WAIT]})
    assert ones(chooser.seen["agent_1", 1]) == {1, HELD + 1, SENDERS + 1, ROUND + 1}, "told seat 2, then heard seat 0"
    assert ones(chooser.seen["agent_1", 2]) == {1, HELD + 1, SENDERS + 1, TOLD, ROUND + 2}
    assert ones(chooser.seen["agent_2", 1]) == {2, HELD + 1, SENDERS + 1, ROUND + 1}
    assert ones(chooser.seen["agent_2", 2]) == {2, HELD, HELD + 1, SENDERS + 1, ROUND + 2}, "0's shard, from seat 1"
    _, chooser = play({0: [NEXT], 1: [NEXT]})
    assert ones(chooser.seen["agent_1", 3]) == {1, HELD + 1, SENDERS + 1, ROUND + 3}, "out of date until told again"


def test_the_numbers_themselves_are_no_feature() -> None:
    choices = {0: [NEXT, AFTER_NEXT], 1: [AFTER_NEXT, WAIT, SUBMIT]}
    one, other = (play(choices, f"I-05/{number}")[1].seen for number in (0, 1))
    assert one.keys() == other.keys()
    assert all((one[key] == other[key]).all() for key in one)


def test_a_seat_tells_the_summaries_that_it_holds_and_no_others() -> None:
    episode, _ = play({0: [NEXT], 1: [WAIT, AFTER_NEXT]})
    sent = [turn for turn in episode.turns if turn.action[0][0] == "send_message"]
    (first, second) = (turn.action[0][1] for turn in sent)
    assert (first["target_id"], second["target_id"]) == (1, 0)
    shards = {turn.seat: json.loads(first_prompt_data(turn)) for turn in episode.turns[:N]}
    counts = {seat: sum(100 <= number <= 500 for number in shard) for seat, shard in shards.items()}
    assert first["content"] == f"0:1 {counts['agent_0']}"
    assert second["content"] == f"0:1 {counts['agent_0']}\n1:2 {counts['agent_1']}"


def first_prompt_data(turn: Turn) -> str:
    """The JSON list in a seat's prompt."""
    prompt = turn.observation["prompt"]
    start = prompt.index("[", prompt.index("data"))
    return prompt[start : prompt.index("]", start) + 1]


def test_telling_the_next_seat_again_and_again_is_enough_to_know_everything() -> None:
    for n_agents in (2, 3, 5):
        submit = n_agents
        everybody = {seat: [NEXT] * (n_agents - 1) + [submit] for seat in range(n_agents)}
        for task in ("I-05/4", "I-10/4"):
            episode, _ = play(everybody, task, n_agents)
            assert episode.metrics["success"], (n_agents, task)
        too_early = {seat: [NEXT] * (n_agents - 2) + [submit] for seat in range(n_agents)}
        episode, _ = play(too_early, "I-05/4", n_agents)
        assert episode.metrics["success_rate"] == 0
        assert episode.metrics["premature"] == 1


def test_a_batch_sees_what_the_seat_saw() -> None:
    policy = CategoricalPolicy(ExchangeEncoder(N, ROUNDS), seed=1)
    with torch.no_grad():
        policy.network.actor[-1].weight.mul_(100)  # type: ignore[operator,union-attr]
    episodes = collect_all(games(), policy, [Assignment(f"I-05/{number}", number) for number in range(8)])
    checked = 0
    for episode in episodes:
        for seat in episode.seats:
            turns = [turn for turn in episode.turns if turn.seat == seat]
            row = policy.context(turns, None).per_token
            tokens = torch.tensor([[turn.action_token_ids[0] for turn in turns]])
            mask = torch.ones_like(tokens, dtype=torch.bool)
            context = {name: torch.from_numpy(array)[None] for name, array in row.items()}
            scored = policy.score(tokens, mask, mask, context).logp[0].tolist()
            assert scored == pytest.approx([turn.logps[0] for turn in turns], abs=1e-5)
            checked += len(turns)
    assert checked > 40


@pytest.mark.parametrize(
    "keywords", [{"n_agents": 4}, {"protocol": "broadcast"}, {"delivery": "pull"}, {"max_rounds": 9}]
)
def test_a_game_of_another_kind_is_no_game_for_it(keywords: dict[str, Any]) -> None:
    encoder = ExchangeEncoder(N, ROUNDS)
    chooser = CategoricalPolicy(encoder)
    settings = {"task": "I-05", "n_agents": N, "max_rounds": ROUNDS, **keywords}
    (episode,) = collect_all(partial(make_environment, "SiloBench-v0", settings), chooser, [Assignment("I-05/0", 0)])
    assert episode.status == "agent_error"
    assert episode.failure is not None
    assert "this encoder was made for (3, 6, 'p2p', 'push')" in episode.failure.message


@pytest.mark.parametrize("sizes", [(1, 6), (3, 1)])
def test_there_must_be_somebody_to_tell_and_time_for_it(sizes: tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match="expected at least 2"):
        ExchangeEncoder(*sizes)
