from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from by_hand import merged, read
from small_families import IMAGE, MATCHER_IDS, SIDE, World
from small_matcher import matcher

from fogline.agents.decoding import make_decoder
from fogline.agents.decoding.gradcam import ImageTextMatcher
from fogline.agents.decoding.saliency import layers_at, pixel_maps
from fogline.core.errors import ConfigurationError

POSITIVE, NEGATIVE = (1 / 3, 1 / 2, 2 / 3), (1 / 4, 5 / 12, 7 / 12, 3 / 4)


@pytest.fixture(scope="module")
def proxy() -> ImageTextMatcher:
    return matcher()


def colours() -> torch.Tensor:
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_relative_depths_are_the_released_blocks_of_twelve() -> None:
    assert layers_at(POSITIVE, 12) == (4, 6, 8)
    assert layers_at(NEGATIVE, 12) == (3, 5, 7, 9)
    for blocks in range(1, 40):
        for depths in (POSITIVE, NEGATIVE):
            chosen = layers_at(depths, blocks)
            assert chosen == tuple(sorted(set(chosen)))
            assert all(0 <= layer < blocks for layer in chosen)


def test_pixel_maps_fill_zero_to_one_and_smoothing_smooths() -> None:
    raw = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(1)) * 40 - 7
    wide = pixel_maps(raw, (32, 32))
    assert wide.shape == (2, 32, 32)
    assert wide.amin((1, 2)).tolist() == [0.0, 0.0]
    assert wide.amax((1, 2)).tolist() == [1.0, 1.0]
    rough = wide.diff(dim=1).abs().mean()
    assert pixel_maps(raw, (32, 32), 0.1).diff(dim=1).abs().mean() < rough


def test_grad_cam_is_the_attention_times_what_would_raise_the_match(proxy: ImageTextMatcher) -> None:
    """Written out: the block's attention is replaced by numbers of ours, and the match logit probed for each."""
    layer, ids = 2, MATCHER_IDS[0]
    got = proxy.maps(colours(), ids, torch.ones(4), (layer,))
    assert got.shape == (1, 4, 4)
    model = proxy.model.double()
    mean, deviation = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))
    pixels = ((colours().double() - mean) / deviation)[None]
    inner = model.text_encoder.encoder.layer[layer].crossattention.self
    seen: dict[str, torch.Tensor] = {}

    def logit(shift: torch.Tensor | None) -> float:
        def change(module: object, given: object, output: tuple[torch.Tensor, torch.Tensor]) -> object:
            seen["weights"] = output[1]
            if shift is None:
                return output
            heads, size = module.num_attention_heads, module.attention_head_size  # type: ignore[attr-defined]
            value = seen["value"].reshape(1, -1, heads, size).transpose(1, 2)
            mixed = ((output[1] + shift) @ value).transpose(1, 2).flatten(2)
            return mixed, output[1]

        hooks = [
            inner.value.register_forward_hook(lambda module, given, output: seen.__setitem__("value", output)),
            inner.register_forward_hook(change),
        ]
        score = model(input_ids=ids[None], pixel_values=pixels, attention_mask=torch.ones(1, 4)).itm_score[0, 1]
        for hook in hooks:
            hook.remove()
        return float(score)

    base, step = logit(None), 1e-6
    weights = seen["weights"]
    expected = np.zeros(16)
    for patch in range(16):
        for head in range(2):
            for token in (1, 2):
                shift = torch.zeros_like(weights)
                shift[0, head, token, 1 + patch] = step
                slope = (logit(shift) - base) / step
                expected[patch] += float(weights[0, head, token, 1 + patch]) * max(slope, 0.0) / 4
    proxy.model.float()
    np.testing.assert_allclose(got.flatten().numpy(), expected, rtol=2e-3, atol=1e-6)
    assert expected.max() > 0


CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def test_grad_cam_works_without_gradients_in_any_mode_and_leaves_none(proxy: ImageTextMatcher) -> None:
    ids, mask = MATCHER_IDS[0], torch.tensor([1, 1, 1, 1])
    plain = proxy.maps(colours(), ids, mask, (1, 3))
    with torch.no_grad():
        assert torch.equal(plain, proxy.maps(colours(), ids, mask, (1, 3)))
    with torch.inference_mode():
        assert torch.equal(plain, proxy.maps(colours(), ids.clone(), mask.clone(), (1, 3)))
    assert not plain.requires_grad
    assert all(weight.grad is None for weight in proxy.model.parameters())
    assert bool((plain >= 0).all())


def test_padding_of_the_question_is_not_read(proxy: ImageTextMatcher) -> None:
    padded = torch.tensor([1, 9, 14, 2, 0, 0])
    mask = torch.tensor([1, 1, 1, 1, 0, 0])
    expected = proxy.maps(colours(), MATCHER_IDS[0], torch.ones(4), (1,))
    assert torch.equal(proxy.maps(colours(), padded, mask, (1,)), expected)
    assert proxy.similarity(colours(), padded, mask) == proxy.similarity(colours(), MATCHER_IDS[0], torch.ones(4))
    with pytest.raises(ConfigurationError, match="2 tokens: expected at least one between"):
        proxy.maps(colours(), torch.tensor([1, 2]), torch.ones(2), (1,))


def test_the_similarity_is_a_cosine(proxy: ImageTextMatcher) -> None:
    assert -1 <= proxy.similarity(colours(), MATCHER_IDS[0], torch.ones(4)) <= 1


def test_something_without_a_matching_head_is_no_matcher() -> None:
    with pytest.raises(ConfigurationError, match="Linear is no image-text matcher"):
        ImageTextMatcher(torch.nn.Linear(2, 2))


def maps_used(world: World, decoder: object, **kwargs: object) -> list[list[torch.Tensor]]:
    """The maps that PND's positive path was made with."""
    seen: list[dict[str, list[list[torch.Tensor]]]] = []
    original = decoder._maps  # type: ignore[attr-defined]
    decoder._maps = lambda *given: seen.append(original(*given)) or seen[-1]  # type: ignore[attr-defined]
    world.generate(decoder, max_new_tokens=1, **kwargs)
    return seen[0]["positive"]


def test_both_views_are_made_of_one_look(world: Callable[[str], World], proxy: ImageTextMatcher) -> None:
    """Layers of both views are read at once, and each view gets its own."""
    llava = world("llava")
    asked: list[tuple[int, ...]] = []

    class Counted(ImageTextMatcher):
        def maps(self, colours: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, layers: object) -> torch.Tensor:
            asked.append(tuple(layers))  # type: ignore[call-overload]
            return super().maps(colours, ids, mask, layers)  # type: ignore[arg-type]

    decoder = make_decoder("pnd", matcher=Counted(proxy.model), positive_layers=(0, 3), negative_layers=(1, 3))
    positive = maps_used(llava, decoder, matcher_input_ids=MATCHER_IDS)
    assert asked == [(0, 1, 3)] * 2, "once for each of two pictures"
    alone = make_decoder("pnd", matcher=proxy, positive_layers=(0, 3), gamma=0.0)
    expected = maps_used(llava, alone, matcher_input_ids=MATCHER_IDS)
    for row, wanted in zip(positive, expected, strict=True):
        torch.testing.assert_close(row[0], wanted[0])


def test_own_attention_is_what_the_questions_tokens_look_at(world: Callable[[str], World]) -> None:
    llava = world("llava")
    inputs = llava.row(0)
    decoder = make_decoder("pnd", saliency="attention", positive_layers=(0, 2))
    got = maps_used(llava, decoder, inputs=inputs)[0][0]
    ids = inputs["input_ids"][0].tolist()
    attention = read(llava.model, merged(llava.model, ids, inputs["pixel_values"], IMAGE)).attention
    places = [place for place, token in enumerate(ids) if token == IMAGE]
    raw = np.stack([attention[layer][:, places[-1] + 1 :][:, :, places].mean((0, 1)) for layer in (0, 2)])
    expected = pixel_maps(torch.from_numpy(raw).float().reshape(2, 4, 4), (SIDE, SIDE))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_own_attention_leaves_the_models_attention_as_it_was(world: Callable[[str], World]) -> None:
    llava = world("llava")
    before = llava.model.get_decoder().config._attn_implementation
    llava.generate(make_decoder("pnd", saliency="attention"), max_new_tokens=1)
    llava.generate(make_decoder("opera"), max_new_tokens=1)
    assert llava.model.get_decoder().config._attn_implementation == before


def test_an_image_whose_tokens_have_no_place_is_refused(world: Callable[[str], World]) -> None:
    with pytest.raises(ConfigurationError, match=r"has no map on instructblip.*'matcher' or 'oracle'"):
        world("instructblip").generate(make_decoder("pnd", saliency="attention"))


def test_given_maps_are_taken_as_they_are(world: Callable[[str], World]) -> None:
    llava = world("llava")
    cells = torch.rand(2, 2, 4, 4, generator=torch.Generator().manual_seed(3))
    got = maps_used(llava, make_decoder("pnd", saliency="oracle"), saliency_maps=cells)
    for row in range(2):
        wide = cells[row].repeat_interleave(8, 1).repeat_interleave(8, 2)
        assert torch.equal(got[row][0], wide)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.zeros(1, 4, 4), r"\[1\] maps per row for \[1, 1\] images"),
        (torch.full((2, 4, 4), 1.5), "from 1.5 to 1.5: expected .* within"),
        (None, "has no positive map: give generate saliency_maps, or positive_pixel_values"),
    ],
)
def test_given_maps_that_do_not_fit_are_refused(
    world: Callable[[str], World], maps: torch.Tensor | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        world("llava").generate(make_decoder("pnd", saliency="oracle"), saliency_maps=maps)


def test_the_matcher_needs_its_question_and_its_blocks(world: Callable[[str], World], proxy: ImageTextMatcher) -> None:
    with pytest.raises(ConfigurationError, match="give generate matcher_input_ids"):
        world("llava").generate(make_decoder("pnd", matcher=proxy))
    with pytest.raises(ConfigurationError, match="positive_layers names block 4: the proxy has blocks 0 to 3"):
        world("llava").generate(make_decoder("pnd", matcher=proxy, positive_layers=(4,)), matcher_input_ids=MATCHER_IDS)


def test_the_released_maps_average_first_and_stretch_the_consensus(
    world: Callable[[str], World], proxy: ImageTextMatcher
) -> None:
    llava = world("llava")
    options = {"positive_layers": (0, 2), "smoothing": 0.02}
    image = llava.inputs["pixel_values"][0]
    raw = proxy.maps(image, MATCHER_IDS[0], torch.ones(4), (0, 2))
    for kind, expected in (
        ("normalised", pixel_maps(raw, (SIDE, SIDE), 0.02)),
        ("raw", pixel_maps(raw.mean(0, keepdim=True), (SIDE, SIDE), 0.02)),
    ):
        decoder = make_decoder("pnd", matcher=proxy, positive_map=kind, **options)
        got = maps_used(llava, decoder, matcher_input_ids=MATCHER_IDS)[0][0]
        torch.testing.assert_close(got, expected)
