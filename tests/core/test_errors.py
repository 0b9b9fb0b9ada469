"""Typed errors name the value, the expectation and the nearest legal choice."""

from __future__ import annotations

import pytest

from fogline.core.errors import (
    AgentError,
    ConfigurationError,
    DataError,
    FoglineError,
    InfrastructureError,
    MissingDependencyError,
    check_choice,
    check_keys,
    missing_dependency,
    suggestion,
)


@pytest.mark.parametrize(
    "kind", [ConfigurationError, DataError, MissingDependencyError, AgentError, InfrastructureError]
)
def test_every_error_can_be_caught_as_a_fogline_error(kind: type[Exception]) -> None:
    assert issubclass(kind, FoglineError)


def test_errors_about_values_are_value_errors_and_missing_packages_are_import_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(DataError, ValueError)
    assert issubclass(MissingDependencyError, ImportError)


def test_only_failures_under_the_agent_are_retryable_by_type() -> None:
    assert InfrastructureError("x").retryable is True
    assert not hasattr(AgentError("x"), "retryable")


def test_a_legal_choice_passes() -> None:
    check_choice("protocol", "soft", ("off", "soft", "strict"))


def test_an_illegal_choice_is_named_with_all_choices_and_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_choice("protocol", "sotf", ("off", "soft", "strict"))
    text = str(caught.value)
    assert "protocol='sotf'" in text
    assert "'off', 'soft', 'strict'" in text
    assert "Did you mean 'soft'?" in text


def test_a_value_of_another_type_is_refused_like_any_other() -> None:
    with pytest.raises(ConfigurationError, match=r"protocol=3 is unknown"):
        check_choice("protocol", 3, ("off", "soft"))


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert suggestion("zzzzzz", ["soft", "strict"]) == ""


def test_the_first_unknown_key_is_named() -> None:
    check_keys("options", {"task_id": "x"}, ("task_id",))
    with pytest.raises(ConfigurationError, match=r"options has no key 'taskid'.*Did you mean 'task_id'"):
        check_keys("options", {"taskid": "x"}, ("task_id",))


def test_a_missing_package_names_the_extra_to_install() -> None:
    assert "pip install 'fogline[train]'" in str(missing_dependency("torch", "train"))
