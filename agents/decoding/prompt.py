"""The prompt that generate hands over, and the paths that can be made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fogline.agents.decoding.attention import Steering
from fogline.agents.decoding.families import (
    Family,
    Images,
    Pixels,
    VisionInputs,
    family_of,
    images_by_row,
    select_features,
)
from fogline.agents.decoding.paths import Path
from fogline.core.errors import ConfigurationError

_REMADE = ("mm_encoder_outputs", "inputs_embeds", "position_ids", "attention_mask", "mm_token_type_ids")


class Prompt:
    """A batch of prompts, before ``num_return_sequences`` multiplies it.

    Args:
        model: What generate runs on; for InstructBLIP its language model.
        input_ids: ``[B*copies,T]``, left-padded.
        arguments: What generate prepared for the forward pass.
        pixels: The images, as the processor laid them out; None for a prompt of text, or of precomputed features.
        vision: InstructBLIP's half.
        generation_config: generate's, with ``num_return_sequences``.
    """

    def __init__(
        self,
        model: Any,
        input_ids: Tensor,
        arguments: Mapping[str, Any],
        pixels: Pixels | None,
        vision: VisionInputs | None,
        generation_config: Any,
    ) -> None:
        self.model = model
        self.generation_config = generation_config
        self.vision = vision
        # Features computed beforehand were multiplied by generate already, like everything else it prepared.
        self.copies = 1 if pixels is None and vision is None else generation_config.num_return_sequences
        self._first = torch.arange(0, input_ids.shape[0], self.copies, device=input_ids.device)
        self.input_ids = input_ids[self._first]
        self._arguments = dict(arguments)
        mask = self._arguments.get("attention_mask")
        self.attention_mask = torch.ones_like(self.input_ids) if mask is None else mask[self._first]
        self._padded = mask is not None
        self._pixels = pixels if vision is None else Pixels(vision.pixel_values, vision.arguments)

    # What is known about images

    @property
    def _host(self) -> Any:
        return self.model if self.vision is None else self.vision.model

    @property
    def config(self) -> Any:
        """Configuration of the model that sees."""
        return self._host.config

    @property
    def cache(self) -> Any:
        """The cache that generate prepared, or None; paths take copies."""
        return self._arguments.get("past_key_values")

    @cached_property
    def family(self) -> Family:
        """How its images are handled.

        Raises:
            ConfigurationError: For an unknown family, or InstructBLIP's language model without its other half.
        """
        if self.vision is None and self._arguments.get("inputs_embeds") is not None:
            raise ConfigurationError(
                f"the decoder was handed a language model ({self.config.model_type}) with merged embeddings, and "
                "cannot see the image. For InstructBLIP pass vision=VisionInputs.of(model, inputs) to generate."
            )
        return family_of(self.config)

    @cached_property
    def image_mask(self) -> Tensor:
        """Which tokens stand for images, ``[B,T]``, bool."""
        return self.input_ids == self.family.image_token(self.config)

    @property
    def pixels(self) -> Pixels:
        """The images as laid out by the processor.

        Raises:
            ConfigurationError: If generate was given none.
        """
        if self._pixels is None:
            raise ConfigurationError(
                "this method changes the image, and generate was given no pixel_values: pass the processor's whole "
                "output, not features computed beforehand."
            )
        return self._pixels

    @cached_property
    def rows(self) -> list[list[int]]:
        """Indices of each row's images."""
        placeholders = self.image_mask.sum(1).tolist()
        return images_by_row(placeholders, self.family.token_counts(self.config, self.pixels, placeholders))

    @cached_property
    def images(self) -> Images:
        """Each row's images ``[C,H,W]``."""
        flat = self.family.unpack(self.config, self.pixels)
        return [[flat[index] for index in row] for row in self.rows]

    # Paths

    def original(self, steering: Steering | None = None, **extra: Any) -> Path:
        """The undisturbed path; ``extra`` goes to every forward pass."""
        features = None if self._pixels is None else self._features
        return self._path(self.input_ids, self.attention_mask, features, steering, extra)

    def with_images(self, images: Images) -> Path:
        """A path that sees these images instead, row by row."""
        flat = [image for row in images for image in row]
        return self.with_pixels(self.family.pack(self.config, flat, self.pixels))

    def with_pixels(self, values: Tensor) -> Path:
        """A path with other ``pixel_values``.

        Raises:
            ConfigurationError: If they would fill another number of tokens.
        """
        if values.shape != self.pixels.values.shape:
            raise ConfigurationError(
                f"a view's pixel_values have shape {tuple(values.shape)}, the original's "
                f"{tuple(self.pixels.values.shape)}: their token counts could differ. Resize the view to the original "
                "before the processor sees it."
            )
        other = replace(self.pixels, values=values.to(self.pixels.values.device, self.pixels.values.dtype))
        if self.family.image_count(other) != self.family.image_count(self.pixels):
            raise ConfigurationError("a view has fewer images than the original: an image of zeros counts as padding.")
        return self._path(self.input_ids, self.attention_mask, self.family.encode(self._host, other))

    def without_images(self, dropped: Sequence[int] = ()) -> Path:
        """A path that reads the text only; ``dropped`` are further token ids that belong to images."""
        tokens = (self.family.image_token(self.config), *self.family.wrappers(self.config), *dropped)
        kept = self.attention_mask.bool() & ~torch.isin(
            self.input_ids, torch.tensor(tokens, device=self.input_ids.device)
        )
        if not kept.any(1).all():
            raise ConfigurationError("a prompt holds nothing but its image: without it nothing is left to read.")
        return self.with_tokens(*left_padded([row[mask] for row, mask in zip(self.input_ids, kept, strict=True)]))

    def with_insertion(self, tokens: Sequence[int]) -> Path:
        """A path that reads ``tokens`` before the question: after the last image, or first where there is none."""
        added = torch.tensor(tokens, device=self.input_ids.device, dtype=self.input_ids.dtype)
        wrappers = {*self.family.wrappers(self.config), self.family.image_token(self.config)}
        rows = []
        for ids, mask in zip(self.input_ids, self.attention_mask.bool(), strict=True):
            row = ids[mask]
            images = [place for place, token in enumerate(row.tolist()) if token in wrappers]
            start = images[-1] + 1 if images else 0
            rows.append(torch.cat([row[:start], added, row[start:]]))
        return self.with_tokens(*left_padded(rows))

    def with_tokens(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Path:
        """A path with another prompt, ``[B,T']``, left-padded; its images are the original's.

        Raises:
            ConfigurationError: If rows or image tokens do not match.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        counts = (input_ids == self.family.image_token(self.config)).sum(1)
        if input_ids.shape[0] != self.input_ids.shape[0]:
            raise ConfigurationError(
                f"the other prompt has {input_ids.shape[0]} rows for a batch of {self.input_ids.shape[0]}: give one "
                "each."
            )
        if not counts.any():
            return self._path(input_ids, mask, None)
        if not torch.equal(counts, self.image_mask.sum(1)):
            raise ConfigurationError(
                f"the other prompt has {counts.tolist()} image tokens per row, the original "
                f"{self.image_mask.sum(1).tolist()}: keep all of them, or none."
            )
        if self.vision is not None and self.vision.contrast_arguments is not None:
            return self._path(input_ids, mask, self._encoded(self.vision.contrast_arguments))
        return self._path(input_ids, mask, self._features)

    @cached_property
    def _features(self) -> Any:
        return self._encoded(self.pixels.extras)

    def _encoded(self, extras: Mapping[str, Any]) -> Any:
        if not any(self.rows):
            raise ConfigurationError("generate was given images, and no prompt has a token for them.")
        return self.family.encode(self._host, Pixels(self.pixels.values, extras))

    def _path(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        features: Any,
        steering: Steering | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Path:
        seeing = features is not None
        image_mask = torch.zeros_like(input_ids, dtype=torch.bool)
        if self._pixels is not None or steering is not None:
            image_mask = input_ids == self.family.image_token(self.config)
        arguments = {
            name: self._uncopied(value) if isinstance(value, Tensor) else deepcopy(value)
            for name, value in self._arguments.items()
            if name not in _REMADE
        }
        arguments.update(extra or {})
        arguments["attention_mask"] = attention_mask if self._padded or bool((attention_mask == 0).any()) else None
        types = self._types(input_ids, image_mask)
        arguments.update(types)
        if "position_ids" in self._arguments:
            arguments["position_ids"] = self._positions(input_ids, attention_mask, types, seeing)
        arguments.update(self._seen(input_ids, image_mask, features))
        path = Path(self.model, input_ids, arguments, image_mask, select_features, steering)
        if self.copies == 1:
            return path
        rows = torch.arange(input_ids.shape[0], device=input_ids.device).repeat_interleave(self.copies)
        return path.select(rows)

    def _uncopied(self, value: Tensor) -> Tensor:
        rows = self.input_ids.shape[0] * self.copies
        return value[self._first] if value.ndim and value.shape[0] == rows else value

    def _types(self, input_ids: Tensor, image_mask: Tensor) -> dict[str, Tensor]:
        if self._pixels is not None:
            return self.family.token_types(image_mask)
        # Precomputed features, or text: the caller's own types go on with the caller's own tokens.
        given = self._arguments.get("mm_token_type_ids")
        if given is None or not torch.equal(input_ids, self.input_ids):
            return {}
        return {"mm_token_type_ids": given[self._first]}

    def _positions(
        self, input_ids: Tensor, attention_mask: Tensor, types: Mapping[str, Tensor], seeing: bool
    ) -> Tensor:
        """Rotary positions of this path; families with image grids lay them out by the grid."""
        if self._pixels is None and torch.equal(input_ids, self.input_ids):
            given: Tensor = self._arguments["position_ids"]
            return given[:, self._first] if given.ndim == 3 else given[self._first]
        grids = {
            name: value
            for name, value in (self.pixels.extras if seeing and self.vision is None else {}).items()
            if name == "image_grid_thw"
        }
        positions: Tensor = self.model._prepare_position_ids_for_generation(
            input_ids, {"attention_mask": attention_mask, **types, **grids}
        )
        return positions

    def _seen(self, input_ids: Tensor, image_mask: Tensor, features: Any) -> dict[str, Any]:
        """How features reach the forward pass: beside the tokens, or merged into their embeddings."""
        if self.vision is None:
            if features is not None:
                return {"mm_encoder_outputs": {"image": features}}
            # What the caller computed beforehand goes on with the caller's own tokens, never with other ones.
            same = self._pixels is None and torch.equal(input_ids, self.input_ids)
            given = {name: self._arguments.get(name) for name in _REMADE[:2]} if same else {}
            return {name: value for name, value in given.items() if value is not None}
        embeddings = self.model.get_input_embeddings()(input_ids)
        if features is not None:
            seen = features.pooler_output.to(embeddings.device, embeddings.dtype)
            embeddings = embeddings.masked_scatter(image_mask[..., None], seen)
        return {"inputs_embeds": embeddings}


def left_padded(rows: Sequence[Tensor], pad: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as ids ``[B,T]`` and mask ``[B,T]``, padding first. Padding is never read."""
    width = max(row.numel() for row in rows)
    ids = torch.stack([torch.cat([row.new_full((width - row.numel(),), pad), row]) for row in rows])
    mask = torch.stack([torch.arange(width, device=row.device) >= width - row.numel() for row in rows])
    return ids, mask.to(ids.dtype)
