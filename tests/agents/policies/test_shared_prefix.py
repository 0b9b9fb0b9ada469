"""Prompts that rows share are read once, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_language import FAMILIES, small_policy, tokenizer

from fogline.agents.policies import shared_prefix
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.shared_prefix import SharedPrefix

torch.set_num_threads(1)
WORDS = len(tokenizer())

Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Scored = tuple[torch.Tensor, list[torch.Tensor]]


def batch(prompts: list[int], members: list[int], following: list[int], seed: int = 0, padding: int = 0) -> Rows:
    """Rows of random words: row n begins with prompt ``members[n]`` and has ``following[n]`` more tokens.

    Every second one of those, the first included, is the policy's.
    """
    random = torch.Generator().manual_seed(seed)
    heads = [torch.randint(1, WORDS, (size,), generator=random) for size in prompts]
    width = max(prompts[who] + more for who, more in zip(members, following, strict=True)) + padding
    tokens = torch.zeros(len(members), width, dtype=torch.int64)
    exists, wrote = torch.zeros_like(tokens, dtype=torch.bool), torch.zeros_like(tokens, dtype=torch.bool)
    for row, (who, more) in enumerate(zip(members, following, strict=True)):
        start = prompts[who]
        tokens[row, :start] = heads[who]
        tokens[row, start : start + more] = torch.randint(1, WORDS, (more,), generator=random)
        exists[row, : start + more] = True
        wrote[row, start : start + more : 2] = True
    return tokens, exists, wrote


def scores_and_gradients(policy: CausalLMPolicy, rows: Rows) -> Scored:
    policy.module.zero_grad(set_to_none=True)
    forward = policy.score(*rows, {}, entropy=True)
    assert forward.entropy is not None
    weights = torch.linspace(-1, 1, forward.logp.numel(), dtype=forward.logp.dtype).view_as(forward.logp)
    (forward.logp * weights + 0.3 * forward.entropy).sum().backward()  # type: ignore[no-untyped-call]
    return forward.logp.detach(), [p.grad.clone() for p in policy.module.parameters() if p.grad is not None]


def check_equal(policy: CausalLMPolicy, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shared_prefix, "WORTHWHILE", 0.0)
        shared = scores_and_gradients(policy, rows)
        patch.setattr(shared_prefix, "WORTHWHILE", 2.0)
        whole = scores_and_gradients(policy, rows)
    check_close(shared, whole, exact=policy.model.config.model_type == "gpt2")


def check_close(found: Scored, expected: Scored, *, exact: bool) -> None:
    """The same scores and gradients; exactly only where no layer rounds to float32, as RMS norms do."""
    tolerance = 1e-11 if exact else 1e-5
    torch.testing.assert_close(found[0], expected[0], atol=1e-11, rtol=0)
    assert len(found[1]) == len(expected[1]) > 0
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, atol=tolerance * float(other.abs().max()), rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_and_gradients_are_those_of_whole_rows(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_equal(small_policy(family), batch([9, 9], [0, 0, 1, 1, 0], [5, 8, 2, 8, 1]), monkeypatch)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_may_differ_in_length(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_equal(small_policy(family), batch([9, 3, 14], [2, 0, 1, 0, 1], [5, 8, 3, 1, 4], padding=3), monkeypatch)


@settings(max_examples=25, deadline=None)
@given(
    prompts=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_any_shape_of_batch(prompts: list[int], rows: list[tuple[int, int]], seed: int) -> None:
    members = [who % len(prompts) for who, _ in rows]
    following = [more for _, more in rows]
    if not any(following):
        following[0] = 1
    made = batch(prompts, members, following, seed)
    with pytest.MonkeyPatch.context() as patch:
        check_equal(POLICY, made, patch)


POLICY = small_policy("gpt2")


def test_adapters_learn_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = {"r": 2, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    check_equal(small_policy(lora=adapters), batch([9], [0, 0, 0], [5, 8, 2]), monkeypatch)


def test_each_prompt_is_read_once() -> None:
    policy = small_policy()
    read: list[int] = []
    policy._backbone.register_forward_hook(
        lambda module, inputs, keywords, output: read.append(keywords["input_ids"].numel()), with_kwargs=True
    )
    policy.score(*batch([40, 40], [0, 0, 0, 1, 1, 1], [4] * 6), {})
    assert read == [2 * 40, 6 * 4]


def test_rows_without_a_common_prompt_are_read_whole() -> None:
    rows = batch([10, 10, 10], [0, 1, 2], [5, 5, 5])
    found = SharedPrefix(rows[0], rows[1].sum(1), rows[2])
    assert found.saved == 0 and not found.worthwhile
    together = batch([10], [0, 0, 0], [5, 5, 5])
    assert SharedPrefix(together[0], together[1].sum(1), together[2]).saved == pytest.approx(20 / 45)
