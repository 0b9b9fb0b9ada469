"""``fogline sweep`` and ``fogline report``: flags, exit statuses, resuming, what is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Invoke, Shell

SMALL = ("sweep", "silo-bench", "--task", "I-01", "--task", "II-11", "-N", 2, "-N", 3, "--protocol", "p2p")
WAITING = ("-a", "silo_players:Waiting")


def swept(invoke: Invoke, store: Path, *words: object) -> dict[str, Any]:
    result = invoke(*SMALL, "--store", store, "--json", *words)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_flags_say_what_is_swept_and_a_second_sweep_plays_nothing(invoke: Invoke, tmp_path: Path) -> None:
    words = ("-a", "tree", "-a", "tree+silent", "--seeds", 2, "-k", "max_rounds=6")
    first = swept(invoke, tmp_path / "runs.db", *words)
    assert (first["cells"], first["complete"], first["played"]) == (8, 8, 16)
    config = first["config"]
    assert (config["tasks"], config["n_agents"], config["protocols"]) == (["I-01", "II-11"], [2, 3], ["p2p"])
    assert (config["agents"], config["env_kwargs"]) == (["tree", "tree+silent"], {"max_rounds": 6})
    again = swept(invoke, tmp_path / "runs.db", *words)
    assert (again["played"], again["reused"]) == (0, 16)
    assert again["table"] == first["table"]
    assert [line["labels"] for line in first["table"]["lines"]] == [
        {"agent": agent, "protocol": "p2p"} for agent in ("tree", "tree+silent")
    ]


def test_the_paper_preset_is_1620_cells_and_other_options_win(invoke: Invoke, tmp_path: Path) -> None:
    words = ("sweep", "silo-bench", "--store", tmp_path / "runs.db", "--dry-run", "--json")
    paper = json.loads(invoke(*words, "--preset", "paper").stdout)
    assert (paper["cells"], paper["episodes"]) == (1620, 1620)
    part = json.loads(invoke(*words, "--preset", "quick", "-N", 2, "--seeds", 3).stdout)
    assert (part["cells"], part["episodes"]) == (54, 162)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_file_is_over_the_preset_and_under_the_flags(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('n_agents = [2, 3]\nagents = ["silent"]\nseeds = 2\n[env_kwargs]\nmax_rounds = 9\n')
    words = ("sweep", "silo-bench", "--preset", "quick", "--config", file, "--store", tmp_path / "runs.db", "--json")
    result = invoke(*words, "--protocol", "files", "--seeds", 1)
    assert result.exit_code == 0, result.output
    config = json.loads(result.stdout)["config"]
    assert (config["n_agents"], config["agents"], config["seeds"]) == ([2, 3], ["silent"], 1)
    assert (len(config["tasks"]), config["env_kwargs"]) == (6, {"max_rounds": 9})
    written = tmp_path / "sweep.json"
    written.write_text(json.dumps(config))
    again = invoke("sweep", "silo-bench", "--config", written, "--json")
    assert json.loads(again.stdout)["reused"] == 12, again.output


def test_the_table_and_the_way_on_are_shown(shell: Shell, tmp_path: Path) -> None:
    store = tmp_path / "my runs.db"
    result = shell(*SMALL, "-a", "tree", "--store", store)
    assert result.returncode == 0, result.stderr
    assert "4 of 4 cells complete. 4 episodes: 4 played" in result.stdout
    assert f"fogline report silo-bench --store '{store}' --out report" in result.stdout
    assert "SR" in result.stdout
    assert (result.stderr, "\x1b" in result.stdout) == ("", False)


def test_a_limit_ends_the_sweep_with_a_note_and_a_status_of_its_own(invoke: Invoke, tmp_path: Path) -> None:
    words = (*SMALL, *WAITING, "--concurrency", 1, "--store", tmp_path / "runs.db")
    result = invoke(*words, "--max-tokens", 30)
    assert result.exit_code == 3, result.output
    assert "Stopped: max_tokens=30 is reached" in result.stderr
    assert "are left; raise the limit to go on." in result.stderr
    assert "not played; they enter no average." in result.stdout
    assert invoke(*words, "--max-tokens", 1000).exit_code == 0


def test_nothing_scored_is_a_failure_and_a_part_is_not(invoke: Invoke, tmp_path: Path) -> None:
    words = (*SMALL, "--task", "I-02", "--task", "I-05", "-a", "silo_players:Flaky", "--retries", 0)
    some = invoke(*words, "--store", tmp_path / "some.db")
    assert some.exit_code == 0
    assert "failed (InfrastructureError" in some.stdout
    none = invoke(*words, "-o", "silo_players:Flaky.share=1.0", "--store", tmp_path / "none.db")
    assert none.exit_code == 1
    assert "Not scored: 8 failed (InfrastructureError 8)" in none.stdout
    assert "nothing was scored" in none.stderr


def test_options_belong_to_the_agent_before_the_dot(invoke: Invoke, tmp_path: Path) -> None:
    options = ("-o", "silo_players:Waiting.seconds=0.0", "-o", "silo_players:Waiting.tokens=7")
    report = swept(invoke, tmp_path / "runs.db", *WAITING, *options)
    assert report["config"]["agent_options"] == {"silo_players:Waiting": {"seconds": 0.0, "tokens": 7}}
    assert report["usage"]["prompt_tokens"] == 4 * (2 + 3 + 2 + 3)


def test_models_are_chat_agents_with_a_common_server(invoke: Invoke, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({name: {"prompt": 1.0, "completion": 2.0} for name in ("a", "b-3.1")}))
    words = (
        *SMALL, "--model", "a", "--model", "b-3.1", "--base-url", "http://localhost:1/v1", "-o", "max_tokens=50",
        "-o", "chat:b-3.1.temperature=0.5", "--prices", prices, "--store", tmp_path / "runs.db", "--dry-run",
    )  # fmt: skip
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.output
    estimate = json.loads(result.stdout)
    assert estimate["completion_tokens"] == estimate["calls"] * 50
    assert estimate["cost"] == pytest.approx((estimate["prompt_tokens"] + 2 * estimate["completion_tokens"]) / 1e6)
    text = invoke(*words)
    assert "Cells: 8." in text.stdout
    assert "Price: about" in text.stdout
    one = invoke(*SMALL, "--agent", "tree+chat", "--model", "a", "--store", tmp_path / "runs.db", "--dry-run", "--json")
    assert json.loads(one.stdout)["cells"] == 4


BAD: list[tuple[tuple[object, ...], str]] = [
    (("sweep", "silo"), "name='silo' is unknown"),
    ((*SMALL, "--preset", "papre"), "Did you mean 'paper'"),
    ((*SMALL, "--task", "I-99"), "'I-99' is not a task"),
    ((*SMALL, "-a", "tre"), "Did you mean 'tree'"),
    ((*SMALL, "--protocol", "tcp"), "protocols"),
    ((*SMALL, "-N", 0), "n_agents"),
    ((*SMALL, "-k", "max_round=3"), "Did you mean 'max_rounds'"),
    ((*SMALL, "-o", "temperature=1"), "names 'chat', who does not play"),
    ((*SMALL, "-o", "tree.colour=1"), "no option 'colour'"),
    ((*SMALL, "-o", "tree.colour"), "is not a key and a value"),
    ((*SMALL, "--keep", "some"), "keep='some' does not fit"),
    ((*SMALL, "--max-cost", "1"), "without prices"),
    ((*SMALL, "-a", "chat", "--model", "a", "--model", "b"), "expected one, or each as --agent chat:MODEL"),
    (("report", "silo"), "name='silo' is unknown"),
    (("report", "silo-bench", "--heatmap-agents", 0), "heatmap_agents=0 does not fit"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_usage_is_one_clean_line_and_status_2(
    invoke: Invoke, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    result = invoke(*words, "--store", tmp_path / "runs.db")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_written_and_named(invoke: Invoke, tmp_path: Path) -> None:
    swept(invoke, tmp_path / "runs.db", "-a", "tree", "--baseline")
    words = ("report", "silo-bench", "--store", tmp_path / "runs.db", "--out", tmp_path / "out")
    shown = invoke(*words)
    assert shown.exit_code == 0, shown.output
    for name in ("report.md", "report.html", "tables.json", "tables.csv"):
        assert f"Written: {tmp_path / 'out' / name}" in shown.stdout.replace("\n", "")
        assert (tmp_path / "out" / name).stat().st_size > 0
    document = json.loads(invoke(*words, "--json").stdout)
    tables = {table["name"]: table for table in document["tables"]}
    assert tables["rcc"]["lines"][0]["numbers"]["rcc"]["value"] == 0.0
    assert tables["counts"]["lines"][0]["numbers"]["scored"]["value"] == 8


def test_a_report_without_a_sweep_or_its_packages_is_bad_usage(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = invoke("report", "silo-bench", "--store", tmp_path / "absent.db", "--out", tmp_path / "out")
    assert missing.exit_code == 1
    assert "does not exist" in missing.stderr
    monkeypatch.setitem(sys.modules, "plotly", None)
    bare = invoke("report", "silo-bench", "--store", tmp_path / "absent.db", "--out", tmp_path / "out")
    assert bare.exit_code == 2
    assert "pip install 'fogline[report]'" in bare.stderr


@pytest.mark.parametrize("command", ["sweep", "report"])
def test_help_has_an_example(invoke: Invoke, command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Example: fogline {command} silo-bench" in " ".join(result.stdout.split())
