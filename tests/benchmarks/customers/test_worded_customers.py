"""A customer that a chat model words, validated against a local server."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiohttp import web
from fault_server import FaultServer, completion

from fogline.benchmarks.customers.checks import soundness
from fogline.benchmarks.customers.config import ValidationConfig
from fogline.benchmarks.customers.sessions import Calls, assignments, play
from fogline.benchmarks.customers.validation import validate

SELLERS_WORDS = "We have a special offer, how can I help you?"


def voice(*, inverts: float = 0.0) -> Any:
    """A server's step that honours temperature and seed; a share of its replies speaks as the seller."""

    async def step(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.005)
        draw = random.Random(body["seed"]) if "seed" in body and body.get("temperature") else random.Random(0)
        inverted = draw.random() < inverts and body["max_tokens"] > 16
        return web.json_response(completion(SELLERS_WORDS if inverted else f"Well, {draw.randrange(1000)} times no."))

    return step


def config(server: FaultServer, **changes: Any) -> ValidationConfig:
    options = {"max_tokens_field": "max_tokens", "headers": {"Authorization": "Bearer sk-nobody-sees-it"}}
    keywords = {"model": "m", "base_url": server.url, "chat_options": options}
    return ValidationConfig(customer="worded", env_kwargs=keywords, quick=True, **changes)


async def test_a_worded_customer_decides_as_the_rules_do_and_one_voice_serves_all() -> None:
    async with FaultServer(otherwise=voice()) as server:
        settings = config(server)
        # One call after the other, more than one environment: only the first one has the server checked.
        wanted = assignments(settings, 8)
        first = await asyncio.to_thread(play, settings, "scripted", wanted[:3], concurrency=1)
        alone = sum(body["max_tokens"] == 16 for _, body in server.requests)
        assert len(server.requests) == sum(len(session.answers) for session in first) + alone
        assert 0 < alone < 10
        server.requests.clear()
        worded = await asyncio.to_thread(play, settings, "scripted", wanted)
        checks = sum(body["max_tokens"] == 16 for _, body in server.requests)
        spoken = sum(len(session.answers) for session in worded)
        assert len(server.requests) == spoken + checks
        assert server.most_in_flight > 1
    plain = await asyncio.to_thread(play, ValidationConfig(), "scripted", wanted)
    for key, session in plain.sessions.items():
        assert [answer.act for answer in worded.sessions[key].answers] == [answer.act for answer in session.answers]
        assert worded.sessions[key].words == session.words
    assert all("times no" in answer.text for session in worded for answer in session.answers)


async def test_replies_as_the_seller_are_counted_although_they_were_asked_for_again() -> None:
    async with FaultServer(otherwise=voice(inverts=0.3)) as server:
        settings = config(server)
        calls = await asyncio.to_thread(play, settings, "scripted", assignments(settings, 8))
    assert calls.faults == 0 or calls.sessions
    assert not any(SELLERS_WORDS in answer.text for session in calls for answer in session.answers)
    found = next(item for item in soundness({"scripted": calls}, Calls("scripted")) if item.name == "role_inversion")
    assert found.verdict == "does not hold"
    assert found.measured.value == pytest.approx(0.3, abs=0.15)


async def test_a_server_that_ignores_the_temperature_is_a_fault_of_every_call() -> None:
    async def deaf(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion("Always the same."))

    async with FaultServer(otherwise=deaf) as server:
        settings = config(server, retries=0)
        calls = await asyncio.to_thread(play, settings, "scripted", assignments(settings, 4))
    assert (calls.faults, len(calls.sessions)) == (4, 0)


async def test_the_whole_report_runs_on_a_worded_customer_and_keeps_the_key_to_itself() -> None:
    async with FaultServer(otherwise=voice()) as server:
        report = await asyncio.to_thread(validate, config(server, sessions=4))
    assert not report.refuted
    assert any("decides for a worded customer" in note for note in report.notes)
    assert "sk-nobody-sees-it" not in str(report.to_json())
    assert {table.name for table in report.tables} >= {"sellers", "transitions"}
