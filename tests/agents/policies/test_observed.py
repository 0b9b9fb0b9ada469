"""What is observed of the whole vocabulary is what an expectation over it gives, in the same pass, without gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gymnasium import spaces
from identity import Identity
from tabular import BigramPolicy, language_batch
from torch import Tensor

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm
from fogline.agents.policies.vector import policy_for
from fogline.trainers.batch import batch_of
from fogline.trainers.processes import Processes
from fogline.trainers.whole import forward_of_parts, scored_parts

torch.set_num_threads(1)


def moments(logp: Tensor) -> Tensor:
    finite = logp.clamp(min=-1e30)
    return torch.stack((-(logp.exp() * finite).sum(-1), logp.exp().square().sum(-1)), -1)


def language_policy(chunk: int | None) -> CausalLMPolicy:
    tokenizer = fit_tokenizer(["the quick brown fox jumps"], vocabulary_size=128)
    return CausalLMPolicy(
        tiny_causal_lm(tokenizer, layers=2, width=16, dtype=torch.float64, context=64), tokenizer, chunk=chunk
    )


def rows() -> tuple[Any, ...]:
    tokens = torch.randint(0, 100, (4, 12), generator=torch.Generator().manual_seed(0))
    attention = torch.arange(12) < torch.tensor([12, 9, 12, 5])[:, None]
    return tokens, attention, attention & (torch.arange(12) >= 3), {}


@pytest.mark.parametrize("chunk", [None, 1, 5])
@pytest.mark.parametrize("entropy", [False, True])
def test_a_language_model_observes_in_the_walk_that_scores(chunk: int | None, entropy: bool) -> None:
    policy, (tokens, attention, mask, context) = language_policy(chunk), rows()
    plain = policy.score(tokens, attention, mask, context, entropy=entropy)
    found = policy.score(tokens, attention, mask, context, entropy=entropy, observe=moments)
    assert plain.observed is None and found.observed is not None and not found.observed.requires_grad
    torch.testing.assert_close(found.observed, plain.expect(moments).detach(), rtol=0, atol=1e-12)
    assert torch.equal(found.observed[~mask], torch.zeros_like(found.observed[~mask]))
    if entropy:
        assert plain.entropy is not None and found.entropy is not None
        assert torch.equal(plain.entropy, found.entropy)
    gradients = []
    for forward in (plain, found):
        policy.module.zero_grad()
        forward.logp.sum().backward()  # type: ignore[no-untyped-call]
        gradients.append([item.grad.clone() for item in policy.module.parameters() if item.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_a_backward_pass_that_recomputes_does_not_observe_again() -> None:
    seen: list[int] = []

    def watched(logp: Tensor) -> Tensor:
        seen.append(len(logp))
        return moments(logp)

    tokens, attention, mask, context = rows()
    forward = language_policy(4).score(tokens, attention, mask, context, observe=watched)
    assert sum(seen) == mask.sum()
    forward.logp.sum().backward()  # type: ignore[no-untyped-call]
    assert sum(seen) == mask.sum()


@pytest.mark.parametrize("space", [spaces.Discrete(4), spaces.MultiDiscrete([2, 3])])
def test_choices_are_observed_jointly(space: spaces.Space[Any]) -> None:
    policy = policy_for(Identity(space, length=3), hidden=(8,))
    played = collect_all(lambda: Identity(space, length=3), policy, [("", seed) for seed in range(3)])
    batch = batch_of(played, policy)
    forward = policy.score(*scored_parts(batch), entropy=True, observe=moments)
    assert forward.observed is not None and forward.entropy is not None
    torch.testing.assert_close(forward.observed[..., 0], forward.entropy.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 20])
def test_parts_put_together_are_the_whole(size: int) -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    whole = policy.score(*scored_parts(batch), entropy=True, observe=moments)
    parts = list(torch.split(torch.randperm(len(batch), generator=torch.Generator().manual_seed(1)), size))
    found = forward_of_parts(
        lambda piece: policy.score(*scored_parts(piece), entropy=True, observe=moments),
        batch, parts, Processes(), entropy=True, observe=moments,
    )  # fmt: skip
    assert torch.equal(found.logp, whole.logp.detach()) and not found.logp.requires_grad
    assert found.entropy is not None and whole.entropy is not None and found.observed is not None
    torch.testing.assert_close(found.entropy, whole.entropy.detach(), rtol=0, atol=1e-14)
    torch.testing.assert_close(found.expect(moments), found.observed, rtol=0, atol=1e-14)
    torch.testing.assert_close(found.observed, whole.expect(moments).detach(), rtol=0, atol=1e-14)


def test_top_tokens_of_parts_are_those_of_the_whole() -> None:
    tokens, attention, mask, context = rows()
    policy = language_policy(None)
    top = torch.randint(0, 100, (4, 12, 3), generator=torch.Generator().manual_seed(2))
    whole = policy.score(tokens, attention, mask, context).gather(top).detach()
    batch = language_batch(BigramPolicy(), groups=(4,))
    batch = type(batch)(**{
        **vars(batch), "tokens": tokens, "attention_mask": attention, "policy_mask": mask, "masks": {"policy": mask},
        "behaviour_logp": torch.zeros(4, 12, dtype=torch.float64), "old_logp": torch.zeros(4, 12, dtype=torch.float64),
        "turn_index": mask.long() - 1,
    })  # fmt: skip
    found = forward_of_parts(
        lambda piece: policy.score(*scored_parts(piece)), batch, [torch.tensor([2, 0]), torch.tensor([3, 1])],
        Processes(),
    )  # fmt: skip
    torch.testing.assert_close(found.gather(top), whole, rtol=0, atol=1e-12)
