"""The policy that sees: pictures stand where its tokens say, in sampling and in scoring, and nowhere else."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from small_language import WordsEnv
from small_vision import (
    EDGE,
    FAMILIES,
    SHAPE,
    PicturesEnv,
    act,
    family,
    picture,
    played,
    shown,
    small_model,
    small_policy,
    tokenizer,
    turn,
    view,
)
from torch import Tensor

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.policies import shared_prefix
from fogline.agents.policies.forward import Forward
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.policy import ROW_PREFIX, Policy
from fogline.agents.policies.shared_prefix import SharedPrefix
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.policies.tiny_vision import PICTURE
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.core.episode import Episode, Turn
from fogline.core.errors import AgentError, ConfigurationError, DataError, MissingDependencyError
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.config import PolicyConfig, RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.setup import demonstrations, make_policy, make_trainer, picture_shape
from fogline.trainers.sft import fine_tune, transcribe
from fogline.trainers.teachers import LocalTeacher

torch.set_num_threads(1)

LOOK = [[shown(0)], [shown(1)], [shown(0)], [shown(0, "a dog")], [shown(1)], [shown(0)]]
TALK = [
    [shown(0), shown(1, "a dog"), shown(2)],
    [shown(0), shown(0)],
    [shown(0), shown(1, "a dog")],
    [shown(3, "owl")],
]
IMAGE_ID = tokenizer().convert_tokens_to_ids(PICTURE)
TABLES: dict[str, Any] = {"size": "tiny", "prompt": "short", "observation": "image", "level": 1, "tasks_per_level": 8}


def laid_out(policy: VisionLMPolicy, episodes: Sequence[Episode]) -> Batch:
    return batch_of(episodes, policy, dtype=torch.float64)


def scored(policy: VisionLMPolicy, batch: Batch, **options: Any) -> Forward:
    return policy.score(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context, **options)


def own_logp(policy: VisionLMPolicy, batch: Batch, images: Sequence[Any]) -> Tensor:
    """Log-probabilities by the model's own forward pass, which is given the pixels; 0 where nothing was written."""
    dtype = next(policy.model.parameters()).dtype
    pixels = policy._encoder.pixels.inputs(images)["pixel_values"].to(dtype)
    mask = batch.attention_mask.long()
    logits = policy.model(input_ids=batch.tokens, attention_mask=mask, pixel_values=pixels).logits
    logp = torch.log_softmax(logits[:, :-1] / policy.temperature, -1).gather(2, batch.tokens[:, 1:, None])[..., 0]
    return torch.cat((torch.zeros_like(logp[:, :1]), logp), 1) * batch.policy_mask


def images_of(episodes: Sequence[Episode]) -> list[Any]:
    return [turn.observation["image"] for episode in episodes for turn in episode.turns]


@contextmanager
def sharing(least: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_prefix, "WORTHWHILE", least)
        yield


# What is sampled is what is scored


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("observations", [LOOK, TALK], ids=["look", "talk"])
@pytest.mark.parametrize("least", [0.0, 2.0], ids=["shared", "whole"])
def test_scores_are_what_was_sampled_and_the_models_own(
    dtype: torch.dtype, tolerance: float, observations: Any, least: float
) -> None:
    policy = small_policy(dtype, temperature=1.3)
    episodes = played(policy, observations, "the owl")
    batch = laid_out(policy, episodes)
    with sharing(least):
        forward = scored(policy, batch, entropy=True)
    assert batch.policy_mask.any() and forward.entropy is not None
    assert (forward.logp - batch.behaviour_logp).abs().max() < tolerance
    assert (forward.logp - own_logp(policy, batch, images_of(episodes))).abs().max() < tolerance


def test_what_the_padding_holds_does_not_matter() -> None:
    policy = small_policy()
    batch = laid_out(policy, played(policy, TALK))
    expected = scored(policy, batch).logp
    for filler in (0, IMAGE_ID):
        tokens = batch.tokens.masked_fill(~batch.attention_mask, filler)
        torch.testing.assert_close(scored(policy, replace(batch, tokens=tokens)).logp, expected, atol=1e-12, rtol=0)


def test_half_precision_scores_in_single() -> None:
    single = small_policy(torch.float32)
    half = VisionLMPolicy(small_model(torch.float32), tokenizer(), max_new_tokens=6, dtype="bfloat16")
    batch = laid_out(half, played(half, LOOK))
    found = scored(half, batch).logp
    assert next(half.module.parameters()).dtype == torch.bfloat16 and found.dtype == torch.float32
    assert (found - batch.behaviour_logp).abs().max() < 0.1
    assert (found - scored(single, batch).logp).abs().max() < 0.2


def test_a_row_scores_as_it_does_alone() -> None:
    policy = small_policy()
    episodes = played(policy, TALK)
    together = scored(policy, laid_out(policy, episodes)).logp
    for index, episode in enumerate(episodes):
        alone = scored(policy, laid_out(policy, [episode])).logp
        torch.testing.assert_close(together[index, : alone.shape[1]], alone[0], atol=1e-12, rtol=0)


def test_what_is_sampled_depends_on_the_seat_alone() -> None:
    together = act(small_policy(), [view(name, shown(n)) for n, name in enumerate("abc")])
    again = act(small_policy(), [view(name, shown(n)) for n, name in reversed(list(enumerate("abc")))])
    alone = [act(small_policy(), [view(name, shown(n))])[0] for n, name in enumerate("abc")]
    assert [own.action_token_ids for own in alone] == [own.action_token_ids for own in together]
    assert [own.action_token_ids for own in reversed(again)] == [own.action_token_ids for own in together]


def test_the_picture_decides_and_nothing_beside_it() -> None:
    policy = small_policy()
    first, other, again = act(policy, [view("a", shown(0)), view("a", shown(1)), view("a", shown(0))])
    assert first.context_token_ids == other.context_token_ids
    assert again.action_token_ids == first.action_token_ids != other.action_token_ids
    assert again.logps == pytest.approx(first.logps, abs=1e-12) and abs(again.logps[0] - other.logps[0]) > 1e-3


def test_new_weights_read_every_picture_again() -> None:
    policy = small_policy()
    seats = [view(name, shown(n)) for n, name in enumerate("ab")]
    turns: list[list[Turn]] = [[], []]
    for step in range(3):
        if step == 2:
            with torch.no_grad():
                for weight in policy.module.parameters():
                    weight.mul_(1.05)
        for number, decision in enumerate(act(policy, seats)):
            turns[number].append(turn(seats[number].observation, decision))
            seats[number].observation = shown(step + number, "a dog")
    batch = laid_out(policy, [Episode("E", "t", n, tuple(own), "terminated") for n, own in enumerate(turns)])
    difference = (scored(policy, batch).logp - batch.behaviour_logp).abs()
    assert difference[batch.turn_index == 2].max() < 1e-10
    assert min(float(difference[batch.turn_index == early].max()) for early in (0, 1)) > 1e-3


def test_conversations_keep_the_ids_of_the_tokenizer() -> None:
    policy = small_policy()
    seat = view("a", shown(0))
    said: list[int] = []
    for seed in (1, 2, 3):
        (decision,) = act(policy, [seat])
        said += [*decision.context_token_ids, *decision.action_token_ids]
        assert seat.memory["policy.conversation"].tokens == said
        seat.observation = shown(seed)
    assert max(said) < policy.vocabulary_size and said.count(IMAGE_ID) == 12


def test_an_image_token_that_the_policy_wrote_shows_nothing() -> None:
    """It is a word like others: in sampling, in reading again after new weights, and in scoring."""
    policy = small_policy()
    policy.greedy = True
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[IMAGE_ID] *= 40
    seat = view("a", shown(0))
    first = act(policy, [seat])[0]
    assert IMAGE_ID in first.action_token_ids and PICTURE in first.action
    policy.version += 1
    seat.observation = shown(1, "a dog")
    second = act(policy, [seat])[0]
    turns = (turn(shown(0), first), turn(shown(1, "a dog"), second))
    batch = laid_out(policy, [Episode("E", "t", 0, turns, "terminated")])
    assert batch.context[ROW_PREFIX + "images"].shape[1] == 2
    torch.testing.assert_close(scored(policy, batch).logp, batch.behaviour_logp, atol=1e-10, rtol=0)


# Sharing


def test_rows_share_a_prompt_where_picture_and_words_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = small_policy()
    batch = laid_out(policy, played(policy, LOOK))
    owners: list[list[int]] = []
    plain = SharedPrefix.__init__

    def noted(self: SharedPrefix, *arguments: Any) -> None:
        plain(self, *arguments)
        owners.append(self.owner.tolist())

    monkeypatch.setattr(SharedPrefix, "__init__", noted)
    scored(policy, batch)
    assert owners == [[0, 1, 0, 2, 1, 0]]


def test_each_distinct_picture_is_looked_at_once_and_none_is_kept() -> None:
    policy = small_policy()
    policy._encoder.count((*SHAPE, 3))
    looked: list[int] = []
    policy.model.model.vision_tower.register_forward_hook(
        lambda module, inputs, output: looked.append(len(output.last_hidden_state))
    )
    episodes = played(policy, TALK)
    assert looked == [2, 2, 1]
    looked.clear()
    scored(policy, laid_out(policy, episodes))
    assert looked == [4]
    assert policy._reader._bank is None


# Gradients


def gradients(policy: VisionLMPolicy, logp: Tensor) -> dict[str, Tensor]:
    policy.module.zero_grad(set_to_none=True)
    weights = torch.linspace(-1, 1, logp.numel(), dtype=logp.dtype).view_as(logp)
    (logp * weights).sum().backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.clone() for name, p in policy.module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("observations", [LOOK, TALK], ids=["look", "talk"])
@pytest.mark.parametrize("least", [0.0, 2.0], ids=["shared", "whole"])
def test_gradients_are_those_of_the_models_own_forward(observations: Any, least: float) -> None:
    policy = small_policy()
    episodes = played(policy, observations)
    batch = laid_out(policy, episodes)
    expected = gradients(policy, own_logp(policy, batch, images_of(episodes)))
    with sharing(least):
        found = gradients(policy, scored(policy, batch).logp)
    assert found.keys() == expected.keys()
    assert any("vision_tower" in name for name in found) and any("projector" in name for name in found)
    for name, gradient in found.items():
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(gradient, expected[name], atol=1e-9 * max(scale, 1e-3), rtol=1e-9)
    assert found["model.vision_tower.embeddings.patch_embedding.weight"].abs().max() > 1e-6


def test_a_critic_sees_too_and_its_file_is_kept(tmp_path: Path) -> None:
    policy = small_policy(critic=True)
    batch = laid_out(policy, played(policy, LOOK))
    with torch.no_grad():
        policy.module["critic"].weight[0, 0] = 1.0  # type: ignore[index]
    values = scored(policy, batch, values=True).values
    assert values is not None and values[0].abs().max() > 0
    assert values[0].ne(values[1]).any() and torch.allclose(values[0, :8], values[2, :8])
    policy.save(tmp_path)
    again = scored(VisionLMPolicy(tmp_path, critic=True), batch, values=True).values
    assert again is not None
    torch.testing.assert_close(again, values, atol=1e-12, rtol=0)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_sight_gets_no_gradient_and_the_language_model_does(frozen: bool) -> None:
    policy = small_policy(freeze_sight=frozen)
    sight = {id(weight) for weight in policy.sight()}
    named = {name: weight for name, weight in policy.model.named_parameters() if id(weight) in sight}
    assert {name.split(".")[1] for name in named} == {"vision_tower", "multi_modal_projector"}
    batch = laid_out(policy, played(policy, LOOK))
    scored(policy, batch).logp.sum().backward()  # type: ignore[no-untyped-call]
    assert all((weight.grad is None) == frozen for name, weight in named.items() if "multi_modal" in name)
    assert policy.model.get_input_embeddings().weight.grad.abs().max() > 0


# Episodes


def episodes_of(policy: VisionLMPolicy) -> list[Episode]:
    tasks = [(f"length-{1 + index % 3}", index) for index in range(6)]
    return collect_all(PicturesEnv, policy, tasks, concurrency=6)


def test_an_episode_of_the_collector_is_laid_out_and_scored() -> None:
    policy = small_policy()
    assert isinstance(policy, Policy) and policy.together
    episodes = episodes_of(policy)
    batch = laid_out(policy, episodes)
    assert batch.context[ROW_PREFIX + "images"].shape == (6, 3, EDGE, EDGE, 3)
    assert (batch.context[ROW_PREFIX + "images"][0, 1:] == 0).all()
    assert (scored(policy, batch).logp - batch.behaviour_logp).abs().max() < 1e-10
    rows = torch.tensor([4, 0, 5])
    part = scored(policy, batch.select(rows).trimmed()).logp
    torch.testing.assert_close(part, scored(policy, batch).logp[rows, : part.shape[1]], atol=1e-12, rtol=0)
    first = policy.tokenizer.decode(episodes[0].turns[0].context_token_ids)
    question = episodes[0].turns[0].observation["question"]
    assert first == f"<|system|>the owl sees<|observation|>{PICTURE * 4}{question}<|action|>"


def test_episodes_that_are_stored_are_laid_out_the_same() -> None:
    policy = small_policy()
    episodes = episodes_of(policy)
    kept = [Episode.from_json(episode.to_json()) for episode in episodes]
    one, other = laid_out(policy, episodes), laid_out(policy, kept)
    assert torch.equal(one.tokens, other.tokens)
    assert torch.equal(one.context[ROW_PREFIX + "images"], other.context[ROW_PREFIX + "images"])


def test_a_demonstration_reads_as_if_the_policy_had_said_it() -> None:
    policy = small_policy()
    (episode,) = [item for item in episodes_of(policy) if len(item.turns) == 3][:1]
    copied = policy.transcribe(episode, PicturesEnv.system_prompt)
    end = tokenizer().eos_token_id
    for index, (own, lesson) in enumerate(zip(episode.turns, copied.turns, strict=True)):
        ended = index == 0 or episode.turns[index - 1].action_token_ids[-1] == end
        assert not ended or lesson.context_token_ids == own.context_token_ids
        assert lesson.action_token_ids[-1] == end and not any(lesson.logps)
    batch = laid_out(policy, [copied])
    assert batch.context[ROW_PREFIX + "images"].shape[1] == 3
    assert scored(policy, batch).logp[batch.policy_mask].max() < 0


def test_a_teacher_that_sees_gives_whole_distributions() -> None:
    policy = small_policy()
    batch = laid_out(policy, played(policy, LOOK))
    teacher = LocalTeacher(small_policy(seed=2))
    states = teacher.model.states(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context)
    logp = teacher.model.distribution(states).gather(2, batch.tokens[..., None])[..., 0] * batch.policy_mask
    torch.testing.assert_close(logp, scored(small_policy(seed=2), batch).logp, atol=1e-10, rtol=0)


def test_the_question_is_rendered_and_the_rules_can_be_left_out() -> None:
    policy = small_policy(rules=False, render=lambda question: f"the {question}")
    (decision,) = act(policy, [view("a", shown(0, "dog"), "the owl sees")])
    assert policy.tokenizer.decode(decision.context_token_ids) == f"<|observation|>{PICTURE * 4}the dog<|action|>"


@pytest.mark.parametrize("template", ["plain", "chatml"])
def test_templates_of_text_alone_begin_a_message_with_its_picture(template: str) -> None:
    policy = small_policy(chat_template=template)
    batch = laid_out(policy, played(policy, TALK, "the owl"))
    text = policy.tokenizer.decode(batch.tokens[0][batch.attention_mask[0]])
    assert text.count(PICTURE * 4 + "the cat") == 2 and PICTURE * 4 + "a dog" in text
    assert (scored(policy, batch).logp - batch.behaviour_logp).abs().max() < 1e-10


# Copies and files


def test_a_reference_stays_where_the_policy_was() -> None:
    policy = small_policy()
    batch = laid_out(policy, played(policy, LOOK))
    reference = policy.reference()
    before = scored(policy, batch).logp.detach()
    with torch.no_grad():
        for weight in policy.module.parameters():
            weight.mul_(1.2)
    frozen = reference.score(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context).logp
    assert not frozen.requires_grad
    torch.testing.assert_close(frozen, before, atol=1e-12, rtol=0)
    assert (scored(policy, batch).logp - before).abs().max() > 1e-3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copy_plays_on_its_own(duplicate: Callable[[VisionLMPolicy], VisionLMPolicy]) -> None:
    policy = small_policy()
    expected = act(policy, [view("b", shown(1))])
    twin = duplicate(policy)
    assert act(twin, [view("b", shown(1))]) == expected
    with torch.no_grad():
        next(twin.module.parameters()).zero_()
        twin.model.model.vision_tower.embeddings.patch_embedding.weight.zero_()
    assert act(policy, [view("b", shown(1))]) == expected
    assert act(twin, [view("b", shown(1))]) != expected


def test_a_saved_policy_is_the_same_and_transformers_reads_and_generates_what_it_does(tmp_path: Path) -> None:
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    policy = small_policy(max_new_tokens=12)
    batch = laid_out(policy, played(policy, TALK))
    policy.save(tmp_path / "deep" / "saved")
    again = VisionLMPolicy(tmp_path / "deep" / "saved", max_new_tokens=12)
    weights = policy.module.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in again.module.state_dict().items())
    torch.testing.assert_close(scored(again, batch).logp, scored(policy, batch).logp, atol=1e-12, rtol=0)
    policy.greedy = True
    image = picture(5, (EDGE, EDGE))
    (decision,) = act(policy, [view("a", {"image": image, "question": "a dog"}, "the owl")])
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "deep" / "saved")
    loader: Any = AutoProcessor
    processor = loader.from_pretrained(tmp_path / "deep" / "saved")
    parts = [{"type": "image", "image": Image.fromarray(image)}, {"type": "text", "text": "a dog"}]
    talk: Any = [{"role": "system", "content": "the owl"}, {"role": "user", "content": parts}]
    inputs = processor.apply_chat_template(
        talk, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert tuple(inputs["input_ids"][0].tolist()) == decision.context_token_ids
    ids = model.generate(**inputs.to(torch.float64), do_sample=False, max_new_tokens=12)
    assert tuple(ids[0, inputs["input_ids"].shape[1] :].tolist()) == decision.action_token_ids


def test_adapters_alone_are_trained_and_the_reference_has_none(tmp_path: Path) -> None:
    policy = small_policy(lora={"r": 2, "target_modules": "all-linear"})
    base = small_policy()
    batch = laid_out(base, played(base, LOOK))
    with torch.no_grad():
        for name, weight in policy.module.named_parameters():
            if "lora_B" in name:
                weight.add_(0.1)
    expected, changed = scored(base, batch).logp, scored(policy, batch).logp
    assert (changed - expected).abs().max() > 1e-2
    frozen = policy.reference().score(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context).logp
    torch.testing.assert_close(frozen, expected.detach(), atol=1e-12, rtol=0)
    found = gradients(policy, changed)
    assert all("lora_" in name for name in found) and any("vision_tower" in name for name in found)
    policy.save(tmp_path)
    torch.testing.assert_close(scored(VisionLMPolicy(tmp_path), batch).logp, changed.detach(), atol=1e-9, rtol=0)


# Families


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("qwen2-vl", "gemma3")])
def test_families_with_their_own_processors(name: str, tmp_path: Path) -> None:
    model, processor = family(name)
    policy = VisionLMPolicy(model, processor=processor, max_new_tokens=5)
    observations = [[shown(0), shown(1, "a dog")], [shown(0)], [shown(2)]]
    episodes = played(policy, observations)
    batch = laid_out(policy, episodes)
    for least in (0.0, 2.0):
        with sharing(least):
            found = scored(policy, batch).logp
        assert (found - batch.behaviour_logp).abs().max() < 1e-10
    text = f"<|observation|>{policy._encoder.mark}the cat<|action|>"
    inputs = processor(text=[text], images=[[picture(2)]], return_tensors="pt", add_special_tokens=False)
    prompt = episodes[2].turns[0].context_token_ids
    assert tuple(inputs["input_ids"][0].tolist()) == prompt
    policy.greedy = True
    (decision,) = act(policy, [view("a", shown(2))])
    ids = model.generate(**inputs.to(torch.float64), do_sample=False, max_new_tokens=5)
    assert tuple(ids[0, len(prompt) :].tolist()) == decision.action_token_ids
    policy.save(tmp_path)
    again = scored(VisionLMPolicy(tmp_path), batch).logp
    torch.testing.assert_close(again, found, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("name", "why"), [("qwen2-vl", "three dimensions"), ("gemma3", "other logits for a picture")])
def test_families_that_read_pictures_in_a_way_of_their_own_are_refused(name: str, why: str) -> None:
    model, processor = family(name)
    with pytest.raises(ConfigurationError, match=f"{why}.*LLaVA pattern"):
        VisionLMPolicy(model, processor=processor)


def test_a_processor_that_counts_otherwise_than_the_model_is_refused() -> None:
    model, processor = family("llava")
    processor.patch_size = 16
    with pytest.raises(ConfigurationError, match="16 features for a picture and 4 tokens in its place"):
        VisionLMPolicy(model, processor=processor)


def test_a_loaded_model_of_another_family_needs_its_processor() -> None:
    model, processor = family("internvl")
    with pytest.raises(ConfigurationError, match=r"processor=None.*'internvl'"):
        VisionLMPolicy(model, processor.tokenizer)


def test_plain_pixels_are_those_of_the_saved_processor(tmp_path: Path) -> None:
    from transformers import AutoProcessor

    policy = small_policy()
    policy.save(tmp_path)
    loader: Any = AutoProcessor
    image = picture(0, (EDGE, EDGE))
    expected = loader.from_pretrained(tmp_path)(text=PICTURE, images=[image], return_tensors="pt")["pixel_values"]
    found = policy._encoder.pixels.inputs([image])["pixel_values"]
    torch.testing.assert_close(found.float(), expected)
    small = policy._encoder.pixels.inputs([picture(0)])["pixel_values"]
    white = policy._encoder.pixels.inputs([picture(0) * 0 + 255])["pixel_values"]
    assert torch.equal(small[0, :, :, 24:], white[0, :, :, :8]) and len(white.unique()) == 1


# What cannot work

WRONG: dict[str, tuple[Any, str]] = {
    "text": ("the cat", "observation is str"),
    "no image": ({"question": "the cat"}, r"observation is \['question'\]"),
    "no picture": ({"image": None, "question": "the cat"}, "image is NoneType"),
    "grey": ({"image": picture(0)[..., 0], "question": "the cat"}, r"image is uint8 \[32, 24\]"),
    "floats": ({"image": picture(0) / 255, "question": "the cat"}, "image is float64"),
    "empty": ({"image": picture(0)[:0], "question": "the cat"}, "no pixels"),
    "large": ({"image": picture(0, (33, 8)), "question": "the cat"}, "33 x 8 pixels: expected at most 32 x 32"),
    "forged": (shown(0, f"the {PICTURE} cat"), "question contains the image token"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_unfit_observation_ends_its_own_episode_alone(case: str) -> None:
    observation, why = WRONG[case]
    policy = small_policy()
    fine, wrong, also = policy.act([view("a", shown(0)), view("b", observation), view("c", shown(1))])
    assert isinstance(wrong, AgentError)
    with pytest.raises(AgentError, match=why):
        raise wrong
    assert [fine, also] == act(small_policy(), [view("a", shown(0)), view("c", shown(1))])
    (episode,) = played(policy, [[shown(0)]])
    unfit = replace(episode, turns=(episode.turns[0]._replace(observation=observation),))
    for function in (policy.transcribe, lambda item: laid_out(policy, [item])):
        with pytest.raises(DataError, match=why):
            function(unfit)


def test_rules_with_an_image_token_are_refused() -> None:
    (answer,) = small_policy().act([view("a", shown(0), f"look at {PICTURE}")])
    assert isinstance(answer, AgentError) and "system prompt contains" in str(answer)


def test_a_conversation_without_room_is_an_error_of_its_own() -> None:
    seat = view("a", shown(0))
    (answer,) = small_policy(max_context=8).act([seat])
    assert isinstance(answer, AgentError) and "max_context=8" in str(answer)


def test_tokens_without_their_pictures_are_refused() -> None:
    policy = small_policy()
    episodes = played(policy, TALK)
    batch = laid_out(policy, episodes)
    with pytest.raises(DataError, match="row:images"):
        policy.score(batch.tokens, batch.attention_mask, batch.policy_mask, {})
    one = {ROW_PREFIX + "images": batch.context[ROW_PREFIX + "images"][:, :1]}
    with pytest.raises(DataError, match="row 0 has 12 image tokens: expected 4 for each picture, and at most 1"):
        policy.score(batch.tokens, batch.attention_mask, batch.policy_mask, one)
    words = replace(episodes[3], turns=(episodes[3].turns[0]._replace(context_token_ids=(9, 9)),))
    with pytest.raises(DataError, match="0 image tokens for a picture of 4"):
        laid_out(policy, [words])


def test_pictures_of_several_shapes_are_refused_where_they_are_kept_as_they_are() -> None:
    model, processor = family("llava")
    policy = VisionLMPolicy(model, processor=processor, max_new_tokens=3)
    other = {"image": picture(0, (20, 20)), "question": "the cat"}
    together = played(policy, [[shown(0)], [other]])
    with pytest.raises(DataError, match="differ in their first axis"):
        laid_out(policy, together)
    with pytest.raises(DataError, match="expected one shape"):
        laid_out(policy, played(policy, [[shown(0), other]]))


def test_a_folder_without_image_processor_and_a_tokenizer_without_image_token_are_refused(tmp_path: Path) -> None:
    words = fit_tokenizer(["the cat"], vocabulary_size=160)
    text = tiny_causal_lm(words, layers=2, width=32)
    CausalLMPolicy(text, words).save(tmp_path)
    with pytest.raises(ConfigurationError, match=r"image processor|no processor can be loaded"):
        VisionLMPolicy(tmp_path)
    with pytest.raises(ConfigurationError, match="image_token_id"):
        VisionLMPolicy(small_model(), words)
    with pytest.raises(ConfigurationError, match="image_token_id is None"):
        VisionLMPolicy(text, words)


def test_without_pillow_saving_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    policy = small_policy()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"fogline\[vision\]"):
        policy.save(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"fogline\[vision\]"):
        VisionLMPolicy(tmp_path)


# Wiring


def test_the_size_of_pictures_is_read_off_the_space() -> None:
    assert picture_shape(PicturesEnv()) == (32, 24)
    assert picture_shape(WordsEnv()) is None
    env = make_environment("VisualTable-v0", {**TABLES, "observation": "symbols"})
    assert picture_shape(env) is None


def test_a_tiny_policy_is_built_for_what_the_environment_shows() -> None:
    settings = PolicyConfig(model="tiny", layers=2, width=32, patch=8, vocabulary_size=128, dtype="float64")
    texts = [["".join(letters)] for letters in product("abcd", "efgh", "ijkl", "mnop")]
    policy = make_policy(settings, PicturesEnv(), texts=lambda: texts)
    assert isinstance(policy, VisionLMPolicy)
    vision = policy.model.config.vision_config
    assert (vision.image_size, vision.patch_size) == (32, 8) and len(policy.tokenizer) == 128
    odd = make_policy(settings.model_copy(update={"patch": 9}), PicturesEnv(), texts=lambda: texts)
    assert isinstance(odd, VisionLMPolicy) and odd.model.config.vision_config.image_size == 36
    assert not isinstance(make_policy(settings, WordsEnvOfText(), texts=lambda: texts), VisionLMPolicy)


class WordsEnvOfText(PicturesEnv):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = self.action_space


def test_fine_tuning_learns_what_a_table_shows_from_its_demonstrator(tmp_path: Path) -> None:
    episodes = demonstrations("VisualTable-v0", TABLES, "oracle", make_environment("VisualTable-v0", TABLES).task_ids)
    settings = PolicyConfig(model="tiny", layers=2, width=32, max_context=128)
    policy = make_policy(settings, make_environment("VisualTable-v0", TABLES), texts=partial(episode_texts, episodes))
    assert isinstance(policy, VisionLMPolicy)
    batch = transcribe(policy, episodes)
    log = fine_tune(policy, batch, learner=LearnerConfig(learning_rate=3e-3), epochs=8, rows=4, out=tmp_path)
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    again = VisionLMPolicy(tmp_path / "policy")
    forward = again.score(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context)
    torch.testing.assert_close(forward.logp, scored(policy, batch).logp, atol=1e-6, rtol=0)


@pytest.mark.parametrize("observation", ["image", "symbols"])
def test_a_table_is_learned_by_pgpo(observation: str, tmp_path: Path) -> None:
    config = TrainConfig(
        recipe="pgpo",
        env="VisualTable-v0",
        env_kwargs={**TABLES, "observation": observation},
        updates=2,
        policy=PolicyConfig(model="tiny", layers=2, width=32, max_context=160, max_new_tokens=12),
        rollout=RolloutConfig(tasks_per_update=2, group_size=4),
        out=str(tmp_path),
    )
    trainer = make_trainer(config)
    trainer.train()
    assert isinstance(trainer.policy, VisionLMPolicy) == (observation == "image")
    assert trainer.policy.version == 2 and (tmp_path / "policy" / "model.safetensors").exists()
