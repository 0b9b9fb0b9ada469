"""How a customer starts, sellers that cheat, and policies on strangers: from hand-made calls to verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from fogline.agents.rollout import Assignment
from fogline.benchmarks.customers.config import ValidationConfig
from fogline.benchmarks.customers.matrix import Matrix, matrix_tables, trained_gain, transfer_checks
from fogline.benchmarks.customers.probes import PROBES, probe_checks, probe_table
from fogline.benchmarks.customers.sessions import Answer, Calls, Session
from fogline.benchmarks.customers.starts import LEVELS, play_starts, sessions_of, start_checks, start_table


def session(number: int, *, converted: bool = False, turn_reward: float = 0.0) -> Session:
    return Session(
        assignment=Assignment(f"mobile-plan/{5000 + number}", number), is_buyer=True, inversions=0, replies=2,
        words=("Hello.",), answers=(Answer("answer_call", "Yes?"), Answer("neutral", "Hm.")), converted=converted,
        repetition=0.0, session_reward=float(converted), turn_reward=turn_reward, moved={},
    )  # fmt: skip


def calls(seller: str, won: int, count: int = 40, turn_reward: float = 0.0) -> Calls:
    made = [session(index, converted=index < won, turn_reward=turn_reward) for index in range(count)]
    return Calls(seller, count, sessions={item.assignment: item for item in made})


def test_a_trait_that_helps_holds_and_one_that_hurts_does_not() -> None:
    helping = {trait: [calls("scripted", 5 + 8 * step) for step in range(len(LEVELS[trait]))] for trait in LEVELS}
    assert {item.verdict for item in start_checks(helping)} == {"holds"}
    hurting = {**helping, "trust": helping["trust"][::-1]}
    verdicts = {item.name: item.verdict for item in start_checks(hurting)}
    assert (verdicts["trust_rises"], verdicts["trust_falls"]) == ("does not hold", "does not hold")
    assert verdicts["need_rises"] == "holds"
    # A fall in the middle is found although the ends are right.
    dented = {**helping, "trust": [helping["trust"][place] for place in (0, 2, 1, 3)]}
    verdicts = {item.name: item.verdict for item in start_checks(dented)}
    assert (verdicts["trust_rises"], verdicts["trust_falls"]) == ("holds", "does not hold")
    assert start_table(helping).number(["trust 2"], "conversion").value == 13 / 40


def test_starts_are_played_on_the_same_buyers() -> None:
    config = ValidationConfig(quick=True, sessions=8)
    started = play_starts(config, lambda count: None)
    keys = {tuple(level.sessions) for levels in started.values() for level in levels}
    assert len(keys) == 1
    assert all(item.is_buyer for levels in started.values() for level in levels for item in level)
    assert sum(len(level.sessions) for levels in started.values() for level in levels) == sessions_of(config) == 80


def test_only_a_probe_that_is_significantly_better_is_caught() -> None:
    known = {"scripted": calls("scripted", 10), **{probe: calls(probe, 10) for probe in PROBES}}
    assert {item.verdict for item in probe_checks(known)} == {"holds"}
    known["always-repeat"] = calls("always-repeat", 30, turn_reward=-1.0)
    known["silent"] = calls("silent", 0, turn_reward=0.1)
    verdicts = {item.name: item.verdict for item in probe_checks(known)}
    caught = {name for name, verdict in verdicts.items() if verdict != "holds"}
    assert caught == {"always-repeat_session", "silent_turn"}
    assert probe_table(known).number(["always-repeat"], "session").value == 0.5
    assert probe_table(known).number(["always-repeat"], "turn").value == -1.0


def fared(won: int, count: int = 40, repetition: float | None = 0.5) -> dict[str, Any]:
    return {
        "keys": [[f"mobile-plan/{5000 + number}", number] for number in range(count)],
        "converted": [int(number < won) for number in range(count)],
        "repetition": [repetition] * count,
        "planned": count,
        "faults": 0,
    }


def matrix(on_stranger: int = 12) -> Matrix:
    policies = {
        "default": [{"default": fared(20 + step), "sceptical": fared(on_stranger + step)} for step in range(3)],
        "sceptical": [{"default": fared(18 + step), "sceptical": fared(16 + step)} for step in range(3)],
    }
    sellers = {name: {"default": fared(won), "sceptical": fared(won)} for name, won in
               (("random-acts", 2), ("scripted", 10))}  # fmt: skip
    return Matrix(("default", "sceptical"), policies, sellers)


def test_the_matrix_has_a_line_for_each_training_and_a_column_for_each_test() -> None:
    conversion, repetition = matrix_tables(matrix())
    number = conversion.number(["duca on default"], "sceptical")
    assert number.value == pytest.approx(13 / 40)
    assert number.low is not None and number.low < 13 / 40 < (number.high or 0)
    assert number.episodes == 3
    assert conversion.number(["scripted"], "sceptical").value == 10 / 40
    assert repetition.number(["random-acts"], "default").value == 0.5
    faults = conversion.number(["duca on default"], "faults")
    assert (faults.value, faults.episodes) == (0, 3 * 2 * 40)
    assert [line.labels[0] for line in conversion.lines] == [
        "random-acts", "scripted", "duca on default", "duca on sceptical",
    ]  # fmt: skip


def test_transfer_is_judged_by_the_worst_pair() -> None:
    [found] = transfer_checks(matrix())
    assert (found.verdict, found.measured.value) == ("holds", pytest.approx(11 / 40))
    assert "trained on default, tested on sceptical" in found.note
    [found] = transfer_checks(matrix(on_stranger=0))
    assert found.verdict == "cannot say"
    [found] = transfer_checks(Matrix(("default",), {"default": []}, {}))
    assert found.verdict == "cannot say"


def test_the_trained_are_compared_with_the_script_call_by_call() -> None:
    gained = trained_gain(matrix(), "default", calls("scripted", 10))
    assert gained.value == pytest.approx(21 / 40 - 10 / 40)
    assert gained.count == 3
    # Calls that the script has not played say nothing.
    assert trained_gain(matrix(), "default", calls("scripted", 10, 20)).value == pytest.approx(20 / 20 - 10 / 20)
    assert trained_gain(matrix(), "analytical", calls("scripted", 10)).value is None


def test_two_policies_cannot_say() -> None:
    few = matrix()
    few = Matrix(few.variants, {name: own[:2] for name, own in few.policies.items()}, few.sellers)
    number = matrix_tables(few)[0].number(["duca on default"], "default")
    assert number.value is not None and number.low is None
    assert transfer_checks(few)[0].verdict == "cannot say"
