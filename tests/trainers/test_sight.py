"""A tower that has seen nothing learns what stands in a cell."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from fogline.agents.policies.tiny import fit_tokenizer
from fogline.agents.policies.tiny_vision import seeing_tokenizer, tiny_vision_lm
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.core.errors import ConfigurationError
from fogline.simulators.tables.rendering import CELL, render
from fogline.simulators.tables.sources import load_tables
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sight import Place, align

TABLES = [task.table for task in load_tables(level=1, tasks_per_level=1000, size="tiny")]
PICTURES = [render(table, "tiny").image for table in TABLES]
WORDS = [[word for row in (table.header, *table.rows) for word in (*row, " ")] for table in TABLES]


def seer(**options: Any) -> VisionLMPolicy:
    tokenizer = seeing_tokenizer(fit_tokenizer(["A 1"], vocabulary_size=128, phrase_share=None, piece_length=1))
    model = tiny_vision_lm(tokenizer, image_size=4 * CELL, layers=1, width=48, context=64, induction=False)
    return VisionLMPolicy(model, tokenizer, rules=False, **options)


def read(policy: VisionLMPolicy, pictures: list[Any]) -> list[list[str]]:
    """The word whose embedding is nearest to each feature."""
    table = policy.model.get_input_embeddings().weight
    with torch.no_grad():
        nearest = [torch.cdist(found, table).argmin(1).tolist() for found in policy.features(pictures)]
    return [[policy.tokenizer.decode([token]) for token in row] for row in nearest]


def test_it_reads_tables_that_it_has_not_seen_and_the_language_model_stays_as_it_was() -> None:
    policy = seer()
    before = copy.deepcopy(policy.model.model.language_model.state_dict())
    settings = LearnerConfig(learning_rate=3e-3, schedule="linear", warmup=10)
    losses = align(policy, PICTURES[:900], WORDS[:900], learner=settings, epochs=10)
    assert losses[0] > 0.9
    assert losses[-1] < 0.2
    pairs = [pair for said, told in zip(read(policy, PICTURES[900:]), WORDS[900:], strict=True)
             for pair in zip(said, told, strict=True)]  # fmt: skip
    assert sum(said == told for said, told in pairs) / len(pairs) > 0.9
    after = policy.model.model.language_model.state_dict()
    assert all(torch.equal(before[name], weight) for name, weight in after.items())


def test_the_seed_decides() -> None:
    first, second, other = seer(), seer(), seer()
    one, two = (align(policy, PICTURES[:64], WORDS[:64], seed=1) for policy in (first, second))
    assert one == two != align(other, PICTURES[:64], WORDS[:64], seed=2)


ANCHORS = iter(f"<{row}{column}>" for row in range(4) for column in range(3))
PLACES = [
    None if number % 4 == 3 else Place(f" -> {(here := next(ANCHORS))}", f"; read {here} = ") for number in range(16)
]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_a_model_that_has_learned_no_word_goes_from_names_to_places_and_back() -> None:
    phrases = [text for place in PLACES if place for text in place]
    fitted = fit_tokenizer(["A 1"], vocabulary_size=160, phrase_share=None, piece_length=1, phrases=phrases)
    tokenizer = seeing_tokenizer(fitted)
    policy = VisionLMPolicy(
        tiny_vision_lm(tokenizer, image_size=4 * CELL, layers=2, width=96, context=64), tokenizer, rules=False
    )
    settings = LearnerConfig(learning_rate=3e-3, schedule="linear", warmup=10)
    align(policy, PICTURES[:900], WORDS[:900], places=PLACES, learner=settings, epochs=10)
    pointed = [place.points for place in PLACES if place is not None]
    cells = [
        (picture, word, place)
        for picture, words in zip(PICTURES[950:], WORDS[950:], strict=True)
        for word, place in zip(words, PLACES, strict=True)
        if place is not None
    ]
    names = [(picture, word, place.points, pointed) for picture, word, place in cells if word in LETTERS]
    reads = [(picture, place.asks, word, [*LETTERS, *"0123456789"]) for picture, word, place in cells]
    # By chance, one in 12 and one in 36.
    assert told(policy, names) > 0.4
    assert told(policy, reads) > 0.7


def told(policy: VisionLMPolicy, rows: list[tuple[Any, str, str, list[str]]]) -> float:
    """Share of pictures with a last token behind which the expected token is the likeliest of its kind."""
    model, tokenizer = policy.model, policy.tokenizer
    right = 0
    for picture, last, expected, choices in rows:
        with torch.no_grad():
            (features,) = policy.features([picture])
            word = model.get_input_embeddings().weight[tokenizer(last)["input_ids"]]
            output = model.model.language_model(inputs_embeds=torch.cat((features, word))[None])
            logits = model.lm_head(output.last_hidden_state[0, -1])
        ids = [tokenizer(choice)["input_ids"][0] for choice in choices]
        right += choices[int(logits[ids].argmax())] == expected
    return right / len(rows)


def test_frozen_sight_learns_here_alone() -> None:
    frozen, free = seer(freeze_sight=True), seer()
    assert align(frozen, PICTURES[:64], WORDS[:64]) == align(free, PICTURES[:64], WORDS[:64])
    assert not any(weight.requires_grad for weight in frozen.sight())
    assert all(weight.requires_grad for weight in free.sight())


def test_words_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'AB' is 2 tokens"):
        align(seer(), PICTURES[:1], [["AB", *WORDS[0][1:]]])
    with pytest.raises(ConfigurationError, match="16 features and 3 words"):
        align(seer(), PICTURES[:1], [WORDS[0][:3]])
    with pytest.raises(ConfigurationError, match="1 places for 16 words"):
        align(seer(), PICTURES[:1], WORDS[:1], places=[None])
    with pytest.raises(ConfigurationError, match="' -> 9' is 5 tokens"):
        align(seer(), PICTURES[:1], WORDS[:1], places=[Place(" -> 9", "A")] * 16)
