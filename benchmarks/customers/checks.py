"""What has to hold of the customer itself: people who never buy, faults, roles, determinism, and the ladder of sellers.

Source: DuCA specification, section 5.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fogline.benchmarks.customers.judging import Check, Measured, check, difference, mean, rate, share
from fogline.benchmarks.customers.observed import MOODS
from fogline.benchmarks.customers.sessions import Calls, Session, pairs
from fogline.benchmarks.customers.talk import CONSENT, RESISTANCE, THIRDS, distinct, share_by_third, slope
from fogline.benchmarks.sales_dialogue import BUYER, NON_BUYER
from fogline.benchmarks.sweeps.tables import Column, Line, Number, Table

SOFTENED = -0.05
"""Resistance of people who never buy may not fall by more than five points over a call."""

SELDOM = 0.01
REPLAYED = 0.05
"""How often, at the most, what should never happen may happen for all that is known."""


def non_buyers(calls: Mapping[str, Calls]) -> list[Check]:
    """They never convert, whoever calls, and do not come round in the course of a call.

    Args:
        calls: By seller, ``"scripted"`` among them. A customer counts once, however many sellers called.
    """
    won: dict[object, bool] = {}
    for seller in calls.values():
        for session in seller:
            if not session.is_buyer:
                won[session.assignment] = won.get(session.assignment, False) or session.converted
    courses = [slope(session.acts) for session in calls["scripted"] if not session.is_buyer]
    section = "People who never buy"
    return [
        check(
            section, "non_buyers_convert", "Who cannot be won never converts, whoever calls", rate(list(won.values())),
            "none", SELDOM, note="a customer counts as converted if any of the sellers has won it",
        ),
        check(
            section, "non_buyers_soften", "Their resistance does not fall in the course of a call",
            mean([course for course in courses if course is not None]), "at least", SOFTENED,
            note="change of the share of objections and refusals from the first answer to the last but one",
        ),
    ]  # fmt: skip


def soundness(calls: Mapping[str, Calls], again: Calls) -> list[Check]:
    """The customer keeps to its part, breaks no call, and does the same twice.

    Args:
        calls: By seller, ``"scripted"`` among them.
        again: Calls of the scripted seller that were played a second time, in another order.
    """
    told = list(calls["scripted"])
    turned, replies = sum(item.inversions for item in told), sum(item.replies for item in told)
    broken = share(sum(seller.faults for seller in calls.values()), sum(seller.planned for seller in calls.values()))
    first = calls["scripted"].sessions
    differ = [
        (first[key].words, first[key].answers) != (session.words, session.answers)
        for key, session in again.sessions.items()
        if key in first
    ]
    section = "Soundness"
    return [
        check(
            section, "role_inversion", "Replies do not speak as the seller", share(turned, replies), "at most", SELDOM,
            note="N counts replies, those included that a chat model was asked to say otherwise",
        ),
        check(section, "simulator_faults", "The simulator does not break calls", broken, "at most", SELDOM),
        check(
            section, "replays_differ", "The same seed gives the same call, word for word", rate(differ), "none",
            REPLAYED, note="calls that differed when they were played again, in another order and interleaving",
        ),
    ]  # fmt: skip


def ladder_check(lower: str, higher: str, gained: Measured, note: str = "") -> Check:
    """Who sells better converts more; ``gained`` is the conversion of the higher seller minus that of the lower one."""
    statement = f"{higher.capitalize()} converts more than {lower}"
    return check("Ladder", f"ladder_{higher}", statement, gained, "above", 0.0, note=note)


def gain(higher: Calls, lower: Calls) -> Measured:
    """Conversion of one seller minus that of another, over pairs of calls with the same customer and noise."""
    return difference(pairs(higher, lower, converted))


def sellers_table(calls: Iterable[Calls]) -> Table:
    """How every seller fared; the rate of faults stands beside conversion."""
    columns = (
        Column("conversion", "Conversion", percent=True),
        Column("faults", "Simulator faults", percent=True),
        Column("session_reward", "Session reward"),
        Column("turn_reward", "Turn reward per turn"),
        Column("repetition", "Repetition", percent=True),
        Column("turns", "Turns"),
    )
    lines = []
    for seller in calls:
        sessions: Sequence[Session] = list(seller)
        repeated = [session.repetition for session in sessions if session.repetition is not None]
        numbers = {
            "conversion": number(conversion(seller)),
            "faults": number(fault_rate(seller)),
            "session_reward": number(mean([session.session_reward for session in sessions])),
            "turn_reward": number(mean([session.turn_reward for session in sessions])),
            "repetition": number(mean(repeated)),
            "turns": number(mean([float(len(session.words)) for session in sessions])),
        }
        lines.append(Line((seller.seller,), numbers))
    note = "Conversion is of the calls that the simulator did not break, with Wilson's interval; the rest are means."
    return Table("sellers", "Sellers", ("seller",), columns, tuple(lines), note)


def course_table(calls: Calls) -> Table:
    """Resistance and consent by third of the call, of buyers and of people who never buy."""
    columns = tuple(
        Column(f"{kind}_{third}", f"{kind.capitalize()}, {third} third", percent=True)
        for kind in ("resistance", "consent")
        for third in THIRDS
    )
    lines = []
    for name in (BUYER, NON_BUYER):
        acts = [session.acts for session in calls if session.is_buyer == (name == BUYER)]
        shares = [*share_by_third(acts, RESISTANCE), *share_by_third(acts, CONSENT)]
        numbers = {column.key: number(mean(values)) for column, values in zip(columns, shares, strict=True)}
        lines.append(Line((name,), numbers))
    note = (
        f"Share of the customer's answers to the scripted seller, mean over calls. Resistance: {_listed(RESISTANCE)}; "
        f"consent: {_listed(CONSENT)}."
    )
    return Table("course", "The course of a call", ("customer",), columns, tuple(lines), note)


def mood_table(calls: Iterable[Calls]) -> Table:
    """What the calls of every seller did to the customers' minds."""
    columns = tuple(Column(name, name.capitalize()) for name in MOODS)
    lines = []
    for seller in calls:
        moved = [session.moved for session in seller if session.moved]
        if moved:
            numbers = {name: number(mean([change[name] for change in moved])) for name in MOODS}
            lines.append(Line((seller.seller,), numbers))
    note = (
        "Mean change of the latent state from the start of a call to its end. Trust goes from 0 to 5, emotion from 0 "
        "to 3, cooperation from 0 to 4, suspicion (that a machine calls) from 0 to 1."
    )
    return Table("moods", "What a call does to a customer", ("seller",), columns, tuple(lines), note)


def variety_table(calls: Calls) -> Table:
    """How varied the customer's words are, within a call and over all of them."""
    columns = (
        Column("distinct_1", "Distinct-1", percent=True),
        Column("distinct_2", "Distinct-2", percent=True),
        Column("different", "Different replies", percent=True),
    )
    by_call = [[answer.text for answer in session.answers] for session in calls]
    everything = [text for texts in by_call for text in texts]

    def shares(texts: Sequence[str]) -> list[float | None]:
        return [distinct(texts, 1), distinct(texts, 2), len(set(texts)) / len(texts) if texts else None]

    within = list(zip(*map(shares, by_call), strict=True)) or [()] * len(columns)
    called = {
        column.key: number(mean([value for value in values if value is not None]))
        for column, values in zip(columns, within, strict=True)
    }
    over = {
        column.key: Number(value, episodes=len(by_call))
        for column, value in zip(columns, shares(everything), strict=True)
    }
    lines = (Line(("within a call",), called), Line(("all calls together",), over))
    note = (
        f"Share of different words, of different pairs of adjacent words, and of different replies, among the "
        f"{len(everything):,} replies to the scripted seller."
    )
    return Table("variety", "How varied the replies are", ("where",), columns, lines, note)


def number(measured: Measured) -> Number:
    """A measured value as a cell of a table."""
    low, high = measured.interval or (None, None)
    return Number(measured.value, low, high, episodes=measured.count)


def conversion(calls: Calls) -> Measured:
    """Share of a seller's valid calls that converted."""
    return rate([session.converted for session in calls])


def fault_rate(calls: Calls) -> Measured:
    """Share of all of a seller's calls that the simulator broke."""
    return share(calls.faults, calls.planned)


def converted(session: Session) -> float:
    """1 for a conversion, else 0."""
    return float(session.converted)


def _listed(acts: frozenset[str]) -> str:
    return ", ".join(sorted(acts)).replace("_", " ")
