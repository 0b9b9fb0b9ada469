"""Personas, variants, coefficients and starts: what is refused, and what the mixes promise."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.customers.acts import TOPICS
from fogline.simulators.customers.coefficients import Coefficients
from fogline.simulators.customers.mind import Mind, Start, mind_of
from fogline.simulators.customers.personas import PERSONAS, VARIANTS, Persona, Variant, check_persona
from fogline.simulators.customers.products import ProductCard, bundled_cards

START = Start(
    cooperation=2.0,
    emotion=1.5,
    trust=2.0,
    suspicion=0.1,
    need=0.5,
    budget_fit=0.5,
    patience=9,
    is_buyer=True,
    wearable=False,
    carelessness=1.0,
    objections=("cost", "trust"),
    style="plain",
    age=44,
)


def test_there_are_the_named_personas_and_the_default_mix_calls_them_all() -> None:
    assert {
        "friendly",
        "neutral",
        "hurried",
        "price_sensitive",
        "sceptical",
        "analytical",
        "impulsive",
        "grumpy",
    } <= set(PERSONAS)
    assert all(name == persona.name for name, persona in PERSONAS.items())
    assert set(VARIANTS["default"].mix) == set(PERSONAS)


def test_the_variants_are_four_simulators_and_no_two_share_people_or_dynamics() -> None:
    assert list(VARIANTS) == ["default", "sceptical", "impulsive", "analytical"]
    assert len({variant.number for variant in VARIANTS.values()}) == len(VARIANTS)
    assert len({repr(variant.coefficients) for variant in VARIANTS.values()}) == len(VARIANTS)
    assert all(name == variant.name for name, variant in VARIANTS.items())


@pytest.mark.parametrize("name", VARIANTS)
def test_about_half_of_the_people_of_every_variant_can_be_won(name: str) -> None:
    mix = VARIANTS[name].mix
    share = sum(weight * PERSONAS[persona].buyer_share for persona, weight in mix.items()) / sum(mix.values())
    assert share == pytest.approx(0.55, abs=0.06)
    if name == "default":
        assert share == pytest.approx(0.55, abs=1e-9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("cooperation", (1.0, 1.0)),
        ("cooperation", (0.0, 0.0, 0.0)),
        ("emotion", (-1.0, 2.0)),
        ("trust", (1.0, 1.0, 1.0, math.nan)),
        ("topics_count", (1.0, 1.0, 1.0, 1.0)),
        ("styles", (math.inf, 1.0, 1.0)),
        ("suspicion", (0.2, 0.1)),
        ("need", (-0.1, 0.5)),
        ("budget_fit", (0.5, 1.5)),
        ("patience", (0, 5)),
        ("patience", (5, 41)),
        ("ages", (30, 121)),
        ("buyer_share", 1.1),
        ("wearable", -0.1),
        ("carelessness", 3.5),
        ("topics", {"cost": -1.0}),
        ("topics", {"prize": 1.0}),
    ],
)
def test_a_persona_out_of_range_is_refused_by_field_and_value(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Persona(**{"name": "somebody", field: value})
    assert field in str(caught.value)
    assert "expected" in str(caught.value) or "name it" in str(caught.value)


def test_a_persona_with_fewer_than_three_possible_topics_is_refused() -> None:
    nothing = {topic: 0.0 for topic in TOPICS if topic not in ("cost", "trust")}
    with pytest.raises(ConfigurationError, match="three topics"):
        Persona("narrow", topics=nothing)


def card_for(age: int) -> ProductCard:
    card = next(iter(bundled_cards().values()))
    return ProductCard.model_construct(**{**dict(card), "minimum_age": age})


def test_a_persona_of_children_contradicts_a_card_for_adults() -> None:
    children = Persona("children", ages=(8, 14))
    check_persona(children, card_for(0))
    with pytest.raises(DataError, match=r"'children' has ages=\(8, 14\).*minimum_age=18"):
        check_persona(children, card_for(18))


@pytest.mark.parametrize(
    ("mix", "message"),
    [({"friendl": 1.0}, "Did you mean 'friendly'"), ({"friendly": 0.0}, "by 0.0"), ({}, "no personas")],
)
def test_a_variant_of_unknown_or_weightless_personas_is_refused(mix: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Variant("mine", 9, mix, Coefficients())


@pytest.mark.parametrize("entry", fields(Coefficients), ids=lambda entry: entry.name)
def test_a_coefficient_that_is_no_number_is_refused(entry: Any) -> None:
    with pytest.raises(ConfigurationError, match=entry.name):
        Coefficients(**{entry.name: math.nan})
    if not entry.name.endswith("_bias"):
        with pytest.raises(ConfigurationError, match=entry.name):
            Coefficients(**{entry.name: -0.5})


@pytest.mark.parametrize("name", ["alone", "complete_alone", "object_again", "bring_up", "hold_out"])
def test_a_chance_above_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}=1.5 is a chance"):
        Coefficients(**{name: 1.5})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cooperation", 4.5),
        ("emotion", -0.1),
        ("trust", math.nan),
        ("suspicion", 1.2),
        ("need", 2.0),
        ("budget_fit", -1.0),
        ("patience", 0),
        ("carelessness", 4.0),
        ("age", 130),
    ],
)
def test_a_start_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(DataError, match=rf"{field}={value}: expected"):
        replace(START, **{field: value})  # type: ignore[arg-type]


def test_a_start_with_a_topic_twice_or_unknown_is_refused() -> None:
    with pytest.raises(DataError, match="each topic once"):
        replace(START, objections=("cost", "cost"))
    with pytest.raises(ConfigurationError, match="Did you mean 'cost'"):
        replace(START, objections=("costs",))
    with pytest.raises(ConfigurationError, match="style"):
        replace(START, style="loud")


def test_what_is_latent_does_not_show_when_it_is_printed() -> None:
    assert "44" not in repr(START)
    assert "cost" not in repr(START)
    assert repr(Mind(START)) == "Mind(latent)"


def test_only_customers_of_the_engine_have_a_mind_to_report_on() -> None:
    with pytest.raises(ConfigurationError, match="has no latent state to read"):
        mind_of(object())
