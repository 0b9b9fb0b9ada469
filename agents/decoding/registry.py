"""Decoders by name: ``make_decoder("pnd", matcher=matcher, alpha=2.2)``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fogline.core.errors import ConfigurationError, check_choice, check_keys

if TYPE_CHECKING:
    from fogline.agents.decoding.decoder import Decoder
    from fogline.agents.decoding.gradcam import ImageTextMatcher
    from fogline.agents.decoding.options import DecoderOptions

DECODERS: Mapping[str, str] = {
    "plain": "fogline.agents.decoding.plain:Plain",
    "pnd": "fogline.agents.decoding.pnd:PND",
    "vcd": "fogline.agents.decoding.vcd:VCD",
    "icd": "fogline.agents.decoding.icd:ICD",
    "agla": "fogline.agents.decoding.agla:AGLA",
    "sid": "fogline.agents.decoding.sid:SID",
    "pai": "fogline.agents.decoding.pai:PAI",
    "m3id": "fogline.agents.decoding.m3id:M3ID",
    "opera": "fogline.agents.decoding.opera:OPERA",
    "dola": "fogline.agents.decoding.dola:DoLa",
}
"""Where each method lives. A module is imported when its decoder is made: torch loads then, not before."""


def decoder_class(name: str) -> type[Decoder]:
    """The class behind a name.

    Raises:
        ConfigurationError: For a name that is not in :data:`DECODERS`.
    """
    check_choice("decoder", name, DECODERS)
    module, _, attribute = DECODERS[name].partition(":")
    found: type[Decoder] = getattr(import_module(module), attribute)
    return found


def decoder_options(name: str, options: Mapping[str, Any]) -> DecoderOptions:
    """A method's settings, checked.

    Args:
        name: One of :data:`DECODERS`.
        options: Settings that differ from the method's defaults.

    Raises:
        ConfigurationError: For an unknown method or option, or a value that does not fit.
    """
    from pydantic import ValidationError

    found = decoder_class(name)
    check_keys(f"decoder {name!r}", options, found.Options.model_fields)
    try:
        return found.Options.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "options"
        raise ConfigurationError(
            f"decoder {name!r}: {where}={first['input']!r} does not fit: {first['msg']}."
        ) from error


def make_decoder(name: str, *, matcher: ImageTextMatcher | None = None, **options: Any) -> Decoder:
    """Build a decoder, to be handed to ``model.generate(..., custom_generate=decoder)``.

    Args:
        name: One of :data:`DECODERS`.
        matcher: External image-text matcher, for the methods that look for evidence with one (``pnd``, ``agla``).
        options: Settings that differ from the method's defaults; its ``Options`` explains them.

    Raises:
        ConfigurationError: For an unknown method or option, or a value that does not fit.
    """
    return decoder_class(name)(decoder_options(name, options), matcher=matcher)
