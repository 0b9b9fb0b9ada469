"""What SalesDialogue-v0 tells the seller: the rules, the card, the customer's words and how far the call has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.core.rewards import RewardScheme
from fogline.envs.sales_dialogue.outcome import SESSIONS
from fogline.simulators.customers.acts import STAGES
from fogline.simulators.customers.customer import Reply

_RULES = """You sell over the phone. Write what you say next: plain text, 3 to 60 words. You have {turns} turns.

Say nothing that is not on the product card. Find out what the customer needs, answer its objections, ask for the \
order. After a yes, explain the steps one at a time, then confirm. A goodbye ends the call.

{pays}
Each turn can cost: {costs}.

You are an AI{known}. Say so if asked; never deny it."""

_PAYS = {
    "conversion": "You are paid {scale} when the customer has done every step; a yes alone pays nothing.",
    "graded": (
        "You are paid {scale} times 1 when the customer has done every step, 0.3 for a yes alone, 0.1 for a call "
        "back, -0.2 if it hangs up, -1 for a broken rule."
    ),
    "judge": (
        "You are paid {scale} when the customer has done every step and a judge who reads the call agrees; a yes "
        "alone pays nothing."
    ),
}

_COSTS = {
    "repetition": "saying the same again",
    "identity": "sounding like a script",
    "fluency": "broken language or a wrong length",
    "compliance": "a false promise or number, pressing after a no, denying that you are an AI",
    "format": "an empty turn",
}

SILENCE = "(nothing that could be understood)"
"""What transcripts show for a turn that could not be read."""

TOOL = "say"


def system_prompt(scheme: RewardScheme, session: str, max_turns: int, disclose_ai: bool) -> str:
    """The rules. They depend on the configuration only, never on the task."""
    paid = scheme.session[SESSIONS[session]]
    costs = [f"{_COSTS[name]} ({weight:g})" for name, weight in scheme.turn.items() if weight > 0]
    rules = _RULES.format(
        turns=max_turns,
        pays=_PAYS[session].format(scale=f"{paid:g}"),
        costs=", ".join(costs) if costs else "nothing",
        known=", as the customer has been told" if disclose_ai else "",
    )
    return rules


def opening_line(company: str) -> str:
    """What a customer hears before the seller's first turn, where an AI is disclosed; not the seller's own words."""
    return f"This is a call by an AI assistant of {company}."


def first_observation(card: str, audience: str, opening: str, reply: Reply, max_turns: int) -> str:
    """The card, who is called, and the customer's first words."""
    lines = [card, f"You call {audience}."]
    if opening:
        lines.append(f"Opening line: {opening}")
    return "\n".join((*lines, next_observation(reply, 0, max_turns)))


def next_observation(reply: Reply, turn: int, max_turns: int) -> str:
    """The customer's words, and how far the call has come.

    Args:
        reply: What the customer said.
        turn: Turns that the seller has played.
        max_turns: The budget.
    """
    ended = reply.status != "continue" or turn >= max_turns
    where = "the call is over" if ended else f"turn {turn + 1} of {max_turns}"
    return f"Customer: {reply.text}\n[{STAGES[reply.stage]}, {where}]"


def spoken_lines(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Seller's turns and the customer's answers, a line each."""
    return [said for words, answer in lines for said in (f"Seller: {words or SILENCE}", f"Customer: {answer}")]


def transcript(opening: str, first: Reply, lines: Sequence[tuple[str, str]]) -> str:
    """A whole call as text, for somebody who judges it.

    Args:
        opening: The opening line; empty for none.
        first: What the customer said as it picked up the phone.
        lines: Seller's turns and the customer's answers.
    """
    shown = [f"Opening line: {opening}"] if opening else []
    return "\n".join((*shown, f"Customer: {first.text}", *spoken_lines(lines)))


def tools() -> list[Mapping[str, Any]]:
    """The one action as a JSON schema, for agents that call tools."""
    text = {"type": "string", "description": "Your words, 3 to 60."}
    parameters = {"type": "object", "properties": {"text": text}, "required": ["text"]}
    return [
        {
            "type": "function",
            "function": {"name": TOOL, "description": "Say something to the customer.", "parameters": parameters},
        }
    ]
