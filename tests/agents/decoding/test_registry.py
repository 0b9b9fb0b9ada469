from __future__ import annotations

import subprocess
import sys

import pytest

from fogline.agents.decoding import DECODERS, make_decoder
from fogline.agents.decoding.registry import decoder_class
from fogline.core.errors import ConfigurationError

NEEDS: dict[str, dict[str, object]] = {"pnd": {"saliency": "attention"}, "agla": {"saliency": "attention"}}


def test_every_published_method_is_there_under_its_name() -> None:
    assert set(DECODERS) == {"plain", "pnd", "vcd", "icd", "agla", "sid", "pai", "m3id", "opera", "dola"}
    for name in DECODERS:
        assert type(make_decoder(name, **NEEDS.get(name, {}))).__name__.lower() == name


def test_an_unknown_decoder_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match=r"decoder='opra' is unknown.*Did you mean 'opera'\?"):
        make_decoder("opra")


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match=r"decoder 'vcd' has no key 'strenght'.*Did you mean 'strength'\?"):
        make_decoder("vcd", strenght=1.0)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("pnd", "beta", 1.5),
        ("pnd", "fusion", "papers"),
        ("pnd", "noise_step", 1000),
        ("pnd", "image_std", (0.0,)),
        ("vcd", "strength", -1.0),
        ("vcd", "seed", "0"),
        ("sid", "layer", 0),
        ("opera", "candidates", 1),
        ("m3id", "confidence", 0.0),
        ("dola", "bucket", "middle"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"decoder '{name}': {option}"):
        make_decoder(name, **{**NEEDS.get(name, {}), option: value})


def test_options_are_frozen() -> None:
    decoder = make_decoder("vcd")
    with pytest.raises(ValueError, match="frozen"):
        decoder.options.strength = 2.0


@pytest.mark.parametrize("name", ["pnd", "agla"])
def test_a_missing_saliency_backend_is_named_with_its_fixes(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"needs an image-text matcher.*saliency='attention'.*'oracle'"):
        make_decoder(name)


def test_a_matcher_is_refused_where_nobody_asks_it() -> None:
    with pytest.raises(ConfigurationError, match="VCD looks for no evidence"):
        make_decoder("vcd", matcher=object())  # type: ignore[arg-type]


def test_the_released_departures_are_options_that_default_to_the_paper() -> None:
    from fogline.agents.decoding.pnd import RELEASE, PNDOptions

    paper = PNDOptions(saliency="oracle")
    assert (paper.alpha, paper.gamma, paper.beta, paper.threshold, paper.noise_step) == (2.2, 0.4, 0.4, 0.6, 999)
    assert paper.fusion == "paper"
    assert paper.positive_view == "modulate"
    for name, value in RELEASE.items():
        assert getattr(paper, name) != value
    assert decoder_class("pnd").Options.model_validate({"saliency": "oracle", **RELEASE}).fusion == "release"


def test_the_names_load_neither_torch_nor_transformers() -> None:
    code = "import sys, fogline.agents.decoding; print('torch' in sys.modules, 'transformers' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["False", "False"]
