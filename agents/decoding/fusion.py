"""Arithmetic on next-token logits that several methods share. Plain tensors in, plain tensors out."""

from __future__ import annotations

import math

from torch import Tensor


def plausible(reference: Tensor, beta: float) -> Tensor:
    """Tokens that the undisturbed model itself finds plausible.

    Adaptive plausibility (Li et al., contrastive decoding; used by VCD, ICD, AGLA, SID, PAI, DoLa and PND): token k
    stays iff ``reference[k] >= log(beta) + max(reference)``. The most likely token always stays.

    Args:
        reference: Logits or log-probabilities ``[B,V]`` of the undisturbed path.
        beta: In [0, 1]. 1 leaves the most likely token only, 0 leaves every token.

    Returns:
        Mask ``[B,V]``, bool.
    """
    if beta == 0:
        return reference == reference
    return reference >= math.log(beta) + reference.max(-1, keepdim=True).values


def restrict(logits: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Send implausible tokens to minus infinity.

    The papers write a product with an indicator. Taken literally it would set dropped logits to 0, above kept ones
    that are negative.

    Args:
        logits: Combined logits ``[B,V]``.
        reference: What plausibility is read from, ``[B,V]``.
        beta: In [0, 1], as in :func:`plausible`.
    """
    return logits.masked_fill(~plausible(reference, beta), float("-inf"))


def contrast(original: Tensor, disturbed: Tensor, strength: float) -> Tensor:
    """``(1 + a) l - a l'``: away from what the model says without proper evidence.

    VCD (arXiv 2311.16922), ICD (2403.18715) and SID (2408.02032) share it and differ in how l' comes about.

    Args:
        original: Logits l of the undisturbed path, ``[B,V]``.
        disturbed: Logits l' of the disturbed path, ``[B,V]``.
        strength: a, at least 0; 0 returns ``original``.
    """
    return original if strength == 0 else (1 + strength) * original - strength * disturbed
