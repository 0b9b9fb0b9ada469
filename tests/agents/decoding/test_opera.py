from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import log_softmax, merged, read
from small_families import EOS, IMAGE, World

from fogline.agents.decoding import make_decoder
from fogline.agents.decoding.opera import allocated_column, over_trust
from fogline.core.errors import ConfigurationError


def test_over_trust_is_the_largest_product_of_a_column() -> None:
    attention = np.tril(np.random.default_rng(1).uniform(0.01, 0.2, (2, 6, 6)))
    got, column = over_trust(torch.from_numpy(attention), 50.0)
    for row in range(2):
        products = [1e-7 * np.prod([50 * attention[row, i, j] for i in range(j, 6)]) for j in range(6)]
        assert got[row].item() == pytest.approx(max(products))
        assert column[row].item() == int(np.argmax(products))


def test_a_long_answer_that_hangs_on_one_token_is_charged_a_number() -> None:
    attention = torch.zeros(400, 400).fill_diagonal_(0.1)
    attention[:, 0] = 0.9
    charge, column = over_trust(attention, 50.0)
    assert column == 0
    assert torch.isfinite(charge)


def test_a_column_counts_once_all_beams_named_it_often_enough() -> None:
    columns = torch.tensor([[12, 12, 12, 12], [12, 3, 12, 12]])
    assert allocated_column(columns, 2, 10) == 12
    assert allocated_column(columns, 3, 10) is None
    assert allocated_column(columns, 2, 13) is None


@pytest.mark.parametrize("beams", [1, 3])
def test_without_penalty_and_with_the_whole_vocabulary_it_is_a_beam_search(
    world: Callable[[str], World], beams: int
) -> None:
    # Placeholders are no candidates here; generate renormalises once they are suppressed.
    kwargs = {"renormalize_logits": True, "max_new_tokens": 8}
    for family in ("llava", "qwen2_5_vl", "qwen3_vl"):
        small = world(family)
        decoder = make_decoder("opera", penalty=0.0, beams=beams, candidates=48)
        for penalty in (1.0, 0.0):
            theirs = small.plain(num_beams=beams, length_penalty=penalty, **kwargs)
            assert torch.equal(small.generate(decoder, length_penalty=penalty, **kwargs), theirs)


def test_the_first_steps_by_hand(world: Callable[[str], World]) -> None:
    """Two steps of width two: candidates, the reward for looking at the image, then the column."""
    llava = world("llava")
    inputs = llava.row(0)
    ids = inputs["input_ids"][0].tolist()
    places = [place for place, token in enumerate(ids) if token == IMAGE]
    weight, width, opening = 3.0, 3, 1
    banned = [IMAGE, 4, 5, 47]

    def passed(answer: list[int]) -> Any:
        return read(llava.model, merged(llava.model, [*ids, *answer], inputs["pixel_values"], IMAGE))

    def attended(answer: list[int]) -> np.ndarray:
        strongest = passed(answer).attention[-1].max(0)
        return strongest / strongest.sum(-1, keepdims=True)

    def step(answer: list[int], total: float) -> list[tuple[float, list[int]]]:
        logits = passed(answer).logits[-1].copy()
        logits[IMAGE] = -np.inf
        found = {}
        for token in np.argsort(-logits, kind="stable")[:width]:
            longer = [*answer, int(token)]
            shares = attended(longer)
            if len(longer) <= opening:
                penalty = -shares[-1, places].sum()
            else:
                local = 50 * shares[len(ids) :, len(ids) :]
                penalty = max(1e-7 * np.prod(local[j:, j]) for j in range(len(longer)))
            found[int(token)] = logits[token] - weight * penalty
        said = log_softmax(np.array(list(found.values())))
        said = [-np.inf if token in banned else value for token, value in zip(found, said, strict=True)]
        return [(total + value, [*answer, token]) for token, value in zip(found, said, strict=True)]

    beams = sorted(step([], 0.0), reverse=True)[:2]
    assert EOS not in {answer[-1] for _, answer in beams}
    best = max(option for total, answer in beams for option in step(answer, total))
    decoder = make_decoder("opera", beams=2, candidates=width, penalty=weight, opening=opening)
    assert llava.generate(decoder, inputs, max_new_tokens=2)[0].tolist() == best[1]


@pytest.mark.parametrize("use_cache", [True, False])
def test_going_back_chooses_another_token_where_the_column_began(
    world: Callable[[str], World], monkeypatch: pytest.MonkeyPatch, use_cache: bool
) -> None:
    """Beams of one that hang on column 1: what followed it is rejected, until its candidates are used up."""
    from fogline.agents.decoding import opera

    llava = world("llava")
    inputs = llava.row(0)
    visits: list[tuple[int, int]] = []

    def named(columns: torch.Tensor, patience: int, opening: int) -> int | None:
        steps = columns.shape[1] - 1
        if steps == 4 and len(visits) < 2:
            visits.append((steps, 1))
            return 1
        return None

    decoder = make_decoder("opera", beams=1, candidates=3, penalty=0.0)
    first = llava.generate(decoder, inputs, use_cache=use_cache)[0].tolist()
    monkeypatch.setattr(opera, "allocated_column", named)
    second = llava.generate(decoder, inputs, use_cache=use_cache)[0].tolist()
    assert visits == [(4, 1), (4, 1)]
    assert second[:2] == first[:2]

    def ranked(answer: list[int]) -> list[int]:
        logits = read(llava.model, merged(llava.model, [*inputs["input_ids"][0].tolist(), *answer],
                                          inputs["pixel_values"], IMAGE)).logits[-1].copy()  # fmt: skip
        logits[[IMAGE, 4, 5, 47]] = -np.inf
        return [int(token) for token in np.argsort(-logits, kind="stable")]

    # Column 1: the token after it, number 2, was rejected twice, so the third likeliest stands there.
    assert second[2] == ranked(second[:2])[2]
    assert [second[place] == ranked(second[:place])[0] for place in (3, 4, 5)] == [True] * 3


def test_a_real_column_leads_back_and_the_search_ends(world: Callable[[str], World]) -> None:
    llava = world("llava")
    eager = make_decoder("opera", beams=2, candidates=3, patience=1, opening=0, scale=200.0)
    patient = make_decoder("opera", beams=2, candidates=3, patience=200, opening=0, scale=200.0)
    kwargs = {"max_new_tokens": 16}
    went_back = llava.generate(eager, **kwargs)
    assert went_back.shape[1] <= 16
    assert not torch.equal(went_back, llava.generate(patient, **kwargs))
    assert torch.equal(went_back, llava.generate(eager, **kwargs))
    assert torch.equal(went_back, llava.generate(eager, use_cache=False, **kwargs))


def test_what_a_beam_search_cannot_do_is_refused(world: Callable[[str], World]) -> None:
    llava = world("llava")
    for kwargs in ({"do_sample": True}, {"num_return_sequences": 2, "do_sample": True}):
        with pytest.raises(ConfigurationError, match="opera is a beam search"):
            llava.generate(make_decoder("opera"), **kwargs)
    from transformers import TextStreamer

    with pytest.raises(ConfigurationError, match="opera cannot stream"):
        llava.generate(make_decoder("opera"), token_streamer=TextStreamer.__new__(_Silent))


class _Silent:
    def put(self, value: object) -> None: ...

    def end(self) -> None: ...
