"""Policies whose gradients can be written down: a table of bigrams, and one free number for every token of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.forward import Forward, Reading
from fogline.agents.policies.policy import RowContext
from fogline.core.episode import Episode, Failure, Status, Turn
from fogline.trainers.batch import Batch, batch_of


def _refuse(_: Any) -> NoReturn:
    raise AssertionError("nothing here asks for the whole vocabulary")


def _placed(values: Tensor, mask: Tensor) -> Tensor:
    """Values ``[M,…]`` at the True places of a mask ``[N,T]``, 0 elsewhere."""
    return values.new_zeros(*mask.shape, *values.shape[1:]).index_put((mask,), values)


class BigramPolicy:
    """Writes ``length`` tokens a turn; the logits of a token depend on the token before it alone.

    Observations are sequences of token ids. All in float64, so that closed forms hold to rounding.
    """

    name = "bigram"
    batch_size: int | None = None
    together = False

    def __init__(self, vocabulary: int = 5, length: int = 2, *, critic: bool = False, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.vocabulary, self.length = vocabulary, length
        self.version = 0
        self.greedy = False
        self.has_critic = critic
        self.module = nn.Module()
        table = torch.randn(vocabulary + 1, vocabulary, dtype=torch.float64, generator=generator)
        self.module.register_parameter("table", nn.Parameter(table))
        if critic:
            values = torch.randn(vocabulary + 1, dtype=torch.float64, generator=generator)
            self.module.register_parameter("values", nn.Parameter(values))

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        logps = self.module.table.detach().log_softmax(-1).numpy()  # type: ignore[union-attr]
        decisions: list[Decision | Exception] = []
        for view in views:
            read = tuple(int(token) for token in np.asarray(view.observation).reshape(-1))
            before = read[-1] if read else self.vocabulary
            written, likely = [], []
            for _ in range(self.length):
                row = logps[before]
                drawn = int((np.exp(row).cumsum() <= view.rng.random()).sum())
                before = int(row.argmax()) if self.greedy else min(drawn, self.vocabulary - 1)
                written.append(before)
                likely.append(float(row[before]))
            decisions.append(Decision(written[-1], read, tuple(written), tuple(likely), self.version))
        return decisions

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        return RowContext()

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        *,
        entropy: bool = False,
        values: bool = False,
        observe: Callable[[Tensor], Tensor] | None = None,
        read: Reading | None = None,
    ) -> Forward:
        before = torch.cat([torch.full_like(tokens[:, :1], self.vocabulary), tokens[:, :-1]], 1)
        logps = self.module.table.log_softmax(-1)[before]  # type: ignore[union-attr,operator]
        zero = logps.new_zeros(())
        chosen = torch.where(policy_mask, logps.gather(-1, tokens[..., None]).squeeze(-1), zero)
        spread = torch.where(policy_mask, -(logps.exp() * logps).sum(-1), zero) if entropy else None

        def expect(fn: Callable[..., Tensor], beside: Tensor | None = None) -> Tensor:
            more = () if beside is None else (beside[policy_mask],)
            return _placed(fn(logps[policy_mask], *more), policy_mask)

        def gather(ids: Tensor) -> Tensor:
            return _placed(logps[policy_mask].gather(-1, ids[policy_mask]), policy_mask)

        observed = None if observe is None else expect(observe).detach()

        estimate = torch.where(policy_mask, self.module.values[before], zero) if values else None  # type: ignore[index]
        seen = None if read is None else expect(read.fn, read.beside)
        return Forward(chosen, spread, estimate, gather, expect, observed, seen)

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    def states(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> Tensor:
        before = torch.cat([torch.full_like(tokens[:, :1], self.vocabulary), tokens[:, :-1]], 1)
        logps = self.module.table.log_softmax(-1)[before]  # type: ignore[union-attr,operator]
        return torch.where(policy_mask[..., None], logps, 0.0)

    def distribution(self, states: Tensor) -> Tensor:
        return states

    def reference(self) -> BigramPolicy:
        return copy.deepcopy(self)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.module.state_dict(), folder / "bigram.pt")

    def bootstrap(self, context: Mapping[str, Tensor]) -> Tensor | None:
        return None


class FreePolicy(BigramPolicy):
    """Every token of one batch has a log-probability, an entropy and a value of its own: gradients by token."""

    def __init__(self, batch: Batch, *, drift: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        noise = drift * torch.randn(batch.tokens.shape, dtype=torch.float64, generator=generator)
        self.has_critic = True
        self.module = nn.Module()
        self.module.register_parameter("logp", nn.Parameter((batch.behaviour_logp + noise).reshape(-1)))
        self.module.register_parameter("entropy", nn.Parameter(torch.ones(batch.tokens.numel(), dtype=torch.float64)))
        self.module.register_parameter("values", nn.Parameter(torch.zeros(batch.tokens.numel(), dtype=torch.float64)))
        self.shape = batch.tokens.shape

    def place(self, batch: Batch) -> Batch:
        """The batch with what this policy needs to know its tokens again."""
        places = torch.arange(batch.tokens.numel()).reshape(batch.tokens.shape)
        return replace(batch, context={**batch.context, "place": places})

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        *,
        entropy: bool = False,
        values: bool = False,
        observe: Callable[[Tensor], Tensor] | None = None,
        read: Reading | None = None,
    ) -> Forward:
        parts = [dict(self.module.named_parameters())[name][context["place"]] for name in ("logp", "entropy", "values")]

        def expect(function: Callable[[Tensor], Tensor]) -> Tensor:
            """As if there were the token and one other: a number of its own for each token all the same."""
            likely = parts[0][policy_mask].detach().clamp(max=-1e-3)
            return _placed(function(torch.stack((likely, torch.log1p(-likely.exp())), -1)), policy_mask)

        observed = None if observe is None else expect(observe)

        return Forward(parts[0], parts[1] if entropy else None, parts[2] if values else None, _refuse, expect, observed)

    def gradient(self, name: str = "logp") -> Tensor:
        """Of the last update, ``[N,T]``."""
        gradient = dict(self.module.named_parameters())[name].grad
        return torch.zeros(self.shape, dtype=torch.float64) if gradient is None else gradient.reshape(self.shape)


def episode(
    task: str,
    seed: int,
    turns: Sequence[tuple[Sequence[int], Sequence[int], float]],
    *,
    schema: float = 0.0,
    schema_end: int = -1,
    status: Status = "terminated",
    policy: BigramPolicy | None = None,
) -> Episode:
    """An episode of (tokens read, tokens written, reward) turns, with the log-probabilities of a policy."""
    made, before = [], None
    for read, written, reward in turns:
        likely = []
        for token in [*read, *written]:
            if policy is not None:
                row = policy.module.table.detach().log_softmax(-1)  # type: ignore[union-attr]
                likely.append(float(row[policy.vocabulary if before is None else before, token]))
            before = token
        logps = tuple(likely[len(read) :]) if policy is not None else (-1.0,) * len(written)
        made.append(
            Turn(
                "agent",
                None,
                0,
                reward,
                {},
                context_token_ids=tuple(read),
                action_token_ids=tuple(written),
                logps=logps,
            )
        )
    failure = Failure("InfrastructureError", "the world went away") if status.endswith("_error") else None
    return Episode(
        "Tabular-v0",
        task,
        seed,
        tuple(made),
        status,
        outcome={"schema": schema, "correct": schema, "well_formed": 1.0, "process": (seed % 5) / 4},
        metrics={"schema_end_turn": schema_end},
        failure=failure,
    )


def language_batch(policy: BigramPolicy, seed: int = 0, groups: Sequence[int] = (4, 3, 1, 2)) -> Batch:
    """Ragged groups and rows, two to four turns each, a schema track, and one aborted row whose rewards are NaN."""
    random = np.random.default_rng(seed)
    episodes = []
    for group, size in enumerate(groups):
        for member in range(size):
            count = int(random.integers(2, 5))
            turns = [
                (
                    random.integers(policy.vocabulary, size=int(random.integers(1, 4))).tolist(),
                    random.integers(policy.vocabulary, size=int(random.integers(1, 5))).tolist(),
                    float(random.normal()),
                )
                for _ in range(count)
            ]
            aborted = group == 1 and member == 0
            episodes.append(
                episode(
                    f"task-{group}",
                    len(episodes),
                    turns,
                    schema=float(random.integers(2)),
                    schema_end=int(random.integers(-1, count)),
                    status="infra_error" if aborted else ("truncated" if member == 1 else "terminated"),
                    policy=policy,
                )
            )
    batch = batch_of(episodes, policy, dtype=torch.float64)
    session = {name: torch.where(batch.valid, values, torch.nan) for name, values in batch.session.items()}
    return replace(batch, session=session)
