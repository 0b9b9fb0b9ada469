"""VCD: visual contrastive decoding (Leng et al., CVPR 2024, arXiv 2311.16922).

A noised image leaves the language prior in charge; what the model says then is subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.fusion import contrast
from fogline.agents.decoding.loop import NOISE, Scores, generator_of
from fogline.agents.decoding.options import Beta, DecoderOptions, Strength
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.agents.decoding.views import diffuse


class VCDOptions(DecoderOptions):
    """Settings of VCD; defaults of its run script (the function it calls falls back to strength 0.5).

    Attributes:
        strength: a in ``(1 + a) l - a l'``.
        noise_step: T of the forward diffusion, on pixel values as the processor left them.
        beta: Plausibility cutoff.
    """

    strength: Strength = 1.0
    noise_step: int = Field(default=500, ge=0, le=999)
    beta: Beta = 0.1


class VCD(Decoder):
    """Contrast with the noised image."""

    Options = VCDOptions
    uses = ("negative_pixel_values",)

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The image, and the image noised as a whole; each row's noise comes from its own seed."""
        paths = {"original": prompt.original()}
        if self.options.strength == 0:
            return paths
        if extras.negative_pixel_values is not None:
            return {**paths, "negative": prompt.with_pixels(extras.negative_pixel_values)}
        noised = []
        for images, seed in zip(prompt.images, extras.seeds[:: prompt.copies], strict=True):
            source = generator_of(seed, NOISE)
            noised.append([diffuse(image, self.options.noise_step, source) for image in images])
        return {**paths, "negative": prompt.with_images(noised)}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """``(1 + a) l - a l'`` over the tokens that are plausible with the image."""
        original = paths["original"].logits
        disturbed = paths.get("negative", paths["original"]).logits
        return Scores(contrast(original, disturbed, self.options.strength), original, self.options.beta)
