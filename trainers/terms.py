"""The summands of an objective, as thin adapters over the pure losses."""

from __future__ import annotations

from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.trainers import losses
from fogline.trainers.batch import Batch
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Aggregate, Clip, Counts, Loss, Term


def clip_of(options: RecipeOptions) -> Clip:
    """The trust region that the options describe."""
    return Clip(options.clip_low, options.clip_high, options.dual_clip)


def aggregation(options: RecipeOptions) -> Aggregate:
    """How token losses become this shard's part of the objective."""

    def aggregate(loss: Tensor, mask: Tensor, weight: Tensor | None, batch: Batch, counts: Counts) -> Tensor:
        return losses.aggregate(
            loss,
            mask,
            options.aggregation,
            valid=batch.valid,
            weight=weight,
            tokens=counts.tokens,
            sequences=counts.sequences,
            length=options.length_normaliser or counts.length,
        )

    return aggregate


def policy_gradient(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
    """Williams (1992)."""
    return losses.policy_gradient_loss(forward.logp, advantage)


def clipped(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
    """PPO's clipped surrogate, token by token."""
    return losses.clipped_loss(forward.logp, batch.old_logp, advantage, clip.low, clip.high, clip.dual)


def policy_term(options: RecipeOptions, loss: Loss, *, needs: frozenset[str] = frozenset()) -> Term:
    """The term that carries the credit."""
    return Term("policy", loss, aggregation(options), needs=needs)


def common_terms(options: RecipeOptions, *, critic: bool = False) -> tuple[Term, ...]:
    """Divergence from the reference, entropy bonus and critic, each where its weight is not 0."""
    terms = []
    if options.kl_coefficient > 0 and options.kl_placement == "loss":
        needs = frozenset({"reference"})
        terms.append(Term("kl", _divergence(options), aggregation(options), options.kl_coefficient, None, needs=needs))
    if options.entropy_coefficient > 0:
        needs = frozenset({"entropy"})
        terms.append(
            Term("entropy", _negative_entropy, aggregation(options), options.entropy_coefficient, None, needs=needs)
        )
    if critic and options.value_coefficient > 0:
        needs = frozenset({"values"})
        value = _value_error(options)
        terms.append(Term("value", value, aggregation(options), options.value_coefficient, "return", needs=needs))
    return tuple(terms)


def _divergence(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        assert batch.reference_logp is not None, "the learner gives a term what it needs"
        return losses.kl_loss(forward.logp, batch.reference_logp, options.kl_estimator, options.kl_clamp)

    return loss


def _negative_entropy(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
    assert forward.entropy is not None, "the learner gives a term what it needs"
    return -forward.entropy


def _value_error(options: RecipeOptions) -> Loss:
    def loss(forward: Forward, batch: Batch, advantage: Tensor, mask: Tensor, clip: Clip) -> Tensor:
        assert forward.values is not None and batch.values is not None, "the learner gives a term what it needs"
        return losses.value_loss(forward.values, batch.values, advantage, options.value_clip)

    return loss
