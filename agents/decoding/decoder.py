"""What all decoders are: a callable that ``model.generate(..., custom_generate=decoder)`` hands its loop to.

generate takes keyword arguments that it knows from our signature out of its own and passes them on untouched. That is
how pixel values reach us raw: they are named below, so generate does not encode them beforehand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from transformers.generation.utils import GenerateDecoderOnlyOutput

from fogline.agents.decoding.attention import steerable
from fogline.agents.decoding.families import Pixels, VisionInputs
from fogline.agents.decoding.gradcam import ImageTextMatcher
from fogline.agents.decoding.loop import Call, Scores, decode
from fogline.agents.decoding.options import DecoderOptions
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.core.errors import ConfigurationError


@dataclass(frozen=True)
class Extras:
    """What a method may be given beyond the prompt, as keyword arguments of generate.

    Attributes:
        seeds: One per row returned; the option ``seed`` counted upwards by default.
        saliency_maps: Where the evidence is; see :func:`~fogline.agents.decoding.saliency.given_maps`.
        matcher_input_ids: The question in the matcher's tokens, ``[B,T']``.
        matcher_attention_mask: ``[B,T']``; all ones by default.
        positive_pixel_values: A finished view, in the layout and shape of ``pixel_values``.
        negative_pixel_values: Likewise.
        contrast_input_ids: Another prompt, ``[B,T'']``, left-padded.
        contrast_attention_mask: ``[B,T'']``; all ones by default.
    """

    seeds: Sequence[int]
    saliency_maps: Any = None
    matcher_input_ids: Tensor | None = None
    matcher_attention_mask: Tensor | None = None
    positive_pixel_values: Tensor | None = None
    negative_pixel_values: Tensor | None = None
    contrast_input_ids: Tensor | None = None
    contrast_attention_mask: Tensor | None = None


class Decoder(ABC):
    """A decoding method.

    Args:
        options: Its settings.
        matcher: External image-text matcher, for the methods that use one.

    Attributes:
        Options: The model of its settings.
        steers: Whether it reads or changes the attention of the language model.
        takes_matcher: Whether it may look for evidence with a matcher.
        uses: Names of the keyword arguments of generate that it reads beyond the prompt.
    """

    Options: ClassVar[type[DecoderOptions]] = DecoderOptions
    steers: ClassVar[bool] = False
    takes_matcher: ClassVar[bool] = False
    uses: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: Any, matcher: ImageTextMatcher | None = None) -> None:
        if matcher is not None and not self.takes_matcher:
            raise ConfigurationError(f"{type(self).__name__} looks for no evidence with a matcher: leave matcher out.")
        self.options = options
        self.matcher = matcher

    @abstractmethod
    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The views it contrasts, by name; ``"original"`` is among them."""

    @abstractmethod
    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """What it makes of the paths' logits at a step, from 0."""

    def check(self, prompt: Prompt) -> None:
        """Refuse a model, or settings of generate, that a decoder cannot work with.

        Raises:
            ConfigurationError: Naming what to change.
        """
        config, cache = prompt.generation_config, prompt.cache
        refused = {
            f"num_beams={config.num_beams}: beams belong to decoder 'opera', as its option": config.num_beams > 1,
            "prefill_chunk_size: leave it out, paths read their prompts whole": config.prefill_chunk_size is not None,
            "an encoder-decoder model: expected one that continues its prompt": prompt.model.config.is_encoder_decoder,
            "a cache that holds tokens already: every path reads its own prompt, pass none": (
                cache is not None and bool(cache.get_seq_length())
            ),
            "a static cache: leave cache_implementation out": cache is not None and cache.is_compileable,
        }
        for what, found in refused.items():
            if found:
                raise ConfigurationError(f"decoders do not support {what}.")

    def run(self, prompt: Prompt, extras: Extras, call: Call) -> Tensor | GenerateDecoderOnlyOutput:
        """Decode: by default token by token over :meth:`paths`."""
        return decode(self.paths(prompt, extras), self.scores, call)

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        synced_gpus: bool = False,
        streamer: Any = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        pixel_attention_mask: Tensor | None = None,
        image_sizes: Tensor | None = None,
        vision_feature_layer: Any = None,
        vision_feature_select_strategy: str | None = None,
        pixel_values_videos: Tensor | None = None,
        vision: VisionInputs | None = None,
        seeds: Sequence[int] | None = None,
        token_streamer: Any = None,
        saliency_maps: Any = None,
        matcher_input_ids: Tensor | None = None,
        matcher_attention_mask: Tensor | None = None,
        positive_pixel_values: Tensor | None = None,
        negative_pixel_values: Tensor | None = None,
        contrast_input_ids: Tensor | None = None,
        contrast_attention_mask: Tensor | None = None,
        **model_kwargs: Any,
    ) -> Tensor | GenerateDecoderOnlyOutput:
        """Run the loop that generate hands over; every argument comes from generate.

        Args:
            model: The model, for InstructBLIP its language model.
            input_ids: ``[B,T]``, left-padded.
            logits_processor: Applied after the fusion.
            stopping_criteria: Says which rows are finished.
            generation_config: Its settings.
            synced_gpus: Not supported.
            streamer: transformers 5.23 does not hand it on to a custom loop: use ``token_streamer``.
            pixel_values: As all up to ``vision_feature_select_strategy``, the processor's.
            image_grid_thw: Qwen-VL's.
            pixel_attention_mask: Idefics3's and SmolVLM's.
            image_sizes: LLaVA's.
            vision_feature_layer: LLaVA's and InternVL's.
            vision_feature_select_strategy: LLaVA's and InternVL's.
            pixel_values_videos: Not supported.
            vision: InstructBLIP's half; see :class:`VisionInputs`.
            token_streamer: A streamer of transformers.
            seeds: As all that follow, see :class:`Extras`.
            saliency_maps: For ``pnd`` and ``agla``.
            matcher_input_ids: For ``pnd`` and ``agla``.
            matcher_attention_mask: For ``pnd`` and ``agla``.
            positive_pixel_values: For ``pnd`` and ``agla``.
            negative_pixel_values: For ``pnd`` and ``vcd``.
            contrast_input_ids: For ``icd``, ``pai`` and ``m3id``.
            contrast_attention_mask: For ``icd``, ``pai`` and ``m3id``.
            model_kwargs: What generate prepared for the forward pass.

        Returns:
            Tokens ``[B,T']`` with the prompt, or generate's output object.

        Raises:
            ConfigurationError: For a model, a setting or an argument that does not fit; the message says what does.
        """
        extras = Extras(
            self._seeds(seeds, input_ids.shape[0]), saliency_maps, matcher_input_ids, matcher_attention_mask,
            positive_pixel_values, negative_pixel_values, contrast_input_ids, contrast_attention_mask,
        )  # fmt: skip
        self._check_extras(extras)
        for what, given in (("synced_gpus", synced_gpus), ("pixel_values_videos", pixel_values_videos is not None)):
            if given:
                raise ConfigurationError(f"decoders do not support {what}: leave it out.")
        layout = {
            "image_grid_thw": image_grid_thw,
            "pixel_attention_mask": pixel_attention_mask,
            "image_sizes": image_sizes,
            "vision_feature_layer": vision_feature_layer,
            "vision_feature_select_strategy": vision_feature_select_strategy,
        }
        layout = {name: value for name, value in layout.items() if value is not None}
        pixels = None if pixel_values is None else Pixels(pixel_values, layout)
        prompt = Prompt(model, input_ids, model_kwargs, pixels, vision, generation_config)
        self.check(prompt)
        if token_streamer is not None:
            token_streamer.put(input_ids.cpu())
        call = Call(logits_processor, stopping_criteria, generation_config, extras.seeds, token_streamer or streamer)
        with steerable(model.get_decoder()) if self.steers else nullcontext():
            return self.run(prompt, extras, call)

    def _seeds(self, seeds: Sequence[int] | None, rows: int) -> Sequence[int]:
        if seeds is None:
            return range(self.options.seed, self.options.seed + rows)
        if len(seeds) != rows:
            raise ConfigurationError(f"seeds has {len(seeds)} entries for {rows} rows: give one per row returned.")
        return list(seeds)

    def _check_extras(self, extras: Extras) -> None:
        for name, value in vars(extras).items():
            if value is not None and name not in ("seeds", *self.uses):
                expected = ", ".join(self.uses) or "none"
                raise ConfigurationError(
                    f"{type(self).__name__} does not read {name}: of the decoders' own arguments it reads {expected}."
                )
