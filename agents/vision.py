"""The agent ``vision``: a model that sees, from a folder or the hub, and how to decode what it says."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogline.agents.decoding.registry import decoder_options, make_decoder
from fogline.core.errors import ConfigurationError

if TYPE_CHECKING:
    from fogline.agents.decoding.gradcam import ImageTextMatcher
    from fogline.agents.policies.vision import VisionLMPolicy


def vision_agent(
    model: str,
    decoding: str = "plain",
    *,
    matcher: str | None = None,
    greedy: bool = True,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    device: str | None = None,
    dtype: str | None = None,
    **options: Any,
) -> VisionLMPolicy:
    """Load a model and make its decoder.

    Args:
        model: See :class:`~fogline.agents.policies.vision.VisionLMPolicy`.
        decoding: One of :data:`~fogline.agents.decoding.DECODERS`.
        matcher: An image-text matcher for ``pnd`` and ``agla``; see :func:`open_matcher`.
        greedy: Take the likeliest token; otherwise sample.
        temperature: Where it samples.
        max_new_tokens: Longest answer, in tokens.
        device: Where the model is.
        dtype: Of its weights.
        options: Settings of the decoder.

    Raises:
        ConfigurationError: As :func:`check_vision`, or for a model that cannot be loaded.
    """
    from fogline.agents.policies.vision import VisionLMPolicy

    check_vision({"model": model, "decoding": decoding, "matcher": matcher, "greedy": greedy, **options})
    found, words = (None, None) if matcher is None else open_matcher(matcher)
    policy = VisionLMPolicy(
        model,
        decoding=make_decoder(decoding, matcher=found, **options),
        matcher_tokenizer=words,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        device=device,
        dtype=dtype,
        name=decoding,
    )
    policy.greedy = greedy
    return policy


def check_vision(options: Mapping[str, Any]) -> None:
    """Refuse options of the agent that cannot work, without loading a model.

    Args:
        options: As :func:`vision_agent` takes them.

    Raises:
        ConfigurationError: For an unknown decoder or a setting of it, or evidence that nobody would look for.
    """
    if "model" not in options:
        raise ConfigurationError("agent='vision' needs the option 'model': a folder, or a name on the hub.")
    own = inspect.signature(vision_agent).parameters
    decoding = options.get("decoding", "plain")
    settings = {name: value for name, value in options.items() if name not in own}
    source = getattr(decoder_options(decoding, settings), "saliency", None)
    if source == "matcher" and options.get("matcher") is None:
        raise ConfigurationError(
            f"{decoding} looks for evidence with an image-text matcher: give the option matcher=FOLDER, of a "
            "BlipForImageTextRetrieval, or saliency=attention, for the model's own."
        )
    if source == "oracle":
        raise ConfigurationError(
            f"{decoding} with saliency='oracle' is told where the evidence is, and an agent from a folder has nobody "
            "to tell it: choose 'attention' or 'matcher', or build VisionLMPolicy(saliency=…) in Python."
        )
    if decoding == "opera" and not options.get("greedy", True):
        raise ConfigurationError("opera searches and does not sample: leave greedy=false out.")


def open_matcher(source: str | Path) -> tuple[ImageTextMatcher, Any]:
    """A matcher and its tokenizer, from a folder or the hub.

    Args:
        source: Of a ``BlipForImageTextRetrieval``, such as ``Salesforce/blip-itm-large-coco``.

    Raises:
        ConfigurationError: There is none.
    """
    from transformers import AutoProcessor, BlipForImageTextRetrieval

    from fogline.agents.decoding.gradcam import CLIP_MEAN, CLIP_STD, ImageTextMatcher

    loader: Any = AutoProcessor
    kind: Any = BlipForImageTextRetrieval
    try:
        processor = loader.from_pretrained(str(source))
        model = kind.from_pretrained(str(source), attn_implementation="eager")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"matcher={str(source)!r} cannot be loaded as a BlipForImageTextRetrieval with its processor: {error}"
        ) from error
    pixels = processor.image_processor
    mean, deviation = getattr(pixels, "image_mean", CLIP_MEAN), getattr(pixels, "image_std", CLIP_STD)
    return ImageTextMatcher(model, mean, deviation), processor.tokenizer


def weights_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Content hashes of the folders that the options name: other weights under the same name give other results.

    A name on the hub has none.
    """
    named = {name: Path(str(options[name])) for name in ("model", "matcher") if options.get(name) is not None}
    return {name: _content(folder) for name, folder in named.items() if folder.is_dir()}


def _content(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]
