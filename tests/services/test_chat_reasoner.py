"""The chat reasoner end to end on a real server: a tiny model is taught to answer, served, asked about all cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pytest
from model_server import model_server, require_server

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]


class Taught(NamedTuple):
    """The server, the checkpoint, and the log that is asked about."""

    url: str
    model: Path
    log: Any


def _thirty() -> Any:
    from fogline.simulators.merchants.strategies import Intervention, Strategy

    return Strategy("thirty", (Intervention("discount", "set", 0.30),))


def _config() -> Any:
    """One policy for everybody: with four, the tiny model says nothing at all to some repairs, which is an error."""
    from fogline.simulators.merchants.config import PGHSConfig

    return PGHSConfig(replicates=0, policies="pooled")


def _coarse(question: Any) -> str:
    """A sensible answer in steps of a tenth, so that a tiny model can say it."""
    from chat_reasoners import answer_json, sensible

    share = json.loads(sensible(question))["share_order"]
    step = 0.1 * (share - question.anchor > 0.05) - 0.1 * (share - question.anchor < -0.05)
    return answer_json(question.anchor, question.anchor + step)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    require_server()
    from chat_reasoners import Question, ScriptedReasoner
    from taught_customer import Lesson, teach

    from fogline.simulators.merchants.chat_reasoner import ChatReasoner
    from fogline.simulators.merchants.logs import check_log
    from fogline.simulators.merchants.pghs import PGHS
    from fogline.simulators.merchants.world import WorldConfig, make_world

    folder = tmp_path_factory.mktemp("reasoner")
    log = check_log(make_world(WorldConfig(n_merchants=12, n_trajectories=1_500), 0).table())
    # What it will be asked, and how it should answer.
    teacher = ScriptedReasoner(_coarse)
    PGHS.fit(log, _config(), reasoner=ChatReasoner(teacher)).what_if([_thirty()])
    lessons = []
    for request in teacher.requests:
        question = Question(request)
        answer = _coarse(question)
        lessons.append(Lesson(question.rules, [(question.text, answer)], [answer]))
    losses = teach(folder / "model", lessons, epochs=4, rows=8)
    assert fmean(losses[-10:]) < 0.3 * losses[0]
    with model_server(folder) as url:
        yield Taught(url, folder / "model", log)


def test_a_real_server_answers_every_cell_once_and_nothing_is_asked_again(
    taught: Taught, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    from fogline.core.chat import OpenAIChatModel
    from fogline.simulators.merchants.chat_reasoner import ChatReasoner
    from fogline.simulators.merchants.pghs import PGHS

    def run(transcript: Path) -> tuple[Any, Any, Any]:
        client = OpenAIChatModel(
            str(taught.model),
            base_url=taught.url,
            cache_dir=tmp_path / "replies",
            concurrency=8,
            backoff_s=0.01,
        )
        reasoner = ChatReasoner(client, max_tokens=96, transcript=transcript)
        fitted = PGHS.fit(taught.log, _config(), reasoner=reasoner)
        answers = fitted.what_if([_thirty()])
        reasoner.close()
        return reasoner.report, client.meter, answers.table

    report, meter, table = run(tmp_path / "cells.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text("utf-8").splitlines()]
    fallbacks = sum(report.fallbacks.values())
    record_property("cells", report.cells)
    record_property("calls", report.calls)
    record_property("tokens", (meter.prompt_tokens, meter.completion_tokens))
    record_property("fallbacks", dict(report.fallbacks))
    assert len(rows) == report.cells > 100
    assert report.calls == report.cells + report.repairs == meter.calls
    assert report.attempts == meter.attempts
    assert sum(row["fallback"] for row in rows) == fallbacks < 0.5 * report.cells, "most of it was learned"
    assert meter.prompt_tokens > 100 * report.cells
    assert meter.completion_tokens > 0
    assert not meter.failures
    assert table["level"].between(0, 1).all()
    again, quiet, same = run(tmp_path / "again.jsonl")
    assert quiet.attempts == again.attempts == 0, "0 calls on the wire in a repeated run"
    assert again.calls == again.cached == report.calls
    assert same.equals(table)
