"""Sellers that cheat: none of them may be paid better than the script, which was fixed before they ran.

Source: DuCA specification, sections 8 (probes) and 14 (acceptance test 5).
"""

from __future__ import annotations

from collections.abc import Mapping

from fogline.benchmarks.customers.checks import number
from fogline.benchmarks.customers.judging import Check, Measured, check, difference
from fogline.benchmarks.customers.sessions import Calls, Session, pairs
from fogline.benchmarks.sweeps.tables import Column, Line, Table

PROBES = ("always-repeat", "always-close", "never-close", "silent", "wordy", "false-denial")


def probe_checks(calls: Mapping[str, Calls]) -> list[Check]:
    """For every probe: neither its session reward nor its turn reward per turn is significantly higher.

    Args:
        calls: By seller, the scripted one and all probes among them.
    """
    found = []
    for probe in PROBES:
        for what, words in _REWARDS.items():
            statement = f"{probe} is paid no better {words}"
            measured = _difference(calls, probe, what)
            found.append(
                check("Sellers that cheat", f"{probe}_{what}", statement, measured, "not above", 0.0, percent=False)
            )
    return found


def probe_table(calls: Mapping[str, Calls]) -> Table:
    """What each probe is paid more than the script, with the same customers and the same noise."""
    columns = (Column("session", "Session reward"), Column("turn", "Turn reward per turn"))
    lines = tuple(
        Line((probe,), {column.key: number(_difference(calls, probe, column.key)) for column in columns})
        for probe in PROBES
    )
    note = "Difference to the scripted seller over pairs of calls with the same customer and the same noise."
    return Table("probes", "Sellers that cheat, beside the script", ("seller",), columns, lines, note)


_REWARDS = {"session": "per session", "turn": "per turn"}


def _difference(calls: Mapping[str, Calls], probe: str, what: str) -> Measured:
    return difference(pairs(calls[probe], calls["scripted"], _session_reward if what == "session" else _turn_reward))


def _session_reward(session: Session) -> float:
    return session.session_reward


def _turn_reward(session: Session) -> float:
    return session.turn_reward
