"""How each family of vision-language models is given another view of its images.

A family knows how its processor lays out pixels, which placeholder tokens an image fills, and how features reach the
language model. Everything above works on single images ``[C,H,W]``, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from fogline.core.errors import ConfigurationError, suggestion

Images = list[list[Tensor]]
"""Row by row, the images ``[C,H,W]`` of a prompt."""


@dataclass(frozen=True)
class VisionInputs:
    """What InstructBLIP's ``generate`` keeps to itself: it hands its language model merged embeddings only.

    ``model.generate(**inputs, custom_generate=decoder, vision=VisionInputs.of(model, inputs))``

    Attributes:
        model: The ``InstructBlipForConditionalGeneration``.
        pixel_values: ``[B,C,H,W]``.
        arguments: The Q-Former's: ``qformer_input_ids``, ``qformer_attention_mask``, ``interpolate_pos_encoding``.
        contrast_arguments: The Q-Former's for a path with another prompt; the same ones by default.
    """

    model: Any
    pixel_values: Tensor
    arguments: Mapping[str, Any] = field(default_factory=dict)
    contrast_arguments: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, model: Any, inputs: Mapping[str, Any], contrast: Mapping[str, Any] | None = None) -> VisionInputs:
        """Take what is needed from a processor's output.

        Args:
            model: The model that ``generate`` is called on.
            inputs: What the processor made of image and prompt.
            contrast: What it made of the other prompt (ICD), for its ``qformer_input_ids``.
        """
        names = ("qformer_input_ids", "qformer_attention_mask", "interpolate_pos_encoding")
        own, other = ({name: source[name] for name in names if name in source} for source in (inputs, contrast or {}))
        return cls(model, inputs["pixel_values"], own, {**own, **other} if other else None)


@dataclass(frozen=True)
class Pixels:
    """The images of a batch as the processor laid them out.

    Attributes:
        values: ``pixel_values``, in the family's own shape.
        extras: What comes with them: grids, masks, sizes.
    """

    values: Tensor
    extras: Mapping[str, Any]


class Family:
    """One image is one entry of ``pixel_values [images,C,H,W]`` and fills a square of tokens: LLaVA, InternVL.

    Attributes:
        name: What people call it.
        model_types: ``model.config.model_type`` of its members.
    """

    name = "llava"
    model_types: tuple[str, ...] = ("llava",)

    def image_token(self, config: Any) -> int:
        """Id of the placeholder that an image's tokens replace."""
        return int(config.image_token_id)

    def wrappers(self, config: Any) -> tuple[int, ...]:
        """Ids of tokens that only stand around images, as far as the configuration names them."""
        return ()

    def token_counts(self, config: Any, pixels: Pixels, placeholders: Sequence[int]) -> list[int]:
        """Tokens of each image, in the order of the images; ``placeholders`` are those of each row."""
        if pixels.extras.get("image_sizes") is not None:
            raise ConfigurationError(
                f"{self.name} with image_sizes packs images of different sizes (a Pixtral tower), which is not "
                "supported: use a model with a CLIP or SigLIP tower."
            )
        images = self.image_count(pixels)
        return [sum(placeholders) // images] * images

    def token_grid(self, config: Any, pixels: Pixels, index: int, tokens: int) -> tuple[int, int]:
        """Height and width, in tokens, of the image with this index.

        Raises:
            ConfigurationError: If the tokens of an image have no place in it.
        """
        side = isqrt(tokens)
        if side * side != tokens:
            raise ConfigurationError(
                f"{self.name} lays {tokens} tokens on an image, which is no square: saliency='attention' cannot place "
                "them; use saliency='matcher' or 'oracle'."
            )
        return side, side

    def image_count(self, pixels: Pixels) -> int:
        """How many images there are."""
        return pixels.values.shape[0]

    def unpack(self, config: Any, pixels: Pixels) -> list[Tensor]:
        """The images ``[C,H,W]``, in order."""
        return list(pixels.values)

    def pack(self, config: Any, images: Sequence[Tensor], pixels: Pixels) -> Tensor:
        """``pixel_values`` with these images in place of ``pixels``'s own."""
        return torch.stack(list(images)).to(pixels.values.dtype)

    def encode(self, model: Any, pixels: Pixels) -> Any:
        """Features of all images, as the model's forward pass takes them precomputed."""
        extras = {name: value for name, value in pixels.extras.items() if value is not None}
        return model.base_model.get_image_features(pixel_values=pixels.values, **extras, return_dict=True)

    def token_types(self, image_mask: Tensor) -> dict[str, Tensor]:
        """Arguments that tell the model which tokens are images, for families that ask."""
        return {}


class InternVL(Family):
    """As LLaVA; tiles are images of their own."""

    name = "internvl"
    model_types = ("internvl",)


class InstructBLIP(Family):
    """Image tokens are the Q-Former's queries: they have no place in the image."""

    name = "instructblip"
    model_types = ("instructblip",)

    def token_grid(self, config: Any, pixels: Pixels, index: int, tokens: int) -> tuple[int, int]:
        """Refuse: a query looks at the whole image."""
        raise ConfigurationError(
            "saliency='attention' has no map on instructblip: its image tokens are queries, which look at the whole "
            "image. Use saliency='matcher' or 'oracle'."
        )

    def encode(self, model: Any, pixels: Pixels) -> Any:
        """Projected queries ``[B,Q,D]``."""
        return model.get_image_features(pixels.values, **pixels.extras, return_dict=True)


class Idefics3(Family):
    """``pixel_values [B,N,C,H,W]``; an image of zeros is padding and is skipped by the model."""

    name = "idefics3"
    model_types = ("idefics3", "smolvlm")

    def image_count(self, pixels: Pixels) -> int:
        """Images that are not padding."""
        return int(self._real(pixels.values).sum())

    def unpack(self, config: Any, pixels: Pixels) -> list[Tensor]:
        """The images that are not padding."""
        return list(pixels.values[self._real(pixels.values)])

    def pack(self, config: Any, images: Sequence[Tensor], pixels: Pixels) -> Tensor:
        """Put images back between the padding.

        Raises:
            ConfigurationError: If a view is all zeros: the model would drop it and its tokens with it.
        """
        values = pixels.values.clone()
        values[self._real(pixels.values)] = torch.stack(list(images)).to(values.dtype)
        if int(self._real(values).sum()) != len(images):
            raise ConfigurationError(
                f"a view has no pixel other than 0, which {self.name} takes for padding: its tokens would be missing. "
                "Give image_mean and image_std, so that black is not 0, or keep more of the image."
            )
        return values

    @staticmethod
    def _real(values: Tensor) -> Tensor:
        return (values != 0).flatten(2).any(-1)


class QwenVL(Family):
    """``pixel_values [patches, C*T*p*p]`` in merge order, and a grid ``[images,3]`` of patches per image."""

    name = "qwen-vl"
    model_types = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")

    def wrappers(self, config: Any) -> tuple[int, ...]:
        """The vision start and end tokens."""
        names = ("vision_start_token_id", "vision_end_token_id")
        return tuple(int(found) for name in names if (found := getattr(config, name, None)) is not None)

    def image_count(self, pixels: Pixels) -> int:
        """Rows of the grid."""
        return len(self._grid(pixels))

    def token_counts(self, config: Any, pixels: Pixels, placeholders: Sequence[int]) -> list[int]:
        """Patches over the square of the merge size."""
        merge = config.vision_config.spatial_merge_size
        return [time * height * width // merge**2 for time, height, width in self._grid(pixels)]

    def token_grid(self, config: Any, pixels: Pixels, index: int, tokens: int) -> tuple[int, int]:
        """The grid over the merge size."""
        merge = config.vision_config.spatial_merge_size
        _, height, width = self._grid(pixels)[index]
        return height // merge, width // merge

    def unpack(self, config: Any, pixels: Pixels) -> list[Tensor]:
        """Put patches back together; the two frames of an image are one."""
        sizes = [time * height * width for time, height, width in self._grid(pixels)]
        images = []
        for (time, height, width), patches in zip(self._grid(pixels), torch.split(pixels.values, sizes), strict=True):
            vision = config.vision_config
            merge, patch, frames = vision.spatial_merge_size, vision.patch_size, vision.temporal_patch_size
            blocks = patches.reshape(time, height // merge, width // merge, merge, merge, -1, frames, patch, patch)
            film = blocks.permute(0, 6, 5, 1, 3, 7, 2, 4, 8).reshape(time * frames, -1, height * patch, width * patch)
            if not bool((film == film[:1]).all()):
                raise ConfigurationError("the frames of an image differ: views are made of images, not of videos.")
            images.append(film[0])
        return images

    def pack(self, config: Any, images: Sequence[Tensor], pixels: Pixels) -> Tensor:
        """Cut images into patches again."""
        rows = []
        for (time, height, width), image in zip(self._grid(pixels), images, strict=True):
            vision = config.vision_config
            merge, patch, frames = vision.spatial_merge_size, vision.patch_size, vision.temporal_patch_size
            film = image.expand(time * frames, *image.shape)
            blocks = film.reshape(
                time, frames, image.shape[0], height // merge, merge, patch, width // merge, merge, patch
            )
            rows.append(blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(time * height * width, -1))
        return torch.cat(rows).to(pixels.values.dtype)

    def token_types(self, image_mask: Tensor) -> dict[str, Tensor]:
        """1 for image tokens: the rotary positions are laid out by them."""
        return {"mm_token_type_ids": image_mask.int()}

    @staticmethod
    def _grid(pixels: Pixels) -> list[tuple[int, int, int]]:
        grid = pixels.extras.get("image_grid_thw")
        if grid is None:
            raise ConfigurationError(
                "qwen-vl needs image_grid_thw with pixel_values: pass the processor's whole output to generate."
            )
        return [tuple(row) for row in grid.tolist()]


FAMILIES: tuple[Family, ...] = (Family(), InternVL(), InstructBLIP(), Idefics3(), QwenVL())


def family_of(config: Any) -> Family:
    """The family of a model.

    Raises:
        ConfigurationError: For a model whose images nobody here knows to handle.
    """
    known = {model_type: family for family in FAMILIES for model_type in family.model_types}
    family = known.get(config.model_type)
    if family is None:
        expected = ", ".join(map(repr, known))
        raise ConfigurationError(
            f"model_type={config.model_type!r} is of no known family: expected one of {expected}."
            f"{suggestion(config.model_type, known)} Add a Family for it in fogline.agents.decoding.families."
        )
    return family


def images_by_row(placeholders: Sequence[int], token_counts: Sequence[int]) -> list[list[int]]:
    """Indices of each row's images: images fill placeholders in the order of the batch.

    Args:
        placeholders: Image tokens of each row.
        token_counts: Tokens of each image.

    Raises:
        ConfigurationError: If an image would reach over the end of a row, or tokens and images do not match.
    """
    ends = list(accumulate(token_counts))
    rows: list[list[int]] = []
    start = 0
    for end in accumulate(placeholders):
        rows.append([index for index, last in enumerate(ends) if start < last <= end])
        start = end
        if end and end not in ends:
            break
    if len(rows) < len(placeholders) or (ends[-1] if ends else 0) != sum(placeholders):
        raise ConfigurationError(
            f"the prompts hold {list(placeholders)} image tokens, the images fill {list(token_counts)}: every path "
            "needs as many tokens as its images fill. Make views of the same size, from the same processor."
        )
    return rows


def select_features(features: Any, image_mask: Tensor, rows: Tensor) -> Any:
    """Precomputed features of some rows of a batch, in the container that the model expects.

    Args:
        features: What :meth:`Family.encode` returned for the batch.
        image_mask: Placeholders of the batch, ``[B,T]``, bool.
        rows: Which rows, ``[n]``; one may come more than once.
    """
    counts = image_mask.sum(1).tolist()
    ends = list(accumulate(counts))
    wanted = torch.cat([torch.arange(ends[row] - counts[row], ends[row]) for row in rows.tolist()])

    def cut(pooled: Any) -> Any:
        flat = torch.cat([part.reshape(-1, part.shape[-1]) for part in pooled])
        chosen = flat[wanted.to(flat.device)]
        return chosen[None] if isinstance(pooled, Tensor) else [chosen]

    parts = {"pooler_output": cut(features.pooler_output)}
    deep = getattr(features, "deepstack_features", None)
    if deep is not None:
        parts["deepstack_features"] = [cut(layer) for layer in deep]
    return type(features)(**parts)
