"""REINFORCE, REINFORCE++, RLOO and PPO."""

from __future__ import annotations

from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.trainers import losses
from fogline.trainers.batch import Batch
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Clip
from fogline.trainers.recipes.entry import Assembly, Entry, credited
from fogline.trainers.terms import clipped, policy_gradient, policy_term

_CLIPPED = {"clip_low": 0.2, "clip_high": 0.2, "dual_clip": None}


def _reinforce(options: RecipeOptions) -> Assembly:
    return credited(options, policy_term(options, policy_gradient))


def _clipped(options: RecipeOptions) -> Assembly:
    return credited(options, policy_term(options, clipped))


def _rloo(options: RecipeOptions) -> Assembly:
    return credited(options, policy_term(options, _sequence_ratio))


def _sequence_ratio(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
    """One ratio for the whole row, the product over its tokens."""
    return losses.sequence_clipped_loss(forward.logp, batch.old_logp, advantage, mask, clip.low, clip.high)


CLASSIC: tuple[Entry, ...] = (
    Entry(
        "reinforce",
        "Williams, 1992, Machine Learning 8",
        {"advantage": "returns_to_go, whitened over the batch", "terms": "policy_gradient_loss"},
        _reinforce,
        {"advantage": "returns", "discount": 1.0, "whiten": True, "aggregation": "token-mean"},
    ),
    Entry(
        "reinforce++",
        "arXiv 2501.03262",
        {"advantage": "returns_to_go, whitened over the batch", "terms": "clipped_loss"},
        _clipped,
        {"advantage": "returns", "discount": 1.0, "whiten": True, "aggregation": "token-mean", **_CLIPPED},
    ),
    Entry(
        "rloo",
        "arXiv 2402.14740",
        {"advantage": "leave_one_out", "terms": "sequence_clipped_loss"},
        _rloo,
        {"advantage": "leave-one-out", "clip_low": 0.2, "clip_high": 0.2, "aggregation": "seq-mean-token-sum"},
    ),
    Entry(
        "ppo",
        "arXiv 1707.06347",
        {"advantage": "gae, whitened over the batch", "terms": "clipped_loss + value_loss"},
        _clipped,
        {
            "advantage": "gae",
            "discount": 0.99,
            "trace": 0.95,
            "whiten": True,
            "aggregation": "token-mean",
            "value_coefficient": 0.5,
            "value_clip": None,
            **_CLIPPED,
        },
        critic=True,
    ),
)
