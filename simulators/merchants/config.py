"""Options of a what-if model, in the order in which its steps use them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fogline.simulators.merchants.fitting import FittingConfig
from fogline.simulators.merchants.fusion import DEFAULT_KAPPA
from fogline.simulators.merchants.mining import MiningConfig

Fusion = Literal["anchored", "pool", "bates-granger", "fitting", "reasoning"]


class PGHSConfig(BaseModel):
    """Options of :class:`~fogline.simulators.merchants.pghs.PGHS`.

    Attributes:
        seed: Decides clustering, folds, trees, and the draws behind the intervals.
        mining: How policies are found.
        fitting: How the fitting branch learns.
        policies: ``mined``; or one of two controls: ``pooled`` (one policy for everybody) and ``shuffled`` (the mined
            policies, given to rows at random), which no gain may survive.
        guided: Whether the reasoning branch is anchored to the policies' order rates; if not it is the plain reasoner.
        merchant_effects: Whether the fit of the sensitivities knows each merchant's own level; without it, hidden
            quality shrinks them.
        fusion: What a what-if answers with: ``anchored`` (level as logged, change by the reasoner), ``pool``,
            ``bates-granger``, or one branch alone.
        level: What says the level as logged: the fitting branch, or the pool of both.
        eta: Weight of the fitting branch in the change, 0 to 1. More than 0 only where its change was checked on
            randomised data: logged data say nothing about it.
        kappa: Trajectories at which a merchant's level comes half from the fitting branch; colder ones lean on the
            reasoner. 0 turns it off.
        confidence: Coverage that intervals aim at.
        replicates: Refits behind the intervals: merchants resampled, the reasoner's weights drawn anew.
        high_intent: Use only trajectories that reached ``engage``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int = Field(default=0, ge=0)
    mining: MiningConfig = MiningConfig()
    fitting: FittingConfig = FittingConfig()
    policies: Literal["mined", "pooled", "shuffled"] = "mined"
    guided: bool = True
    merchant_effects: bool = True
    fusion: Fusion = "anchored"
    level: Literal["fitting", "pool"] = "fitting"
    eta: float = Field(default=0.0, ge=0, le=1)
    kappa: float = Field(default=DEFAULT_KAPPA, ge=0)
    confidence: float = Field(default=0.9, gt=0, lt=1)
    replicates: int = Field(default=40, ge=0)
    high_intent: bool = True
