"""What a scoring server and its clients say to each other: tensors as safetensors, exact to the bit.

``GET /`` answers a JSON object: ``name, vocabulary, vocabulary_size, temperature``. ``POST /score?top_k=16&entropy=1``
takes ``tokens``, ``attention_mask`` and ``policy_mask``, ``[N,T]`` each, and answers with ``logp [N,T]`` and, as asked,
``top_ids`` and ``top_logp [N,T,K]`` and ``entropy [N,T]``. What cannot be answered has a status of 400 or above and a
JSON object with ``error``.
"""

from __future__ import annotations

from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fogline.core.errors import DataError
from fogline.trainers.rows import TeacherRows

ASKED = ("tokens", "attention_mask", "policy_mask")
ANSWERED = ("logp", "top_ids", "top_logp", "entropy")


def packed(tensors: Mapping[str, Tensor | None]) -> bytes:
    """Tensors by name; None is left out."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items() if tensor is not None}
    return save(kept)


def unpacked(body: bytes, wanted: tuple[str, ...], source: str) -> dict[str, Tensor]:
    """Tensors of a message.

    Args:
        body: As :func:`packed` made it.
        wanted: Names that must be there.
        source: Who sent it, for the error.

    Raises:
        DataError: It is no such message, or lacks something.
    """
    try:
        found = load(body)
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{source} sent {len(body)} bytes that are no tensors: {error}") from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"{source} sent {sorted(found)}: expected {', '.join(wanted)}; {', '.join(missing)} is missing."
        )
    return found


def answer(rows: TeacherRows) -> bytes:
    """A teacher's rows as a message."""
    return packed({name: getattr(rows, name) for name in ANSWERED})
