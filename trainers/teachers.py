"""Who teaches: the protocol, a model in this process, and what is checked before a student listens.

A teacher reads a student's rows and says how likely it finds each token that the student wrote and, where a method
asks for it, which tokens it finds likeliest. It never gets a gradient. A teacher that cannot answer raises; it never
answers with zeros, which would be a signal like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fogline.agents.policies.policy import Policy
from fogline.agents.policies.vocabulary import entropy_of
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.batch import Batch
from fogline.trainers.processes import Processes
from fogline.trainers.recipe import Teaching
from fogline.trainers.rows import TeacherRows
from fogline.trainers.whole import scored_parts

_ENTRIES = 1 << 24
"""Log-probabilities that exist at once: 64 MiB in float32."""


class Teacher(Protocol):
    """Says how likely it finds what a student wrote.

    Attributes:
        name: In logs and errors.
        temperature: At which it scores.
        vocabulary_size: Entries of its distribution.
        vocabulary: Fingerprint of the map from tokens to ids, see :func:`vocabulary_of`.
        whole: Whether it can give whole distributions.
    """

    name: str
    temperature: float
    vocabulary_size: int
    vocabulary: str
    whole: bool

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        teaching: Teaching,
    ) -> TeacherRows:
        """Score rows.

        Args:
            tokens: ``[N,T]`` int64, padded on the right.
            attention_mask: ``[N,T]`` bool, True for tokens that exist.
            policy_mask: ``[N,T]`` bool, True where the student wrote.
            context: What vector policies need beside tokens.
            teaching: What is asked.

        Raises:
            FoglineError: It cannot say, and says why.
        """
        ...


class Model(Protocol):
    """A policy whose distribution can be read in two steps: ``CausalLMPolicy``, ``CategoricalPolicy``.

    Attributes:
        name: Of the policy.
        vocabulary_size: Entries of a distribution.
    """

    name: str

    @property
    def vocabulary_size(self) -> int:
        """Entries of a distribution."""
        ...

    @property
    def module(self) -> nn.Module:
        """All weights."""
        ...

    def states(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> Tensor:
        """What :meth:`distribution` reads, ``[N,T,H]``."""
        ...

    def distribution(self, states: Tensor) -> Tensor:
        """Log-probabilities ``[…,V]`` from states ``[…,H]``."""
        ...


class LocalTeacher:
    """A model in this process, frozen.

    Args:
        model: Whose weights are frozen and set to evaluation; never the student's own object.
        chunk: Places whose distributions exist at once; by default about 16 million log-probabilities.

    Raises:
        ConfigurationError: The model cannot give whole distributions: a density has none.
    """

    whole = True

    def __init__(self, model: Model, *, chunk: int | None = None) -> None:
        if not hasattr(model, "states"):
            raise ConfigurationError(
                f"{model.name!r} ({type(model).__name__}) has no distribution over a vocabulary: a teacher is a "
                "CausalLMPolicy or a CategoricalPolicy."
            )
        model.module.requires_grad_(False)
        model.module.eval()
        self.model = model
        self.name = model.name
        self.temperature = float(getattr(model, "temperature", 1.0))
        self.vocabulary_size = model.vocabulary_size
        self.vocabulary = vocabulary_of(model)
        self._chunk = chunk or max(1, _ENTRIES // self.vocabulary_size)

    @torch.no_grad()
    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        teaching: Teaching,
    ) -> TeacherRows:
        """As :meth:`Teacher.score`."""
        states = self.model.states(tokens, attention_mask, policy_mask, context)
        mask = (policy_mask & attention_mask).to(states.device)
        at_places, ids = states[mask], tokens.to(states.device)[mask]
        k = self.vocabulary_size if teaching.top_k is None else teaching.top_k
        parts = [
            self._read(*pair, k, teaching.entropy)
            for pair in zip(torch.split(at_places, self._chunk), torch.split(ids, self._chunk), strict=True)
        ]
        logp, top_ids, top_logp, entropy = (torch.cat(column) for column in zip(*parts, strict=True))

        def placed(values: Tensor) -> Tensor:
            return values.new_zeros(*mask.shape, *values.shape[1:]).index_put((mask,), values)

        return TeacherRows(
            logp=placed(logp),
            top_ids=placed(top_ids) if k else None,
            top_logp=placed(top_logp) if k else None,
            entropy=placed(entropy) if teaching.entropy else None,
            states=states if teaching.whole else None,
            distribution=self.model.distribution if teaching.whole else None,
            temperature=self.temperature,
        )

    def _read(self, states: Tensor, ids: Tensor, k: int, entropy: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sampled tokens' log-probabilities ``[M]``, top K and theirs ``[M,K]``, entropy ``[M]``."""
        logp = self.model.distribution(states)
        top = logp.topk(k, dim=-1) if k else (logp.new_zeros(len(logp), 0), ids.new_zeros(len(ids), 0))
        spread = entropy_of(logp) if entropy else logp.new_zeros(len(logp))
        return logp.gather(1, ids[:, None])[:, 0], top[1], top[0], spread


def vocabulary_of(model: Any) -> str:
    """Fingerprint of a map from tokens to ids; of a policy over vectors, of its number of choices."""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return f"{model.vocabulary_size} choices"
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()[:16]


def check_teacher(teacher: Teacher, policy: Policy, teaching: Teaching) -> None:
    """What must hold before a student listens.

    Raises:
        ConfigurationError: Another vocabulary, another temperature, more likely tokens than there are, whole
            distributions from a teacher that has none, a teacher that learns or drops out, the student itself.
    """
    own = getattr(policy, "vocabulary_size", None)
    if own is None:
        raise ConfigurationError(
            f"{policy.name!r} ({type(policy).__name__}) has no vocabulary that a teacher could speak of: distillation "
            "needs discrete actions or text."
        )
    if (own, vocabulary_of(policy)) != (teacher.vocabulary_size, teacher.vocabulary):
        raise ConfigurationError(
            f"teacher {teacher.name!r} has another vocabulary ({teacher.vocabulary_size} entries, "
            f"{teacher.vocabulary}) than student {policy.name!r} ({own} entries, {vocabulary_of(policy)}): a token's "
            "id must mean the same to both. Use a teacher with the student's tokenizer."
        )
    temperature = float(getattr(policy, "temperature", 1.0))
    if temperature != teacher.temperature:
        raise ConfigurationError(
            f"the student scores at temperature {temperature:g} and teacher {teacher.name!r} at "
            f"{teacher.temperature:g}: the difference of their log-probabilities would be no divergence. Give both the "
            "same temperature."
        )
    if teaching.top_k is not None and teaching.top_k > own:
        raise ConfigurationError(
            f"top_k={teaching.top_k} is more than the {own} entries of the vocabulary: lower it, or top_k=None for all."
        )
    if teaching.whole and not teacher.whole:
        raise ConfigurationError(
            f"the method reads whole distributions, which teacher {teacher.name!r} ({type(teacher).__name__}) cannot "
            "give: use a local teacher, or a method that reads the top K."
        )
    if isinstance(teacher, LocalTeacher):
        _check_frozen(teacher, policy)


def taught(
    teacher: Teacher, batch: Batch, parts: Iterable[Tensor], teaching: Teaching, processes: Processes
) -> TeacherRows:
    """What a teacher says of a batch, asked part by part.

    Args:
        teacher: Who is asked.
        batch: All rows.
        parts: Row indices of each question, on this process; together the processes ask for every valid row.
        teaching: What is asked.
        processes: Each of them asks for its share, and all see the whole.

    Raises:
        DataError: As :func:`check_rows`.
    """
    mine = list(parts)
    whole: dict[str, Any] = {}
    # A process without rows asks about one all the same: what comes back tells it what the others are told.
    for part in mine or [torch.nonzero(batch.valid)[0]]:
        piece = batch.select(part).trimmed()
        rows = teacher.score(*scored_parts(piece), teaching)
        check_rows(rows, piece, teacher)
        whole["distribution"] = rows.distribution
        for name, value in _tensors(rows).items():
            if name not in whole:
                whole[name] = value.new_zeros(*batch.tokens.shape, *value.shape[2:])
            if mine:
                whole[name][part, : value.shape[1]] = value
    found: dict[str, Any] = {
        name: processes.add(value) if isinstance(value, Tensor) else value for name, value in whole.items()
    }
    return TeacherRows(**found, temperature=teacher.temperature)


def _tensors(rows: TeacherRows) -> dict[str, Tensor]:
    return {name: value for name, value in vars(rows).items() if isinstance(value, Tensor)}


def check_rows(rows: TeacherRows, batch: Batch, teacher: Teacher) -> None:
    """What came back must say something of every token that counts.

    Raises:
        DataError: A token without a finite log-probability.
    """
    counted = batch.policy_mask & batch.valid[:, None]
    wrong = counted & ~torch.isfinite(rows.logp)
    if bool(wrong.any()):
        row, place = (int(index) for index in wrong.nonzero()[0])
        raise DataError(
            f"teacher {teacher.name!r} gives token {int(batch.tokens[row, place])} at place {place} of row {row} the "
            f"log-probability {float(rows.logp[row, place])}: expected a finite number for every token that the "
            "student wrote. A teacher that finds a token impossible cannot be listened to: look at its action mask."
        )


def _check_frozen(teacher: LocalTeacher, policy: Policy) -> None:
    module = teacher.model.module
    own = {id(parameter) for parameter in policy.module.parameters()}
    if any(id(parameter) in own for parameter in module.parameters()):
        raise ConfigurationError(
            f"teacher {teacher.name!r} shares weights with the student: their divergence would always be 0. Use "
            "another model, or a copy of today's."
        )
    if module.training or any(parameter.requires_grad for parameter in module.parameters()):
        raise ConfigurationError(
            f"teacher {teacher.name!r} is in training mode, or its weights are trainable: call "
            "module.requires_grad_(False) and module.eval() after whatever changed that."
        )
