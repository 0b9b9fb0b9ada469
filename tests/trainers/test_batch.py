"""Episodes laid out as tensors: nothing lost, nothing invented, padding never read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.agents.policies.policy import ROW_PREFIX, RowContext
from fogline.core.episode import Episode, Failure, Turn
from fogline.core.errors import ConfigurationError, DataError
from fogline.core.rewards import RewardScheme
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.rows import TeacherRows

torch.set_num_threads(1)


class Reader:
    """Stands for a policy: its context is what ``notes`` makes of a row."""

    name = "reader"

    def __init__(self, notes: Any = None) -> None:
        self.notes = notes

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        return RowContext() if self.notes is None else self.notes(turns, final_observation)


def turn(
    read: Sequence[int] = (),
    written: Sequence[int] = (1,),
    reward: float = 0.0,
    seat: str = "agent",
    terms: Mapping[str, float] | None = None,
) -> Turn:
    logps = tuple(-0.125 * token for token in written)
    return Turn(seat, "seen", "done", reward, terms or {}, "", False, tuple(read), tuple(written), logps, 0)


def episode(turns: Sequence[Turn], task: str = "t", seed: int = 0, **more: Any) -> Episode:
    more.setdefault("status", "terminated")
    if more["status"].endswith("_error"):
        more["failure"] = Failure("Broken", "it broke")
    return Episode("E-v0", task, seed, tuple(turns), **more)


def laid_out(episodes: Sequence[Episode], notes: Any = None, **options: Any) -> Batch:
    return batch_of(episodes, Reader(notes), **options)  # type: ignore[arg-type]


# Tokens


def test_tokens_stand_in_the_order_they_were_read_and_written() -> None:
    long = episode([turn([10, 11], [1, 2]), turn([12], [3]), turn([], [4])])
    batch = laid_out([long, episode([turn([20], [5])])])
    assert batch.tokens.tolist() == [[10, 11, 1, 2, 12, 3, 4], [20, 5, 0, 0, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[True] * 7, [True] * 2 + [False] * 5]
    assert batch.turn_index.tolist() == [[-1, -1, 0, 0, -1, 1, 2], [-1, 0, -1, -1, -1, -1, -1]]
    assert batch.policy_mask.tolist() == (batch.turn_index >= 0).tolist()
    assert batch.behaviour_logp.tolist() == [[0, 0, -0.125, -0.25, 0, -0.375, -0.5], [0, -0.625, 0, 0, 0, 0, 0]]
    assert torch.equal(batch.masks["policy"], batch.policy_mask)
    assert batch.turn_mask.tolist() == [[True, True, True], [True, False, False]]


def test_a_token_of_id_0_exists() -> None:
    batch = laid_out([episode([turn([0], [0, 0])]), episode([turn([0], [0])])])
    assert batch.attention_mask.sum(1).tolist() == [3, 2]
    assert batch.policy_mask.sum(1).tolist() == [2, 1]


def test_a_turn_without_tokens_is_a_hole_in_the_turn_index() -> None:
    row = episode([turn([7], [1], 1.0), turn([], [], 2.0), turn([8], [2], 4.0)], status="truncated")
    batch = laid_out([row])
    assert batch.turn_index.tolist() == [[-1, 0, -1, 2]]
    assert batch.turn["reward"].tolist() == [[1.0, 2.0, 4.0]]
    assert batch.turn_mask.all()
    assert (batch.terminated.tolist(), batch.truncated.tolist()) == ([False], [True])


@pytest.mark.parametrize("logps", [(), (-1.0,), (-1.0, -1.0, -1.0)])
def test_tokens_without_a_log_probability_each_are_refused(logps: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match=rf"turn 1 of 'agent' in task 't', seed 0, has 2 tokens and {len(logps)}"):
        laid_out([episode([turn(), turn([], [1, 2])._replace(logps=logps)])])


def test_nothing_to_learn_from_is_refused_and_so_are_groups_of_another_number() -> None:
    with pytest.raises(ConfigurationError, match="no episodes"):
        laid_out([])
    with pytest.raises(ConfigurationError, match="groups has 1 keys for 2 episodes"):
        laid_out([episode([turn()])] * 2, groups=["one"])
    with pytest.raises(ConfigurationError, match="Did you mean 'team'"):
        laid_out([episode([turn()])], seat_reward="teams")


# Groups and tasks


def test_groups_follow_the_task_unless_told_and_seats_share_them() -> None:
    seats = ("left", "right")
    episodes = [episode([turn(seat=seat) for seat in seats], task, seats=seats) for task in ("b", "a", "b", "c")]
    batch = laid_out(episodes)
    assert batch.task_ids == ("b", "a", "c")
    assert batch.task.tolist() == batch.group.tolist() == [0, 0, 1, 1, 0, 0, 2, 2]
    told = laid_out(episodes, groups=[7, 7, 8, "x"])
    assert told.group.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert told.task.tolist() == batch.task.tolist()


# Validity


def test_a_failure_that_is_not_the_policys_leaves_and_earns_nothing() -> None:
    bad = float("nan")
    rows = [
        episode([turn(reward=1.0, terms={"right": 1.0})]),
        episode([turn(reward=bad, terms={"right": bad}), turn(reward=3.0)], status="env_error"),
        episode([turn(reward=3.0)], status="infra_error"),
        episode([turn(reward=5.0)], status="agent_error"),
        episode([turn([], [], 7.0)], outcome={"won": bad}),
        episode([]),
    ]
    for seat_reward in ("own", "team"):
        batch = laid_out(rows, seat_reward=seat_reward)
        assert batch.valid.tolist() == [True, False, False, True, False, False]
        assert batch.reward.tolist() == [1.0, 0.0, 0.0, 5.0, 0.0, 0.0]
        assert not any(values[~batch.valid].any() for values in batch.turn.values())
        assert batch.terminated.tolist() == [True, False, False, False, True, True]
        assert not batch.truncated.any()
        assert not batch.session.get("won", torch.zeros(6)).any()


def test_the_context_of_a_row_that_is_not_valid_is_never_asked_for() -> None:
    def notes(turns: Sequence[Turn], final: Any) -> RowContext:
        assert turns
        return RowContext({"x": np.ones((len(turns), 2), np.float32)}, {"last": np.float32([final])})

    failed = episode([turn([9], [1])], status="infra_error")
    batch = laid_out([failed, episode([turn(), turn()], final_observation=4.0)], notes)
    assert batch.context["x"].tolist() == [[[0, 0], [0, 0]], [[1, 1], [1, 1]]]
    assert batch.context[ROW_PREFIX + "last"].tolist() == [[0.0], [4.0]]


# Rewards and terms


def test_own_reward_is_what_the_seat_was_paid() -> None:
    seats = ("a", "b")
    turns = [turn(reward=1.0, seat="a"), turn(reward=2.0, seat="b"), turn(reward=4.0, seat="a")]
    batch = laid_out([episode(turns, seats=seats)])
    assert batch.reward.tolist() == [5.0, 2.0]
    assert batch.turn["reward"].tolist() == [[1.0, 4.0], [2.0, 0.0]]
    assert batch.turn_mask.tolist() == [[True, True], [True, False]]
    assert batch.session["turns"].tolist() == [2.0, 1.0]


def test_a_step_pays_the_team_at_the_turn_that_each_seat_took_in_it() -> None:
    seats = ("a", "b")
    turns = [turn(reward=value, seat=seat) for value, seat in ((1.0, "a"), (2.0, "b"), (4.0, "a"), (8.0, "b"))]
    batch = laid_out([episode(turns, seats=seats)], seat_reward="team")
    assert batch.reward.tolist() == [15.0, 15.0]
    assert batch.turn["reward"].tolist() == [[3.0, 12.0], [3.0, 12.0]]


def test_a_seat_that_ended_early_or_joined_late_still_shares_every_reward() -> None:
    seats = ("a", "b", "c")
    turns = [
        turn(reward=1.0, seat="a"),
        turn(reward=2.0, seat="b"),
        turn(reward=4.0, seat="b"),
        turn(reward=8.0, seat="b"),
        turn(reward=16.0, seat="c"),
    ]
    batch = laid_out([episode(turns, seats=seats)], seat_reward="team")
    assert batch.reward.tolist() == [31.0] * 3
    # b played three steps, and c acted in the last of them.
    assert batch.turn["reward"].tolist() == [[31.0, 0.0, 0.0], [3.0, 4.0, 24.0], [31.0, 0.0, 0.0]]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-4, 4)), min_size=1, max_size=12))
def test_turn_rewards_add_up_to_the_session_reward(played: list[tuple[str, int]]) -> None:
    whole = episode([turn(reward=float(value), seat=seat) for seat, value in played], seats=("a", "b", "c"))
    for seat_reward in ("own", "team"):
        batch = laid_out([whole], seat_reward=seat_reward)
        assert torch.equal(batch.turn["reward"].sum(1), batch.reward)
        for row, seat in enumerate("abc"):
            acts = any(name == seat for name, _ in played)
            earned = whole.reward_of(seat) if seat_reward == "own" else whole.reward
            assert batch.valid[row] == acts
            assert batch.reward[row] == (earned if acts else 0.0)
        assert not batch.turn["reward"][~batch.turn_mask].any()


def test_terms_are_by_name_and_0_where_a_turn_or_an_episode_has_none() -> None:
    rich = episode([turn(terms={"right": 1.0}), turn(), turn(terms={"right": 3.0, "cost": -1.0})], outcome={"won": 1.0})
    batch = laid_out([episode([turn(reward=2.0)]), rich], dtype=torch.float64)
    assert set(batch.turn) == {"reward", "right", "cost"}
    assert batch.turn["right"].tolist() == [[0, 0, 0], [1, 0, 3]]
    assert batch.turn["cost"].tolist() == [[0, 0, 0], [0, 0, -1]]
    assert batch.session["won"].tolist() == [0.0, 1.0]
    assert batch.reward.tolist() == [2.0, 0.0]
    assert {value.dtype for value in (*batch.turn.values(), *batch.session.values(), batch.old_logp)} == {torch.float64}


@pytest.mark.parametrize("name", ["reward", "turns", "session_reward", "turn_reward"])
def test_a_term_cannot_take_the_place_of_the_reward(name: str) -> None:
    with pytest.raises(DataError, match=f"outcome term {name!r}"):
        laid_out([episode([turn()], outcome={name: 9.0})])
    with pytest.raises(DataError, match=f"turn term {name!r}"):
        laid_out([episode([turn(terms={name: 9.0})])])


# Two horizons


SCHEME = RewardScheme(turn={"style": 0.5, "cost": -0.25, "unpaid": 0.0}, session={"won": 8.0})


def spoken(seat: str = "agent", won: float = 0.0, **terms: float) -> Turn:
    """A turn that is paid for its terms by :data:`SCHEME`, and for the session's outcome."""
    return turn(reward=SCHEME.of_turn(terms) + SCHEME.of_session({"won": won}), seat=seat, terms=terms)


def test_what_turns_paid_of_their_own_is_told_from_what_the_session_paid() -> None:
    rows = [episode([spoken(style=-1.0), spoken(cost=2.0, unpaid=7.0, won=1.0)]), episode([spoken()])]
    batch = laid_out(rows, scheme=SCHEME)
    assert batch.turn["reward"].tolist() == [[-0.5, 7.5], [0.0, 0.0]]
    assert batch.turn["turn_reward"].tolist() == [[-0.5, -0.5], [0.0, 0.0]]
    assert batch.session["session_reward"].tolist() == [8.0, 0.0]
    assert batch.reward.tolist() == [7.0, 0.0]
    assert {name: values.tolist() for name, values in batch.paid.items()} == {
        "style": [[-0.5, 0.0], [0.0, 0.0]],
        "cost": [[0.0, -0.5], [0.0, 0.0]],
    }, "every term that the scheme weighs"
    assert batch.turn["cost"].tolist() == [[0.0, 2.0], [0.0, 0.0]], "terms stay as they were reported"
    assert batch.turn["unpaid"].tolist() == [[0.0, 7.0], [0.0, 0.0]]


def test_without_a_scheme_nothing_is_told_apart() -> None:
    batch = laid_out([episode([spoken(style=-1.0, won=1.0)])])
    assert "session_reward" not in batch.session and "turn_reward" not in batch.turn
    assert not batch.paid


def test_both_horizons_of_a_team_are_the_teams() -> None:
    seats = ("a", "b")
    turns = [spoken("a", style=-1.0), spoken("b", cost=1.0), spoken("a"), spoken("b", style=-3.0, won=1.0)]
    own = laid_out([episode(turns, seats=seats)], scheme=SCHEME)
    assert own.session["session_reward"].tolist() == [0.0, 8.0]
    assert own.turn["turn_reward"].tolist() == [[-0.5, 0.0], [-0.25, -1.5]]
    team = laid_out([episode(turns, seats=seats)], scheme=SCHEME, seat_reward="team")
    assert team.session["session_reward"].tolist() == [8.0, 8.0]
    assert team.turn["turn_reward"].tolist() == [[-0.75, -1.5]] * 2
    assert team.paid["style"].tolist() == [[-0.5, -1.5]] * 2
    assert team.paid["cost"].tolist() == [[-0.25, 0.0]] * 2


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-9, 9), st.integers(0, 9), st.booleans()), min_size=1, max_size=12
    ),
    st.sampled_from(["own", "team"]),
)
def test_both_horizons_add_up_to_the_reward(played: list[tuple[str, int, int, bool]], seat_reward: str) -> None:
    turns = [spoken(seat, float(won), style=style / 10, cost=cost / 10) for seat, style, cost, won in played]
    batch = laid_out(
        [episode(turns, seats=("a", "b", "c"))], seat_reward=seat_reward, scheme=SCHEME, dtype=torch.float64
    )
    session, own = batch.session["session_reward"], batch.turn["turn_reward"]
    torch.testing.assert_close(session + own.sum(1), batch.reward, rtol=0, atol=1e-12)
    torch.testing.assert_close(batch.paid["style"] + batch.paid["cost"], own, rtol=0, atol=1e-12)
    for row, seat in enumerate("abc"):
        won = 8.0 * sum(over for name, _, _, over in played if name == seat or seat_reward == "team")
        acts = any(name == seat for name, *_ in played)
        assert float(session[row]) == pytest.approx(won if acts else 0.0, abs=1e-12)


def test_sessions_that_earned_nothing_are_exactly_silent() -> None:
    """0.1 + 0.2 - 0.3 would be 6e-17, and a group of such sessions a signal."""
    scheme = RewardScheme(turn={"a": 0.1, "b": 0.2, "c": -0.3})
    turns = [turn(reward=scheme.of_turn({name: 1.0}), terms={name: 1.0}) for name in "abc"]
    batch = laid_out([episode(turns)], scheme=scheme, dtype=torch.float64)
    assert batch.reward.item() != 0.0
    assert batch.session["session_reward"].item() == 0.0


def test_rows_that_failed_have_no_horizon_and_unknown_terms_are_refused() -> None:
    bad = float("nan")
    failed = episode([turn(reward=bad, terms={"style": bad})], status="env_error")
    batch = laid_out([failed, episode([spoken(style=-1.0)])], scheme=SCHEME)
    assert batch.session["session_reward"].tolist() == [0.0, 0.0]
    assert batch.turn["turn_reward"].tolist() == [[0.0], [-0.5]]
    assert batch.paid["style"].tolist() == [[0.0], [-0.5]]
    with pytest.raises(ConfigurationError, match="turn term 'tone' has no weight"):
        laid_out([episode([turn(terms={"tone": 1.0})])], scheme=SCHEME)


# Tracks


@pytest.mark.parametrize(
    ("end", "mask"),
    [
        (-1, [False] * 5),
        (0, [False, True, False, False, False]),
        (1, [False, True, False, False, False]),
        (2, [False, True, False, True, True]),
        (99, [False, True, False, True, True]),
        (np.int64(0), [False, True, False, False, False]),
    ],
)
def test_a_track_ends_with_the_turn_that_the_metric_names(end: int, mask: list[bool]) -> None:
    """Five tokens: read, turn 0, read, turn 2 twice; turn 1 wrote nothing."""
    row = episode([turn([7], [1]), turn([], []), turn([8], [2, 3])], metrics={"schema_end_turn": end})
    batch = laid_out([row, episode([turn()])])
    assert batch.masks["schema"][0].tolist() == mask
    assert not batch.masks["schema"][1].any(), "an episode that reports no such turn has no such track"


@pytest.mark.parametrize("end", [None, 1.0, "1", True])
def test_an_end_that_is_no_turn_is_refused(end: Any) -> None:
    with pytest.raises(DataError, match="metric schema_end_turn="):
        laid_out([episode([turn()], metrics={"schema_end_turn": end})])


def test_a_track_cannot_take_the_policys_name() -> None:
    with pytest.raises(DataError, match="metric policy_end_turn=0"):
        laid_out([episode([turn()], metrics={"policy_end_turn": 0})])


def test_other_metrics_make_no_track() -> None:
    batch = laid_out([episode([turn()], metrics={"end_turn_of_schema": 3, "ex": 1.0, "sql": None})])
    assert set(batch.masks) == {"policy"}


# Context


def test_context_is_padded_per_token_and_stacked_per_row() -> None:
    def notes(turns: Sequence[Turn], final: Any) -> RowContext:
        numbers = np.arange(1, len(turns) + 1, dtype=np.int64)
        per_token = {"number": numbers}
        if len(turns) == 2:
            per_token["only here"] = numbers > 1
        return RowContext(per_token, {"known": np.array(final is not None)})

    rows = [episode([turn()] * 3), episode([turn()] * 2, final_observation="x"), episode([turn()])]
    batch = laid_out(rows, notes)
    assert batch.context["number"].tolist() == [[1, 2, 3], [1, 2, 0], [1, 0, 0]]
    assert batch.context["only here"].tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert batch.context[ROW_PREFIX + "known"].tolist() == [False, True, False]
    assert batch.context["only here"].dtype == torch.bool


def test_a_context_that_does_not_fit_the_tokens_is_refused() -> None:
    with pytest.raises(DataError, match="context 'x' of reader has 1 entries for 2 tokens"):
        laid_out([episode([turn(), turn()])], lambda turns, final: RowContext({"x": np.zeros(1)}))


def test_each_seat_is_shown_its_own_turns_and_last_observation() -> None:
    seen: list[Any] = []

    def notes(turns: Sequence[Turn], final: Any) -> RowContext:
        seen.append(([item.seat for item in turns], final))
        return RowContext()

    seats = ("a", "b")
    turns = [turn(seat="a"), turn(seat="b"), turn(seat="b")]
    laid_out([episode(turns, seats=seats, final_observation={"b": 5})], notes)
    laid_out([episode([turn()], final_observation={"x": 1, "y": 2})], notes)
    laid_out([episode([turn()], final_observation={"agent": 3})], notes)
    laid_out([episode([turn()], status="truncated", final_observation=np.ones(2))], notes)
    assert seen[0] == (["a"], None), "a had left before the last step"
    assert seen[1] == (["b", "b"], 5)
    assert seen[2] == (["agent"], {"x": 1, "y": 2})
    assert seen[3] == (["agent"], 3)
    assert np.array_equal(seen[4][1], np.ones(2))


# Cutting, choosing, moving


def full(sizes: Sequence[tuple[int, int]]) -> Batch:
    """A batch with every optional part; a row for each (turns, tokens read per turn)."""

    def notes(turns: Sequence[Turn], final: Any) -> RowContext:
        count = sum(len(item.context_token_ids) + len(item.action_token_ids) for item in turns)
        return RowContext({"x": np.arange(2 * count, dtype=np.float32).reshape(count, 2)}, {"y": np.full(3, count)})

    rows = [
        episode(
            [turn(range(read), [1 + index], float(index), terms={"style": float(index)}) for index in range(turns)],
            f"t{number}",
            number,
            metrics={"schema_end_turn": 0},
            outcome={"won": float(number)},
        )
        for number, (turns, read) in enumerate(sizes)
    ]
    batch = laid_out(rows, notes, scheme=SCHEME)
    shape = batch.tokens.shape
    tokens = torch.arange(batch.tokens.numel()).reshape(shape)
    teacher = TeacherRows(
        tokens.float(), tokens[..., None].expand(*shape, 4), tokens[..., None].expand(*shape, 4).float()
    )
    return replace(
        batch,
        reference_logp=tokens.float() + 0.5,
        values=tokens.float() - 0.5,
        bootstrap=torch.arange(len(rows)).float(),
        teacher=teacher,
    )


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for item in fields(batch):
        value = getattr(batch, item.name)
        if isinstance(value, torch.Tensor):
            found[item.name] = value
        elif isinstance(value, Mapping):
            found |= {f"{item.name}.{name}": tensor for name, tensor in value.items()}
    if batch.teacher is not None:
        found |= {f"teacher.{name}": getattr(batch.teacher, name) for name in ("logp", "top_ids", "top_logp")}
    return found


sizes_of_rows = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=4)


@settings(max_examples=40)
@given(sizes_of_rows, st.data())
def test_selection_takes_whole_rows_of_everything(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    batch = full(sizes)
    rows = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=5))
    chosen = tensors(batch.select(torch.tensor(rows, dtype=torch.int64)))
    for name, tensor in tensors(batch).items():
        assert len(chosen[name]) == len(rows)
        for place, row in enumerate(rows):
            assert torch.equal(chosen[name][place], tensor[row]), name
    keep = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))))
    by_mask, by_index = tensors(batch.select(keep)), tensors(batch.select(keep.nonzero().squeeze(1)))
    assert all(torch.equal(by_mask[name], by_index[name]) for name in by_index)
    assert batch.select(keep).task_ids == batch.task_ids


@settings(max_examples=40)
@given(sizes_of_rows, st.data())
def test_trimming_drops_padding_and_nothing_else(sizes: list[tuple[int, int]], data: st.DataObject) -> None:
    batch = full(sizes)
    row = data.draw(st.integers(0, len(sizes) - 1))
    picked = batch.select(torch.tensor([row]))
    trimmed = picked.trimmed()
    length = int(picked.attention_mask.sum())
    assert trimmed.tokens.shape == (1, length)
    assert trimmed.attention_mask.all()
    per_turn_or_row = {"turn_mask", "group", "task", "valid", "terminated", "truncated", "bootstrap"}
    after = tensors(trimmed)
    for name, tensor in tensors(picked).items():
        whole = name in per_turn_or_row or name.startswith(("turn.", "session.", "paid.", "context." + ROW_PREFIX))
        assert torch.equal(after[name], tensor if whole else tensor[:, :length]), name
    again = trimmed.trimmed()
    assert again is trimmed


def test_trimming_keeps_as_many_turns_as_tokens() -> None:
    """Where turns and tokens are equal in number, only tokens are cut."""
    batch = full([(3, 0), (2, 0)]).select(torch.tensor([1])).trimmed()
    assert batch.tokens.shape == (1, 2)
    assert batch.turn["reward"].shape == batch.turn_mask.shape == (1, 3)


def test_no_rows_are_a_batch_too() -> None:
    none = full([(2, 1), (1, 0)]).select(torch.zeros(2, dtype=torch.bool)).trimmed()
    assert len(none) == 0
    assert none.tokens.shape == (0, 1)


def test_moving_moves_every_tensor() -> None:
    batch = full([(2, 1), (1, 0)])
    moved = tensors(batch.to("meta"))
    assert set(moved) == set(tensors(batch))
    assert {tensor.device.type for tensor in moved.values()} == {"meta"}


@settings(max_examples=40)
@given(sizes_of_rows, st.randoms(use_true_random=False))
def test_a_row_does_not_depend_on_its_neighbours(sizes: list[tuple[int, int]], random: Any) -> None:
    order = list(range(len(sizes)))
    random.shuffle(order)
    together = full(sizes).select(torch.tensor(order))
    for place, number in enumerate(order):
        alone = full([sizes[number]]).trimmed()
        row = together.select(torch.tensor([place])).trimmed()
        for name in ("tokens", "attention_mask", "policy_mask", "turn_index", "behaviour_logp", "old_logp"):
            assert torch.equal(getattr(row, name), getattr(alone, name)), name
        turns = sizes[number][0]
        assert torch.equal(row.turn["reward"][:, :turns], alone.turn["reward"])
        assert torch.equal(row.context["x"], alone.context["x"])
        assert torch.equal(row.masks["schema"], alone.masks["schema"])
