"""What a simulator admits of itself: support of a page, values of the branches, and where they disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fogline.simulators.merchants.profiles import Profiles
from fogline.simulators.merchants.responses import Levers

if TYPE_CHECKING:
    from fogline.simulators.merchants.fitted_responses import FittedResponses

Floats = NDArray[np.float64]

_EDGE = 1e-4


class Admitted(NamedTuple):
    """Of one period; float64 [B] each.

    Attributes:
        support: 1 where the log has seen such a page in the merchant's category, else 0.
        reasoning: Order rate as the reasoning branch has it, before what earlier periods left behind.
        fitting: As the fitting branch has it.
        hybrid: As both together.
        error: Standard deviation of the hybrid's level, in logits.
        doubt: |logit R - logit F| (1 - support), logits.
    """

    support: Floats
    reasoning: Floats
    fitting: Floats
    hybrid: Floats
    error: Floats
    doubt: Floats


def admitted(profiles: Profiles, branches: FittedResponses, merchant: NDArray[np.int64], levers: Levers) -> Admitted:
    """Ask a fitted simulator's branches about pages."""
    reasoning, fitting = branches.reasoning.rate(merchant, levers), branches.fitting.rate(merchant, levers)
    support = _support_of(profiles, merchant, levers)
    apart = np.abs(_logit(reasoning) - _logit(fitting))
    return Admitted(
        support,
        reasoning,
        fitting,
        branches.fused.fuse(merchant, reasoning, fitting),
        branches.error[merchant],
        apart * (1 - support),
    )


def _support_of(profiles: Profiles, merchant: NDArray[np.int64], levers: Levers) -> Floats:
    """1 where the log has seen such a page in the merchant's category, else 0; float64 [B]."""
    values = np.empty((len(merchant), 4))
    values[:, 0], values[:, 1] = levers.discount, levers.coupon
    # What is left as logged is in support, whatever it is.
    values[:, 2] = np.where(levers.price_scale == 1, np.nan, profiles.price[merchant] * levers.price_scale)
    values[:, 3] = np.where(levers.photo == 0, np.nan, profiles.photo[merchant] + levers.photo)
    return profiles.support(merchant, values, levers.badge > 0)


def _logit(rates: Floats) -> Floats:
    clipped = np.minimum(np.maximum(rates, _EDGE), 1 - _EDGE)
    logits: Floats = np.log(clipped / (1 - clipped))
    return logits
