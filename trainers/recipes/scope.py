"""SCOPE (2026, arXiv 2604.10688): right trajectories are imitated, wrong ones corrected, each weighed in its group.

Two terms with weights of their own rows, summed over tokens and rows and divided by the number of groups (Eq. 6); no
coefficient lies between them. With ``wrong_loss="aopd"`` wrong rows are corrected by AOPD's token loss: our
composition, published in neither paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.trainers import scope
from fogline.trainers.batch import Batch
from fogline.trainers.losses import clipped_loss
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Advantage, Clip, Loss, RowWeight, Statistics, Teaching, Term
from fogline.trainers.recipes.entry import Assembly, Entry
from fogline.trainers.recipes.on_policy_distillation import (
    IMITATION,
    SURROGATE,
    aopd_token_loss,
    read_top,
    taught_rows,
    teaching,
)
from fogline.trainers.terms import aggregation

RIGHT, WRONG = "imitation", "correction"

OWN: Mapping[str, Any] = {
    "perplexity_temperature": 1.0,
    "student_weight": "perplexity",
    "teacher_weight": "inverse-perplexity",
    "weight_norm": "sum",
    "correct_threshold": None,
    "drop_truncated": False,
    "wrong_loss": "opd",
}


def correct_rows(batch: Batch, options: RecipeOptions) -> Tensor:
    """Which rows are right, ``[N]`` bool."""
    return scope.routed(batch.reward, batch.valid, options.correct_threshold)


def counted_rows(batch: Batch, options: RecipeOptions) -> Tensor:
    """Which rows count, ``[N]`` bool."""
    return batch.valid & ~batch.truncated if options.drop_truncated else batch.valid


def row_weights(batch: Batch, options: RecipeOptions) -> Tensor:
    """Weight of each row on its path, ``[N]`` (Eq. 4 and 5)."""
    return scope.scope_weights(
        batch.old_logp,
        taught_rows(batch).logp.to(batch.old_logp.dtype),
        batch.policy_mask,
        correct_rows(batch, options),
        batch.group,
        counted_rows(batch, options),
        temperature=options.perplexity_temperature,
        student_weight=options.student_weight,
        teacher_weight=options.teacher_weight,
        weight_norm=options.weight_norm,
    )


def path_weight(options: RecipeOptions, *, right: bool) -> RowWeight:
    """Weights of one path, times rows over groups: a sum divided by the rows is then one divided by the groups."""

    def weight(batch: Batch) -> Tensor:
        correct = correct_rows(batch, options)
        groups = max(len(torch.unique(batch.group[batch.valid])), 1)
        scale = float(batch.valid.sum()) / groups
        return torch.where(correct if right else ~correct, scale * row_weights(batch, options), 0.0)

    return weight


def _imitation(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        if options.surrogate == "clipped":
            return clipped_loss(forward.logp, batch.old_logp, torch.ones_like(forward.logp), clip.low, clip.high)
        return scope.imitation_loss(forward.logp, batch.old_logp)

    return loss


def _correction(options: RecipeOptions) -> Loss:
    if options.wrong_loss == "aopd":
        return aopd_token_loss(options, credited=False)

    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        correct = correct_rows(batch, options)
        teacher = taught_rows(batch).logp.to(forward.logp.dtype)
        if options.surrogate == "clipped":
            said = torch.where(correct[:, None], 0.0, teacher - batch.old_logp)
            return clipped_loss(forward.logp, batch.old_logp, said, clip.low, clip.high)
        return scope.correction_loss(forward.logp, batch.old_logp, teacher, correct)

    return loss


def _credit(options: RecipeOptions) -> Advantage:
    """What each token is worth, for the log: 1 in right rows, what the teacher says in wrong ones."""

    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        mask = batch.policy_mask & batch.valid[:, None]
        said = taught_rows(batch).logp.to(batch.old_logp.dtype) - batch.old_logp
        worth = torch.where(correct_rows(batch, options)[:, None], 1.0, said)
        return {"policy": torch.where(mask, worth, 0.0)}

    return advantage


def _assemble(options: RecipeOptions) -> Assembly:
    terms = tuple(
        Term(name, loss, aggregation(options), 1.0, None, row_weight=path_weight(options, right=right))
        for name, loss, right in ((RIGHT, _imitation(options), True), (WRONG, _correction(options), False))
    )
    return _credit(options), terms


def _statistics(options: RecipeOptions) -> Statistics:
    """How rows were routed: share of right ones, and for each path its largest weight, effective size, perplexity."""

    def statistics(batch: Batch) -> Mapping[str, float]:
        counted, correct = counted_rows(batch, options), correct_rows(batch, options)
        weight = row_weights(batch, options)
        found = {"correct": correct[batch.valid].double().mean().item()}
        groups = len(torch.unique(batch.group[counted]))
        for name, path, logp in (
            (RIGHT, counted & correct, batch.old_logp),
            (WRONG, counted & ~correct, taught_rows(batch).logp),
        ):
            found[f"{name}_groups_without"] = float(groups - len(torch.unique(batch.group[path])))
            if path.any():
                of_path = weight[path].double()
                found[f"{name}_weight_largest"] = of_path.max().item()
                found[f"{name}_effective"] = (of_path.sum() ** 2 / (of_path**2).sum()).item()
                found[f"{name}_log_perplexity"] = (
                    scope.log_perplexity(logp[path], batch.policy_mask[path]).mean().item()
                )
        return found

    return statistics


SCOPE: tuple[Entry, ...] = (
    Entry(
        "scope",
        "arXiv 2604.10688",
        {
            "advantage": "none",
            "row_weight": "scope_weights",
            "terms": "imitation_loss (right rows) + correction_loss (wrong rows), or aopd_loss by wrong_loss",
            "teacher": "sampled tokens, or top K with wrong_loss='aopd'",
        },
        _assemble,
        {**SURROGATE, "aggregation": "seq-mean-token-sum", **OWN, **IMITATION, "gate_threshold": 0.0},
        needs_groups=1,
        statistics=_statistics,
        extend=teaching(
            lambda options: Teaching(top_k=options.top_k if options.wrong_loss == "aopd" else 0),
            lambda options: read_top if options.wrong_loss == "aopd" else None,
        ),
    ),
)
