"""AGLA: assembly of global and local attention (An et al., CVPR 2025, arXiv 2406.12718).

An image-text matcher blacks out what the question is not about; what the model says about the rest is added.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.gradcam import ImageTextMatcher
from fogline.agents.decoding.loop import Scores
from fogline.agents.decoding.options import Beta, Strength, ViewOptions
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.pnd import combine, kept_share
from fogline.agents.decoding.prompt import Prompt
from fogline.agents.decoding.saliency import (
    Question,
    Source,
    blocks_of,
    check_source,
    checked_layers,
    fused_map,
    given_maps,
    pixel_maps,
    proxy_maps,
)
from fogline.agents.decoding.views import PixelSpace, keep_most_salient
from fogline.core.errors import ConfigurationError

_DEPTH = (1 / 2,)


class AGLAOptions(ViewOptions):
    """Settings of AGLA, as released.

    Attributes:
        strength: a in ``l + a l_local``.
        beta: Plausibility cutoff.
        saliency: An external ``matcher`` (the paper), the model's own ``attention``, or an ``oracle``: maps or a
            finished view given to generate.
        layer: Block of the proxy; by default the middle one (6 of 12).
        keep_share: How much of the image stays; by default ``1 - similarity / 2``, which needs the matcher.
        smoothing: Blur of the map, as a share of the side.
    """

    strength: Strength = 2.0
    beta: Beta = 0.5
    saliency: Source = "matcher"
    layer: int | None = Field(default=None, ge=0)
    keep_share: float | None = Field(default=None, gt=0, lt=1)
    smoothing: float = Field(default=0.02, ge=0, allow_inf_nan=False)


class AGLA(Decoder):
    """Add what the model says of the relevant part."""

    Options = AGLAOptions
    takes_matcher = True
    uses = ("saliency_maps", "matcher_input_ids", "matcher_attention_mask", "positive_pixel_values")

    def __init__(self, options: AGLAOptions, matcher: ImageTextMatcher | None = None) -> None:
        super().__init__(options, matcher)
        check_source("agla", options.saliency, matcher)
        self._space = PixelSpace(options.image_mean, options.image_std)

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The image, and what is left of it."""
        paths = {"original": prompt.original()}
        if self.options.strength == 0:
            return paths
        if extras.positive_pixel_values is not None:
            return {**paths, "positive": prompt.with_pixels(extras.positive_pixel_values)}
        question = Question(extras.matcher_input_ids, extras.matcher_attention_mask)
        maps = self._maps(prompt, extras, question)
        views = [
            [
                keep_most_salient(image, map_.to(image.device), self._share(image, question, row), self._space)
                for image, map_ in zip(images, maps[row], strict=True)
            ]
            for row, images in enumerate(prompt.images)
        ]
        return {**paths, "positive": prompt.with_images(views)}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """``l + a l_local`` over the tokens that are plausible with the whole image: PND without its negative path."""
        original = paths["original"].logits
        local = paths["positive"].logits if "positive" in paths else None
        return Scores(combine(original, local, None, self.options.strength, 0.0), original, self.options.beta)

    def _share(self, image: Tensor, question: Question, row: int) -> float:
        if self.options.keep_share is not None:
            return float(self.options.keep_share)
        if self.matcher is None:
            raise ConfigurationError(
                "agla takes the share of the image that stays from the matcher's similarity: use saliency='matcher', "
                "or give keep_share."
            )
        return kept_share(self.matcher, self._space.colours(image), question, row)

    def _maps(self, prompt: Prompt, extras: Extras, question: Question) -> list[list[Tensor]]:
        options = self.options
        if options.saliency == "oracle":
            if extras.saliency_maps is None:
                raise ConfigurationError(
                    "agla with saliency='oracle' has no map: give generate saliency_maps, or positive_pixel_values."
                )
            return [[fused_map(stack) for stack in row] for row in given_maps(extras.saliency_maps, prompt)]
        blocks = blocks_of(options.saliency, prompt, self.matcher)
        layers = checked_layers("layer", None if options.layer is None else (options.layer,), _DEPTH, blocks)
        raw = proxy_maps(options.saliency, prompt, layers, question, self.matcher, self._space)
        return [
            [
                fused_map(pixel_maps(stack, (image.shape[-2], image.shape[-1]), options.smoothing))
                for image, stack in zip(images, stacks, strict=True)
            ]
            for images, stacks in zip(prompt.images, raw, strict=True)
        ]
