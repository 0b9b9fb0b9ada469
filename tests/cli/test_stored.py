"""``fogline envs``, ``rescore`` and ``export`` as a newcomer meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Invoke

QUICK = ("eval", "TrustSQL-v0", "--limit", 3)


def test_envs_lists_every_registered_environment(invoke: Invoke) -> None:
    import fogline.envs

    rows = json.loads(invoke("envs", "--json").stdout)
    assert [row["id"] for row in rows] == list(fogline.envs.ENV_IDS)
    [trust_sql] = [row for row in rows if row["id"] == "TrustSQL-v0"]
    assert (trust_sql["observation"], trust_sql["action"], trust_sql["tasks"]) == ("text", "text", 144)
    assert "oracle" in trust_sql["agents"]
    assert "TrustSQL-v0" in invoke("envs").stdout


def test_an_evaluation_is_scored_again_and_exported(invoke: Invoke, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    played = invoke(*QUICK, "-a", "oracle", "--samples", 2, "--store", store, "--json")
    assert played.exit_code == 0, played.stderr
    run = json.loads(played.stdout)["run_id"]

    table = invoke("rescore", store, "--comparator", "strict")
    assert table.exit_code == 0, table.stderr
    assert "Execution accuracy, strict" in table.stdout
    assert "6 new scores stored" in table.stdout
    [report] = json.loads(invoke("rescore", store, "-c", "strict", "--json").stdout)
    assert (report["run_id"], report["written"]) == (run, 0)
    assert report["measures"]["ex"]["value"] == 1.0

    exported = invoke("export", store, tmp_path / "out", "--run", run, "--json")
    assert exported.exit_code == 0, exported.stderr
    rows = {Path(item["file"]).name: item["rows"] for item in json.loads(exported.stdout)}
    assert (rows["episodes.parquet"], rows["runs.parquet"], rows["scores.parquet"]) == (6, 1, 6)
    assert all(Path(item["file"]).stat().st_size == item["bytes"] for item in json.loads(exported.stdout))
    assert "Look at it" in invoke("export", store, tmp_path / "again").stdout


def test_several_agents_are_compared(invoke: Invoke, tmp_path: Path) -> None:
    words = (*QUICK, "-a", "heuristic", "-a", "oracle", "--store", tmp_path / "runs.db")
    table = invoke(*words)
    assert table.exit_code == 0, table.stderr
    heading = next(line for line in table.stdout.splitlines() if "Measure" in line)
    assert heading.index("heuristic") < heading.index("oracle")
    reports = json.loads(invoke(*words, "--json").stdout)
    assert [report["config"]["agent"] for report in reports] == ["heuristic", "oracle"]
    assert [report["played"] for report in reports] == [0, 0]
    misspelt = invoke(*words, "-a", "oracel")
    assert misspelt.exit_code == 2
    assert misspelt.stdout == ""


def test_the_scores_fit_a_terminal_of_80_columns(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = (*QUICK, "-a", "oracle", "--samples", 2, "--store", tmp_path / "runs.db")
    lines = invoke(*words).stdout.splitlines()
    shown = lines[: next(index for index, line in enumerate(lines) if line.startswith("6 of 6"))]
    assert max(map(len, shown)) <= 80
    assert not any("…" in line.replace(" … ", "") for line in shown)


def test_a_store_that_is_not_there_is_not_made(invoke: Invoke, tmp_path: Path) -> None:
    absent = tmp_path / "absent.db"
    for words in (("rescore", absent), ("export", absent, tmp_path / "out")):
        result = invoke(*words)
        assert result.exit_code in (1, 2)
        assert result.stderr.startswith("Error: ")
        assert "absent.db" in result.stderr
    assert not absent.exists()


def test_an_unknown_run_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    assert invoke(*QUICK, "-a", "heuristic", "--store", store).exit_code == 0
    assert invoke("rescore", store, "--run", "nobody").exit_code == 2
    assert invoke("export", store, tmp_path / "out", "--run", "nobody").exit_code in (1, 2)
    assert invoke("rescore", store, "-c", "spyder").exit_code == 2
