"""The family of GRPO, DGPO included: one credit, compared within a group, and many losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.trainers import losses
from fogline.trainers.batch import Batch
from fogline.trainers.options import RecipeOptions, TokenLoss
from fogline.trainers.recipe import Clip, Loss
from fogline.trainers.recipes.entry import Assembly, Entry, credited
from fogline.trainers.terms import clipped, policy_term

GROUP: Mapping[str, Any] = {
    "advantage": "group",
    "scale": "group",
    "ddof": 1,
    "epsilon": 1e-6,
    "advantage_clip": None,
    "clip_low": 0.2,
    "clip_high": 0.2,
}


def _with(make_loss: Callable[[RecipeOptions], Loss]) -> Callable[[RecipeOptions], Assembly]:
    return lambda options: credited(options, policy_term(options, make_loss(options)))


def _gspo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.gspo_loss(forward.logp, batch.old_logp, advantage, mask, clip.low, clip.high)

    return loss


def _cispo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.cispo_loss(
            forward.logp, batch.old_logp, advantage, clip.low, clip.high, variant=options.cispo_variant
        )

    return loss


def _gppo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.gppo_loss(forward.logp, batch.old_logp, advantage, clip.low, clip.high)

    return loss


def _ce_gppo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.ce_gppo_loss(
            forward.logp, batch.old_logp, advantage, clip.low, clip.high, options.left_weight, options.right_weight
        )

    return loss


def _aspo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.aspo_loss(
            forward.logp, batch.old_logp, advantage, clip.low, clip.high, options.cap_positive, options.cap_negative
        )

    return loss


def _sapo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.sapo_loss(
            forward.logp, batch.old_logp, advantage, options.temperature_positive, options.temperature_negative
        )

    return loss


def _gmpo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.gmpo_loss(forward.logp, batch.old_logp, advantage, mask, clip.low, clip.high)

    return loss


def _dgpo(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return losses.dgpo_loss(
            forward.logp, batch.old_logp, advantage, clip.low, clip.high, options.left_power, options.right_root
        )

    return loss


TOKEN_LOSSES: Mapping[TokenLoss, Callable[[RecipeOptions], Loss]] = {
    "clipped": lambda _: clipped,
    "gspo": _gspo,
    "cispo": _cispo,
    "gppo": _gppo,
    "ce-gppo": _ce_gppo,
    "aspo": _aspo,
    "sapo": _sapo,
    "gmpo": _gmpo,
    "dgpo": _dgpo,
}
"""Every loss that one advantage can drive, by the value of the option ``loss``."""

LOSS_SETTINGS: Mapping[str, Any] = {
    "cispo_variant": "verl",
    "left_weight": 0.75,
    "right_weight": 1.0,
    "cap_positive": 3.0,
    "cap_negative": 3.0,
    "temperature_positive": 1.0,
    "temperature_negative": 1.05,
    "left_power": 1,
    "right_root": 2,
}
"""What these losses read beside the band, with the defaults of their papers."""


def _entry(name: str, paper: str, term: str, loss: TokenLoss, **own: Any) -> Entry:
    credit = "group mean taken off" if own.get("scale") == "none" else "group_normalise"
    return Entry(name, paper, {"advantage": credit, "terms": term}, _with(TOKEN_LOSSES[loss]), {**GROUP, **own})


GROUP_RELATIVE: tuple[Entry, ...] = (
    _entry(
        "grpo", "arXiv 2402.03300", "clipped_loss", "clipped",
        aggregation="seq-mean-token-mean", dual_clip=None,
    ),
    _entry(
        "dr-grpo", "arXiv 2503.20783", "clipped_loss", "clipped",
        scale="none", aggregation="seq-mean-token-sum-norm", dual_clip=None,
    ),
    _entry(
        "dapo", "arXiv 2503.14476", "clipped_loss, clip-higher", "clipped",
        clip_high=0.28, aggregation="token-mean", dual_clip=None, dynamic_sampling=True,
    ),
    _entry(
        "gspo", "arXiv 2507.18071", "gspo_loss", "gspo",
        clip_low=3e-4, clip_high=4e-4, aggregation="seq-mean-token-mean",
    ),
    _entry(
        "cispo", "arXiv 2506.13585", "cispo_loss", "cispo", cispo_variant="verl", aggregation="token-mean"
    ),
    _entry("gppo", "arXiv 2508.07629", "gppo_loss", "gppo", aggregation="token-mean"),
    _entry(
        "ce-gppo", "arXiv 2509.20712", "ce_gppo_loss", "ce-gppo",
        left_weight=0.75, right_weight=1.0, aggregation="token-mean",
    ),
    _entry(
        "aspo", "arXiv 2510.06062", "aspo_loss", "aspo",
        cap_positive=3.0, cap_negative=3.0, aggregation="token-mean",
    ),
    _entry(
        "sapo", "arXiv 2511.20347", "sapo_loss", "sapo",
        temperature_positive=1.0, temperature_negative=1.05, aggregation="seq-mean-token-mean",
    ),
    _entry(
        "gmpo", "arXiv 2507.20673", "gmpo_loss", "gmpo",
        clip_low=0.4, clip_high=0.4, aggregation="seq-mean-token-mean",
    ),
    _entry(
        "dgpo", "arXiv 2603.14389", "dgpo_loss", "dgpo", left_power=1, right_root=2, aggregation="token-mean"
    ),
)  # fmt: skip
