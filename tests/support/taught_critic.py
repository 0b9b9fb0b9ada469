"""Tiny models that see and are taught here: one to score steps, asked as a chat critic asks, and one to write steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fogline.agents.policies.tiny import episode_texts, fit_tokenizer
from fogline.agents.policies.tiny_vision import seeing_tokenizer, tiny_vision_lm
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.core.episode import Episode, Turn
from fogline.envs.visual_table.traces import written_anchor
from fogline.simulators.tables.records import Cell, Table
from fogline.simulators.tables.rendering import CELL, render
from fogline.trainers.chat_critics import RUBRIC, critic_messages
from fogline.trainers.critics import Judgement
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune, transcribe
from fogline.trainers.sight import align
from fogline.trainers.table_critics import reply_of

EDGE = 4 * CELL
"""A table is four cells high and three wide; a model wants squares."""
_PLACES = tuple(written_anchor(Cell(row, column)) for row in range(4) for column in (1, 2, 3))
_STEPS = ("find ", "read ", "pick max", "pick min", " -> ", " = ", "; ", "<think>", "</think><answer>", "</answer>")
_ASKED = ("Question: ", "\nSteps:\n", *(f"{number}. " for number in range(1, 10)), '{"scores": [', ", ", "]}")


def lesson(episode: Episode, judgement: Judgement) -> Episode:
    """What a chat critic asks of an episode, and the scores that it should be told."""
    _, asked = critic_messages(episode, reply_of(episode))
    shown = {"image": episode.turns[-1].observation["image"], "question": asked["content"][1]["text"]}
    answer = json.dumps({"scores": [int(step.score) for step in judgement.steps]})
    return Episode("Critic-v0", episode.task_id, episode.seed, (Turn("agent", shown, answer, 0.0, {}),), "terminated")


def teach_critic(folder: Path, lessons: Sequence[Episode], tables: Sequence[Table]) -> list[float]:
    """Teach a model to see tables and to answer lessons, save it, and return the loss of every step."""
    # A line of the rubric is one token.
    critic = _untaught(lessons, (*RUBRIC.splitlines(), *_ASKED), layers=3, context=512)
    _learn_to_see(critic, tables)
    losses = _taught(critic, lessons, RUBRIC, rate=3e-3, epochs=5, rows=32)
    critic.save(folder)
    return losses


def taught_player(episodes: Sequence[Episode]) -> VisionLMPolicy:
    """A policy that writes traces, if not the right ones."""
    player = _untaught(episodes, (), layers=2, context=192, max_new_tokens=80)
    _taught(player, episodes, "", rate=6e-3, epochs=4, rows=16)
    return player


def _learn_to_see(policy: VisionLMPolicy, tables: Sequence[Table]) -> None:
    """What stands in each cell; what is beside the table is blank."""
    pictures = [render(table, "tiny").image for table in tables]
    words = [[word for row in (table.header, *table.rows) for word in (*row, " ")] for table in tables]
    with _one_thread():
        align(policy, pictures, words, learner=_falling(3e-3), epochs=10)


def _untaught(episodes: Sequence[Episode], phrases: Sequence[str], layers: int, context: int, **options: Any) -> Any:
    texts = episode_texts(episodes[:: max(len(episodes) // 200, 1)], phrases)
    words = fit_tokenizer(
        texts, vocabulary_size=256, phrase_share=None, piece_length=1, phrases=(*_PLACES, *_STEPS, *phrases)
    )
    tokenizer = seeing_tokenizer(words)
    shape = {"layers": layers, "width": 64, "context": context}
    return VisionLMPolicy(tiny_vision_lm(tokenizer, image_size=EDGE, patch=CELL, **shape), tokenizer, **options)


def _taught(
    policy: VisionLMPolicy, episodes: Sequence[Episode], rules: str, *, rate: float, epochs: int, rows: int
) -> list[float]:
    batch = transcribe(policy, episodes, rules)
    with _one_thread():
        log = fine_tune(policy, batch, learner=_falling(rate), epochs=epochs, rows=rows)
    return [row["loss"] for row in log]


def _falling(rate: float) -> LearnerConfig:
    return LearnerConfig(learning_rate=rate, schedule="linear", warmup=30, betas=(0.9, 0.98))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Two threads are no faster at this size, and far slower beside other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
