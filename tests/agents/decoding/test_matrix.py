"""Every decoder on every family: with a cache as without, in a batch as alone, or refused with a reason.

``pytest tests/agents/decoding/test_matrix.py -v`` prints the matrix, one cell a line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any

import pytest
import torch
from small_families import EOS, FAMILIES, MATCHER_IDS, World
from small_matcher import matcher
from torch import Tensor

from fogline.agents.decoding import DECODERS, make_decoder
from fogline.agents.decoding.attention import steered
from fogline.agents.decoding.paths import Path
from fogline.core.errors import ConfigurationError

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("plain", {}),
    "pnd by matcher": ("pnd", {"beta": 0.05, "amplification": 2.0, "threshold": 0.3}),
    "pnd by attention": ("pnd", {"saliency": "attention", "beta": 0.05, "amplification": 2.0, "threshold": 0.1}),
    "pnd by oracle": ("pnd", {"saliency": "oracle", "beta": 0.05}),
    "pnd as released": ("pnd", {"fusion": "release", "positive_view": "keep_mask", "positive_map": "raw",
                                "renormalise_consensus": True, "smoothing": 0.02, "beta": 0.05}),
    "vcd": ("vcd", {}),
    "icd": ("icd", {"disturbance": (33, 34)}),
    "agla by matcher": ("agla", {"beta": 0.05}),
    "agla by attention": ("agla", {"saliency": "attention", "keep_share": 0.4, "beta": 0.05}),
    "sid": ("sid", {"layer": 1}),
    "pai": ("pai", {"first_layer": 1, "guidance": 1.5}),
    "m3id": ("m3id", {"forgetting": 0.5}),
    "opera": ("opera", {"beams": 3, "candidates": 3}),
    "dola": ("dola", {"bucket": (0, 1, 2)}),
}  # fmt: skip
REFUSED = {
    ("instructblip", "pnd by attention"): "image tokens are queries, which look at the whole image",
    ("instructblip", "agla by attention"): "image tokens are queries, which look at the whole image",
}
"""What cannot work, and what the decoder says about it. Every other pair must work."""


@lru_cache(maxsize=1)
def proxy() -> Any:
    return matcher()


def test_no_cell_of_the_matrix_is_blank() -> None:
    assert {name for name, _ in VARIANTS.values()} == set(DECODERS)
    assert set(REFUSED) <= set(product(FAMILIES, VARIANTS))


def built(variant: str) -> Any:
    name, options = VARIANTS[variant]
    asks = name in ("pnd", "agla") and options.get("saliency") is None
    return make_decoder(name, matcher=proxy() if asks else None, **options)


def given(variant: str, rows: slice) -> dict[str, Any]:
    """What a variant is given beyond the prompt, for some rows."""
    name, options = VARIANTS[variant]
    if options.get("saliency") == "oracle":
        maps = torch.rand(2, 2, 4, 4, generator=torch.Generator().manual_seed(6))
        return {"saliency_maps": maps[rows]}
    return {"matcher_input_ids": MATCHER_IDS[rows]} if name in ("pnd", "agla") and "saliency" not in options else {}


def answer(tokens: Tensor) -> list[int]:
    """Up to the end, without padding."""
    said: list[int] = tokens.tolist()
    return said[: said.index(EOS) + 1] if EOS in said else said


def afresh(path: Path, generation_config: Any) -> None:
    """Instead of ``Path.forward``: read prompt and answer anew, without any cache. For InstructBLIP, which generate
    never lets go without one.
    """
    before = path.arguments["inputs_embeds"]
    answer = path.model.get_input_embeddings()(path.input_ids[:, before.shape[1] :])
    names = ("attention_mask", "position_ids", "output_hidden_states")
    arguments = {name: path.arguments[name] for name in names if name in path.arguments}
    with steered(path.model.get_decoder(), path.steering):
        path.outputs = path.model(inputs_embeds=torch.cat([before, answer], 1), use_cache=False, **arguments)
    path.logits = path.outputs.logits[:, -1].float()
    path._read = path.input_ids.shape[1]
    path.arguments = path._longer(path.outputs, 1)


@pytest.mark.parametrize(("family", "variant"), list(product(FAMILIES, VARIANTS)))
def test_cell(world: Callable[[str], World], monkeypatch: pytest.MonkeyPatch, family: str, variant: str) -> None:
    small, decoder = world(family), built(variant)
    if (family, variant) in REFUSED:
        with pytest.raises(ConfigurationError, match=REFUSED[family, variant]):
            small.generate(decoder, **given(variant, slice(None)))
        return
    whole = {"return_dict_in_generate": True, "output_logits": True, **given(variant, slice(None))}
    cached = small.generate(decoder, **whole)
    start = small.inputs["input_ids"].shape[1]
    for row in range(2):
        alone = small.generate(decoder, small.row(row), seeds=[row], **given(variant, slice(row, row + 1)))
        assert answer(alone[0]) == answer(cached.sequences[row, start:])
    if family == "instructblip":
        monkeypatch.setattr(Path, "forward", afresh)
    else:
        whole["use_cache"] = False
    anew = small.generate(decoder, **whole)
    assert torch.equal(cached.sequences, anew.sequences)
    for one, other in zip(cached.logits or (), anew.logits or (), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_decoding_says_what_generate_says(world: Callable[[str], World], family: str) -> None:
    small = world(family)
    assert torch.equal(small.generate(make_decoder("plain")), small.plain())


def raw_logits(world: World, row: int, pixels: Tensor, said: list[int]) -> Tensor:
    """Next-token logits of one prompt and an answer: the model's own forward pass, no generate, no cache."""
    inputs = world.row(row)
    tail = torch.tensor([said], dtype=torch.long)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(tail).int()], 1)
    inputs["pixel_values"] = pixels
    with torch.no_grad():
        logits: Tensor = world.model(**inputs).logits[0, -1]
    return logits


@pytest.mark.parametrize("family", FAMILIES)
def test_three_caches_say_what_three_models_would(world: Callable[[str], World], family: str) -> None:
    """The released code hands all paths one cache from the second token on: that would fail here."""
    small = world(family)
    alpha, gamma = 1.5, 0.9
    noise = torch.Generator().manual_seed(1)
    values = small.inputs["pixel_values"]
    views = {
        "positive": small.row(0)["pixel_values"] * 1.7,
        "negative": torch.randn(values.shape, generator=noise)[: len(small.row(0)["pixel_values"])],
    }
    result = small.generate(
        make_decoder("pnd", saliency="oracle", alpha=alpha, gamma=gamma, beta=0.0),
        small.row(0),
        positive_pixel_values=views["positive"],
        negative_pixel_values=views["negative"],
        return_dict_in_generate=True,
        output_logits=True,
    )
    start = small.row(0)["input_ids"].shape[1]
    tokens = result.sequences[0, start:].tolist()
    shared = 0
    for step, got in enumerate(result.logits):
        said = tokens[:step]
        original = raw_logits(small, 0, small.row(0)["pixel_values"], said)
        positive, negative = (raw_logits(small, 0, views[name], said) for name in ("positive", "negative"))
        torch.testing.assert_close(got[0], original + alpha * positive - gamma * negative, rtol=1e-3, atol=1e-3)
        if step:
            # With the original's cache for all, the three paths would say the same.
            shared += torch.allclose(got[0], (1 + alpha - gamma) * original, atol=0.05)
    assert shared == 0


@pytest.mark.parametrize("family", ["llava", "qwen2_vl", "qwen3_vl", "idefics3"])
def test_rows_with_more_images_and_images_of_other_sizes(world: Callable[[str], World], family: str) -> None:
    """One prompt of two images beside one of one; Qwen's are of different sizes."""
    from small_families import BOS, END, IMAGE, PAD, SIDE, START, patches

    small = world(family)
    qwen = family.startswith("qwen")
    heights = (SIDE, SIDE // 2, SIDE) if qwen else (SIDE,) * 3
    source = torch.Generator().manual_seed(2)
    images = [torch.rand(3, height, SIDE, generator=source) for height in heights]
    runs = [[START, *[IMAGE] * (height // 8 * 4), END] for height in heights]
    rows = [[BOS, *runs[0], 9, *runs[1], 12], [BOS, *runs[2], 30, 22, 17]]
    width = max(map(len, rows))

    def inputs(chosen: list[int]) -> dict[str, Tensor]:
        seen = [image for row, group in ((0, images[:2]), (1, images[2:])) for image in group if row in chosen]
        wide = width if len(chosen) == 2 else len(rows[chosen[0]])
        ids = torch.tensor([[PAD] * (wide - len(rows[row])) + rows[row] for row in chosen])
        batch = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
        if qwen:
            grid = torch.tensor([[1, image.shape[1] // 4, image.shape[2] // 4] for image in seen])
            pixels = torch.cat([patches(image[None], 4, 2, 2) for image in seen])
            return {**batch, "pixel_values": pixels, "image_grid_thw": grid, "mm_token_type_ids": (ids == IMAGE).int()}
        if family == "idefics3":
            stacked = torch.zeros(len(chosen), 2 if 0 in chosen else 1, 3, SIDE, SIDE)
            for place, row in enumerate(chosen):
                for index, image in enumerate(images[:2] if row == 0 else images[2:]):
                    stacked[place, index] = image
            return {**batch, "pixel_values": stacked}
        return {**batch, "pixel_values": torch.stack(seen)}

    maps = [[torch.rand(image.shape[1:], generator=source) for image in group] for group in (images[:2], images[2:])]
    for variant in ("pnd by oracle", "pnd by attention", "vcd", "sid", "pai", "m3id", "icd", "opera"):
        kwargs = {"saliency_maps": maps} if variant == "pnd by oracle" else {}
        together = small.generate(built(variant), inputs([0, 1]), **kwargs)
        for row in (0, 1):
            kwargs = {"saliency_maps": maps[row : row + 1]} if variant == "pnd by oracle" else {}
            alone = small.generate(built(variant), inputs([row]), seeds=[row], **kwargs)
            assert answer(alone[0]) == answer(together[row]), variant
