"""Role inversion: a reply of the customer that speaks as the seller.

Source: DuCA specification, section 5.4 (a known fault of customers that a language model plays). What is looked for is
what only the caller says on a sales call. A customer who asks about a price or repeats an offer is no inversion.
"""

from __future__ import annotations

import re

from fogline.simulators.customers.plain_text import plain

_LABEL = re.compile(r"^\W*(?:seller|caller|agent|salesperson|sales ?(?:man|woman|rep)|assistant)\W*:", re.I | re.M)

_PRODUCT = r"(?:offer|offers|product|products|trial|promotion|deal|membership|subscription)"
_ACTION = r"(?:sign up|try|order|subscribe|enrol|register|book|buy|get started|go ahead|hear more|know more)"

_SAYS: tuple[str, ...] = (
    # Service phrases of the side that wants something from the other.
    r"how (?:can|may|could) i (?:help|assist|serve) you",
    r"(?:anything|something) else i can (?:help|assist|do)",
    r"i am (?:here|happy|glad) to (?:help|assist) you",
    r"thank you for (?:your interest|choosing|considering|your patience|your trust in|picking up)",
    r"i (?:can |completely |fully )?(?:understand|appreciate|hear) (?:your|how you) "
    r"(?:concerns?|worry|worries|hesitation|doubts?|interest|feel)",
    r"i am sorry (?:to hear that|for the inconvenience)",
    # Introductions of somebody who rang.
    r"(?:i am|we are) (?:calling|ringing|phoning|reaching out)(?: you)?(?: today)? (?:from|on behalf|about|because|to)",
    r"(?:this is|my name is|i am) (?:[^ ]+ ){1,6}(?:calling|ringing|phoning|speaking) (?:from|on behalf of)",
    r"i (?:call|ring|am calling|am ringing)(?: you)? on behalf",
    r"i hope i am not (?:calling|ringing|disturbing)",
    r"(?:do you have|is this) a (?:good |short )?(?:moment|minute|time) (?:for|to)",
    # Offers.
    r"(?:i|we) (?:can |could |would like to |will |also )?offer you",
    r"we (?:also |now |currently )?(?:offer|have an offer|have a special)",
    rf"our (?:special |new |latest |current |best |free )?{_PRODUCT} (?:is|are|includes?|gives?|costs?|comes?|offers?)",
    r"(?:special|exclusive|limited time) offer (?:just |only )?for you",
    r"(?:many|most|several|some) of our customers",
    r"i can (?:add|throw in|put you down|book you|reserve)",
    r"my manager (?:lets|allows) me",
    r"you (?:would|will) (?:also )?(?:receive|get) [^?]*(?:for free|extra cost|on top|as a gift|as a welcome gift)",
    r"what you (?:gain|get) from us",
    # Closing and guiding.
    r"(?:i|we) (?:can |will |would like to |could )?(?:sign you up|enrol you|set you up|walk you through|get you)",
    r"(?:shall|should|may) (?:i|we) (?:sign you up|send you|book you|enrol you|activate|walk you through|get you)",
    r"(?:shall|should) we (?:go ahead|proceed|get started|set it up)",
    r"can i put you down",
    r"let me (?:tell you (?:about|more)|explain (?:how|our|the)|introduce|walk you|guide you|send you|offer you)",
    rf"(?:would|do) you (?:like|want) to {_ACTION}",
    r"would you like me to",
    r"are you (?:ready to (?:give|start|sign|order|try|go|proceed)|interested in)",
    r"(?:would you be interested|can i interest you) in",
    rf"[.!?,] {_ACTION} (?:now|today)",
    r"[.!?,] (?:first of all|now|next|finally)(?: ,)? please",
    # What a model says of itself.
    r"as an? (?:ai|language model|assistant|sales \w+|salesperson|seller)",
    r"i am (?:an ai|an artificial intelligence|a language model|an assistant|a machine|the seller|your sales)",
)
_INTRODUCTION = (
    r" (?:i am (?:[^ ]+ ){{0,4}}from|(?:this is|my name is) (?:[^ ]+ ){{0,4}}(?:from|of)|here at|we at|i work for"
    r"|call comes from|works for) {company} | {company} speaking "
)
_ANY = re.compile("|".join(f"(?: {said} )" for said in _SAYS))


def inverted(text: str, company: str = "") -> str:
    """Return the words by which a customer's reply speaks as the seller; empty where it does not.

    Args:
        text: What the customer is said to say.
        company: Who calls: "this is … from COMPANY" and "here at COMPANY" are the caller's words.
    """
    label = _LABEL.search(text)
    if label is not None:
        return label.group().strip()
    # A full stop in front lets a rule ask for the beginning of a sentence.
    words = f" .{plain(text)}"
    found = _ANY.search(words)
    if found is not None:
        return found.group().strip(" .,!?")
    own = re.escape(plain(company).strip())
    named = re.search(_INTRODUCTION.format(company=own), words) if own else None
    return named.group().strip() if named is not None else ""
