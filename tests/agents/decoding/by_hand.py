"""A Llama decoder written out in numpy: what the decoders are checked against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class Pass:
    """One forward pass of one sequence.

    Attributes:
        logits: ``[T,V]``.
        states: Embeddings and what each layer made of them, ``[T,D]``; the last one is not normalised.
        attention: Each layer's weights, ``[heads,T,T]``.
    """

    logits: Array
    states: list[Array]
    attention: list[Array]


def softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    shares: Array = raised / raised.sum(-1, keepdims=True)
    return shares


def log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


def read(model: Any, embeddings: Array, edit: Callable[[int, Array, list[Array]], Array] | None = None) -> Pass:
    """Read a sequence.

    Args:
        model: A causal Llama, or a model whose ``get_decoder`` is one.
        embeddings: ``[T,D]``.
        edit: Changes the masked scores ``[heads,T,T]`` of a layer before the softmax, knowing earlier layers' weights.
    """
    decoder, config = model.get_decoder(), model.get_decoder().config
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = config.hidden_size // heads
    steps = len(embeddings)
    causal = np.tril(np.ones((steps, steps), bool))

    def weight(module: Any) -> Array:
        return np.asarray(module.weight.double().numpy())

    def norm(values: Array, module: Any) -> Array:
        return values / np.sqrt((values**2).mean(-1, keepdims=True) + config.rms_norm_eps) * weight(module)

    angles = np.outer(np.arange(steps), 10000.0 ** (-np.arange(0, size, 2) / size))
    cosine, sine = (np.concatenate([f(angles)] * 2, -1) for f in (np.cos, np.sin))

    def rotated(values: Array) -> Array:
        half = size // 2
        return values * cosine + np.concatenate([-values[..., half:], values[..., :half]], -1) * sine

    states, attention = [embeddings], list[Array]()
    for number, layer in enumerate(decoder.layers):
        entered = norm(states[-1], layer.input_layernorm)
        projected = [entered @ weight(getattr(layer.self_attn, name)).T for name in ("q_proj", "k_proj", "v_proj")]
        query, key, value = (part.reshape(steps, -1, size).transpose(1, 0, 2) for part in projected)
        query, key = rotated(query), rotated(key)
        key, value = (np.repeat(part, heads // groups, 0) for part in (key, value))
        scores = np.where(causal, query @ key.transpose(0, 2, 1) / np.sqrt(size), -1e30)
        if edit is not None:
            scores = np.where(causal, edit(number, scores, attention), -1e30)
        attention.append(softmax(scores))
        mixed = (attention[-1] @ value).transpose(1, 0, 2).reshape(steps, -1)
        after = states[-1] + mixed @ weight(layer.self_attn.o_proj).T
        inner = norm(after, layer.post_attention_layernorm)
        gate = inner @ weight(layer.mlp.gate_proj).T
        lifted = gate / (1 + np.exp(-gate)) * (inner @ weight(layer.mlp.up_proj).T)
        states.append(after + lifted @ weight(layer.mlp.down_proj).T)
    logits = norm(states[-1], decoder.norm) @ weight(model.get_output_embeddings()).T
    return Pass(logits, states, attention)


def merged(model: Any, ids: list[int], pixel_values: Any, image: int) -> Array:
    """Embeddings of a LLaVA prompt: tokens, with the image's features in place of its placeholders."""
    table = model.get_input_embeddings().weight.double().numpy()
    embeddings: Array = table[np.array(ids)].copy()
    if pixel_values is not None:
        features = model.model.get_image_features(pixel_values=pixel_values, return_dict=True).pooler_output[0]
        embeddings[np.array(ids) == image] = features.double().numpy()
    return embeddings
