"""One update: a batch and a recipe to new weights. It knows nothing of environments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from fogline.agents.policies.forward import Forward
from fogline.agents.policies.policy import Policy, Scorer
from fogline.core.errors import ConfigurationError, FoglineError
from fogline.trainers.batch import Batch
from fogline.trainers.gates import gated_session
from fogline.trainers.importance import importance_weight
from fogline.trainers.learner_config import LearnerConfig, check_old_logp
from fogline.trainers.modulation import vocabulary_moments
from fogline.trainers.processes import Processes
from fogline.trainers.recipe import Counts, Recipe, Term
from fogline.trainers.shapes import check_rewards
from fogline.trainers.sharding import place_weights
from fogline.trainers.tally import Tally, mismatch, of_batch, of_loss, of_modulation, of_step
from fogline.trainers.teachers import Teacher, check_teacher, taught
from fogline.trainers.whole import Credit, forward_of_parts, scored_parts

__all__ = ["Learner", "LearnerConfig", "Normalising", "TrainingDiverged", "count"]


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


class Learner:
    """Turns batches into weight updates, following a recipe.

    Args:
        policy: Whose weights are trained.
        recipe: The method.
        config: Optimiser, epochs, correction.
        reference: Scores like the policy did before training; for recipes with a divergence term.
        teacher: For recipes that distil.
        seed: Decides the order of rows.
        processes: The processes that share the work.

    Raises:
        ConfigurationError: The recipe needs a critic, a reference or a teacher that is not there or does not fit.
    """

    def __init__(
        self,
        policy: Policy,
        recipe: Recipe,
        config: LearnerConfig,
        *,
        reference: Scorer | None = None,
        teacher: Teacher | None = None,
        seed: int = 0,
        processes: Processes | None = None,
    ) -> None:
        self.policy = policy
        self.recipe = recipe
        self.config = config
        self.reference = reference
        self.teacher = teacher
        self.seed = seed
        self.processes = processes or Processes()
        self.updates = 0
        self.progress = 0.0
        self.terms = tuple(term for term in recipe.terms if term.coefficient != 0)
        self.needs = frozenset(recipe.needs).union(*(term.needs for term in self.terms))
        logs = config.log_entropy and "entropy" not in self.needs
        self.observe = recipe.observe or (vocabulary_moments if logs else None)
        _check_needs(policy, recipe, self.needs, reference, teacher)
        check_old_logp(config)
        self.weights = place_weights(policy, config.sharding, self.processes)
        self.optimiser = torch.optim.AdamW(
            self.weights.trainable,
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
        )

    def update(self, batch: Batch, learning_rate: float | None = None, progress: float = 0.0) -> dict[str, float]:
        """Learn from a batch.

        Args:
            batch: The same on every process.
            learning_rate: Of this update; the configured one by default.
            progress: Share of training that is done, for coefficients that change over it.

        Returns:
            What is worth logging.

        Raises:
            DataError: For a reward that is no number, or a batch without a valid row.
            TrainingDiverged: For a loss or a gradient that is no finite number; the weights are as before the step.
        """
        check_rewards(batch)
        self.progress = progress
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate if learning_rate is None else learning_rate
        with self.weights.whole():
            prepared = self.prepare(batch)
        # Before any step: whatever is wrong with the batch is found while the weights are untouched.
        seen = of_batch(batch, prepared)
        if self.recipe.statistics is not None:
            seen |= self.recipe.statistics(prepared)
        # All of it sees whole groups, which steps and micro-batches take apart.
        credit = Credit(
            {name: value.detach() for name, value in self.recipe.advantage(prepared).items()},
            {term.name: term.row_weight(prepared).detach() for term in self.terms if term.row_weight is not None},
        )
        tally = Tally()
        for rows in self._minibatches(prepared):
            self._step(prepared, credit, rows, tally)
        self._observe(batch)
        self.updates += 1
        self.policy.version += 1
        return {**seen, **tally.means(self.processes)}

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and counters: what :meth:`restore` takes. Every process asks."""
        return {
            **self.weights.state(self.optimiser),
            "version": self.policy.version,
            "learner_updates": self.updates,
            "torch_rng": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any], source: object) -> None:
        """Take up a state.

        Raises:
            ConfigurationError: It is of another policy; ``source`` says where it came from.
        """
        try:
            self.weights.restore(state, self.optimiser)
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
        if self.teacher is not None and self.recipe.teaching is not None:
            asked = self.processes.share(_by_length(batch, torch.nonzero(batch.valid).squeeze(1)))
            rows = taught(self.teacher, batch, self._micro_batches(asked), self.recipe.teaching, self.processes)
            prepared = replace(prepared, teacher=rows)
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
                parts = scored_parts(piece)
                forward = self.policy.score(*parts, values=True) if values else scorer.score(*parts)
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

    def _step(self, batch: Batch, credit: Credit, rows: Tensor, tally: Tally) -> None:
        whole = batch.select(rows)
        counts = {term.name: count(whole, term.mask) for term in self.terms}
        tokens = float(whole.policy_mask.sum())
        self.optimiser.zero_grad(set_to_none=True)
        with self.weights.whole():
            self._pass(batch, credit, rows, counts, tokens, tally)
        self.weights.add_gradients()
        self._check_finite(tally)
        norm = self.weights.clip(self.config.max_gradient_norm or math.inf)
        if not bool(torch.isfinite(norm)):
            raise TrainingDiverged(
                f"update {self.updates}: the gradient's norm is {norm.item()}. The weights are as before the step; "
                "lower learning_rate, set max_gradient_norm, or look at the batch's rewards and log-probabilities."
            )
        self.optimiser.step()
        tally.steps += 1
        tally.add({"gradient_norm": float(norm) / self.processes.count})

    def _pass(
        self, batch: Batch, credit: Credit, rows: Tensor, counts: Mapping[str, Counts], tokens: float, tally: Tally
    ) -> None:
        """Gradients of this process's share of a mini-batch."""
        parts = list(self._micro_batches(self.processes.share(_by_length(batch, rows))))
        split = len(parts) > 1 or self.processes.count > 1
        beforehand = split and self.recipe.options.get("modulation_scope") != "micro-batch"
        if beforehand:
            credit = self._modulated_whole(batch, credit, rows, parts, tally)
        for part in parts:
            piece = batch.select(part).trimmed()
            share = float(piece.policy_mask.sum()) / tokens
            self._accumulate(
                piece, credit.part(part, piece.tokens.shape[1]), counts, share, tally, modulate=not beforehand
            )

    def _modulated_whole(
        self, batch: Batch, credit: Credit, rows: Tensor, parts: Sequence[Tensor], tally: Tally
    ) -> Credit:
        """Credit modulated with a whole mini-batch in view, of which a micro-batch or a process has only a part."""
        if self.recipe.modulate is None:
            return credit
        mine = torch.zeros_like(batch.valid)
        mine[rows] = True
        whole = replace(batch, valid=batch.valid & mine)
        reads = "entropy" in self.needs
        forward = forward_of_parts(self._score, whole, parts, self.processes, entropy=reads, observe=self.observe)
        if self._old_logp() == "first-pass":
            whole = replace(whole, old_logp=forward.logp)
        return self._modulated(credit, forward, whole, tally)

    def _modulated(self, credit: Credit, forward: Forward, batch: Batch, tally: Tally) -> Credit:
        if self.recipe.modulate is None:
            return credit
        changed = {
            name: value if name == "return" else self.recipe.modulate(value, forward, batch, self.recipe.clip).detach()
            for name, value in credit.advantage.items()
        }
        tally.average(of_modulation(credit.advantage["policy"], changed["policy"], batch))
        return replace(credit, advantage=changed)

    def _score(self, piece: Batch, *, values: bool = False) -> Forward:
        """The current policy's view of rows, with what the method reads of it."""
        # Policies that are never asked to observe the vocabulary need not know how.
        more: dict[str, Any] = {} if self.observe is None else {"observe": self.observe}
        if self.recipe.read is not None:
            more["read"] = self.recipe.read(piece)
        return self.policy.score(*scored_parts(piece), entropy="entropy" in self.needs, values=values, **more)

    def _accumulate(
        self,
        piece: Batch,
        credit: Credit,
        counts: Mapping[str, Counts],
        share: float,
        tally: Tally,
        *,
        modulate: bool,
    ) -> None:
        """Forward, objective and backward of one micro-batch."""
        forward = self._score(piece, values="values" in self.needs)
        if self._old_logp() == "first-pass":
            piece = replace(piece, old_logp=forward.logp.detach())
            tally.add(mismatch(piece), share)
        if modulate:
            credit = self._modulated(credit, forward, piece, tally)
        total = forward.logp.new_zeros(())
        logged = {}
        for term in self.terms:
            value = self._term(term, forward, piece, credit, counts[term.name], tally)
            total = total + term.weight(self.progress) * value
            logged[f"loss/{term.name}"] = value.item()
        tally.losses.append(total.item())
        total.backward()  # type: ignore[no-untyped-call]
        tally.add({"loss": total.item(), **logged})
        tally.add(of_step(forward, piece, credit.advantage, self.recipe), share)

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

    def _term(self, term: Term, forward: Forward, piece: Batch, credit: Credit, counts: Counts, tally: Tally) -> Tensor:
        mask = piece.masks.get(term.mask)
        if mask is None:
            mask = torch.zeros_like(piece.policy_mask)
        advantage = torch.zeros_like(piece.behaviour_logp)
        if term.advantage is not None:
            advantage = credit.advantage[term.advantage]
        carries = term.advantage is not None and term.advantage != "return"
        loss = term.loss(forward, piece, advantage, mask, self.recipe.clip)
        if term.advantage == "policy":
            tally.average(of_loss(loss, forward, piece, advantage, mask, self.recipe.clip))
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
        return term.aggregate(loss, mask, credit.weight.get(term.name), piece, counts)


def count(batch: Batch, track: str) -> Counts:
    """Sizes of a whole mini-batch under a track's mask."""
    valid = batch.valid
    mask = batch.masks.get(track)
    tokens = 0.0 if mask is None else float((mask & valid[:, None]).sum())
    lengths = batch.policy_mask.sum(1)
    return Counts(tokens, float(valid.sum()), float(len(torch.unique(batch.group[valid]))), float(lengths.max()))


def _check_needs(
    policy: Policy, recipe: Recipe, needs: frozenset[str], reference: Scorer | None, teacher: Teacher | None
) -> None:
    if "values" in needs and not policy.has_critic:
        raise ConfigurationError(f"recipe {recipe.name!r} needs a critic: build the policy with critic=True.")
    if "reference" in needs and reference is None:
        raise ConfigurationError(
            f"recipe {recipe.name!r} with kl_coefficient={recipe.options.get('kl_coefficient')} needs a reference "
            "policy: pass reference=policy.reference(), or set kl_coefficient=0."
        )
    if recipe.teaching is not None:
        if teacher is None:
            raise ConfigurationError(f"recipe {recipe.name!r} needs a teacher: pass teacher=, such as a LocalTeacher.")
        check_teacher(teacher, policy, recipe.teaching)


def _by_length(batch: Batch, rows: Tensor) -> Tensor:
    """Rows of like length side by side: less padding in a micro-batch."""
    return rows[torch.argsort(batch.attention_mask[rows].sum(1), stable=True)]
