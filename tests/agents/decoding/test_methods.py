"""Each method against its own derivation: numpy and a Llama written out by hand, none of the code under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import Array, log_softmax, merged, read, softmax
from small_families import END, IMAGE, MATCHER_IDS, START, World
from small_matcher import matcher

from fogline.agents.decoding import make_decoder
from fogline.agents.decoding.dola import contrast_layers, jensen_shannon, premature_layers
from fogline.agents.decoding.m3id import grounded
from fogline.agents.decoding.pai import boosted, guided
from fogline.agents.decoding.sid import least_attended
from fogline.core.errors import ConfigurationError

STEPS = 4


def spoken(world: World, decoder: Any, **kwargs: Any) -> tuple[list[int], list[Array], list[Array]]:
    """What a decoder says to the first prompt: tokens, and per step fused logits and what it chose from."""
    result = world.generate(
        decoder,
        world.row(0),
        max_new_tokens=STEPS,
        return_dict_in_generate=True,
        output_logits=True,
        output_scores=True,
        **kwargs,
    )
    start = world.row(0)["input_ids"].shape[1]
    logits, scores = ([part[0].double().numpy() for part in parts] for parts in (result.logits, result.scores))
    return result.sequences[0, start:].tolist(), logits, scores


def expect(
    world: World,
    decoder: Any,
    derive: Callable[[list[int], int], Array],
    beta: float,
    reference: Callable[[list[int]], Array],
    **kwargs: Any,
) -> None:
    """Compare every step; ``derive(answer so far, step)`` gives fused logits, ``reference`` what the cutoff reads."""
    tokens, logits, scores = spoken(world, decoder, **kwargs)
    banned = [IMAGE, START, END, 47]
    for step in range(STEPS):
        answer = tokens[:step]
        wanted = derive(answer, step)
        np.testing.assert_allclose(logits[step], wanted, rtol=2e-4, atol=2e-4)
        undisturbed = reference(answer)
        allowed = undisturbed >= undisturbed.max() + np.log(beta) if beta else np.ones(len(wanted), bool)
        allowed[banned] = False
        if allowed.any():
            np.testing.assert_array_equal(np.isfinite(scores[step]), allowed)
            assert tokens[step] == np.where(allowed, wanted, -np.inf).argmax()


class Hand:
    """The first LLaVA prompt, read by hand."""

    def __init__(self, world: World) -> None:
        self.world = world
        inputs = world.row(0)
        self.ids: list[int] = inputs["input_ids"][0].tolist()
        self.pixels = inputs["pixel_values"]
        self.places = [place for place, token in enumerate(self.ids) if token == IMAGE]

    def read(self, answer: Sequence[int], pixels: Any = "own", ids: list[int] | None = None, edit: Any = None) -> Any:
        prompt = self.ids if ids is None else ids
        seen = self.pixels if isinstance(pixels, str) else pixels
        model = self.world.model
        return read(model, merged(model, [*prompt, *answer], seen, IMAGE), edit)

    def logits(self, answer: Sequence[int], **kwargs: Any) -> Array:
        last: Array = self.read(answer, **kwargs).logits[-1]
        return last


@pytest.fixture(scope="module")
def hand(world: Callable[[str], World]) -> Hand:
    return Hand(world("llava"))


def test_the_hand_written_llama_is_the_model(hand: Hand) -> None:
    inputs = hand.world.row(0)
    with torch.no_grad():
        theirs = hand.world.model(**inputs).logits[0].double().numpy()
    np.testing.assert_allclose(hand.read([]).logits, theirs, rtol=1e-4, atol=1e-4)


def test_plain_decoding_is_the_models_own(hand: Hand) -> None:
    own = hand.logits
    expect(hand.world, make_decoder("plain"), lambda answer, step: own(answer), 0.0, own)


def test_vcd_subtracts_what_is_said_about_the_noised_image(hand: Hand) -> None:
    seed, step_, strength = 5, 300, 0.7
    state = np.random.SeedSequence([seed, 0]).generate_state(1, np.uint64)[0]
    epsilon = torch.randn(hand.pixels.shape[1:], generator=torch.Generator().manual_seed(int(state)))
    beta = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.005 - 1e-5) + 1e-5
    kept = np.cumprod(1 - beta)[step_]
    noised = float(np.sqrt(kept)) * hand.pixels + float(np.sqrt(1 - kept)) * epsilon

    def derive(answer: list[int], step: int) -> Array:
        return (1 + strength) * hand.logits(answer) - strength * hand.logits(answer, pixels=noised)

    decoder = make_decoder("vcd", strength=strength, noise_step=step_, beta=0.1, seed=seed)
    expect(hand.world, decoder, derive, 0.1, hand.logits)


def test_icd_subtracts_what_is_said_under_the_disturbed_instruction(hand: Hand) -> None:
    after = hand.ids.index(END) + 1
    # LLaVA's configuration names no wrappers: the disturbance follows the last image token.
    disturbed = [*hand.ids[: after - 1], 33, 34, *hand.ids[after - 1 :]]

    def derive(answer: list[int], step: int) -> Array:
        return 2 * hand.logits(answer) - hand.logits(answer, ids=disturbed)

    expect(hand.world, make_decoder("icd", disturbance=(33, 34)), derive, 0.1, hand.logits)
    other = torch.tensor([disturbed])
    expect(hand.world, make_decoder("icd"), derive, 0.1, hand.logits, contrast_input_ids=other)


def test_agla_adds_what_is_said_about_the_most_salient_part(hand: Hand) -> None:
    where = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(8))
    threshold = np.sort(where.numpy().ravel())[::-1][int(1024 * 0.4)]
    local = torch.from_numpy(np.where(where.numpy() < threshold, 0.0, hand.pixels.numpy())).float()

    def derive(answer: list[int], step: int) -> Array:
        return hand.logits(answer) + 2 * hand.logits(answer, pixels=local)

    decoder = make_decoder("agla", saliency="oracle", keep_share=0.4)
    expect(hand.world, decoder, derive, 0.5, hand.logits, saliency_maps=where)


@pytest.mark.parametrize("form", ["paper", "release"])
def test_pnd_is_its_three_views_and_its_formula(hand: Hand, form: str) -> None:
    layers = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(8))
    maps = layers[0].double().numpy()
    image = hand.pixels.double().numpy()
    seed = 3
    state = np.random.SeedSequence([seed, 0]).generate_state(1, np.uint64)[0]
    epsilon = torch.randn(hand.pixels.shape[1:], generator=torch.Generator().manual_seed(int(state))).double().numpy()
    beta = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.005 - 1e-5) + 1e-5
    kept = np.cumprod(1 - beta)[999]
    positive = torch.from_numpy(image * (1 + 1.5 * maps.mean(0))).float()
    noised = np.sqrt(kept) * image + np.sqrt(1 - kept) * epsilon
    negative = torch.from_numpy(np.where(maps.min(0) >= 0.3, noised, image)).float()

    def derive(answer: list[int], step: int) -> Array:
        towards, away = hand.logits(answer, pixels=positive), hand.logits(answer, pixels=negative)
        return (hand.logits(answer) if form == "paper" else 0) + 1.2 * towards - 0.6 * away

    decoder = make_decoder(
        "pnd", saliency="oracle", alpha=1.2, gamma=0.6, beta=0.2, amplification=1.5, threshold=0.3, fusion=form,
        seed=seed,
    )  # fmt: skip
    expect(hand.world, decoder, derive, 0.2, hand.logits, saliency_maps=layers)


def test_pnd_as_released_blacks_out_by_the_matchers_similarity(hand: Hand) -> None:
    from fogline.agents.decoding.pnd import RELEASE

    proxy = matcher()
    decoder = make_decoder("pnd", matcher=proxy, gamma=0.0, **RELEASE)
    tokens, logits, _ = spoken(hand.world, decoder, matcher_input_ids=MATCHER_IDS[:1])
    cams = proxy.maps(hand.pixels[0], MATCHER_IDS[0], torch.ones(4), (1, 2, 3)).mean(0)
    from fogline.agents.decoding.saliency import pixel_maps

    # Of four blocks, 1/3, 1/2 and 2/3 are 1, 2 and 3.
    where = pixel_maps(cams[None], (32, 32), 0.02)[0].numpy()
    share = min(1 - proxy.similarity(hand.pixels[0], MATCHER_IDS[0], torch.ones(4)) / 2, 1 - 1e-5)
    threshold = np.sort(where.ravel())[::-1][min(int(1024 * share), 1023)]
    view = torch.from_numpy(np.where(where < threshold, 0.0, hand.pixels.numpy())).float()
    for step in range(STEPS):
        # The release's form with the positive view alone: it is read, not ignored.
        wanted = 2.2 * hand.logits(tokens[:step], pixels=view)
        np.testing.assert_allclose(logits[step], wanted, rtol=1e-3, atol=1e-3)


def test_sid_subtracts_what_is_said_with_the_least_attended_tokens(hand: Hand) -> None:
    layer, keep, prompt = 1, 5, len(hand.ids)

    def hide(number: int, scores: Array, earlier: list[Array]) -> Array:
        if number < layer:
            return scores
        ranked = earlier[layer - 1].mean(0)
        changed = scores.copy()
        for query in range(scores.shape[1]):
            ranks = ranked[max(query, prompt - 1)][hand.places]
            hidden = np.array(hand.places)[np.argsort(ranks, kind="stable")[keep:]]
            changed[:, query, hidden] = -1e30
        return changed

    def derive(answer: list[int], step: int) -> Array:
        return 2 * hand.logits(answer) - hand.logits(answer, edit=hide)

    expect(hand.world, make_decoder("sid", layer=layer, keep=keep), derive, 0.1, hand.logits)


def test_sid_keeps_the_released_share_of_the_tokens_by_default(hand: Hand) -> None:
    # 100 of 576, of 16 tokens: 2.78, rounded.
    by_share = spoken(hand.world, make_decoder("sid"))[1]
    by_count = spoken(hand.world, make_decoder("sid", keep=3))[1]
    np.testing.assert_array_equal(by_share, by_count)


def test_least_attended_on_numbers() -> None:
    attention = torch.tensor([[[0.1, 0.4, 0.2, 0.1, 0.2]]])
    image = torch.tensor([[False, True, True, True, False]])
    assert least_attended(attention, image, torch.tensor([2])).tolist() == [[[False, False, True, True, False]]]
    assert torch.equal(least_attended(attention, image, torch.tensor([9]))[:, 0], image)


def test_pai_raises_image_scores_and_leaves_the_prompt_without_image(hand: Hand) -> None:
    boost, guidance, prompt = 0.4, 1.3, len(hand.ids)
    text = [token for token in hand.ids if token != IMAGE]

    def raise_(number: int, scores: Array, earlier: list[Array]) -> Array:
        if number not in (1, 2):
            return scores
        changed = scores.copy()
        block = changed[:, prompt - 1 :][:, :, hand.places]
        changed[np.ix_(range(len(scores)), range(prompt - 1, scores.shape[1]), hand.places)] = block + boost * np.abs(
            block
        )
        return changed

    def steered(answer: list[int]) -> Array:
        return log_softmax(hand.logits(answer, edit=raise_))

    def derive(answer: list[int], step: int) -> Array:
        without = log_softmax(hand.logits(answer, ids=text, pixels=None))
        return guidance * (steered(answer) - without) + without

    decoder = make_decoder("pai", boost=boost, first_layer=1, last_layer=3, guidance=guidance)
    expect(hand.world, decoder, derive, 0.1, steered)


def test_pai_on_numbers() -> None:
    scores = torch.tensor([[[[1.0, -2.0, 3.0]]]])
    image = torch.tensor([[[[True, True, False]]]])
    torch.testing.assert_close(boosted(scores, image, 0.5), torch.tensor([[[[1.5, -1.0, 3.0]]]]))
    one, two = np.random.default_rng(0).normal(size=(2, 3, 5))
    wanted = 1.1 * (log_softmax(one) - log_softmax(two)) + log_softmax(two)
    np.testing.assert_allclose(guided(torch.from_numpy(one), torch.from_numpy(two), 1.1).numpy(), wanted, rtol=1e-12)


def test_m3id_subtracts_more_with_every_token(hand: Hand) -> None:
    text = [token for token in hand.ids if token != IMAGE]

    def derive(answer: list[int], step: int) -> Array:
        seeing, blind = (log_softmax(hand.logits(answer, **how)) for how in ({}, {"ids": text, "pixels": None}))
        kept = np.exp(-0.3 * step)
        return seeing + (1 - kept) / kept * (seeing - blind)

    expect(hand.world, make_decoder("m3id", forgetting=0.3), derive, 0.0, hand.logits)


def test_m3id_on_numbers() -> None:
    seeing = torch.log(torch.tensor([[0.95, 0.05], [0.6, 0.4]], dtype=torch.float64))
    blind = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64))
    # Confident from 0.9 on: the first row is left alone. exp(-0.1 * 10) = 0.3679, so the weight is 1.7183.
    got = grounded(seeing, blind, 10, 0.1, 0.9)
    torch.testing.assert_close(got[0], seeing[0])
    wanted = np.log([0.6, 0.4]) + 1.718281828 * (np.log([0.6, 0.4]) - np.log([0.9, 0.1]))
    np.testing.assert_allclose(got[1].numpy(), wanted, rtol=1e-8)
    torch.testing.assert_close(grounded(seeing, blind, 0, 0.1, 1.0), seeing)


def test_dola_subtracts_the_layer_that_differs_most(hand: Hand) -> None:
    model = hand.world.model
    head = model.get_output_embeddings().weight.double().numpy()
    candidates = (0, 1, 2)

    def derive(answer: list[int], step: int) -> Array:
        passed = hand.read(answer)
        final, early = passed.logits[-1], [passed.states[layer][-1] @ head.T for layer in candidates]

        def divergence(other: Array) -> float:
            p, q = softmax(final), softmax(other)
            m = (p + q) / 2
            return float((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()) / 2

        chosen = max(early, key=divergence)
        return log_softmax(final) - log_softmax(chosen)

    expect(hand.world, make_decoder("dola", bucket=candidates), derive, 0.1, hand.logits)


def test_dola_chooses_per_row() -> None:
    final = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    early = torch.tensor([[[4.0, 0.0], [4.0, 0.0]], [[0.0, 4.0], [0.0, 4.0]]])
    fused, chosen = contrast_layers(final, early)
    assert chosen.tolist() == [1, 0]
    torch.testing.assert_close(fused, torch.tensor([[4.0, -4.0], [-4.0, 4.0]]))
    torch.testing.assert_close(jensen_shannon(final, final), torch.zeros(2), atol=1e-6, rtol=0)


def test_dola_never_contrasts_the_last_layer_with_itself() -> None:
    assert premature_layers("low", 32) == tuple(range(0, 16, 2))
    assert premature_layers("high", 32) == tuple(range(16, 32, 2))
    with pytest.raises(ConfigurationError, match=r"bucket names layer 3: expected 0 to 2. Layer 3 is the last"):
        premature_layers((0, 3), 3)


NOTHING: dict[str, dict[str, Any]] = {
    "pnd": {"saliency": "oracle", "alpha": 0.0, "gamma": 0.0, "beta": 0.7},
    "vcd": {"strength": 0.0},
    "icd": {"strength": 0.0},
    "agla": {"saliency": "oracle", "strength": 0.0},
    "sid": {"strength": 0.0},
    "pai": {"boost": 0.0, "guidance": 1.0},
    "m3id": {"forgetting": 0.0},
    "opera": {"penalty": 0.0, "beams": 1},
}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_a_method_of_no_strength_is_plain_greedy(world: Callable[[str], World], family: str, name: str) -> None:
    small = world(family)
    assert torch.equal(small.generate(make_decoder(name, **NOTHING[name])), small.plain())


def test_sid_that_keeps_every_token_is_plain_greedy(world: Callable[[str], World]) -> None:
    llava = world("llava")
    assert torch.equal(llava.generate(make_decoder("sid", keep=16)), llava.plain())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sid", {"layer": 3}, "layer=3: the model has layers 0 to 2"),
        ("pai", {"first_layer": 3}, "first_layer=3, last_layer=3: expected"),
        ("pai", {"last_layer": 4}, "last_layer=4"),
        ("dola", {"bucket": (3,)}, "bucket names layer 3"),
        ("icd", {}, "no disturbed instruction"),
        ("agla", {"saliency": "attention"}, "keep_share"),
    ],
)
def test_settings_that_the_model_cannot_follow_are_refused(
    world: Callable[[str], World], name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        world("llava").generate(make_decoder(name, **options))


def test_keep_mask_without_a_similarity_needs_its_share() -> None:
    with pytest.raises(ConfigurationError, match="takes its share from the matcher's similarity"):
        make_decoder("pnd", saliency="attention", positive_view="keep_mask")
