"""From pictures to features in the place of tokens.

A picture's tokens all have the same id, so that ids alone do not say what is seen. Inside the policy each becomes a
**virtual id** beyond the vocabulary, which names a row in a bank of features. Equal pictures have equal virtual ids:
whoever compares ids compares what is seen.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fogline.agents.policies.checkpoints import logits_in_parts, same_logits, without_adapters
from fogline.agents.policies.pictures import Pixels
from fogline.agents.policies.policy import Array
from fogline.core.errors import ConfigurationError

_AT_ONCE = 64
"""Pictures in one pass without gradient."""
_HOOKED = "_output_capturing_hooks_installed"
_TOLERANCE, _ROUGH = 1e-4, 1e-3
"""Of logits: a share of their deviation or, in half precision, as without pictures."""


class Gallery:
    """Distinct pictures, in the order in which they were hung.

    Attributes:
        pictures: ``[H,W,3]`` uint8 each.
    """

    def __init__(self) -> None:
        self.pictures: list[Array] = []
        self._known: dict[tuple[tuple[int, ...], bytes], int] = {}

    def place(self, picture: Array) -> int:
        """Number of a picture; equal pictures have the same."""
        key = picture.shape, picture.tobytes()
        if key not in self._known:
            self._known[key] = len(self.pictures)
            self.pictures.append(picture)
        return self._known[key]


class PictureEncoder:
    """The seeing half of a model.

    Args:
        model: A transformers model with ``get_image_features``.
        pixels: The way to its inputs.
        mark: The image token.

    Attributes:
        mark: The image token.
        pixels: The way to its inputs.
    """

    def __init__(self, model: Any, pixels: Pixels, mark: str) -> None:
        self._model, self.pixels, self.mark = model, pixels, mark
        self._marks: dict[tuple[int, ...], str] = {}

    def marks(self, shape: tuple[int, ...]) -> str:
        """The text that stands for a picture of this shape in a prompt."""
        if shape not in self._marks:
            blank = np.full(shape, 255, np.uint8)
            with torch.no_grad():
                own = self.pixels.marks(blank)
                self._marks[shape] = self.mark * len(self._features([blank])[0]) if own is None else own
        return self._marks[shape]

    def count(self, shape: tuple[int, ...]) -> int:
        """Tokens, and features, of a picture of this shape."""
        return self.marks(shape).count(self.mark)

    def features(self, pictures: Sequence[Array]) -> list[Tensor]:
        """Features ``[m,H]`` of each picture, with gradient where gradients are computed.

        Raises:
            ConfigurationError: The model does not give features by picture, or another number than there are marks.
        """
        size = len(pictures) if torch.is_grad_enabled() else _AT_ONCE
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(pictures):
            by_shape.setdefault(picture.shape, []).append(index)
        found: dict[int, Tensor] = {}
        for shape, alike in by_shape.items():
            for start in range(0, len(alike), size):
                part = alike[start : start + size]
                found |= zip(part, self._features([pictures[index] for index in part]), strict=True)
            each, count = len(found[alike[0]]), self.count(shape)
            if each != count:
                raise _unlike(self._model, f"has {each} features for a picture and {count} tokens in its place")
        return [found[index] for index in range(len(pictures))]

    def _features(self, pictures: Sequence[Array]) -> list[Tensor]:
        output = self._model.get_image_features(**self.inputs(pictures, self._model.get_image_features))
        found = getattr(output, "pooler_output", output)
        pieces = list(found) if isinstance(found, Tensor | list | tuple) else []
        if len(pieces) != len(pictures) or not all(isinstance(item, Tensor) and item.dim() == 2 for item in pieces):
            raise _unlike(
                self._model, f"gives {len(pieces)} sets of image features for {len(pictures)} pictures, as with tiles"
            )
        return pieces

    def inputs(self, pictures: Sequence[Array], function: Callable[..., Any]) -> dict[str, Any]:
        """What a function of the model takes of the pictures' inputs, in the model's dtype on its device."""
        taken = inspect.signature(function).parameters
        weight = next(self._model.parameters())
        return {
            name: value.to(weight.device, weight.dtype if value.is_floating_point() else value.dtype)
            for name, value in self.pixels.inputs(pictures).items()
            if name in taken and isinstance(value, Tensor)
        }


class PictureReader(nn.Module):
    """A language model that reads ids of its vocabulary and, beyond them, virtual ids of features.

    Args:
        decoder: The language model, without its head.
        embeddings: Its table.
        vocabulary_size: The first virtual id.
    """

    def __init__(self, decoder: nn.Module, embeddings: nn.Module, vocabulary_size: int) -> None:
        super().__init__()
        self.decoder, self.embeddings, self.vocabulary_size = decoder, embeddings, vocabulary_size
        self._bank: Tensor | None = None

    @contextlib.contextmanager
    def showing(self, bank: Tensor | None) -> Iterator[None]:
        """Let virtual ids mean the rows of ``bank [J,H]``, for as long as the context lasts."""
        self._bank = bank
        try:
            yield
        finally:
            self._bank = None

    def forward(self, input_ids: Tensor, **keywords: Any) -> Any:
        """The decoder's output on ids ``[N,T]``."""
        if self._bank is None:
            return self.decoder(inputs_embeds=self.embeddings(input_ids), **keywords)
        seen = input_ids >= self.vocabulary_size
        words: Tensor = self.embeddings(input_ids.masked_fill(seen, 0))
        features = self._bank.to(words.dtype)[(input_ids - self.vocabulary_size).clamp(min=0)]
        return self.decoder(inputs_embeds=torch.where(seen[..., None], features, words), **keywords)


def drop_capturing_hooks(model: nn.Module) -> None:
    """Take out the hooks with which transformers notes hidden states: they cannot be pickled, and come back by need."""
    for module in model.modules():
        hooks = module._forward_hooks
        for key in [key for key, hook in hooks.items() if hook.__module__ == "transformers.utils.output_capturing"]:
            del hooks[key]
        if hasattr(module, _HOOKED):
            setattr(module, _HOOKED, False)


def decoder_of(model: Any) -> nn.Module:
    """The language model inside one that sees, without its head.

    Raises:
        ConfigurationError: There is none of its own, or the model has no features of pictures to put into it.
    """
    inner = without_adapters(model)
    decoder: nn.Module = inner.get_decoder()
    if not hasattr(inner, "get_image_features") or decoder in (inner, inner.base_model):
        raise _unlike(inner, "has no language model of its own, or no get_image_features")
    return decoder


@torch.no_grad()
def check_pictures(model: Any, reader: PictureReader, head: nn.Module, encoder: PictureEncoder, tokenizer: Any) -> None:
    """Probe a model with a picture between words: its parts must give its own logits.

    Args:
        model: The whole model, adapters included.
        reader: Its language model.
        head: Its head.
        encoder: Its seeing half.
        tokenizer: Knows the marks.

    Raises:
        ConfigurationError: They do not: it places image tokens in a way of its own, or feeds pictures to several
            layers.
    """
    inner = without_adapters(model)
    if "mrope_section" in (getattr(inner.config.get_text_config(), "rope_parameters", None) or {}):
        raise _unlike(inner, "places image tokens in three dimensions (mrope_section)")
    edge, size = encoder.pixels.edge, reader.vocabulary_size
    picture = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), np.uint8)
    device = next(reader.parameters()).device
    marks = tokenizer(encoder.marks(picture.shape), add_special_tokens=False)["input_ids"]
    image_id = tokenizer.convert_tokens_to_ids(encoder.mark)
    words = [word for word in range(size) if word not in marks][:6]
    ids = torch.tensor([[*words[:2], *marks, *words[2:]]], device=device)
    seen = ids == image_id
    bank = torch.cat(encoder.features([picture]))
    try:
        expected = model(**_whole(inner, encoder, picture, ids, seen)).logits
    except (ValueError, RuntimeError, TypeError, IndexError, KeyError) as error:
        raise _unlike(inner, f"cannot read a picture between words ({error})") from error
    virtual = torch.where(seen, size + seen.cumsum(1) - 1, ids)
    with reader.showing(bank):
        found = logits_in_parts(reader, head, virtual)
    exact = expected.dtype in (torch.float32, torch.float64)
    if not same_logits(found, expected, _TOLERANCE * float(expected.double().std()) if exact else _ROUGH):
        raise _unlike(inner, "gives other logits for a picture than its features in the place of its tokens do")


def _whole(inner: Any, encoder: PictureEncoder, picture: Array, ids: Tensor, seen: Tensor) -> Mapping[str, Any]:
    """What the whole model takes of a row with a picture."""
    taken = inspect.signature(inner.forward).parameters
    more = {name: seen.long() for name in ("mm_token_type_ids", "token_type_ids") if name in taken}
    mask = torch.ones_like(ids)
    return {
        **encoder.inputs([picture], inner.forward), "input_ids": ids, "attention_mask": mask, "use_cache": False, **more
    }  # fmt: skip


def _unlike(model: Any, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{type(model).__name__} {what}: expected a model of the LLaVA pattern, whose picture is a row of features in "
        "the place of its image tokens, numbered like words. Choose such a model, or a processor that cuts no tiles."
    )
