"""Gymnasium environments for agents that act on partial information; importing this package registers them."""

from __future__ import annotations

import gymnasium

_ENTRY_POINTS = {
    "TrustSQL-v0": "fogline.envs.trust_sql.env:TrustSQLEnv",
    "SiloBench-v0": "fogline.envs.silo_bench.central:SiloBenchEnv",
    "SalesDialogue-v0": "fogline.envs.sales_dialogue.env:SalesDialogueEnv",
    "MerchantStrategy-v0": "fogline.envs.merchant_strategy.env:MerchantStrategyEnv",
    "MathReasoning-v0": "fogline.envs.math_reasoning.env:MathReasoningEnv",
    "VisualTable-v0": "fogline.envs.visual_table.env:VisualTableEnv",
    "ObjectPresence-v0": "fogline.envs.object_presence.env:ObjectPresenceEnv",
}

_VECTOR_ENTRY_POINTS = {
    "MerchantStrategy-v0": "fogline.envs.merchant_strategy.vector:MerchantStrategyVectorEnv",
}

for _env_id, _entry_point in _ENTRY_POINTS.items():
    # The environments refuse a step before reset themselves, and their spaces are held by the conformance
    # tests: Gymnasium's wrappers would only add their cost to each step.
    if _env_id not in gymnasium.registry:
        gymnasium.register(
            _env_id,
            _entry_point,
            order_enforce=False,
            disable_env_checker=True,
            vector_entry_point=_VECTOR_ENTRY_POINTS.get(_env_id),
        )

ENV_IDS: tuple[str, ...] = tuple(_ENTRY_POINTS)
"""Every environment id that fogline registers."""
