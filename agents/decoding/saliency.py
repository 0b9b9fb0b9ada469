"""Where the evidence is: maps of an image, layer by layer, and how layers become one map.

A proxy looks at the image and the question and returns one raw map per layer. PND reads two of its layer sets: their
mean says what to amplify, their minimum, where all layers agree, what to destroy (arXiv 2605.06679).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fogline.agents.decoding.attention import Recorder, steerable
from fogline.agents.decoding.gradcam import ImageTextMatcher
from fogline.agents.decoding.prompt import Prompt
from fogline.agents.decoding.views import PixelSpace, blur, normalised, resized
from fogline.core.errors import ConfigurationError

Source = Literal["matcher", "attention", "oracle"]

POSITIVE_DEPTHS = (1 / 3, 1 / 2, 2 / 3)
"""Blocks 4, 6 and 8 of 12: what the released PND amplifies by."""
NEGATIVE_DEPTHS = (1 / 4, 5 / 12, 7 / 12, 3 / 4)
"""Blocks 3, 5, 7 and 9 of 12: what it destroys by."""


@dataclass(frozen=True)
class Question:
    """The question in the matcher's tokens.

    Attributes:
        input_ids: ``[B,T]``, or None where no matcher is asked.
        attention_mask: ``[B,T]``; all ones by default.
    """

    input_ids: Tensor | None
    attention_mask: Tensor | None

    def of(self, row: int) -> tuple[Tensor, Tensor]:
        """Ids and mask ``[T]`` of a row.

        Raises:
            ConfigurationError: If there are none.
        """
        if self.input_ids is None or row >= self.input_ids.shape[0]:
            raise ConfigurationError(
                "saliency='matcher' reads the question in the matcher's own tokens: give generate matcher_input_ids, "
                "one row per prompt, from the matcher's tokenizer."
            )
        ids = self.input_ids[row]
        return ids, torch.ones_like(ids) if self.attention_mask is None else self.attention_mask[row]


def layers_at(depths: Sequence[float], blocks: int) -> tuple[int, ...]:
    """Blocks at relative depths of a proxy, rounded, each once.

    Args:
        depths: In [0, 1].
        blocks: How many the proxy has.
    """
    return tuple(sorted({min(round(depth * blocks), blocks - 1) for depth in depths}))


def checked_layers(name: str, layers: Sequence[int] | None, depths: Sequence[float], blocks: int) -> tuple[int, ...]:
    """The layers asked for, or those at the released depths.

    Raises:
        ConfigurationError: For a layer that the proxy does not have.
    """
    if layers is None:
        return layers_at(depths, blocks)
    wrong = [layer for layer in layers if not 0 <= layer < blocks]
    if wrong:
        raise ConfigurationError(f"{name} names block {wrong[0]}: the proxy has blocks 0 to {blocks - 1}.")
    return tuple(layers)


def pixel_maps(maps: Tensor, size: tuple[int, int], smoothing: float = 0.0) -> Tensor:
    """Raw maps as maps over pixels, each in [0, 1].

    Min-max, cubic resize, Gaussian blur, min-max: LAVIS ``getAttMap``, whose blur is 0.02 of the side.

    Args:
        maps: One per layer, ``[L,h,w]``.
        size: Height and width of the image.
        smoothing: Deviation of the blur as a share of the side; 0 for none.

    Returns:
        ``[L,H,W]``.
    """
    wide = resized(normalised(maps.float()), size)
    return normalised(blur(wide, smoothing * max(size)))


def fused_map(maps: Tensor) -> Tensor:
    """``M_fused``: mean of the layers' maps ``[L,H,W]``, each in [0, 1] already; ``[H,W]``."""
    return maps.mean(0)


def consensus_map(maps: Tensor) -> Tensor:
    """``M_cons``: pixelwise minimum of the layers' maps ``[L,H,W]``; ``[H,W]``."""
    return maps.amin(0)


def consensus_mask(map_: Tensor, threshold: float) -> Tensor:
    """``1[M_cons >= tau]``, ``[H,W]`` bool: above 1 nothing, at or below 0 the whole image."""
    return map_ >= threshold


def own_attention(prompt: Prompt, layers: tuple[int, ...]) -> list[list[Tensor]]:
    """Maps from the model's own attention: how much the question's tokens look at each image token.

    ``A_i = softmax(Q_text K_vis / sqrt(d))`` of layer i, mean over heads and over the tokens after the last image
    (the last token where none follows). One forward pass of the undisturbed prompt.

    Args:
        prompt: The prompt.
        layers: Which layers of the text decoder, from 0.

    Returns:
        Row by row, image by image: ``[L,h,w]``, float32.

    Raises:
        ConfigurationError: For a family whose image tokens have no place in the image.
    """
    counts = prompt.family.token_counts(prompt.config, prompt.pixels, prompt.image_mask.sum(1).tolist())
    grids = [
        prompt.family.token_grid(prompt.config, prompt.pixels, index, tokens) for index, tokens in enumerate(counts)
    ]
    recorder = Recorder(layers)
    decoder = prompt.model.get_decoder()
    path = prompt.original(steering=recorder)
    with steerable(decoder), torch.no_grad():
        path.forward(prompt.generation_config)
    result = []
    for row, images in enumerate(prompt.rows):
        places = prompt.image_mask[row].nonzero()[:, 0]
        last = places[-1] + 1 if places.numel() and places[-1] + 1 < prompt.input_ids.shape[1] else -1
        weights = torch.stack([recorder.weights[layer][row * prompt.copies, last:].mean(0) for layer in layers])
        pieces = torch.split(weights[:, places], [counts[index] for index in images], 1)
        result.append([piece.reshape(-1, *grids[index]) for index, piece in zip(images, pieces, strict=True)])
    return result


def given_maps(maps: Tensor | Sequence[Sequence[Tensor]], prompt: Prompt) -> list[list[Tensor]]:
    """The caller's own maps, checked.

    Args:
        maps: ``[B,h,w]`` or ``[B,L,h,w]`` for one image per row; otherwise row by row, image by image, ``[h,w]`` or
            ``[L,h,w]``. In [0, 1], already normalised: they are taken as they are.
        prompt: The prompt whose images they are maps of.

    Returns:
        Row by row, image by image: ``[L,H,W]`` over the image's pixels.

    Raises:
        ConfigurationError: For maps that do not match the images, or values outside [0, 1].
    """
    rows = [[row] for row in maps] if isinstance(maps, Tensor) else [list(row) for row in maps]
    wanted = [len(row) for row in prompt.images]
    if [len(row) for row in rows] != wanted:
        raise ConfigurationError(
            f"saliency_maps has {[len(row) for row in rows]} maps per row for {wanted} images: give one map, or a "
            "stack of layers, for each image."
        )
    result = []
    for images, row in zip(prompt.images, rows, strict=True):
        result.append([_given(map_, image) for image, map_ in zip(images, row, strict=True)])
    return result


def _given(map_: Tensor, image: Tensor) -> Tensor:
    stack = map_ if map_.ndim == 3 else map_[None]
    if stack.ndim != 3 or not bool(((stack >= 0) & (stack <= 1)).all()):
        raise ConfigurationError(
            f"saliency_maps holds a map of shape {tuple(map_.shape)} with values from {float(map_.min()):g} to "
            f"{float(map_.max()):g}: expected [h,w] or [layers,h,w] within [0, 1]."
        )
    size = (image.shape[-2], image.shape[-1])
    return resized(stack.to(image.device, torch.float32), size, "nearest-exact")


def proxy_maps(
    source: Source,
    prompt: Prompt,
    layers: tuple[int, ...],
    question: Question,
    matcher: ImageTextMatcher | None,
    space: PixelSpace,
) -> list[list[Tensor]]:
    """Raw maps of a proxy, row by row, image by image: ``[L,h,w]``.

    Args:
        source: ``"matcher"`` or ``"attention"``.
        prompt: The prompt.
        layers: Which blocks of the proxy.
        question: In the matcher's tokens; ``"attention"`` needs none.
        matcher: The matcher; ``"attention"`` needs none.
        space: How pixel values relate to the colours that the matcher takes.
    """
    if source == "attention":
        return own_attention(prompt, layers)
    assert matcher is not None
    return [
        [matcher.maps(space.colours(image.float()), *question.of(row), layers) for image in images]
        for row, images in enumerate(prompt.images)
    ]


def blocks_of(source: Source, prompt: Prompt, matcher: ImageTextMatcher | None) -> int:
    """How many blocks the proxy has."""
    if source == "matcher" and matcher is not None:
        return matcher.blocks
    return int(prompt.model.get_decoder().config.num_hidden_layers)


def check_source(method: str, source: Source, matcher: ImageTextMatcher | None) -> None:
    """Refuse to look for evidence with a matcher that nobody gave.

    Raises:
        ConfigurationError: If the backend is missing.
    """
    if source == "matcher" and matcher is None:
        raise ConfigurationError(
            f"{method} with saliency='matcher' needs an image-text matcher: make_decoder({method!r}, "
            "matcher=ImageTextMatcher(BlipForImageTextRetrieval.from_pretrained(...))), or saliency='attention' for "
            "the model's own, or saliency='oracle' for maps or views of yours."
        )
