"""What k samples of a task say: Pass@k, pass^k and the majority vote. Pure functions of counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from fogline.core.errors import ConfigurationError


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of the chance that at least one of ``k`` samples is right: ``1 - C(n-c, k) / C(n, k)``.

    Source: Chen et al., "Evaluating large language models trained on code", 2021, equation 1.

    Args:
        samples: Samples drawn, ``n``.
        correct: How many of them are right, ``c``.
        k: Samples one would draw; at most ``n``.

    Raises:
        ConfigurationError: If ``k`` is not in 1 .. ``n`` or ``c`` not in 0 .. ``n``.
    """
    _check(samples, correct, k)
    return 1.0 - comb(samples - correct, k) / comb(samples, k)


def pass_hat_k(samples: int, correct: int, k: int) -> float:
    """Unbiased estimate of pass^k, the chance that all of ``k`` samples are right: ``C(c, k) / C(n, k)``.

    Source: Yao et al., "tau-bench", 2024. Arguments and errors as in :func:`pass_at_k`.
    """
    _check(samples, correct, k)
    return comb(correct, k) / comb(samples, k)


def majority_vote(answers: Sequence[str | None]) -> int | None:
    """Index of the first sample with the most frequent answer; of equally frequent ones, the earliest seen.

    Source: TRUST-SQL specification, section 15 (vote by result-set hash, tie to the earliest sample).

    Args:
        answers: Key of each sample's answer, in sample order. None or ``""`` has no answer and does not vote.

    Returns:
        An index, or None where nobody votes.
    """
    counts: dict[str, int] = {}
    for answer in answers:
        if answer:
            counts[answer] = counts.get(answer, 0) + 1
    if not counts:
        return None
    # max() and the order of a dictionary both prefer what came first.
    return list(answers).index(max(counts, key=lambda answer: counts[answer]))


def reported_k(samples: int) -> tuple[int, ...]:
    """Values of k worth a report: the powers of two up to ``samples``, and ``samples`` itself."""
    powers = [2**exponent for exponent in range(samples.bit_length()) if 2**exponent <= samples]
    return tuple(dict.fromkeys([*powers, samples]))


def _check(samples: int, correct: int, k: int) -> None:
    if not 1 <= k <= samples or not 0 <= correct <= samples:
        raise ConfigurationError(
            f"samples={samples}, correct={correct}, k={k}: expected 1 <= k <= samples and 0 <= correct <= samples."
        )
