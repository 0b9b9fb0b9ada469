"""Where the evidence is, as the truth says it, or as an outsider sees it who was drawn to the same words.

The outsider stands for the matcher of pictures and texts that PND asks: a tower of its own, whose feature of a cell is
compared with the word for the object that is asked about.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fogline.agents.decoding.saliency import pixel_maps
from fogline.benchmarks.reproduce.pnd.plan import PresencePlan
from fogline.benchmarks.reproduce.pnd.training import features, see
from fogline.benchmarks.reproduce.pnd.world import WORLD, Exam, tokenizer_and_words, untrained
from fogline.simulators.scenes.rendering import SIZE, saliency
from fogline.simulators.scenes.worlds import GRID

ALL = -1
"""In place of an object: everything that is in the picture."""
_OUTSIDER = 500_000
"""Added to a seed, the seed of its outsider."""


@torch.no_grad()
def outside_similarity(plan: PresencePlan, pixels: Tensor, seed: int) -> Tensor:
    """How much of each object an outsider sees in each cell: ``[N,K,16]``, 0 for none and about 1 at full contrast."""
    _, words = tokenizer_and_words()
    with torch.enable_grad():
        outsider = untrained(plan, _OUTSIDER + seed)
        see(plan, outsider, words, _OUTSIDER + seed)
    table = outsider.get_input_embeddings().weight
    names = table[torch.tensor(words.objects)] - table[words.blank]
    seen = features(outsider, pixels) - table[words.blank]
    found: Tensor = (seen @ names.T / names.square().sum(1)).clamp_min(0).transpose(1, 2)
    return found


def outside_maps(similarity: Tensor, rows: list[int], objects: list[int]) -> Tensor:
    """Two maps for each question, ``[B,2,32,32]``: the similarity and its root, each from 0 to 1.

    Args:
        similarity: ``[N,K,16]``.
        rows: Picture of each question.
        objects: Of each question; :data:`ALL` for the greatest similarity with any.
    """
    chosen = [
        similarity[row].amax(0) if asked == ALL else similarity[row, asked]
        for row, asked in zip(rows, objects, strict=True)
    ]
    raw = torch.stack(chosen).reshape(-1, 1, GRID, GRID)
    wide = torch.cat([raw, raw.sqrt()], 1).repeat_interleave(SIZE // GRID, 2).repeat_interleave(SIZE // GRID, 3)
    return torch.stack([pixel_maps(stack, (SIZE, SIZE)) for stack in wide])


def true_maps(exam: Exam, rows: list[int]) -> Tensor:
    """1 in every cell that holds an object, 0 elsewhere; ``[B,1,32,32]``."""
    return torch.from_numpy(saliency(exam.scenes.cells[np.array(rows)]))[:, None]


def found_share(exam: Exam, similarity: Tensor) -> float:
    """How often the cell that an outsider finds most alike holds the object, of objects that are there."""
    cells = torch.from_numpy(exam.scenes.cells)
    there = cells >= 0
    assert there.shape[1] == WORLD.n_objects
    return float((similarity.argmax(-1) == cells)[there].float().mean())


def outsiders_answers(exam: Exam, similarity: Tensor) -> dict[tuple[int, int], bool | None]:
    """What an outsider would say of everything itself: yes where a cell is more alike than half the mean contrast."""
    told = (similarity.amax(-1) > sum(WORLD.contrast) / 4).tolist()
    return {(row, number): answer for row, answers in enumerate(told) for number, answer in enumerate(answers)}
