"""A small LLaVA over the tiny text model: the same words, an image token more, and a tower."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_language import TEXTS

from fogline.agents.policies.tiny import TEMPLATE as TEXT_TEMPLATE
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.policies.tiny_vision import PICTURE, seeing_tokenizer, tiny_vision_lm
from fogline.core.episode import Episode, Turn
from fogline.core.errors import ConfigurationError

torch.set_num_threads(1)

FITTED = fit_tokenizer(TEXTS, vocabulary_size=160)
SEEING = seeing_tokenizer(FITTED)


def built(**options: Any) -> Any:
    return tiny_vision_lm(SEEING, **{"image_size": 32, "layers": 2, "width": 32, "context": 128, **options})


def test_the_image_token_comes_last_and_the_fitted_tokenizer_stays_as_it_is() -> None:
    assert SEEING.convert_tokens_to_ids(PICTURE) == len(FITTED) == len(SEEING) - 1
    assert PICTURE not in FITTED.get_vocab() and FITTED.chat_template == TEXT_TEMPLATE
    text = TEXTS[0]
    assert SEEING(text)["input_ids"] == FITTED(text)["input_ids"]
    ids = SEEING(f"{PICTURE}{PICTURE}{text}")["input_ids"]
    assert ids[:2] == [len(FITTED)] * 2 and SEEING.decode(ids) == f"{PICTURE}{PICTURE}{text}"


def test_its_template_says_the_same_of_texts_and_of_parts() -> None:
    talk = [("system", "the owl"), ("user", "a dog"), ("assistant", "a cat"), ("user", "the dog")]
    texts = [{"role": role, "content": content} for role, content in talk]
    parts = [{"role": role, "content": [{"type": "text", "text": content}]} for role, content in talk]
    for prompt in (False, True):
        expected = FITTED.apply_chat_template(texts, add_generation_prompt=prompt, tokenize=False)
        for messages in (texts, parts):
            assert SEEING.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False) == expected
    seen = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "a dog"}]}]
    assert SEEING.apply_chat_template(seen, tokenize=False) == f"<|observation|>{PICTURE}a dog"


def test_its_text_model_is_that_of_the_tiny_language_model() -> None:
    model = built(seed=3)
    text = tiny_causal_lm(SEEING, layers=2, width=32, context=128, seed=3)
    ids = torch.arange(6, 40)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, text(input_ids=ids).logits, atol=0, rtol=0)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert model.generation_config.eos_token_id == SEEING.eos_token_id
    config = model.config
    assert (config.image_seq_length, config.vision_feature_layer) == (4, -1)


def test_a_patch_is_a_token() -> None:
    model = built(image_size=48, patch=8)
    features = model.get_image_features(torch.zeros(2, 3, 48, 48)).pooler_output
    assert [tuple(item.shape) for item in features] == [(36, 32)] * 2


def test_the_seed_decides_the_weights_and_nothing_else_moves() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = list(built().state_dict().values())
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one, other) for one, other in zip(first, built().state_dict().values(), strict=True))
    other = built(seed=1).state_dict()
    assert not torch.equal(other["model.vision_tower.embeddings.patch_embedding.weight"], first[1])
    assert {weight.dtype for weight in built(dtype=torch.float64).parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"image_size": 40}, "image_size=40, patch=16"),
        ({"image_size": 0}, "image_size=0"),
        ({"image_size": 192}, "144 patches"),
        ({"vision_width": 33}, "vision_width=33 with heads=2"),
        ({"width": 30}, "width=30 with heads=2"),
        ({"layers": 1}, "induction=False"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        built(**options)


def test_a_tokenizer_without_image_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="seeing_tokenizer"):
        tiny_vision_lm(FITTED, image_size=32)


def test_texts_of_episodes_with_pictures_are_questions_and_actions() -> None:
    import numpy as np

    observation = {"image": np.zeros((4, 4, 3), np.uint8), "question": "a dog"}
    turn = Turn("agent", observation, "a cat", 0.0, {})
    assert episode_texts([Episode("E", "t", 0, (turn,), "terminated")], ["rules"]) == [["rules", "a dog", "a cat"]]
