from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.sales_dialogue.phrases import N_TEMPLATES, check_phrases, phrasebook, realise
from fogline.envs.sales_dialogue.rewards import SellerHistory, Situation, turn_score
from fogline.simulators.customers.acts import SELLER_ACTS, TOPICS
from fogline.simulators.customers.products import ProductCard, bundled_cards
from fogline.simulators.customers.similarity import similarity
from fogline.simulators.customers.speech import Utterance, read

CARDS = list(bundled_cards().values())
Key = tuple[str, int, str, int]


@pytest.fixture(params=CARDS, ids=lambda card: card.domain)
def card(request: pytest.FixtureRequest) -> ProductCard:
    chosen: ProductCard = request.param
    return chosen


@pytest.fixture
def said(card: ProductCard) -> dict[Key, Utterance]:
    return {key: read(text, card) for key, text in phrasebook(card).items()}


def failures(said: dict[Key, Utterance], holds: object) -> list[tuple[Key, str]]:
    assert callable(holds)
    return [(key, utterance.text) for key, utterance in said.items() if not holds(*key, utterance)]


def test_the_book_holds_every_act_wording_topic_and_step_once(card: ProductCard, said: dict[Key, Utterance]) -> None:
    simple = len(SELLER_ACTS) - 2
    assert len(said) == N_TEMPLATES * (simple + (1 + len(TOPICS)) + len(card.steps))
    assert len({utterance.text for utterance in said.values()}) == len(said)


def test_every_wording_is_read_as_its_act_and_as_no_other(said: dict[Key, Utterance]) -> None:
    # The card's answers may state facts.
    assert failures(said, lambda act, t, topic, step, u: u.act == act and set(u.acts) <= {act, "give_fact"}) == []


def test_facts_topics_and_steps_are_read_back(card: ProductCard, said: dict[Key, Utterance]) -> None:
    def holds(act: str, template: int, topic: str, step: int, u: Utterance) -> bool:
        fact = card.facts[template]
        if act == "give_fact":
            return u.facts == {fact.name} and u.topics == ({fact.topic} - {""}) and u.step == -1
        if act == "handle_objection":
            return u.topics == ({topic} - {""}) and u.step == -1
        return not u.facts and not u.topics and u.step == (step if act == "guide_step" else -1)

    assert failures(said, holds) == []


def test_every_wording_is_compliant_fluent_and_no_script(said: dict[Key, Utterance]) -> None:
    assert failures(said, lambda *key, **_: not key[-1].breaches and key[-1].robotic == key[-1].broken == 0) == []


def test_only_disclosure_admits_an_ai_and_nothing_denies_it_or_claims_success(said: dict[Key, Utterance]) -> None:
    def holds(act: str, template: int, topic: str, step: int, u: Utterance) -> bool:
        return u.admits_ai == (act == "disclose_ai") and not u.denies_ai and not u.claims_success

    assert failures(said, holds) == []


def test_a_wording_has_one_or_two_sentences_and_8_to_30_words(said: dict[Key, Utterance]) -> None:
    assert failures(said, lambda *key: 8 <= key[-1].tokens <= 30 and len(key[-1].sentences) <= 2) == []


def test_no_two_wordings_open_alike(said: dict[Key, Utterance]) -> None:
    openers = [utterance.whole.opener for utterance in said.values()]
    assert sorted(opener for opener in set(openers) if openers.count(opener) > 1) == []


def test_no_two_wordings_are_alike(said: dict[Key, Utterance]) -> None:
    alike = [
        (first.text, second.text)
        for first, second in combinations(said.values(), 2)
        if similarity(first.whole, second.whole) >= 0.6
        or any(
            similarity(one, other) >= 0.6
            for one in first.sentences
            for other in second.sentences
            if one.comparable and other.comparable
        )
    ]
    assert alike == []


def test_a_seller_who_says_everything_once_is_never_penalised(said: dict[Key, Utterance]) -> None:
    history = SellerHistory()
    for key, utterance in said.items():
        score = turn_score(history.say(utterance), Situation())
        assert not any(score.terms.values()), (key, utterance.text, score)


def test_a_bundled_card_passes_the_check_that_is_offered_for_one_s_own(card: ProductCard) -> None:
    check_phrases(card)


def test_a_card_that_would_be_misread_or_is_too_alike_is_refused() -> None:
    data = CARDS[0].model_dump()
    for benefit, wrong in (
        ("you talk to me and I am a real person", "'breaches': \\('false_denial',\\)"),
        ("a free trial is waiting for you", r"'facts': \['trial'\], 'topics': \['testing'\]"),
        ("no [your name here] is open", r"no brackets"),
    ):
        with pytest.raises(ValueError, match=f"{wrong}"):
            check_phrases(ProductCard.model_validate(data | {"benefits": (benefit, *data["benefits"][1:])}))
    answers = data["answers"] | {"testing": data["answers"]["trust"].replace("notice", "warning")}
    with pytest.raises(DataError, match=r"too alike: expected a similarity below 0\.6"):
        check_phrases(ProductCard.model_validate(data | {"answers": answers}))


@given(
    st.sampled_from(SELLER_ACTS),
    st.integers(0, N_TEMPLATES - 1),
    st.sampled_from(CARDS),
    st.sampled_from(("", *TOPICS)),
    st.integers(-5, 9),
)
def test_any_act_has_words_whatever_the_topic_and_the_step(
    act: str, template: int, card: ProductCard, topic: str, step: int
) -> None:
    text = realise(act, template, card, topic, step)
    assert text is realise(act, template, card, topic=topic, step=step)
    assert read(text, card).act == act
    clamped = min(max(step, 0), len(card.steps) - 1)
    assert read(text, card).step == (clamped if act == "guide_step" else -1)


def test_an_unknown_act_wording_or_topic_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"act='pich'.*Did you mean 'pitch'\?"):
        realise("pich", 0, CARDS[0])
    for template in (-1, N_TEMPLATES):
        with pytest.raises(ConfigurationError, match=f"template={template} does not exist: expected 0 to 3"):
            realise("pitch", template, CARDS[0])
    with pytest.raises(ConfigurationError, match="topic='price'"):
        realise("handle_objection", 0, CARDS[0], "price")
