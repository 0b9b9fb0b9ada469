from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.advantages import (
    dual_track,
    gae,
    gpg,
    group_normalise,
    leave_one_out,
    length_weighted,
    on_last_tokens,
    pass_at_k,
    returns_to_go,
    whiten,
)

torch.set_num_threads(1)

EXACT: dict[str, Any] = {"rtol": 0.0, "atol": 1e-9}
Credit = Callable[[Tensor, Tensor, Tensor], Tensor]
Reference = Callable[[list[float]], list[float]]


def real(values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def one_group(rewards: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    return real(rewards), torch.zeros(len(rewards), dtype=torch.int64), torch.ones(len(rewards), dtype=torch.bool)


def close(ours: Tensor, expected: Sequence[object], atol: float = 1e-9) -> None:
    torch.testing.assert_close(ours, real(expected), rtol=0, atol=atol)


# --- the definitions, slowly ---------------------------------------------------------------------------------------


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float], ddof: int) -> float:
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - ddof))


def by_definition(
    rewards: Sequence[float], group: Sequence[int], valid: Sequence[bool], of_group: Reference
) -> list[float]:
    """``of_group`` on the valid rows of every group of two or more; 0 for all other rows."""
    found = [0.0] * len(rewards)
    for number in set(group):
        members = [row for row in range(len(rewards)) if group[row] == number and valid[row]]
        if len(members) > 1:
            for row, value in zip(members, of_group([rewards[row] for row in members]), strict=True):
                found[row] = value
    return found


def slow_normalised(ddof: int) -> Reference:
    def of_group(rewards: list[float]) -> list[float]:
        return [(reward - mean(rewards)) / (deviation(rewards, ddof) + 1e-6) for reward in rewards]

    return of_group


def slow_left_out(rewards: list[float]) -> list[float]:
    return [reward - mean(rewards[:i] + rewards[i + 1 :]) for i, reward in enumerate(rewards)]


def slow_pass(rewards: list[float]) -> list[float]:
    best, second = sorted(rewards)[-1], sorted(rewards)[-2]
    return [best - second if reward == best else 0.0 for reward in rewards]


CREDITS: dict[str, tuple[Credit, Reference]] = {
    "normalised, sample": (lambda r, g, v: group_normalise(r, g, v, 1), slow_normalised(1)),
    "normalised, population": (lambda r, g, v: group_normalise(r, g, v, 0), slow_normalised(0)),
    "centred": (
        lambda r, g, v: group_normalise(r, g, v, scale="none"),
        lambda rewards: [reward - mean(rewards) for reward in rewards],
    ),
    "leave-one-out": (leave_one_out, slow_left_out),
    "pass@k": (pass_at_k, slow_pass),
    "full track": (lambda r, g, v: dual_track(r, r * 0, g, v)["full"], slow_normalised(0)),
}

ragged = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.1, 0.3, 1.0]), st.integers(-64, 64).map(lambda n: n / 16)),
        st.integers(-2, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("name", CREDITS)
@given(rows=ragged)
def test_ragged_groups_dropped_rows_and_groups_of_one_follow_the_definition(
    name: str, rows: list[tuple[float, int, bool]]
) -> None:
    credit, of_group = CREDITS[name]
    rewards, group, valid = (list(column) for column in zip(*rows, strict=True))
    ours = credit(real(rewards), torch.tensor(group), torch.tensor(valid))
    close(ours, by_definition(rewards, group, valid, of_group), 1e-8)


@pytest.mark.parametrize("name", CREDITS)
@given(rows=ragged, data=st.data())
def test_reordering_rows_reorders_the_result(
    name: str, rows: list[tuple[float, int, bool]], data: st.DataObject
) -> None:
    credit = CREDITS[name][0]
    order = torch.tensor(data.draw(st.permutations(range(len(rows)))))
    reward, group, valid = (torch.tensor(column) for column in zip(*rows, strict=True))
    reward = reward.double()
    torch.testing.assert_close(
        credit(reward[order], group[order], valid[order]), credit(reward, group, valid)[order], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("name", CREDITS)
def test_what_is_in_an_invalid_row_does_not_matter(name: str) -> None:
    credit = CREDITS[name][0]
    group, valid = torch.zeros(4, dtype=torch.int64), torch.tensor([True, False, True, True])
    results = [credit(real([1, other, 0, 3]), group, valid) for other in (0.0, 1e30, math.nan, math.inf)]
    for result in results:
        assert result[1] == 0
        assert torch.equal(result, results[0])


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_binary_rewards_have_closed_forms(count: int) -> None:
    for right in range(count + 1):
        reward, group, valid = one_group([1.0] * right + [0.0] * (count - right))
        normalised = group_normalise(reward, group, valid, ddof=1, epsilon=0)
        left_out = leave_one_out(reward, group, valid)
        if right in (0, count):
            assert torch.equal(normalised, torch.zeros(count, dtype=torch.float64))
            assert torch.equal(left_out, torch.zeros(count, dtype=torch.float64))
            continue
        p, shrink = right / count, (count - 1) / count
        win, loss = math.sqrt((1 - p) / p * shrink), -math.sqrt(p / (1 - p) * shrink)
        close(normalised, [win] * right + [loss] * (count - right))
        win, loss = count * (1 - p) / (count - 1), -count * p / (count - 1)
        close(left_out, [win] * right + [loss] * (count - right))
        assert abs(normalised.sum().item()) < 1e-9
        assert abs(left_out.sum().item()) < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [3, 7, 11])
def test_equal_rewards_give_exactly_zero_although_their_mean_rounds(dtype: torch.dtype, size: int) -> None:
    reward, group, valid = torch.full((size,), 0.1, dtype=dtype), *one_group([0.0] * size)[1:]
    for scale in ("group", "batch", "none"):
        assert torch.equal(group_normalise(reward, group, valid, epsilon=1e-12, scale=scale), torch.zeros_like(reward))
    assert torch.equal(leave_one_out(reward, group, valid), torch.zeros_like(reward))


def test_batch_scale_divides_by_the_deviation_of_all_valid_rows() -> None:
    rewards = [0.0, 1.0, 4.0, 6.0, 99.0]
    group, valid = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([True, True, True, True, False])
    spread = deviation(rewards[:4], 1) + 1e-4
    ours = group_normalise(real(rewards), group, valid, epsilon=1e-4, scale="batch")
    close(ours, [-0.5 / spread, 0.5 / spread, -1 / spread, 1 / spread, 0])


def test_clip_bounds_the_advantage() -> None:
    reward, group, valid = one_group([0.0] * 400 + [1.0])
    assert group_normalise(reward, group, valid, ddof=0)[-1] > 19
    assert group_normalise(reward, group, valid, ddof=0, clip=10)[-1] == 10


def test_length_weighted_baseline_makes_the_length_weighted_sum_zero() -> None:
    reward, group = real([1, 0, 0.5, 2, 7]), torch.tensor([0, 0, 0, 1, 1])
    length, valid = real([10, 30, 20, 5, 9]), torch.tensor([True, True, True, True, False])
    baseline = (1 * 10 + 0.5 * 20) / 60
    close(length_weighted(reward, length, group, valid), [1 - baseline, -baseline, 0.5 - baseline, 0, 0])
    equal = torch.full_like(length, 7)
    torch.testing.assert_close(
        length_weighted(reward, equal, group, valid), group_normalise(reward, group, valid, scale="none"), **EXACT
    )


def test_a_shared_first_place_earns_nothing() -> None:
    close(pass_at_k(*one_group([1, 1, 0])), [0, 0, 0])
    close(pass_at_k(*one_group([1, 0.25, 0.75])), [0.25, 0, 0])


def test_gpg_makes_up_for_rows_without_signal() -> None:
    reward, group = real([1, 0, 0, 0, 1, 1, 5]), torch.tensor([0, 0, 1, 1, 2, 2, 2])
    valid = torch.tensor([True] * 6 + [False])
    close(gpg(reward, group, valid), [0.5 * 6 / 3, -0.5 * 6 / 3, 0, 0, 0, 0, 0])
    close(gpg(reward, group, valid, count="advantage"), [0.5 * 6 / 2, -0.5 * 6 / 2, 0, 0, 0, 0, 0])


# --- Dual-Track ----------------------------------------------------------------------------------------------------

FULL, SCHEMA = [1.1, 1.1, 0.2, 0.3, 0, 1.0, 0.2, 1.1], [1, 1, 0, 0, 0, 0, 0, 1]


def test_dual_track_of_the_published_example() -> None:
    full, group, valid = one_group(FULL)
    tracks = dual_track(full, real(SCHEMA), group, valid)
    close(tracks["full"], [1.038, 1.038, -0.929, -0.710, -1.366, 0.820, -0.929, 1.038], 5e-4)
    close(tracks["schema"], [1.291, 1.291, -0.775, -0.775, -0.775, -0.775, -0.775, 1.291], 5e-4)


def test_scaling_the_schema_reward_does_nothing() -> None:
    full, group, valid = one_group(FULL)
    whole = dual_track(full, real(SCHEMA), group, valid)["schema"]
    scaled = dual_track(full, 0.25 * real(SCHEMA), group, valid)["schema"]
    assert ((whole - scaled).abs() / whole.abs()).max() < 1e-5


def test_a_group_without_contrast_in_the_schema_has_no_schema_advantage() -> None:
    full, group, valid = one_group(FULL)
    for constant in (0.0, 0.1, 1.0):
        tracks = dual_track(full, torch.full_like(full, constant), group, valid)
        assert torch.equal(tracks["schema"], torch.zeros_like(full))
        assert torch.equal(tracks["full"], dual_track(full, real(SCHEMA), group, valid)["full"])


# --- along tokens --------------------------------------------------------------------------------------------------


def test_a_turn_pays_on_its_last_token() -> None:
    turn_index = torch.tensor([[-1, 0, 0, -1, 1, 2, 2, -1], [0, -1, 1, 1, -1, -1, -1, -1]])
    placed = on_last_tokens(real([[1, 2, 3], [4, 5, 0]]), turn_index, turn_index >= 0)
    close(placed, [[0, 0, 1, 0, 2, 0, 3, 0], [4, 0, 0, 5, 0, 0, 0, 0]])


def test_a_paying_turn_without_a_token_is_refused_unless_its_row_wrote_nothing() -> None:
    turn_index = torch.tensor([[0, -1], [-1, -1]])
    with pytest.raises(DataError, match=r"\[\[0, 1\]\].*valid=False"):
        on_last_tokens(real([[1, 2], [1, 2]]), turn_index, turn_index >= 0)
    close(on_last_tokens(real([[1, 0], [1, 2]]), turn_index, turn_index >= 0), [[1, 0], [0, 0]])


token_rows = st.lists(
    st.tuples(st.integers(-4, 4), st.integers(-8, 8).map(lambda n: n / 4), st.booleans()), min_size=1, max_size=10
)
unit = st.sampled_from([0.0, 0.5, 0.9, 1.0])


@given(rows=token_rows, discount=unit)
def test_returns_discount_only_between_policy_tokens(rows: list[tuple[float, float, bool]], discount: float) -> None:
    rewards, _, mask = (list(column) for column in zip(*rows, strict=True))
    written = [column for column, there in enumerate(mask) if there]
    expected = [0.0] * len(rows)
    for place, column in enumerate(written):
        expected[column] = math.fsum(discount**ahead * rewards[later] for ahead, later in enumerate(written[place:]))
    close(returns_to_go(real([rewards]), torch.tensor([mask]), discount), [expected])


@given(rows=token_rows, discount=unit, trace=unit, terminated=st.booleans())
def test_gae_by_definition_on_the_compressed_row(
    rows: list[tuple[float, float, bool]], discount: float, trace: float, terminated: bool
) -> None:
    rewards, values, mask = (list(column) for column in zip(*rows, strict=True))
    written = [column for column, there in enumerate(mask) if there]
    after = 0.0 if terminated else 2.5
    ahead = [*(values[column] for column in written[1:]), after]
    errors = [rewards[c] + discount * following - values[c] for c, following in zip(written, ahead, strict=False)]
    advantages, returns = [0.0] * len(rows), [0.0] * len(rows)
    for place, column in enumerate(written):
        advantages[column] = math.fsum((discount * trace) ** k * error for k, error in enumerate(errors[place:]))
        returns[column] = advantages[column] + values[column]
    ours = gae(
        real([rewards]),
        real([values]),
        torch.tensor([mask]),
        torch.tensor([terminated]),
        real([2.5]),
        discount,
        trace,
    )
    close(ours[0], [advantages])
    close(ours[1], [returns])


def test_gae_with_a_full_trace_is_the_return_minus_the_value() -> None:
    reward, values = real([[1, 2, 0, 3]]), real([[0.5, -1, 9, 2]])
    mask, ended = torch.tensor([[True, True, False, True]]), torch.tensor([True])
    advantage, returns = gae(reward, values, mask, ended, real([7]), 0.9, 1.0)
    expected = returns_to_go(reward, mask, 0.9)
    torch.testing.assert_close(returns, expected, **EXACT)
    torch.testing.assert_close(advantage, torch.where(mask, expected - values, 0.0), **EXACT)


def test_only_a_row_that_was_cut_reads_its_bootstrap() -> None:
    zero, mask = torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.bool)
    advantage, _ = gae(zero, zero, mask, torch.tensor([True, False]), real([math.nan, 8]), 0.5, 1.0)
    close(advantage, [[0, 0, 0], [1, 2, 4]])


@given(rows=st.lists(token_rows, min_size=1, max_size=3), wider=st.integers(1, 4))
def test_padding_and_what_it_holds_do_not_matter(rows: list[list[tuple[float, float, bool]]], wider: int) -> None:
    longest = max(len(row) for row in rows)

    def laid_out(width: int, fill: float) -> tuple[Tensor, Tensor, Tensor]:
        padded = [row + [(fill, fill, False)] * (width - len(row)) for row in rows]
        reward, values = (
            real([[r for r, _, _ in row] for row in padded]),
            real([[v for _, v, _ in row] for row in padded]),
        )
        mask = torch.tensor([[m for _, _, m in row] for row in padded])
        return torch.where(mask, reward, fill), torch.where(mask, values, fill), mask

    ended, after = torch.zeros(len(rows), dtype=torch.bool), torch.ones(len(rows), dtype=torch.float64)

    def everything(reward: Tensor, values: Tensor, mask: Tensor) -> list[Tensor]:
        advantage, returns = gae(reward, values, mask, ended, after, 0.9, 0.8)
        return [advantage, returns, returns_to_go(reward, mask, 0.9), whiten(reward, mask)]

    narrow = everything(*laid_out(longest, 0.0))
    wide = everything(*laid_out(longest + wider, math.nan))
    for small, large in zip(narrow, wide, strict=True):
        torch.testing.assert_close(large[:, :longest], small, **EXACT)
        assert torch.equal(large[:, longest:], torch.zeros_like(large[:, longest:]))


def test_whitened_values_have_mean_zero_and_unbiased_variance_one() -> None:
    values = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3 + 2
    mask = torch.rand(5, 7, generator=torch.Generator().manual_seed(1)) < 0.6
    white = whiten(values, mask, epsilon=0)
    assert abs(white[mask].mean().item()) < 1e-12
    assert abs(white[mask].var().item() - 1) < 1e-12
    assert torch.equal(white[~mask], torch.zeros_like(white[~mask]))
    spread = values[mask].var()
    torch.testing.assert_close(
        whiten(values, mask)[mask], (values[mask] - values[mask].mean()) / (spread + 1e-8).sqrt(), **EXACT
    )
    assert whiten(real([[4]]), torch.tensor([[True]])).item() == 0


def test_results_are_detached() -> None:
    reward, group, valid = one_group([0.0, 1.0, 3.0])
    reward.requires_grad_()
    for credit, _ in CREDITS.values():
        assert not credit(reward, group, valid).requires_grad
    row, mask = reward[None], valid[None]
    assert not gae(row, row, mask, mask[:, 0], row[:, 0], 0.9, 0.9)[0].requires_grad


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", CREDITS)
def test_a_reward_that_is_not_finite_names_its_row(name: str, bad: float) -> None:
    reward, group, valid = one_group([0.0, bad, 1.0, bad])
    valid[3] = False
    with pytest.raises(DataError, match=r"rows \[1\].*valid=False"):
        CREDITS[name][0](reward, group, valid)


def test_token_rewards_that_are_not_finite_name_their_row() -> None:
    reward, mask = real([[0, 1], [math.nan, 0]]), torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(DataError, match=r"rows \[1\]"):
        returns_to_go(reward, mask, 1.0)
    with pytest.raises(DataError, match=r"rows \[1\]"):
        gae(reward, torch.zeros_like(reward), mask, mask[:, 0], reward[0], 1.0, 1.0)


def test_bad_arguments_are_named() -> None:
    reward, group, valid = one_group([0.0, 1.0])
    for message, options in [
        ("ddof=2", {"ddof": 2}),
        ("scale='groups'.*'group'", {"scale": "groups"}),
        ("clip=-1", {"clip": -1.0}),
        ("epsilon=-1", {"epsilon": -1.0}),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            group_normalise(reward, group, valid, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"group has shape \[1\]"):
        leave_one_out(reward, group[:1], valid)
    with pytest.raises(ConfigurationError, match=r"valid\.bool\(\)"):
        leave_one_out(reward, group, valid.long())
    with pytest.raises(ConfigurationError, match=r"group\.long\(\)"):
        leave_one_out(reward, group.double(), valid)
    with pytest.raises(ConfigurationError, match=r"discount=1\.5"):
        returns_to_go(reward[None], valid[None], 1.5)
    with pytest.raises(ConfigurationError, match=r"bootstrap has shape \[2\].*\[1\]"):
        gae(reward[None], reward[None], valid[None], valid[:1], reward, 1.0, 1.0)
    with pytest.raises(DataError, match=r"length.*rows \[1\]"):
        length_weighted(reward, real([1, 0]), group, valid)
