"""The report of a sweep: known numbers come out as they went in, and what is not known is said to be."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swept import Metrics, metrics, store_sweep

from fogline.benchmarks.sweeps.cells import Facts
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.reading import Traffic, read_sweep
from fogline.benchmarks.sweeps.relative_cost import cost_table, relative_cost, relative_cost_interval
from fogline.benchmarks.sweeps.rows import Row, row_of
from fogline.benchmarks.sweeps.silo_report import CANNOT_SAY, ReportConfig, markdown, write_report
from fogline.benchmarks.sweeps.tables import SUCCESS, Number, Table, all_tables, mean
from fogline.core.episode import Episode, Failure
from fogline.core.errors import ConfigurationError, MissingDependencyError
from fogline.core.intervals import cluster_bootstrap
from fogline.core.store import RunStore

RATES = {"I-01": 1.0, "I-02": 0.6, "II-11": 0.4, "III-21": 0.0}


def config(tmp_path: Path, **changes: Any) -> SweepConfig:
    settings: dict[str, Any] = {
        "tasks": tuple(RATES),
        "n_agents": (2, 5),
        "agents": ("tree", "flood"),
        "store": str(tmp_path / "runs.db"),
    }
    return SweepConfig(**settings | changes)


def rate(facts: Facts, number: int) -> Metrics | Failure | None:
    """Success by task, a tenth less with five agents, and another tenth less for the flood."""
    lost = 0.1 * (facts.n_agents == 5) + 0.1 * (facts.agent == "flood")
    return metrics(max(0.0, RATES[facts.task] - lost))


def tables_of(path: str) -> dict[str, Table]:
    rows = read_sweep(path).rows
    return {table.name: table for table in [*all_tables(rows), cost_table(rows)]}


# Numbers


def test_means_are_over_tasks_and_intervals_resample_tasks(tmp_path: Path) -> None:
    settings = config(tmp_path)
    store_sweep(settings, rate)
    found = tables_of(settings.store)
    expected = [1.0, 0.6, 0.4, 0.0]
    number = found["size"].number(("tree", "2"), "success_rate")
    assert number.value == pytest.approx(0.5)
    assert (number.low, number.high) == pytest.approx(cluster_bootstrap(expected))
    assert (number.tasks, number.episodes) == (4, 4 * 3)
    assert found["size"].number(("flood", "5"), "success_rate").value == pytest.approx((0.8 + 0.4 + 0.2) / 4)
    assert found["level"].number(("tree", "I"), "success_rate").value == pytest.approx(np.mean([1.0, 0.9, 0.6, 0.5]))
    assert found["level_by_size"].number(("tree", "I"), "success_rate:5").value == pytest.approx(0.7)
    assert found["task"].number(("flood", "I-01"), "success_rate:files").value == pytest.approx((0.9 + 0.8) / 2)
    assert found["protocol_by_level"].number(("tree", "p2p"), "density:II").value == 0.5
    assert found["all"].number(("tree",), "token_consumption").value == 1.0
    assert found["all"].number(("tree",), "partial_correctness_published") == Number()
    assert [line.labels for line in found["size"].lines] == [
        ("flood", "2"), ("flood", "5"), ("tree", "2"), ("tree", "5")
    ]  # fmt: skip


def test_a_task_with_more_runs_weighs_no_more(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree",), protocols=("p2p",), n_agents=(2,), seeds=3)

    def often(facts: Facts, number: int) -> Metrics | None:
        return None if facts.task != "I-01" and number else metrics(RATES[facts.task])

    store_sweep(settings, often)
    number = tables_of(settings.store)["all"].number(("tree",), "success_rate")
    assert number.value == pytest.approx(0.5)
    assert number.episodes == 6


def test_within_one_task_instances_are_resampled_and_one_alone_has_no_interval(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree",), protocols=("p2p",), n_agents=(2,), seeds=4)
    store_sweep(settings, lambda facts, number: metrics(number / 4))
    rows = read_sweep(settings.store).rows
    number = mean([row for row in rows if row.facts.task == "I-01"], SUCCESS)
    assert (number.low, number.high) == pytest.approx(cluster_bootstrap([0.0, 0.25, 0.5, 0.75]))
    alone = mean(rows[:1], SUCCESS)
    assert (alone.value, alone.low, alone.high) == (0.0, None, None)


def test_failures_enter_no_number_but_their_own_count(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree",), protocols=("p2p",), n_agents=(2,))

    def some(facts: Facts, number: int) -> Metrics | Failure | None:
        broken = {"I-02": Failure("RateLimited", "later"), "II-11": Failure("AgentError", "stumbled"), "III-21": None}
        return metrics(1.0) if facts.task == "I-01" else broken[facts.task]

    store_sweep(settings, some)
    data = read_sweep(settings.store)
    counts = {key: number.value for key, number in data.counts.lines[0].numbers.items()}
    assert counts == {"planned": 4, "scored": 2, "agent_error": 1, "unscored": 1, "missing": 1}
    assert data.failures == {"RateLimited": 1}
    number = tables_of(settings.store)["all"].number(("tree",), "success_rate")
    assert (number.value, number.tasks) == (0.5, 2)  # the agent's own failure is a wrong answer
    density = tables_of(settings.store)["all"].number(("tree",), "density")
    assert (density.value, density.tasks) == (0.5, 1)


def test_failure_labels_and_their_coming_together_are_shares_of_runs(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree",), protocols=("p2p",), n_agents=(2,))
    labels: dict[str, dict[str, Any]] = {
        "I-01": {"premature": 0.5, "consensus_failure": True, "computation_error": 0.5},
        "I-02": {"premature": 0.5, "consensus_failure": True},
        "II-11": {"no_submission": 1.0, "consensus_failure": None},
        "III-21": {},
    }
    store_sweep(settings, lambda facts, number: metrics(0.5, **labels[facts.task]))
    table = tables_of(settings.store)["failures"]
    shares = {key: number.value for key, number in table.lines[0].numbers.items()}
    assert shares == pytest.approx(
        {
            "success": 0.0,
            "any_premature": 2 / 4,
            "any_consensus_failure": 2 / 3,  # a segmented task has no consensus to fail
            "any_computation_error": 1 / 4,
            "any_no_submission": 1 / 4,
            "premature+consensus_failure": 2 / 3,
            "premature+computation_error": 1 / 4,
            "consensus_failure+computation_error": 1 / 3,
            "no_submission+consensus_failure": 0.0,
        }
    )


def test_leaders_and_behaviour_split_the_runs(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree",), protocols=("p2p",), n_agents=(2,))
    leading = {"I-01": True, "I-02": False, "II-11": True, "III-21": False}
    store_sweep(
        settings,
        lambda facts, number: metrics(
            RATES[facts.task], leader=leading[facts.task], messages=6 if facts.task == "I-01" else 2
        ),
    )
    found = tables_of(settings.store)
    leaders = {line.labels: {key: item.value for key, item in line.numbers.items()} for line in found["leaders"].lines}
    assert leaders == {
        ("tree", "I"): {"leader": 0.5, "with": 1.0, "without": 0.6},
        ("tree", "II"): {"leader": 1.0, "with": 0.4, "without": None},
        ("tree", "III"): {"leader": 0.0, "with": None, "without": 0.0},
    }
    assert found["behaviour"].number(("tree", "S = 1"), "messages_per_agent").value == 3.0
    assert found["behaviour"].number(("tree", "S < 1"), "messages_per_agent").value == 1.0
    assert found["behaviour"].number(("tree", "S < 1"), "rounds").tasks == 3


def test_time_per_message_is_that_of_environment_and_agents() -> None:
    from fogline.core.episode import Usage

    played = Episode(
        "SiloBench-v0", "I-01/0", 1, (), "terminated", metrics=metrics(messages=10, density_delivered=0.25),
        usage=Usage(wall_s=9.0, env_s=0.4, agent_s=0.1),
    )  # fmt: skip
    values = row_of(Facts("I-01", 5, "broadcast", "tree", False), played).values
    assert values["seconds_per_message"] == pytest.approx(0.05)
    assert values["seconds_per_delivery"] == pytest.approx(0.5 / (0.25 * 5 * 4))
    silent = row_of(Facts("I-01", 5, "p2p", "tree", False), Episode(
        "SiloBench-v0", "I-01/0", 1, (), "terminated", metrics=metrics(messages=0, density_delivered=0.0)
    )).values  # fmt: skip
    assert "seconds_per_message" not in silent


# Relative coordination cost


def test_relative_cost_is_that_of_the_paper() -> None:
    # Table 2 of the paper, level I and II at k=2 and k=50, in per cent.
    assert relative_cost([0.967], [0.82]) == pytest.approx(0.152, abs=5e-4)
    assert relative_cost([0.30], [0.06]) == pytest.approx(0.80, abs=5e-4)
    assert relative_cost([0.5, 0.1], [0.0, 0.0]) == 1.0
    assert relative_cost([0.0, 0.0], [0.5, 0.0]) is None


@given(st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.0, 1.0)), min_size=2, max_size=12), st.randoms())
def test_an_interval_of_relative_cost_does_not_depend_on_the_order_of_tasks(pairs: Any, random: Any) -> None:
    interval = relative_cost_interval(*zip(*pairs, strict=True))
    random.shuffle(pairs)
    assert relative_cost_interval(*zip(*pairs, strict=True)) == interval
    if interval is not None:
        costs = [1 - together / alone for alone, together in pairs]
        assert min(costs) - 1e-9 <= interval.low < interval.high <= max(costs) + 1e-9


def test_relative_cost_without_enough_data_has_no_interval() -> None:
    assert relative_cost_interval([1.0], [0.5]) is None
    assert relative_cost_interval([1.0, 1.0], [0.5, 0.5]) is None
    # In a quarter of the resamples the single agent is never right: its cost is anything.
    assert relative_cost_interval([1.0, 0.0], [0.5, 0.5]) is None
    rare = [1.0] * 9 + [0.0]
    interval = relative_cost_interval(rare, [0.5] * 5 + [0.0] * 5)
    assert interval is not None
    assert math.isfinite(interval.low)


def test_relative_cost_compares_the_same_tasks_with_the_first_member_alone(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree", "tree+silent", "flood"), baseline=True, n_agents=(2, 5))

    def played(facts: Facts, number: int) -> Metrics | None:
        if facts.baseline:
            return None if facts.task == "I-02" or facts.agent == "flood" else metrics(0.8)
        return metrics(0.6 if facts.agent == "tree" else 0.2)

    store_sweep(settings, played)
    table = tables_of(settings.store)["rcc"]
    assert [line.labels for line in table.lines if line.labels[0] == "tree"] == [
        ("tree", level, size) for level in ("I", "II", "III", "all") for size in ("2", "5")
    ]
    assert not [line for line in table.lines if line.labels[0] == "flood"]
    number = table.number(("tree", "all", "5"), "rcc")
    assert number.value == pytest.approx(1 - 0.6 / 0.8)
    assert (number.tasks, number.episodes) == (3, 3 + 3 * 3)
    assert table.number(("tree+silent", "I", "2"), "rcc").value == pytest.approx(1 - 0.2 / 0.8)
    # The single agent plays alone: no other table counts it.
    assert tables_of(settings.store)["all"].number(("tree",), "success_rate").value == pytest.approx(0.6)


# Reading


def test_only_the_plan_of_the_run_is_read_and_the_latest_sweep_is_the_default(tmp_path: Path) -> None:
    wide, narrow = config(tmp_path, seeds=3), config(tmp_path, seeds=1, agents=("tree",))
    first = store_sweep(wide, lambda facts, number: metrics(0.5 * (number == 0)))
    second = store_sweep(narrow, lambda facts, number: None)
    with RunStore(wide.store) as store:
        store.begin_run("fogline eval", {"env": "TrustSQL-v0"})
    assert len(read_sweep(wide.store, first).rows) == 2 * 24 * 3
    latest = read_sweep(wide.store)
    assert (latest.run.run_id, len(latest.rows)) == (second, 24)
    assert {row.values["success_rate"] for row in latest.rows} == {0.5}


def test_heat_maps_are_means_over_runs_at_the_size_asked_for(tmp_path: Path) -> None:
    settings = config(tmp_path, n_agents=(2, 20, 50), agents=("tree",), protocols=("p2p", "files"))
    store_sweep(settings, lambda facts, number: metrics(pairs=[[0, 1, 2 if facts.task == "I-01" else 4]]))
    data = read_sweep(settings.store)
    assert data.size == 20
    assert set(data.traffic) == {
        Traffic("tree", protocol, level) for protocol in ("p2p", "files") for level in ("I", "II", "III")
    }
    means = data.traffic[Traffic("tree", "p2p", "I")]
    assert means.shape == (20, 20)
    assert (means[0, 1], means.sum()) == (3.0, 3.0)
    assert read_sweep(settings.store, size=2).traffic[Traffic("tree", "p2p", "I")].shape == (2, 2)
    with pytest.raises(ConfigurationError, match=r"heatmap_agents=7 was not played: expected one of \[2, 20, 50\]"):
        read_sweep(settings.store, size=7)


def test_a_store_without_a_sweep_and_an_unknown_run_are_refused(tmp_path: Path) -> None:
    with RunStore(tmp_path / "runs.db") as store:
        run = store.begin_run("fogline eval", {})
    with pytest.raises(ConfigurationError, match="has no sweep"):
        read_sweep(str(tmp_path / "runs.db"))
    with pytest.raises(ConfigurationError, match="is no sweep"):
        read_sweep(str(tmp_path / "runs.db"), run)
    with pytest.raises(ConfigurationError, match="is not in the store"):
        read_sweep(str(tmp_path / "runs.db"), "nowhere")


# Writing


def written(tmp_path: Path, settings: SweepConfig, name: str = "out") -> dict[str, str]:
    report = write_report(ReportConfig(store=settings.store, out=str(tmp_path / name)))
    return {file.name: file.read_text(encoding="utf-8") for file in report.files}


def test_the_report_is_a_page_a_text_and_two_tables_that_agree(tmp_path: Path) -> None:
    settings = config(tmp_path, baseline=True)
    run = store_sweep(settings, rate)
    files = written(tmp_path, settings)
    assert set(files) == {"report.md", "report.html", "tables.json", "tables.csv"}
    document = json.loads(files["tables.json"])
    assert document["run"]["run_id"] == run
    tables = {table["name"]: table for table in document["tables"]}
    line = next(line for line in tables["size"]["lines"] if line["labels"] == {"agent": "tree", "n_agents": "2"})
    number = line["numbers"]["success_rate"]
    assert number["value"] == pytest.approx(0.5)
    rows = list(csv.DictReader(files["tables.csv"].splitlines()))
    (same,) = (
        row for row in rows
        if (row["table"], row["line"], row["column"]) == ("size", "agent=tree, n_agents=2", "success_rate")
    )  # fmt: skip
    assert (float(same["value"]), float(same["low"])) == (number["value"], number["low"])
    shown = f"50.0 % ({100 * number['low']:.1f} … {100 * number['high']:.1f})"
    assert f"| tree | 2 | {shown} |" in files["report.md"]
    for table in document["tables"]:
        assert f"## {table['title']}" in files["report.md"]
        assert f'id="{table["name"]}"' in files["report.html"]


def test_the_page_opens_without_a_network_and_holds_every_figure(tmp_path: Path) -> None:
    settings = config(tmp_path, baseline=True, protocols=("p2p", "files"))
    store_sweep(settings, rate)
    page = written(tmp_path, settings)["report.html"]
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page)
    figures = set(re.findall(r'id="figure-([^"]+)"', page))
    scaling = {"success_rate", "partial_correctness", "token_consumption", "density", "redundancy", "characters_sent"}
    assert scaling | {"max_in_degree", "seconds_per_message", "rcc", "pairs-p2p", "pairs-files"} <= figures
    for name in figures:
        assert f'id="plot-{name}"' in page


def test_the_same_store_gives_the_same_files(tmp_path: Path) -> None:
    settings = config(tmp_path)
    store_sweep(settings, rate)
    assert written(tmp_path, settings, "one") == written(tmp_path, settings, "other")


def test_what_has_no_data_is_said_to_have_none(tmp_path: Path) -> None:
    settings = config(tmp_path, agents=("tree",))
    store_sweep(settings, lambda facts, number: Failure("RateLimited", "later"))
    files = written(tmp_path, settings)
    assert "Not scored, by kind of failure: RateLimited 24." in files["report.md"]
    assert "Cannot say: there are no data." in files["report.md"]
    store_sweep(settings, lambda facts, number: metrics(leader=False))
    assert f"| tree | I | 0.0 % (0.0 … 65.8) | {CANNOT_SAY} |" in written(tmp_path, settings)["report.md"]


def test_a_name_cannot_break_out_of_the_page_or_its_table(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>|x"
    rows = [
        Row(Facts(task, 2, "p2p", hostile, False), f"{task}/0", {"success_rate": 1.0, "success": 1.0})
        for task in ("I-01", "I-02")
    ]
    from fogline.benchmarks.sweeps.figures import Figure, _lines
    from fogline.benchmarks.sweeps.silo_report import page
    from fogline.benchmarks.sweeps.tables import tabulate

    table = tabulate("x", "X", rows, ("agent", "protocol", "n_agents"), (SUCCESS,))
    text = page([table], [Figure("x", "X", "", _lines(table, SUCCESS))], ["intro"])
    assert "<script>alert(1)" not in text
    assert "\\|x | p2p | 2 |" in markdown([table], [])


@pytest.mark.parametrize("package", ["plotly", "jinja2"])
def test_without_the_packages_of_the_report_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"'{package}' is not installed.*fogline\[report\]"):
        write_report(ReportConfig(store=str(tmp_path / "absent.db"), out=str(tmp_path / "out")))
    assert list(tmp_path.iterdir()) == []
