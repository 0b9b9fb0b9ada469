"""Scenarios: decided by their names, consistent with the product, shifted by difficulty and by nothing else."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.customers.personas import PERSONAS, VARIANTS
from fogline.simulators.customers.products import ProductCard, bundled_cards
from fogline.simulators.customers.scenarios import Scenario, make_rule_customer, scenario_of, task_ids

DOMAINS = tuple(bundled_cards())
MANY = [scenario_of(f"{domain}/{number:04d}") for domain in DOMAINS for number in range(400)]

tasks = st.builds("{}/{:04d}".format, st.sampled_from(DOMAINS), st.integers(0, 12_000))


def changed(**fields: Any) -> ProductCard:
    """The mobile plan with other terms; what else the card says is not checked against them."""
    return ProductCard.model_construct(**{**dict(bundled_cards()["mobile-plan"]), **fields})


def test_tasks_are_named_by_product_and_number_and_the_splits_do_not_meet() -> None:
    assert task_ids(["mobile-plan"], "train", 2) == ("mobile-plan/0000", "mobile-plan/0001")
    assert task_ids(["mobile-plan", "solar-panels"], "test", 1) == ("mobile-plan/5000", "solar-panels/5000")
    splits = [task_ids(DOMAINS, split, 2500) for split in ("train", "validation", "test")]
    assert len(set().union(*splits)) == sum(map(len, splits)) == 3 * 2500 * len(DOMAINS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["mobile-plan"], "trian", 3), "Did you mean 'train'"),
        ((["mobile-plan"], "train", 0), "scenarios=0 is out of range"),
        ((["mobile-plan"], "train", 2501), "expected 1 to 2500"),
        (([], "train", 3), "expected one domain or more"),
        ((["mobile-plan", "mobile-plan"], "train", 3), "each named once"),
    ],
)
def test_tasks_that_cannot_be_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        task_ids(*arguments)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("mobile-plam/0001", "Did you mean 'mobile-plan'"),
        ("mobile-plan", "Did you mean 'mobile-plan'"),
        ("mobile-plan/1", "such as 'mobile-plan/0017'"),
        ("mobile-plan/x001", "names no scenario"),
        ("mobile-plan/-001", "names no scenario"),
        ("mobile-plan/00001", "names no scenario"),
        ("", "names no known domain"),
    ],
)
def test_a_name_that_is_none_is_refused(task: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        scenario_of(task)


def test_an_unknown_variant_and_a_difficulty_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'sceptical'"):
        scenario_of("mobile-plan/0001", variant="skeptical")
    for value in (-1.1, 1.5, math.nan):
        with pytest.raises(ConfigurationError, match=f"difficulty={value}"):
            scenario_of("mobile-plan/0001", difficulty=value)


def test_one_name_is_one_scenario_whoever_asks() -> None:
    one = scenario_of("mobile-plan/0017")
    assert scenario_of("mobile-plan/0017") is one
    assert scenario_of("mobile-plan/0017", cards=bundled_cards()) == one
    assert (one.domain, one.number, one.card) == ("mobile-plan", 17, bundled_cards()["mobile-plan"])


@pytest.mark.parametrize(
    ("task", "variant", "persona", "is_buyer", "objections", "patience", "need"),
    [
        ("home-internet/0000", "default", "neutral", True, ("identity",), 10, 0.884099),
        ("mobile-plan/0017", "default", "curious", False, ("detail", "operation", "identity"), 10, 0.758262),
        ("travel-insurance/5003", "sceptical", "sceptical", True, ("identity", "progress", "history"), 10, 0.445274),
    ],
)
def test_the_people_stay_who_they_are(
    task: str, variant: str, persona: str, is_buyer: bool, objections: tuple[str, ...], patience: int, need: float
) -> None:
    """Whoever changes this calls other people: stored results then need a new version of the simulator."""
    one = scenario_of(task, variant=variant)
    assert (one.persona, one.is_buyer, one.start.objections, one.start.patience) == (
        persona,
        is_buyer,
        objections,
        patience,
    )
    assert one.start.need == pytest.approx(need, abs=1e-6)


def test_other_variants_products_and_numbers_call_other_people() -> None:
    starts = [
        scenario_of(f"{domain}/{number:04d}", variant=variant).start
        for variant in VARIANTS
        for domain in DOMAINS
        for number in range(50)
    ]
    assert len({(start.need, start.budget_fit) for start in starts}) == len(starts)


def test_the_draws_of_the_specification_hold_over_the_default_mix() -> None:
    starts = [scenario.start for scenario in MANY]
    assert statistics.mean(start.is_buyer for start in starts) == pytest.approx(0.55, abs=0.03)
    assert {start.cooperation for start in starts} == {1.0, 2.0, 3.0}
    assert {start.emotion for start in starts} == {1.0, 2.0}
    assert {start.trust for start in starts} == {1.0, 2.0, 3.0, 4.0}
    assert {len(start.objections) for start in starts} == {1, 2, 3}
    for level in (1.0, 2.0, 3.0):
        assert statistics.mean(start.cooperation == level for start in starts) == pytest.approx(1 / 3, abs=0.06)
    for level in (1.0, 2.0, 3.0, 4.0):
        assert statistics.mean(start.trust == level for start in starts) == pytest.approx(1 / 4, abs=0.06)
    assert {scenario.persona for scenario in MANY} == set(PERSONAS)


def test_every_customer_lies_within_its_persona_and_may_buy() -> None:
    for scenario in MANY:
        persona, start = PERSONAS[scenario.persona], scenario.start
        assert persona.need[0] <= start.need <= persona.need[1]
        assert persona.budget_fit[0] <= start.budget_fit <= persona.budget_fit[1]
        assert persona.suspicion[0] <= start.suspicion <= persona.suspicion[1]
        assert persona.patience[0] <= start.patience <= persona.patience[1]
        assert max(persona.ages[0], scenario.card.minimum_age) <= start.age <= persona.ages[1]


def test_a_card_that_only_the_old_may_buy_is_offered_to_the_old_or_refused() -> None:
    card = changed(minimum_age=70)
    ages = []
    refused = 0
    for number in range(200):
        try:
            ages.append(scenario_of(f"mobile-plan/{number:04d}", cards={"mobile-plan": card}).start.age)
        except DataError as error:
            assert "'impulsive'" in str(error)
            refused += 1
    assert refused and ages and min(ages) >= 70


def test_a_customer_who_contradicts_the_card_is_refused_when_the_scenario_is_built() -> None:
    one = scenario_of("mobile-plan/0001")
    with pytest.raises(DataError, match="is 12 years old and 'Larkline Roam' has minimum_age=18"):
        Scenario(one.task_id, one.domain, one.number, one.persona, one.card, replace(one.start, age=12))


def test_nobody_finds_a_free_product_too_expensive() -> None:
    free = changed(price=0.0, discount_price=None)
    for number in range(300):
        start = scenario_of(f"mobile-plan/{number:04d}", cards={"mobile-plan": free}).start
        assert "cost" not in start.objections


@settings(max_examples=150)
@given(tasks, st.sampled_from(list(VARIANTS)), st.floats(-1, 1), st.floats(-1, 1))
def test_difficulty_moves_every_draw_one_way_and_leaves_the_people(
    task: str, variant: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    easy = scenario_of(task, variant=variant, difficulty=low)
    hard = scenario_of(task, variant=variant, difficulty=high)
    assert (easy.persona, easy.is_buyer) == (hard.persona, hard.is_buyer)
    assert (easy.start.age, easy.start.style, easy.start.wearable) == (
        hard.start.age,
        hard.start.style,
        hard.start.wearable,
    )
    for name in ("cooperation", "emotion", "trust", "need", "budget_fit", "patience"):
        assert getattr(easy.start, name) >= getattr(hard.start, name)
    assert easy.start.suspicion <= hard.start.suspicion
    assert hard.start.objections[: len(easy.start.objections)] == easy.start.objections


def test_difficulty_really_shifts_the_draws() -> None:
    def mean_trust(difficulty: float) -> float:
        return statistics.mean(
            scenario_of(f"mobile-plan/{number:04d}", difficulty=difficulty).start.trust for number in range(300)
        )

    assert mean_trust(-1.0) > mean_trust(0.0) + 0.4 > mean_trust(1.0) + 0.8


def test_what_is_latent_does_not_show_when_a_scenario_is_printed() -> None:
    one = scenario_of("mobile-plan/0017")
    assert repr(one) == "Scenario(task_id='mobile-plan/0017', domain='mobile-plan', number=17)"


def test_a_customer_is_made_from_its_scenario_and_the_noise_alone() -> None:
    one = scenario_of("mobile-plan/0017")
    first, second = (make_rule_customer(one, np.random.default_rng(3)).open() for _ in range(2))
    assert first == second
    with pytest.raises(ConfigurationError, match="variant='defualt'"):
        make_rule_customer(one, np.random.default_rng(3), variant="defualt")
    with pytest.raises(ConfigurationError, match=r"claims_without_doing=1\.5 is no chance"):
        make_rule_customer(one, np.random.default_rng(3), claims_without_doing=1.5)
