"""A tiny model that sees and is taught here to score steps: by what a critic asks, as one that knows would answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fogline.agents.policies.tiny import episode_texts, fit_tokenizer
from fogline.agents.policies.tiny_vision import seeing_tokenizer, tiny_vision_lm
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.core.episode import Episode, Turn
from fogline.envs.visual_table.traces import written_anchor
from fogline.simulators.tables.records import Cell, TableDataset
from fogline.simulators.tables.rendering import CELL, render
from fogline.trainers.chat_critics import RUBRIC, critic_messages
from fogline.trainers.critics import Judgement
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune, transcribe
from fogline.trainers.sight import align
from fogline.trainers.table_critics import reply_of

EDGE = 4 * CELL
"""A table is four cells high and three wide; a model wants squares."""
PLACES = tuple(written_anchor(Cell(row, column)) for row in range(4) for column in (1, 2, 3))
_FRAMES = ("Question: ", "\nSteps:\n", "find ", "read ", "pick max", "pick min", " -> ", " = ", '{"scores": [', ", ", "]}")


def lesson(episode: Episode, judgement: Judgement) -> Episode:
    """What a chat critic asks of an episode, answered."""
    _, asked = critic_messages(episode, reply_of(episode))
    shown = {"image": episode.turns[-1].observation["image"], "question": asked["content"][1]["text"]}
    answer = json.dumps({"scores": [int(step.score) for step in judgement.steps]})
    return Episode("Critic-v0", episode.task_id, episode.seed, (Turn("agent", shown, answer, 0.0, {}),), "terminated")


def untaught(lessons: Sequence[Episode], **shape: Any) -> VisionLMPolicy:
    """A model for the words of lessons; a line of the rubric is one token, and so is a place of a table."""
    numbers = [f"{number}. " for number in range(1, 10)]
    phrases = [*RUBRIC.splitlines(), *PLACES, *numbers, *_FRAMES]
    texts = episode_texts(lessons[:200], [RUBRIC])
    tokenizer = seeing_tokenizer(
        fit_tokenizer(texts, vocabulary_size=256, phrase_share=None, piece_length=1, phrases=phrases)
    )
    model = tiny_vision_lm(tokenizer, image_size=EDGE, patch=CELL, context=512, **shape)
    return VisionLMPolicy(model, tokenizer)
