"""Every simulator that is compared: branches, fusions, baselines, and what is left when a part is taken away.

Of the paper's reasoning baselines the names are not known. Those here are what a rule can stand for: a reasoner that is
told nothing (plain), who comes (persona), how many order (few-shot), and both with its word discounted (guided).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from fogline.benchmarks.reproduce.pghs.case import Answers, Case, Floats
from fogline.benchmarks.reproduce.pghs.plan import (
    ANCHORED,
    BATES_GRANGER,
    BELIEVED,
    EVERYDAY,
    FEW_SHOT,
    FITTING,
    FITTING_PLAIN,
    PERSONA,
    POOL,
    REASONING,
    REASONING_PLAIN,
    SCENARIOS,
    SCORE_AS_FEATURE,
    SINGLE,
    T_LEARNER,
    Plan,
)
from fogline.simulators.merchants.branches import Branches, Prepared
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.fitting import FittingBranch, FittingConfig
from fogline.simulators.merchants.fusion import pool
from fogline.simulators.merchants.logs import TEST, ordered, time_split
from fogline.simulators.merchants.mining import MiningConfig
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.reasoning import Reasoner, RuleReasoner
from fogline.simulators.merchants.strategies import LOGGED, Strategy

_FITTED_OTHERWISE: Mapping[str, Mapping[str, Any]] = {
    "F without policies": {"policies": False},
    "F without signs": {"monotone": False},
    "F logistic": {"estimator": "logistic"},
    "F base rate": {"estimator": "base-rate"},
}


def fit(case: Case, reasoner: Reasoner, seed: int, **options: Any) -> PGHS:
    """A model with the defaults but for ``options``, and without refits unless they are asked for."""
    return PGHS.fit(case.log, PGHSConfig(**{"seed": seed, "replicates": 0, **options}), reasoner=reasoner)


def main_answers(model: PGHS, case: Case) -> Answers:
    """The four single branches, and the fusions."""
    rows = model.branches.prepare(case.scored)
    logged = model.branches.answer(rows, replicated=False)
    plain = _fitting_of(model, policies=False, monotone=False)
    found: Answers = {name: {} for name in (*SINGLE, POOL, BATES_GRANGER, ANCHORED)}
    for name, strategy in SCENARIOS.items():
        answered = model.branches.answer(rows, strategy, replicated=False)
        found[REASONING_PLAIN][name] = _unguided(model, rows, strategy)
        found[REASONING][name] = answered.reasoning
        found[FITTING_PLAIN][name] = _asked(plain, rows, strategy)
        found[FITTING][name] = answered.fitting
        found[POOL][name] = pool(answered.fitting, answered.reasoning, model.levels.pool_alpha)
        optimal = model.levels.optimal_alpha
        alpha = model.levels.pool_alpha if optimal is None else optimal
        found[BATES_GRANGER][name] = pool(answered.fitting, answered.reasoning, alpha)
        found[ANCHORED][name] = _anchored(model, rows, answered, logged)
    return found


def _anchored(model: PGHS, rows: Prepared, answered: Branches, logged: Branches) -> Floats:
    return model.levels.fuse(model.config, answered, logged, rows.groups.ids, answered.reasoning)


def _unguided(model: PGHS, rows: Prepared, strategy: Strategy) -> Floats:
    """The reasoner alone: no policies, no anchors."""
    scores = model.branches.reasoner.score(rows.table, model.policy_library, strategy)
    return rows.groups.mean(expit(scores.mean(axis=1)))


def _fitting_of(
    model: PGHS,
    *,
    of: NDArray[np.bool_] | None = None,
    anchor_rate: Floats | None = None,
    **options: Any,
) -> FittingBranch:
    """Another fitting branch on the same policies and log, or some of its rows."""
    table, membership = model.log.table, model.policy_library.membership(model.log.table)
    rate = model.branches.anchors.mixed_rate(membership) if anchor_rate is None else anchor_rate
    keep = np.ones(len(table), dtype=bool) if of is None else of
    return FittingBranch.fit(
        table[keep].reset_index(drop=True),
        membership[keep],
        rate[keep],
        windows=time_split(table)[keep],
        config=FittingConfig(**options),
        seed=model.config.seed,
        library=model.policy_library,
    )


def _asked(branch: FittingBranch, rows: Prepared, strategy: Strategy) -> Floats:
    return rows.groups.mean(branch.predict(strategy.apply(rows.table), rows.membership, rows.anchor_rate))


def ablations(plan: Plan, case: Case, reasoner: RuleReasoner, seed: int) -> Answers:
    """What anchors, policies, merchant effects, monotone signs and the number of policies contribute."""
    found: Answers = {}
    variants: dict[str, tuple[str, str, dict[str, Any]]] = {
        "one policy": ("R one policy", "anchored, one policy", {"policies": "pooled"}),
        "shuffled": ("R shuffled policies", "anchored, shuffled policies", {"policies": "shuffled"}),
        "no effects": ("R no merchant effects", "anchored, no merchant effects", {"merchant_effects": False}),
    }
    for count in plan.policies:
        fixed = {"mining": MiningConfig(k=count, verify=False)}
        variants[str(count)] = (f"R {count} policies", f"anchored, {count} policies", fixed)
    for key, (alone, fused, options) in variants.items():
        model = fit(case, reasoner, seed, **options)
        found |= _variant(model, case, alone, fused)
        if key == "shuffled":
            found["F shuffled policies"] = _fitted(model, case, model.branches.fitting)
    everyday = fit(case, RuleReasoner(), seed)
    found |= _variant(everyday, case, "R everyday", EVERYDAY)
    # The fitting branch knows no reasoner, so the model of the everyday one serves for its variants.
    for name, changed in _FITTED_OTHERWISE.items():
        found[name] = _fitted(everyday, case, _fitting_of(everyday, **changed))
    found[T_LEARNER] = _two_learners(everyday, case)
    believing = fit(case, reasoner, seed)
    return found | _reasoned_otherwise(believing, case) | {SCORE_AS_FEATURE: _score_as_feature(believing, case)}


def _reasoned_otherwise(model: PGHS, case: Case) -> Answers:
    """The reasoner with policies alone, with the mean order rate alone, and with anchors but believed in full."""
    rows, trained = model.branches.prepare(case.scored), model.branches.prepare(_learned_on(model))
    library, reasoner, anchors = model.policy_library, model.branches.reasoner, model.branches.anchors
    shift = _shift_to(ordered(trained.table).mean(), reasoner.score(trained.table, library, LOGGED).mean(axis=1))
    found: Answers = {PERSONA: {}, FEW_SHOT: {}, BELIEVED: {}, f"anchored, {BELIEVED[2:]}": {}}
    believed = replace(model.branches, anchors=replace(anchors, sensitivity=np.ones_like(anchors.sensitivity)))
    logged = believed.answer(rows, replicated=False)
    for name, strategy in SCENARIOS.items():
        scores = reasoner.score(rows.table, library, strategy)
        found[PERSONA][name] = rows.groups.mean((rows.membership * expit(scores)).sum(axis=1))
        found[FEW_SHOT][name] = rows.groups.mean(expit(scores.mean(axis=1) + shift))
        answered = believed.answer(rows, strategy, replicated=False)
        found[BELIEVED][name] = answered.reasoning
        found[f"anchored, {BELIEVED[2:]}"][name] = _anchored(model, rows, answered, logged)
    return found


def _shift_to(rate: float, logits: Floats) -> float:
    """Logits to add so that the mean rate is ``rate``."""
    return float(brentq(lambda shift: expit(logits + shift).mean() - rate, -20, 20))


def _learned_on(model: PGHS) -> pd.DataFrame:
    table = model.log.table
    return table[time_split(table) != TEST].reset_index(drop=True)


def _two_learners(model: PGHS, case: Case) -> dict[str, Floats]:
    """One fit on rows of deeper discounts than the median and one on the others; a page is answered by its side.

    What nobody has shown, a badge, has no learner of its own: those rows are the others'.
    """
    shown = model.log.table["discount"].to_numpy()
    bound, rows = float(np.median(shown)), model.branches.prepare(case.scored)
    deep, others = (_fitting_of(model, of=side) for side in (shown > bound, shown <= bound))
    found = {}
    for name, strategy in SCENARIOS.items():
        after = strategy.apply(rows.table)
        sides = [side.predict(after, rows.membership, rows.anchor_rate) for side in (deep, others)]
        found[name] = rows.groups.mean(np.where(after["discount"].to_numpy() > bound, *sides))
    return found


def _score_as_feature(model: PGHS, case: Case) -> dict[str, Floats]:
    """The fitting branch reads what the guided reasoner says of each page, in place of the policies' order rate."""
    table, rows = model.log.table, model.branches.prepare(case.scored)
    library, reasoner, anchors = model.policy_library, model.branches.reasoner, model.branches.anchors

    def said(of: pd.DataFrame, strategy: Strategy) -> Floats:
        return anchors.predict(library.membership(of), reasoner.score(of, library, strategy))

    branch = _fitting_of(model, anchor_rate=said(table, LOGGED))
    return {
        name: rows.groups.mean(branch.predict(strategy.apply(rows.table), rows.membership, said(rows.table, strategy)))
        for name, strategy in SCENARIOS.items()
    }


def _variant(model: PGHS, case: Case, alone: str, fused: str) -> Answers:
    rows = model.branches.prepare(case.scored)
    logged = model.branches.answer(rows, replicated=False)
    answered = {name: model.branches.answer(rows, strategy, replicated=False) for name, strategy in SCENARIOS.items()}
    return {
        alone: {name: item.reasoning for name, item in answered.items()},
        fused: {name: _anchored(model, rows, item, logged) for name, item in answered.items()},
    }


def _fitted(model: PGHS, case: Case, branch: FittingBranch) -> dict[str, Floats]:
    rows = model.branches.prepare(case.scored)
    return {name: _asked(branch, rows, strategy) for name, strategy in SCENARIOS.items()}
