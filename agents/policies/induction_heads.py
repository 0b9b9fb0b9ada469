"""Gives an untrained model the circuit that pretraining forms first: copying what followed an earlier occurrence.

Induction heads (Olsson et al., 2022, arXiv 2209.11895) take a small model thousands of steps to find, and until then
it can name nothing that it only read. They are written into the first weights instead: a head of the first layer
hands each token its predecessor, one of the second looks for the place whose predecessor is the token at hand and
repeats what stands there. All of it stays trainable.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_POSITION_GAIN = 40.0
"""Attention score, in nats, that the predecessor is preferred by, about."""
_MATCH_GAIN = 20.0
_COPY_GAIN = 6.0
_EMBEDDING_SCALE = math.sqrt(2.0)


@torch.no_grad()
def plant_induction_heads(model: Any, generator: torch.Generator) -> None:
    """Write an induction circuit into the first heads of the first two layers.

    The first half of the hidden state carries a token, the second half receives its predecessor.

    Args:
        model: A ``StableLmForCausalLM`` with tied embeddings, attention biases, at least two layers, and heads at most
            half as wide as the hidden state and at least as wide as a quarter of it.
        generator: For the embeddings.
    """
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    config = model.config
    width, head = config.hidden_size, config.hidden_size // config.num_attention_heads
    half, turning = width // 2, int(head * config.rope_parameters["partial_rotary_factor"])
    tokens = torch.arange(min(head, half))
    embeddings = model.model.embed_tokens.weight
    embeddings.zero_()
    drawn = torch.randn((len(embeddings), half), generator=generator, dtype=torch.float32)
    embeddings[:, :half] = (drawn * _EMBEDDING_SCALE / math.sqrt(half)).to(embeddings.dtype)
    for attention in (first, second):
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight[:head] = 0
            projection.bias[:head] = 0
        attention.o_proj.weight[:, :head] = 0
        attention.v_proj.weight[tokens, tokens] = 1
    _look_one_back(first, turning, head, config.rope_parameters["rope_theta"])
    first.o_proj.weight[half + tokens, tokens] = 1
    still = torch.arange(min(head - turning, half))
    second.q_proj.weight[turning + still, still] = math.sqrt(_MATCH_GAIN)
    second.k_proj.weight[turning + still, half + still] = math.sqrt(_MATCH_GAIN)
    second.o_proj.weight[tokens, tokens] = _COPY_GAIN


def _look_one_back(attention: Any, turning: int, head: int, base: float) -> None:
    """Prefer the place before, whatever stands there: the key is the query turned by one place."""
    pairs = turning // 2
    angle: Tensor = base ** (-torch.arange(0, turning, 2, dtype=torch.float32) / turning)
    length = 3 * math.sqrt(_POSITION_GAIN * math.sqrt(head) / pairs)
    attention.q_proj.bias[:pairs] = length
    attention.k_proj.bias[:pairs] = (length * angle.cos()).to(attention.k_proj.bias.dtype)
    attention.k_proj.bias[pairs:turning] = (length * angle.sin()).to(attention.k_proj.bias.dtype)
