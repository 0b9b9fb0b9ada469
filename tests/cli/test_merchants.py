"""``fogline merchants``: the README's way from a log to an answer, and what goes wrong on it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from commands import Invoke

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^fogline merchants .*$", README, re.MULTILINE)]
STRATEGIES = re.findall(r"^```json\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with strategies and a fitted model."""
    from fogline.simulators.merchants.config import PGHSConfig
    from fogline.simulators.merchants.logs import check_log
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.world import WorldConfig, make_world

    folder = tmp_path_factory.mktemp("merchants")
    (folder / "strategies.json").write_text(STRATEGIES)
    log = check_log(make_world(WorldConfig(n_merchants=40, n_trajectories=5_000)).table())
    PGHS.fit(log, PGHSConfig(replicates=5)).save(folder / "fitted")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_the_readmes_commands_lead_from_a_log_to_a_page(here: Path, invoke: Invoke) -> None:
    shown = {}
    for words in COMMANDS:
        small = ["--set", "n_merchants=40", "--set", "n_trajectories=5000"] if words[1] == "world" else []
        result = invoke(*words, *small)
        assert result.exit_code == 0, result.output
        shown[words[1]] = result.stdout
    assert {"world", "fit", "evaluate", "what-if", "rank", "diagnose"} == set(shown)
    assert "5," in shown["fit"] and "convenience" in shown["fit"]
    assert "Verdict: pass" in shown["evaluate"]
    assert "ten off" in shown["what-if"]
    answers = pd.read_parquet(here / "answers" / "answers.parquet")
    assert len(answers) == 40 * 2
    assert {"level", "level_low", "uplift_high", "support", "return_on_cost", "policy:price"} <= set(answers)
    page = (here / "answers" / "index.html").read_text("utf-8")
    for words in ("What if", "By merchant", "Who moves", "Return on cost", "ten off", "faster"):
        assert words in page
    assert "http://" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_answers_as_json_are_the_tables(here: Path, invoke: Invoke) -> None:
    words = ("merchants", "what-if", "fitted", "--strategies", "strategies.json", "--merchant", "m003", "--json")
    rows = json.loads(invoke(*words).stdout)
    assert [(row["merchant_id"], row["strategy"]) for row in rows] == [("m003", "ten off"), ("m003", "faster")]
    assert all(row["level"] - row["baseline"] == pytest.approx(row["uplift"]) for row in rows)
    ranked = json.loads(invoke("merchants", "rank", "fitted", "-s", "strategies.json", "--json").stdout)
    assert {row["strategy"] for row in ranked["for_all"]} == {"ten off", "faster"}
    diagnosed = json.loads(invoke("merchants", "diagnose", "fitted", "m003", "--json").stdout)
    assert diagnosed["gaps"][0]["policy"] == "everybody"
    assert json.loads(invoke("merchants", "evaluate", "fitted", "--json").stdout)["verdict"] == "pass"
    assert "trajectory_id" in {row["name"] for row in json.loads(invoke("merchants", "schema", "--json").stdout)}


def test_an_explanation_names_policies_and_evidence(here: Path, invoke: Invoke) -> None:
    result = invoke("merchants", "explain", "fitted", "m003", "--strategies", "strategies.json")
    assert result.exit_code == 0, result.output
    assert "evidence n =" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "none.csv", "--model", "x"), "cannot be read as a log"),
        (("fit", "bad.csv", "--model", "x"), "merchant_id: is missing"),
        (("evaluate", "nowhere"), "no model that can be read"),
        (("what-if", "fitted", "--strategies", "none.json"), "none.json"),
        (("what-if", "fitted", "--strategies", "strategies.json", "--merchant", "m3"), "Did you mean"),
        (("what-if", "fitted", "--strategies", "strategies.json", "--window", "last"), "window='last'"),
        (("rank", "fitted", "--strategies", "strategies.json", "--objective", "fame"), "objective='fame'"),
        (("world", "--out", "log.xlsx"), ".parquet or .csv"),
        (("world", "--out", "log.csv", "--set", "n_merchant=3"), "n_merchant"),
    ],
)
def test_bad_usage_exits_with_two_and_says_what_to_change(
    here: Path, invoke: Invoke, words: tuple[str, ...], said: str
) -> None:
    (here / "bad.csv").write_text("trajectory_id,shop,time,outcome\nt1,a,2025-01-01,order\n")
    result = invoke("merchants", *words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
