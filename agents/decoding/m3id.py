"""M3ID: multi-modal mutual information decoding (Favero et al., CVPR 2024, arXiv 2403.14003).

The longer a model writes, the less it looks at the image. So the longer it writes, the more of what it would say
without the image is subtracted, unless it is confident.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.loop import Scores
from fogline.agents.decoding.options import DecoderOptions, Strength, TokenIds
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt


class M3IDOptions(DecoderOptions):
    """Settings of M3ID. Both constants are common knowledge, not from released code.

    Attributes:
        forgetting: lambda: by which rate the image is forgotten; 0 is plain decoding.
        confidence: The model is left alone where its likeliest token has at least this probability. The published
            value is not known: 1 never leaves it alone, the formula without its indicator.
        first_step: t of the first token. At t = 0 nothing is subtracted.
        image_wrappers: Token ids that stand around images and go with them, beyond those that the configuration
            names. generate's ``contrast_input_ids`` gives the prompt without image instead.
    """

    forgetting: Strength = 0.02
    confidence: float = Field(default=1.0, gt=0, le=1)
    first_step: int = Field(default=0, ge=0)
    image_wrappers: TokenIds = ()


def grounded(conditioned: Tensor, unconditioned: Tensor, step: int, forgetting: float, confidence: float) -> Tensor:
    """``l_c + 1[not confident] (1 - g) / g (l_c - l_u)`` with ``g = exp(-lambda t)``, on log-probabilities.

    Args:
        conditioned: Logits with the image, ``[B,V]``.
        unconditioned: Logits without it, ``[B,V]``.
        step: t, from 0.
        forgetting: lambda.
        confidence: Confident is a row whose largest log-probability reaches the logarithm of this.

    Returns:
        ``[B,V]``.
    """
    with_image, without = conditioned.log_softmax(-1), unconditioned.log_softmax(-1)
    weight = math.expm1(forgetting * step)  # (1 - exp(-x)) / exp(-x)
    unsure = with_image.amax(-1, keepdim=True) < math.log(confidence)
    return torch.where(unsure, with_image + weight * (with_image - without), with_image)


class M3ID(Decoder):
    """Away from the prompt without image, more at every step."""

    Options = M3IDOptions
    uses = ("contrast_input_ids", "contrast_attention_mask")

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The prompt with its image and without."""
        paths = {"original": prompt.original()}
        if self.options.forgetting == 0:
            return paths
        if extras.contrast_input_ids is not None:
            other = prompt.with_tokens(extras.contrast_input_ids, extras.contrast_attention_mask)
        else:
            other = prompt.without_images(self.options.image_wrappers)
        return {**paths, "unconditioned": other}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """The grounded log-probabilities, without a cutoff."""
        options = self.options
        original = paths["original"].logits
        if "unconditioned" not in paths:
            return Scores(original, original)
        time = step + options.first_step
        fused = grounded(original, paths["unconditioned"].logits, time, options.forgetting, options.confidence)
        return Scores(fused, original)
