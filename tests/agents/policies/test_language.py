"""The language policy as a trainer sees it: exact scores, copies, references, files."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_language import FAMILIES, WordsEnv, act, rows_of, small_model, small_policy, tokenizer, view

from fogline.agents.agent import Decision
from fogline.agents.collector import collect_all
from fogline.agents.policies.forward import Forward
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.policy import Policy
from fogline.agents.policies.tiny import fit_tokenizer
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError, MissingDependencyError

torch.set_num_threads(1)


def histories(policy: CausalLMPolicy, turns: int = 2) -> list[list[Decision]]:
    views = [view("a", "the cat"), view("b", "a dog sees the owl"), view("c", "owl")]
    said: list[list[Decision]] = [[] for _ in views]
    for _ in range(turns):
        for index, decision in enumerate(act(policy, views)):
            said[index].append(decision)
            views[index].observation = "and a dog"
    return said


def scored(policy: CausalLMPolicy, rows: tuple[torch.Tensor, ...], **options: Any) -> Forward:
    return policy.score(rows[0], rows[1], rows[2], {}, **options)


def whole_distribution(policy: CausalLMPolicy, rows: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Log-probabilities ``[N,T,V]`` of each place's token, by the model's own forward pass."""
    logits = policy.model(input_ids=rows[0], attention_mask=rows[1].long()).logits
    logp = torch.log_softmax(logits / policy.temperature, -1)
    return torch.cat((torch.zeros_like(logp[:, :1]), logp[:, :-1]), 1)


# Scores


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk", [None, 1, 4])
def test_scores_are_the_models_own(family: str, chunk: int | None) -> None:
    policy = small_policy(family, temperature=1.3, chunk=chunk)
    rows = rows_of(histories(policy))
    full, wrote = whole_distribution(policy, rows), rows[2]
    forward = scored(policy, rows, entropy=True)
    assert forward.entropy is not None and forward.values is None
    picked = full.gather(2, rows[0][..., None])[..., 0]
    torch.testing.assert_close(forward.logp, picked.where(wrote, 0.0), atol=1e-9, rtol=0)
    entropy = -(full.exp() * full).sum(-1)
    torch.testing.assert_close(forward.entropy, entropy.where(wrote, 0.0), atol=1e-9, rtol=0)
    ids = torch.stack((rows[0], rows[0] * 0 + 5, rows[0].flip(1)), -1)
    torch.testing.assert_close(forward.gather(ids), full.gather(2, ids).where(wrote[..., None], 0.0), atol=1e-9, rtol=0)
    squares = forward.expect(lambda logp: logp.square().mean(-1))
    torch.testing.assert_close(squares, full.square().mean(-1).where(wrote, 0.0), atol=1e-9, rtol=0)


@pytest.mark.parametrize("chunk", [1, 5])
def test_gradients_do_not_depend_on_the_chunk(chunk: int) -> None:
    def gradients(size: int | None) -> list[torch.Tensor]:
        policy = small_policy(chunk=size, critic=True)
        rows = rows_of(histories(policy))
        forward = scored(policy, rows, entropy=True, values=True)
        assert forward.entropy is not None and forward.values is not None
        spread = forward.expect(lambda logp: (logp.exp() * logp.square()).sum(-1))
        total = (
            forward.logp + 0.3 * forward.entropy + 0.2 * spread + forward.gather(rows[0][..., None])[..., 0].square()
        )
        (total.sum() + (forward.values - 1).square().sum()).backward()  # type: ignore[no-untyped-call]
        return [weight.grad for weight in policy.module.parameters() if weight.grad is not None]

    expected, found = gradients(None), gradients(chunk)
    assert len(expected) == len(found) > 10
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-9)


def test_logits_of_all_places_never_exist_at_once() -> None:
    policy = small_policy(chunk=3)
    rows = rows_of(histories(policy))
    sizes: list[int] = []
    policy._head.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[0]))
    scored(policy, rows, entropy=True).logp.sum().backward()  # type: ignore[no-untyped-call]
    assert max(sizes) == 3 and len(sizes) > 4


@settings(max_examples=15, deadline=None)
@given(padding=st.integers(1, 40), filler=st.integers(0, 100), double=st.booleans())
def test_padding_never_matters(padding: int, filler: int, double: bool) -> None:
    policy = POLICIES[double]
    rows = rows_of(SAID, padding)
    rows[0].masked_fill_(~rows[1], filler)
    forward = scored(policy, rows, entropy=True)
    plain = scored(policy, rows_of(SAID), entropy=True)
    tolerance = 1e-12 if double else 1e-6
    width = plain.logp.shape[1]
    torch.testing.assert_close(forward.logp[:, :width], plain.logp, atol=tolerance, rtol=tolerance)
    assert forward.entropy is not None and plain.entropy is not None
    torch.testing.assert_close(forward.entropy[:, :width], plain.entropy, atol=tolerance, rtol=tolerance)
    assert not forward.logp[:, width:].any()


def test_a_row_scores_as_it_does_alone() -> None:
    policy = POLICIES[True]
    rows = rows_of(SAID)
    together = scored(policy, rows).logp
    for index in range(len(SAID)):
        alone = scored(policy, rows_of(SAID[index : index + 1])).logp
        torch.testing.assert_close(together[index, : alone.shape[1]], alone[0], atol=1e-12, rtol=1e-12)


POLICIES = {True: small_policy(), False: small_policy(dtype=torch.float32)}
SAID = histories(small_policy())


def test_gradient_reaches_policy_tokens_only() -> None:
    policy = POLICIES[True]
    tokens, exists, wrote, _ = rows_of(SAID)
    nothing = policy.score(tokens, exists, torch.zeros_like(wrote), {}, entropy=True)
    assert not nothing.logp.any()


def test_a_first_token_cannot_be_the_policys() -> None:
    tokens, exists, wrote, _ = rows_of(SAID)
    with pytest.raises(DataError, match="first token"):
        POLICIES[True].score(tokens, exists, wrote | exists, {})


def test_a_row_longer_than_the_context_is_refused() -> None:
    tokens, exists, wrote, _ = rows_of(SAID)
    with pytest.raises(DataError, match="max_context=8"):
        small_policy(max_context=8).score(tokens, exists, wrote, {})


def test_half_precision_scores_in_single() -> None:
    policy = small_policy(dtype=torch.float32)
    half = CausalLMPolicy(small_model(dtype=torch.float32), tokenizer(), max_new_tokens=6, dtype="bfloat16")
    rows = rows_of(histories(half))
    forward = scored(half, rows)
    assert next(half.module.parameters()).dtype == torch.bfloat16
    assert forward.logp.dtype == torch.float32
    assert (forward.logp - rows[3]).abs().max() < 0.1
    assert (forward.logp - scored(policy, rows).logp).abs().max() < 0.2


# The critic


def test_a_critic_begins_at_zero_and_learns_beside_the_model() -> None:
    policy = small_policy(critic=True)
    rows = rows_of(histories(policy))
    values = scored(policy, rows, values=True).values
    assert policy.has_critic and values is not None and not values.any()
    before = len(list(small_policy().module.parameters()))
    assert len(list(policy.module.parameters())) == before + 2
    (values - 1.0).square().sum().backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for weight in policy.module.parameters():
            if weight.grad is not None:
                weight -= 0.1 * weight.grad
    after = scored(policy, rows, values=True).values
    assert after is not None and bool(after[rows[2]].all()) and not after[~rows[2]].any()


def test_values_without_a_critic_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="critic=True"):
        scored(POLICIES[True], rows_of(SAID), values=True)


# Episodes


def episodes(policy: CausalLMPolicy, **options: Any) -> list[Episode]:
    tasks = [(f"length-{1 + index % 4}", index) for index in range(8)]
    return collect_all(WordsEnv, policy, tasks, concurrency=8, **options)


def test_an_episode_is_one_growing_list_of_tokens() -> None:
    policy = small_policy()
    for episode in episodes(policy):
        assert episode.status == "terminated"
        first = policy.template.start(WordsEnv.system_prompt, episode.turns[0].observation)
        assert policy.tokenizer.decode(episode.turns[0].context_token_ids) == first
        for turn in episode.turns:
            ids = [index for index in turn.action_token_ids if index != policy.tokenizer.eos_token_id]
            assert turn.action == policy.tokenizer.decode(ids)
            assert turn.policy_version == 0 and len(turn.logps) == len(turn.action_token_ids)


def test_what_is_sampled_depends_on_seed_task_and_seat_alone() -> None:
    expected = [[turn.action_token_ids for turn in episode.turns] for episode in episodes(small_policy())]
    again = [collect_all(WordsEnv, small_policy(), [(f"length-{1 + index % 4}", index)])[0].turns for index in range(8)]
    assert [[turn.action_token_ids for turn in turns] for turns in again] == expected


def test_the_collector_asks_for_all_at_once() -> None:
    policy = small_policy()
    assert isinstance(policy, Policy) and policy.together and policy.batch_size is None
    assert policy.context([], None).per_token == {} and policy.bootstrap({}) is None


def test_rules_can_be_left_out() -> None:
    policy = small_policy(rules=False)
    assert all(
        "owl sees" not in policy.tokenizer.decode(turns.turns[0].context_token_ids[:2]) for turns in episodes(policy)
    )


def test_a_demonstration_reads_as_if_the_policy_had_said_it() -> None:
    policy = small_policy()
    (episode,) = collect_all(WordsEnv, policy, [("length-4", 1)])
    copied = policy.transcribe(episode, WordsEnv.system_prompt)
    end = tokenizer().eos_token_id
    before = None
    for turn, lesson in zip(episode.turns, copied.turns, strict=True):
        text = policy.template.reply(turn.observation, end) if before else tokenizer().decode(turn.context_token_ids)
        assert tokenizer().decode(lesson.context_token_ids) == text
        assert tokenizer().decode(lesson.action_token_ids[:-1]) == turn.action
        assert lesson.action_token_ids[-1] == end and not any(lesson.logps)
        before = turn


def test_observations_that_are_no_text_are_rendered() -> None:
    policy = small_policy(render=lambda seen: f"the {seen['animal']}")
    (turn,) = act(policy, [view("a", {"animal": "owl"})])  # type: ignore[arg-type]
    assert "the owl" in policy.tokenizer.decode(turn.context_token_ids)


# Characters


def test_characters_that_the_tokenizer_misses_are_named_with_the_fix() -> None:
    policy = small_policy()
    with pytest.raises(ConfigurationError, match=r"'é' \(U\+00E9\), '中' \(U\+4E2D\).*alphabet"):
        policy.act([view("a", "the café of 中")])
    with pytest.raises(ConfigurationError, match="U\\+00E9"):
        policy.check_vocabulary(["fine", "é"])
    policy.check_vocabulary(["fine", "the cat"])


def test_a_known_alphabet_is_read() -> None:
    letters = fit_tokenizer(["the cat"], vocabulary_size=130, alphabet="é中")
    ids = letters("café 中", add_special_tokens=False)["input_ids"]
    assert letters.decode(ids) == "café 中"


# Copies and files


def test_a_reference_stays_where_the_policy_was() -> None:
    policy = small_policy()
    rows = rows_of(histories(policy))
    reference = policy.reference()
    before = scored(policy, rows).logp.detach()
    with torch.no_grad():
        for weight in policy.module.parameters():
            weight.mul_(1.2)
    frozen = reference.score(rows[0], rows[1], rows[2], {}).logp
    assert not frozen.requires_grad
    torch.testing.assert_close(frozen, before, atol=1e-12, rtol=0)
    assert (scored(policy, rows).logp - before).abs().max() > 1e-3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copy_plays_on_its_own(duplicate: Any) -> None:
    policy = small_policy(critic=True)
    seat = view("a", "the cat")
    act(policy, [seat])
    twin = duplicate(policy)
    assert twin.tokens_forwarded == 0
    (expected,) = act(small_policy(), [view("b", "a dog")])
    (found,) = act(twin, [view("b", "a dog")])
    assert found == expected
    with torch.no_grad():
        next(twin.module.parameters()).zero_()
    assert next(policy.module.parameters()).any()
    assert twin.module["critic"] is twin._critic


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_policy_is_read_by_transformers_and_by_us(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    policy = small_policy(family, critic=True)
    rows = rows_of(histories(policy))
    with torch.no_grad():
        policy.module["critic"].bias.fill_(0.5)  # type: ignore[index]
    policy.save(tmp_path / "deep" / "saved")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "deep" / "saved")
    if family == "llama":
        # For other families AutoTokenizer takes their published class, whatever the file says.
        restored = AutoTokenizer.from_pretrained(tmp_path / "deep" / "saved")
        text = "the cat sees 7 dogs"
        assert restored(text)["input_ids"] == tokenizer()(text)["input_ids"]
        assert restored.chat_template == policy.template.source
    assert model.config.eos_token_id == policy.tokenizer.eos_token_id
    again = CausalLMPolicy(tmp_path / "deep" / "saved", tokenizer(), max_new_tokens=6, critic=True)
    torch.testing.assert_close(scored(again, rows).logp, scored(policy, rows).logp, atol=1e-12, rtol=0)
    values = scored(again, rows, values=True).values
    assert values is not None and bool((values[rows[2]] == 0.5).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_likeliest_action_is_what_transformers_generates(family: str) -> None:
    policy = small_policy(family, max_new_tokens=12)
    policy.greedy = True
    (turn,) = act(policy, [view("a", "the cat sees")])
    prompt = torch.tensor([turn.context_token_ids])
    ids = policy.model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12)
    assert tuple(ids[0, prompt.shape[1] :].tolist()) == turn.action_token_ids


# LoRA


def test_adapters_alone_are_trained_and_the_reference_has_none(tmp_path: Path) -> None:
    policy = small_policy(lora={"r": 2, "target_modules": "all-linear"})
    base = small_policy()
    rows = rows_of(histories(policy))
    trainable = [name for name, weight in policy.module.named_parameters() if weight.requires_grad]
    assert trainable and all("lora_" in name for name in trainable)
    with torch.no_grad():
        for name, weight in policy.module.named_parameters():
            if "lora_B" in name:
                weight.add_(0.3)
    expected = scored(base, rows).logp
    changed = scored(policy, rows).logp
    assert (changed - expected).abs().max() > 1e-2
    torch.testing.assert_close(policy.reference().score(*rows[:3], {}).logp, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(scored(policy, rows).logp, changed, atol=1e-12, rtol=0)
    changed.sum().backward()  # type: ignore[no-untyped-call]
    for name, weight in policy.module.named_parameters():
        assert (weight.grad is not None) == (name in trainable)
    policy.save(tmp_path / "merged")
    merged = CausalLMPolicy(tmp_path / "merged")
    torch.testing.assert_close(scored(merged, rows).logp, changed.detach(), atol=1e-9, rtol=0)
    policy.save(tmp_path / "adapter", merge=False)
    assert (tmp_path / "adapter" / "adapter_config.json").exists()
    torch.testing.assert_close(scored(policy, rows).logp, changed, atol=1e-12, rtol=0)


def test_adapted_policies_store_what_they_score() -> None:
    policy = small_policy("qwen2", lora={"r": 2, "target_modules": ["q_proj", "v_proj"]})
    with torch.no_grad():
        for name, weight in policy.module.named_parameters():
            if "lora_B" in name:
                weight.add_(0.3)
    rows = rows_of(histories(policy))
    assert (scored(policy, rows).logp - rows[3]).abs().max() < 1e-9


def test_adapters_without_peft_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError, match=r"fogline\[lora\]"):
        small_policy(lora={"r": 2})


@pytest.mark.parametrize(
    "options", [{"rank": 2}, {"r": 2, "lora_dropout": 0.1}, {"r": 2, "target_modules": ["nowhere"]}]
)
def test_adapters_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="lora"):
        small_policy(lora=options)


# What cannot work


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.0}, {"temperature": -1.0}, {"max_new_tokens": 0}, {"chunk": 0}, {"max_context": 0}],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        small_policy(**options)


def test_a_context_beyond_the_models_positions_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="256 positions"):
        small_policy(max_context=257)


def test_unknown_places_and_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        CausalLMPolicy(tmp_path, tokenizer())
    with pytest.raises(ConfigurationError, match="dtype='float7'"):
        small_policy(dtype=torch.float32).__class__(small_model(), tokenizer(), dtype="float7")
    with pytest.raises(ConfigurationError, match="tokenizer=None"):
        CausalLMPolicy(small_model())


def test_a_sliding_window_is_right_within_and_refused_beyond() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    shape = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    config: Any = MistralConfig(
        vocab_size=len(tokenizer()), num_key_value_heads=3, sliding_window=48, max_position_embeddings=256, **shape
    )
    model: Any = MistralForCausalLM(config)
    with pytest.raises(ConfigurationError, match="sliding window of 48"):
        CausalLMPolicy(model.double(), tokenizer())
    policy = CausalLMPolicy(model.double(), tokenizer(), max_context=48, max_new_tokens=5)
    rows = rows_of(histories(policy))
    assert (scored(policy, rows).logp - rows[3]).abs().max() < 1e-9


def test_a_model_that_caps_its_logits_is_refused() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    shape = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    config: Any = Gemma2Config(
        vocab_size=len(tokenizer()),
        num_key_value_heads=3,
        head_dim=8,
        final_logit_softcapping=0.05,
        sliding_window=256,
        max_position_embeddings=256,
        **shape,
    )
    model: Any = Gemma2ForCausalLM(config)
    with pytest.raises(ConfigurationError, match="its own logits"):
        CausalLMPolicy(model.double(), tokenizer(), max_context=256)
