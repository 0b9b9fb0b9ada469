"""Dual-Track GRPO (TRUST-SQL, arXiv 2603.16448): two rewards, compared apart, on two sets of tokens.

The full track carries the session reward over every token that the policy wrote; the schema track carries the schema
reward over the tokens up to the end of the proposal. Both share the ratio, each is clipped on its own, and λ acts on
the loss: on the reward it would cancel in the normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fogline.trainers import advantages
from fogline.trainers.batch import Batch
from fogline.trainers.credit import session_advantage, spread, track_mask
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Advantage, Term
from fogline.trainers.recipes.entry import Assembly, Entry
from fogline.trainers.terms import aggregation, clipped, policy_term

SCHEMA = "schema"


def schema_reward(batch: Batch, options: RecipeOptions) -> Tensor:
    """The second reward ``[N]``; 0 where the environment has none."""
    reward = batch.session.get(options.schema_term)
    return torch.zeros_like(batch.reward) if reward is None else reward


def _dual(options: RecipeOptions) -> Assembly:
    """Section 11.2 and 11.3: each track normalised in its group, two terms."""

    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        tracks = advantages.dual_track(
            batch.reward,
            schema_reward(batch, options),
            batch.group,
            batch.valid,
            options.ddof,
            options.epsilon,
            options.advantage_clip,
        )
        valid = batch.valid[:, None]
        return {
            "policy": spread(tracks["full"], batch.policy_mask & valid),
            SCHEMA: spread(tracks["schema"], track_mask(batch, SCHEMA) & valid),
        }

    schema = Term(SCHEMA, clipped, aggregation(options), options.schema_coefficient, SCHEMA, SCHEMA)
    return advantage, (policy_term(options, clipped), schema)


def _one_track(options: RecipeOptions) -> Assembly:
    """The baselines of section 11.5: both rewards in one loss."""
    return _mixed_advantage(options), (policy_term(options, clipped),)


def _mixed_advantage(options: RecipeOptions) -> Advantage:
    def naive(batch: Batch) -> Mapping[str, Tensor]:
        mixed = session_advantage(batch.reward + schema_reward(batch, options), batch, options)
        return {"policy": spread(mixed, batch.policy_mask & batch.valid[:, None])}

    def weighted(batch: Batch) -> Mapping[str, Tensor]:
        mask = batch.policy_mask & batch.valid[:, None]
        early = track_mask(batch, SCHEMA) & mask
        full = session_advantage(batch.reward, batch, options)
        reward = schema_reward(batch, options)
        if options.mixing == "weighted":
            added = options.schema_coefficient * session_advantage(reward, batch, options)
        else:
            added = options.schema_coefficient * reward * full
        return {"policy": spread(full, mask) + spread(added, early)}

    return naive if options.mixing == "naive" else weighted


def _assemble(options: RecipeOptions) -> Assembly:
    return _dual(options) if options.mixing == "dual" else _one_track(options)


DUAL_TRACK: tuple[Entry, ...] = (
    Entry(
        "dual-track-grpo",
        "arXiv 2603.16448",
        {"advantage": "dual_track {full, schema}", "terms": "clipped_loss on policy + λ · clipped_loss on schema"},
        _assemble,
        {
            "ddof": 0,
            "epsilon": 1e-6,
            "advantage_clip": 10.0,
            "clip_low": 0.2,
            "clip_high": 0.28,
            "dual_clip": None,
            "aggregation": "seq-mean-token-mean",
            "schema_coefficient": 0.25,
            "mixing": "dual",
            "schema_term": SCHEMA,
        },
    ),
)
