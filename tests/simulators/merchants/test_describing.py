from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.chat import ChatModel, ChatPiece, ChatReply, ChatRequest
from fogline.core.chat.errors import ConnectionFailed, ContentRefused
from fogline.simulators.merchants.cards import EvidenceCard
from fogline.simulators.merchants.describing import LONGEST, describe, facts_of, fault_of, reworded
from fogline.simulators.merchants.evidence import EvidenceScaler
from fogline.simulators.merchants.policies import ARCHETYPES, Policy, PolicyLibrary, Predicate

CARD = EvidenceCard(
    0, 1_234, 0.47, (), (("rating", 0.53), ("price_level", -0.2)), (((Predicate("rating", ">", 4.25),), 0.61, 300),)
)
FACTS = "47% of 1,234 order; rating +0.53 sd; n_orders_90d."


class Scripted:
    """A chat model that answers by a function of the request."""

    name = "scripted"

    def __init__(self, answer: Callable[[ChatRequest], ChatReply]) -> None:
        self.answer = answer
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        return self.answer(request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatPiece]:
        yield ChatPiece("", reply=await self.complete(request))


def library() -> PolicyLibrary:
    policies = tuple(
        Policy(
            f"p{index}", kind.name, (Predicate("n_open_map", ">", 1.5),), kind.stated(), kind.deal_breakers, 0.12, 0.47,
            (0.44, 0.5), None, 1_234.0, 80, ("secret-trajectory",), describe(kind, 0.47, 1_234.0, CARD),
        )
        for index, kind in enumerate(ARCHETYPES)
    )  # fmt: skip
    return PolicyLibrary(policies, EvidenceScaler(("n_open_map",), np.zeros(1), np.ones(1)), np.zeros((4, 1)))


def test_the_template_says_what_the_card_says() -> None:
    text = describe(ARCHETYPES[1], 0.47, 1_234.0, CARD)
    assert text == (
        "They read reviews before they decide. 47% order, of 1,234 like this. Those who order have higher rating "
        "(+0.53 sd)."
    )
    assert fault_of(text, facts_of(library().policies[1], [CARD])) == ""


async def test_a_model_words_texts_and_nothing_else() -> None:
    model = Scripted(lambda _: ChatReply("<think>61 or 62?</think>\nOf 1,234 people 47% order,\nmore at 61%."))
    assert isinstance(model, ChatModel)
    before = library()
    after, wordings = await reworded(before, model, cards=[[CARD]] * 4)
    assert {policy.text for policy in after.policies} == {"Of 1,234 people 47% order, more at 61%."}
    assert [wording.reason for wording in wordings] == [""] * 4
    plain, worded = before.to_json(), after.to_json()
    for document in (plain, worded):
        document.pop("digest")
        for policy in document["policies"]:
            policy.pop("text")
    assert plain == worded
    assert not after.edited
    assert all(request.temperature == 0 for request in model.requests)
    assert not any("secret-trajectory" in str(request.messages) for request in model.requests)


async def test_a_text_with_another_number_is_thrown_away_and_counted() -> None:
    model = Scripted(
        lambda request: ChatReply("48% order." if "Kind: price" in str(request.messages) else "They look.")
    )
    before = library()
    after, wordings = await reworded(before, model)
    assert after.policies[0].text == before.policies[0].text
    assert [wording.reason for wording in wordings] == ["'48%' is not in the facts", "", "", ""]
    assert wordings[0].answer == "48% order."


async def test_a_model_that_does_not_answer_leaves_the_template_but_a_broken_server_is_told() -> None:
    def refuse(_: ChatRequest) -> ChatReply:
        raise ContentRefused("no")

    def broken(_: ChatRequest) -> ChatReply:
        raise ConnectionFailed("gone")

    before = library()
    after, wordings = await reworded(before, Scripted(refuse))
    assert after.digest == before.digest
    assert all("did not answer" in wording.reason for wording in wordings)
    with pytest.raises(ConnectionFailed):
        await reworded(before, Scripted(broken))
    cut, wordings = await reworded(before, Scripted(lambda _: ChatReply("They look at", finish_reason="length")))
    assert cut.digest == before.digest
    assert {wording.reason for wording in wordings} == {"the answer was cut off"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("47% order.", ""),
        ("47 % order, 47 percent in all.", ""),
        ("Of 1234 people, or 1,234, some order; rating 0.53 up.", ""),
        ("47 order.", "'47' is not in the facts"),
        ("+0.53 sd up, (+0.53).", ""),
        ("-0.53 sd.", "'-0.53' is not in the facts"),
        ("−0.53 sd.", "not in the facts"),
        ("They have n_orders_90d above all.", ""),
        ("90 people.", "not in the facts"),
        ("0.47 order.", "not in the facts"),
        ("53% order.", "not in the facts"),
        ("0.5 sd.", "not in the facts"),
        ("About half order.", "'half' is a number in words"),
        ("Forty-seven percent order.", "number in words"),
        ("Two thirds order.", "number in words"),
        ("½ order.", "no plain digit"),
        ("٤٧ order.", "no plain digit"),
        ("", "empty"),
        ("x" * (LONGEST + 1), "characters"),
    ],
)
def test_what_a_text_may_say(text: str, fault: str) -> None:
    found = fault_of(text, FACTS)
    assert fault in found
    assert bool(found) == bool(fault)


@given(st.integers(0, 10**6), st.sampled_from(["{}", "{}%", "{}.0", "-{}", "x{}x"]))
def test_no_number_of_its_own_ever_passes(number: int, form: str) -> None:
    fault = fault_of(f"They are {form.format(number)} in all.", FACTS)
    known = number == (47 if form.endswith("%") else 1234) and not form.startswith("-")
    assert (fault == "") == known
