from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_families import FAMILIES, SIDE, World, patches

from fogline.agents.decoding import make_decoder
from fogline.agents.decoding.families import (
    FAMILIES as KNOWN,
)
from fogline.agents.decoding.families import Pixels, QwenVL, family_of, images_by_row
from fogline.agents.decoding.prompt import left_padded
from fogline.core.errors import ConfigurationError


def pixels_of(world: World) -> Pixels:
    extras = {name: world.inputs[name] for name in ("image_grid_thw",) if name in world.inputs}
    return Pixels(world.inputs["pixel_values"], extras)


@pytest.mark.parametrize("family", FAMILIES)
def test_images_survive_being_unpacked_and_packed(world: Callable[[str], World], family: str) -> None:
    small = world(family)
    handler = family_of(small.model.config)
    pixels = pixels_of(small)
    images = handler.unpack(small.model.config, pixels)
    assert [tuple(image.shape) for image in images] == [(3, SIDE, SIDE)] * 2
    assert torch.equal(handler.pack(small.model.config, images, pixels), pixels.values)
    assert not torch.equal(images[0], images[1])


def test_qwen_patches_are_put_together_as_its_own_processor_cuts_them(world: Callable[[str], World]) -> None:
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    picture = np.random.default_rng(0).integers(0, 255, (48, 32, 3), dtype=np.uint8)
    processor = Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, do_resize=False, min_pixels=1, max_pixels=10**6
    )
    cut = processor(Image.fromarray(picture), return_tensors="pt")
    config = world("qwen2_vl").model.config
    pixels = Pixels(cut["pixel_values"], {"image_grid_thw": cut["image_grid_thw"]})
    (image,) = QwenVL().unpack(config, pixels)
    mean, deviation = np.array(processor.image_mean), np.array(processor.image_std)
    expected = ((picture / 255 - mean) / deviation).transpose(2, 0, 1)
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-5)
    torch.testing.assert_close(patches(image[None], 4, 2, 2), cut["pixel_values"])


def test_frames_that_differ_are_no_image(world: Callable[[str], World]) -> None:
    qwen = world("qwen2_vl")
    values = torch.rand(qwen.inputs["pixel_values"].shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ConfigurationError, match="frames of an image differ"):
        QwenVL().unpack(qwen.model.config, Pixels(values, {"image_grid_thw": qwen.inputs["image_grid_thw"]}))


def test_tokens_lie_row_by_row_where_pixels_are_shuffled(world: Callable[[str], World]) -> None:
    """A map of tokens is placed by rows: that is how the models' pixel shuffles lay neighbouring patches together."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    grid = torch.stack([rows, columns], -1)
    blocks = {
        (2 * row + down, 2 * column + right): row * 4 + column
        for row in range(4)
        for column in range(4)
        for down in range(2)
        for right in range(2)
    }
    internvl = world("internvl").model.model.pixel_shuffle(grid[None], 0.5).reshape(16, 4, 2)
    idefics = world("idefics3").model.model.connector.pixel_shuffle(grid.reshape(1, 64, 2), 2).reshape(16, 4, 2)
    for shuffled in (internvl, idefics):
        for token in range(16):
            assert {blocks[int(row), int(column)] for row, column in shuffled[token].tolist()} == {token}


def test_an_unknown_family_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(
        ConfigurationError, match=r"model_type='qwen2_vlm' is of no known family.*Did you mean 'qwen2_vl'"
    ):
        family_of(SimpleNamespace(model_type="qwen2_vlm"))
    assert len({name for family in KNOWN for name in family.model_types}) == len(FAMILIES)


def test_a_model_of_an_unknown_family_is_refused_even_by_plain_decoding(world: Callable[[str], World]) -> None:
    llava = world("llava")
    llava.model.config.model_type = "lava"
    try:
        with pytest.raises(ConfigurationError, match="model_type='lava' is of no known family"):
            llava.generate(make_decoder("plain"))
    finally:
        llava.model.config.model_type = "llava"


def test_images_fill_placeholders_in_the_order_of_the_batch() -> None:
    assert images_by_row([4, 0, 8], [4, 4, 4]) == [[0], [], [1, 2]]
    assert images_by_row([], []) == []
    for placeholders, counts in (([4, 4], [8]), ([4, 4], [4, 8]), ([4], [4, 4]), ([4, 4], [4])):
        with pytest.raises(ConfigurationError, match="every path needs as many tokens as its images fill"):
            images_by_row(placeholders, counts)


def test_prompts_with_more_or_fewer_placeholders_than_their_images_are_refused(world: Callable[[str], World]) -> None:
    qwen = world("qwen2_vl")
    inputs = dict(qwen.inputs)
    inputs["input_ids"] = inputs["input_ids"].clone()
    inputs["input_ids"][0, 5] = 9
    with pytest.raises(ConfigurationError, match=r"prompts hold \[15, 16\] image tokens, the images fill \[16, 16\]"):
        qwen.generate(make_decoder("vcd"), inputs)


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "idefics3"])
def test_a_view_of_another_size_is_refused(world: Callable[[str], World], family: str) -> None:
    small = world(family)
    smaller = small.inputs["pixel_values"][:-1]
    with pytest.raises(ConfigurationError, match=r"token counts could differ. Resize the view"):
        small.generate(make_decoder("vcd"), negative_pixel_values=smaller)


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
def test_a_view_of_zeros_would_lose_its_tokens_there_and_is_refused(world: Callable[[str], World], family: str) -> None:
    small = world(family)
    black = torch.zeros_like(small.inputs["pixel_values"])
    with pytest.raises(ConfigurationError, match="fewer images than the original"):
        small.generate(make_decoder("vcd"), negative_pixel_values=black)
    nothing = make_decoder("agla", saliency="oracle", keep_share=0.0005)
    dark = {**small.inputs, "pixel_values": small.inputs["pixel_values"].clone()}
    dark["pixel_values"][0, 0, :, 0, 0] = 0.0
    maps = torch.zeros(2, SIDE, SIDE)
    maps[:, 0, 0] = 1.0
    with pytest.raises(ConfigurationError, match=r"takes for padding.*image_mean"):
        small.generate(nothing, dark, saliency_maps=maps)


def test_instructblip_without_its_other_half_is_refused_by_what_must_see(world: Callable[[str], World]) -> None:
    blip = world("instructblip")
    with pytest.raises(ConfigurationError, match=r"language model \(llama\).*pass vision=VisionInputs.of"):
        blip.generate(make_decoder("vcd"), vision=None)
    assert torch.equal(blip.generate(make_decoder("plain"), vision=None), blip.plain())
    assert blip.generate(make_decoder("dola"), vision=None).shape[0] == 2


def test_instructblips_queries_can_read_the_disturbed_instruction_too(world: Callable[[str], World]) -> None:
    from fogline.agents.decoding.families import VisionInputs

    blip = world("instructblip")
    other = {"qformer_input_ids": torch.tensor([[1, 9, 10, 11], [1, 9, 12, 13]])}
    said = {}
    for name, contrast in (("prompt only", None), ("queries too", other)):
        result = blip.generate(
            make_decoder("icd", disturbance=(33,)),
            vision=VisionInputs.of(blip.model, blip.inputs, contrast),
            max_new_tokens=1,
            return_dict_in_generate=True,
            output_logits=True,
        )
        said[name] = result.logits[0]
    assert not torch.allclose(said["prompt only"], said["queries too"])
    inputs = {**blip.inputs, **other}
    row = inputs["input_ids"][:1]
    # After the last query: its configuration names no wrappers.
    ids = torch.cat([row[:, :-5], torch.tensor([[33]]), row[:, -5:]], 1)
    first = {"input_ids": ids, "pixel_values": inputs["pixel_values"][:1], "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        disturbed = blip.model(**first, qformer_input_ids=other["qformer_input_ids"][:1]).logits[0, -1]
        plain = blip.model(**blip.row(0)).logits[0, -1]
    torch.testing.assert_close(said["queries too"][0], 2 * plain - disturbed, rtol=1e-3, atol=1e-3)


def test_images_without_a_token_for_them_are_refused(world: Callable[[str], World]) -> None:
    llava = world("llava")
    blind = {**llava.inputs, "input_ids": llava.inputs["input_ids"].masked_fill(llava.inputs["input_ids"] == 3, 9)}
    with pytest.raises(ConfigurationError, match="no prompt has a token for them"):
        llava.generate(make_decoder("plain"), blind)


def test_features_computed_beforehand_will_do_where_no_pixel_is_changed(world: Callable[[str], World]) -> None:
    llava = world("llava")
    features = llava.model.model.get_image_features(pixel_values=llava.inputs["pixel_values"], return_dict=True)
    inputs = {name: llava.inputs[name] for name in ("input_ids", "attention_mask")}
    kwargs = {"mm_encoder_outputs": {"image": features}}
    for name in ("plain", "sid", "opera", "m3id"):
        decoder = make_decoder(name)
        assert torch.equal(llava.generate(decoder, inputs, **kwargs), llava.generate(decoder)), name
    with pytest.raises(ConfigurationError, match="given no pixel_values"):
        llava.generate(make_decoder("vcd"), inputs, **kwargs)


def test_rows_of_different_lengths_are_padded_on_the_left() -> None:
    ids, mask = left_padded([torch.tensor([5, 6, 7]), torch.tensor([8])])
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
