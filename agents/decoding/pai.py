"""PAI: pay attention to image (Liu et al., ECCV 2024, arXiv 2407.21771).

Two steps: attention to image tokens is raised before the softmax, and what the model would say without any image is
subtracted, as in classifier-free guidance. The release switches the first step off while it reads the prompt if the
second is on, so that the first token is not steered; here it is, as the paper has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from fogline.agents.decoding.attention import Steering, over_keys, query_positions
from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.loop import Scores
from fogline.agents.decoding.options import Beta, DecoderOptions, Strength, TokenIds
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.core.errors import ConfigurationError


class PAIOptions(DecoderOptions):
    """Settings of PAI: the release's command line for LLaVA-1.5.

    Attributes:
        boost: a in ``s + a |s|``, on image keys.
        first_layer: First layer that is boosted.
        last_layer: Layer before which boosting ends; by default all from the first on.
        guidance: g in ``g (log p - log p_u) + log p_u``; 1 needs no second path.
        beta: Plausibility cutoff, on log-probabilities, where there is guidance.
        image_wrappers: Token ids that stand around images and go with them where the image is left out, beyond those
            that the configuration names. generate's ``contrast_input_ids`` gives the prompt without image instead.
    """

    boost: Strength = 0.5
    first_layer: int = Field(default=2, ge=0)
    last_layer: int | None = Field(default=None, ge=1)
    guidance: float = Field(default=1.1, gt=0, allow_inf_nan=False)
    beta: Beta = 0.1
    image_wrappers: TokenIds = ()


def boosted(scores: Tensor, image: Tensor, boost: float) -> Tensor:
    """``s + a |s|`` where a key is an image token.

    Args:
        scores: Before the softmax, ``[B,heads,q,kv]``.
        image: Which of them to raise, ``[B,1,q,kv]`` or broadcastable, bool.
        boost: a.
    """
    return torch.where(image, scores + boost * scores.abs(), scores)


def guided(conditioned: Tensor, unconditioned: Tensor, guidance: float) -> Tensor:
    """``g (log p - log p_u) + log p_u``, ``[B,V]``.

    Args:
        conditioned: Logits with the image, ``[B,V]``.
        unconditioned: Logits without it, ``[B,V]``.
        guidance: g; 1 returns ``log p``.
    """
    with_image, without = conditioned.log_softmax(-1), unconditioned.log_softmax(-1)
    return guidance * (with_image - without) + without


class ImageBoost(Steering):
    """Raises image scores for the prompt's last token and every token after it.

    Args:
        image_mask: Image tokens of the prompt, ``[B,T]``, bool.
        boost: a.
        layers: Which layers are boosted.
    """

    def __init__(self, image_mask: Tensor, boost: float, layers: range) -> None:
        self._image_mask = image_mask
        self._boost = boost
        self._layers = layers

    def adjust(self, layer: int, scores: Tensor) -> Tensor:
        """Boost in the chosen layers."""
        if layer not in self._layers:
            return scores
        predicting = query_positions(scores) >= self._image_mask.shape[1] - 1
        image = over_keys(self._image_mask, scores.shape[-1])
        return boosted(scores, image[:, None, None] & predicting[:, None], self._boost)

    def select(self, rows: Tensor) -> ImageBoost:
        """For some rows."""
        return ImageBoost(self._image_mask[rows], self._boost, self._layers)


class PAI(Decoder):
    """More attention to the image, and away from the prompt without it."""

    Options = PAIOptions
    steers = True
    uses = ("contrast_input_ids", "contrast_attention_mask")

    def check(self, prompt: Prompt) -> None:
        """Refuse layers that the model does not have."""
        super().check(prompt)
        layers = prompt.model.get_decoder().config.num_hidden_layers
        last = layers if self.options.last_layer is None else self.options.last_layer
        if self.options.boost and not self.options.first_layer < last <= layers:
            raise ConfigurationError(
                f"first_layer={self.options.first_layer}, last_layer={last}: expected 0 <= first_layer < last_layer <= "
                f"{layers}, the model's layers."
            )

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The prompt, its image boosted; and the prompt without image."""
        options = self.options
        boost = None
        if options.boost:
            last = options.last_layer or prompt.model.get_decoder().config.num_hidden_layers
            boost = ImageBoost(prompt.image_mask, options.boost, range(options.first_layer, last))
        paths = {"original": prompt.original(boost)}
        if options.guidance != 1:
            paths["unconditioned"] = (
                prompt.without_images(options.image_wrappers)
                if extras.contrast_input_ids is None
                else prompt.with_tokens(extras.contrast_input_ids, extras.contrast_attention_mask)
            )
        return paths

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """Guidance over the tokens that are plausible with the image; without guidance there is no cutoff."""
        original = paths["original"].logits
        if "unconditioned" not in paths:
            return Scores(original, original)
        fused = guided(original, paths["unconditioned"].logits, self.options.guidance)
        return Scores(fused, original, self.options.beta)
