"""How calls are summed up: valid ones, strata that the seller was not told of, faults beside conversion."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

import pytest

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.benchmarks.aggregation import Summary, aggregate
from fogline.benchmarks.evaluation import EvalConfig, evaluate, make_plan
from fogline.benchmarks.measures import suite_of
from fogline.benchmarks.sales_dialogue import fingerprint, outcome_class
from fogline.core.episode import Episode, Failure, Status, Turn
from fogline.core.intervals import wilson
from fogline.simulators.customers.products import bundled_cards, card_of
from fogline.simulators.customers.scenarios import scenario_of, task_ids

ENV = "SalesDialogue-v0"
DOMAIN = "mobile-plan"
TASKS = task_ids((DOMAIN,), "test", 20)


def call(task_id: str, seed: int = 0, status: Status = "terminated", **metrics: Any) -> Episode:
    known: dict[str, Any] = {
        "converted": False, "agreed": False, "hung_up": False, "refused": False, "turns": 2,
        "turns_to_conversion": None, "repetition": 0.0, "mean_max_similarity": 0.1, "exact_duplicate_rate": 0.0,
        "distinct_2": 1.0, "detected": False, "revealed": False, "false_close": False, "breached": False,
        "breaches": {}, "fluency": 0.0, "malformed": 0,
    }  # fmt: skip
    known.update(metrics)
    turns = (Turn("agent", "o", "a", 0.0, {}, "greet"), Turn("agent", "o", "a", float(known["converted"]), {}, "pitch"))
    return Episode(ENV, task_id, seed, turns, status, metrics=known)


def failed(task_id: str, status: Status, kind: str) -> Episode:
    return Episode(ENV, task_id, 0, (), status, failure=Failure(kind, "gone", 3))


def summed(episodes: list[Episode], **env_kwargs: Any) -> Summary:
    return aggregate(episodes, suite_of(ENV, env_kwargs), TASKS, (0,))


def test_conversion_is_of_valid_calls_and_faults_are_of_all() -> None:
    episodes = [
        *(call(task, converted=index < 3, turns_to_conversion=9 if index < 3 else None) for index, task in
          enumerate(TASKS[:10])),
        *(failed(task, "infra_error", "SimulatorFault") for task in TASKS[10:14]),
        failed(TASKS[14], "infra_error", "SamplingIgnored"),
        failed(TASKS[15], "infra_error", "RateLimited"),
        failed(TASKS[16], "agent_error", "ContextLengthExceeded"),
    ]  # fmt: skip
    summary = summed(episodes)
    conversion, faults = summary.measure("converted").average, summary.measure("simulator_fault").average
    # An agent that failed by itself did not convert; what the simulator or the wire broke is no call.
    assert (conversion.value, conversion.interval, conversion.tasks) == (3 / 11, wilson(3, 11), 11)
    assert (faults.value, faults.interval, faults.tasks) == (5 / 17, wilson(5, 17), 17)
    names = [measure.name for measure in summary.measures]
    assert names.index("simulator_fault") == names.index("converted") + 1
    assert summary.measure("turns_to_conversion").average.value == 9
    assert summary.measure("turns_to_conversion").average.tasks == 3
    assert summary.measure("detected").average.tasks == 10


def test_strata_are_the_customers_of_the_tasks_in_that_variant() -> None:
    for variant in ("default", "sceptical"):
        scenarios = {task: scenario_of(task, variant=variant) for task in TASKS}
        summary = summed([call(task, converted=scenarios[task].is_buyer) for task in TASKS], variant=variant)
        found = {(group.by, group.name): group for group in summary.groups}
        buyers = [task for task in TASKS if scenarios[task].is_buyer]
        assert 0 < len(buyers) < len(TASKS)
        assert found["customer", "buyer"].tasks == len(buyers)
        assert found["customer", "buyer"].averages["converted"].value == 1
        assert found["customer", "non-buyer"].averages["converted"].value == 0
        assert found["domain", DOMAIN].tasks == len(TASKS)
        personas = {name: group.tasks for (by, name), group in found.items() if by == "persona"}
        assert personas == {
            persona: sum(scenario.persona == persona for scenario in scenarios.values())
            for persona in {scenario.persona for scenario in scenarios.values()}
        }


def test_breaches_are_counted_by_kind_and_occurrence() -> None:
    rules = {"over_promise": 2, "false_denial": 1}
    summary = summed([call(TASKS[0], breaches=rules, breached=True), call(TASKS[1], breaches={"over_promise": 1})])
    assert summary.incidents == {"over_promise": 3, "false_denial": 1}


@pytest.mark.parametrize(
    ("episode", "expected"),
    [
        (call(TASKS[0], converted=True, agreed=True), "converted"),
        (call(TASKS[0], hung_up=True, agreed=True), "hung_up"),
        (call(TASKS[0], false_close=True, agreed=True), "false_close"),
        (call(TASKS[0], status="truncated", agreed=True), "agreed_only"),
        (call(TASKS[0], status="truncated"), "out_of_turns"),
        (call(TASKS[0]), "ended"),
        (failed(TASKS[0], "agent_error", "AgentError"), "agent_error"),
    ],
)
def test_a_call_ends_in_one_way(episode: Episode, expected: str) -> None:
    assert outcome_class(episode) == expected


def test_other_cards_are_other_data() -> None:
    card = bundled_cards()[DOMAIN]
    assert fingerprint({}) == fingerprint({"customer": "rules"})
    assert fingerprint({"domain": DOMAIN}) != fingerprint({})
    changed = card_of({**card.model_dump(mode="json"), "incentive": "a second month for nothing"})
    assert fingerprint({"domain": changed}) != fingerprint({"domain": card}) == fingerprint({"domain": DOMAIN})


def test_an_evaluation_has_every_measure(tmp_path: Path) -> None:
    config = EvalConfig(
        env=ENV,
        agent="scripted",
        env_kwargs={"split": "test", "scenarios": 4},
        store=str(tmp_path / "runs.db"),
    )
    assert make_plan(config).cell["data"] == fingerprint({})
    summary = evaluate(config).summary
    assert summary.scored == summary.tasks == 4 * len(bundled_cards())
    missing = {measure.name for measure in summary.measures if measure.average.value is None}
    assert missing <= {"turns_to_conversion"}
    assert {group.by for group in summary.groups} == {"domain", "persona", "customer"}
    assert sum(summary.outcome_classes.values()) == summary.scored


def test_tasks_that_share_a_seed_share_no_luck() -> None:
    """Otherwise no interval over tasks would mean anything: an evaluation plays all of them with one seed."""
    factory = partial(make_environment, ENV, {"split": "test", "scenarios": 8})
    tasks, seeds = [task for domain in bundled_cards() for task in task_ids((domain,), "test", 8)], range(12)
    calls = collect_all(
        factory, make_agent("always-close", ENV), [Assignment(task, seed) for seed in seeds for task in tasks],
        concurrency=64,
    )  # fmt: skip
    turns = [fmean(len(item.turns) for item in calls if item.seed == seed) for seed in seeds]
    spread = pvariance([len(item.turns) for item in calls])
    # With luck in common the means would vary dozens of times as much.
    assert pvariance(turns) < 4 * spread / len(tasks)
    assert math.isfinite(spread) and spread > 0
