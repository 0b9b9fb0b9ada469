"""A small critic that learned what a step looks like that does not hold (specification, 6.4).

A language model, or one that sees, reads the whole episode. A linear head says whether a step holds, by the model's
state behind it and by how much its tokens surprised the model: who could have written a step notices what is odd in it.
It learns from replies that somebody else has judged, and to write those that hold throughout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from fogline.agents.policies.policy import Policy
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.critics import CriticFault, Judgement
from fogline.trainers.learner_config import LearnerConfig
from fogline.trainers.passes import descend, row_order
from fogline.trainers.rows import CriticRows
from fogline.trainers.table_critics import judgement_of, reply_of
from fogline.trainers.whole import scored_parts

_HEAD, _ABOUT = "critic_head.safetensors", "critic.json"
_ROWS = 64
_SURPRISE = 10.0
"""Nats beyond which a token is as odd as any."""


class Reader(Policy, Protocol):
    """A policy that reads episodes and has states: ``CausalLMPolicy``, ``VisionLMPolicy``.

    Attributes:
        model: Of transformers.
        max_context: Longest episode in tokens.
        check_vocabulary: Raises a ConfigurationError for characters that its tokenizer does not know.
    """

    model: Any
    max_context: int
    check_vocabulary: Callable[[Sequence[str]], None]

    def transcribe(self, episode: Episode, rules: str | Mapping[str, str] = "") -> Episode:
        """The episode in its own tokens."""
        ...

    def states(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> Tensor:
        """Hidden states ``[N,T,H]`` at the places that the policy wrote: each has read what stands before it."""
        ...

    def distribution(self, states: Tensor) -> Tensor:
        """Log-probabilities ``[…,V]`` from states ``[…,H]``."""
        ...


class LearnedCritic:
    """Scores steps by a model's state behind them, and its surprise at them.

    Args:
        reader: Reads; its weights are the critic's own from now on.
        head: From a state and two measures of surprise to the logit that a step holds; None for one that knows nothing.
        rules: The environment's system prompt, where the reader is to see it.
        name: In logs and errors.
    """

    def __init__(
        self, reader: Reader, head: nn.Linear | None = None, *, rules: str = "", name: str = "learned critic"
    ) -> None:
        self.name = name
        self.reader = reader
        weight = next(reader.module.parameters())
        if head is None:
            width = reader.model.config.get_text_config().hidden_size
            head = nn.Linear(width + 2, 1, device=weight.device, dtype=weight.dtype)
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.head = head
        self._rules = rules

    def judge(self, episodes: Sequence[Episode]) -> list[Judgement | CriticFault]:
        """Judge what was replied; a reply that the reader cannot write, or has no room for, has no judgement."""
        unread: dict[int, CriticFault] = {}
        seen: dict[int, Episode] = {}
        for place, episode in enumerate(episodes):
            try:
                seen[place] = self._transcribed(episode)
            except (ConfigurationError, DataError) as error:
                unread[place] = CriticFault(f"{self.name} cannot read a reply to {episode.task_id!r}: {error}")
        known: dict[int, Judgement] = {}
        places = list(seen)
        for start in range(0, len(places), _ROWS):
            part = places[start : start + _ROWS]
            known |= dict(zip(part, self._judged([seen[place] for place in part]), strict=True))
        return [known[place] if place in known else unread[place] for place in range(len(episodes))]

    def _transcribed(self, episode: Episode) -> Episode:
        self.reader.check_vocabulary([turn.action for turn in episode.turns])
        found = self.reader.transcribe(episode, self._rules)
        length = sum(len(turn.context_token_ids) + len(turn.action_token_ids) for turn in found.turns)
        if length > self.reader.max_context:
            raise DataError(f"it has {length} tokens, and there is room for {self.reader.max_context}.")
        return found

    @torch.no_grad()
    def _judged(self, episodes: Sequence[Episode]) -> list[Judgement]:
        traces = [reply_of(episode) for episode in episodes]
        blank = [judgement_of(trace, [0.0] * len(trace.steps)) for trace in traces]
        batch = batch_of(episodes, self.reader, judgements=blank)
        probability = torch.sigmoid(self.read(batch)[0]).tolist()
        pairs = zip(traces, probability, strict=True)
        return [judgement_of(trace, scores[: len(trace.steps)]) for trace, scores in pairs]

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Read a batch with ``critic`` rows.

        Returns:
            The logit that each step holds, ``[N,K]``, 0 where there is no step; the log-probability of each token that
            was written, ``[N,T]``.
        """
        rows = _rows_of(batch)
        states = self.reader.states(*scored_parts(batch))
        device = states.device
        written = (batch.policy_mask & batch.attention_mask).to(device)
        chosen = batch.tokens.to(device)[written]
        found = self.reader.distribution(states[written]).gather(1, chosen[:, None])[:, 0]
        logp = found.new_zeros(written.shape).index_put((written,), found)
        of_step, behind = _places(rows, batch.policy_mask)
        state = states.gather(1, behind.to(device)[..., None].expand(-1, -1, states.shape[-1]))
        logits = self.head(torch.cat((state, _surprise(logp, of_step.to(device))), -1))[..., 0]
        return torch.where(rows.mask.to(device), logits, 0.0), logp

    # Learning

    def fit(
        self,
        episodes: Sequence[Episode],
        verdicts: Sequence[Judgement],
        *,
        learner: LearnerConfig | None = None,
        epochs: int = 1,
        rows: int = 32,
        seed: int = 0,
    ) -> list[float]:
        """Learn to agree with somebody else's verdicts, and to write what holds throughout.

        Steps that hold weigh as much in all as those that do not.

        Args:
            episodes: Replies of all kinds.
            verdicts: Of each of them; a step holds from 0.5 on.
            learner: Rate and schedule.
            epochs: Passes over the replies.
            rows: Replies in a step of the optimiser.
            seed: Decides their order.

        Returns:
            The loss of each step.

        Raises:
            DataError: There is nothing that holds, or nothing that does not.
        """
        settings = learner or LearnerConfig(learning_rate=1e-3)
        batch = batch_of([self._transcribed(episode) for episode in episodes], self.reader, judgements=verdicts)
        weight = _balanced(_rows_of(batch))
        parameters = [*self.reader.module.parameters(), *self.head.parameters()]

        def loss_of(part: Tensor) -> Tensor:
            return self._loss(batch.select(part).trimmed(), weight[part])

        return descend(parameters, loss_of, row_order(len(batch), epochs, rows, seed), settings)

    def _loss(self, batch: Batch, weight: Tensor) -> Tensor:
        """Cross-entropy of the verdicts, and of the tokens of replies that hold throughout."""
        rows = _rows_of(batch)
        truth = (rows.score >= 0.5).to(weight.dtype)
        logits, logp = self.read(batch)
        judging = nn.functional.binary_cross_entropy_with_logits(logits, truth, weight, reduction="sum")
        whole = (truth.bool() | ~rows.mask).all(1)[:, None] & batch.policy_mask
        return judging / weight.sum().clamp(min=1e-9) - (logp * whole).sum() / whole.sum().clamp(min=1)

    # Keeping

    def save(self, folder: str | Path) -> None:
        """Write reader and head."""
        from safetensors.torch import save_file

        place = Path(folder)
        self.reader.save(place)
        save_file(self.head.state_dict(), str(place / _HEAD))
        about = {"name": self.name, "reader": type(self.reader).__name__, "rules": self._rules}
        (place / _ABOUT).write_text(json.dumps(about), "utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ConfigurationError: There is no critic in the folder.
        """
        from safetensors.torch import load_file

        place = Path(folder)
        if not (place / _ABOUT).exists():
            raise ConfigurationError(
                f"{str(folder)!r} holds no critic: expected a folder written by LearnedCritic.save."
            )
        about = json.loads((place / _ABOUT).read_text("utf-8"))
        critic = cls(_reader(about["reader"], place), rules=about["rules"], name=about["name"])
        critic.head.load_state_dict(load_file(str(place / _HEAD)))
        return critic


def auc_per_kind(
    critic: LearnedCritic, gold: Sequence[Episode], spoilt: Mapping[str, Sequence[tuple[Episode, int]]]
) -> dict[str, float | None]:
    """How well a critic tells steps that do not hold from those that do, kind by kind.

    A step that does not hold is compared with steps of gold traces that do the same thing: find, read, calc or pick.

    Args:
        critic: Under test.
        gold: Replies that hold throughout.
        spoilt: By kind, replies with the place of the first step that does not hold.

    Returns:
        Area under the curve by kind, 0.5 for guessing; None for a kind of which there is nothing.
    """
    holding: dict[str, list[float]] = {}
    for episode, judgement in zip(gold, critic.judge(gold), strict=True):
        if isinstance(judgement, Judgement):
            for step, scored in zip(reply_of(episode).steps, judgement.steps, strict=True):
                holding.setdefault(step.kind, []).append(scored.score)
    found: dict[str, float | None] = {}
    for kind, replies in spoilt.items():
        pairs: dict[str, list[float]] = {}
        for (episode, place), judgement in zip(replies, critic.judge([item for item, _ in replies]), strict=True):
            if isinstance(judgement, Judgement):
                pairs.setdefault(reply_of(episode).steps[place].kind, []).append(judgement.steps[place].score)
        areas = [(area(holding.get(name, []), scores), len(scores)) for name, scores in pairs.items()]
        known = [(value, number) for value, number in areas if value is not None]
        total = sum(number for _, number in known)
        found[kind] = sum(value * number for value, number in known) / total if total else None
    return found


def area(higher: Iterable[float], lower: Iterable[float]) -> float | None:
    """Chance that one of ``higher`` is above one of ``lower``, ties counting half; None where either is empty."""
    above, below = torch.tensor(list(higher)), torch.tensor(list(lower))
    if not len(above) or not len(below):
        return None
    difference = above[:, None] - below
    return float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())


def _rows_of(batch: Batch) -> CriticRows:
    assert batch.critic is not None, "the batch was made with judgements"
    return batch.critic


def _places(rows: CriticRows, policy_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens of each step, ``[N,K,T]`` bool, and where it has just been read, ``[N,K]``.

    That is at the token behind its last one, or at the last that was written.
    """
    places = torch.arange(rows.token_step.shape[1])
    of_step = rows.token_step[:, None, :] == torch.arange(rows.score.shape[1])[:, None]
    last = torch.where(of_step, places, -1).amax(2)
    end = torch.where(policy_mask, places, 0).amax(1)
    return of_step, torch.minimum(last + 1, end[:, None])


def _surprise(logp: Tensor, of_step: Tensor) -> Tensor:
    """Least log-probability of a step's tokens, and their sum, ``[N,K,2]``, from -1 to 0."""
    each = logp[:, None, :]
    least = torch.where(of_step, each, 0.0).amin(2)
    total = torch.where(of_step, each, 0.0).sum(2)
    return torch.stack((least, total), -1).clamp(min=-_SURPRISE) / _SURPRISE


def _balanced(rows: CriticRows) -> Tensor:
    """Weight of each step, ``[N,K]``: both verdicts count the same in all, and the mean weight is 1."""
    holds = rows.mask & (rows.score >= 0.5)
    fails = rows.mask & ~holds
    counts = holds.sum(), fails.sum()
    if not all(counts):
        raise DataError(
            f"{int(counts[0])} steps that hold and {int(counts[1])} that do not: a critic needs both to learn from."
        )
    total = float(rows.mask.sum())
    return (holds * (total / (2 * counts[0])) + fails * (total / (2 * counts[1]))).to(rows.score.dtype)


def _reader(kind: str, folder: Path) -> Any:
    if kind == "VisionLMPolicy":
        from fogline.agents.policies.vision import VisionLMPolicy

        return VisionLMPolicy(str(folder))
    from fogline.agents.policies.language import CausalLMPolicy

    return CausalLMPolicy(str(folder))
