"""Reading and changing a language model's attention while it decodes.

transformers looks its attention function up by name. Ours is the textbook one with a guest, which may change the scores
before the softmax and look at the weights after it; without one it is plain attention. The guest is handed to every
attention layer itself: some decoders (StableLM) do not pass on what a forward call is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from fogline.core.errors import ConfigurationError

NAME = "fogline_steered"


class Steering:
    """A guest in the attention of one path. Subclasses override what they need."""

    def adjust(self, layer: int, scores: Tensor) -> Tensor:
        """Scores ``[B,heads,q,kv]`` of a layer, scaled and masked, before the softmax."""
        return scores

    def observe(self, layer: int, weights: Tensor) -> None:
        """Weights ``[B,heads,q,kv]`` of a layer, after the softmax."""

    def select(self, rows: Tensor) -> Steering:
        """The guest of a path that has these rows ``[n]`` of the batch, in this order."""
        return self


class Recorder(Steering):
    """Keeps what some layers attended to in the newest forward pass.

    Args:
        layers: Which layers, from 0.
        heads: How heads become one: their ``"mean"`` or ``"max"``.
    """

    def __init__(self, layers: tuple[int, ...], heads: str = "mean") -> None:
        self._layers = layers
        self._heads = heads
        self.weights: dict[int, Tensor] = {}

    def observe(self, layer: int, weights: Tensor) -> None:
        """Keep ``[B,q,kv]``, float32."""
        if layer in self._layers:
            single = weights.float()
            self.weights[layer] = single.mean(1) if self._heads == "mean" else single.amax(1)


def query_positions(scores: Tensor) -> Tensor:
    """Absolute position ``[q]`` of each query of ``[...,q,kv]``: queries are the newest positions."""
    queries, keys = scores.shape[-2:]
    return torch.arange(keys - queries, keys, device=scores.device)


def over_keys(mask: Tensor, keys: int) -> Tensor:
    """A mask ``[B,T]`` of the prompt as ``[B,keys]``: what was generated since belongs to no mask."""
    return F.pad(mask, (0, keys - mask.shape[1]))


def steered_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    steering: Steering | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention as every decoder layer computes it, with the guest's word.

    Args:
        module: The attention layer; it knows its ``layer_idx`` and how many queries share a key.
        query: ``[B,heads,q,d]``.
        key: ``[B,groups,kv,d]``.
        value: ``[B,groups,kv,d]``.
        attention_mask: Additive ``[B,1,q,kv]``, or None.
        scaling: Factor of the dot products.
        dropout: Not applied: decoding is deterministic.
        steering: The guest.

    Returns:
        Output ``[B,q,heads,d]`` and weights ``[B,heads,q,kv]``.
    """
    share = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(share, dim=1) for states in (key, value))
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[2]]
    if steering is not None:
        scores = steering.adjust(module.layer_idx, scores)
    # At least in single precision; in double precision as it is, whose least number would be infinite in single, and a
    # query of padding, which sees nothing, no number at all.
    precision = torch.promote_types(scores.dtype, torch.float32)
    weights = torch.softmax(scores, -1, dtype=precision).to(query.dtype)
    if steering is not None:
        steering.observe(module.layer_idx, weights)
    return (weights @ value).transpose(1, 2).contiguous(), weights


@contextmanager
def steered(decoder: Any, guest: Steering | None) -> Iterator[None]:
    """Let a guest into every attention layer of a text decoder, which must be :func:`steerable`.

    Raises:
        ConfigurationError: The decoder has no attention layers that are known as such.
    """
    if guest is None:
        yield
        return
    layers = [
        module
        for module in decoder.modules()
        if hasattr(module, "layer_idx") and type(module).__name__.endswith("Attention")
    ]
    if not layers:
        raise ConfigurationError(
            f"{type(decoder).__name__} has no attention layers with a layer_idx: methods that read or steer attention "
            "do not work with it. Choose one that contrasts views, such as pnd or vcd."
        )

    def enter(module: Any, inputs: Any, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, {**keywords, "steering": guest}

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_pre_hook(enter, with_kwargs=True).remove)
        yield


@contextmanager
def steerable(decoder: Any) -> Iterator[None]:
    """Let forward passes of a text decoder be :func:`steered`; its own attention comes back afterwards.

    Args:
        decoder: The text part of a model, as its ``get_decoder()`` returns it.
    """
    AttentionInterface.register(NAME, steered_attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    config = decoder.config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
