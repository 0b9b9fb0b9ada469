"""The speed benchmarks measure what they say, and say it in a report. No time is asserted here."""

from __future__ import annotations

import json
import sqlite3
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fogline.benchmarks.speed import contestants, imports, sales_dialogue, statements, suite, trivial
from fogline.benchmarks.speed.report import Effort, Finding, SpeedReport, Target
from fogline.benchmarks.speed.statements import Ground, StatementClass
from fogline.benchmarks.speed.suite import BENCHMARKS, SpeedConfig, run_suite
from fogline.benchmarks.speed.timing import MeasurementFailed, Spread, alternate, time_calls
from fogline.core.errors import ConfigurationError, DataError, MissingDependencyError

TINY = Effort(rounds=2, seconds=0.001)
FIELDS = {
    "benchmark", "case", "subject", "peer", "unit", "subject_value", "peer_value", "quantity", "seen", "seen_unit",
    "ratio", "target", "verdict", "note",
}  # fmt: skip
CASES = {
    "sql-step": {
        f"{asked}, {form}"
        for asked in ("metadata", "light, 1 row", "light, 30 rows", "1 ms", "5 ms", "50 ms", "5 ms of sorting")
        for form in ("structured", "text")
    },
    "sql-peer": {
        "metadata", "light, 1 row", "light, 30 rows", "1 ms", "5 ms", "50 ms", "5 ms of sorting",
        "geometric mean of the judged",
    },
    "text-step": {"step, Turn and info", "through the collector"},
    "sales-dialogue": {"act mode", "text mode, the same words"},
    "merchant-strategy": {
        "one shop, true market", "4,096 shops, true market", "4,096 shops, hybrid", "4,096 shops, fitting branch"
    },
    "merchants": {"fit", "2 strategies", "memory", "growth of the fit", "growth of what-if"},
    "import": {"time", "heavy packages loaded"},
    "waiting": {"256 × 10 ms awaited (step_async)", "256 × 10 ms in threads (blocking)"},
}  # fmt: skip
JUDGED = {"sql-step": 12, "sql-peer": 4, "text-step": 2, "sales-dialogue": 1, "merchant-strategy": 2, "merchants": 5,
          "import": 2, "waiting": 1}  # fmt: skip


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground.bundled()


def finding(seen: float, target: Target | None) -> Finding:
    spread = Spread(seen, seen - 1, seen + 1)
    return Finding("b", "c", "s", "p", "µs", Spread(6.0, 5.0, 7.0), Spread(3.0, 2.0, 4.0), "q", spread, "µs", target)


# These have sizes of their own: test_speed_training.py, test_speed_optimisers.py, test_speed_distillation.py,
# test_speed_tables.py, test_speed_sweep.py, test_speed_scale.py, test_speed_decoding.py.
ELSEWHERE = {"training", "optimisers", "distillation", "tables", "sweep", "scale", "decoding"}


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in ELSEWHERE])
def test_each_benchmark_measures_every_case_it_names(name: str) -> None:
    found: list[Finding] = import_module(BENCHMARKS[name]).run(TINY)
    assert {item.case for item in found} == CASES[name]
    assert {item.benchmark for item in found} == {name}
    assert sum(item.target is not None for item in found) == JUDGED[name]
    for item in found:
        assert set(item.to_json()) == FIELDS
        for spread in (item.subject_value, item.peer_value, item.seen):
            assert spread.low <= spread.median <= spread.high
        assert item.subject_value.low > 0 and item.peer_value.low > 0
        assert (item.verdict in ("PASS", "FAIL")) == (item.target is not None)


def test_the_environments_load_no_heavy_package() -> None:
    assert imports.fresh_import("fogline.envs").loaded == []


def test_an_import_that_fails_is_no_measurement() -> None:
    with pytest.raises(MeasurementFailed, match=r"fogline\.nowhere"):
        imports.fresh_import("fogline.nowhere")


@pytest.mark.parametrize(
    ("sense", "bound", "verdict"),
    [("at most", 10.0, "PASS"), ("at most", 9.9, "FAIL"), ("at least", 10.0, "PASS"), ("at least", 10.1, "FAIL")],
)
def test_the_verdict_is_the_medians_side_of_the_bound(sense: Any, bound: float, verdict: str) -> None:
    assert finding(10.0, Target(sense, bound)).verdict == verdict


def test_a_finding_without_target_has_a_ratio_and_no_verdict() -> None:
    assert finding(10.0, None).verdict == ""
    assert finding(10.0, None).ratio == 2.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0.1, 1e6))
def test_a_spread_lies_in_order_and_scales(rounds: list[float], scale: float) -> None:
    spread, scaled = Spread.of(rounds), Spread.of(rounds, scale)
    assert spread.low <= spread.median <= spread.high
    assert scaled == pytest.approx(tuple(value * scale for value in spread))


class Watched:
    def __init__(self, name: str, log: list[tuple[str, str, int]]) -> None:
        self.name, self._log = name, log

    def prepare(self, index: int) -> None:
        self._log.append((self.name, "prepare", index))

    def call(self, index: int) -> None:
        self._log.append((self.name, "call", index))

    def close(self) -> None:
        pass


def test_subjects_take_turns_in_blocks_after_a_round_that_warms_up() -> None:
    log: list[tuple[str, str, int]] = []
    seconds = time_calls([Watched("a", log), Watched("b", log)], rounds=3, calls=2)
    block = [("prepare", 0), ("call", 0), ("prepare", 1), ("call", 1)]
    assert log == [(name, *entry) for _ in range(1 + 3) for name in ("a", "b") for entry in block]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_the_round_that_warms_up_does_not_count() -> None:
    counts = {"a": iter(range(10)), "b": iter(range(10, 20))}
    given_back = alternate({name: lambda numbers=numbers: next(numbers) for name, numbers in counts.items()}, rounds=2)  # type: ignore[misc]
    assert given_back == {"a": [1, 2], "b": [11, 12]}


def test_joins_of_a_set_cost_do_not_sort_unless_they_are_meant_to(ground: Ground) -> None:
    with ground.connect() as connection:
        for template, sorts in ((statements.WITHOUT_SORTING, False), (statements.WITH_SORTING, True)):
            sql = template.format(tracks=2)
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
            assert ("USE TEMP B-TREE" in plan) == sorts
            assert 1 <= len(connection.execute(sql).fetchall()) <= 50


def test_a_cost_that_the_database_is_too_small_for_is_refused(ground: Ground) -> None:
    with ground.connect() as connection, pytest.raises(DataError, match="expected 3600 s"):
        statements.calibrate(connection, 3600)


def test_the_raw_connection_cannot_write(ground: Ground) -> None:
    with ground.connect() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("CREATE TABLE t (x)")


@pytest.mark.parametrize("form", ["text", "structured"])
def test_a_statement_that_fails_is_not_timed(ground: Ground, form: Any) -> None:
    broken = StatementClass("broken", ("SELECT nothing FROM nowhere",), False, 0.0)
    with pytest.raises(MeasurementFailed, match="TrustSQL-v0"):
        contestants.FoglineStep(ground, broken, form)
    with pytest.raises(MeasurementFailed, match="skyrl-gym"):
        contestants.SkyRLStep(ground, broken)


def test_all_contestants_give_the_same_rows(ground: Ground) -> None:
    asked = StatementClass("rows", ("SELECT TrackId, Name FROM Track WHERE TrackId IN (1, 2, 3)",), False, 0.0)
    raw, ours, theirs = (
        contestants.RawSqlite(ground, asked.statements),
        contestants.FoglineStep(ground, asked, "text"),
        contestants.SkyRLStep(ground, asked),
    )
    rows: Any = raw.call(0)
    observation = ours.call(0)[0]
    shown = theirs.call(0)["observations"][0]["content"]
    for subject in (raw, ours, theirs):
        subject.close()
    assert len(rows) == 3
    for number, name in rows:
        assert f"{number}\t{name}" in observation
        assert name in shown


def test_an_episode_of_timed_steps_begins_anew_before_its_budget_ends(ground: Ground) -> None:
    asked = StatementClass("one", ("SELECT COUNT(*) FROM Track",), False, 0.0)
    ours, theirs = contestants.FoglineStep(ground, asked, "structured"), contestants.SkyRLStep(ground, asked)
    for index in range(3 * contestants.TIMED_TURNS):
        ours.prepare(index)
        _, _, terminated, truncated, info = ours.call(index)
        assert not terminated and not truncated and info["status"] == "ok" and info["violations"] == []
        theirs.prepare(index)
        assert not theirs.call(index)["done"]
    ours.close()
    theirs.close()


def test_without_the_peer_its_extra_is_named(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skyrl_gym.envs.sql.env", None)
    with pytest.raises(MissingDependencyError, match=r"fogline\[dev\]"):
        contestants.SkyRLStep(ground, StatementClass("one", ("SELECT 1",), False, 0.0))


def test_the_trivial_environment_pays_each_turn_and_the_end() -> None:
    env = trivial.TrivialText(3)
    env.reset(seed=0)
    steps = [env.step(trivial.ACTION) for _ in range(3)]
    assert sum(step[1] for step in steps) == pytest.approx(3 * 0.1 + 1.0)
    assert [step[2] for step in steps] == [False, False, True]


def test_the_two_modes_of_a_sales_call_play_the_same_turns_again_and_again() -> None:
    script = sales_dialogue.Script(30)
    assert 30 < script.turns <= 30 * 12
    assert {script.play(mode) for mode in ("acts", "text", "acts")} == {script.turns}
    script.turns += 1
    with pytest.raises(MeasurementFailed, match="expected"):
        script.play("text")


@pytest.fixture
def two_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """``waiting`` breaks, ``import`` misses its target."""

    def breaks(effort: Effort) -> list[Finding]:
        raise MeasurementFailed("nobody waited.")

    monkeypatch.setattr(import_module(BENCHMARKS["waiting"]), "run", breaks)
    monkeypatch.setattr(imports, "run", lambda effort: [finding(2.0, Target("at most", 1.5))])


@pytest.mark.usefixtures("two_benchmarks")
def test_a_benchmark_that_cannot_run_does_not_stop_the_others() -> None:
    begun: list[tuple[int, int, str]] = []
    report = run_suite(SpeedConfig(only=("waiting", "import"), quick=True), lambda *state: begun.append(state), "typed")
    assert begun == [(0, 2, "import"), (1, 2, "waiting")]
    assert report.failures == {"waiting": "MeasurementFailed: nobody waited."}
    assert [item.verdict for item in report.findings] == ["FAIL"] and len(report.missed) == 1
    written = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert set(written) == {
        "command", "started", "wall_clock_s", "versions", "hardware", "config", "findings", "failures"
    }  # fmt: skip
    assert written["command"] == "typed"
    assert written["config"] == {"only": ["waiting", "import"], "quick": True}
    assert {"processor", "cores", "memory_bytes", "system", "load_before", "load_after"} == set(written["hardware"])
    assert {"python", "sqlite", "fogline", "gymnasium", "skyrl-gym"} <= set(written["versions"])


def test_an_unknown_benchmark_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'waiting'"):
        run_suite(SpeedConfig(only=("import", "wating")))


def run_command(*words: str) -> Any:
    from fogline.cli.main import app

    return CliRunner().invoke(app, ["bench", *words], env={"COLUMNS": "120"})


@pytest.mark.usefixtures("two_benchmarks")
def test_a_missed_target_is_shown_and_fails_only_when_strict() -> None:
    shown = run_command("--only", "import")
    assert shown.exit_code == 0
    assert "FAIL" in shown.stdout and "≤ 1.5 µs" in shown.stdout and "0 of 1 targets met" in shown.stdout
    assert run_command("--only", "import", "--strict").exit_code == 1


@pytest.mark.usefixtures("two_benchmarks")
def test_the_command_fails_when_a_benchmark_cannot_run_and_still_writes_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "new" / "speed.json"
    done = run_command("--only", "import", "--only", "waiting", "--json", "--output", str(file))
    assert done.exit_code == 1
    assert "waiting could not run: MeasurementFailed: nobody waited." in done.stderr
    written = json.loads(file.read_text("utf-8"))
    assert json.loads(done.stdout) == written
    assert [item["verdict"] for item in written["findings"]] == ["FAIL"]


def test_a_wrong_name_is_bad_usage() -> None:
    done = run_command("--only", "wating")
    assert done.exit_code == 2
    assert "waiting" in done.stderr and "Traceback" not in done.stderr


def test_every_benchmark_is_listed_in_the_help() -> None:
    help_text = run_command("--help").stdout
    assert [name for name in BENCHMARKS if name not in help_text] == []


def test_the_report_counts_what_it_missed() -> None:
    findings = (finding(1.0, Target("at most", 2.0)), finding(3.0, Target("at most", 2.0)), finding(9.0, None))
    report = SpeedReport(findings, {}, {}, {}, {}, "now", 1.0)
    assert report.missed == (findings[1],)
    assert suite.BENCHMARKS.keys() == {*CASES, *ELSEWHERE}
