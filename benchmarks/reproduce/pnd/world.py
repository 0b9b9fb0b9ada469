"""Faint pictures, what is asked about them, and a model small enough to learn to see them.

A conversation is read without words between: a beginning, the picture's 16 patches, then ``is`` and an object, or
``objects``, after which those that are there are listed in their fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fogline.benchmarks.reproduce.pnd.plan import PresencePlan
from fogline.simulators.scenes.generated import ranking_of
from fogline.simulators.scenes.glyphs import CELL
from fogline.simulators.scenes.questions import PAIRS, ask, draw_positives
from fogline.simulators.scenes.rendering import SIZE, render
from fogline.simulators.scenes.worlds import ABSENT, CELLS, Scenes, SceneWorld, draw_scenes

WORLD = SceneWorld()
"""What is tested: contrast of 0.1 to 0.3 (specification 7.2)."""
CLEAR = SceneWorld(contrast=(0.35, 1.0), noise=0.06, scene_free=0.5)
"""What is learned to be seen."""
MEAN, DEVIATION = WORLD.background, 0.25
"""Of the colours that a model takes as 0 and as far as 1 from it."""

_BEGIN, _IS, _LIST, _CONFUSED, _YES, _NO, _BLANK = "begin", "is", "objects", "confused", "yes", "no", "nothing"


@dataclass(frozen=True)
class Words:
    """Token ids of all that is said.

    Attributes:
        objects: ``[K]``, in the order of the world.
        begin: First token of every conversation.
        image: Stands for a patch.
        asks: Before an object that is asked about.
        lists: Asks for a description.
        confused: Tells the model to be wrong, for ICD.
        yes: The answer.
        no: The other answer.
        blank: What stands in an empty cell; never said.
        end: Of a description.
    """

    objects: tuple[int, ...]
    begin: int
    image: int
    asks: int
    lists: int
    confused: int
    yes: int
    no: int
    blank: int
    end: int


def tokenizer_and_words() -> tuple[Any, Words]:
    """Every name and every word above is one token."""
    from fogline.agents.policies.tiny import fit_tokenizer
    from fogline.agents.policies.tiny_vision import PICTURE, seeing_tokenizer

    said = (_BEGIN, _IS, _LIST, _CONFUSED, _YES, _NO, _BLANK)
    tokenizer = seeing_tokenizer(
        fit_tokenizer(list(said), vocabulary_size=160, phrase_share=None, phrases=(*WORLD.names, *said))
    )
    ids = dict(zip(said, tokenizer.convert_tokens_to_ids(list(said)), strict=True))
    return tokenizer, Words(
        tuple(tokenizer.convert_tokens_to_ids(list(WORLD.names))),
        ids[_BEGIN],
        tokenizer.convert_tokens_to_ids(PICTURE),
        ids[_IS],
        ids[_LIST],
        ids[_CONFUSED],
        ids[_YES],
        ids[_NO],
        ids[_BLANK],
        tokenizer.eos_token_id,
    )


def untrained(plan: PresencePlan, seed: int) -> Any:
    """A LLaVA whose patches are the cells of a picture."""
    from fogline.agents.policies.tiny_vision import tiny_vision_lm

    tokenizer, _ = tokenizer_and_words()
    return tiny_vision_lm(
        tokenizer,
        image_size=SIZE,
        patch=CELL,
        layers=plan.layers,
        width=plan.width,
        vision_width=plan.vision_width,
        context=128,
        seed=seed,
    )


def pixels_of(images: NDArray[np.uint8]) -> Tensor:
    """Pictures ``[N,32,32,3]`` as pixel values ``[N,3,32,32]``; the background is 0."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION


class Question(NamedTuple):
    """A question about a picture of an exam."""

    picture: int
    asked: int
    label: bool


@dataclass(frozen=True)
class Exam:
    """What a model is tested on.

    Attributes:
        scenes: Ground truth of the pictures.
        pixels: ``[N,3,32,32]``.
        questions: Of each split of POPE.
    """

    scenes: Scenes
    pixels: Tensor
    questions: dict[str, list[Question]]

    def objects(self, picture: int) -> list[int]:
        """Numbers of what is there."""
        return np.flatnonzero(self.scenes.cells[picture] != ABSENT).tolist()


def draw_exam(seed: int, n_pictures: int, splits: Sequence[str], contrast: tuple[float, float] | None = None) -> Exam:
    """Pictures with three objects at least that are there and three that are not, and six questions in each split.

    Args:
        seed: Decides everything.
        n_pictures: How many.
        splits: Of POPE; they share the questions whose answer is yes.
        contrast: Instead of the world's.
    """
    rng = np.random.default_rng([seed, 11])
    world = WORLD if contrast is None else SceneWorld(contrast=contrast)
    drawn = draw_scenes(rng, world, 8 * n_pictures)
    counts = (drawn.cells != ABSENT).sum(1)
    kept = np.flatnonzero((counts >= PAIRS) & (counts <= world.n_objects - PAIRS))[:n_pictures]
    scenes = Scenes(drawn.kinds[kept], drawn.cells[kept], drawn.contrast[kept])
    number = {name: place for place, name in enumerate(world.names)}
    questions: dict[str, list[Question]] = {split: [] for split in splits}
    for picture, cells in enumerate(scenes.cells):
        present = [name for name, cell in zip(world.names, cells, strict=True) if cell != ABSENT]
        positives = draw_positives(rng, present)
        for split in splits:
            asked = ask(rng, present, split, ranking_of(WORLD), positives)
            questions[split] += [Question(picture, number[name], label) for name, label in asked]
    return Exam(scenes, pixels_of(render(rng, world, scenes.cells, scenes.contrast)), questions)


class Lesson(NamedTuple):
    """Questions about pictures, read in one pass and independent of each other.

    Attributes:
        tokens: ``[B,T]``.
        positions: ``[B,T]``: every question stands where it would stand alone.
        mask: ``[1,1,T,T]``, additive: no question sees another.
        targets: ``[B,T]``; -100 where nothing is learned.
        weights: ``[B,T]``, of the targets.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    weights: Tensor


def lesson(words: Words, there: NDArray[np.bool_], weight: NDArray[np.float64], form: str = "plain") -> Lesson:
    """Ask about every object, and for the list of all.

    Args:
        words: Token ids.
        there: ``[B,K]``, the answers, of which the list is made too.
        weight: ``[B,K]``, of each answer.
        form: ``plain``, ``confused``, with the word that disturbs, or ``blind``, without a picture.
    """
    batch, objects = there.shape
    before = [words.begin, *[words.image] * (0 if form == "blind" else CELLS)]
    lead = [words.confused] if form == "confused" else []
    start, ask_length, list_length = len(before), len(lead) + 2, len(lead) + 1 + objects
    listed, targets_of_list = _listed(words, there)
    columns = [torch.tensor(before).expand(batch, -1)]
    for name in words.objects:
        columns.append(torch.tensor([*lead, words.asks, name]).expand(batch, -1))
    columns += [torch.tensor([*lead, words.lists]).expand(batch, -1), listed]
    tokens = torch.cat(columns, 1)
    lengths = [ask_length] * objects + [list_length]
    block = torch.cat([torch.zeros(start), *(torch.full((size,), i + 1.0) for i, size in enumerate(lengths))])
    position = torch.cat([torch.arange(start), *(start + torch.arange(size) for size in lengths)])
    seen = ((block[:, None] == block) | (block == 0)) & (torch.arange(len(block))[:, None] >= torch.arange(len(block)))
    targets = torch.full_like(tokens, -100)
    weights = torch.zeros(tokens.shape)
    asked = start + ask_length * torch.arange(1, objects + 1) - 1
    targets[:, asked] = torch.where(torch.from_numpy(there), words.yes, words.no)
    weights[:, asked] = torch.from_numpy(weight).float()
    targets[:, -objects - 1 :] = targets_of_list
    weights[:, -objects - 1 :] = (targets_of_list != -100) / (targets_of_list != -100).sum(1, keepdim=True)
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
    return Lesson(tokens, position.expand(batch, -1), mask, targets, weights)


def _listed(words: Words, there: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """The list ``[B,K]``, filled up behind its end, and what follows each of its tokens and the request ``[B,K+1]``."""
    names = np.array(words.objects)
    order = np.argsort(~there, axis=1, kind="stable")
    counts = there.sum(1)[:, None]
    place = np.arange(there.shape[1])
    listed = np.where(place < counts, names[order], words.end)
    following = np.concatenate([listed, np.full((len(there), 1), words.end)], 1)
    following = np.where(np.arange(there.shape[1] + 1) <= counts, following, -100)
    return torch.from_numpy(listed), torch.from_numpy(following)
