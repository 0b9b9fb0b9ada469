"""How a concept word is written in identifiers: two disjoint vocabularies with their own abbreviations."""

from __future__ import annotations

from functools import cache

from fogline.simulators.databases.enterprise.domains import DOMAINS, SHARED
from fogline.simulators.databases.enterprise.model import Half

# Words that domains of both halves use. Vocabulary ``a`` writes the word itself, ``b`` its stand-in, so that no
# identifier of one half can be met in the other.
_STAND_INS = """
amount figure, area extent, attendance presence, base homebase, billed invoiced, binding commitment, bonus premium,
book volume, born birth, budget allotment, case dossier, cause trigger, channel route, charge expense, city town,
class bracket, climate weather, condition shape, consumption uptake, contract pact, cost outlay, cover protection,
created formed, credit trust, crew squad, date day, days daycount, deal arrangement, delivered arrived, department
bureau, departure leaving, device gadget, discount reduction, distance length, end finish, equipment gear, fault
defect, fee levy, field acre, finding result, founded setup, fuel propellant, group cluster, headcount heads, hired
engaged, hourly perhour, hours hourcount, house dwelling, household family, inhabitants population, instructor
tutor, invoice billing, kind variety, level tier, licensed permitted, line branchline, minutes mins, months term,
name label, notice notification, number reference, offer bid, opened established, order request, org corporate,
origin provenance, paid settled, parent upper, partner ally, pay wage, plant vegetation, points marks, position
niche, posting ledgerline, power wattage, price pricing, quality goodness, raised lodged, rate percentage, reason
motive, record entry, room chamber, run wave, salary remuneration, sale selling, score index, seat place, section
segment, session sitting, signed sealed, site locality, source emitter, staff personnel, stage progress, stars
starcount, start begin, station post, status state, stock inventory, target destined, tariff plan, teaching
instruction, terminal endpoint, test exam, ticket voucher, title heading, total sum, type sort, unit division, usage
utilisation, verdict judgement, worker labourer, worth valuation, yearly annual, code marker, description meaning,
object relation, subject theme, remark comment, updated changed, by user, deleted removed, version revision,
identifier ident, history chronicle, log protocol, document attachment, summary digest, old former, value content,
previous prior, action deed, size magnitude, period timespan, count tally, dictionary guide, catalog inventorylist,
registry directory, note hint, column attribute, set series, lookup decode, active enabled, batch load, recent
latest, team troupe
"""

_DECLARED: dict[Half, str] = {
    "a": "date dt, number no, quantity qty, amount amt, customer cust, account acct, name nm, order ord, product prod, "
    "status sts, description desc, identifier id, code cd, category ctg, department dept, transaction txn, total tot, "
    "price prc, percent pct, address addr, patient pat, employee emp, history hist, document doc, summary smry, "
    "passenger pax, flight flt, student stud, course crs, business biz, value val, city cty, type typ, updated upd",
    "b": "day dy, reference rf, value vl, label lbl, state stt, ident idt, marker mrk, shipment shp, warehouse whs, "
    "subscriber sbs, policy plcy, insured insd, reservation rsv, machine mch, factory fct, division dvsn, sum sm, "
    "pricing prcg, figure fgr, percentage pctg, town twn, revision rv, tally tly, comment cmt, employee empl, "
    "department dpmt, guest gst",
}
_VOWELS = frozenset("aeiou")
_LETTERS = 4
# A short prefix is common English in both halves, so it cannot be told apart; whole words are disjoint by design.
SHARED_IDENTIFIERS = frozenset({"id"})


def _pairs(text: str) -> dict[str, str]:
    return {
        word: other for word, other in (pair.split() for pair in text.replace("\n", " ").split(",") if pair.strip())
    }


@cache
def stand_ins() -> dict[str, str]:
    """The word of vocabulary ``b`` for each word that both halves need."""
    return _pairs(_STAND_INS)


@cache
def _declared(half: Half) -> dict[str, str]:
    return _pairs(_DECLARED[half])


def spelling(word: str, half: Half) -> str:
    """The full spelling of a concept word in a vocabulary, in lower case."""
    return stand_ins().get(word, word) if half == "b" else word


def skeleton(word: str) -> str:
    """First letter and the consonants that follow, without doubles: ``account`` gives ``acnt``."""
    kept = word[0]
    for letter in word[1:]:
        if letter not in _VOWELS and letter != kept[-1]:
            kept += letter
    return kept


def _shorten(word: str, half: Half) -> str:
    declared = _declared(half).get(word)
    if declared:
        return declared
    if len(word) <= _LETTERS:
        return word
    return word[:_LETTERS] if half == "a" else skeleton(word)[: _LETTERS + 1]


@cache
def vocabulary(half: Half) -> frozenset[str]:
    """Every full spelling that identifiers of a half may contain."""
    words: set[str] = set()
    for domain in (*(d for d in DOMAINS.values() if d.half == half), SHARED[half]):
        for entity in domain.entities:
            for form in entity.forms:
                words.update(form)
            for attribute in entity.attributes:
                words.update(attribute.words)
            for reference in entity.references:
                words.update(reference.words)
    words.update(stand_ins())
    return frozenset(spelling(word, half) for word in words)


@cache
def _abbreviations(half: Half) -> frozenset[str]:
    return frozenset(_shorten(word, half) for word in vocabulary(half))


@cache
def _other_tokens(half: Half) -> frozenset[str]:
    other: Half = "b" if half == "a" else "a"
    return vocabulary(other) | (_abbreviations(other) if half == "b" else frozenset())


def abbreviation(word: str, half: Half) -> str:
    """A short spelling: a prefix in vocabulary ``a``, a consonant skeleton in ``b``.

    Where the short form could be met in the other vocabulary, the full spelling is kept.
    """
    full = spelling(word, half)
    short = _shorten(full, half)
    return full if short in _other_tokens(half) else short


def tokens(half: Half) -> frozenset[str]:
    """Every spelling, full or short, that identifiers of a half may be made of."""
    reverse = {stand_in: word for word, stand_in in stand_ins().items()} if half == "b" else {}
    return vocabulary(half) | {abbreviation(reverse.get(word, word), half) for word in vocabulary(half)}
