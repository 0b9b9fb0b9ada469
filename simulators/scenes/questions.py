"""Questions about presence after POPE: as many objects that are there as objects that are not, in three splits.

Negatives are drawn at random, from the most frequent objects, or from those that most often go with the object that was
asked about before (https://github.com/RUCAIBox/POPE).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, check_choice

POPE_SPLITS = ("random", "popular", "adversarial")
PAIRS = 3
"""Objects of a picture that are asked about, and as many that are not there."""

_DIGITS = 9
_ASKED = re.compile(r"is there an? (?P<name>.+?) in the im(?:age|ange)\?", re.IGNORECASE)


class Ranking(NamedTuple):
    """What to expect of pictures.

    Attributes:
        popular: All objects, the most frequent first.
        partners: For each object those that were ever seen with it, the most frequent first.
    """

    popular: tuple[str, ...]
    partners: Mapping[str, tuple[str, ...]]


def rank(names: Sequence[str], single: NDArray[np.float64], together: NDArray[np.float64]) -> Ranking:
    """Rank objects by frequency.

    Args:
        names: Of the K objects.
        single: ``[K]``, how often each is there.
        together: ``[K, K]``, how often both are there.
    """
    # What is equally frequent keeps its order, whatever the last bits of a sum say.
    by_frequency = np.argsort(-single.round(_DIGITS), kind="stable")
    by_company = np.argsort(-together.round(_DIGITS), axis=1, kind="stable")
    partners = {
        name: tuple(names[other] for other in by_company[number] if other != number and together[number, other] > 0)
        for number, name in enumerate(names)
    }
    return Ranking(tuple(names[number] for number in by_frequency), partners)


def counted(names: Sequence[str], pictures: Iterable[Iterable[str]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many pictures each of K objects, and each two of them, are in.

    Args:
        names: Of the objects.
        pictures: Names of the objects in each picture.

    Returns:
        ``[K]`` and ``[K, K]``, float64.
    """
    place = {name: number for number, name in enumerate(names)}
    together = np.zeros((len(names), len(names)))
    for present in pictures:
        held = sorted({place[name] for name in present})
        together[np.ix_(held, held)] += 1
    return together.diagonal().copy(), together


def ask(
    rng: np.random.Generator,
    present: Sequence[str],
    split: str,
    ranking: Ranking,
    positives: Sequence[str] | None = None,
) -> list[tuple[str, bool]]:
    """Choose what a picture is asked about.

    Args:
        rng: Decides what is left to chance.
        present: Objects that are there, three at least.
        split: Of POPE: how negatives are chosen. None is there or asked about twice, and where a split has none left,
            one is drawn at random.
        ranking: Of all objects.
        positives: Which objects that are there are asked about; three drawn at random where None.

    Returns:
        Objects and whether they are there, by turns yes and no.

    Raises:
        ConfigurationError: An unknown split, or too few objects that are there, or that are not.
    """
    check_choice("split", split, POPE_SPLITS)
    chosen = draw_positives(rng, present) if positives is None else positives
    free = [name for name in ranking.popular if name not in set(present)]
    if len(free) < len(chosen):
        raise ConfigurationError(f"{len(free)} objects that are not in the picture: expected {len(chosen)} at least.")
    asked: list[tuple[str, bool]] = []
    for positive in chosen:
        preferred: Sequence[str] = ()
        if split != "random":
            preferred = ranking.popular if split == "popular" else ranking.partners[positive]
        negative = next((name for name in preferred if name in free), None) or free[int(rng.integers(len(free)))]
        free.remove(negative)
        asked += [(positive, True), (negative, False)]
    return asked


def draw_positives(rng: np.random.Generator, present: Sequence[str]) -> tuple[str, ...]:
    """Three objects that are there.

    Raises:
        ConfigurationError: There are fewer.
    """
    if len(present) < PAIRS:
        raise ConfigurationError(f"a picture of {len(present)} objects: expected {PAIRS} at least.")
    return tuple(present[number] for number in rng.permutation(len(present))[:PAIRS])


def wording(name: str) -> str:
    """POPE's question."""
    return f"Is there {'an' if name[0] in 'aeiou' else 'a'} {name} in the image?"


def object_of(question: str) -> str:
    """The object that a question of POPE asks about, with the slip of its published files; empty of other questions."""
    match = _ASKED.match(question.strip())
    return "" if match is None else match["name"]
