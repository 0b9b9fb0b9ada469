"""What can be done in a sales call: the seller's acts, the customer's, the stages and what customers bring up.

Source: DuCA specification, sections 4 (acts, stages) and 5.1 (the 14 behaviours).
"""

from __future__ import annotations

SELLER_ACTS: tuple[str, ...] = (
    "greet",
    "verify_identity",
    "probe_need",
    "pitch",
    "give_fact",
    "handle_objection",
    "empathise",
    "social_proof",
    "offer_incentive",
    "ask_close",
    "guide_step",
    "confirm",
    "disclose_ai",
    "goodbye",
)
"""In the order of the act-mode action space."""

OTHER = "other"
"""What a seller's text is read as where no act is recognised."""

CUSTOMER_ACTS: tuple[str, ...] = (
    "answer_call",
    "answer",
    "interest",
    "neutral",
    "object",
    "complain",
    "refuse",
    "do_not_call",
    "ask_is_ai",
    "accuse_ai",
    "agree",
    "step_done",
    "not_done",
    "complete",
    "callback",
    "hang_up",
)
"""Public acts. Whether a reported step was really taken is not among them: the customer may err or lie."""

TOPICS: tuple[str, ...] = (
    "identity",
    "trust",
    "cost",
    "rules",
    "suitability",
    "information",
    "operation",
    "comprehension",
    "comparison",
    "testing",
    "history",
    "boundary",
    "progress",
    "detail",
)
"""The 14 behaviours of the specification; each is raised as a question or an objection until it is resolved."""

STAGES: tuple[str, ...] = ("identity", "interest", "steps", "confirm")
"""Identity check, spark interest, guide the operation step by step, confirm and end."""
