"""HIAN against the specification's reference, its worked table and a slow loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers import advantages
from fogline.trainers.hian import (
    SCOPES,
    HorizonAdvantages,
    Scope,
    fuse,
    hian,
    hian_per_component,
    horizon_advantages,
    turn_centred,
    turn_returns,
)

torch.set_num_threads(1)

GAMMAS = (0.0, 0.5, 1.0)
CELLS = ("group_turn", "turn_centre_batch_scale")


def real(values: Any) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def yes(rows: int) -> Tensor:
    return torch.ones(rows, dtype=torch.bool)


# The reference of the specification, section 3.3: rectangular, all valid


def centred_or_scaled(x: Any, m: Any, axes: tuple[int, ...], scale: bool = True) -> tuple[Any, Any]:
    n = m.sum(axes, keepdims=True)
    d = (x - np.where(n > 0, (x * m).sum(axes, keepdims=True) / np.maximum(n, 1), 0.0)) * m
    if not scale:
        return d, n
    sd = np.sqrt((d * d).sum(axes, keepdims=True) / np.maximum(n, 1))
    return np.where((n >= 2) & (sd > 1e-8), d / (sd + 1e-6), 0.0), n


def reference(
    R: Any, r: Any, mask: Any, w_s: float = 1.0, w_t: float = 1.0, gamma: float = 0.0,
    scope: str = "turn_centre_batch_scale", rescale: bool = True, clip: float = 5.0,
) -> Any:  # fmt: skip
    m = mask.astype(float)
    a_s, _ = centred_or_scaled(R[..., None], np.ones_like(R)[..., None], (1,))
    g, run = np.zeros_like(r), np.zeros_like(R)
    for k in range(r.shape[2] - 1, -1, -1):
        run = r[..., k] * m[..., k] + gamma * run
        g[..., k] = run
    axes = {"group_turn": (1,), "group": (1, 2), "batch": (0, 1, 2)}
    if scope in axes:
        a_t, _ = centred_or_scaled(g, m, axes[scope])
    else:
        d, n = centred_or_scaled(g, m, (1,), scale=False)
        d = np.where(n >= 2, d, 0.0) * m
        sd = np.sqrt((d * d).sum() / max(m.sum(), 1.0))
        a_t = d / (sd + 1e-6) if sd > 1e-8 else 0 * d
    a = w_s * a_s + w_t * a_t
    if rescale:
        a = a / np.sqrt(w_s**2 + w_t**2)
    return np.clip(a, -clip, clip) * m


def ours(R: Any, r: Any, mask: Any, **options: Any) -> Any:
    """The same arrays through the production function, as rows; back in the reference's shape."""
    scenarios, rollouts, turns = r.shape
    group = torch.arange(scenarios).repeat_interleave(rollouts)
    rows = scenarios * rollouts
    result = hian(
        real(R.reshape(rows)), real(r.reshape(rows, turns)), torch.from_numpy(mask.reshape(rows, turns)), group,
        yes(rows), **options,
    )  # fmt: skip
    return result.reshape(r.shape).numpy()


def world(seed: int, scenarios: int = 4, rollouts: int = 5, turns: int = 6, ties: bool = False) -> tuple[Any, Any, Any]:
    """R, r and mask; with ``ties`` conversions and rare penalties, so that many cells and groups are silent."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, turns + 1, size=(scenarios, rollouts))
    mask = np.arange(turns) < lengths[..., None]
    if ties:
        R = (random.random((scenarios, rollouts)) < random.random((scenarios, 1))).astype(float)
        r = -0.1 * (random.random((scenarios, rollouts, turns)) < 0.2)
    else:
        R, r = random.normal(size=(scenarios, rollouts)), random.normal(size=(scenarios, rollouts, turns))
    return R, r, mask


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("rescale", [True, False])
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000), scenarios=st.integers(1, 5), rollouts=st.integers(2, 6), turns=st.integers(1, 7),
    ties=st.booleans(), weights=st.sampled_from([(1.0, 1.0), (0.5, 2.0), (1.0, 0.0), (0.0, 1.0), (3.0, 0.25)]),
)  # fmt: skip
def test_it_is_the_reference(
    scope: str, gamma: float, rescale: bool,
    seed: int, scenarios: int, rollouts: int, turns: int, ties: bool, weights: tuple[float, float],
) -> None:  # fmt: skip
    R, r, mask = world(seed, scenarios, rollouts, turns, ties)
    expected = reference(R, r, mask, *weights, gamma, scope, rescale)
    found = ours(
        R, r, mask, session_weight=weights[0], turn_weight=weights[1], discount=gamma, scope=scope, rescale=rescale
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert not found[~mask].any(), "exactly 0 off the mask"


def test_the_reference_is_not_flat() -> None:
    """The test above compares something: the scopes differ, and so do the discounts."""
    R, r, mask = world(3)
    found = [reference(R, r, mask, gamma=gamma, scope=scope) for scope in SCOPES for gamma in GAMMAS]
    for number, one in enumerate(found):
        assert all(np.abs(one - other).max() > 0.05 for other in found[:number])


def test_the_scopes_are_what_their_type_says_and_it_is_found_among_the_advantages() -> None:
    assert get_args(Scope) == SCOPES
    assert advantages.hian is hian


# The worked fixture, section 3.3


X = math.nan
SESSION = np.array([[1.0, 0, 0, 1], [0, 0, 0, 0]])
TURN = np.array(
    [
        [[0, -0.1, X], [0, 0, 0], [-0.1, -0.1, 0], [0, X, X]],
        [[0, 0, X], [-0.2, 0, X], [0, 0, -0.1], [0, X, X]],
    ]
)
PLAYED = ~np.isnan(TURN)
TABLE: dict[tuple[str, float], list[Any]] = {
    ("group_turn", 0): [
        [[1.5773, 0.2929, 0], [-0.4227, 0.4142, -1], [-2.7320, -1.7071, -1], [1.5773, 0, 0]],
        [[0.5773, 0, 0], [-1.7320, 0, 0], [0.5773, 0, 0], [0.5773, 0, 0]],
    ],
    ("group_turn", 1): [
        [[0.6985, 0.2929, 0], [-0.0955, 0.4142, -1], [-2.5075, -1.7071, -1], [1.9045, 0, 0]],
        [[0.9045, 0.7071, 0], [-1.5075, 0.7071, 0], [-0.3015, -1.4142, 0], [0.9045, 0, 0]],
    ],
    ("group", 0): [
        [[1.7071, -0.4142, 0], [-0.2929, -0.2929, -0.2929], [-2.4142, -2.4142, -0.2929], [1.7071, 0, 0]],
        [[0.5388, 0.5388, 0], [-2.3348, 0.5388, 0], [0.5388, 0.5388, -0.8980], [0.5388, 0, 0]],
    ],
    ("group", 1): [
        [[0.3511, 0.3511, 0], [-0.1889, -0.1889, -0.1889], [-3.1088, -1.6489, -0.1889], [1.8111, 0, 0]],
        [[0.8980, 0.8980, 0], [-1.9756, 0.8980, 0], [-0.5388, -0.5388, -0.5388], [0.8980, 0, 0]],
    ],
    ("batch", 0): [
        [[1.6, -0.1, 0], [-0.4, -0.4, -0.4], [-2.1, -2.1, -0.4], [1.6, 0, 0]],
        [[0.6, 0.6, 0], [-2.8, 0.6, 0], [0.6, 0.6, -1.1], [0.6, 0, 0]],
    ],
    ("batch", 1): [
        [[0.4041, 0.4041, 0], [-0.1488, -0.1488, -0.1488], [-3.0430, -1.5959, -0.1488], [1.8512, 0, 0]],
        [[0.8512, 0.8512, 0], [-2.0430, 0.8512, 0], [-0.5959, -0.5959, -0.5959], [0.8512, 0, 0]],
    ],
    ("turn_centre_batch_scale", 0): [
        [[1.4905, 0.3460, 0], [-0.5095, 0.3079, -1], [-2.4714, -1.6540, -1], [1.4905, 0, 0]],
        [[0.9809, 0, 0], [-2.9428, 0, 0], [0.9809, 0, 0], [0.9809, 0, 0]],
    ],
    ("turn_centre_batch_scale", 1): [
        [[0.6057, 0.4742, 0], [0.1829, 0.0515, -1], [-2.9716, -1.5257, -1], [2.1829, 0, 0]],
        [[1.1829, 0.5258, 0], [-1.9716, 0.5258, 0], [-0.3943, -1.0515, 0], [1.1829, 0, 0]],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("scope", "gamma"), TABLE)
def test_the_worked_table(scope: str, gamma: float) -> None:
    found = ours(SESSION, TURN, PLAYED, discount=gamma, scope=scope, rescale=False)
    expected = np.array(TABLE[scope, gamma])
    # To four digits; -2.7320 and .5773 are cut off where .73205 and .57735 are meant.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert not expected[~PLAYED].any() and not found[~PLAYED].any()


def grpo(reward: Tensor, group: Tensor) -> Tensor:
    return advantages.group_normalise(reward, group, yes(len(reward)), ddof=0, epsilon=1e-6)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(1.0, [0.8947, -0.8005, -1.1772, 1.0830]), (10.0, [0.9899, -0.9800, -1.0198, 1.0098])],
)
def test_the_worked_table_of_the_sum(scale: float, expected: list[float]) -> None:
    summed = real(scale * SESSION + np.nansum(TURN, 2)).flatten()
    found = grpo(summed, torch.arange(2).repeat_interleave(4))
    torch.testing.assert_close(found, real([*expected, 0.9045, -1.5075, -0.3015, 0.9045]), rtol=0, atol=1e-4)


# The slow way: ragged groups, dropped rows, every option


def slow(
    R: Sequence[float], r: Sequence[Sequence[float]], group: Sequence[int], valid: Sequence[bool], *,
    scope: str, discount: float, leave_one_out: bool, session_weight: float = 1.0, turn_weight: float = 1.0,
) -> dict[tuple[int, int], float]:  # fmt: skip
    """By the definition, one value at a time; ``r`` is as long as the session. Without divisor and clip."""
    rows = [row for row in range(len(R)) if valid[row]]
    returns = {
        (row, k): sum(discount ** (later - k) * r[row][later] for later in range(k, len(r[row])))
        for row in rows
        for k in range(len(r[row]))
    }

    def deviation(values: Sequence[float]) -> float:
        centre = math.fsum(values) / len(values)
        return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / len(values))

    def baseline(me: Any, pool: dict[Any, float]) -> float:
        others = [value for key, value in pool.items() if not (leave_one_out and key == me)]
        return math.fsum(others) / len(others)

    def members(row: int, k: int) -> dict[tuple[int, int], float]:
        together = {
            "group": lambda one, turn: group[one] == group[row],
            "batch": lambda one, turn: True,
        }.get(scope, lambda one, turn: group[one] == group[row] and turn == k)
        return {key: value for key, value in returns.items() if together(*key)}

    def centred(row: int, k: int) -> float:
        pool, value = members(row, k), returns[row, k]
        if len(pool) > 1:
            return value - baseline((row, k), pool)
        if not leave_one_out or scope not in CELLS:
            return 0.0
        elsewhere = [other for (one, turn), other in returns.items() if turn == k and one != row]
        return value - math.fsum(elsewhere) / len(elsewhere) if elsewhere else value

    own = {key: centred(*key) for key in returns}
    whole = math.sqrt(math.fsum(value**2 for value in own.values()) / max(len(own), 1))
    result = {}
    for row, k in returns:
        peers = {other: R[other] for other in rows if group[other] == group[row]}
        of_session = deviation(list(peers.values()))
        session = (R[row] - baseline(row, peers)) / (of_session + 1e-6) if of_session > 1e-8 else 0.0
        pool = members(row, k)
        scale = whole if scope == "turn_centre_batch_scale" or len(pool) < 2 else deviation(list(pool.values()))
        turn = own[row, k] / (scale + 1e-6) if scale > 1e-8 else 0.0
        result[row, k] = session_weight * session + turn_weight * turn
    return result


sessions = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 0.3, -2.5]),
        st.lists(st.sampled_from([0.0, -0.1, -0.35, 0.5]), min_size=1, max_size=4),
        st.sampled_from([7, -3, 0]),
        st.booleans(),
    ),
    min_size=2,
    max_size=10,
)


def laid_out(rows: Sequence[tuple[float, Sequence[float], int, bool]]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Ragged sessions as tensors; NaN wherever nothing may be read. A row that is alone in its group is dropped."""
    group = [row[2] for row in rows]
    wanted = [row[3] for row in rows]
    kept = [
        wanted[row] and sum(g == group[row] and w for g, w in zip(group, wanted, strict=True)) > 1
        for row in range(len(rows))
    ]
    turns = max(len(row[1]) for row in rows)
    turn = torch.full((len(rows), turns), X, dtype=torch.float64)
    mask = torch.zeros((len(rows), turns), dtype=torch.bool)
    for number, (_, rewards, _, _) in enumerate(rows):
        turn[number, : len(rewards)] = real(rewards)
        mask[number, : len(rewards)] = True
    valid = torch.tensor(kept)
    session = torch.where(valid, real([row[0] for row in rows]), X)
    turn = torch.where(valid[:, None], turn, X)
    return session, turn, mask, torch.tensor(group), valid


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("leave_one_out", [False, True])
@settings(max_examples=60)
@given(rows=sessions, discount=st.sampled_from(GAMMAS), weight=st.sampled_from([0.5, 1.0, 2.0]))
def test_ragged_groups_and_dropped_rows_follow_the_definition(
    scope: Any, leave_one_out: bool, rows: Any, discount: float, weight: float
) -> None:
    tensors = laid_out(rows)
    options: dict[str, Any] = {"scope": scope, "discount": discount, "leave_one_out": leave_one_out}
    found = hian(*tensors, turn_weight=weight, rescale=False, clip=math.inf, **options)
    expected = slow(
        [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], tensors[4].tolist(),
        turn_weight=weight, **options,
    )  # fmt: skip
    for row in range(len(rows)):
        for k in range(found.shape[1]):
            assert float(found[row, k]) == pytest.approx(expected.get((row, k), 0.0), abs=1e-10), (row, k)
            if (row, k) not in expected:
                assert float(found[row, k]) == 0.0, "exactly"


@pytest.mark.parametrize("scope", SCOPES)
@settings(max_examples=30)
@given(rows=sessions, data=st.data(), leave_one_out=st.booleans())
def test_reordering_sessions_reorders_the_result(
    scope: Any, rows: Any, data: st.DataObject, leave_one_out: bool
) -> None:
    order = torch.tensor(data.draw(st.permutations(range(len(rows)))))
    tensors = laid_out(rows)
    options: dict[str, Any] = {"scope": scope, "discount": 0.5, "leave_one_out": leave_one_out}
    moved = hian(*(tensor[order] for tensor in tensors), **options)
    torch.testing.assert_close(moved, hian(*tensors, **options)[order], rtol=0, atol=1e-10)


@pytest.mark.parametrize("scope", SCOPES)
@settings(max_examples=30)
@given(rows=sessions, leave_one_out=st.booleans(), rescale=st.sampled_from([True, "batch"]))
def test_a_dropped_session_is_one_that_was_never_played(
    scope: Any, rows: Any, leave_one_out: bool, rescale: Any
) -> None:
    tensors = laid_out(rows)
    valid = tensors[4]
    options: dict[str, Any] = {"scope": scope, "leave_one_out": leave_one_out, "rescale": rescale}
    found = hian(*tensors, **options)
    alone = hian(*(tensor[valid] for tensor in tensors), **options)
    torch.testing.assert_close(found[valid], alone, rtol=0, atol=1e-10)
    assert not found[~valid].any()


# Leave one out


def test_a_turn_that_nobody_else_of_the_group_played_is_compared_with_the_same_turn_elsewhere() -> None:
    """The own value is not in the mean: in a pool that held it, 5 - mean(5, 1, 2, 6) would be 1.5, and not 2."""
    turn = real([[0, 5.0], [0, X], [0, 1.0], [0, 2.0], [0, 6.0], [0, X]])
    live = ~turn.isnan()
    group = torch.tensor([0, 0, 1, 1, 1, 2])
    for scope in CELLS:
        found = turn_centred(turn_returns(turn, live, 0.0), live, group, scope, leave_one_out=True)  # type: ignore[arg-type]
        assert found[:, 1].tolist() == [5.0 - 3.0, 0.0, 1.0 - 4.0, 2.0 - 3.5, 6.0 - 1.5, 0.0]
        plain = turn_centred(turn_returns(turn, live, 0.0), live, group, scope)  # type: ignore[arg-type]
        assert plain[:, 1].tolist() == [0.0, 0.0, -2.0, -1.0, 3.0, 0.0]


def test_a_turn_that_nobody_else_played_at_all_is_compared_with_nothing() -> None:
    turn, live = real([[1.0, 5.0], [2.0, X]]), torch.tensor([[True, True], [True, False]])
    found = turn_centred(turn_returns(turn, live, 0.0), live, torch.zeros(2).long(), "group_turn", True)
    assert found.tolist() == [[-1.0, 5.0], [1.0, 0.0]]


# Rescaling


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("ties", [False, True])
def test_whitening_over_the_batch_by_its_closed_form(scope: str, ties: bool) -> None:
    for seed in range(5):
        R, r, mask = world(seed, ties=ties)
        plain = ours(R, r, mask, scope=scope, rescale=False, clip=math.inf, turn_weight=0.7)
        live = plain[mask]
        expected = np.where(mask, (plain - live.mean()) / (live.std() + 1e-4), 0.0).clip(-1.5, 1.5)
        found = ours(R, r, mask, scope=scope, rescale="batch", clip=1.5, turn_weight=0.7)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        assert not found[~mask].any()


def test_the_divisor_keeps_the_variance_of_one_horizon() -> None:
    """Two horizons of unit variance and no correlation: their sum over √2 has unit variance, at any two weights."""
    signs = np.array([[1.0, 1, -1, -1]])
    turns = np.array([[[1.0], [-1], [1], [-1]]])
    mask = np.ones((1, 4, 1), bool)
    for w_s, w_t in ((1.0, 1.0), (2.0, 0.5), (0.0, 3.0)):
        found = ours(signs, turns, mask, session_weight=w_s, turn_weight=w_t)
        assert found.std() == pytest.approx(1.0, abs=1e-5)


# Degenerate cases, section 3.2


def rows_of(turns: int, rows: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(turns)
    turn = torch.randn(rows, turns, dtype=torch.float64, generator=generator)
    session = torch.randn(rows, dtype=torch.float64, generator=generator)
    return session, turn, torch.ones(rows, turns, dtype=torch.bool), torch.zeros(rows).long(), yes(rows)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_silent_group_keeps_its_turn_signal(scope: Any) -> None:
    session, turn, *rest = rows_of(3)
    silent = horizon_advantages(torch.full_like(session, 0.3), turn, *rest, scope=scope)
    assert not silent.session.any()
    assert torch.equal(silent.turn, horizon_advantages(session, turn, *rest, scope=scope).turn)
    assert silent.turn.abs().min() > 0


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_turn_rewards_that_are_all_equal_say_nothing(scope: Any, leave_one_out: bool, dtype: torch.dtype) -> None:
    session, turn, mask, group, valid = rows_of(5, rows=12)
    mask = torch.arange(5) < torch.arange(12)[:, None] % 5 + 1
    group = torch.arange(12) // 4
    found = horizon_advantages(
        session.to(dtype), torch.full_like(turn, 0.1).to(dtype), mask, group, valid,
        scope=scope, leave_one_out=leave_one_out,
    )  # fmt: skip
    if leave_one_out and scope in CELLS:
        # A turn that no other session played has its own value, and nothing to compare it with.
        lonely = mask & (mask.sum(0) == 1)
        assert not found.turn[~lonely].any()
    else:
        assert not found.turn.any()
    assert found.session.abs().min() > 0


def test_everything_constant_gives_0() -> None:
    session, turn, *rest = rows_of(3)
    for scope in SCOPES:
        for rescale in (True, False, "batch"):
            constant = (torch.full_like(session, 2.0), torch.full_like(turn, -0.1))
            assert not hian(*constant, *rest, scope=scope, rescale=rescale).any()  # type: ignore[arg-type]


def test_a_group_of_one_is_refused() -> None:
    session, turn, mask, _, valid = rows_of(2)
    lonely = torch.tensor([0, 0, 5, 0])
    with pytest.raises(ConfigurationError, match=r"rows \[2\] are the only valid ones.*raise group_size"):
        hian(session, turn, mask, lonely, valid)
    group = torch.tensor([0, 0, 1, 1])
    with pytest.raises(ConfigurationError, match=r"rows \[3\] are the only valid ones"):
        hian(session, turn, mask, group, torch.tensor([True, True, False, True]))
    assert not hian(session, turn, mask, lonely, valid & (lonely == 0))[2].any(), "a dropped one is not"


def test_a_session_without_turns_is_refused() -> None:
    session, turn, mask, group, valid = rows_of(2)
    mask[1] = False
    with pytest.raises(DataError, match=r"rows \[1\] have no turn.*valid=False"):
        hian(session, turn, mask, group, valid)
    valid[1] = False
    assert hian(session, turn, mask, group, valid).isfinite().all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_is_refused(bad: float) -> None:
    session, turn, mask, group, valid = rows_of(2)
    with pytest.raises(DataError, match=r"session is \[.*\] in rows \[0\]"):
        hian(torch.where(torch.arange(4) == 0, bad, session), turn, mask, group, valid)
    broken = turn.clone()
    broken[3, 1] = bad
    with pytest.raises(DataError, match=r"turn rewards are not finite in rows \[3\]"):
        hian(session, broken, mask, group, valid)
    mask[3, 1] = False
    expected = hian(session, turn, mask, group, valid)
    assert torch.equal(hian(session, broken, mask, group, valid), expected), "off the mask it is not read"


def test_a_session_that_the_simulator_broke_is_dropped_and_not_scored_0() -> None:
    session, turn, mask, group, valid = rows_of(3, rows=5)
    valid[2] = False
    dropped = hian(session, turn, mask, group, valid)
    scored = hian(session * valid, turn * valid[:, None], mask, group, yes(5))
    assert not dropped[2].any()
    assert (dropped - scored)[valid].abs().max() > 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"session_weight": -1.0}, "session_weight=-1.0 is out of range"),
        ({"turn_weight": X}, "turn_weight=nan is out of range"),
        ({"session_weight": 0.0, "turn_weight": 0.0}, "leave no advantage"),
        ({"discount": 1.5}, "discount=1.5 is out of range"),
        ({"scope": "groop"}, "Did you mean 'group'"),
        ({"rescale": "bach"}, "rescale='bach' is unknown: expected True, False or 'batch'"),
        ({"clip": 0.0}, "clip=0.0 is out of range"),
        ({"epsilon": -1e-6}, "epsilon=-1e-06 is out of range"),
        ({"floor": -1e-8}, "floor=-1e-08 is out of range"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        hian(*rows_of(2), **options)


def test_tensors_that_do_not_fit_are_refused() -> None:
    session, turn, mask, group, valid = rows_of(3)
    holes = mask.clone()
    holes[1, 1] = False
    for wrong, message in (
        ((session, turn, holes, group, valid), "turn_mask has holes"),
        ((session, turn[:, :2], mask, group, valid), r"turn has shape \[4, 2\], turn_mask \[4, 3\]"),
        ((session[:3], turn, mask, group[:3], valid[:3]), r"expected \[3, turns\]"),
        ((session, turn.float(), mask, group, valid), r"turn has dtype torch.float32, session torch.float64"),
        ((session, turn, mask.double(), group, valid), "turn_mask has dtype"),
        ((session, turn, mask, group.double(), valid), "group has dtype"),
        ((session.long(), turn, mask, group, valid), "session has shape"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            hian(*wrong)


# Invariants, section 3.3


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_units_of_either_reward_do_not_matter(scope: str, gamma: float) -> None:
    for seed in range(10):
        R, r, mask = world(seed)
        options: dict[str, Any] = {"scope": scope, "discount": gamma, "rescale": False}
        before = ours(R, r, mask, **options)
        if gamma == 0:
            after = ours(100 * R + 7, 10 * r - 3, mask, **options)
            assert np.abs(after - before).max() < 1e-4
        else:
            assert np.abs(ours(100 * R + 7, 10 * r, mask, **options) - before).max() < 2e-4
            shifted = ours(R, r - 3, mask, **options)
            assert np.abs(shifted - before).max() > 0.1, "a constant per turn pays for the number of turns"


@pytest.mark.parametrize("scope", SCOPES)
def test_the_scale_of_the_session_reward_does_not_matter(scope: str) -> None:
    bounds = {-3: 4e-3, -2: 4e-4, -1: 4e-5, 1: 4e-6, 2: 4e-6, 3: 4e-6}
    R, r, mask = world(5)
    before = ours(R, r, mask, scope=scope, rescale=False)
    for power, bound in bounds.items():
        assert np.abs(ours(R * 10.0**power, r, mask, scope=scope, rescale=False) - before).max() < bound


def test_without_the_turns_it_is_grpo() -> None:
    for seed in range(10):
        R, r, mask = world(seed, ties=seed % 2 == 0)
        found = ours(R, r, mask, turn_weight=0.0, rescale=False)
        expected = grpo(real(R).flatten(), torch.arange(4).repeat_interleave(5)).reshape(4, 5, 1).numpy() * mask
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(ours(R, r, mask, turn_weight=0.0), found)


def test_the_result_is_bounded() -> None:
    R, r, mask = world(1)
    assert np.abs(ours(R, r, mask, clip=0.5)).max() == 0.5
    found = HorizonAdvantages(real([9.0]), real([[-1.0, -30.0]]))
    assert fuse(found, torch.ones(1, 2, dtype=torch.bool), 1.0, 1.0, False, 5.0).tolist() == [[5.0, -5.0]]
    with pytest.raises(ConfigurationError, match="leave no advantage"):
        fuse(found, torch.ones(1, 2, dtype=torch.bool), 0.0, 0.0, True, 5.0)


# Single precision


def single(session: Sequence[float], turn: Any = None, **options: Any) -> HorizonAdvantages:
    rows = len(session)
    turns = torch.zeros(rows, 1) if turn is None else torch.tensor(turn, dtype=torch.float32)
    return horizon_advantages(
        torch.tensor(session, dtype=torch.float32), turns, torch.ones(turns.shape, dtype=torch.bool),
        torch.zeros(rows).long(), yes(rows), **options,
    )  # fmt: skip


@pytest.mark.parametrize("reward", [0.1, 1 / 3, 10.0, -123.456, 1e6])
@pytest.mark.parametrize("rows", [2, 3, 7, 8])
def test_equal_rewards_in_single_precision_are_exactly_silent(reward: float, rows: int) -> None:
    for leave_one_out in (False, True):
        found = single([reward] * rows, [[reward] * 3] * rows, leave_one_out=leave_one_out)
        assert not found.session.any() and not found.turn.any()


def test_rounding_is_no_signal() -> None:
    """Rewards of 10 that differ in the last bit: over a deviation of 5e-7, they would be a third of a signal."""
    noise = [10.0, 10.0 + 1e-6, 10.0 - 1e-6, 10.0]
    assert len(set(torch.tensor(noise).tolist())) > 1
    assert not single(noise).session.any()
    assert not single([0.0] * 4, [[value] for value in noise]).turn.any()
    # In another order the same penalties add up to something else.
    terms = list(permutations([0.3, 0.7, 0.9]))
    sums = {float(turn_returns(torch.tensor([row]), torch.ones(1, 3, dtype=torch.bool), 1.0)[0, 0]) for row in terms}
    assert len(sums) > 1
    assert not single([0.0] * 6, terms, discount=1.0, scope="group_turn").turn[:, 0].any()
    # What is larger than rounding is heard.
    heard = single([10.0, 10.001, 9.999, 10.0]).session
    assert heard.abs().max() == pytest.approx(math.sqrt(2), abs=0.01)


@pytest.mark.parametrize("scope", SCOPES)
def test_single_precision_is_double_precision_but_for_rounding(scope: str) -> None:
    R, r, mask = world(8)
    group, rows = torch.arange(4).repeat_interleave(5), 20
    tensors = (real(R).reshape(rows), real(r).reshape(rows, -1), torch.from_numpy(mask).reshape(rows, -1), group)
    for leave_one_out in (False, True):
        options: dict[str, Any] = {"scope": scope, "discount": 1.0, "leave_one_out": leave_one_out}
        double = hian(*tensors, yes(rows), **options)
        found = hian(tensors[0].float(), tensors[1].float(), tensors[2], group, yes(rows), **options)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), double, rtol=0, atol=2e-5)


# Per component


def test_every_turn_term_is_normalised_on_its_own() -> None:
    session, turn, mask, group, valid = rows_of(3, rows=6)
    rare = torch.where(turn > 1, -0.01, 0.0).double()
    weights = {"rare": 2.0}
    found = hian_per_component(session, {"loud": 100 * turn, "rare": rare}, weights, mask, group, valid)
    parts = [horizon_advantages(session, term, mask, group, valid) for term in (turn, rare)]
    assert torch.equal(found.session, parts[0].session)
    expected = (parts[0].turn + 2.0 * parts[1].turn) / math.sqrt(5.0)
    torch.testing.assert_close(found.turn, expected, rtol=0, atol=1e-4)
    alone = hian_per_component(session, {"turn": turn}, {}, mask, group, valid, scope="group", discount=0.5)
    assert torch.equal(
        alone.turn, horizon_advantages(session, turn, mask, group, valid, scope="group", discount=0.5).turn
    )


def test_no_term_and_no_weight_leave_the_session() -> None:
    session, turn, mask, group, valid = rows_of(3)
    for found in (
        hian_per_component(session, {}, {}, mask, group, valid),
        hian_per_component(session, {"a": turn}, {"a": 0.0}, mask, group, valid),
    ):
        assert torch.equal(found.session, horizon_advantages(session, turn, mask, group, valid).session)
        assert found.turn.shape == mask.shape and not found.turn.any()
    with pytest.raises(ConfigurationError, match=r"weights has no key 'repetiton'.*Did you mean 'repetition'"):
        hian_per_component(session, {"repetition": turn}, {"repetiton": 2.0}, mask, group, valid)
