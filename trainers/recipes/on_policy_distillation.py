"""On-policy distillation and its field: a teacher reads what the student wrote, and every token has its say.

The distilled advantage is a credit like any other, so that a task's own reward can be added to it; divergences over
the top K or the whole vocabulary are losses that read the teacher's rows. SCOPE is in
:mod:`fogline.trainers.recipes.scope`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fogline.agents.policies.forward import Forward, Reading
from fogline.trainers import distillation
from fogline.trainers.batch import Batch
from fogline.trainers.credit import session_advantage, spread
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Advantage, Clip, Loss, Modulate, Recipe, Statistics, Teaching, Term
from fogline.trainers.recipes.entry import Assembly, Entry
from fogline.trainers.recipes.group_relative import GROUP
from fogline.trainers.rows import TeacherRows
from fogline.trainers.scope import routed
from fogline.trainers.terms import aggregation, clipped, policy_term

SURROGATE: Mapping[str, Any] = {"surrogate": "ratio", "clip_low": 0.2, "clip_high": 0.2}
SAMPLED: Mapping[str, Any] = {
    **GROUP,
    **SURROGATE,
    "aggregation": "seq-mean-token-mean",
    "distillation_coefficient": 1.0,
    "distillation_discount": 0.0,
    "length_normalised": False,
    "task_weight": 0.0,
}
"""What every method reads whose credit is what the teacher says of sampled tokens."""
IMITATION: Mapping[str, Any] = {
    "top_k": 16,
    "imitation_coefficient": 1.0,
    "imitation_reduction": "mean_k",
    "tail": "none",
}
_WHOLE: Mapping[str, Any] = {
    "clip_low": 0.2,
    "clip_high": 0.2,
    "aggregation": "token-mean",
    "distillation_coefficient": 1.0,
}


def taught_rows(batch: Batch) -> TeacherRows:
    """The teacher's rows of a batch."""
    assert batch.teacher is not None, "the learner gives a recipe the teacher that it needs"
    return batch.teacher


def surrogate_of(options: RecipeOptions) -> Loss:
    """The policy gradient of an advantage, by the option ``surrogate``."""
    if options.surrogate == "clipped":
        return clipped

    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return distillation.surrogate(forward.logp, advantage, batch.old_logp)

    return loss


def distilled(options: RecipeOptions, reward: Callable[[Batch, TeacherRows], Tensor] | None = None) -> Advantage:
    """What the teacher says of each token, discounted, plus the task's own advantage.

    Args:
        options: Of the method.
        reward: Of a token; by default the estimate that ``distillation_estimator`` names.
    """

    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        mask = batch.policy_mask & batch.valid[:, None]
        rows = taught_rows(batch)
        if reward is None:
            said = distillation.distilled_advantage(batch.old_logp, rows.logp, options.distillation_estimator)
        else:
            said = reward(batch, rows)
        if options.distillation_discount > 0:
            said = distillation.discounted(
                said, mask, options.distillation_discount, normalise=options.length_normalised
            )
        found = torch.where(mask, options.distillation_coefficient * said, 0.0)
        if options.task_weight > 0:
            found = found + options.task_weight * spread(session_advantage(batch.reward, batch, options), mask)
        return {"policy": found}

    return advantage


Divergence = Callable[[Tensor, Tensor], Tensor]
"""Of two distributions ``[M,V]``, ``[M]``."""


def teaching(
    asked: Callable[[RecipeOptions], Teaching],
    read: Callable[[RecipeOptions], Callable[[Batch], Reading] | None] = lambda options: None,
) -> Callable[[Recipe, RecipeOptions], Recipe]:
    """A method that asks this of its teacher, and reads that of the whole vocabulary."""
    return lambda recipe, options: replace(
        recipe,
        read=read(options),
        teaching=asked(options),
        needs=recipe.needs | {"teacher"},
        needs_groups=max(recipe.needs_groups, 2 if options.task_weight > 0 else 1),
    )


def _sampled(options: RecipeOptions) -> Teaching:
    return Teaching()


def _top(options: RecipeOptions) -> Teaching:
    return Teaching(top_k=options.top_k)


def _whole(options: RecipeOptions) -> Teaching:
    return Teaching(whole=True)


def read_top(batch: Batch) -> Reading:
    """The student's log-probabilities of the teacher's top K."""
    ids = taught_rows(batch).top_ids
    assert ids is not None, "the learner asks the teacher for what a recipe reads"
    return Reading(lambda logp, top: logp.gather(-1, top), ids)


def read_divergence(divergence: Divergence) -> Callable[[Batch], Reading]:
    """A divergence of student and teacher at every place, in chunks: ``[N,T,V]`` never exists."""

    def read(batch: Batch) -> Reading:
        rows = taught_rows(batch)
        distribution = rows.distribution
        assert rows.states is not None and distribution is not None, "the learner asks for what a recipe reads"
        return Reading(
            lambda logp, states: divergence(logp, distribution(states).detach().to(logp.dtype))[:, None], rows.states
        )

    return read


def what_was_read(forward: Forward) -> Tensor:
    """``[N,T,k]``."""
    assert forward.read is not None, "the learner reads what a recipe asks for"
    return forward.read


def divergence_loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
    """The divergence that was read."""
    return what_was_read(forward)[..., 0]


# OPD


def _policy_gradient(options: RecipeOptions) -> Assembly:
    return distilled(options), (policy_term(options, surrogate_of(options)),)


def _opd(options: RecipeOptions) -> Assembly:
    if options.distillation_gradient == "policy":
        return _policy_gradient(options)
    distillation.check_direct(options.distillation_estimator)

    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return distillation.direct_loss(forward.logp, taught_rows(batch).logp, options.distillation_estimator)

    term = Term("distillation", loss, aggregation(options), options.distillation_coefficient, None)
    return distilled(options), (term,)


def _iw_opd(options: RecipeOptions) -> Assembly:
    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        found = distilled(options)(batch)["policy"]
        mask = batch.policy_mask & batch.valid[:, None]
        return {"policy": found * distillation.prefix_weight(found, mask, options.prefix_strength)}

    return advantage, (policy_term(options, surrogate_of(options)),)


def _g_opd(options: RecipeOptions) -> Assembly:
    def reward(batch: Batch, rows: TeacherRows) -> Tensor:
        assert batch.reference_logp is not None, "the learner gives a recipe the reference that it needs"
        return distillation.extrapolated_advantage(
            batch.old_logp, rows.logp, batch.reference_logp, options.extrapolation
        )

    term = policy_term(options, surrogate_of(options), needs=frozenset({"reference"}))
    return distilled(options, reward), (term,)


def with_value_baseline(recipe: Recipe, options: RecipeOptions) -> Recipe:
    """OPD with the baseline -KL(p ‖ q) of each place, which depends on no sample: a_t = A_t + KL(p ‖ q) (vOPD)."""

    def modulate(advantage: Tensor, forward: Forward, batch: Batch, clip: Clip) -> Tensor:
        mask = batch.policy_mask & batch.valid[:, None]
        baseline = what_was_read(forward)[..., 0].detach()
        return torch.where(mask, advantage + options.distillation_coefficient * baseline, 0.0)

    modulated: Modulate = modulate
    taught = teaching(_whole, lambda options: read_divergence(distillation.reverse_kl))(recipe, options)
    return replace(taught, modulate=modulated)


# AOPD and EOPD


def aopd_token_loss(options: RecipeOptions, *, credited: bool = True) -> Loss:
    """AOPD's loss of a token; its policy gradient takes the term's advantage, or what the teacher says alone."""
    clip_of = (options.clip_low, options.clip_high) if options.surrogate == "clipped" else None

    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        rows = taught_rows(batch)
        assert rows.top_logp is not None, "the learner asks the teacher for what a recipe reads"
        return distillation.aopd_loss(
            forward.logp,
            rows.logp,
            what_was_read(forward),
            rows.top_logp,
            batch.old_logp,
            advantage if credited else None,
            threshold=options.gate_threshold,
            reduction=options.imitation_reduction,
            tail=options.tail,
            coefficient=options.imitation_coefficient,
            clip=clip_of,
        )

    return loss


def _aopd(options: RecipeOptions) -> Assembly:
    return distilled(options), (policy_term(options, aopd_token_loss(options)),)


def gate_statistics(options: RecipeOptions) -> Statistics:
    """How the gate divides a batch: its share, the mean advantage on the other side, the teacher's coverage."""

    def statistics(batch: Batch) -> Mapping[str, float]:
        rows = taught_rows(batch)
        mask = batch.policy_mask & batch.valid[:, None]
        gate = distillation.aopd_gate(rows.logp, batch.old_logp, options.gate_threshold) & mask
        found = {"imitated": gate.sum().item() / max(mask.sum().item(), 1)}
        rewarded = mask & ~gate
        if rewarded.any():
            found["advantage_rewarded"] = (rows.logp - batch.old_logp)[rewarded].mean().item()
        if rows.top_logp is not None and mask.any():
            found["teacher_coverage"] = rows.top_logp[mask].exp().sum(-1).mean().item()
        return found

    return statistics


def _eopd(options: RecipeOptions) -> Assembly:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        rows = taught_rows(batch)
        assert rows.entropy is not None and rows.top_logp is not None, "the learner asks for what a recipe reads"
        student = what_was_read(forward)
        return distillation.entropy_gated_loss(student, rows.top_logp, rows.entropy, options.entropy_threshold)

    imitation = Term("imitation", loss, aggregation(options), options.imitation_coefficient, None)
    return distilled(options), (policy_term(options, surrogate_of(options)), imitation)


# Divergences beside or instead of a policy gradient


def _read_gkd(options: RecipeOptions) -> Callable[[Batch], Reading]:
    return read_divergence(lambda p, q: distillation.generalised_jsd(p, q, options.jsd_weight))


def _read_skew(options: RecipeOptions) -> Callable[[Batch], Reading]:
    return read_divergence(lambda p, q: distillation.skew_kl(p, q, options.skew, options.skew_direction))


def _read_reverse(options: RecipeOptions) -> Callable[[Batch], Reading] | None:
    return read_divergence(distillation.reverse_kl) if options.single_step else None


def _read_top(options: RecipeOptions) -> Callable[[Batch], Reading]:
    return read_top


def _gkd(options: RecipeOptions) -> Assembly:
    term = Term("distillation", divergence_loss, aggregation(options), options.distillation_coefficient, None)
    return distilled(options), (term,)


def _skew_kl(options: RecipeOptions) -> Assembly:
    term = Term("distillation", divergence_loss, aggregation(options), options.distillation_coefficient, None)
    return distilled(options), (term,)


def _minillm(options: RecipeOptions) -> Assembly:
    terms = [policy_term(options, surrogate_of(options))]
    if options.single_step:
        terms.append(Term("single_step", divergence_loss, aggregation(options), options.distillation_coefficient, None))
    return distilled(options), tuple(terms)


def _kdrl(options: RecipeOptions) -> Assembly:
    distillation.check_direct(options.distillation_estimator)

    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        return distillation.direct_loss(forward.logp, taught_rows(batch).logp, options.distillation_estimator)

    def advantage(batch: Batch) -> Mapping[str, Tensor]:
        mask = batch.policy_mask & batch.valid[:, None]
        return {"policy": spread(session_advantage(batch.reward, batch, options), mask)}

    def wrong_only(batch: Batch) -> Tensor:
        return (~routed(batch.reward, batch.valid, options.correct_threshold)).to(batch.reward.dtype)

    term = Term(
        "distillation",
        loss,
        aggregation(options),
        options.distillation_coefficient,
        None,
        row_weight=wrong_only if options.skip_correct else None,
        final_coefficient=options.final_distillation_coefficient,
    )
    return advantage, (policy_term(options, clipped), term)


def _entry(
    name: str,
    paper: str,
    parts: Mapping[str, Any],
    assemble: Callable[[RecipeOptions], Assembly],
    own: Mapping[str, Any],
    asked: Callable[[RecipeOptions], Teaching],
    reading: Callable[[RecipeOptions], Callable[[Batch], Reading] | None] = lambda options: None,
    **more: Any,
) -> Entry:
    known: Mapping[Any, str] = {_sampled: "sampled tokens", _whole: "whole distributions"}
    described = {**parts, "teacher": known.get(asked, "top K")}
    common: dict[str, Any] = {"extend": teaching(asked, reading), "needs_groups": 1}
    return Entry(name, paper, described, assemble, own, **{**common, **more})


_POLICY: Mapping[str, Any] = {"advantage": "distilled_advantage", "terms": "surrogate"}

ON_POLICY_DISTILLATION: tuple[Entry, ...] = (
    _entry(
        "opd", "thinkingmachines.ai, on-policy distillation (2025)", _POLICY, _opd,
        {**SAMPLED, "distillation_estimator": "k1", "distillation_gradient": "policy"}, _sampled,
    ),
    _entry(
        "gkd", "arXiv 2306.13649", {"advantage": "none", "terms": "generalised_jsd"}, _gkd,
        {**_WHOLE, "jsd_weight": 0.5}, _whole, _read_gkd,
    ),
    _entry(
        "minillm", "arXiv 2306.08543",
        {"advantage": "discounted · distilled_advantage", "terms": "surrogate + reverse_kl"}, _minillm,
        {**SAMPLED, "surrogate": "clipped", "length_normalised": True, "single_step": True}, _whole, _read_reverse,
    ),
    _entry(
        "g-opd", "github.com/RUCBM/G-OPD", {"advantage": "extrapolated_advantage", "terms": "surrogate"}, _g_opd,
        {**SAMPLED, "surrogate": "clipped", "extrapolation": 1.25}, _sampled,
    ),
    _entry(
        "kdrl", "arXiv 2506.02208", {"advantage": "group_normalise", "terms": "clipped_loss + direct_loss"}, _kdrl,
        {
            **GROUP, "aggregation": "token-mean", "distillation_estimator": "k2", "distillation_coefficient": 5e-3,
            "final_distillation_coefficient": 1e-3, "skip_correct": False, "correct_threshold": None,
        },
        _sampled, needs_groups=2,
    ),
    _entry(
        "skew-kl", "arXiv 2402.03898", {"advantage": "none", "terms": "skew_kl"}, _skew_kl,
        {**_WHOLE, "skew": 0.1, "skew_direction": "forward"}, _whole, _read_skew,
    ),
    _entry(
        "eopd", "entropy-gated OPD, by third-party notes",
        {"advantage": "distilled_advantage", "terms": "surrogate + entropy_gated_loss"}, _eopd,
        {**SAMPLED, "aggregation": "token-mean", "top_k": 16, "imitation_coefficient": 1.0, "entropy_threshold": 0.8},
        lambda options: Teaching(top_k=options.top_k, entropy=True), _read_top,
    ),
    _entry(
        "vopd", "OPD with a value baseline, by third-party notes",
        {**_POLICY, "modulate": "+ reverse_kl"}, _policy_gradient,
        SAMPLED, _whole, extend=with_value_baseline,
    ),
    _entry(
        "iw-opd", "TRL, IWOPDTrainer", {"advantage": "prefix_weight · distilled_advantage", "terms": "surrogate"},
        _iw_opd, {**SAMPLED, "prefix_strength": 0.5}, _sampled,
    ),
    _entry(
        "aopd", "arXiv 2605.06387",
        {"advantage": "distilled_advantage", "terms": "aopd_loss: truncated_forward_kl where the gate says so"}, _aopd,
        {**SAMPLED, **IMITATION, "gate_threshold": 0.0}, _top, _read_top, statistics=gate_statistics,
    ),
)  # fmt: skip
