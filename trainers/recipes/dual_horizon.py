"""DuCA (arXiv 2603.01481) and its neighbours: credit for the session and credit for each turn.

HIAN normalises both on their own before it adds them; GDPO normalises every reward on its own, without turns; MT-GRPO
adds a turn's own advantage to the outcome's. All share PPO's clipped surrogate, so that credit is the only difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers import hian
from fogline.trainers.batch import SESSION_REWARD, Batch
from fogline.trainers.credit import horizons, live_turns, spread
from fogline.trainers.groups import Groups
from fogline.trainers.horizon_shares import fused_share, spreads
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Statistics
from fogline.trainers.recipes.entry import Assembly, Entry
from fogline.trainers.terms import clipped, policy_term
from fogline.trainers.turn_credit import gdpo, mt_grpo

_SURROGATE: Mapping[str, Any] = {"clip_low": 0.2, "clip_high": 0.28, "dual_clip": None, "aggregation": "token-mean"}


def comparable(batch: Batch) -> Batch:
    """The batch without rows that have nothing to be compared with: failures may leave a group a single row."""
    alone = Groups.of(batch.group, batch.valid).count(batch.reward) < 2
    return replace(batch, valid=batch.valid & ~alone)


def by_turn(credit: Tensor, batch: Batch) -> Tensor:
    """Credit of turns ``[N,K]`` on the tokens that the policy wrote in them, ``[N,T]``; 0 elsewhere."""
    on_tokens = credit.gather(1, batch.turn_index.clamp(min=0))
    return torch.where(batch.policy_mask & batch.valid[:, None], on_tokens, torch.zeros_like(on_tokens))


# DuCA


def _apart(batch: Batch, options: RecipeOptions) -> hian.HorizonAdvantages:
    """Steps 1 to 3 of HIAN: both advantages, normalised apart."""
    session, turn = horizons(batch)
    settings: dict[str, Any] = {
        "discount": options.turn_discount,
        "scope": options.turn_scope,
        "leave_one_out": options.leave_one_out,
        "epsilon": options.epsilon,
        "floor": options.floor,
    }
    rows = (batch.turn_mask, batch.group, batch.valid)
    if options.per_component:
        return hian.hian_per_component(session, batch.paid, options.component_weights, *rows, **settings)
    return hian.horizon_advantages(session, turn, *rows, **settings)


def _duca(options: RecipeOptions) -> Assembly:
    hian.check_fusion(options.session_weight, options.turn_weight, options.rescale)
    if options.component_weights and not options.per_component:
        raise ConfigurationError(
            f"component_weights={options.component_weights} says nothing without per_component=True: set it, or give "
            "the environment's turn terms other weights."
        )

    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        kept = comparable(batch)
        fused = hian.fuse(
            _apart(kept, options),
            live_turns(kept),
            options.session_weight,
            options.turn_weight,
            options.rescale,
            options.advantage_clip or torch.inf,
        )
        return {"policy": by_turn(fused, kept)}

    return advantage, (policy_term(options, clipped),)


def _fused_statistics(options: RecipeOptions) -> Statistics:
    def statistics(batch: Batch) -> Mapping[str, float]:
        kept = comparable(batch)
        share = fused_share(_apart(kept, options), live_turns(kept), options.session_weight, options.turn_weight)
        return {**_spreads(kept), **share}

    return statistics


def _spreads(batch: Batch) -> Mapping[str, float]:
    """How far both rewards vary; what either has to say in the advantage is each method's own."""
    return spreads(*horizons(batch), live_turns(batch), batch.group, batch.valid)


# GDPO


def _gdpo(options: RecipeOptions) -> Assembly:
    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        kept = comparable(batch)
        live = live_turns(kept)
        sums = {name: torch.where(live, turn, torch.zeros_like(turn)).sum(1) for name, turn in kept.paid.items()}
        row = gdpo(
            {SESSION_REWARD: horizons(kept)[0], **sums},
            options.component_weights,
            kept.group,
            kept.valid,
            ddof=options.ddof,
            epsilon=options.epsilon,
        )
        return {"policy": spread(row, kept.policy_mask & kept.valid[:, None])}

    return advantage, (policy_term(options, clipped),)


# MT-GRPO


def _mt_grpo(options: RecipeOptions) -> Assembly:
    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        kept = comparable(batch)
        session, turn = horizons(kept)
        credit = mt_grpo(
            session, turn, kept.turn_mask, kept.group, kept.valid,
            coefficient=options.turn_weight, ddof=options.ddof, epsilon=options.epsilon,
        )  # fmt: skip
        return {"policy": by_turn(credit, kept)}

    return advantage, (policy_term(options, clipped),)


DUAL_HORIZON: tuple[Entry, ...] = (
    Entry(
        "duca",
        "arXiv 2603.01481",
        {"advantage": "hian: session and turn normalised apart, then added", "terms": "clipped_loss"},
        _duca,
        {
            "session_weight": 1.0,
            "turn_weight": 1.0,
            "turn_discount": 0.0,
            "turn_scope": "turn_centre_batch_scale",
            "rescale": True,
            "leave_one_out": False,
            "epsilon": 1e-6,
            "floor": 1e-8,
            "advantage_clip": 5.0,
            "per_component": False,
            "component_weights": {},
            **_SURROGATE,
        },
        statistics=_fused_statistics,
        needs_groups=2,
    ),
    Entry(
        "gdpo",
        "arXiv 2601.05242",
        {"advantage": "gdpo: every reward normalised in its group, added, whitened", "terms": "clipped_loss"},
        _gdpo,
        {"ddof": 1, "epsilon": 1e-4, "component_weights": {}, **_SURROGATE},
        statistics=lambda _: _spreads,
        needs_groups=2,
    ),
    Entry(
        "mt-grpo",
        "arXiv 2505.11821",
        {"advantage": "mt_grpo: outcome, plus the turn's own before the last turn", "terms": "clipped_loss"},
        _mt_grpo,
        {"ddof": 1, "epsilon": 1e-6, "turn_weight": 1.0, **_SURROGATE},
        statistics=lambda _: _spreads,
        needs_groups=2,
    ),
)
