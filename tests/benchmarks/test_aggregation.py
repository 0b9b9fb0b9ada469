"""What a summary says about hand-made episodes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from fogline.benchmarks.aggregation import Estimate, Summary, aggregate, estimate
from fogline.benchmarks.measures import Measure, Suite, suite_of
from fogline.core.episode import Episode, Failure, Status, Turn, Usage
from fogline.core.intervals import cluster_bootstrap, ratio_bootstrap, wilson

SEEDS = (11, 22, 33)
CLASS = {1.0: "correct", 0.0: "logic"}


def episode(task_id: str, seed: int, ex: float, **changes: Any) -> Episode:
    metrics = {
        "ex": ex, "soft_f1": ex, "final_sql": "SELECT 1", "answer_key": f"key{ex}", "difficulty": "easy",
        "database": "shop", "error_class": CLASS[ex], "violations": [], "hallucinated": False, "ungrounded": False,
        "schema_exact": ex, "schema_table_precision": 1.0, "schema_table_recall": 0.5, "schema_column_precision": 1.0,
        "schema_column_recall": 0.25,
    }  # fmt: skip
    metrics.update(changes.pop("metrics", {}))
    turns = (Turn("agent", "o", "a", 0.0, {}, "explore"), Turn("agent", "o", "a", ex + 0.1, {}, "confirm"))
    return Episode("TrustSQL-v0", task_id, seed, turns, "terminated", metrics=metrics, **changes)


def failed(task_id: str, seed: int, status: Status, kind: str, message: str = "gone") -> Episode:
    return Episode("TrustSQL-v0", task_id, seed, (), status, failure=Failure(kind, message))


def summarise(
    episodes: list[Episode], tasks: tuple[str, ...], seeds: tuple[int, ...] = SEEDS, **kwargs: Any
) -> Summary:
    return aggregate(episodes, suite_of("TrustSQL-v0", kwargs), tasks, seeds)


def test_samples_are_averaged_before_tasks() -> None:
    episodes = [episode("a", seed, 1.0) for seed in SEEDS] + [episode("b", SEEDS[0], 0.0), episode("b", SEEDS[1], 1.0)]
    ex = summarise(episodes, ("a", "b")).measure("ex")
    assert ex.average.value == pytest.approx((1 + 0.5) / 2)
    assert ex.average.tasks == 2
    # "b" has two scored samples only: it enters k = 1 and 2, not k = 3.
    assert ex.pass_at[1].value == pytest.approx(0.75)
    assert ex.pass_at[2].value == pytest.approx(1.0)
    assert ex.pass_hat[2].value == pytest.approx((1 + 0) / 2)
    assert ex.pass_at[3].tasks == 1


def test_unscored_episodes_enter_no_average_and_are_counted() -> None:
    episodes = [
        episode("a", SEEDS[0], 1.0),
        failed("a", SEEDS[1], "infra_error", "RateLimited", "slow down"),
        failed("b", SEEDS[0], "env_error", "OSError"),
        failed("b", SEEDS[1], "infra_error", "RateLimited", "again"),
    ]
    summary = summarise(episodes, ("a", "b"))
    assert (summary.planned, summary.scored, summary.unscored, summary.missing) == (6, 1, 3, 2)
    assert summary.measure("ex").average == estimate([1.0], "success", single=False)
    assert summary.measure("reward").average.value == pytest.approx(1.1)
    found = [(item.status, item.kind, item.episodes, item.example) for item in summary.failures]
    assert found == [("infra_error", "RateLimited", 2, "slow down"), ("env_error", "OSError", 1, "gone")]
    assert summary.statuses == {"infra_error": 2, "env_error": 1, "terminated": 1}


def test_the_agents_own_failure_counts_as_wrong() -> None:
    exhausted = failed("b", SEEDS[0], "agent_error", "ContextLengthExceeded")
    broken = failed("c", SEEDS[0], "agent_error", "AgentError")
    summary = summarise([episode("a", SEEDS[0], 1.0), exhausted, broken], ("a", "b", "c"), SEEDS[:1])
    assert summary.measure("ex").average.value == pytest.approx(1 / 3)
    assert summary.measure("unconfirmed").average.value == pytest.approx(2 / 3)
    assert summary.outcome_classes == {"agent_error": 1, "correct": 1, "no_answer": 1}
    assert summary.unscored == 0
    assert len(summary.failures) == 2


def test_rates_of_answers_leave_out_what_has_no_answer() -> None:
    episodes = [
        episode("a", SEEDS[0], 0.0, metrics={"hallucinated": True, "ungrounded": True}),
        episode("b", SEEDS[0], 1.0),
        episode("c", SEEDS[0], 0.0, metrics={"final_sql": None, "answer_key": None, "error_class": "no_answer"}),
    ]
    summary = summarise(episodes, ("a", "b", "c"), SEEDS[:1])
    assert summary.measure("hallucinated").average.value == pytest.approx(1 / 2)
    assert summary.measure("ungrounded").average.tasks == 2
    assert summary.measure("unconfirmed").average.value == pytest.approx(1 / 3)


def test_the_vote_goes_by_answers_in_sample_order() -> None:
    keyed = [("wrong", 0.0), ("right", 1.0), ("right", 1.0)]
    winning = [
        episode("a", seed, ex, metrics={"answer_key": key}) for seed, (key, ex) in zip(SEEDS, keyed, strict=True)
    ]
    tied = [
        episode("b", SEEDS[0], 0.0, metrics={"answer_key": "wrong"}),
        episode("b", SEEDS[1], 1.0, metrics={"answer_key": "right"}),
        episode("b", SEEDS[2], 0.0, metrics={"answer_key": None, "final_sql": None}),
    ]
    silent = [episode("c", seed, 0.0, metrics={"answer_key": None}) for seed in SEEDS]
    # Episodes arrive in any order; the seeds say which sample is which.
    summary = summarise([*reversed(winning), *reversed(tied), *silent], ("a", "b", "c"))
    majority = summary.measure("ex").majority
    assert majority is not None
    assert majority.value == pytest.approx(1 / 3)
    assert majority.tasks == 3
    assert summary.voting_tasks == 2


def test_intervals_are_wilson_for_one_sample_and_a_bootstrap_over_tasks_for_more() -> None:
    tasks = ("a", "b", "c", "d")
    values = [1.0, 0.0, 1.0, 1.0]
    single = summarise([episode(task, 11, ex) for task, ex in zip(tasks, values, strict=True)], tasks, (11,))
    assert single.measure("ex").average.interval == wilson(3, 4)
    assert single.measure("reward").average.interval == cluster_bootstrap([1.1, 0.1, 1.1, 1.1])
    several = summarise(
        [episode(task, seed, ex) for task, ex in zip(tasks, values, strict=True) for seed in SEEDS], tasks
    )
    assert several.measure("ex").average.interval == cluster_bootstrap(values)


def test_tasks_that_all_agree_fall_back_to_wilson() -> None:
    assert estimate([0.0] * 10, "success", single=False).interval == wilson(0, 10)
    assert estimate([0.5] * 10, "success", single=False).interval is None
    assert estimate([1.1] * 10, "number", single=False).interval is None


def test_a_mean_that_is_not_finite_is_no_number() -> None:
    assert estimate([1.0, float("nan")], "number", single=True).value is None
    assert estimate([], "success", single=True).value is None


def test_breakdowns_know_the_group_of_a_task_from_any_of_its_samples() -> None:
    episodes = [
        failed("a", SEEDS[0], "agent_error", "AgentError"),
        episode("a", SEEDS[1], 1.0, metrics={"difficulty": "hard"}),
        episode("b", SEEDS[0], 1.0),
        failed("c", SEEDS[0], "agent_error", "AgentError"),
    ]
    summary = summarise(episodes, ("a", "b", "c"))
    groups = {group.name: group for group in summary.groups if group.by == "difficulty"}
    assert set(groups) == {"hard", "easy", "unknown"}
    assert groups["hard"].averages["ex"].value == pytest.approx(0.5)
    assert groups["hard"].episodes == 2


def test_violations_are_counted_by_name() -> None:
    noted = {"violations": [[0, "confirm_before_generate"], [2, "confirm_before_generate"], [1, "ungrounded_proposal"]]}
    summary = summarise([episode("a", 11, 0.0, metrics=noted), episode("b", 11, 1.0)], ("a", "b"), (11,))
    assert summary.incidents == {"confirm_before_generate": 2, "ungrounded_proposal": 1}
    assert summary.measure("violating").average.value == pytest.approx(0.5)


def test_schema_measures_need_the_propose_action() -> None:
    names = [measure.name for measure in summarise([], ("a",), propose=False).measures]
    assert "ex" in names
    assert not any(name.startswith("schema") for name in names)


def test_what_is_outside_the_plan_is_left_out() -> None:
    episodes = [episode("a", 11, 1.0), episode("a", 99, 0.0), episode("z", 11, 0.0)]
    summary = summarise(episodes, ("a",), (11,))
    assert summary.scored == 1
    assert summary.measure("ex").average.value == 1.0


def test_usage_is_added_up() -> None:
    used = Usage(wall_s=1.5, model_calls=3, prompt_tokens=100, cost=0.25, retries=1)
    summary = summarise([episode("a", 11, 1.0, usage=used), episode("b", 11, 1.0, usage=used)], ("a", "b"), (11,))
    assert (summary.usage.model_calls, summary.usage.cost, summary.usage.wall_s) == (6, 0.5, 3.0)


def test_other_environments_report_the_numbers_among_their_metrics() -> None:
    turns = (Turn("agent", 0, 1, 2.0, {}),)
    episodes = [
        Episode("Other-v0", "a", 1, turns, "terminated", metrics={"won": True, "points": 3, "note": "x"}),
        Episode("Other-v0", "b", 1, turns, "truncated", metrics={"won": False, "points": 5}),
    ]
    summary = aggregate(episodes, suite_of("Other-v0"), ("a", "b"), (1,))
    assert summary.measure("won").average.value == 0.5
    assert summary.measure("points").average.value == 4.0
    with pytest.raises(KeyError, match="note"):
        summary.measure("note")


def test_weights_make_a_ratio_of_sums_and_nothing_is_what_it_is_said_to_be() -> None:
    counted = Measure("share", "Share", "share", lambda e: e.metrics["share"], weight=lambda e: e.metrics["n"])
    never = Measure("never", "Never", "share", lambda item: None, weight=lambda item: 1.0, empty=0.0)
    unknown = replace(never, name="unknown", weight=None, empty=None)
    shares = {("a", 11): (1.0, 3), ("a", 22): (0.0, 1), ("b", 11): (0.5, 4), ("b", 22): (None, 9)}
    episodes = [
        Episode("E", task, seed, (), "terminated", metrics={"share": share, "n": n})
        for (task, seed), (share, n) in shares.items()
    ]
    summary = aggregate(episodes, Suite((counted, never, unknown)), ("a", "b"), SEEDS[:2])
    assert summary.measure("share").average.value == pytest.approx((3 + 2) / (3 + 1 + 4))
    assert summary.measure("share").average.interval == ratio_bootstrap([3.0, 2.0], [4.0, 4.0])
    assert summary.measure("never").average == Estimate(0.0, None, 0)
    assert summary.measure("unknown").average == Estimate(None, None, 0)


def test_a_summary_is_json_without_nan() -> None:
    json.dumps(asdict(summarise([], ("a",))), allow_nan=False)
