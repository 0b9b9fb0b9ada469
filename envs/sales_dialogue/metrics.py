"""What is reported of a call at its end: public facts only. Strata by persona are made afterwards, from the task.

Source: DuCA specification, section 9.
"""

from __future__ import annotations

from typing import Any

from fogline.envs.sales_dialogue.record import CallRecord
from fogline.envs.sales_dialogue.rewards import SellerHistory


def call_metrics(record: CallRecord, history: SellerHistory) -> dict[str, Any]:
    """The metrics of one call.

    Args:
        record: The call.
        history: What the seller said in it.

    Returns:
        ``converted``; ``agreed`` (a yes, which is no conversion); ``hung_up`` by the customer; ``refused`` at least
        once; ``callback``; ``turns``; ``turns_to_conversion`` (None without one); ``repetition``,
        ``mean_max_similarity``, ``exact_duplicate_rate`` and ``distinct_2`` of
        :meth:`~fogline.envs.sales_dialogue.rewards.SellerHistory.repetition`; ``detected`` by the customer and
        ``revealed`` by the seller; ``false_close`` (the seller claimed success and hung up without conversion);
        ``breached`` and ``breaches`` by rule; ``fluency``, ``compliance`` and ``identity``, the mean terms of a turn,
        and ``repetition_term``; ``malformed`` turns.
    """
    status = record.reply.status
    converted = status == "converted"
    turns = record.turn
    sums = record.sums
    return {
        "converted": converted,
        "agreed": record.agreed,
        "hung_up": status == "hung_up",
        "refused": record.refusals > 0,
        "callback": record.callback,
        "turns": turns,
        "turns_to_conversion": turns if converted else None,
        **history.repetition(),
        "detected": record.detected > 0,
        "revealed": record.revealed,
        "false_close": record.said_goodbye and record.claimed and not converted,
        "breached": bool(record.breaches),
        "breaches": record.breaches.copy(),
        "repetition_term": sums["repetition"] / turns,
        "fluency": sums["fluency"] / turns,
        "compliance": sums["compliance"] / turns,
        "identity": sums["identity"] / turns,
        "malformed": record.malformed,
        "domain": record.card.domain,
    }
