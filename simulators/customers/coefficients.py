"""What the rules weigh: every number of the customer's dynamics, checked and documented.

Source: DuCA specification, section 5.2. All its starting values are kept but two, which it asks to calibrate until
random acts convert at most 5 %, a scripted seller 20-30 % and the best-known policy 45-60 %:

- ``agree_bias``, 0 in the specification, is 3.2. At 0 the scripted seller converts 15 % and the best way found 28 %:
  the trust and cooperation that the formula asks for cannot be earned within 12 turns that hold the objections and the
  steps as well. The slopes are the specification's, so what earns a yes is the same.
- ``hang_up_bias``, -4 in the specification, is -5.5. At -4 a customer without any reason hangs up in 1.8 % of the
  turns, which ends one in five calls of 12 turns whatever the seller does; with both at their starting values the two
  sellers convert 12 % and 26 %.

What the specification leaves open (the attributes without a symbol below) was set by the same targets; ``worn`` and
``give_in`` so that two repeats of a pitch in place of two fresh ones raise conversion by some 1 to 3 points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from fogline.core.errors import ConfigurationError

_LOGITS = ("agree_bias", "hang_up_bias", "voice_bias", "believe_bias")
_CHANCES = (
    "object_again",
    "object_first",
    "bring_up",
    "pleased",
    "alone",
    "complete_alone",
    "hold_out",
    "rebuff",
    "give_in",
)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Weights of the dynamics; symbols in brackets are the specification's.

    Effects are in the unit of the state that they move: cooperation 0-4, trust 0-5, emotion 0-3, suspicion 0-1.
    All effects and slopes are magnitudes, at least 0; the rules know their sign. Only ``*_bias`` are signed logits.

    Attributes:
        resolved: [a1] Cooperation for resolving an objection that is open.
        new_fact: [a2] Cooperation, times need, for a new relevant fact or benefit.
        probe_answered: [a3] Cooperation for a first question about the need.
        early_close: [b1] Cooperation lost by asking for the decision at trust < 3 or while an objection is open.
        heard_before: [b2] Cooperation lost per unit of overlap above 0.5.
        wall_of_text: [b3] Cooperation lost by a turn of more than 60 words.
        true_fact: [c1] Trust for a specific fact of the card that is new; half for the first reference.
        identity: [c2] Trust for explaining who calls, once (a greeting gives half of it).
        doubt: [c3] Trust lost per turn and unit of suspicion.
        breach: [c4] Trust lost by a claim that breaks a compliance rule.
        dodge: [c5] Trust lost by passing over a question.
        empathy: [e1] Emotion for empathy after a complaint.
        pressure: [e2] Emotion lost by pressure.
        tedium: [e3] Emotion lost per unit of overlap above 0.5.
        impatience: [e4] Emotion lost per turn after patience is over.
        echo: [s1] Suspicion per unit of overlap above 0.5.
        robotic: [s2] Suspicion per unit of robotic cues.
        evasion: [s3] Suspicion from passing over a question.
        specific: [s4] Suspicion removed by a specific answer that is to the point.
        agree_bias: Logit of acceptance at the reference state (0 in the specification).
        agree_cooperation: Slope of acceptance in cooperation - 3.
        agree_trust: Slope in trust - 3.
        agree_fit: Slope in need times budget fit - 0.5.
        agree_open: Logit lost per open objection.
        worn: Logit gained per pushy repeat by customers who can be worn down: the path left open on purpose.
        worn_limit: Repeats after which more of them change nothing.
        give_in: Share of their willingness with which those agree to a repeated pitch, before they are asked.
        commitment: Logit that a customer who has agreed adds to doing each step, and to completing.
        hang_up_bias: Logit of hanging up on a turn without a reason (-4 in the specification).
        hang_up_reluctant: Logit added at cooperation <= 1.
        hang_up_upset: Logit added at emotion 0.
        hang_up_overtime: Logit added per turn after patience is over.
        hang_up_suspicion: Logit added per unit of suspicion.
        hang_up_stale: Logit added per objection that has gone unresolved for its three turns.
        hang_up_committed: Logit taken off once the customer has agreed.
        voice_bias: Logit of saying that the caller seems to be a machine, at suspicion 0.
        voice_suspicion: Slope of that in suspicion.
        believe_bias: Logit of being satisfied by an answer at trust 2.
        believe_trust: Slope of that in trust - 2.
        believe_again: Logit lost where the answer was heard before.
        believe_act: Logit gained where an answer comes with the act that suits the topic.
        object_again: Chance per turn of insisting on an objection that is open.
        object_first: Chance of voicing what is on the mind when asked for the decision, instead of deciding.
        bring_up: Scale in 0 to 1 of the chance to bring up a topic after any other act.
        pleased: Chance that a customer who will never buy sounds interested.
        alone: Chance of going on with the steps without being guided.
        complete_alone: Chance of completing without being asked to confirm, once the last step is done.
        hold_out: Chance of a refusal where a customer who will never buy is asked for the decision.
        rebuff: Chance of a refusal, per earlier request, where a buyer does not agree.
    """

    resolved: float = 0.8
    new_fact: float = 0.4
    probe_answered: float = 0.3
    early_close: float = 0.6
    heard_before: float = 0.8
    wall_of_text: float = 0.2
    true_fact: float = 0.3
    identity: float = 0.4
    doubt: float = 0.3
    breach: float = 0.8
    dodge: float = 0.4
    empathy: float = 0.5
    pressure: float = 0.5
    tedium: float = 0.5
    impatience: float = 0.3
    echo: float = 0.25
    robotic: float = 0.25
    evasion: float = 0.15
    specific: float = 0.10
    agree_bias: float = 3.2
    agree_cooperation: float = 1.2
    agree_trust: float = 0.8
    agree_fit: float = 1.0
    agree_open: float = 1.5
    worn: float = 1.5
    worn_limit: int = 2
    give_in: float = 0.6
    commitment: float = 3.0
    hang_up_bias: float = -5.5
    hang_up_reluctant: float = 1.2
    hang_up_upset: float = 1.5
    hang_up_overtime: float = 0.8
    hang_up_suspicion: float = 1.0
    hang_up_stale: float = 0.8
    hang_up_committed: float = 1.5
    voice_bias: float = -4.5
    voice_suspicion: float = 6.0
    believe_bias: float = 0.8
    believe_trust: float = 0.4
    believe_again: float = 1.5
    believe_act: float = 1.0
    object_again: float = 0.75
    object_first: float = 0.75
    bring_up: float = 1.0
    pleased: float = 0.3
    alone: float = 0.5
    complete_alone: float = 0.5
    hold_out: float = 0.5
    rebuff: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is no number, a negative magnitude and a chance outside 0 to 1."""
        for entry in fields(self):
            name, value = entry.name, getattr(self, entry.name)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ConfigurationError(f"coefficient {name}={value!r} is no finite number: give it one.")
            if name in _CHANCES and not 0 <= value <= 1:
                raise ConfigurationError(f"coefficient {name}={value} is a chance: expected 0 to 1.")
            if name not in _LOGITS and value < 0:
                raise ConfigurationError(
                    f"coefficient {name}={value} is negative: it is a magnitude whose sign the rules know; "
                    "expected at least 0."
                )
