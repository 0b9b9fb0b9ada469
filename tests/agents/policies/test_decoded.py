"""A policy that writes by a decoding method: plain is the model's own, batches change nothing, seeds decide."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from small_matcher import matcher
from small_vision import EDGE, PicturesEnv, act, family, played, qwen2_vl, shown, small_policy, tokenizer, view

from fogline.agents.collector import collect_all
from fogline.agents.decoding import DECODERS, make_decoder
from fogline.agents.decoding.icd import DISTURBANCE
from fogline.agents.policies.tiny_vision import PICTURE
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.core.episode import Episode
from fogline.core.errors import AgentError, ConfigurationError
from fogline.trainers.batch import batch_of
from fogline.trainers.config import RolloutConfig
from fogline.trainers.rollouts import Rollouts

torch.set_num_threads(1)

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "pnd": {"saliency": "attention"},
    "agla": {"saliency": "attention", "keep_share": 0.5},
    "sid": {"layer": 1, "keep": 2},
    "pai": {"first_layer": 0},
    "dola": {"bucket": (0, 1)},
    "opera": {"beams": 2, "candidates": 2},
}
"""What two layers, four image tokens and no matcher ask for."""
TALK = [[shown(0), shown(1, "a dog"), shown(2)], [shown(3, "owl")], [shown(0), shown(0)]]


def policy_of(name: str | None, **options: Any) -> VisionLMPolicy:
    """A greedy one, of few words."""
    decoder = None if name is None else make_decoder(name, **OPTIONS.get(name, {}))
    policy = small_policy(**{"decoding": decoder, "max_new_tokens": 3, **options})
    policy.greedy = True
    return policy


@cache
def talked(name: str | None) -> list[Episode]:
    """Conversations of several lengths, all at once."""
    return played(policy_of(name), TALK)


def written(episodes: Sequence[Episode]) -> list[list[tuple[int, ...]]]:
    return [[turn.action_token_ids for turn in item.turns] for item in episodes]


def logps(episodes: Sequence[Episode]) -> list[float]:
    return [logp for item in episodes for turn in item.turns for logp in turn.logps]


def own_logps(policy: VisionLMPolicy, episodes: Sequence[Episode]) -> list[float]:
    """What a policy without decoder finds of what was written, if no picture's token may be."""
    batch = batch_of(episodes, policy, dtype=torch.float64)
    with torch.no_grad():
        whole = policy.distribution(policy.states(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context))
    whole[..., tokenizer().convert_tokens_to_ids(PICTURE)] = float("-inf")
    found: list[float] = whole.log_softmax(-1).gather(2, batch.tokens[..., None])[..., 0][batch.policy_mask].tolist()
    return found


def test_plain_decoding_is_the_policy_itself_over_several_turns() -> None:
    own, plain = talked(None), talked("plain")
    assert written(own) == written(plain)
    contexts = [[turn.context_token_ids for item in episodes for turn in item.turns] for episodes in (own, plain)]
    assert contexts[0] == contexts[1]
    assert logps(plain) == pytest.approx(own_logps(policy_of(None), own), abs=1e-5)


def test_the_temperature_is_in_what_is_stored_and_in_what_is_sampled() -> None:
    whole, plain = policy_of(None, temperature=2.5), policy_of("plain", temperature=2.5)
    episodes = [[shown(number)] for number in range(6)]
    for greedy in (True, False):
        plain.greedy = greedy
        found = played(plain, episodes)
        assert logps(found) == pytest.approx(own_logps(whole, found), abs=1e-5)
        assert (written(found) == written(played(whole, episodes))) == greedy


@pytest.mark.parametrize("name", DECODERS)
def test_a_batch_is_its_rows_and_every_token_has_its_probability(name: str) -> None:
    together = talked(name)
    policy = policy_of(name)
    for number, observations in enumerate(TALK):
        alone = view(f"seat {number}", None)
        for turn, observation in zip(together[number].turns, observations, strict=True):
            alone.observation = observation
            assert act(policy, [alone])[0].action_token_ids == turn.action_token_ids
    for turn in (turn for item in together for turn in item.turns):
        assert 1 <= len(turn.action_token_ids) <= 3
        # A beam search chooses from no distribution, and says no log-probabilities.
        assert len(turn.logps) == (0 if name == "opera" else len(turn.action_token_ids))
        assert all(logp <= 0 for logp in turn.logps)


@pytest.mark.parametrize("name", ["vcd", "pnd", "plain"])
def test_seats_decide_what_is_sampled_whatever_is_beside_them(name: str) -> None:
    policy = policy_of(name)
    policy.greedy = False
    seats = [("a", shown(0)), ("b", shown(1, "the dog sees an owl")), ("c", shown(0))]
    together = [decision.action_token_ids for decision in act(policy, [view(*seat) for seat in seats])]
    alone = [act(policy, [view(*seat)])[0].action_token_ids for seat in seats]
    assert together == alone
    assert together[0] != together[2], "two seats that see the same"


@pytest.mark.parametrize("name", [name for name in DECODERS if name not in ("plain", "opera")])
def test_no_method_is_secretly_plain(name: str) -> None:
    """Nor do methods that read attention lose their guest in a decoder that passes nothing on."""
    assert [turn.logps for turn in talked(name)[0].turns] != [turn.logps for turn in talked("plain")[0].turns]


def test_what_a_models_folder_asks_of_generate_is_left_out() -> None:
    policy = policy_of("plain")
    config = policy.model.generation_config
    config.update(repetition_penalty=9.0, no_repeat_ngram_size=1, min_new_tokens=3, num_beams=3, temperature=0.1)
    assert written(played(policy, TALK)) == written(talked("plain"))
    assert policy.model.generation_config is config


def test_rows_with_less_room_end_earlier_and_change_no_other() -> None:
    """Searches look as far as their limit: a limit of its own is a batch of its own."""
    policy = policy_of("opera", max_context=32)
    long = view("long", shown(0, "the cat " * 4))
    first, second = act(policy, [long, view("short", shown(1))])
    room = 32 - len(first.context_token_ids)
    assert 0 < room < 3 and len(first.action_token_ids) <= room
    assert second.action_token_ids == act(policy, [view("short", shown(1))])[0].action_token_ids


# Evidence


def test_told_evidence_is_of_every_picture_as_the_model_is_shown_it() -> None:
    asked: list[tuple[str, tuple[int, ...]]] = []

    def saliency(observation: Mapping[str, Any]) -> torch.Tensor:
        asked.append((observation["question"], observation["image"].shape))
        return torch.eye(4)

    policy = policy_of(None, decoding=make_decoder("pnd", saliency="oracle"), saliency=saliency)
    played(policy, TALK[:2])
    assert [question for question, _ in asked] == ["the cat", "owl", "a dog", "the cat"]
    assert {shape for _, shape in asked} == {(EDGE, EDGE, 3)}


def test_maps_decide_and_empty_ones_change_nothing() -> None:
    def said(fill: float) -> tuple[float, ...]:
        decoder = make_decoder("pnd", saliency="oracle", gamma=0.0, beta=0.0)
        policy = policy_of(None, decoding=decoder, saliency=lambda observation: torch.full((4, 4), fill))
        return act(policy, [view("a", shown(0))])[0].logps

    sharpened = policy_of(None, decoding="plain", temperature=1 / 3.2)
    assert said(0.0) == pytest.approx(act(sharpened, [view("a", shown(0))])[0].logps, abs=1e-4)
    assert said(1.0) != pytest.approx(said(0.0), abs=1e-3)


def test_a_matcher_reads_the_questions_in_its_own_tokens() -> None:
    read: list[list[str]] = []

    def words(texts: list[str], **_: Any) -> dict[str, torch.Tensor]:
        read.append(texts)
        return {"input_ids": torch.tensor([[1, 5, 2]] * len(texts)), "attention_mask": torch.ones(len(texts), 3)}

    found = make_decoder("pnd", matcher=matcher())
    act(policy_of(None, decoding=found, matcher_tokenizer=words), [view("a", shown(1)), view("b", shown(1, "a dog"))])
    assert read == [["the cat", "a dog"]]
    with pytest.raises(ConfigurationError, match="pass matcher_tokenizer= as well"):
        small_policy(decoding=found)


# What a policy knows of its model


def test_views_know_black_and_white_and_a_disturbance_is_in_the_models_words() -> None:
    plain = policy_of("pnd")
    assert (plain.decoding.options.image_mean, plain.decoding.options.image_std) == ((1.0,) * 3, (0.5,) * 3)
    model, processor = family("llava")
    own = VisionLMPolicy(model, processor=processor, decoding=make_decoder("agla", saliency="attention"))
    assert own.decoding.options.image_mean == pytest.approx(processor.image_processor.image_mean)
    told = make_decoder("pnd", saliency="attention", image_mean=(0.0,))
    assert small_policy(decoding=told).decoding.options.image_mean == (0.0,)
    ids = policy_of("icd").decoding.options.disturbance
    assert tokenizer().decode(ids) == tokenizer().decode(tokenizer()(DISTURBANCE, add_special_tokens=False).input_ids)
    assert small_policy(decoding=make_decoder("icd", disturbance=(7, 8))).decoding.options.disturbance == (7, 8)


@pytest.mark.parametrize("name", ["llava", "internvl", "idefics3", "smolvlm"])
def test_families_with_their_own_processors_write_what_they_write_without(name: str) -> None:
    model, processor = family(name)
    observations = [[shown(0), shown(1, "a dog")], [shown(2)]]
    said = []
    for decoding in (None, "plain", make_decoder("pnd", saliency="attention")):
        policy = VisionLMPolicy(model, processor=processor, max_new_tokens=4, decoding=decoding)
        policy.greedy = True
        said.append(written(played(policy, observations)))
    assert said[0] == said[1]
    assert all(turns for turns in said[2])


def test_a_family_that_cannot_be_trained_here_can_be_decoded() -> None:
    """Qwen's positions are of three dimensions: generate lays them out, the policy's own passes do not."""
    model, processor = qwen2_vl()
    policy = VisionLMPolicy(model, processor=processor, max_new_tokens=4, decoding="plain")
    policy.greedy = True
    decisions = act(policy, [view("a", shown(0)), view("b", shown(1, "a dog"))])
    image = shown(1)["image"]
    pixels = processor.image_processor(images=[image], return_tensors="pt")
    ids = torch.tensor([decisions[1].context_token_ids])
    types = (ids == model.config.image_token_id).int()
    expected = model.generate(
        input_ids=ids, mm_token_type_ids=types, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False,
        pixel_values=pixels["pixel_values"].double(), image_grid_thw=pixels["image_grid_thw"],
        suppress_tokens=[model.config.image_token_id],
    )  # fmt: skip
    assert tuple(expected[0, ids.shape[1] :].tolist()) == decisions[1].action_token_ids
    with pytest.raises(ConfigurationError, match="three dimensions"):
        VisionLMPolicy(model, processor=processor)


def test_adapters_take_part() -> None:
    pytest.importorskip("peft")
    lora = {"r": 2, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    own, plain = (policy_of(name, lora=lora) for name in (None, "plain"))
    plain.model.load_state_dict(own.model.state_dict())
    assert written(played(plain, TALK[:2])) == written(played(own, TALK[:2]))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copy_plays_the_same(duplicate: Any) -> None:
    """Other processes get one."""
    assert written(played(duplicate(policy_of("pnd")), TALK)) == written(talked("pnd"))


def test_episodes_of_the_collector_hold_what_was_written() -> None:
    episodes = collect_all(PicturesEnv, policy_of("vcd"), [("length-1", 0), ("length-3", 1)])
    assert [len(item.turns) for item in episodes] == [1, 3]
    assert all(turn.logps and turn.action_token_ids for item in episodes for turn in item.turns)


# What cannot work


def test_what_nobody_can_do_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'pnd'"):
        small_policy(decoding="pdn")
    with pytest.raises(ConfigurationError, match=r"needs an image-text matcher.*saliency='attention'"):
        small_policy(decoding="pnd")
    with pytest.raises(ConfigurationError, match=r"told where the evidence is: pass saliency="):
        small_policy(decoding=make_decoder("pnd", saliency="oracle"))
    with pytest.raises(ConfigurationError, match="VCD does not ask where the evidence is"):
        small_policy(decoding="vcd", saliency=lambda observation: torch.eye(2))
    searching = policy_of("opera")
    searching.greedy = False
    with pytest.raises(ConfigurationError, match="set the policy's greedy=True"):
        searching.act([view("a", shown(0))])


def test_a_family_that_no_decoder_knows_is_refused_before_anything_is_written() -> None:
    model, processor = family("gemma3")
    with pytest.raises(ConfigurationError, match=r"model_type='gemma3' is of no known family: expected one of 'llava'"):
        VisionLMPolicy(model, processor=processor, decoding="plain")


def test_training_through_a_decoder_is_refused_and_says_why() -> None:
    policy = policy_of("vcd")
    with pytest.raises(ConfigurationError, match=r"not by the distribution that is trained.*evaluate with it"):
        Rollouts(PicturesEnv, policy, PicturesEnv.task_ids, RolloutConfig())
    batch = batch_of(talked("vcd"), policy, dtype=torch.float64)
    with pytest.raises(ConfigurationError, match="decoding method VCD, whose distribution is not the model's own"):
        policy.score(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context)


def test_damaged_weights_end_the_episode_and_an_unfit_picture_its_own_alone() -> None:
    policy = policy_of("plain")
    unfit, fine = policy.act([view("a", {"question": "the cat"}), view("b", shown(0))])
    assert isinstance(unfit, AgentError) and not isinstance(fine, Exception)
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.fill_(np.nan)
    with pytest.raises(AgentError, match="are not numbers"):
        policy.act([view("b", shown(0))])
