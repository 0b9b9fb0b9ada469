"""Bad options are refused with the name, the value and what was expected."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fogline.core.errors import ConfigurationError
from fogline.simulators.databases.enterprise import EnterpriseConfig, enterprise_names


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("tables", 19, "20 to 500"),
        ("tables", 501, "20 to 500"),
        ("tables", 60.0, "integer"),
        ("databases", 0, "1 to"),
        ("rows_per_table", 5, "20 to"),
        ("questions_per_database", 0, "1 to"),
        ("seed", -1, "0 to"),
        ("twin_share", 1.5, "0 to 1"),
        ("coded_categories", "many", "0 to 1"),
        ("soft_delete", True, "0 to 1"),
        ("vocabulary", "c", "'a', 'b', 'all'"),
        ("domains", ("retial",), "Did you mean 'retail'"),
    ],
)
def test_a_bad_value_is_named(option: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=option) as caught:
        EnterpriseConfig(**{option: value})
    assert expected in str(caught.value)


def test_a_domain_of_the_other_vocabulary_is_refused() -> None:
    EnterpriseConfig(vocabulary="a", domains=("retail",))
    with pytest.raises(ConfigurationError, match="domains='logistics'"):
        EnterpriseConfig(vocabulary="a", domains=("logistics",))


def test_every_option_but_the_number_of_databases_decides_the_content() -> None:
    plain = EnterpriseConfig()
    changed = {
        "seed": 1, "tables": 61, "rows_per_table": 121, "questions_per_database": 26, "vocabulary": "a",
        "domains": ("hotel",), "databases": 5,
    }  # fmt: skip
    for option in dataclasses.fields(EnterpriseConfig):
        value = changed.get(option.name, 0.123)
        other = dataclasses.replace(plain, **{option.name: value})
        assert (other.digest(0) == plain.digest(0)) == (option.name == "databases"), option.name


def test_there_are_at_least_twelve_domains() -> None:
    assert len(enterprise_names()) >= 12
    assert {"retail", "logistics", "hospital", "banking", "insurance", "university", "telecom", "manufacturing",
            "human_resources", "energy", "airline", "hotel"} <= set(enterprise_names())  # fmt: skip
