"""How a tower that has seen nothing learns to see: its features are drawn to the words that stand in the patches.

Real models begin with a tower that was trained on pictures and words. A tiny one, taught by a language model's loss
alone, waits on a plateau until words and features happen to meet; this makes them meet, in seconds. Leave the tower as
it is afterwards (``VisionLMPolicy(freeze_sight=True)``): the first steps of a language model spoil it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fogline.core.errors import ConfigurationError
from fogline.trainers.learner_config import LearnerConfig
from fogline.trainers.passes import descend, row_order

_LOUDER = 3.0
"""What a feature seems to follow is said louder than what it does follow: the feature before it."""


class Place(NamedTuple):
    """Where a feature is.

    Attributes:
        points: The token that points at it, behind a name.
        asks: The token behind which its word is read.
    """

    points: str
    asks: str


def align(
    policy: Any,
    pictures: Sequence[np.ndarray[Any, Any]],
    words: Sequence[Sequence[str]],
    *,
    places: Sequence[Place | None] | None = None,
    learner: LearnerConfig | None = None,
    epochs: int = 1,
    rows: int = 32,
    seed: int = 0,
) -> list[float]:
    """Draw the features of pictures to the embeddings of words; the language model is left as it is.

    Args:
        policy: A ``VisionLMPolicy``.
        pictures: ``[H,W,3]`` uint8 each, all of one shape.
        words: Of each picture, the word of every feature in order; each is one token.
        places: Of every feature in order, where it is; None for one without a name. A feature then also carries the
            token that points at it, and looks as if it followed its word and the token that asks for it. So heads that
            repeat what followed (see :func:`~fogline.agents.policies.induction_heads.plant_induction_heads`) go from
            a name to its place, and from a place to what stands there.
        learner: Rate and schedule.
        epochs: Passes over the pictures.
        rows: Pictures in a step of the optimiser.
        seed: Decides their order.

    Returns:
        The loss of each step: squared distance, as a share of the target's variance; 1 is knowing nothing.

    Raises:
        ConfigurationError: A word that is not one token, or another number of words or places than of features.
    """
    settings = learner or LearnerConfig(learning_rate=3e-3)
    known = {word: _token(policy.tokenizer, word) for word in dict.fromkeys(word for row in words for word in row)}
    ids = torch.tensor([[known[word] for word in row] for row in words])
    table: Tensor = policy.model.get_input_embeddings().weight.detach().clone()
    target = table[ids.to(table.device)]
    if places is not None:
        if len(places) != ids.shape[1]:
            raise ConfigurationError(f"{len(places)} places for {ids.shape[1]} words: expected one for each.")
        target = _placed(target, places, table, policy.tokenizer)
    scale = target.var()
    parameters = policy.sight()

    def loss_of(part: Tensor) -> Tensor:
        found = torch.stack(policy.features([pictures[index] for index in part.tolist()]))
        if found.shape[1] != ids.shape[1]:
            raise ConfigurationError(
                f"a picture has {found.shape[1]} features and {ids.shape[1]} words: expected one word for each."
            )
        distance: Tensor = (found - target[part]).square().mean()
        return distance / scale

    with _learning(parameters):
        losses = descend(parameters, loss_of, row_order(len(pictures), epochs, rows, seed), settings)
    policy.version += 1
    return losses


def _placed(target: Tensor, places: Sequence[Place | None], table: Tensor, tokenizer: Any) -> Tensor:
    """Words ``[N,m,H]`` with their places."""
    half = table.shape[1] // 2
    points, asks, named = (torch.zeros_like(target[0]) for _ in range(3))
    for number, place in enumerate(places):
        if place is not None:
            points[number], asks[number] = (table[_token(tokenizer, text)] for text in place)
            named[number] = 1.0
    followed = _LOUDER * (target + asks) * named
    return torch.cat(((target + points)[..., :half], target[..., half:] + followed[..., :half]), -1)


def _token(tokenizer: Any, word: str) -> int:
    ids = tokenizer(word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise ConfigurationError(f"the word {word!r} is {len(ids)} tokens: expected one; add it to the vocabulary.")
    return int(ids[0])


@contextlib.contextmanager
def _learning(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let weights learn that may be frozen otherwise."""
    before = [weight.requires_grad for weight in parameters]
    try:
        for weight in parameters:
            weight.requires_grad_(True)
        yield
    finally:
        for weight, learned in zip(parameters, before, strict=True):
            weight.requires_grad_(learned)
