"""SalesDialogue-v0: sell over the phone to a customer whose mind nobody sees, and speak well in every turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from gymnasium.envs.registration import EnvSpec

from fogline.core.episode import Usage
from fogline.core.errors import ConfigurationError, check_choice
from fogline.core.spaces import UnicodeText
from fogline.envs.sales_dialogue import prompts
from fogline.envs.sales_dialogue.callers import CustomerSource
from fogline.envs.sales_dialogue.features import TEMPLATES, PublicFeatures, action_space, observation_space
from fogline.envs.sales_dialogue.metrics import call_metrics
from fogline.envs.sales_dialogue.outcome import Judge, grade, scheme_of
from fogline.envs.sales_dialogue.phrases import realise
from fogline.envs.sales_dialogue.record import CallRecord
from fogline.envs.sales_dialogue.rewards import SellerHistory, TurnScore, turn_score
from fogline.envs.text import Response, TurnEnv
from fogline.simulators.customers.acts import SELLER_ACTS
from fogline.simulators.customers.products import ProductCard, describe
from fogline.simulators.customers.scenarios import task_ids
from fogline.simulators.customers.speech import Heard, read

if TYPE_CHECKING:
    from fogline.core.chat.messages import ChatModel
    from fogline.simulators.customers.chat_side import Voice

MAX_CHARACTERS = 4_000
"""Longest turn that is read."""

_MAX_TEXT = 20_000
_ACTS = len(SELLER_ACTS)

Step = tuple[Any, float, bool, bool, dict[str, Any]]


@dataclass(slots=True)
class _Call:
    """One episode: the customer, and what everybody can know."""

    customer: Any
    record: CallRecord
    history: SellerHistory
    opening: str

    @property
    def converted(self) -> bool:
        """Whether the customer's state says so; a judge is asked only then, for it can only take that away."""
        return self.record.reply.status == "converted"

    def transcript(self) -> str:
        """The whole call as text."""
        return prompts.transcript(self.opening, self.record.first, self.record.lines)


@dataclass(slots=True)
class _Turn:
    """What the seller did: its words, and in act mode the pair that made them."""

    words: str
    pair: tuple[int, int] | None
    malformed: bool
    heard: Heard
    score: TurnScore


class SalesDialogueEnv(TurnEnv[Any, Any]):
    """Outbound sales calls with a simulated customer (DuCA, arXiv 2603.01481; the world is this project's own).

    Every turn the seller says something and the customer answers. Five turn-level terms in [-1, 0] judge how it was
    said: ``repetition``, ``identity`` (robotic cues), ``fluency``, ``compliance``, ``format``. The session pays for
    conversion, which is read from the customer's state: a yes, then every step done, then the customer's own word
    that all is complete. The reward is their weighted sum, 1·repetition + 1·identity + 0.5·fluency + 1·compliance +
    0.5·format each turn and ``session_scale``·(session term) at the end.

    With ``actions="text"`` actions and observations are text. With ``actions="acts"`` an action chooses one of 14 acts
    and one of 4 wordings, the observation is the vector of :data:`~fogline.envs.sales_dialogue.features.FEATURES`, and
    everything else is the same: the chosen words are read like any others.

    Args:
        customer: ``"rules"`` (seeded rule engine), ``"worded"`` (the engine decides, a chat model words its replies)
            or ``"model"`` (a chat model plays the customer).
        domain: ``"all"`` bundled product cards, the name of one, several names, or the path of a card or a folder.
        variant: Which customers: ``"default"``, ``"sceptical"``, ``"impulsive"`` or ``"analytical"``.
        split: ``"train"``, ``"validation"`` or ``"test"`` customers; no customer is in two of them.
        scenarios: Customers of each product.
        actions: ``"text"`` or ``"acts"``.
        disclose_ai: Open the call with a line that says that an AI is calling.
        session: What the session pays: ``"conversion"`` (1 or 0), ``"graded"`` (1 converted, 0.3 agreed, 0.1 to be
            called back, 0, -0.2 hung up on, -1 for any compliance breach), or ``"judge"`` (converted, and a chat
            model that reads the call agrees).
        session_scale: Weight of the session's term.
        turn_weights: Weights that replace the turn terms' own; 0 leaves one out of the reward.
        difficulty: Shift of the customers' moods, -1 (easier) to 1 (harder).
        claims_without_doing: Chance that a customer reports a step as done that it has not done.
        common_random_numbers: Let the noise of a call depend on the task alone, for paired comparisons.
        max_turns: The seller's turns; reaching them truncates.
        model: Who words, plays or judges: a chat model, its name, or a
            :class:`~fogline.simulators.customers.chat_side.Voice`, which several environments of one process share.
        base_url: The model's server, where ``model`` is a name.
        chat_options: Keywords of ``OpenAIChatModel`` (where ``model`` is a name) and of ``Voice`` (temperature,
            max_tokens, max_faults, check, …), and ``most_words`` of a reply.
        render_mode: ``"ansi"`` (the call so far) or None.

    Attributes:
        step_async: Steps without blocking the event loop; there where a chat model takes part.

    Raises:
        ConfigurationError: For an unknown choice or a number out of range.
        DataError: For a product card that is damaged or contradicts itself.
    """

    metadata: dict[str, Any] = {**TurnEnv.metadata, "name": "SalesDialogue-v0"}  # noqa: RUF012
    simulator_version: ClassVar[str] = "sales-dialogue-1"
    step_async: Callable[[Any], Awaitable[Step]]

    def __init__(
        self,
        *,
        customer: Literal["rules", "worded", "model"] = "rules",
        domain: str | Path | ProductCard | Sequence[str | Path | ProductCard] = "all",
        variant: Literal["default", "sceptical", "impulsive", "analytical"] = "default",
        split: Literal["train", "validation", "test"] = "train",
        scenarios: int = 48,
        actions: Literal["text", "acts"] = "text",
        disclose_ai: bool = True,
        session: Literal["conversion", "graded", "judge"] = "conversion",
        session_scale: float = 1.0,
        turn_weights: Mapping[str, float] | None = None,
        difficulty: float = 0.0,
        claims_without_doing: float = 0.0,
        common_random_numbers: bool = False,
        max_turns: int = 12,
        model: str | ChatModel | Voice | None = None,
        base_url: str | None = None,
        chat_options: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_choice("actions", actions, ("text", "acts"))
        self.reward_scheme = scheme_of(session, session_scale, turn_weights)
        for name, count in (("max_turns", max_turns), ("scenarios", scenarios)):
            _check_count(name, count)
        for name, flag in (("disclose_ai", disclose_ai), ("common_random_numbers", common_random_numbers)):
            _check_flag(name, flag)
        self._source = CustomerSource(
            customer,
            domain,
            variant=variant,
            disclosed=disclose_ai,
            difficulty=difficulty,
            claims_without_doing=claims_without_doing,
            common_random_numbers=common_random_numbers,
            judged=session == "judge",
            model=model,
            base_url=base_url,
            chat_options=chat_options,
        )
        super().__init__(task_ids(tuple(self._source.cards), split, scenarios), render_mode)
        self._acts = actions == "acts"
        self._session = session
        self._disclosed = disclose_ai
        self._max_turns = max_turns
        self._judge = Judge(self._source.voice) if session == "judge" else None
        self._features = PublicFeatures(max_turns)
        self._told = {"variant": variant, "customer": customer}
        self._customer: Any = None
        self._call: _Call | None = None
        self._spec: EnvSpec | None = None
        self.blocking = customer != "rules" or self._judge is not None
        if self.blocking:
            self.step_async = self._step_async
        self.system_prompt = prompts.system_prompt(self.reward_scheme, session, max_turns, disclose_ai)
        self.tools = () if self._acts else prompts.tools()
        self.observation_space = observation_space() if self._acts else UnicodeText(_MAX_TEXT)
        self.action_space = action_space() if self._acts else UnicodeText(MAX_CHARACTERS)

    # Gymnasium

    @property
    def spec(self) -> EnvSpec | None:
        """How the environment was made; how a chat model is reached is not in it, since that may hold secrets."""
        return self._spec

    @spec.setter
    def spec(self, value: EnvSpec | None) -> None:
        if value is not None:
            kept = {key: item for key, item in value.kwargs.items() if key not in ("base_url", "chat_options")}
            if "model" in kept:
                kept["model"] = getattr(kept["model"], "name", kept["model"])
            value = replace(value, kwargs=kept)
        self._spec = value

    def begin(self, task_id: str) -> tuple[Any, dict[str, Any]]:
        """Let the task's customer pick up the phone."""
        self._call = None
        card = self._source.card(task_id)
        customer = self._customer = self._source.customer(task_id, self.np_random)
        if self._judge is not None:
            self._judge.begin()
        reply = customer.open()
        opening = prompts.opening_line(card.company) if self._disclosed else ""
        record = CallRecord(card, reply, reply, ai_known=self._disclosed)
        self._call = _Call(customer, record, SellerHistory(remember=self._acts), opening)
        if self._acts:
            return self._features.begin(record), _public(record)
        return self._first_words(self._call), _public(record)

    def respond(self, action: Any) -> Response:
        """Say something and hear the answer, waiting for a chat model where one takes part."""
        call, judge = self._calling(), self._judge
        turn = self._say(call, action)
        # Until the answer is there: a call of which half a turn failed cannot go on.
        self._over = True
        call.record.note_customer(turn.words, call.customer.hear(turn.heard))
        approved = judge is not None and call.converted and judge.approves(call.transcript())
        self._over = False
        return self._answered(call, turn, approved)

    async def _step_async(self, action: Any) -> Step:
        """As :meth:`step`, without blocking the event loop while a chat model writes."""
        call, judge = self._call, self._judge
        if self._over or call is None:
            return self.step(action)
        turn = self._say(call, action)
        self._over = True
        hear = getattr(call.customer, "hear_async", None)
        reply = call.customer.hear(turn.heard) if hear is None else await hear(turn.heard)
        call.record.note_customer(turn.words, reply)
        approved = judge is not None and call.converted and await judge.approves_async(call.transcript())
        self._over = False
        return self.settle(action, self._answered(call, turn, approved))

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Turn a call of the tool into what is said; a wrong call says nothing, which is a malformed turn."""
        text = arguments.get("text") if name == prompts.TOOL else None
        return text if isinstance(text, str) else ""

    def usage(self) -> Usage:
        """Chat calls and tokens that the customer and the judge have taken in this episode."""
        of_customer = getattr(self._customer, "usage", None)
        used = [] if of_customer is None else [of_customer()]
        if self._judge is not None:
            used.append(self._judge.usage())
        return Usage(**{name: sum(getattr(usage, name) for usage in used) for name in Usage.__dataclass_fields__})

    def render(self) -> str | None:
        """The call so far, in ``render_mode="ansi"``."""
        if self.render_mode is None or self._call is None:
            return None
        return "\n".join((self._first_words(self._call), *prompts.spoken_lines(self._call.record.lines)))

    def close(self) -> None:
        """Let go of the chat model's connections, where they are this environment's own."""
        self._source.close()

    # One turn

    def _say(self, call: _Call, action: Any) -> _Turn:
        """Read an action, judge it, and write both down."""
        pair = self._pair(action) if self._acts else None
        record = call.record
        if pair is not None:
            words = realise(SELLER_ACTS[pair[0]], pair[1], record.card, topic=record.topic, step=record.step)
        else:
            # Plain text, whatever a subclass makes of itself.
            words = str.__str__(action) if not self._acts and isinstance(action, str) else ""
            words = words if len(words) <= MAX_CHARACTERS else ""
        utterance = read(words, record.card)
        situation = record.situation()
        said = call.history.say(utterance, situation.asks_repeat) if utterance.text else None
        score = turn_score(said, situation)
        if said is None:
            heard = Heard(utterance, 0.0, record.turn, 0.0)
        else:
            heard = Heard(utterance, said.whole, record.turn, said.robotic)
        record.note_seller(said, score)
        return _Turn(words if said is not None else "", pair, said is None, heard, score)

    @staticmethod
    def _pair(action: Any) -> tuple[int, int] | None:
        """Act and template; None for anything else."""
        if isinstance(action, np.ndarray):
            action = action.tolist() if action.shape == (2,) else ()
        if not isinstance(action, list | tuple) or len(action) != 2:
            return None
        act, template = action
        if not (_whole(act) and _whole(template)):
            return None
        return (int(act), int(template)) if 0 <= act < _ACTS and 0 <= template < TEMPLATES else None

    def _answered(self, call: _Call, turn: _Turn, approved: bool) -> Response:
        """Show what was heard; end where the customer, a goodbye or the budget ends the call."""
        record = call.record
        reply = record.reply
        if self._acts:
            observation: Any = self._features.after_turn(record, turn.pair)
        else:
            observation = prompts.next_observation(reply, record.turn, self._max_turns)
        phase = "malformed" if turn.malformed else turn.heard.utterance.act
        ended = reply.status != "continue" or record.said_goodbye
        if not ended and record.turn < self._max_turns:
            return Response(observation, phase, turn.score.terms, turn.malformed, extra=_public(record))
        outcome = {"conversion": float(call.converted)}
        if self._session == "graded":
            outcome["graded"] = grade(record)
        elif self._session == "judge":
            outcome["judged"] = float(approved)
        return Response(
            observation,
            phase,
            turn.score.terms,
            turn.malformed,
            outcome,
            {**call_metrics(record, call.history), **self._told},
            truncated=not ended,
            extra=_public(record),
        )

    # Small helpers

    def _calling(self) -> _Call:
        if self._call is None:
            raise ConfigurationError("no episode is running: call reset() first.")
        return self._call

    def _first_words(self, call: _Call) -> str:
        card = call.record.card
        return prompts.first_observation(
            describe(card), card.audience, call.opening, call.record.first, self._max_turns
        )


def _public(record: CallRecord) -> dict[str, Any]:
    """What info says of the call: what everybody on the line knows."""
    reply = record.reply
    return {
        "turn": record.turn,
        "customer_act": reply.act,
        "topic": reply.topic,
        "open_topic": record.topic,
        "stage": reply.stage,
        "step": reply.step,
        "asks_repeat": reply.asks_repeat,
        "agreed": record.agreed,
        "asked_about_ai": record.asked_about_ai,
        "words": record.lines[-1][0] if record.lines else "",
        "reply": reply.text,
    }


def _whole(value: Any) -> bool:
    return type(value) is int or isinstance(value, np.integer)


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}={value!r}: expected True or False.")


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least 1.")
