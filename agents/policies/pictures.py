"""Pictures of observations: what is accepted, and what a model gets to see of it.

An observation is ``{"image": [H, W, 3] uint8, "question": text}``. A model from a folder comes with its own processor,
which may resize and crop. A processor that does neither, such as that of a tiny model, is replaced by plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from fogline.agents.policies.policy import Array
from fogline.core.errors import ConfigurationError, missing_dependency

IMAGE, QUESTION = "image", "question"
_WHITE = 255
_HALF, _PAPER = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)


def has_picture(observation: Any) -> bool:
    """Whether an observation is a picture with a question."""
    return isinstance(observation, Mapping) and IMAGE in observation and QUESTION in observation


def words_of(observation: Any) -> Any:
    """What there is to read: the question beside a picture, else the observation itself."""
    return observation[QUESTION] if has_picture(observation) else observation


def fault_of(observation: Any) -> str | None:
    """What is wrong with an observation; None where it is a picture with a question."""
    if not has_picture(observation):
        keys = sorted(observation) if isinstance(observation, Mapping) else type(observation).__name__
        return (
            f"the observation is {keys}: expected a mapping with {IMAGE!r} and {QUESTION!r}. A CausalLMPolicy plays "
            "environments of text alone."
        )
    image = observation[IMAGE]
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        return f"image is {what}: expected uint8 [height, width, 3], RGB."
    if not image.size:
        return f"image has no pixels ({list(image.shape)}): expected at least one row and one column."
    return None


class Pixels(Protocol):
    """The way from pictures to what a model takes.

    Attributes:
        edge: Of a square picture that it takes.
    """

    edge: int

    @property
    def mean(self) -> tuple[float, ...]:
        """Subtracted from colours in [0, 1], of each channel, or once for all."""
        ...

    @property
    def deviation(self) -> tuple[float, ...]:
        """What they are divided by then."""
        ...

    def fault(self, image: Array) -> str | None:
        """What is wrong with a picture ``[H,W,3]`` uint8 for this model, or None."""
        ...

    def canvas(self, image: Array) -> Array:
        """The picture as it is kept to be scored again, a copy."""
        ...

    def inputs(self, images: Sequence[Array]) -> Mapping[str, Any]:
        """What the model's ``get_image_features`` and ``forward`` take of pictures of one shape, by name."""
        ...

    def marks(self, image: Array) -> str | None:
        """The text that stands for a picture in a prompt; None: one mark for each of its features."""
        ...

    def save(self, folder: Path, tokenizer: Any, count: int) -> None:
        """Write a processor that ``AutoProcessor`` loads, with the tokenizer's chat template.

        Args:
            folder: Where to.
            tokenizer: Knows the image token.
            count: Image tokens of a picture of ``edge`` by ``edge`` pixels.
        """
        ...


class PlainPixels:
    """Arithmetic only: ``(pixel / 255 - mean) / deviation``, on a square canvas that is white where a picture ends.

    Args:
        edge: Of the canvas in pixels; larger pictures are refused, smaller ones stand in its top left corner.
        patch: Edge of a patch.
        strategy: The model's ``vision_feature_select_strategy``; its processor must know.
        mark: The image token.
        mean: Of each channel; white is 0 by default, so that blank paper says nothing and ink is all there is.
        deviation: Of each channel.
    """

    def __init__(
        self,
        edge: int,
        patch: int,
        strategy: str,
        mark: str,
        mean: Sequence[float] = _PAPER,
        deviation: Sequence[float] = _HALF,
    ) -> None:
        self.edge, self._patch, self._strategy, self._mark = edge, patch, strategy, mark
        self.mean, self.deviation = tuple(mean), tuple(deviation)

    def fault(self, image: Array) -> str | None:
        """Larger than the canvas."""
        height, width = image.shape[:2]
        if max(height, width) <= self.edge:
            return None
        return (
            f"image has {height} x {width} pixels: expected at most {self.edge} x {self.edge}, which this model was "
            "built for and which nothing is shrunk to. Build one with a larger image_size."
        )

    def canvas(self, image: Array) -> Array:
        """``[edge,edge,3]``."""
        full = np.full((self.edge, self.edge, 3), _WHITE, np.uint8)
        full[: image.shape[0], : image.shape[1]] = image
        return full

    def inputs(self, images: Sequence[Array]) -> Mapping[str, Any]:
        """``pixel_values`` ``[n,3,edge,edge]``, float64."""
        pixels = torch.from_numpy(np.stack([self.canvas(image) for image in images])).permute(0, 3, 1, 2).double()
        mean, deviation = (torch.tensor(channel).double()[:, None, None] for channel in (self.mean, self.deviation))
        return {"pixel_values": (pixels / _WHITE - mean) / deviation}

    def marks(self, image: Array) -> str | None:
        """None."""
        return None

    def save(self, folder: Path, tokenizer: Any, count: int) -> None:
        """A ``LlavaProcessor`` that neither resizes nor crops; it pads to the canvas where what it pads with is white.

        Raises:
            MissingDependencyError: Without Pillow.
        """
        try:
            import PIL  # noqa: F401 - the image processor needs it, and says so less clearly
        except ImportError:
            raise missing_dependency("pillow", "vision") from None
        from transformers import CLIPImageProcessorPil, LlavaProcessor

        image_processor = CLIPImageProcessorPil(
            do_resize=False,
            do_center_crop=False,
            image_mean=list(self.mean),
            image_std=list(self.deviation),
            do_pad=_white_is_zero(self.mean),
            pad_size={"height": self.edge, "width": self.edge},
        )
        kind: Any = LlavaProcessor
        # It counts patches, adds these and takes one off for a class token that the strategy leaves out.
        additional = count - (self.edge // self._patch) ** 2 + (self._strategy == "default")
        kind(
            image_processor=image_processor,
            tokenizer=tokenizer,
            patch_size=self._patch,
            vision_feature_select_strategy=self._strategy,
            num_additional_image_tokens=additional,
            image_token=self._mark,
            chat_template=tokenizer.chat_template,
        ).save_pretrained(str(folder))


class ProcessedPixels:
    """Pixels as the model's own processor makes them.

    Args:
        processor: A transformers processor with an image processor and a tokenizer.
        mark: The image token.
    """

    edge = 48

    def __init__(self, processor: Any, mark: str) -> None:
        self._processor, self._mark = processor, mark

    @property
    def mean(self) -> tuple[float, ...]:
        """The image processor's; 0 where it subtracts nothing."""
        return self._channels("image_mean", 0.0)

    @property
    def deviation(self) -> tuple[float, ...]:
        """The image processor's; 1 where it divides by nothing."""
        return self._channels("image_std", 1.0)

    def _channels(self, name: str, neutral: float) -> tuple[float, ...]:
        images = self._processor.image_processor
        value = getattr(images, name, None) if getattr(images, "do_normalize", True) else None
        value = neutral if value is None else value
        return tuple(map(float, value)) if isinstance(value, list | tuple) else (float(value),)

    def fault(self, image: Array) -> str | None:
        """Nothing: it takes pictures of any size."""
        return None

    def canvas(self, image: Array) -> Array:
        """As it is."""
        return image.copy()

    def inputs(self, images: Sequence[Array]) -> Mapping[str, Any]:
        """What the processor gives, each picture in a sample of its own."""
        from PIL import Image

        return dict(
            self._processor(
                text=[self._mark] * len(images),
                images=[[Image.fromarray(image)] for image in images],
                add_special_tokens=False,
                return_tensors="pt",
            )
        )

    def marks(self, image: Array) -> str | None:
        """What the processor puts in the place of the image token."""
        ids = self.inputs([image])["input_ids"][0].tolist()
        text: str = self._processor.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return text

    def save(self, folder: Path, tokenizer: Any, count: int) -> None:
        """The processor itself."""
        own = self._processor.tokenizer, self._processor.chat_template
        try:
            self._processor.tokenizer, self._processor.chat_template = tokenizer, tokenizer.chat_template
            self._processor.save_pretrained(str(folder))
        finally:
            self._processor.tokenizer, self._processor.chat_template = own


def pixels_of(config: Any, processor: Any, mark: str) -> Pixels:
    """How pictures reach a model.

    Args:
        config: Of the model.
        processor: The model's processor; None for a LLaVA that takes plain pixels.
        mark: The image token.

    Raises:
        ConfigurationError: There is no processor, and the model is no LLaVA.
    """
    if processor is None and config.model_type != "llava":
        raise ConfigurationError(
            f"processor=None with a loaded model of type {config.model_type!r}: hand in its processor, since only the "
            "pixels of a LLaVA are plain."
        )
    own = None if processor is None else processor.image_processor
    if config.model_type != "llava" or not (own is None or _only_arithmetic(own, config.vision_config.image_size)):
        return ProcessedPixels(processor, mark)
    vision = config.vision_config
    channels = () if own is None else (own.image_mean, own.image_std)
    return PlainPixels(vision.image_size, vision.patch_size, config.vision_feature_select_strategy, mark, *channels)


def _only_arithmetic(image_processor: Any, edge: int) -> bool:
    """Whether pixels are scaled and shifted and none moved; white beside them, up to a canvas of ``edge``, is none."""
    moves = any(getattr(image_processor, name, None) for name in ("do_resize", "do_center_crop"))
    scaled = image_processor.do_rescale and abs(image_processor.rescale_factor * _WHITE - 1) < 1e-6
    shifted = image_processor.do_normalize and isinstance(image_processor.image_mean, list | tuple)
    if moves or not scaled or not shifted:
        return False
    if not getattr(image_processor, "do_pad", None):
        return True
    size = image_processor.pad_size
    return bool(size and (size["height"], size["width"]) == (edge, edge) and _white_is_zero(image_processor.image_mean))


def _white_is_zero(mean: Sequence[float]) -> bool:
    """Whether what is padded with zeros behind the arithmetic, as transformers does, is padded with white."""
    return all(channel == 1 for channel in mean)


def load_processor(processor: Any, model: Any) -> Any:
    """Return a processor; by default the one that lies beside the model, or None for a loaded model.

    Raises:
        ConfigurationError: If none can be loaded from there.
        MissingDependencyError: Without Pillow.
    """
    source = model if processor is None else processor
    if not isinstance(source, str | Path):
        return processor
    try:
        import PIL  # noqa: F401 - image processors need it, and say so less clearly
    except ImportError:
        raise missing_dependency("pillow", "vision") from None
    from transformers import AutoProcessor

    loader: Any = AutoProcessor
    try:
        found = loader.from_pretrained(str(source))
    except (OSError, ValueError, ImportError) as error:
        raise ConfigurationError(f"no processor can be loaded from {str(source)!r} ({error}).") from error
    if getattr(found, "image_processor", None) is None:
        raise ConfigurationError(
            f"{str(source)!r} holds a {type(found).__name__}, which has no image processor: expected the processor of "
            "a model that sees. Name such a model, or choose the environment's text observation."
        )
    return found
