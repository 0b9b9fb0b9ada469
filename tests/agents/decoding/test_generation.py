"""What every decoder owes to generate: batches, sampling, processors, streams, and chance that is its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_families import EOS, MATCHER_IDS, PAD, World
from small_matcher import matcher
from torch import Tensor
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList

from fogline.agents.decoding import DECODERS, make_decoder
from fogline.agents.decoding.loop import Scores, draw, processed
from fogline.core.errors import ConfigurationError

OPTIONS: dict[str, dict[str, Any]] = {
    "pnd": {"saliency": "attention"},
    "agla": {"saliency": "attention", "keep_share": 0.4},
    "icd": {"disturbance": (33, 34)},
}


def made(name: str, **options: Any) -> Any:
    return make_decoder(name, **{**OPTIONS.get(name, {}), **options})


class EndsRow(LogitsProcessor):
    """The first row ends at its third token."""

    def __init__(self, start: int) -> None:
        self._start = start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] == self._start + 2:
            scores = scores.clone()
            scores[0] = float("-inf")
            scores[0, EOS] = 0.0
        return scores


@pytest.mark.parametrize("name", [name for name in DECODERS if name != "opera"])
def test_a_finished_row_is_padded_while_the_other_goes_on(world: Callable[[str], World], name: str) -> None:
    llava = world("llava")
    start = llava.inputs["input_ids"].shape[1]
    free = llava.generate(made(name))
    said = llava.generate(made(name), logits_processor=LogitsProcessorList([EndsRow(start)]))
    assert said[0].tolist() == [*free[0, :2].tolist(), EOS, PAD, PAD, PAD]
    assert said[1].tolist() == free[1].tolist()


def test_beams_that_end_apart_are_padded(world: Callable[[str], World]) -> None:
    llava = world("llava")
    start = llava.inputs["input_ids"].shape[1]
    free = llava.generate(made("opera"), max_new_tokens=5)

    class Ends(LogitsProcessor):
        """Beams of the first prompt, whose last token is 22, end at their third token."""

        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            if input_ids.shape[1] < start + 2 or input_ids[0, start - 1] != 22:
                return scores
            return torch.full_like(scores, float("-inf")).index_fill(1, torch.tensor([EOS]), 0.0)

    ends = LogitsProcessorList([Ends()])
    said = llava.generate(made("opera"), max_new_tokens=5, logits_processor=ends)
    assert said[0, 2:].tolist() == [EOS, PAD, PAD]
    assert said[1].tolist() == free[1].tolist()
    with pytest.raises(ConfigurationError, match="forbid every token"):
        llava.generate(made("opera"), suppress_tokens=list(range(48)))


def test_a_finished_row_without_padding_token_is_refused_with_the_fix(world: Callable[[str], World]) -> None:
    from transformers import StoppingCriteria

    class First(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
            return torch.arange(input_ids.shape[0]) == 0

    llava = world("llava")
    config = llava.model.generation_config
    ended, padded = config.eos_token_id, config.pad_token_id
    config.eos_token_id = config.pad_token_id = None
    try:
        with pytest.raises(ConfigurationError, match="pad_token_id is None: set it"):
            llava.generate(made("plain"), stopping_criteria=[First()])
    finally:
        config.eos_token_id, config.pad_token_id = ended, padded


def test_draws_follow_the_distribution() -> None:
    scores = torch.tensor([[0.0, float("-inf"), 1.5, -1.0, float("-inf")]])
    grid = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    counts = torch.bincount(draw(scores.expand(20_000, -1), grid), minlength=5) / 20_000
    torch.testing.assert_close(counts, torch.softmax(scores[0], -1), atol=1e-4, rtol=0)
    assert counts[1] == counts[4] == 0


@pytest.mark.parametrize("name", [name for name in DECODERS if name != "opera"])
def test_processors_come_after_the_fusion(world: Callable[[str], World], name: str) -> None:
    llava = world("llava")
    result = llava.generate(
        made(name), do_sample=True, temperature=0.5, top_k=0, return_dict_in_generate=True, output_scores=True,
        output_logits=True,
    )  # fmt: skip
    for fused, chosen_from in zip(result.logits, result.scores, strict=True):
        kept = chosen_from.isfinite()
        torch.testing.assert_close(chosen_from[kept], fused[kept] * 2)


@pytest.mark.parametrize("name", [name for name in DECODERS if name != "opera"])
def test_sampling_draws_from_each_rows_seed(world: Callable[[str], World], name: str) -> None:
    llava = world("llava")
    kwargs = {"do_sample": True, "temperature": 3.0, "top_k": 0}
    both = llava.generate(made(name, seed=4), **kwargs)
    assert torch.equal(both, llava.generate(made(name, seed=4), **kwargs))
    assert torch.equal(both, llava.generate(made(name), seeds=[4, 5], **kwargs))
    # Row 1 alone, with the seed that it had in the batch.
    assert torch.equal(both[1:], llava.generate(made(name), llava.row(1), seeds=[5], **kwargs)[:, : both.shape[1]])


def test_other_seeds_say_other_things(world: Callable[[str], World]) -> None:
    llava = world("llava")
    kwargs = {"do_sample": True, "temperature": 3.0, "top_k": 0}
    said = {tuple(llava.generate(made("plain", seed=seed), **kwargs).flatten().tolist()) for seed in range(6)}
    assert len(said) == 6


def test_equal_views_sample_like_one_at_another_temperature(world: Callable[[str], World]) -> None:
    llava = world("llava")
    pixels = llava.inputs["pixel_values"]
    kwargs = {"do_sample": True, "top_k": 0, "max_new_tokens": 8}
    decoder = make_decoder("pnd", saliency="oracle", alpha=0.5, gamma=0.7, beta=0.0)
    said = llava.generate(decoder, positive_pixel_values=pixels, negative_pixel_values=pixels, **kwargs)
    assert torch.equal(said, llava.generate(make_decoder("plain"), temperature=1 / 0.8, **kwargs))


def test_equal_views_are_plain_greedy_while_the_original_outweighs(world: Callable[[str], World]) -> None:
    for family in ("llava", "internvl", "qwen2_vl", "idefics3"):
        small = world(family)
        pixels = small.inputs["pixel_values"]
        decoder = make_decoder("pnd", saliency="oracle", alpha=0.5, gamma=1.4)
        said = small.generate(decoder, positive_pixel_values=pixels, negative_pixel_values=pixels)
        assert torch.equal(said, small.plain())


def test_no_amplification_and_no_mask_are_equal_views(world: Callable[[str], World]) -> None:
    llava = world("llava")
    maps = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    decoder = make_decoder("pnd", saliency="oracle", amplification=0.0, threshold=1.1)
    assert torch.equal(llava.generate(decoder, saliency_maps=maps), llava.plain())


def test_a_cutoff_of_one_is_plain_greedy(world: Callable[[str], World]) -> None:
    for family in ("llava", "internvl", "qwen2_vl", "idefics3"):
        decoder = make_decoder("pnd", saliency="attention" if family != "instructblip" else "oracle", beta=1.0)
        assert torch.equal(world(family).generate(decoder), world(family).plain())


def test_a_mask_over_everything_is_vcds_view(world: Callable[[str], World]) -> None:
    """PND without positive path at gamma = a / (1 + a) says what VCD says, the noise of each row being the same."""
    llava = world("llava")
    maps = torch.zeros(2, 32, 32)
    pnd = make_decoder("pnd", saliency="oracle", alpha=0.0, gamma=0.5, beta=0.1, threshold=0.0, noise_step=400)
    vcd = make_decoder("vcd", strength=1.0, beta=0.1, noise_step=400)
    assert torch.equal(llava.generate(pnd, saliency_maps=maps), llava.generate(vcd))


def test_the_released_form_with_the_positive_view_alone_is_not_plain(world: Callable[[str], World]) -> None:
    llava = world("llava")
    view = llava.inputs["pixel_values"].flip(-1) * -1.5
    decoder = make_decoder("pnd", saliency="oracle", fusion="release", gamma=0.0, beta=0.0)
    said = llava.generate(decoder, positive_pixel_values=view)
    flipped = {**llava.inputs, "pixel_values": view}
    assert torch.equal(said, llava.plain(flipped))
    assert not torch.equal(said, llava.plain())


def states() -> list[Any]:
    return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]


def test_no_decoder_touches_the_global_random_numbers(world: Callable[[str], World]) -> None:
    llava, proxy = world("llava"), matcher()
    before = states()
    for name in DECODERS:
        kwargs: dict[str, Any] = {"do_sample": name != "opera", "max_new_tokens": 3}
        if name in ("pnd", "agla"):
            llava.generate(make_decoder(name, matcher=proxy), matcher_input_ids=MATCHER_IDS, **kwargs)
        llava.generate(made(name), **kwargs)
    assert states() == before


@pytest.mark.parametrize("family", ["llava", "internvl", "instructblip", "qwen3_vl", "idefics3"])
def test_several_answers_to_one_prompt(world: Callable[[str], World], family: str) -> None:
    small = world(family)
    kwargs: dict[str, Any] = {"do_sample": True, "temperature": 2.0, "top_k": 0}
    for name in ("vcd", "sid", "pai", "m3id"):
        options = {"sid": {"layer": 1}, "pai": {"first_layer": 1}}.get(name, {})
        said = small.generate(made(name, **options), num_return_sequences=3, **kwargs)
        assert said.shape[0] == 6
        assert len({tuple(row.tolist()) for row in said[:3]}) > 1
        alone = small.generate(made(name, **options), small.row(1), num_return_sequences=3, seeds=[3, 4, 5], **kwargs)
        width = min(alone.shape[1], said.shape[1])
        assert torch.equal(alone[:, :width], said[3:, :width])


def test_a_streamer_hears_the_prompt_and_every_token(world: Callable[[str], World]) -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[list[int]] = []
            self.ended = False

        def put(self, value: Tensor) -> None:
            self.heard.append(value.flatten().tolist())

        def end(self) -> None:
            self.ended = True

    llava, ear = world("llava"), Ear()
    said = llava.generate(made("vcd"), llava.row(0), token_streamer=ear)
    assert ear.ended
    assert ear.heard == [llava.row(0)["input_ids"][0].tolist(), *([token] for token in said[0].tolist())]


def test_the_output_object_holds_the_paths_own_cache(world: Callable[[str], World]) -> None:
    llava = world("llava")
    result = llava.generate(made("vcd"), return_dict_in_generate=True)
    assert result.past_key_values.get_seq_length() == result.sequences.shape[1] - 1
    assert result.scores is None
    assert torch.is_tensor(llava.generate(made("opera"), return_dict_in_generate=True).sequences)


def test_where_processors_forbid_what_is_plausible_the_cutoff_is_taken_among_the_rest() -> None:
    reference = torch.tensor([[9.0, 1.0, 0.5, -4.0], [1.0, 0.0, 0.0, 0.0]])
    logits = torch.tensor([[0.0, -1.0, 2.0, 50.0], [0.0, 3.0, 0.0, 0.0]])
    seen = []

    def forbid(ids: Tensor, scores: Tensor) -> Tensor:
        seen.append(scores.clone())
        scores = scores.clone()
        scores[0, 0] = float("-inf")
        return scores / 2

    got = processed(Scores(logits, reference, 0.4), torch.zeros(2, 1), forbid)
    # Row 0: only token 0 is plausible and it is forbidden; 0.4 below token 1 leaves tokens 1 and 2.
    inf = float("-inf")
    torch.testing.assert_close(got, torch.tensor([[inf, -0.5, 1.0, inf], [0.0, inf, inf, inf]]))
    plain = processed(Scores(logits[1:], reference[1:], 0.4), torch.zeros(1, 1), lambda ids, scores: scores)
    torch.testing.assert_close(plain, torch.tensor([[0.0, inf, inf, inf]]))
    with pytest.raises(ConfigurationError, match="forbid every token"):
        processed(Scores(logits, reference, 0.4), torch.zeros(2, 1), lambda ids, scores: scores - inf)


def test_a_minimum_length_holds_where_only_the_end_is_plausible(world: Callable[[str], World]) -> None:
    llava = world("llava")
    kwargs = {"min_new_tokens": 4, "max_new_tokens": 5}
    for name in ("pnd", "vcd", "dola"):
        said = llava.generate(made(name, beta=1.0), **kwargs)
        assert EOS not in said[:, :4].flatten().tolist()


def test_inference_mode_is_no_obstacle(world: Callable[[str], World]) -> None:
    llava = world("llava")
    decoder = make_decoder("pnd", matcher=matcher())
    plain = llava.generate(decoder, matcher_input_ids=MATCHER_IDS)
    with torch.inference_mode():
        assert torch.equal(plain, llava.generate(decoder, matcher_input_ids=MATCHER_IDS.clone()))


def test_a_language_model_without_images_can_be_decoded_too(world: Callable[[str], World]) -> None:
    model = world("instructblip").model.language_model
    ids = torch.tensor([[1, 9, 17, 30]])
    plain = model.generate(ids, max_new_tokens=5, do_sample=False)
    assert torch.equal(plain, model.generate(ids, max_new_tokens=5, do_sample=False, custom_generate=made("plain")))
    assert model.generate(ids, max_new_tokens=5, custom_generate=made("dola")).shape == (1, 9)


def test_half_precision_weights_decode(world: Callable[[str], World]) -> None:
    from small_families import build

    small = build("llava")
    small.model.to(torch.bfloat16)
    small.inputs["pixel_values"] = small.inputs["pixel_values"].bfloat16()
    for name in DECODERS:
        assert small.generate(made(name), max_new_tokens=2).shape == (2, 2)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_beams": 2}, "num_beams=2: beams belong to decoder 'opera'"),
        ({"prefill_chunk_size": 4}, "prefill_chunk_size: leave it out"),
        ({"cache_implementation": "static"}, "a static cache"),
        ({"seeds": [1]}, "seeds has 1 entries for 2 rows"),
        ({"pixel_values_videos": torch.zeros(1)}, "pixel_values_videos: leave it out"),
        ({"saliency_maps": torch.zeros(2, 4, 4)}, "VCD does not read saliency_maps.*negative_pixel_values"),
    ],
)
def test_what_a_decoder_cannot_follow_is_refused(
    world: Callable[[str], World], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        world("llava").generate(made("vcd"), **kwargs)


def test_a_cache_that_was_read_already_is_refused(world: Callable[[str], World]) -> None:
    llava = world("llava")
    cache = DynamicCache(config=llava.model.config.get_text_config())
    with torch.no_grad():
        llava.model(input_ids=torch.tensor([[1, 9], [1, 9]]), past_key_values=cache)
    with pytest.raises(ConfigurationError, match="a cache that holds tokens already"):
        llava.generate(made("vcd"), past_key_values=cache)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (torch.tensor([[1, 3, 9], [1, 3, 9]]), "has .* image tokens per row.*keep all of them, or none"),
        (torch.tensor([[1, 9]]), "has 1 rows for a batch of 2"),
    ],
)
def test_another_prompt_that_does_not_fit_is_refused(
    world: Callable[[str], World], other: Tensor, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        world("llava").generate(made("icd"), contrast_input_ids=other)


def test_an_encoder_decoder_is_refused() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = T5ForConditionalGeneration(config).eval()
    with pytest.raises(ConfigurationError, match="an encoder-decoder model"):
        model.generate(torch.tensor([[3, 4]]), custom_generate=made("plain"), max_new_tokens=2)
