"""How a tower that has seen nothing learns to see: its features are drawn to the words that stand in the patches.

Real models begin with a tower that was trained on pictures and words. A tiny one, taught by a language model's loss
alone, waits on a plateau until words and features happen to meet; this makes them meet, in seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fogline.core.errors import ConfigurationError
from fogline.trainers.learner_config import LearnerConfig
from fogline.trainers.passes import descend, row_order


def align(
    policy: Any,
    pictures: Sequence[np.ndarray[Any, Any]],
    words: Sequence[Sequence[str]],
    *,
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
        learner: Rate and schedule.
        epochs: Passes over the pictures.
        rows: Pictures in a step of the optimiser.
        seed: Decides their order.

    Returns:
        The loss of each step: squared distance, as a share of the embeddings' variance; 1 is knowing nothing.

    Raises:
        ConfigurationError: A word that is not one token, or another number of words than of features.
    """
    settings = learner or LearnerConfig(learning_rate=3e-3)
    known = {word: _token(policy.tokenizer, word) for word in dict.fromkeys(word for row in words for word in row)}
    ids = torch.tensor([[known[word] for word in row] for row in words])
    table = policy.model.get_input_embeddings().weight
    target = table.detach().clone()
    scale: Tensor = target.var()
    parameters = policy.sight()

    def loss_of(part: Tensor) -> Tensor:
        found = torch.stack(policy.features([pictures[index] for index in part.tolist()]))
        if found.shape[1] != ids.shape[1]:
            raise ConfigurationError(
                f"a picture has {found.shape[1]} features and {ids.shape[1]} words: expected one word for each."
            )
        distance: Tensor = (found - target[ids[part].to(target.device)]).square().mean()
        return distance / scale

    with _learning(parameters):
        losses = descend(parameters, loss_of, row_order(len(pictures), epochs, rows, seed), settings)
    policy.version += 1
    return losses


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
