"""A chat model as the reasoner: few questions, strict answers, one repair, counted fallbacks, nothing asked twice."""

from __future__ import annotations

import asyncio
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from chat_reasoners import Question, ScriptedReasoner, answer_json, sensible, served, serving
from fault_server import Step, answer, document, status

from fogline.core.chat import OpenAIChatModel
from fogline.core.chat.errors import ChatError, ConnectionFailed, ContentRefused, MalformedReply, ServerError
from fogline.core.chat.prices import Price
from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.cells import Cell, Cells, Contexts
from fogline.simulators.merchants.chat_answers import AnswerFault, read_answer
from fogline.simulators.merchants.chat_prompts import Pages, cell_messages
from fogline.simulators.merchants.chat_reasoner import ChatReasoner
from fogline.simulators.merchants.config import PGHSConfig
from fogline.simulators.merchants.logs import Log, check_log
from fogline.simulators.merchants.mining import MiningConfig
from fogline.simulators.merchants.pghs import PGHS
from fogline.simulators.merchants.policies import PolicyLibrary
from fogline.simulators.merchants.reasoning import RecordingReasoner, ReplayReasoner, RuleReasoner
from fogline.simulators.merchants.strategies import LOGGED, Intervention, Strategy
from fogline.simulators.merchants.world import WorldConfig, make_world

THIRTY = Strategy("thirty", (Intervention("discount", "set", 0.30),))
CONFIG = PGHSConfig(replicates=4)


@pytest.fixture(scope="module")
def log() -> Log:
    return check_log(make_world(WorldConfig(n_merchants=30, n_trajectories=4_500), 0).table())


@pytest.fixture(scope="module")
def fitted(log: Log) -> PGHS:
    return PGHS.fit(log, CONFIG, reasoner=ChatReasoner(ScriptedReasoner()))


# Calls


def test_a_strategy_takes_at_most_2100_calls_at_the_papers_size() -> None:
    log = check_log(make_world(WorldConfig(), 3).table())
    model = ScriptedReasoner()
    config = PGHSConfig(replicates=0, mining=MiningConfig(k=5, verify=False))
    fitted = PGHS.fit(log, config, reasoner=ChatReasoner(model))
    assert (fitted.report.merchants, len(fitted.policy_library)) == (101, 5)
    before = len(model.requests)
    fitted.what_if([THIRTY], window="all")
    per_strategy = (len(model.requests) - before) / 2
    assert 1_000 < per_strategy <= 2_100, "the baseline and the strategy"
    again = len(model.requests)
    fitted.what_if([THIRTY], window="all")
    assert len(model.requests) == again


# Questions


def said(cell: Cell, library: PolicyLibrary, pages: Pages) -> tuple[str, str]:
    """Rules and question."""
    rules, asked = cell_messages(cell, library.policies[cell.policy], pages, Contexts())
    return str(rules["content"]), str(asked["content"])


def test_a_question_says_what_the_specification_lists_and_names_nobody(log: Log, fitted: PGHS) -> None:
    library, table = fitted.policy_library, log.table
    cells = Cells(table, library.membership(table), Contexts())
    pages = Pages(table, THIRTY, cells)
    cell = next(iter(cells))
    rules, asked = (
        str(message["content"]) for message in cell_messages(cell, library.policies[cell.policy], pages, Contexts())
    )
    assert "habit" in rules and "Never make up" in rules
    for heading in ("POLICY", "ANCHOR", "GROUP", "CONTEXT", "PAGE", "NOT KNOWN", "CHANGE"):
        assert f"{heading}\n- " in asked
    assert all(f'"{name}"' in rules for name in json.loads(answer_json(0.5, 0.5)))
    assert library.policies[cell.policy].text in asked
    assert "discount: 0" in asked.split("CHANGE")[1] and "→ 0.3" in asked
    assert not set(table["trajectory_id"]) & set(asked.split())
    assert not set(table["user_id"]) & set(asked.split())


def test_the_order_of_what_is_listed_is_drawn_per_cell_and_stays(log: Log, fitted: PGHS) -> None:
    library, table = fitted.policy_library, log.table
    cells = Cells(table, library.membership(table), Contexts())
    pages = Pages(table, LOGGED, cells)
    texts = [
        tuple(
            str(message["content"]) for message in cell_messages(cell, library.policies[cell.policy], pages, Contexts())
        )
        for cell in list(cells)[:12]
    ]
    orders = {
        tuple(line.split(":")[0] for line in asked.split("PAGE\n")[1].split("\n\n")[0].split("\n"))
        for _, asked in texts
    }
    assert len(orders) > 6
    assert len({rules for rules, _ in texts}) > 6
    assert said(next(iter(cells)), library, pages) == texts[0]


def test_what_the_fit_makes_of_the_answers_is_not_in_the_question(log: Log, fitted: PGHS) -> None:
    asked = []
    for sensitivity in (0.1, 0.9):
        model = ScriptedReasoner()
        library = fitted.policy_library.with_sensitivity(np.full(len(fitted.policy_library), sensitivity))
        ChatReasoner(model).score(log.table, library, LOGGED)
        asked.append([request.messages for request in model.requests])
    assert asked[0] == asked[1]


# Answers


def test_a_good_answer_is_read_through_reasoning_and_fences() -> None:
    plain = answer_json(0.4, 0.5)
    for text in (plain, f"<think>{{}} hm</think>\n{plain}", f"{{}} hm</think>{plain}", f"```json\n{plain}\n```"):
        answer = read_answer(text, 0.4)
        assert (answer.share_order, answer.direction, answer.decisive_attributes) == (0.5, 1, ("discount",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I think 40 %", "no JSON"),
        ("[1]", "one JSON object, not list"),
        (answer_json(0.4, 0.5, share_order="half"), "share_order='half': expected a number"),
        (answer_json(0.4, 0.5, share_order=True), "share_order=True"),
        (answer_json(0.4, 0.5, share_order=1.5), r"share_order=1\.5: expected a number from 0 to 1"),
        (answer_json(0.4, 0.5).replace("0.6", "NaN"), "confidence=nan"),
        (answer_json(0.4, 0.5, direction=0.5), r"direction=0\.5: expected -1, 0 or 1"),
        (answer_json(0.4, 0.5, direction=-1), "direction=-1 does not agree"),
        (answer_json(0.4, 0.5, delta_vs_anchor=-0.3), r"does not agree with the anchor 0\.4"),
        (answer_json(0.4, 0.5, share_leave=0.9), "more than everybody"),
        (answer_json(0.4, 0.5, unknowns="much"), "unknowns='much': expected a list of texts"),
        ("{}", "direction=None"),
    ],
)
def test_an_answer_that_contradicts_itself_is_none(text: str, message: str) -> None:
    with pytest.raises(AnswerFault, match=message):
        read_answer(text, 0.4)


def test_a_faulty_answer_is_asked_for_once_more_with_the_fault(log: Log, fitted: PGHS) -> None:
    model = ScriptedReasoner(lambda question: sensible(question) if question.repair else "hm")
    reasoner = ChatReasoner(model)
    scores = reasoner.score(log.table, fitted.policy_library, LOGGED)
    expected = ChatReasoner(ScriptedReasoner()).score(log.table, fitted.policy_library, LOGGED)
    np.testing.assert_array_equal(scores, expected)
    report = reasoner.report
    assert report.repairs == report.cells == report.calls / 2
    assert not report.fallbacks
    assert "this is no JSON" in str(model.requests[-1].messages[-1]["content"])


def test_what_stays_faulty_is_the_policys_rate_and_counted(log: Log, fitted: PGHS) -> None:
    def stubborn(question: Question) -> str:
        return answer_json(question.anchor, 0.5, share_order=7)

    reasoner = ChatReasoner(ScriptedReasoner(stubborn))
    scores = reasoner.score(log.table, fitted.policy_library, LOGGED)
    anchors = np.array([policy.anchor for policy in fitted.policy_library.policies])
    np.testing.assert_allclose(scores, np.broadcast_to(np.log(anchors / (1 - anchors)), scores.shape))
    assert dict(reasoner.report.fallbacks) == {"share_order": reasoner.report.cells}


def test_a_refusal_is_counted_and_a_failing_server_is_an_error(log: Log, fitted: PGHS) -> None:
    def refuse(question: Question) -> str:
        raise ContentRefused("no")

    reasoner = ChatReasoner(ScriptedReasoner(refuse))
    reasoner.score(log.table, fitted.policy_library, LOGGED)
    assert dict(reasoner.report.fallbacks) == {"refused": reasoner.report.cells}

    left = [50]

    def breaks(question: Question) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionFailed("gone")
        return sensible(question)

    model = ScriptedReasoner(breaks)
    reasoner = ChatReasoner(model)
    with pytest.raises(ConnectionFailed):
        reasoner.score(log.table, fitted.policy_library, LOGGED)
    model.answer = sensible
    asked = len(model.requests)
    reasoner.score(log.table, fitted.policy_library, LOGGED)
    total = reasoner.report.cells
    assert len(model.requests) - asked <= total - 50 + 1, "what was answered before the failure is not asked again"


def test_several_draws_count_by_their_median(log: Log, fitted: PGHS) -> None:
    def wavers(request_question: Question) -> str:
        return answer_json(request_question.anchor, shares[len(model.requests) % 5])

    shares = [0.1, 0.9, 0.4, 0.5, 0.3]
    model = ScriptedReasoner(wavers)
    reasoner = ChatReasoner(model, temperature=0.7, draws=5)
    scores = reasoner.score(log.table.head(3), fitted.policy_library, LOGGED)
    assert reasoner.report.calls == 5 * reasoner.report.cells
    assert len({request.sample for request in model.requests}) == 5
    assert scores.max() <= np.log(0.9 / 0.1)


# Through a real client


def client(url: str, folder: Path | None = None, **options: Any) -> OpenAIChatModel:
    """A client of a server on loopback, that does not wait long to try again."""
    return OpenAIChatModel("m", base_url=url, cache_dir=folder, backoff_s=0.001, **options)


def test_asked_again_in_another_process_nothing_is_on_the_wire(log: Log, fitted: PGHS, tmp_path: Path) -> None:
    scores, reports, meters = [], [], []
    with served() as (url, counted):
        for sensitivity in (0.1, 0.9):
            # A new client and a new reasoner know only what the folder holds; the fit's λ is none of it.
            model = client(url, tmp_path, price=Price(1.0, 2.0))
            library = fitted.policy_library.with_sensitivity(np.full(len(fitted.policy_library), sensitivity))
            reasoner = ChatReasoner(model)
            scores.append(reasoner.score(log.table, library, THIRTY))
            reports.append(reasoner.report)
            meters.append(model.meter)
    first, again = reports
    assert counted["requests"] == first.attempts == first.calls == first.cells == meters[0].attempts
    assert (again.attempts, again.cached, meters[1].attempts) == (0, first.calls, 0)
    # 11 and 3 tokens an answer, at 1 and 2 a million.
    assert first.cost == pytest.approx(first.calls * 17e-6)
    assert (first.unpriced, again.cost, again.prompt_tokens) == (0, 0.0, 0)
    np.testing.assert_array_equal(*scores)


BROKEN = {
    "a page": (document(b"<html>Welcome</html>", "text/html"), MalformedReply),
    "a cut answer": (document(b'{"choices": [{"mess'), MalformedReply),
    "a failing server": (status(500), ServerError),
}


@pytest.mark.parametrize(("step", "error"), BROKEN.values(), ids=BROKEN)
def test_a_server_that_is_none_is_an_error_and_no_answer(
    step: Step, error: type[ChatError], log: Log, fitted: PGHS
) -> None:
    with serving(step) as url:
        reasoner = ChatReasoner(client(url, max_retries=1))
        with pytest.raises(error, match="after 2 attempts"):
            reasoner.score(log.table, fitted.policy_library, LOGGED)
    assert not reasoner.report.fallbacks


def test_a_model_with_nothing_to_say_is_left_to_the_policys_rate_and_counted(log: Log, fitted: PGHS) -> None:
    with serving(answer("")) as url:
        reasoner = ChatReasoner(client(url, max_retries=1))
        scores = reasoner.score(log.table.head(100), fitted.policy_library, LOGGED)
    report = reasoner.report
    assert dict(report.fallbacks) == {"empty": report.cells}
    assert report.attempts == 2 * report.cells == 2 * report.calls
    anchors = np.array([policy.anchor for policy in fitted.policy_library.policies])
    np.testing.assert_allclose(scores, np.broadcast_to(np.log(anchors / (1 - anchors)), scores.shape))


def test_a_transcript_holds_no_key_and_every_line_is_whole(
    log: Log, fitted: PGHS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    file = tmp_path / "cells.jsonl"
    # Lines longer than a file's buffer, from two threads into one file.
    with served(lambda question: sensible(question) + " " * 20_000) as (url, _):
        reasoners = [ChatReasoner(client(url), transcript=file) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: one.score(log.table.head(400), fitted.policy_library, LOGGED), reasoners))
    text = file.read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == sum(one.report.cells for one in reasoners) > 50
    assert "sk-not-to-be-seen" not in text


# As a reasoner


def test_pghs_takes_it_and_a_discount_moves_orders(fitted: PGHS) -> None:
    assert not fitted.report.silent and not fitted.report.doubtful
    totals = fitted.what_if([THIRTY]).totals()
    assert float(totals["uplift"].iloc[0]) > 0.01


class LikeTheRule:
    """A chat reasoner whose model says of each cell what the rule says of its rows, on average by membership."""

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}
        model = ScriptedReasoner(lambda question: answer_json(question.anchor, self.shares[question.text]))
        self.chat = ChatReasoner(model)
        self.name = self.chat.name

    def score(self, table: pd.DataFrame, library: PolicyLibrary, strategy: Strategy) -> Any:
        membership = library.membership(table)
        cells, by_rule = Cells(table, membership, Contexts()), RuleReasoner().score(table, library, strategy)
        pages = Pages(table, strategy, cells)
        for cell in cells:
            rows = cells.group == cell.group
            logit = np.average(by_rule[rows, cell.policy], weights=membership[rows, cell.policy])
            self.shares[said(cell, library, pages)[1]] = float(1 / (1 + np.exp(-logit)))
        return self.chat.score(table, library, strategy)

    def perturbed(self, rng: np.random.Generator) -> None:
        return None


def test_a_model_that_answers_like_the_rule_finds_what_the_rule_finds(log: Log) -> None:
    here, there = (PGHS.fit(log, CONFIG, reasoner=one).what_if([THIRTY]) for one in (LikeTheRule(), RuleReasoner()))
    ours, theirs = (found.table.set_index("merchant_id") for found in (here, there))
    assert ours.index.equals(theirs.index)
    # Cells lose what differs among their rows, and nothing else: 0.997 here.
    assert np.corrcoef(ours["uplift"], theirs["uplift"])[0, 1] > 0.98
    totals = [float(found.totals()["uplift"].iloc[0]) for found in (here, there)]
    assert totals[0] == pytest.approx(totals[1], rel=0.25)


def test_a_model_that_points_the_wrong_way_is_flagged(log: Log) -> None:
    turned = ChatReasoner(ScriptedReasoner(lambda question: sensible(question, -1.0)))
    report = PGHS.fit(log, CONFIG, reasoner=turned).report
    assert report.doubtful or report.silent


def test_transcript_tells_every_question_with_its_answers_once(log: Log, fitted: PGHS, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "cells.jsonl"
    reasoner = ChatReasoner(ScriptedReasoner(), transcript=file)
    for _ in range(2):
        reasoner.score(log.table, fitted.policy_library, THIRTY)
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert len(rows) == reasoner.report.cells == reasoner.report.calls
    assert {"merchant", "policy", "strategy", "messages", "said", "share_order", "fallback"} <= set(rows[0])
    assert reasoner.report.to_json()["prompt_tokens"] == 100 * len(rows)


def test_an_estimate_asks_nothing(log: Log, fitted: PGHS) -> None:
    model = ScriptedReasoner()
    reasoner = ChatReasoner(model, max_tokens=50)
    estimate = reasoner.estimate(log.table, fitted.policy_library, [LOGGED, THIRTY])
    assert not model.requests
    reasoner.score(log.table, fitted.policy_library, LOGGED)
    reasoner.score(log.table, fitted.policy_library, THIRTY)
    assert estimate.requests == len(model.requests)
    assert estimate.completion_tokens == 50 * estimate.requests
    assert estimate.cost is None


def test_it_works_inside_a_running_loop_and_after_a_journey(log: Log, fitted: PGHS) -> None:
    async def within() -> Any:
        return reasoner.score(log.table, fitted.policy_library, LOGGED)

    reasoner = ChatReasoner(ScriptedReasoner())
    here = asyncio.run(within())
    again = pickle.loads(pickle.dumps(ChatReasoner(ScriptedReasoner())))
    np.testing.assert_array_equal(here, again.score(log.table, fitted.policy_library, LOGGED))
    reasoner.close()


def test_recorded_it_replays_without_a_model(log: Log, fitted: PGHS, tmp_path: Path) -> None:
    reasoner = ChatReasoner(ScriptedReasoner())
    recorded = RecordingReasoner(reasoner, str(tmp_path)).score(log.table, fitted.policy_library, THIRTY)
    replay = ReplayReasoner(str(tmp_path), reasoner.name)
    np.testing.assert_array_equal(replay.score(log.table, fitted.policy_library, THIRTY), recorded)


def test_a_saved_model_wants_the_same_reasoner_back(fitted: PGHS, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    same = ChatReasoner(ScriptedReasoner())
    found = PGHS.load(tmp_path / "model", reasoner=same).what_if([THIRTY]).table
    np.testing.assert_allclose(found["level"], fitted.what_if([THIRTY]).table["level"])
    with pytest.raises(DataError, match="not 'chat-other"):
        PGHS.load(tmp_path / "model", reasoner=ChatReasoner(ScriptedReasoner(name="other")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws=0"),
        ({"draws": 3}, "at temperature 0 are the same"),
        ({"temperature": 3.0}, r"temperature=3\.0"),
        ({"max_tokens": 0}, "max_tokens=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ChatReasoner(ScriptedReasoner(), **options)
