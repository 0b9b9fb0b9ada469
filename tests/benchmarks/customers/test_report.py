"""The validation as a page and as JSON, and a whole one that is played."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fogline.benchmarks.customers.config import FULL, QUICK, ValidationConfig
from fogline.benchmarks.customers.judging import Measured, check, rate
from fogline.benchmarks.customers.probes import PROBES
from fogline.benchmarks.customers.report import ValidationReport, markdown, write_report
from fogline.benchmarks.customers.validation import validate
from fogline.core.errors import ConfigurationError, DataError, InfrastructureError
from fogline.core.store import StoreUnavailable
from fogline.envs.sales_dialogue.callers import CustomerSource
from fogline.simulators.customers.customer import SimulatorFault


def report(config: ValidationConfig, *checks: Any) -> ValidationReport:
    return ValidationReport(config, "v1", checks, (), ("a note",), "fogline customers validate", {}, {}, 1.5)


CHECKS = (
    check("One", "a", "It | holds", rate([False] * 1000), "at most", 0.01),
    check("One", "b", "It does not", rate([True] * 1000), "at most", 0.01, note="of course"),
    check("Two", "c", "Nobody knows", Measured(), "above", 0.0, percent=False),
)


def test_the_page_says_what_the_json_says(tmp_path: Path) -> None:
    made = report(ValidationConfig(out=str(tmp_path)), *CHECKS)
    [as_json, page] = write_report(made)
    assert (as_json.name, page.name) == ("customers.json", "customers.md")
    rows = json.loads(as_json.read_text())["checks"]
    assert [row["verdict"] for row in rows] == ["holds", "does not hold", "cannot say"]
    assert rows[2]["measured"] == {"value": None, "interval": None, "count": 0}
    text = page.read_text()
    assert "| It \\| holds | 0.0 % | 0.0 … 0.4 | ≤ 1.0 % | 1,000 | **holds** |" in text
    assert "| Nobody knows | cannot say | – | > 0 | 0 | **cannot say** |" in text
    assert text.index("### One") < text.index("- It does not: of course.") < text.index("### Two")
    assert [item.name for item in made.refuted] == ["b"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "customers"),
        ({"variant": "sceptical"}, "customers-sceptical"),
        ({"customer": "model", "domain": "mobile-plan"}, "customers-model-mobile-plan"),
    ],
)
def test_another_customer_replaces_no_other_report(changes: dict[str, Any], name: str) -> None:
    assert ValidationConfig(**changes).name == name


def test_a_quick_one_replaces_no_full_one() -> None:
    assert ValidationConfig().results_folder == Path("docs/results")
    assert ValidationConfig(quick=True).results_folder == Path("runs/results")
    assert ValidationConfig().policies_folder != ValidationConfig(quick=True).policies_folder


def test_budgets_follow_the_options() -> None:
    assert (ValidationConfig().budget, ValidationConfig(quick=True).budget) == (FULL, QUICK)
    assert ValidationConfig(customer="worded").budget.matrix_updates == 0
    assert ValidationConfig(customer="worded", matrix_updates=3).budget.matrix_updates == 3
    small = ValidationConfig(sessions=30).budget
    assert (small.sessions, small.starts, small.replays, small.matrix_sessions) == (30, 30, 30, 30)


def test_a_folder_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        write_report(report(ValidationConfig(out=str(tmp_path / "file" / "below"))))


def test_secrets_do_not_reach_the_report() -> None:
    config = ValidationConfig(env_kwargs={"chat_options": {"api_key": "sk-very-secret"}})
    made = report(config)
    assert "sk-very-secret" not in markdown(made) + json.dumps(made.to_json())


def test_a_whole_validation_without_a_matrix() -> None:
    told: list[tuple[int, int, str]] = []
    made = validate(ValidationConfig(quick=True, sessions=24, matrix_updates=0), progress=lambda *now: told.append(now))
    names = {item.name for item in made.checks}
    assert names >= {"trust_rises", "non_buyers_convert", "non_buyers_soften", "role_inversion", "simulator_faults"}
    assert names >= {"replays_differ", "ladder_scripted", "ladder_trained", *(f"{probe}_turn" for probe in PROBES)}
    assert made.refuted == []
    assert [table.name for table in made.tables] == [
        "sellers", "starts", "course", "moods", "transitions", "variety", "probes",
    ]  # fmt: skip
    assert told[-1][0] == told[-1][1] == max(total for _, total, _ in told)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    again = validate(ValidationConfig(quick=True, sessions=24, matrix_updates=0, concurrency=5))
    assert [item.to_json() for item in again.checks] == [item.to_json() for item in made.checks]


def test_a_customer_that_never_answers_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def customer(*_: Any) -> Any:
        raise SimulatorFault("no words")

    monkeypatch.setattr(CustomerSource, "customer", customer)
    with pytest.raises(InfrastructureError, match="none of the 20 calls"):
        validate(ValidationConfig(quick=True, sessions=20, matrix_updates=0, retries=0))


def test_a_folder_without_a_policy_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    told: list[Any] = []
    with pytest.raises((DataError, ConfigurationError), match="holds no"):
        validate(ValidationConfig(quick=True, policy=str(tmp_path)), progress=lambda *now: told.append(now))
    assert told == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variant": "sceptic"}, "Did you mean 'sceptical'"),
        ({"matrix_variants": ("default", "analytic")}, "Did you mean 'analytical'"),
        ({"matrix_variants": ("default", "default")}, "each variant once"),
    ],
)
def test_wrong_variants_are_refused_before_anything_is_played(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        validate(ValidationConfig(quick=True, **changes), progress=lambda *now: pytest.fail("played"))
