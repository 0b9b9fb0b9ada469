"""HIAN, the credit of DuCA (arXiv 2603.01481): what a session earned, and what each of its turns did.

The two are normalised apart and then added, so that neither swamps the other. Rows are sessions ``[N]`` in ragged
groups; turns are ``[N,K]``, the played ones leading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, DataError, check_choice, check_keys
from fogline.trainers.groups import Groups
from fogline.trainers.shapes import check_at_least, check_mask, check_positive, check_rows, check_unit

Scope = Literal["group_turn", "group", "batch", "turn_centre_batch_scale"]
SCOPES: tuple[Scope, ...] = ("group_turn", "group", "batch", "turn_centre_batch_scale")
"""Who is compared with whom: the same turn of a group; all turns of a group; all turns of the batch; or (the default)
the mean of the same turn of a group, and one deviation over the batch."""

WHITENING_EPSILON = 1e-4
"""Added to the deviation where a batch is whitened after the sum, as GDPO does."""


class HorizonAdvantages(NamedTuple):
    """The two advantages before they are added up.

    Attributes:
        session: ``[N]``, of unit variance within each group that has a signal.
        turn: ``[N,K]``, 0 for turns that were not played.
    """

    session: Tensor
    turn: Tensor


@torch.no_grad()
def hian(
    session: Tensor,
    turn: Tensor,
    turn_mask: Tensor,
    group: Tensor,
    valid: Tensor,
    *,
    session_weight: float = 1.0,
    turn_weight: float = 1.0,
    discount: float = 0.0,
    scope: Scope = "turn_centre_batch_scale",
    rescale: bool | Literal["batch"] = True,
    leave_one_out: bool = False,
    epsilon: float = 1e-6,
    floor: float = 1e-8,
    clip: float = 5.0,
) -> Tensor:
    """Session and turn advantages, normalised apart and then added: (w_s A^S + w_t A^T) / c, ``[N,K]``.

    The structure is the paper's (arXiv 2603.01481, abstract); scopes, divisor and clip are this project's decisions.
    With ``discount=0`` a turn answers for itself only, and the turns say nothing about how long a session should be:
    that is the session's horizon alone.

    Args:
        session: Rewards of whole sessions, ``[N]``.
        turn: Rewards of turns, ``[N,K]``; what lies off the mask is not read.
        turn_mask: ``[N,K]`` bool, True for turns that were played: the first ones of a row.
        group: ``[N]`` integer ids.
        valid: ``[N]`` bool; False drops a row from every statistic, as if it had not been played.
        session_weight: w_s.
        turn_weight: w_t.
        discount: γ_T of turn returns, in ``[0, 1]``.
        scope: One of :data:`SCOPES`, for the turns.
        rescale: True divides by √(w_s² + w_t²), which keeps GRPO's scale; False leaves the plain sum; ``"batch"``
            whitens the sum over all turns of the batch.
        leave_one_out: Compare each value with the mean of the others, not with a mean that it is part of. A turn that
            nobody else of its group played is compared with the same turn of all other sessions.
        epsilon: Added to deviations.
        floor: Deviations up to here are no signal: the advantage is 0. So is what rounding alone can make.
        clip: The result is bounded to ``[-clip, clip]``.

    Raises:
        ConfigurationError: For a number out of range, an unknown choice, shapes that differ, or a group with a single
            valid row.
        DataError: For a valid row without turns, or a reward in it that is not finite.
    """
    check_fusion(session_weight, turn_weight, rescale, clip)
    found = horizon_advantages(
        session, turn, turn_mask, group, valid,
        discount=discount, scope=scope, leave_one_out=leave_one_out, epsilon=epsilon, floor=floor,
    )  # fmt: skip
    return fuse(found, turn_mask & valid[:, None], session_weight, turn_weight, rescale, clip)


@torch.no_grad()
def horizon_advantages(
    session: Tensor,
    turn: Tensor,
    turn_mask: Tensor,
    group: Tensor,
    valid: Tensor,
    *,
    discount: float = 0.0,
    scope: Scope = "turn_centre_batch_scale",
    leave_one_out: bool = False,
    epsilon: float = 1e-6,
    floor: float = 1e-8,
) -> HorizonAdvantages:
    """The two advantages of :func:`hian`, which has the arguments and errors, before they are added up."""
    check_unit("discount", discount)
    check_choice("scope", scope, SCOPES)
    check_at_least("epsilon", epsilon, 0)
    check_at_least("floor", floor, 0)
    check_sessions(session, turn, turn_mask, group, valid)
    live = turn_mask & valid[:, None]
    returns = turn_returns(turn, live, discount)
    return HorizonAdvantages(
        _session_advantage(session, group, valid, leave_one_out, epsilon, floor),
        _turn_advantage(returns, live, group, scope, leave_one_out, epsilon, floor),
    )


def fuse(
    found: HorizonAdvantages,
    live: Tensor,
    session_weight: float,
    turn_weight: float,
    rescale: bool | Literal["batch"],
    clip: float,
) -> Tensor:
    """Add the two horizons up, ``[N,K]``; see :func:`hian`. ``live``: ``[N,K]`` bool, the turns that count."""
    check_fusion(session_weight, turn_weight, rescale, clip)
    total = session_weight * found.session[:, None] + turn_weight * found.turn
    if rescale == "batch":
        everything = _pool(live)
        flat = total.flatten()
        total = (everything.centred(flat) / (everything.deviation(flat, 0) + WHITENING_EPSILON)).view_as(total)
    elif rescale:
        total = total / math.hypot(session_weight, turn_weight)
    return torch.where(live, total.clamp(-clip, clip), torch.zeros_like(total))


def turn_returns(turn: Tensor, live: Tensor, discount: float) -> Tensor:
    """g_k = Σ_{l≥k} γ^(l-k) r_l, ``[N,K]``; 0 off ``live``. Returns are centred later, never centred rewards summed.

    Summing rewards that are centred already would pay for the number of turns (verl issue 7244).
    """
    reward = torch.where(live, turn, torch.zeros_like(turn))
    if discount == 0:
        return reward
    returns, following = torch.zeros_like(reward), torch.zeros_like(reward[:, 0])
    for index in range(reward.shape[1] - 1, -1, -1):
        following = reward[:, index] + discount * following
        returns[:, index] = following
    return returns


@torch.no_grad()
def hian_per_component(
    session: Tensor,
    turns: Mapping[str, Tensor],
    weights: Mapping[str, float],
    turn_mask: Tensor,
    group: Tensor,
    valid: Tensor,
    *,
    discount: float = 0.0,
    scope: Scope = "turn_centre_batch_scale",
    leave_one_out: bool = False,
    epsilon: float = 1e-6,
    floor: float = 1e-8,
) -> HorizonAdvantages:
    """As :func:`horizon_advantages`, each turn term normalised on its own: Σ w_c A^T_c / √(Σ w_c²), "HIAN-GDPO".

    Args:
        session: ``[N]``.
        turns: Terms by name, each ``[N,K]``.
        weights: Of the terms; one that is missing weighs 1.
        turn_mask: ``[N,K]`` bool.
        group: ``[N]``.
        valid: ``[N]`` bool.
        discount: As in :func:`hian`.
        scope: As in :func:`hian`.
        leave_one_out: As in :func:`hian`.
        epsilon: As in :func:`hian`.
        floor: As in :func:`hian`.

    Raises:
        ConfigurationError: For a weight of a term that is not there, and as :func:`hian`.
        DataError: As :func:`hian`.
    """
    check_keys("weights", weights, turns)
    total, squares = torch.zeros(turn_mask.shape, dtype=session.dtype, device=session.device), 0.0
    found = HorizonAdvantages(session, total)
    for name, turn in (turns or {"": total}).items():
        found = horizon_advantages(
            session, turn, turn_mask, group, valid,
            discount=discount, scope=scope, leave_one_out=leave_one_out, epsilon=epsilon, floor=floor,
        )  # fmt: skip
        weight = weights.get(name, 1.0)
        total, squares = total + weight * found.turn, squares + weight * weight
    return HorizonAdvantages(found.session, total / math.sqrt(squares) if squares > 0 else total)


# Parts


def _session_advantage(
    session: Tensor, group: Tensor, valid: Tensor, leave_one_out: bool, epsilon: float, floor: float
) -> Tensor:
    groups = Groups.of(group, valid)
    centred = groups.centred(session)
    if leave_one_out:
        centred = centred * _enlarged(groups.count(session))
    return _divided(centred, groups.deviation(session, 0), groups.largest(session.abs()), epsilon, floor)


def _turn_advantage(
    returns: Tensor, live: Tensor, group: Tensor, scope: Scope, leave_one_out: bool, epsilon: float, floor: float
) -> Tensor:
    centred = turn_centred(returns, live, group, scope, leave_one_out).flatten()
    flat, pool = returns.flatten(), _pool(live)
    deviation = pool.mean(centred.square()).sqrt()
    if scope != "turn_centre_batch_scale":
        # A cell of one has no deviation of its own; with leave_one_out it has a value, which the batch's divides.
        pool = _turn_pool(live, group, scope)
        deviation = torch.where(pool.count(flat) >= 2, pool.deviation(flat, 0), deviation)
    return _divided(centred, deviation, pool.largest(flat.abs()), epsilon, floor).view_as(returns)


def turn_centred(returns: Tensor, live: Tensor, group: Tensor, scope: Scope, leave_one_out: bool = False) -> Tensor:
    """Turn returns minus those that they are compared with, ``[N,K]``; 0 off ``live``.

    Args:
        returns: ``[N,K]``, of :func:`turn_returns`.
        live: ``[N,K]`` bool, the turns that count.
        group: ``[N]`` integer ids.
        scope: As in :func:`hian`.
        leave_one_out: As in :func:`hian`. The plain mean of n values holds each of them: it takes 1/n of the signal.
    """
    flat, pool = returns.flatten(), _turn_pool(live, group, scope)
    centred = pool.centred(flat)
    if leave_one_out:
        count = pool.count(flat)
        centred = centred * _enlarged(count)
        if scope in ("group_turn", "turn_centre_batch_scale"):
            # Where nobody else of the group played this turn: the same turn of all other sessions, if there is one.
            same_turn = turn_cells(live, torch.zeros_like(group))
            sessions = same_turn.count(flat)
            elsewhere = torch.where(sessions >= 2, same_turn.centred(flat) * _enlarged(sessions), flat)
            centred = torch.where((count == 1) & live.flatten(), elsewhere, centred)
    return centred.view_as(returns)


def turn_cells(live: Tensor, group: Tensor) -> Groups:
    """Turns ``[N·K]`` by group and turn index; ``live``: ``[N,K]`` bool."""
    turns = live.shape[1]
    _, index = torch.unique(group, return_inverse=True)
    return Groups.of((index[:, None] * turns + torch.arange(turns, device=live.device)).flatten(), live.flatten())


def _turn_pool(live: Tensor, group: Tensor, scope: Scope) -> Groups:
    """Turns ``[N·K]`` by who is compared with whom."""
    if scope == "batch":
        return _pool(live)
    if scope == "group":
        return Groups.of(group[:, None].expand_as(live).flatten(), live.flatten())
    return turn_cells(live, group)


def _pool(live: Tensor) -> Groups:
    return Groups(torch.zeros(live.numel(), dtype=torch.int64, device=live.device), live.flatten(), 1)


def _enlarged(count: Tensor) -> Tensor:
    return count / (count - 1).clamp(min=1)


def _divided(centred: Tensor, deviation: Tensor, largest: Tensor, epsilon: float, floor: float) -> Tensor:
    """Centred values over their deviation; 0 where that is no more than ``floor``, or than the rounding of values."""
    rounding = 4 * torch.finfo(centred.dtype).eps * largest
    return torch.where(
        deviation > rounding.clamp(min=floor), centred / (deviation + epsilon), torch.zeros_like(centred)
    )


def check_fusion(
    session_weight: float, turn_weight: float, rescale: bool | Literal["batch"], clip: float = math.inf
) -> None:
    """Refuse settings of :func:`fuse` that are out of range, or that leave nothing."""
    if rescale not in (True, False, "batch"):
        raise ConfigurationError(f"rescale={rescale!r} is unknown: expected True, False or 'batch'.")
    check_at_least("session_weight", session_weight, 0)
    check_at_least("turn_weight", turn_weight, 0)
    check_positive("clip", clip)
    if session_weight == 0 and turn_weight == 0:
        raise ConfigurationError("session_weight=0 and turn_weight=0 leave no advantage: expected one above 0.")


def check_sessions(session: Tensor, turn: Tensor, turn_mask: Tensor, group: Tensor, valid: Tensor) -> None:
    """Refuse sessions that cannot be compared; see :func:`hian`."""
    check_rows(session, group, valid, "session")
    check_mask(turn_mask=turn_mask)
    if turn.shape != turn_mask.shape or turn.dim() != 2 or len(turn) != len(session):
        raise ConfigurationError(
            f"turn has shape {list(turn.shape)}, turn_mask {list(turn_mask.shape)}: expected [{len(session)}, turns]."
        )
    if turn.dtype != session.dtype:
        raise ConfigurationError(f"turn has dtype {turn.dtype}, session {session.dtype}: expected one float dtype.")
    if (turn_mask[:, 1:] & ~turn_mask[:, :-1]).any():
        raise ConfigurationError("turn_mask has holes: expected the turns that were played to lead each row.")
    empty = (valid & ~turn_mask.any(1)).nonzero().flatten().tolist()
    if empty:
        raise DataError(f"rows {empty} have no turn: expected at least one, or valid=False to leave them out.")
    broken = ((turn_mask & ~turn.isfinite()).any(1) & valid).nonzero().flatten().tolist()
    if broken:
        raise DataError(
            f"turn rewards are not finite in rows {broken}: repair what computes them, or set valid=False for them."
        )
    alone = (valid & (Groups.of(group, valid).count(session) == 1)).nonzero().flatten().tolist()
    if alone:
        raise ConfigurationError(
            f"rows {alone} are the only valid ones of their groups: expected two or more to compare; raise group_size, "
            "or set valid=False for them."
        )
