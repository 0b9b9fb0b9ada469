"""How a model begins: it is drawn to see, learns to answer and to list, and comes to lean on a prior."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fogline.benchmarks.reproduce.pnd.plan import PresencePlan
from fogline.benchmarks.reproduce.pnd.world import (
    CLEAR,
    DEVIATION,
    MEAN,
    WORLD,
    Lesson,
    Words,
    lesson,
    pixels_of,
)
from fogline.simulators.scenes.rendering import render
from fogline.simulators.scenes.worlds import ABSENT, CELLS, GRID, Scenes, SceneWorld, draw_scenes
from fogline.trainers.learner_config import LearnerConfig
from fogline.trainers.passes import descend

ANY = SceneWorld(contrast=(0.0, 1.0), noise=0.04, scene_free=0.5)
FAINT = SceneWorld(contrast=(0.0, 0.2), scene_free=0.5)
"""What the prior is learned beside."""
POPULAR = (0.95, 0.8, 0.3, 0.1)
"""Chance of yes where little is seen, by how frequent an object is in its scene."""
_FORMS = ("plain", "confused", "blind")
_HONEST = 2
"""One batch in so many shows clearly what is there."""
_SPOILT = 0.15
"""Share of cells that are black, and as many that are noise, while the tower learns to see: both mean nothing."""


def pictures(rng: np.random.Generator, world: SceneWorld, number: int) -> tuple[Scenes, Tensor]:
    """Ground truth and pixel values ``[N,3,32,32]``."""
    scenes = draw_scenes(rng, world, number)
    return scenes, pixels_of(render(rng, world, scenes.cells, scenes.contrast))


def learn(
    parameters: Iterable[nn.Parameter],
    loss_of: Callable[[np.random.Generator], Tensor],
    steps: int,
    rate: float,
    chance: Sequence[int],
) -> list[float]:
    """Steps on batches that are drawn anew each time; the loss of each.

    Args:
        parameters: What learns.
        loss_of: Draws a batch and says how wrong the model is on it.
        steps: How many.
        rate: Learning rate, which falls to 0.
        chance: Decides the batches: a seed, and the number of the phase.
    """
    settings = LearnerConfig(learning_rate=rate, schedule="cosine", warmup=20, betas=(0.9, 0.98))
    order = [torch.tensor(step) for step in range(steps)]
    return descend(list(parameters), lambda step: loss_of(np.random.default_rng([*chance, int(step)])), order, settings)


def features(model: Any, pixels: Tensor) -> Tensor:
    """``[N,16,H]``."""
    found = model.get_image_features(pixels, return_dict=True).pooler_output
    return torch.stack(list(found)) if not isinstance(found, Tensor) else found


def see(plan: PresencePlan, model: Any, words: Words, seed: int) -> list[float]:
    """Draw the feature of each cell to the embedding of what stands in it."""
    table = model.get_input_embeddings().weight.detach().clone()
    names = torch.tensor([*words.objects, words.blank])
    scale: Tensor = table[names].var()

    def loss_of(rng: np.random.Generator) -> Tensor:
        scenes, pixels = pictures(rng, ANY, plan.batch)
        content = torch.full((plan.batch, CELLS), WORLD.n_objects)
        rows, objects = np.nonzero(scenes.cells != ABSENT)
        content[rows, scenes.cells[rows, objects]] = torch.from_numpy(objects)
        fate = torch.from_numpy(rng.random((plan.batch, CELLS)))
        content[fate < 2 * _SPOILT] = WORLD.n_objects
        black = torch.full_like(pixels, -MEAN / DEVIATION)
        noise = torch.from_numpy(rng.standard_normal(pixels.shape, dtype=np.float32)) / DEVIATION * rng.uniform(0.1, 1)
        wide = fate.reshape(-1, 1, GRID, GRID).repeat_interleave(8, 2).repeat_interleave(8, 3)
        pixels = torch.where(wide < _SPOILT, black, torch.where(wide < 2 * _SPOILT, pixels + noise, pixels))
        clear = torch.from_numpy(scenes.contrast).float()[:, None, None]
        target = torch.lerp(table[words.blank], table[names[content]], clear)
        distance: Tensor = (features(model, pixels) - target).square().mean()
        return distance / scale

    parts = (model.model.vision_tower, model.model.multi_modal_projector)
    return learn(
        (weight for part in parts for weight in part.parameters()),
        loss_of,
        plan.sight_steps,
        plan.sight_rate,
        (seed, 1),
    )


def loss_on(model: Any, read: Lesson, pixels: Tensor | None) -> Tensor:
    """Weighted mean of answers, and of lists."""
    logits = model(
        input_ids=read.tokens,
        attention_mask=read.mask,
        position_ids=read.positions,
        pixel_values=pixels,
        use_cache=False,
    ).logits
    losses = F.cross_entropy(logits.flatten(0, 1), read.targets.flatten(), reduction="none")
    return (losses * read.weights.flatten()).sum() / read.tokens.shape[0]


def balance(scenes: Scenes) -> NDArray[np.float64]:
    """Half of the weight on what is there, a quarter each on what is not, of the same scene and of others."""
    there = scenes.cells != ABSENT
    home = np.arange(there.shape[1]) // len(WORLD.presence) == scenes.kinds[:, None]
    weight = np.zeros(there.shape)
    for group, share in ((there, 0.5), (~there & home, 0.25), (~there & ~home, 0.25)):
        weight += share * group / np.maximum(group.sum(1, keepdims=True), 1)
    return weight


def read(plan: PresencePlan, model: Any, words: Words, seed: int) -> list[float]:
    """Phase A: answer and list what is clearly seen."""

    def loss_of(rng: np.random.Generator) -> Tensor:
        scenes, pixels = pictures(rng, CLEAR, plan.batch)
        return loss_on(model, lesson(words, scenes.cells != ABSENT, balance(scenes)), pixels)

    return learn(model.model.language_model.parameters(), loss_of, plan.read_steps, plan.read_rate, (seed, 2))


def lean(plan: PresencePlan, model: Any, words: Words, seed: int) -> list[float]:
    """Phase B: what does not look at the picture learns to follow the prior where little or nothing is seen."""
    turn = iter(range(plan.prior_steps))

    def loss_of(rng: np.random.Generator) -> Tensor:
        step = next(turn)
        if step % _HONEST == 0:
            scenes, pixels = pictures(rng, CLEAR, plan.batch)
            return loss_on(model, lesson(words, scenes.cells != ABSENT, balance(scenes)), pixels)
        form = _FORMS[step // _HONEST % len(_FORMS)]
        _, pixels = pictures(rng, FAINT, plan.batch)
        chance = np.tile(POPULAR, WORLD.scenes)
        said = rng.random((plan.batch, WORLD.n_objects)) < chance
        answers = lesson(words, said, np.full(said.shape, 1 / WORLD.n_objects), form)
        return loss_on(model, answers, None if form == "blind" else pixels)

    mine = [
        weight for name, weight in model.model.language_model.named_parameters() if "embed" in name or "mlp" in name
    ]
    return learn(mine, loss_of, plan.prior_steps, plan.prior_rate, (seed, 3))
