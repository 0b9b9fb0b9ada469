"""How much of an advantage comes from the turns and how much from the session: what a log says of two horizons."""

from __future__ import annotations

import torch
from torch import Tensor

from fogline.trainers.groups import Groups
from fogline.trainers.hian import HorizonAdvantages

SILENT = 1e-8
"""Deviations up to here are no signal."""


@torch.no_grad()
def fused_share(found: HorizonAdvantages, live: Tensor, session_weight: float, turn_weight: float) -> dict[str, float]:
    """``turn_share`` of a fused advantage: Var(w_t A^T) / (Var(w_s A^S) + Var(w_t A^T)) over the turns of a batch.

    Also ``horizon_correlation``, of A^S and A^T over the same turns; each is left out where it cannot be said.
    """
    session, turn = (part[live].double() for part in (found.session[:, None].expand_as(found.turn), found.turn))
    if len(turn) < 2:
        return {}
    of_session = session_weight**2 * float(session.var(correction=0))
    of_turn = turn_weight**2 * float(turn.var(correction=0))
    share = {"turn_share": of_turn / (of_session + of_turn)} if of_session + of_turn > 0 else {}
    return share | _correlation(session, turn)


@torch.no_grad()
def summed_share(session: Tensor, turn: Tensor, live: Tensor, group: Tensor, valid: Tensor) -> dict[str, float]:
    """What a sum of both rewards leaves to the turns, once it is normalised in groups; U = Σ_k r_k is a row's.

    Args:
        session: ``[N]``.
        turn: ``[N,K]``.
        live: ``[N,K]`` bool.
        group: ``[N]``.
        valid: ``[N]`` bool.

    Returns:
        ``turn_share``, the mean over groups with a signal of σ_U² / (σ_R² + σ_U²): what is left of the turns in the
        advantage, whose every group has unit variance; ``horizon_correlation`` of R and U, centred in their groups,
        over rows; and what :func:`spreads` says. Each is left out where it cannot be said.
    """
    groups, weight, (reward, summed) = _comparable(session, turn, live, group, valid)
    power_session, power_turn = (groups.deviation(part, 0) ** 2 for part in (reward, summed))
    heard = (weight > 0) & (power_session + power_turn > SILENT**2)
    share = {}
    if heard.any():
        of_turn = (power_turn / (power_session + power_turn))[heard]
        share = {"turn_share": float((weight[heard] * of_turn).sum() / weight[heard].sum())}
    related = _correlation(*(groups.centred(part)[weight > 0] for part in (reward, summed)))
    return spreads(session, turn, live, group, valid) | share | related


@torch.no_grad()
def spreads(session: Tensor, turn: Tensor, live: Tensor, group: Tensor, valid: Tensor) -> dict[str, float]:
    """How far R and U vary within groups of two rows or more; the arguments are those of :func:`summed_share`.

    Returns:
        ``sigma_session`` and ``sigma_turn``, mean deviations of R and of U; ``turn_share_of_sum`` = mean σ_U² / (mean
        σ_R² + mean σ_U²), the specification's table; ``silent_groups``, the share of groups whose sessions all earned
        the same. Each is left out where it cannot be said.
    """
    groups, weight, parts = _comparable(session, turn, live, group, valid)
    if not (weight > 0).any():
        return {}
    weight = weight / weight.sum()
    of_session, of_turn = (groups.deviation(part, 0) for part in parts)
    logged = {
        "sigma_session": float(weight @ of_session),
        "sigma_turn": float(weight @ of_turn),
        "silent_groups": float(weight @ (of_session <= SILENT).double()),
    }
    power_session, power_turn = float(weight @ of_session**2), float(weight @ of_turn**2)
    if power_session + power_turn > SILENT**2:
        logged["turn_share_of_sum"] = power_turn / (power_session + power_turn)
    return logged


def _comparable(
    session: Tensor, turn: Tensor, live: Tensor, group: Tensor, valid: Tensor
) -> tuple[Groups, Tensor, tuple[Tensor, Tensor]]:
    """Groups, weights of rows that give every group of two or more a weight of 1, and R and U in double precision."""
    reward = session.double()
    summed = torch.where(live, turn.double(), 0.0).sum(1)
    groups = Groups.of(group, valid)
    count = groups.count(reward)
    weight = torch.where(valid & (count >= 2), 1 / count.clamp(min=1), 0.0)
    return groups, weight, (reward, summed)


def _correlation(one: Tensor, other: Tensor) -> dict[str, float]:
    """Of two vectors; nothing where one of them does not vary."""
    if not len(one):
        return {}
    one, other = one - one.mean(), other - other.mean()
    if min(float(one.abs().max()), float(other.abs().max())) <= SILENT:
        return {}
    return {"horizon_correlation": float(one @ other) / float(one.norm() * other.norm())}
