"""``fogline merchants`` with a chat model that reasons: asked through a real client, and not twice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from chat_reasoners import served
from commands import Invoke

STRATEGIES = '[{"name": "thirty", "interventions": [{"field": "discount", "op": "set", "value": 0.3}]}]'


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fogline.simulators.merchants.world import WorldConfig, make_world

    file = tmp_path_factory.mktemp("chat") / "log.parquet"
    make_world(WorldConfig(n_merchants=12, n_trajectories=2_400)).table().to_parquet(file)
    return file


def test_from_a_log_to_answers_with_a_model_asked_once(
    log: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strategies.json").write_text(STRATEGIES)
    with served() as (url, counted):
        chat = ("--chat", "m", "--base-url", url, "--cache-dir", "replies")
        fit = ("merchants", "fit", str(log), "--model", "model", *chat, "--transcript", "cells.jsonl")
        planned = invoke(*fit, "--dry-run")
        assert planned.exit_code == 0, planned.output
        assert counted["requests"] == 0 and not Path("model").exists()
        requests = sum(map(int, re.findall(r"(\d+) requests", planned.stdout)))
        done = invoke(*fit)
        assert done.exit_code == 0, done.output
        # At most: a group that came in one window only is the same question twice.
        taken = counted["requests"]
        assert 0.95 * requests < taken <= requests
        assert f"{taken:,} calls, 0 of them from the cache, {taken:,} on the wire" in done.stdout
        assert "0 left to the policy's rate" in done.stdout
        assert len(Path("cells.jsonl").read_text().splitlines()) == taken
        asked = counted["requests"]
        what_if = ("merchants", "what-if", "model", "--strategies", "strategies.json", *chat)
        estimate = json.loads(invoke(*what_if, "--dry-run", "--json").stdout)
        assert counted["requests"] == asked
        rows = json.loads(invoke(*what_if, "--json").stdout)
        assert sum(row["uplift"] for row in rows) > 0
        assert counted["requests"] - asked == estimate[0]["requests"] - estimate[0]["cached"]
        asked = counted["requests"]
        assert json.loads(invoke(*what_if, "--json").stdout) == rows
        assert json.loads(invoke(*what_if, "--dry-run", "--json").stdout)[0]["cached"] == estimate[0]["requests"]
        assert counted["requests"] == asked, "a repeated run puts nothing on the wire"


def test_a_model_of_a_chat_reasoner_asks_for_it_by_name(
    log: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("strategies.json").write_text(STRATEGIES)
    with served() as (url, _):
        assert invoke("merchants", "fit", str(log), "--model", "model", "--chat", "m", "--base-url", url).exit_code == 0
        result = invoke("merchants", "what-if", "model", "--strategies", "strategies.json")
    assert result.exit_code == 2
    assert "fitted with reasoner 'chat-m-v1" in " ".join(result.stderr.split())
    assert "--chat" in result.stderr


@pytest.mark.parametrize("option", [("--dry-run",), ("--transcript", "cells.jsonl"), ("--base-url", "http://x/v1")])
def test_an_option_of_a_chat_model_without_one_does_nothing_but_say_so(
    option: tuple[str, ...], log: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("merchants", "fit", str(log), "--model", "model", *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr and "--chat" in result.stderr
    assert not Path("model").exists()
