"""Models that see and that two cores can train: a small LLaVA over the text model of :mod:`.tiny`."""

from __future__ import annotations

import copy
from typing import Any

import torch

from fogline.agents.policies.tiny import ACTION, END, OBSERVATION, SYSTEM, tiny_causal_lm
from fogline.core.errors import ConfigurationError

PICTURE = "<|image|>"

_LOUD = 5 / 3
"""Size of the first weights that read a patch, times the root of its inputs."""

_SAID = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{{ '" + PICTURE + "' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}"
)
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ '" + SYSTEM + "' }}" + _SAID + ""
    "{% elif message['role'] == 'assistant' %}{{ '" + ACTION + "' }}" + _SAID + "{{ '" + END + "' }}"
    "{% else %}{{ '" + OBSERVATION + "' }}" + _SAID + "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + ACTION + "' }}{% endif %}"
)
"""As the chat template of fitted tokenizers, for messages of text or of parts."""


def seeing_tokenizer(tokenizer: Any) -> Any:
    """A copy of a fitted tokenizer with an image token, and a chat template that knows pictures.

    Args:
        tokenizer: From :func:`~fogline.agents.policies.tiny.fit_tokenizer`; its ids stay as they are.
    """
    from tokenizers import AddedToken

    seeing = copy.deepcopy(tokenizer)
    seeing.add_tokens([AddedToken(PICTURE, special=True, normalized=False)], special_tokens=True)
    seeing.chat_template = TEMPLATE
    return seeing


def tiny_vision_lm(
    tokenizer: Any,
    *,
    image_size: int,
    patch: int = 16,
    layers: int = 3,
    width: int = 96,
    heads: int = 2,
    vision_layers: int = 1,
    vision_width: int = 48,
    context: int = 1024,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    induction: bool = True,
) -> Any:
    """Build an untrained model for a tokenizer.

    Args:
        tokenizer: From :func:`seeing_tokenizer`.
        image_size: Edge of its square pictures in pixels, a multiple of ``patch``.
        patch: Edge of a patch; each becomes a token.
        layers: As :func:`~fogline.agents.policies.tiny.tiny_causal_lm`, like all that is not named here.
        width: Size of the language model's hidden state.
        heads: Attention heads of language model and vision tower; must divide ``vision_width`` too.
        vision_layers: Blocks of the vision tower.
        vision_width: Size of its hidden state.
        context: Most tokens of a conversation, those of pictures included.
        seed: Of the weights; the global generator is left alone.
        dtype: Of the weights.
        induction: Begin with induction heads in the language model.

    Returns:
        A ``LlavaForConditionalGeneration``: a CLIP vision tower, whose class token is dropped, a projector of two
        layers, and exactly the text model that ``tiny_causal_lm`` builds, with tied embeddings.

    Raises:
        ConfigurationError: As there, or for a tokenizer without image token, a picture that is not whole patches or
            leaves no room for words, or heads that do not fit the vision tower.
    """
    image_id = tokenizer.convert_tokens_to_ids(PICTURE)
    if image_id is None or image_id == tokenizer.unk_token_id:
        raise ConfigurationError(f"the tokenizer has no {PICTURE!r}: expected one from seeing_tokenizer(…).")
    tokens = (image_size // patch) ** 2
    if image_size % patch or not 0 < tokens < context:
        raise ConfigurationError(
            f"image_size={image_size}, patch={patch}, context={context}: expected whole patches, and fewer than the "
            f"context has tokens ({tokens} patches). Raise the context, or take larger patches or smaller pictures."
        )
    if vision_width % heads:
        raise ConfigurationError(f"vision_width={vision_width} with heads={heads}: expected a multiple.")
    text = tiny_causal_lm(
        tokenizer, layers=layers, width=width, heads=heads, context=context, seed=seed, induction=induction
    )
    model = _untrained(text.config, image_id, image_size, patch, (vision_layers, vision_width, heads), seed)
    model.model.language_model.load_state_dict(text.model.state_dict())
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def _untrained(
    text_config: Any, image_id: int, image_size: int, patch: int, tower: tuple[int, int, int], seed: int
) -> Any:
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

    layers, width, heads = tower
    vision_config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=image_size,
        patch_size=patch,
        projection_dim=width,
    )
    config = LlavaConfig(
        text_config=text_config,
        vision_config=vision_config,
        image_token_index=image_id,
        image_seq_length=(image_size // patch) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
        # CLIP's own beginning is so faint beside its positions that a tower this small does not learn to see.
        patches = model.model.vision_tower.embeddings.patch_embedding.weight
        torch.nn.init.normal_(patches, std=_LOUD * (3 * patch * patch) ** -0.5)
    return model
