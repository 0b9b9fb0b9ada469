"""What goes on in a customer: known to the rules, and to nobody who talks with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fogline.core.errors import ConfigurationError, DataError, check_choice
from fogline.simulators.customers.acts import TOPICS

STYLES: tuple[str, ...] = ("curt", "plain", "chatty")
"""How much a customer says."""

_RANGES: tuple[tuple[str, float, float], ...] = (
    ("cooperation", 0.0, 4.0),
    ("emotion", 0.0, 3.0),
    ("trust", 0.0, 5.0),
    ("suspicion", 0.0, 1.0),
    ("need", 0.0, 1.0),
    ("budget_fit", 0.0, 1.0),
    ("patience", 1, 100),
    ("carelessness", 0.0, 3.0),
    ("age", 0, 120),
)


@dataclass(frozen=True, slots=True, repr=False)
class Start:
    """A customer before the call (DuCA specification, section 5.1). Latent: not to be shown to a seller.

    Attributes:
        cooperation: Willingness to go along, 0 to 4.
        emotion: Mood, 0 (angry) to 3.
        trust: Trust in the caller, 0 to 5.
        suspicion: Belief that a machine is calling, 0 to 1.
        need: How much the product is needed, 0 to 1.
        budget_fit: How well its price fits, 0 to 1.
        patience: Turns of the seller before the customer wants to get off the phone.
        is_buyer: Whether this customer can be won at all.
        wearable: Whether pushy repeats wear this customer down.
        carelessness: Chance of reporting a step that was not done, as a multiple of the average customer's.
        objections: Topics that this customer brings with it, in order, distinct.
        style: One of :data:`STYLES`.
        age: Years.
    """

    cooperation: float
    emotion: float
    trust: float
    suspicion: float
    need: float
    budget_fit: float
    patience: int
    is_buyer: bool
    wearable: bool
    carelessness: float
    objections: tuple[str, ...]
    style: str
    age: int

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise DataError(
                    f"a customer starts with {name}={value}: expected {low} to {high}; correct the persona."
                )
        for topic in self.objections:
            check_choice("objections", topic, TOPICS)
        if len(set(self.objections)) != len(self.objections):
            raise DataError(f"a customer starts with objections={self.objections}: expected each topic once.")
        check_choice("style", self.style, STYLES)

    def __repr__(self) -> str:
        return "Start(latent)"


class Mind:
    """The latent state during a call; only the rules read and write it."""

    __slots__ = (
        "agreed",
        "asked_repeat",
        "budget_fit",
        "closes",
        "complaint",
        "cooperation",
        "do_not_call",
        "done",
        "emotion",
        "facts",
        "greeted",
        "hidden",
        "identified",
        "incentive",
        "is_buyer",
        "machine",
        "need",
        "open",
        "over",
        "patience",
        "pending",
        "pitches",
        "pressed",
        "probes",
        "referred",
        "refused",
        "stale",
        "step",
        "suspicion",
        "told",
        "trust",
        "wearable",
        "worn",
    )

    def __init__(self, start: Start) -> None:
        self.cooperation = float(start.cooperation)
        self.emotion = float(start.emotion)
        self.trust = float(start.trust)
        self.suspicion = float(start.suspicion)
        self.need = start.need
        self.budget_fit = start.budget_fit
        self.patience = start.patience
        self.is_buyer = start.is_buyer
        self.wearable = start.wearable
        self.hidden: list[str] = list(start.objections)
        """Not yet brought up, in order."""
        self.open: dict[str, int] = {}
        """Brought up and unresolved, with age in turns."""
        self.stale = 0
        """How many of the open ones are past their three turns."""
        self.pending = ""
        """What the last reply asked: a topic, ``machine`` or ``complaint``; empty for nothing."""
        self.machine = "unasked"
        """``unasked``, ``asked`` (the question whether a machine calls is open) or ``settled``."""
        self.told = False
        """Knows that an AI calls, so that there is nothing left to ask."""
        self.complaint = False
        self.asked_repeat = False
        self.facts: set[str] = set()
        self.greeted = False
        self.identified = False
        self.probes = 0
        self.pitches = 0
        self.referred = False
        self.incentive = False
        self.worn = 0
        self.closes = 0
        self.pressed = False
        """The last turn of the seller asked for the decision."""
        self.refused = False
        self.do_not_call = False
        self.agreed = False
        self.step = 0
        """Steps reported as done."""
        self.done: set[int] = set()
        """Steps that really are done."""
        self.over = False

    def __repr__(self) -> str:
        return "Mind(latent)"


def mind_of(customer: object) -> Mind:
    """The latent state of a customer whose decisions a rule engine makes.

    For reports that validate the simulator. An environment, an agent or a reward has no business here.

    Raises:
        ConfigurationError: For a customer without one (a model plays it).
    """
    mind = getattr(customer, "_mind", None)
    if not isinstance(mind, Mind):
        raise ConfigurationError(
            f"{type(customer).__name__} has no latent state to read: expected a customer of the rule engine "
            '(customer="rules" or "worded").'
        )
    return mind
