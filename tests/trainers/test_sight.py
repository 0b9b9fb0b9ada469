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
from fogline.trainers.sight import align

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
