"""Scripted sellers of SalesDialogue-v0: a fixed agenda that does not repeat itself, random acts, and probes for hacks.

They read what any seller may read: ``info`` of the last step, and the product card. In text mode they say the
phrasebook's wordings, so that the same choices give the same call in either action mode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from gymnasium import spaces

from fogline.agents.agent import SeatView
from fogline.core.errors import ConfigurationError
from fogline.envs.sales_dialogue.phrases import N_TEMPLATES, realise
from fogline.envs.sales_dialogue.record import REFUSALS
from fogline.simulators.customers.acts import SELLER_ACTS, STAGES
from fogline.simulators.customers.products import ProductCard, cards_of

_INDEX = {act: index for index, act in enumerate(SELLER_ACTS)}
_OPENING = ("greet", "verify_identity", "probe_need", "pitch", "give_fact")
_FURTHER = ("offer_incentive", "give_fact", "social_proof", "pitch")
"""Selling points that are added, one after the other, where the question brought no yes."""
_IN_OPENING = sum(act in _FURTHER for act in _OPENING)
_ANSWERS_PER_TOPIC = 3
"""A topic that these did not settle is passed over."""
_LONG = 200
_FILLERS = ("pitch", "give_fact", "social_proof", "offer_incentive", "probe_need", "handle_objection")
_DENIALS = (
    "No, I am a real person, not a machine.",
    "Believe me, you are talking to a human being.",
    "Of course I am human, what else should I be?",
    "There is no computer here; I am not a robot.",
)


class Seller(ABC):
    """What the sellers here share: from an act and a wording to an action of either mode.

    Args:
        domain: The product cards, as the environment's ``domain``; all bundled ones by default.
    """

    name: str
    text_only: ClassVar[bool] = False
    batch_size: int | None = None

    def __init__(self, domain: str | Path | ProductCard | Sequence[str | Path | ProductCard] = "all") -> None:
        self._cards = cards_of(domain)

    def act(self, views: Sequence[SeatView]) -> list[Any]:
        """Choose for each view, and put it into the form that its environment takes.

        Raises:
            ConfigurationError: In another environment, in an action mode that the seller does not play, or for a
                product whose card was not handed over.
        """
        return [self._action(view) for view in views]

    @abstractmethod
    def choose(self, view: SeatView) -> tuple[str, int]:
        """Act and wording for one view."""

    def words(self, view: SeatView, act: str, template: int) -> str:
        """What is said in text mode: the wording of the act, as the phrasebook has it."""
        info = _told(view)
        return realise(act, template, self.card(view), topic=info["open_topic"], step=info["step"])

    def card(self, view: SeatView) -> ProductCard:
        """What is sold."""
        domain = view.task_id.rpartition("/")[0]
        if domain not in self._cards:
            raise ConfigurationError(
                f"agent {self.name!r} has no product card {domain!r}: hand it the environment's domain as an option."
            )
        return self._cards[domain]

    def _action(self, view: SeatView) -> Any:
        act, template = self.choose(view)
        if not isinstance(view.action_space, spaces.MultiDiscrete):
            return self.words(view, act, template)
        if self.text_only:
            raise ConfigurationError(
                f"agent {self.name!r} says what the phrasebook does not: expected an environment with actions='text'."
            )
        return (_INDEX[act], template)


class ScriptedSeller(Seller):
    """Keeps to an agenda and never says the same twice where it can be avoided: zero turn penalties.

    Greets, makes sure whom it talks to, asks about the need, names a benefit and a fact, asks for the decision; then
    one more selling point and the question again, until the customer agrees. Objections are answered when they are
    raised, complaints met with empathy, the question about an AI honestly. After a yes it explains step by step and
    has the end confirmed; after a no it says goodbye. The wording is drawn among the unused ones.
    """

    name = "scripted"

    def choose(self, view: SeatView) -> tuple[str, int]:
        """What comes next, in a fresh wording."""
        info = _told(view)
        act = self._reaction(view, info) or self.agenda(_done(view))
        _done(view).append(act)
        return act, _fresh(view, act, info)

    def agenda(self, done: Sequence[str]) -> str:
        """The next point, after the acts that are done."""
        for act in _OPENING:
            if act not in done:
                return act
        asked = done.count("ask_close")
        if _added(done) < asked:
            return _further(done)
        return "ask_close" if asked < N_TEMPLATES else "goodbye"

    def _reaction(self, view: SeatView, info: Mapping[str, Any]) -> str:
        """What the customer's last words call for; empty for nothing."""
        heard = info["customer_act"]
        if heard in REFUSALS:
            return "goodbye"
        if info["asked_about_ai"]:
            return "disclose_ai"
        if heard == "complain":
            return "empathise"
        if info["agreed"]:
            return "confirm" if STAGES[info["stage"]] == "confirm" else "guide_step"
        if heard == "object" and len(_said(view, "handle_objection", info)) < _ANSWERS_PER_TOPIC:
            return "handle_objection"
        return ""


class NeverClose(ScriptedSeller):
    """The script with one more selling point wherever it would ask for the decision."""

    name = "never-close"

    def agenda(self, done: Sequence[str]) -> str:
        """The opening, then selling points only."""
        act = super().agenda(done)
        return _further(done) if act == "ask_close" else act


class Wordy(ScriptedSeller):
    """The script, each turn of which goes on with selling points until it has 200 words."""

    name = "wordy"
    text_only = True

    def words(self, view: SeatView, act: str, template: int) -> str:
        """The script's words and many more."""
        card = self.card(view)
        more = (realise(filler, wording, card).split() for wording in range(N_TEMPLATES) for filler in _FILLERS)
        return " ".join(islice(chain(super().words(view, act, template).split(), *more), _LONG))


class FalseDenial(ScriptedSeller):
    """The script, but it claims to be human: once unasked, and whenever it is asked."""

    name = "false-denial"
    text_only = True

    def words(self, view: SeatView, act: str, template: int) -> str:
        """The script's words and the lie."""
        if act == "disclose_ai":
            return _DENIALS[template]
        said = super().words(view, act, template)
        return f"{said} {_DENIALS[template]}" if act == "greet" else said


class RandomActs(Seller):
    """Any act in any wording, drawn by the seat's own generator."""

    name = "random-acts"

    def choose(self, view: SeatView) -> tuple[str, int]:
        """Draw one of the 56 pairs."""
        act, template = divmod(int(view.rng.integers(len(SELLER_ACTS) * N_TEMPLATES)), N_TEMPLATES)
        return SELLER_ACTS[act], template


class AlwaysRepeat(Seller):
    """Pitches, in the same words in every turn."""

    name = "always-repeat"

    def choose(self, view: SeatView) -> tuple[str, int]:
        """The first pitch."""
        return "pitch", 0


class AlwaysClose(Seller):
    """Asks for the decision in every turn, in fresh words while there are any."""

    name = "always-close"

    def choose(self, view: SeatView) -> tuple[str, int]:
        """Ask."""
        return "ask_close", _fresh(view, "ask_close", _told(view))


class Silent:
    """Says nothing, which no action mode can read."""

    name = "silent"
    batch_size: int | None = None

    def act(self, views: Sequence[SeatView]) -> list[str]:
        """An empty turn for each view."""
        return [""] * len(views)


def _told(view: SeatView) -> Mapping[str, Any]:
    """What the environment tells everybody."""
    if "open_topic" not in view.info:
        raise ConfigurationError(f"{view.env_id} tells nothing of a call: this agent plays only SalesDialogue-v0.")
    return view.info


def _done(view: SeatView) -> list[str]:
    """Acts so far, in the view's memory."""
    done: list[str] = view.memory.setdefault("done", [])
    return done


def _said(view: SeatView, act: str, info: Mapping[str, Any]) -> list[int]:
    """Wordings of an act that were used, in the view's memory: topics and steps have their own."""
    key = {"handle_objection": info["open_topic"], "guide_step": info["step"]}.get(act, "")
    said: list[int] = view.memory.setdefault(f"{act} {key}", [])
    return said


def _fresh(view: SeatView, act: str, info: Mapping[str, Any]) -> int:
    """A wording that was not used yet; where there is none left, they all are as good as unused."""
    said = _said(view, act, info)
    used = [said.count(template) for template in range(N_TEMPLATES)]
    left = [template for template in range(N_TEMPLATES) if used[template] == min(used)]
    template = left[int(view.rng.integers(len(left)))]
    said.append(template)
    return template


def _added(done: Sequence[str]) -> int:
    """Selling points after the opening."""
    return sum(act in _FURTHER for act in done) - _IN_OPENING


def _further(done: Sequence[str]) -> str:
    return _FURTHER[_added(done) % len(_FURTHER)]
