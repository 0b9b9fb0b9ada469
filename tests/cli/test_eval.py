"""``fogline eval``: configurations, exit statuses, resuming, reports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from commands import Invoke, Shell
from fault_server import FaultServer, answer, status

TOY = ("eval", "toy_world:Toy-v0", "--agent", "random")


def evaluated(invoke: Invoke, store: Path, *words: object) -> dict[str, Any]:
    result = invoke(*TOY, "--store", store, "--json", *words)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_an_evaluation_is_stored_and_a_second_one_plays_nothing(invoke: Invoke, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    first = evaluated(invoke, store, "--samples", 2)
    again = evaluated(invoke, store, "--samples", 2)
    assert (first["played"], first["reused"]) == (12, 0)
    assert (again["played"], again["reused"]) == (0, 12)
    assert first["summary"]["measures"] == again["summary"]["measures"]
    assert first["cell_key"] == again["cell_key"]


def test_more_samples_or_tasks_play_only_what_is_new(invoke: Invoke, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    evaluated(invoke, store, "--samples", 2, "--limit", 3)
    wider = evaluated(invoke, store, "--samples", 3, "--limit", 4)
    assert (wider["played"], wider["reused"]) == (12 - 6, 6)
    narrower = evaluated(invoke, store, "--task", "toy-3")
    assert (narrower["played"], narrower["summary"]["planned"], narrower["summary"]["scored"]) == (0, 1, 1)


@pytest.mark.parametrize("change", [("-k", "max_turns=3"), ("--seed", "1"), ("--no-resume",)])
def test_another_configuration_shares_nothing(invoke: Invoke, tmp_path: Path, change: tuple[str, ...]) -> None:
    store = tmp_path / "runs.db"
    evaluated(invoke, store)
    assert evaluated(invoke, store, *change)["played"] == 6


def test_the_seed_decides_the_result(invoke: Invoke, tmp_path: Path) -> None:
    one = evaluated(invoke, tmp_path / "one.db", "--samples", 4)["summary"]["measures"]
    same = evaluated(invoke, tmp_path / "same.db", "--samples", 4, "--concurrency", 2)["summary"]["measures"]
    assert one == same


def test_the_table_and_the_way_on_are_shown(shell: Shell, tmp_path: Path) -> None:
    store = tmp_path / "my runs.db"
    result = shell(*TOY, "--store", store)
    assert result.returncode == 0, result.stderr
    assert "Reward" in result.stdout
    assert "6 of 6 episodes scored" in result.stdout
    assert f"fogline export '{store}' FOLDER --run " in result.stdout
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


def test_all_episodes_unscored_is_a_failure(shell: Shell, tmp_path: Path) -> None:
    broken = ("-k", "tasks=2", "-k", 'broken=["toy-0", "toy-1"]', "--retries", "1")
    result = shell(*TOY, "--store", tmp_path / "runs.db", *broken)
    assert result.returncode == 1
    assert "infra_error" in result.stdout
    assert "the wire to toy-" in result.stdout
    assert "no episode was scored" in result.stderr


def test_some_unscored_episodes_are_reported_and_tried_again(invoke: Invoke, tmp_path: Path) -> None:
    words = ("-k", 'broken=["toy-0"]', "--retries", 0)
    first = evaluated(invoke, tmp_path / "runs.db", *words)["summary"]
    assert (first["scored"], first["unscored"]) == (5, 1)
    assert first["failures"] == [
        {"status": "infra_error", "kind": "InfrastructureError", "episodes": 1, "example": "the wire to toy-0 is cut"}
    ]
    second = evaluated(invoke, tmp_path / "runs.db", *words)
    assert (second["played"], second["reused"], second["summary"]["unscored"]) == (1, 5, 1)


def test_an_agent_of_ones_own(shell: Shell, tmp_path: Path) -> None:
    words = ("eval", "toy_world:Toy-v0", "--agent", "toy_world:Guesser", "--store", tmp_path / "runs.db", "--json")
    mine = shell(*words, "-o", "word=no")
    assert mine.returncode == 0, mine.stderr
    assert json.loads(mine.stdout)["summary"]["scored"] == 6
    silent = json.loads(shell(*words, "-o", "word=").stdout)["summary"]
    assert silent["statuses"] == {"agent_error": 6}
    assert silent["scored"] == 6


def test_a_configuration_file_is_merged_with_flags(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "eval.toml"
    file.write_text('env = "toy_world:Toy-v0"\nagent = "random"\nsamples = 3\n[env_kwargs]\ntasks = 2\nmax_turns = 3\n')
    result = invoke(
        "eval", "--config", file, "--samples", 2, "-k", "tasks=4", "--store", tmp_path / "runs.db", "--json"
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["config"]["env_kwargs"] == {"tasks": 4, "max_turns": 3}
    assert report["summary"]["planned"] == 8
    written = tmp_path / "eval.json"
    written.write_text(json.dumps({**report["config"], "store": str(tmp_path / "runs.db")}))
    again = invoke("eval", "--config", written, "--json")
    assert json.loads(again.stdout)["reused"] == 8, again.output


BAD = [
    (("eval", "TrustSQl-v0", "--agent", "oracle"), "Did you mean 'TrustSQL-v0'?"),
    (("eval", "no_such_module:Env-v0", "--agent", "random"), "no_such_module"),
    (("eval", "toy_world:Toy-v0"), "'agent' is missing"),
    (("eval",), "is missing"),
    ((*TOY, "-k", "taks=3"), "Did you mean 'tasks'?"),
    ((*TOY, "-k", "tasks"), "expected --set key=value"),
    ((*TOY, "-k", "tasks=3", "-k", "tasks=4"), "given twice"),
    ((*TOY, "-o", "colour=red"), "no option 'colour'"),
    ((*TOY, "--task", "toy-9"), "task 'toy-9' is not one of the environment's 6"),
    ((*TOY, "--samples", "0"), "samples=0 does not fit"),
    ((*TOY, "--engine", "processes"), "engine='processes' does not fit"),
    (("eval", "toy_world:Toy-v0", "--agent", "oracel"), "agent='oracel' is unknown"),
    (("eval", "toy_world:Toy-v0", "--agent", "toy_world:Guessr"), "Did you mean 'Guesser'?"),
    (("eval", "toy_world:Toy-v0", "--agent", "toy_world:NotAnAgent"), "which is no agent"),
    (("eval", "toy_world:Toy-v0", "--agent", "no_such:Agent"), "no module 'no_such'"),
    (("eval", "toy_world:Toy-v0", "--agent", "chat"), "needs the option 'model'"),
    ((*TOY, "--config", "absent.json"), "cannot be read"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_usage_is_one_clean_line_and_status_2(
    invoke: Invoke, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    result = invoke(*words, "--store", tmp_path / "runs.db")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_unknown_options_and_numbers_that_are_none_are_status_2(shell: Shell) -> None:
    assert shell(*TOY, "--sampels", "3").returncode == 2
    assert shell(*TOY, "--samples", "three").returncode == 2
    assert shell("evaluate").returncode == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "expected a table"),
        ('{"samples": "4"}', "does not fit"),
        ('{"sampels": 4}', "Did you mean"),
    ],
)
def test_a_bad_configuration_file_is_status_2(invoke: Invoke, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    result = invoke(*TOY, "--config", file, "--store", tmp_path / "runs.db")
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_store_that_is_none_is_one_clean_line(invoke: Invoke, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    store.write_text("not a database at all" * 100)
    result = invoke(*TOY, "--store", store)
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_dry_run_counts_and_touches_nothing(invoke: Invoke, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    result = invoke(*TOY, "--samples", 2, "--store", store, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Episodes to play: 12" in result.stdout
    assert "calls no model" in result.stdout
    assert not store.exists()
    evaluated(invoke, store)
    result = invoke(*TOY, "--samples", 2, "--store", store, "--dry-run")
    assert "Episodes to play: 6 (6 are finished already)" in result.stdout


def test_a_dry_run_of_a_chat_agent_is_an_upper_bound(invoke: Invoke, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"small": {"prompt": 1.0, "completion": 2.0}}))
    words = (
        "eval", "toy_world:Toy-v0", "--agent", "chat", "--model", "small", "-o", "votes=3", "-o", "temperature=0.7",
        "--store", tmp_path / "runs.db", "--dry-run", "--json",
    )  # fmt: skip
    unpriced = json.loads(invoke(*words, "-o", "max_tokens=100").stdout)
    assert unpriced["calls"] == 6 * 2 * 3
    assert unpriced["completion_tokens"] == 6 * 2 * 3 * 100
    assert unpriced["cost"] is None
    assert unpriced["bounded"] is True
    priced = json.loads(invoke(*words, "-o", "max_tokens=100", "--prices", prices).stdout)
    expected = (priced["prompt_tokens"] * 1.0 + priced["completion_tokens"] * 2.0) / 1e6
    assert priced["cost"] == pytest.approx(expected)
    text = invoke(*words[:-1]).stdout
    assert "price unknown" in text
    assert "512 tokens are assumed" in text
    unknown = invoke(*words, "--prices", prices, "--model", "smal")
    assert unknown.exit_code == 2


async def test_a_chat_agent_is_metered_and_its_key_is_kept_nowhere(shell: Shell, tmp_path: Path) -> None:
    key = "sk-very-secret-key-0123456789"
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"small": {"prompt": 1.0, "completion": 2.0}}))
    async with FaultServer(status(429), otherwise=answer("my guess")) as server:
        words = (
            "eval", "toy_world:Toy-v0", "-a", "chat", "--model", "small", "--base-url", server.url, "--limit", 3,
            "-k", "says=hello", "-o", "backoff_s=0.01", "--store", tmp_path / "runs.db", "--prices", prices,
        )  # fmt: skip
        result = await asyncio.to_thread(shell, *words, OPENAI_API_KEY=key)
        again = await asyncio.to_thread(shell, *words, "--json", OPENAI_API_KEY=key)
    assert result.returncode == 0, result.stderr
    assert "Model: 6 calls, 66 prompt and 18 completion tokens, 1 retries, 0.0001 by the price list" in result.stdout
    report = json.loads(again.stdout)
    assert report["played"] == 0
    assert report["summary"]["usage"]["cost"] == pytest.approx((66 * 1.0 + 18 * 2.0) / 1e6)
    for file in tmp_path.iterdir():
        assert key.encode() not in file.read_bytes()
    assert key not in result.stdout + result.stderr + again.stdout
