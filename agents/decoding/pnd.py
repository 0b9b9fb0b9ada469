"""PND: positive-and-negative decoding (CVPR 2026, arXiv 2605.06679).

A model that hallucinates lets its language prior outweigh what it sees. PND shows it the image three times: as it is,
with the evidence amplified, with the evidence destroyed. What truly depends on the image moves between the views.

The release departs from the paper in several places. Each is an option whose default is the paper; :data:`RELEASE`
sets them all. Its defects are not options: paths that share one cache, positive logits that are computed and ignored,
a blur that is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.fusion import restrict
from fogline.agents.decoding.gradcam import ImageTextMatcher
from fogline.agents.decoding.loop import NOISE, Scores, generator_of
from fogline.agents.decoding.options import Beta, Layers, Strength, ViewOptions
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.agents.decoding.saliency import (
    NEGATIVE_DEPTHS,
    POSITIVE_DEPTHS,
    Question,
    Source,
    blocks_of,
    check_source,
    checked_layers,
    consensus_map,
    consensus_mask,
    fused_map,
    given_maps,
    pixel_maps,
    proxy_maps,
)
from fogline.agents.decoding.views import PixelSpace, amplify, blur, destroy, diffuse, keep_most_salient, normalised
from fogline.core.errors import ConfigurationError, check_choice

Sign = Literal["positive", "negative"]
Maps = list[list[Tensor]]
"""Row by row, image by image, one map per layer ``[L,H,W]``."""
Form = Literal["paper", "release", "release-internvl"]
FORMS: tuple[Form, ...] = ("paper", "release", "release-internvl")

RELEASE: Mapping[str, Any] = {
    "fusion": "release",
    "positive_view": "keep_mask",
    "positive_map": "raw",
    "renormalise_consensus": True,
    "smoothing": 0.02,
    "clamp": True,
}
"""``make_decoder("pnd", matcher=matcher, **RELEASE)``: what the released code does where it departs from the paper."""


class PNDOptions(ViewOptions):
    """Settings of PND. Numbers are the released ones; the paper's own, where they differ, are not known.

    Attributes:
        alpha: Weight of the positive path; 0 leaves it out.
        gamma: Weight of the negative path; 0 leaves it out.
        beta: Plausibility cutoff, read from the original path.
        fusion: ``paper``: ``l_o + a l_p - g l_n``. ``release``: ``a l_p - g l_n``. ``release-internvl``: the release's
            InternVL script, whose signs are reversed; kept as an example of a defect.
        saliency: Who says where the evidence is: an external ``matcher`` (the paper), the model's own ``attention``,
            or an ``oracle``: maps (``saliency_maps``) or finished views given to generate.
        positive_layers: Blocks of the proxy; by default 1/3, 1/2 and 2/3 of its depth (4, 6, 8 of 12).
        negative_layers: By default 1/4, 5/12, 7/12 and 3/4 (3, 5, 7, 9 of 12).
        amplification: lambda in ``V (1 + lambda M)``. Not known; 1 doubles the strongest evidence.
        centre: Colour that amplification leaves alone: the paper's 0, or the background's.
        threshold: tau: a pixel is evidence where every layer's map reaches it.
        degradation: What evidence is replaced with: its ``diffusion``, or its ``blur``.
        noise_step: T of the diffusion.
        blur_sigma: Deviation of the blur, in pixels.
        positive_view: ``modulate`` (the paper), or ``keep_mask``: black out all but the most salient pixels.
        keep_share: How much ``keep_mask`` keeps; by default what AGLA keeps, which needs the matcher.
        positive_map: Mean of the ``normalised`` maps (the paper), or of the ``raw`` ones, normalised afterwards.
        renormalise_consensus: Whether the consensus is stretched to [0, 1] again before the threshold.
        smoothing: Blur of the maps, as a share of the side; the release's is 0.02.
        clamp: Whether degraded colours are cut to [0, 1].
    """

    alpha: Strength = 2.2
    gamma: Strength = 0.4
    beta: Beta = 0.4
    fusion: Form = "paper"
    saliency: Source = "matcher"
    positive_layers: Layers | None = None
    negative_layers: Layers | None = None
    amplification: Strength = 1.0
    centre: float = Field(default=0.0, allow_inf_nan=False)
    threshold: float = Field(default=0.6, allow_inf_nan=False)
    degradation: Literal["diffusion", "blur"] = "diffusion"
    noise_step: int = Field(default=999, ge=0, le=999)
    blur_sigma: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    positive_view: Literal["modulate", "keep_mask"] = "modulate"
    keep_share: float | None = Field(default=None, gt=0, lt=1)
    positive_map: Literal["normalised", "raw"] = "normalised"
    renormalise_consensus: bool = False
    smoothing: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    clamp: bool = False


# Views


def positive_view(image: Tensor, maps: Tensor, amplification: float, centre: float = 0.0) -> Tensor:
    """``V_pos = V (1 + lambda M_fused)``, M_fused the mean of the layers' maps.

    Args:
        image: V, ``[C,H,W]``.
        maps: One per layer, ``[L,H,W]``, in [0, 1].
        amplification: lambda; 0 returns an equal image.
        centre: Pixel value that stays where it is.
    """
    return amplify(image, fused_map(maps), amplification, centre)


def negative_view(image: Tensor, maps: Tensor, threshold: float, noise_step: int, generator: torch.Generator) -> Tensor:
    """``V_neg = V (1 - M_mask) + V_noise M_mask``, M_mask where the minimum of the layers' maps reaches tau.

    Args:
        image: V, ``[C,H,W]``.
        maps: One per layer, ``[L,H,W]``, in [0, 1].
        threshold: tau; above 1 nothing is destroyed, at or below 0 everything is.
        noise_step: T of the diffusion, 0 to 999.
        generator: Source of the noise, on the CPU.
    """
    return destroy(image, diffuse(image, noise_step, generator), consensus_mask(consensus_map(maps), threshold))


# Fusion


def combine(
    original: Tensor, positive: Tensor | None, negative: Tensor | None, alpha: float, gamma: float, form: Form = "paper"
) -> Tensor:
    """Fused logits before the cutoff.

    Args:
        original: Logits of the original path, ``[B,V]``.
        positive: Of the positive path; None, with ``alpha`` 0, where there is none.
        negative: Of the negative path; None, with ``gamma`` 0, where there is none.
        alpha: At least 0.
        gamma: At least 0.
        form: One of :data:`FORMS`.

    Raises:
        ConfigurationError: For weights that cancel the original, or an unknown form.
    """
    check_weights(alpha, gamma, form)
    towards = torch.zeros_like(original) if positive is None else alpha * positive
    away = torch.zeros_like(original) if negative is None else gamma * negative
    if form == "paper":
        return original + towards - away
    if form == "release":
        return towards - away
    return (1 + alpha - gamma) * original - towards + away


def fuse(
    original: Tensor,
    positive: Tensor | None,
    negative: Tensor | None,
    alpha: float,
    gamma: float,
    beta: float,
    form: Form = "paper",
) -> Tensor:
    """``l_PND``: fused logits ``[B,V]``, minus infinity where the original path finds a token implausible.

    Args:
        original: Logits of the original path, ``[B,V]``.
        positive: Of the positive path, or None.
        negative: Of the negative path, or None.
        alpha: Weight of the positive path.
        gamma: Weight of the negative path.
        beta: Plausibility cutoff in [0, 1].
        form: One of :data:`FORMS`.
    """
    return restrict(combine(original, positive, negative, alpha, gamma, form), original, beta)


def check_weights(alpha: float, gamma: float, form: Form) -> None:
    """Refuse weights under which three equal views would not decode like one.

    Equal views give ``(1 + a - g) l`` (the release: ``(a - g) l``). At 0 nothing is left to decode from; below 0 the
    least likely token wins.

    Raises:
        ConfigurationError: For such weights, or an unknown form.
    """
    check_choice("fusion", form, FORMS)
    left = {"paper": 1 + alpha - gamma, "release": alpha - gamma, "release-internvl": 1.0}[form]
    if left <= 0:
        formula = "1 + alpha - gamma" if form == "paper" else "alpha - gamma"
        raise ConfigurationError(
            f"alpha={alpha:g} and gamma={gamma:g} cancel the original under fusion={form!r}: {formula} is {left:g}, "
            f"expected more than 0. Lower gamma, or raise alpha{'' if form == 'paper' else ', or take fusion=paper'}."
        )


class PND(Decoder):
    """Three views, three caches, one answer."""

    Options = PNDOptions
    takes_matcher = True
    uses = (
        "saliency_maps",
        "matcher_input_ids",
        "matcher_attention_mask",
        "positive_pixel_values",
        "negative_pixel_values",
    )

    def __init__(self, options: PNDOptions, matcher: ImageTextMatcher | None = None) -> None:
        super().__init__(options, matcher)
        check_weights(options.alpha, options.gamma, options.fusion)
        check_source("pnd", options.saliency, matcher)
        if options.positive_view == "keep_mask" and options.keep_share is None and options.saliency != "matcher":
            raise ConfigurationError(
                "positive_view='keep_mask' takes its share from the matcher's similarity: use saliency='matcher', or "
                "give keep_share."
            )
        self._space = PixelSpace(options.image_mean, options.image_std)

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """Original, positive, negative; a path of weight 0 is left out."""
        options = self.options
        maps = self._maps(prompt, extras)
        paths = {"original": prompt.original()}
        if options.alpha:
            given = extras.positive_pixel_values
            paths["positive"] = (
                prompt.with_images(self._positive(prompt, extras, maps["positive"]))
                if given is None
                else prompt.with_pixels(given)
            )
        if options.gamma:
            given = extras.negative_pixel_values
            paths["negative"] = (
                prompt.with_images(self._negative(prompt, extras, maps["negative"]))
                if given is None
                else prompt.with_pixels(given)
            )
        return paths

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """The fused logits; the cutoff is read from the original path, which some forms do not add."""
        options = self.options
        original = paths["original"].logits
        positive, negative = (paths[name].logits if name in paths else None for name in ("positive", "negative"))
        fused = combine(original, positive, negative, options.alpha, options.gamma, options.fusion)
        return Scores(fused, original, options.beta)

    def _positive(self, prompt: Prompt, extras: Extras, maps: Maps) -> list[list[Tensor]]:
        options = self.options
        question = Question(extras.matcher_input_ids, extras.matcher_attention_mask)
        result = []
        for row, images in enumerate(prompt.images):
            views = []
            for image, stack in zip(images, maps[row], strict=True):
                where = fused_map(stack).to(image.device)
                if options.positive_view == "modulate":
                    views.append(amplify(image.float(), where, options.amplification, options.centre, self._space))
                else:
                    share = options.keep_share or kept_share(self.matcher, self._space.colours(image), question, row)
                    views.append(keep_most_salient(image, where, share, self._space))
            result.append(views)
        return result

    def _negative(self, prompt: Prompt, extras: Extras, maps: Maps) -> list[list[Tensor]]:
        result = []
        for images, stacks, seed in zip(prompt.images, maps, extras.seeds[:: prompt.copies], strict=True):
            source = generator_of(seed, NOISE)
            views = []
            for image, stack in zip(images, stacks, strict=True):
                where = consensus_map(stack)
                where = normalised(where) if self.options.renormalise_consensus else where
                mask = consensus_mask(where, self.options.threshold).to(image.device)
                views.append(destroy(image, self._degraded(image, source), mask))
            result.append(views)
        return result

    def _degraded(self, image: Tensor, source: torch.Generator) -> Tensor:
        """Evidence no more: in colours where the image processor's numbers are known, else in pixel values."""
        options = self.options
        colours = self._space.colours(image)
        degraded = (
            diffuse(colours, options.noise_step, source)
            if options.degradation == "diffusion"
            else blur(colours, options.blur_sigma)
        )
        return self._space.values(degraded.clamp(0, 1) if options.clamp else degraded)

    def _maps(self, prompt: Prompt, extras: Extras) -> dict[Sign, Maps]:
        """Maps in [0, 1] of the views that are to be made; the proxy looks once for both of them."""
        options = self.options
        finished = {"positive": extras.positive_pixel_values, "negative": extras.negative_pixel_values}
        weights: dict[Sign, float] = {"positive": options.alpha, "negative": options.gamma}
        signs = [sign for sign, weight in weights.items() if weight and finished[sign] is None]
        if not signs:
            return {}
        if options.saliency == "oracle":
            if extras.saliency_maps is None:
                raise ConfigurationError(
                    f"pnd with saliency='oracle' has no {signs[0]} map: give generate saliency_maps, or "
                    f"{signs[0]}_pixel_values for a finished view."
                )
            return dict.fromkeys(signs, given_maps(extras.saliency_maps, prompt))
        blocks = blocks_of(options.saliency, prompt, self.matcher)
        asked: dict[Sign, tuple[Any, Any]] = {
            "positive": (options.positive_layers, POSITIVE_DEPTHS),
            "negative": (options.negative_layers, NEGATIVE_DEPTHS),
        }
        layers = {sign: checked_layers(f"{sign}_layers", *asked[sign], blocks) for sign in signs}
        every = tuple(sorted({layer for chosen in layers.values() for layer in chosen}))
        question = Question(extras.matcher_input_ids, extras.matcher_attention_mask)
        raw = proxy_maps(options.saliency, prompt, every, question, self.matcher, self._space)
        return {
            sign: self._in_pixels(prompt, raw, sign, [every.index(layer) for layer in layers[sign]]) for sign in signs
        }

    def _in_pixels(self, prompt: Prompt, raw: Maps, sign: Sign, chosen: list[int]) -> Maps:
        """The chosen ones of a proxy's maps, over the pixels of their images."""
        averaged = sign == "positive" and self.options.positive_map == "raw"
        result = []
        for images, stacks in zip(prompt.images, raw, strict=True):
            row = []
            for image, stack in zip(images, stacks, strict=True):
                own = stack[chosen].mean(0, keepdim=True) if averaged else stack[chosen]
                row.append(pixel_maps(own, (image.shape[-2], image.shape[-1]), self.options.smoothing))
            result.append(row)
        return result


def kept_share(matcher: ImageTextMatcher | None, colours: Tensor, question: Question, row: int) -> float:
    """``min(1 - similarity / 2, 1 - 1e-5)``: the better image and question fit, the less is needed (AGLA)."""
    assert matcher is not None
    return min(1 - matcher.similarity(colours, *question.of(row)) / 2, 1 - 1e-5)
