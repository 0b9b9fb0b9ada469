"""``fogline customers``: a call to listen to, and a report with verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Invoke, Shell

SMALL = ("customers", "validate", "--quick", "--sessions", 20, "--matrix-updates", 0)


def test_a_call_is_shown_with_both_sides_and_the_customer_only_on_demand(invoke: Invoke) -> None:
    shown = invoke("customers", "show", "--seed", 3, "--domain", "mobile-plan", "--variant", "impulsive")
    assert shown.exit_code == 0, shown.output
    assert "customer mobile-plan/0003, seed 3" in shown.stdout
    assert "Seller (greet): " in shown.stdout and "Customer (" in shown.stdout
    assert "persona" not in shown.stdout
    revealed = invoke("customers", "show", "--seed", 3, "--domain", "mobile-plan", "--variant", "impulsive", "--reveal")
    assert revealed.stdout.startswith(shown.stdout)
    assert "The customer was: persona " in revealed.stdout


def test_the_same_seed_shows_the_same_call_as_json(invoke: Invoke) -> None:
    words = ("customers", "show", "--task", "mobile-plan/0007", "--agent", "always-close", "--json")
    first, again = (json.loads(invoke(*words).stdout) for _ in range(2))
    for call in (first, again):
        del call["usage"]
    assert first == again
    assert first["task_id"] == "mobile-plan/0007"
    assert "latent" not in first
    assert {turn["act"] for turn in first["spoken"][1:]} == {"ask_close"}
    assert any(turn["costs"] for turn in first["spoken"])
    assert json.loads(invoke(*words, "--reveal").stdout)["latent"].keys() >= {"persona", "trust", "is_buyer"}


def test_a_report_is_written_and_shown(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*SMALL, "--out", tmp_path, "--variant", "analytical")
    assert result.exit_code == 0, result.output
    assert "People who never buy" in result.stdout
    assert f"Written: {tmp_path / 'customers-analytical.md'}" in result.stdout
    written = json.loads((tmp_path / "customers-analytical.json").read_text())
    assert written["config"]["variant"] == "analytical"
    assert written["command"].startswith("fogline")
    assert {item["verdict"] for item in written["checks"]} <= {"holds", "does not hold", "cannot say"}


def test_the_json_is_the_files(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*SMALL, "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "customers.json").read_text())


def test_strict_fails_when_a_statement_is_refuted(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fogline.benchmarks.customers import checks

    # No share is that small.
    monkeypatch.setattr(checks, "SELDOM", -1.0)
    result = invoke(*SMALL, "--out", tmp_path, "--strict")
    assert result.exit_code == 1, result.output
    assert "does not hold" in result.stdout
    assert (tmp_path / "customers.md").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "--variant", "sceptic"), "Did you mean 'sceptical'?"),
        (("show", "--task", "mobile-plan/9"), "task 'mobile-plan/9' is not one of"),
        (("show", "--agent", "scriptd"), "Did you mean 'scripted'?"),
        (("show", "--customer", "robot"), "customer='robot' does not fit"),
        (("show", "--customer", "worded"), "give model="),
        (("validate", "--sessions", 1), "sessions=1 does not fit"),
        (("validate", "--domain", "mobile", "--quick"), "domain='mobile'"),
        (("validate", "--policy", "nowhere", "--quick"), "nowhere holds no"),
    ],
    ids=str,
)
def test_bad_usage_is_refused(invoke: Invoke, words: tuple[object, ...], said: str) -> None:
    result = invoke("customers", *words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_the_help_has_examples_and_comes_fast_enough(shell: Shell) -> None:
    for words in (("validate",), ("show",)):
        result = shell("customers", *words, "--help")
        assert result.returncode == 0
        assert f"Example: fogline customers {words[0]}" in result.stdout
    assert "customers" in shell("--help").stdout
