"""The funnel: how deep a trajectory goes, one stage at a time, from those who were only shown a merchant to orders.

Which policy somebody follows shows only in what they do, so it is not known of those who did nothing yet. Until
somebody has gone as far as ``intent``, the memberships usual in the category stand in for their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import DataError
from fogline.simulators.merchants.columns import STAGES

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

ORDER = len(STAGES) - 1
INTENT = STAGES.index("intent")
LEAST_STAGE = 50
"""Training rows that a stage of the funnel needs on either side."""
ANYBODY, _OF = "anybody", "category="
"""Keys of what stands in: over all, where the category is new or not logged, and by category."""


def depth(table: pd.DataFrame) -> NDArray[np.int64]:
    """Deepest stage of each row, an index into :data:`~fogline.simulators.merchants.columns.STAGES`; int64 [n]."""
    import pandas as pd

    return np.asarray(pd.Index(STAGES).get_indexer(table["outcome"]), dtype=np.int64)


def check_stages(reached: NDArray[np.int64]) -> None:
    """Refuse training rows of which some stage cannot be learnt.

    Args:
        reached: Deepest stage of each row; int64 [n].

    Raises:
        DataError: For the first such stage: a log of those who engaged alone has no ``exposure`` and no ``click``.
    """
    for stage, name in enumerate(STAGES[1:], start=1):
        could = int((reached >= stage - 1).sum())
        did = int((reached >= stage).sum())
        if min(did, could - did) < LEAST_STAGE:
            raise DataError(
                f"of {could:,} training rows that could reach {name!r}, {did:,} did and {could - did:,} did not: a "
                f"funnel needs {LEAST_STAGE} of each. Log those who left earlier too, or fit with target='order'."
            )


def usual_by_category(table: pd.DataFrame, values: Floats, reached: NDArray[np.int64]) -> dict[str, Floats]:
    """Mean of rows that reached ``intent``, by category.

    These are the people whom the last stage is about, seen whole. Rows that left earlier did less, which looks like
    habit: with their own memberships the funnel overstated orders by 1.4 percentage points of about 7 (6 worlds).

    Args:
        table: Training rows.
        values: float64 [n, m].
        reached: Deepest stage of each row; int64 [n].

    Returns:
        float64 [m] under ``category=NAME``, and under ``anybody`` over all.
    """
    seen = reached >= INTENT
    found = {ANYBODY: values[seen].mean(axis=0)}
    if "category" in table:
        names = table["category"].to_numpy()[seen]
        for name in sorted(set(map(str, names))):
            found[_OF + name] = values[seen][names == name].mean(axis=0)
    return found


def usual(table: pd.DataFrame, by_category: Mapping[str, Floats]) -> Floats:
    """What stands in for each row's own; float64 [n, m]."""
    anybody = by_category[ANYBODY]
    if "category" not in table:
        return np.broadcast_to(anybody, (len(table), len(anybody)))
    import pandas as pd

    codes, names = pd.factorize(table["category"])
    found: Floats = np.stack([by_category.get(_OF + str(name), anybody) for name in names])[codes]
    return found


def stage_shares(chances: list[Floats]) -> Floats:
    """Probability of each deepest stage; float64 [n, 5], rows sum to 1.

    Args:
        chances: Probability of going on from each stage to the next; four float64 [n].
    """
    reach = np.cumprod(np.stack([np.ones_like(chances[0]), *chances], axis=1), axis=1)
    beyond = np.concatenate([reach[:, 1:], np.zeros((len(reach), 1))], axis=1)
    shares: Floats = reach - beyond
    return shares
