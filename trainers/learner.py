"""One update: a batch and a recipe to new weights. It knows nothing of environments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.agents.policies.policy import Policy, Scorer
from fogline.core.errors import ConfigurationError, FoglineError
from fogline.trainers.batch import Batch
from fogline.trainers.gates import gated_session
from fogline.trainers.importance import importance_weight
from fogline.trainers.processes import Processes
from fogline.trainers.recipe import Counts, Recipe, Term
from fogline.trainers.shapes import check_rewards
from fogline.trainers.tally import Tally, mismatch, of_batch, of_step


@runtime_checkable
class Normalising(Protocol):
    """A policy that can scale observations by their running mean and deviation.

    Attributes:
        normalises: Whether it does.
    """

    normalises: bool

    def observe(self, observations: Tensor) -> None:
        """Take ``[M,F]`` observations into the statistics."""
        ...


class TrainingDiverged(FoglineError):
    """A loss or a gradient is no finite number; the weights are those before the step."""


class LearnerConfig(BaseModel):
    """How weights follow a batch, whatever the method.

    Attributes:
        learning_rate: Of AdamW.
        schedule: ``constant``, or down to 0 at the last update: ``linear``, ``cosine``.
        warmup: Updates over which the rate rises from 0.
        weight_decay: Of AdamW.
        betas: Of AdamW.
        adam_epsilon: Of AdamW.
        max_gradient_norm: Longest gradient; None for no bound.
        epochs: Passes over a batch.
        minibatches: Optimiser steps per pass.
        micro_batch: Rows per forward pass; gradients of a mini-batch are added up over them.
        old_logp: ``recompute`` scores the batch before the first step; ``first-pass`` takes the first forward pass of
            the update, which is the same where a batch is used for one step; ``sampler`` trusts the sampler's own.
            ``auto`` is ``first-pass`` where that is exact, else ``recompute``.
        correction: Importance correction between sampler and trainer: ``none``, ``truncate`` or ``mask``.
        correction_level: Whether its ratio is that of a ``token`` or of the whole ``sequence``.
        correction_low: Ratios below are masked; None for no bound.
        correction_high: Ratios above are truncated or masked.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    adam_epsilon: float = Field(default=1e-8, gt=0)
    max_gradient_norm: float | None = Field(default=1.0, gt=0)
    epochs: int = Field(default=1, ge=1)
    minibatches: int = Field(default=1, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    old_logp: Literal["auto", "recompute", "first-pass", "sampler"] = "auto"
    correction: Literal["none", "truncate", "mask"] = "none"
    correction_level: Literal["token", "sequence"] = "token"
    correction_low: float | None = Field(default=None, ge=0)
    correction_high: float = Field(default=3.0, gt=0)

    def rate(self, update: int, updates: int) -> float:
        """Learning rate of an update, counted from 0."""
        warm = min((update + 1) / (self.warmup + 1), 1.0)
        done = min(update / max(updates, 1), 1.0)
        shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
        return self.learning_rate * warm * shape[self.schedule]


class Learner:
    """Turns batches into weight updates, following a recipe.

    Args:
        policy: Whose weights are trained.
        recipe: The method.
        config: Optimiser, epochs, correction.
        reference: Scores like the policy did before training; for recipes with a divergence term.
        seed: Decides the order of rows.
        processes: The processes that share the work.

    Raises:
        ConfigurationError: The recipe needs a critic or a reference that is not there.
    """

    def __init__(
        self,
        policy: Policy,
        recipe: Recipe,
        config: LearnerConfig,
        *,
        reference: Scorer | None = None,
        seed: int = 0,
        processes: Processes | None = None,
    ) -> None:
        self.policy = policy
        self.recipe = recipe
        self.config = config
        self.reference = reference
        self.seed = seed
        self.processes = processes or Processes()
        self.updates = 0
        self.terms = tuple(term for term in recipe.terms if term.coefficient != 0)
        self.needs = frozenset(recipe.needs).union(*(term.needs for term in self.terms))
        _check_needs(policy, recipe, self.needs, reference)
        _check_old_logp(config)
        self.parameters = [parameter for parameter in policy.module.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
        )

    def update(self, batch: Batch, learning_rate: float | None = None) -> dict[str, float]:
        """Learn from a batch.

        Args:
            batch: The same on every process.
            learning_rate: Of this update; the configured one by default.

        Returns:
            What is worth logging.

        Raises:
            DataError: For a reward that is no number, or a batch without a valid row.
            TrainingDiverged: For a loss or a gradient that is no finite number; the weights are as before the step.
        """
        check_rewards(batch)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate if learning_rate is None else learning_rate
        prepared = self.prepare(batch)
        # Before any step: whatever is wrong with the batch is found while the weights are untouched.
        seen = of_batch(batch, prepared)
        if self.recipe.statistics is not None:
            seen |= self.recipe.statistics(prepared)
        advantage = {name: value.detach() for name, value in self.recipe.advantage(prepared).items()}
        tally = Tally()
        for rows in self._minibatches(prepared):
            self._step(prepared, advantage, rows, tally)
        self._observe(batch)
        self.updates += 1
        self.policy.version += 1
        return {**seen, **tally.means(self.processes)}

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and counters: what :meth:`restore` takes."""
        return {
            "module": self.policy.module.state_dict(),
            "version": self.policy.version,
            "optimiser": self.optimiser.state_dict(),
            "learner_updates": self.updates,
            "torch_rng": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any], source: object) -> None:
        """Take up a state.

        Raises:
            ConfigurationError: It is of another policy; ``source`` says where it came from.
        """
        try:
            self.policy.module.load_state_dict(state["module"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"the checkpoint {str(source)!r} is of another policy ({str(error).splitlines()[0]}): use the same "
                "policy settings, another folder with out=, or resume=False."
            ) from error
        self.policy.version = state["version"]
        self.updates = state["learner_updates"]
        torch.set_rng_state(state["torch_rng"])

    # Before the first step

    def prepare(self, batch: Batch) -> Batch:
        """Score the batch at the rollout's weights as far as the recipe needs it, and apply its gate."""
        mode = self._old_logp()
        values = "values" in self.needs
        changes: dict[str, Tensor | None] = {}
        if mode == "recompute" or values:
            logp, estimate = self._scored(self.policy, batch, values)
            changes["old_logp"] = logp if mode == "recompute" else batch.old_logp
            changes["values"] = estimate
            if values:
                changes["bootstrap"] = self._bootstrap(batch)
        if "reference" in self.needs and self.reference is not None:
            changes["reference_logp"], _ = self._scored(self.reference, batch, False)
        prepared = replace(batch, **changes)  # type: ignore[arg-type]
        if self.recipe.gate is not None:
            prepared = replace(prepared, session=gated_session(prepared, self.recipe.gate(prepared)))
        return prepared

    def _old_logp(self) -> str:
        if self.config.old_logp != "auto":
            return self.config.old_logp
        once = self.config.epochs * self.config.minibatches == 1
        needed_before = self.config.correction != "none" or (
            self.recipe.gate is not None and "reference" in self.recipe.needs
        )
        return "first-pass" if once and not needed_before else "recompute"

    def _scored(self, scorer: Scorer, batch: Batch, values: bool) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities and values of every row, without gradient; each process scores its share."""
        logp = torch.zeros_like(batch.behaviour_logp)
        estimate = torch.zeros_like(logp) if values else None
        rows = self.processes.share(_by_length(batch, torch.nonzero(batch.valid).squeeze(1)))
        with torch.no_grad():
            for part in self._micro_batches(rows):
                piece = batch.select(part).trimmed()
                forward = self.policy.score(*_parts(piece), values=True) if values else scorer.score(*_parts(piece))
                width = piece.tokens.shape[1]
                logp[part, :width] = forward.logp.to(logp.dtype)
                if estimate is not None and forward.values is not None:
                    estimate[part, :width] = forward.values.to(logp.dtype)
        return self.processes.add(logp), None if estimate is None else self.processes.add(estimate)

    def _observe(self, batch: Batch) -> None:
        """Show a policy that normalises its observations those of this batch; the next one is played under them."""
        if isinstance(self.policy, Normalising) and self.policy.normalises:
            self.policy.observe(batch.context["observation"][batch.policy_mask & batch.valid[:, None]])

    def _bootstrap(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            following = self.policy.bootstrap(batch.context)
        if following is None:
            return torch.zeros_like(batch.reward)
        return torch.where(batch.truncated, following.to(batch.reward.dtype), 0.0)

    # Steps

    def _minibatches(self, batch: Batch) -> Iterator[Tensor]:
        """Row indices of each optimiser step; the same on every process."""
        usable = torch.nonzero(batch.valid).squeeze(1)
        for epoch in range(self.config.epochs):
            if self.config.minibatches == 1:
                yield usable
                continue
            seed = (self.seed * 1_000_003 + self.updates) * 1_009 + epoch
            order = torch.randperm(len(usable), generator=torch.Generator().manual_seed(seed % 2**63))
            yield from usable[order].tensor_split(min(self.config.minibatches, len(usable)))

    def _micro_batches(self, rows: Tensor) -> Iterator[Tensor]:
        size = self.config.micro_batch or max(len(rows), 1)
        yield from (part for part in torch.split(rows, size) if len(part))

    def _step(self, batch: Batch, advantage: Mapping[str, Tensor], rows: Tensor, tally: Tally) -> None:
        whole = batch.select(rows)
        counts = {term.name: count(whole, term.mask) for term in self.terms}
        tokens = float(whole.policy_mask.sum())
        self.optimiser.zero_grad(set_to_none=True)
        for part in self._micro_batches(self.processes.share(_by_length(batch, rows))):
            piece = batch.select(part).trimmed()
            width = piece.tokens.shape[1]
            credit = {name: value[part, :width] for name, value in advantage.items()}
            share = float(piece.policy_mask.sum()) / tokens
            self._accumulate(piece, credit, counts, share, tally)
        self.processes.add_gradients(self.parameters)
        self._check_finite(tally)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_gradient_norm or math.inf)
        if not bool(torch.isfinite(norm)):
            raise TrainingDiverged(
                f"update {self.updates}: the gradient's norm is {norm.item()}. The weights are as before the step; "
                "lower learning_rate, set max_gradient_norm, or look at the batch's rewards and log-probabilities."
            )
        self.optimiser.step()
        tally.steps += 1
        tally.add({"gradient_norm": float(norm) / self.processes.count})

    def _accumulate(
        self, piece: Batch, credit: Mapping[str, Tensor], counts: Mapping[str, Counts], share: float, tally: Tally
    ) -> None:
        """Forward, objective and backward of one micro-batch."""
        forward = self.policy.score(*_parts(piece), entropy="entropy" in self.needs, values="values" in self.needs)
        if self._old_logp() == "first-pass":
            piece = replace(piece, old_logp=forward.logp.detach())
            tally.add(mismatch(piece), share)
        total = forward.logp.new_zeros(())
        logged = {}
        for term in self.terms:
            value = self._term(term, forward, piece, credit, counts[term.name])
            total = total + term.coefficient * value
            logged[f"loss/{term.name}"] = value.item()
        tally.losses.append(total.item())
        total.backward()  # type: ignore[no-untyped-call]
        tally.add({"loss": total.item(), **logged})
        tally.add(of_step(forward, piece, credit, self.recipe), share)

    def _check_finite(self, tally: Tally) -> None:
        """Refuse to step on a loss that is no finite number, on all processes together."""
        wrong = [loss for loss in tally.losses if not math.isfinite(loss)]
        tally.losses.clear()
        if float(self.processes.add(torch.tensor(float(len(wrong))))) > 0:
            seen = wrong[0] if wrong else "not finite on another process"
            raise TrainingDiverged(
                f"update {self.updates}: the loss is {seen}. The weights are as before the step; lower learning_rate, "
                "or look at the batch's rewards and log-probabilities."
            )

    def _term(self, term: Term, forward: Forward, piece: Batch, credit: Mapping[str, Tensor], counts: Counts) -> Tensor:
        mask = piece.masks.get(term.mask)
        if mask is None:
            mask = torch.zeros_like(piece.policy_mask)
        advantage = torch.zeros_like(piece.behaviour_logp) if term.advantage is None else credit[term.advantage]
        carries = term.advantage is not None and term.advantage != "return"
        if carries and self.recipe.modulate is not None:
            advantage = self.recipe.modulate(advantage, forward, piece, self.recipe.clip).detach()
        loss = term.loss(forward, piece, advantage, mask, self.recipe.clip)
        if carries and self.config.correction != "none":
            loss = loss * importance_weight(
                piece.old_logp,
                piece.behaviour_logp,
                piece.policy_mask,
                self.config.correction,
                self.config.correction_level,
                self.config.correction_low,
                self.config.correction_high,
            )
        weight = None if term.row_weight is None else term.row_weight(piece).detach()
        return term.aggregate(loss, mask, weight, piece, counts)


def count(batch: Batch, track: str) -> Counts:
    """Sizes of a whole mini-batch under a track's mask."""
    valid = batch.valid
    mask = batch.masks.get(track)
    tokens = 0.0 if mask is None else float((mask & valid[:, None]).sum())
    lengths = batch.policy_mask.sum(1)
    return Counts(tokens, float(valid.sum()), float(len(torch.unique(batch.group[valid]))), float(lengths.max()))


def _check_needs(policy: Policy, recipe: Recipe, needs: frozenset[str], reference: Scorer | None) -> None:
    if "values" in needs and not policy.has_critic:
        raise ConfigurationError(f"recipe {recipe.name!r} needs a critic: build the policy with critic=True.")
    if "reference" in needs and reference is None:
        raise ConfigurationError(
            f"recipe {recipe.name!r} with kl_coefficient={recipe.options.get('kl_coefficient')} needs a reference "
            "policy: pass reference=policy.reference(), or set kl_coefficient=0."
        )


def _check_old_logp(config: LearnerConfig) -> None:
    steps = config.epochs * config.minibatches
    if config.old_logp == "first-pass" and steps > 1:
        raise ConfigurationError(
            f"old_logp='first-pass' with epochs={config.epochs} and minibatches={config.minibatches}: later steps "
            "would take their own weights for the rollout's, and nothing would be clipped. Use old_logp='recompute'."
        )
    if config.old_logp == "sampler" and config.correction != "none":
        raise ConfigurationError(
            f"correction={config.correction!r} with old_logp='sampler' compares the sampler with itself: use "
            "old_logp='recompute', or correction='none'."
        )


def _parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Mapping[str, Tensor]]:
    """What a policy scores."""
    return batch.tokens, batch.attention_mask, batch.policy_mask, batch.context


def _by_length(batch: Batch, rows: Tensor) -> Tensor:
    """Rows of like length side by side: less padding in a micro-batch."""
    return rows[torch.argsort(batch.attention_mask[rows].sum(1), stable=True)]
