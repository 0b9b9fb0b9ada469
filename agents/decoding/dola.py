"""DoLa: decoding by contrasting layers (Chuang et al., ICLR 2024, arXiv 2309.03883).

Knowledge enters in the upper layers: what the last layer says more than an earlier one is trusted. The image is not
touched; DoLa is here because it is what the others are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.loop import Scores
from fogline.agents.decoding.options import Beta, DecoderOptions, Layers
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.core.errors import ConfigurationError


class DoLaOptions(DecoderOptions):
    """Settings of DoLa.

    Attributes:
        bucket: Premature layers to choose from: every other one of the ``low`` half or of the ``high`` half, or their
            numbers; layer j is what j decoder layers made of the embeddings.
        beta: Head set: tokens with at least this share of the likeliest one's probability (``relative_top``).
    """

    bucket: Literal["low", "high"] | Layers = "low"
    beta: Beta = 0.1


def premature_layers(bucket: str | tuple[int, ...], layers: int) -> tuple[int, ...]:
    """The layers to choose from.

    Args:
        bucket: As in the options.
        layers: How many the model has; that many is the last layer, which may not be contrasted with itself.

    Raises:
        ConfigurationError: For a layer outside 0 to ``layers - 1``.
    """
    if bucket == "low":
        return tuple(range(0, max(layers // 2, 1), 2))
    if bucket == "high":
        return tuple(range(layers // 2, layers, 2))
    numbers = tuple(int(layer) for layer in bucket)
    wrong = [layer for layer in numbers if not 0 <= layer < layers]
    if wrong:
        raise ConfigurationError(
            f"bucket names layer {wrong[0]}: expected 0 to {layers - 1}. Layer {layers} is the last one; contrasted "
            "with itself it says nothing."
        )
    return numbers


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Divergence in nats of two distributions given by logits ``[...,V]``; ``[...]``.

    As it is defined. The release swaps the arguments of its two halves.
    """
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return 0.5 * ((log_p.exp() * (log_p - log_m)).sum(-1) + (log_q.exp() * (log_q - log_m)).sum(-1))


def contrast_layers(final: Tensor, premature: Tensor) -> tuple[Tensor, Tensor]:
    """``log p_N - log p_M``, M the premature layer that diverges most from the last.

    Each row of a batch chooses its own layer. The release averages divergences over the batch first, so that an answer
    depends on its neighbours.

    Args:
        final: Logits of the last layer, ``[B,V]``.
        premature: Logits of the candidates, ``[J,B,V]``.

    Returns:
        The contrast ``[B,V]``, and which candidate was chosen, ``[B]``.
    """
    chosen = jensen_shannon(final, premature).argmax(0)
    picked = premature[chosen, torch.arange(final.shape[0], device=final.device)]
    return final.log_softmax(-1) - picked.log_softmax(-1), chosen


class DoLa(Decoder):
    """The last layer against an early exit."""

    Options = DoLaOptions

    def check(self, prompt: Prompt) -> None:
        """Refuse layers that the model does not have."""
        super().check(prompt)
        premature_layers(self.options.bucket, prompt.model.get_decoder().config.num_hidden_layers)

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """One path, with the hidden states of all its layers."""
        return {"original": prompt.original(output_hidden_states=True)}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """The contrast over the head set. Early exits go through the output layer as they are, as released."""
        path = paths["original"]
        states = path.outputs.hidden_states
        head = path.model.get_output_embeddings()
        layers = premature_layers(self.options.bucket, len(states) - 1)
        early = torch.stack([head(states[layer][:, -1]).float() for layer in layers])
        fused, _ = contrast_layers(path.logits, early.to(path.logits.device))
        return Scores(fused, path.logits, self.options.beta)
