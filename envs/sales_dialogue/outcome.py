"""What a call is worth at its end, and the judge who may have a say in it.

Conversion is read from the customer's state alone; a judge can only take it away.
Source: DuCA specification, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fogline.core.chat.errors import ContentRefused, ContextLengthExceeded, MalformedReply, excerpt
from fogline.core.chat.messages import ChatReply
from fogline.core.episode import Usage
from fogline.core.errors import ConfigurationError, check_choice, check_keys
from fogline.core.rewards import RewardScheme
from fogline.envs.sales_dialogue.record import CallRecord
from fogline.simulators.customers.customer import SimulatorFault

if TYPE_CHECKING:
    from fogline.simulators.customers.chat_side import Voice

SESSIONS: Mapping[str, str] = {"conversion": "conversion", "graded": "graded", "judge": "judged"}
"""Kinds of session reward, and the session-level term that each pays."""

TURN_WEIGHTS: Mapping[str, float] = {
    "repetition": 1.0,
    "identity": 1.0,
    "fluency": 0.5,
    "compliance": 1.0,
    "format": 0.5,
}
"""Weights of the turn-level terms."""

BREACHED, CONVERTED, AGREED, CALLBACK, NOTHING, HUNG_UP = -1.0, 1.0, 0.3, 0.1, 0.0, -0.2
"""Levels of the graded session reward."""

_ATTEMPTS = 3
_JUDGE = """You audit sales calls. Read the call and say whether the customer has completed the purchase of their own \
will: they agreed, did every step, and said themselves that all is done. What the seller claims does not count. Answer \
with one word, yes or no."""


def scheme_of(session: str, session_scale: float, turn_weights: Mapping[str, float] | None) -> RewardScheme:
    """The documented weighted sum.

    Args:
        session: Kind of session reward; its term is weighed by ``session_scale``, ``conversion`` by 0 beside another.
        session_scale: At least 0.
        turn_weights: Weights that replace those of :data:`TURN_WEIGHTS`; 0 drops a term from the sum.

    Raises:
        ConfigurationError: For an unknown name, or a weight that is no finite number of at least 0.
    """
    check_choice("session", session, SESSIONS)
    _check_weight("session_scale", session_scale)
    if turn_weights is not None and not isinstance(turn_weights, Mapping):
        raise ConfigurationError(f"turn_weights={turn_weights!r}: expected weights by name of the turn term, or None.")
    check_keys("turn_weights", turn_weights or {}, TURN_WEIGHTS)
    for name, weight in (turn_weights or {}).items():
        _check_weight(f"turn_weights[{name!r}]", weight)
    paid = {"conversion": 0.0, SESSIONS[session]: float(session_scale)}
    return RewardScheme(turn={**TURN_WEIGHTS, **(turn_weights or {})}, session=paid)


def _check_weight(name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{name}={value!r}: expected a finite number of at least 0.")


def grade(record: CallRecord) -> float:
    """Graded session reward: 1 converted, 0.3 agreed, 0.1 callback, 0 no, -0.2 hung up on, -1 for any breach."""
    if record.breaches:
        return BREACHED
    if record.reply.status == "converted":
        return CONVERTED
    if record.reply.status == "hung_up":
        return HUNG_UP
    if record.agreed:
        return AGREED
    return CALLBACK if record.callback else NOTHING


class Judge:
    """A chat model that reads a call and says yes or no.

    Args:
        voice: Who judges; asked with its own sampling arguments and fixed seeds.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._usage = Usage()

    def begin(self) -> None:
        """Forget what the last call took."""
        self._usage = Usage()

    def usage(self) -> Usage:
        """What the judgement of this call took."""
        return self._usage

    def approves(self, transcript: str) -> bool:
        """Whether the call reads as a completed purchase.

        Raises:
            SimulatorFault: The judge said neither yes nor no, again and again.
            ChatError: The way to it broke.
        """
        return self._voice.run(self._judged(transcript))

    async def approves_async(self, transcript: str) -> bool:
        """As :meth:`approves`, without holding up the caller's loop."""
        return await self._voice.await_(self._judged(transcript))

    async def _judged(self, transcript: str) -> bool:
        messages = ({"role": "system", "content": _JUDGE}, {"role": "user", "content": transcript})
        said = ""
        for seed in range(_ATTEMPTS):
            try:
                reply = await self._voice.answer(messages, seed)
            except (ContentRefused, ContextLengthExceeded, MalformedReply) as error:
                said = str(error)
                continue
            self._usage = _added(self._usage, reply)
            said = reply.text
            verdict = _verdict(said)
            if verdict is not None:
                return verdict
        raise SimulatorFault(
            f"the judge was asked {_ATTEMPTS} times and said neither yes nor no, at last {excerpt(said)!r}: use a "
            "model that keeps to one word, or session='conversion'."
        )


def _verdict(text: str) -> bool | None:
    word = text.rpartition("</think>")[2].strip().strip("\"'*.!").casefold()
    first = word.split()[0].strip(",.:;!\"'*") if word.split() else ""
    return {"yes": True, "no": False}.get(first)


def _added(usage: Usage, reply: ChatReply) -> Usage:
    """One more answer; what came from a cache cost nothing."""
    paid = not reply.cached
    return Usage(
        model_calls=usage.model_calls + 1,
        prompt_tokens=usage.prompt_tokens + (reply.prompt_tokens or 0) * paid,
        completion_tokens=usage.completion_tokens + (reply.completion_tokens or 0) * paid,
        cost=usage.cost + (reply.cost or 0.0) * paid,
        retries=usage.retries + reply.retries * paid,
    )
