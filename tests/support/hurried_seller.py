"""A seller in a hurry: to the point from the second turn on, so that a call of few turns can end in a purchase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fogline.agents.agent import SeatView
from fogline.envs.sales_dialogue.phrases import N_TEMPLATES, realise
from fogline.simulators.customers.products import bundled_cards

_OPENING = ("greet", "pitch", "give_fact", "ask_close")


class HurriedSeller:
    """Plays SalesDialogue-v0 in text mode with the phrasebook, from what ``info`` shows."""

    name = "hurried"
    batch_size = None

    def act(self, views: Sequence[SeatView]) -> list[str]:
        return [self._turn(view) for view in views]

    def _turn(self, view: SeatView) -> str:
        card = bundled_cards()[view.task_id.partition("/")[0]]
        said: Counter[str] = view.memory.setdefault("said", Counter())
        act = _act(view.info, said, len(card.steps))
        template = said[act] % N_TEMPLATES
        said[act] += 1
        if act == "handle_objection":
            # The first wording of a topic is the card's own answer.
            return realise(act, 0, card, topic=view.info["open_topic"])
        return realise(act, template, card, step=min(view.info["step"], len(card.steps) - 1))


def _act(info: Mapping[str, Any], said: Counter[str], steps: int) -> str:
    if info["agreed"]:
        return "guide_step" if info["step"] < steps else "confirm"
    if info["asked_about_ai"]:
        return "disclose_ai"
    if info["customer_act"] in ("refuse", "do_not_call"):
        return "goodbye"
    if info["open_topic"] and said["greet"]:
        return "handle_objection"
    return next((act for act in _OPENING if not said[act]), "ask_close")
