"""The chat client against a server that does everything wrong, one fault at a time."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import pickle
import sys
import traceback
import warnings
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from fogline.core.chat import ChatModel, ChatPiece, ChatReply, ChatRequest, OpenAIChatModel
from fogline.core.chat.errors import (
    AuthenticationFailed,
    BadRequest,
    ChatError,
    ChatTimeout,
    ConnectionFailed,
    ContentRefused,
    ContextLengthExceeded,
    EmptyReply,
    MalformedReply,
    RateLimited,
    ServerError,
)
from fogline.core.chat.prices import Price
from fogline.core.errors import AgentError, ConfigurationError, InfrastructureError

from .fault_server import (
    FaultServer,
    Step,
    answer,
    chunks,
    completion,
    disconnect,
    document,
    hang,
    reflect_headers,
    status,
    stream,
    tool_calls,
)

KEY = "sk-fogline-test-0123456789abcdefghijklmnop"
ASK = ChatRequest(messages=({"role": "user", "content": "hi"},))
TRANSPORTS = ("aiohttp", "httpx")

Scenario = Callable[[FaultServer, OpenAIChatModel], Awaitable[Any]]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOGLINE_TEST_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def play(scenario: Scenario, *script: Step, otherwise: Step | None = None, **options: Any) -> Any:
    """Run ``scenario`` against a server with ``script``."""

    async def run() -> Any:
        async with (
            FaultServer(*script, otherwise=otherwise) as server,
            OpenAIChatModel("m", **client_options(server, options)) as model,
        ):
            return await scenario(server, model)

    return asyncio.run(run())


def client_options(server: FaultServer, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "base_url": server.url,
        "api_key_env": "FOGLINE_TEST_KEY",
        "backoff_s": 0.01,
        "timeout_s": 5.0,
        **options,
    }


async def ask(_: FaultServer, model: OpenAIChatModel) -> ChatReply:
    return await model.complete(ASK)


async def read_stream(model: OpenAIChatModel, request: ChatRequest = ASK) -> list[ChatPiece]:
    return [piece async for piece in model.stream(request)]


# Whole answers


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_answer_carries_text_usage_and_the_key_went_only_to_the_server(transport: str) -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        assert isinstance(model, ChatModel)
        request = ChatRequest(
            messages=({"role": "user", "content": "hi"},),
            temperature=0.5,
            top_p=0.9,
            max_tokens=7,
            stop=("END",),
            seed=3,
            sample="not sent",
            extra={"chat_template_kwargs": {"enable_thinking": False}},
        )
        reply = await model.complete(request)
        assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("hello", 11, 3)
        assert (reply.finish_reason, reply.retries, reply.cached, reply.cost) == ("stop", 0, False, None)
        [(headers, body)] = server.requests
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert body == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 7,
            "stop": ["END"],
            "seed": 3,
            "chat_template_kwargs": {"enable_thinking": False},
        }

    play(scenario, transport=transport)


def test_no_key_no_authorization_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOGLINE_TEST_KEY")

    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        await model.complete(ASK)
        assert "Authorization" not in server.requests[0][0]

    play(scenario)


def test_a_login_in_the_address_becomes_basic_authorization_and_disappears() -> None:
    async def run() -> None:
        async with FaultServer() as server:
            address = server.url.replace("http://", "http://reader:pass%20word-1234@")
            async with OpenAIChatModel("m", base_url=address, api_key_env="FOGLINE_TEST_KEY") as model:
                await model.complete(ASK)
            assert server.requests[0][0]["Authorization"] == "Basic cmVhZGVyOnBhc3Mgd29yZC0xMjM0"
            assert model.server == server.url
            assert "word-1234" not in repr(model)

    asyncio.run(run())


def test_tool_calls_are_parsed_and_malformed_arguments_are_kept_as_data() -> None:
    reply = play(ask, tool_calls(("look", '{"at": "x"}'), ("act", '{"broken": '), ("list", "[1]")))
    first, second, third = reply.tool_calls
    assert (first.name, first.arguments, first.id) == ("look", {"at": "x"}, "call_0")
    assert (second.arguments, second.raw) == (None, '{"broken": ')
    assert (third.arguments, third.raw) == (None, "[1]")
    assert reply.text == ""


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_returned_apart_is_kept_apart(field: str) -> None:
    reply = play(ask, answer("42", message={field: "six times seven"}))
    assert (reply.text, reply.reasoning) == ("42", "six times seven")


def test_an_answer_cut_by_the_token_limit_may_be_empty() -> None:
    reply = play(ask, answer("", finish_reason="length"))
    assert (reply.text, reply.finish_reason, reply.retries) == ("", "length", 0)


# Faults that pass: retried, counted, nothing lost

PASSING = {
    "RateLimited": status(429),
    "ServerError": status(500),
    "ChatTimeout": hang(2.0),
    "ConnectionFailed": disconnect(40),
    "MalformedReply": document(json.dumps(completion()).encode()[:60]),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", PASSING)
def test_a_passing_fault_is_retried_and_counted(kind: str, transport: str) -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        reply = await model.complete(ASK)
        assert (reply.text, reply.retries) == ("hello", 2)
        assert len(server.requests) == 3
        assert model.meter.retries == 2
        assert model.meter.attempts == 3
        assert model.meter.failed_attempts == {kind: 2}
        assert not model.meter.failures

    timeout_s = 0.6 if kind == "ChatTimeout" else 20.0
    play(scenario, PASSING[kind], PASSING[kind], timeout_s=timeout_s, transport=transport)


LASTING: dict[str, tuple[Step, type[ChatError]]] = {
    "429": (status(429), RateLimited),
    "500": (status(500), ServerError),
    "502 html": (status(502), ServerError),
    "408": (status(408), ChatTimeout),
    "silence": (hang(2.0), ChatTimeout),
    "cut in the body": (disconnect(40), ConnectionFailed),
    "cut before the headers": (disconnect(0), ConnectionFailed),
    "truncated": (document(b'{"choices": [{"mess'), MalformedReply),
    "not json": (document(b"<html>busy</html>", "text/html"), MalformedReply),
    "a list": (document(b"[]"), MalformedReply),
    "no choices": (document(b'{"choices": []}'), MalformedReply),
    "no message": (document(b'{"choices": [{}]}'), MalformedReply),
    "content is a number": (document(b'{"choices": [{"message": {"content": 7}}]}'), MalformedReply),
    "tool calls is a number": (document(b'{"choices": [{"message": {"tool_calls": 7}}]}'), MalformedReply),
    "nameless call": (
        document(b'{"choices": [{"message": {"tool_calls": [{"function": {}}]}}]}'),
        MalformedReply,
    ),
    "empty": (answer(""), EmptyReply),
    "error in 200": (document(b'{"error": {"message": "overloaded", "code": 503}}'), ServerError),
    "429 in 200": (document(b'{"error": {"message": "slow", "code": 429}}'), RateLimited),
    "plain error in 200": (document(b'{"error": "worker died"}'), ServerError),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", LASTING)
def test_a_lasting_fault_has_its_type_and_a_bounded_number_of_attempts(fault: str, transport: str) -> None:
    step, kind = LASTING[fault]

    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        with pytest.raises(ChatError) as caught:
            await model.complete(ASK)
        assert type(caught.value) is kind
        assert isinstance(caught.value, InfrastructureError)
        assert caught.value.retryable
        assert caught.value.attempts == 3
        assert "after 3 attempts" in str(caught.value)
        assert len(server.requests) == 3
        assert model.meter.failures == {kind.__name__: 1}

    timeout_s = 0.3 if fault == "silence" else 20.0
    play(scenario, otherwise=step, timeout_s=timeout_s, max_retries=2, transport=transport)


FINAL: dict[str, tuple[Step, type[Exception]]] = {
    "401": (status(401), AuthenticationFailed),
    "403": (status(403), AuthenticationFailed),
    "404": (status(404), BadRequest),
    "422": (status(422, {"detail": "Unexpected fields"}), BadRequest),
    "redirect": (status(307, headers={"Location": "http://127.0.0.1:9/v1"}), BadRequest),
    "quota": (status(429, {"error": {"message": "pay", "code": "insufficient_quota"}}), RateLimited),
    "context by code": (
        status(400, {"error": {"message": "no", "code": "context_length_exceeded"}}),
        ContextLengthExceeded,
    ),
    "context by text": (
        status(400, {"message": "This model's maximum context length is 4096 tokens.", "code": 400}),
        ContextLengthExceeded,
    ),
    "filter": (status(400, {"error": {"message": "no", "code": "content_filter"}}), ContentRefused),
    "filtered answer": (answer("x", finish_reason="content_filter"), ContentRefused),
    "refusal": (answer(None, message={"refusal": "I will not."}), ContentRefused),
}


@pytest.mark.parametrize("fault", FINAL)
def test_a_final_fault_is_not_retried(fault: str) -> None:
    step, kind = FINAL[fault]

    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        with pytest.raises(kind) as caught:
            await model.complete(ASK)
        assert len(server.requests) == 1
        assert model.meter.failures == {kind.__name__: 1}
        assert model.meter.retries == 0
        agents_own = kind in (ContextLengthExceeded, ContentRefused)
        assert isinstance(caught.value, AgentError) == agents_own
        assert isinstance(caught.value, InfrastructureError) != agents_own
        if not agents_own:
            assert not caught.value.retryable  # type: ignore[attr-defined]

    play(scenario, otherwise=step)


def test_nobody_listening_is_a_connection_failure() -> None:
    async def run() -> None:
        async with FaultServer() as server:
            address = server.url
        async with OpenAIChatModel("m", base_url=address, max_retries=1, backoff_s=0.01) as model:
            with pytest.raises(ConnectionFailed, match="check that the server is up"):
                await model.complete(ASK)
            assert model.meter.attempts == 2

    asyncio.run(run())


def test_retry_after_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    in_two_seconds = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        # The server sleeps through the same module, for its delay of 0.
        monkeypatch.setattr(asyncio, "sleep", note)
        await model.complete(ASK)

    play(
        scenario,
        status(429, headers={"Retry-After": "7"}),
        status(503, headers={"Retry-After-Ms": "1500"}),
        status(429, headers={"Retry-After": in_two_seconds}),
        status(429, headers={"Retry-After": "soon"}),
        status(429),
    )
    by_header, by_milliseconds, by_date, unreadable, backoff = (wait for wait in waits if wait > 0)
    assert 7 <= by_header <= 7.7
    assert 1.5 <= by_milliseconds <= 1.65
    assert 0 < by_date <= 2.2
    assert 0.04 <= unreadable <= 0.08
    assert 0.08 <= backoff <= 0.16


def test_a_wait_beyond_the_budget_is_not_begun() -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        with pytest.raises(RateLimited):
            await model.complete(ASK)
        assert len(server.requests) == 1

    play(scenario, otherwise=status(429, headers={"Retry-After": "100"}), retry_time_s=50.0)


def test_total_time_is_bounded_even_when_every_attempt_hangs() -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ChatTimeout):
            await model.complete(ASK)
        assert loop.time() - began < 5.0
        assert 2 <= len(server.requests) < 20

    play(scenario, otherwise=hang(6.0), timeout_s=0.3, retry_time_s=0.8, max_retries=100)


def test_jitter_repeats_with_the_seed() -> None:
    from fogline.core.chat.retry import Backoff

    def waits(seed: int) -> list[float | None]:
        backoff = Backoff(8, 1e9, seed=seed)
        return [backoff.delay(retry, None, 0.0) for retry in range(9)]

    assert waits(1) == waits(1)
    assert waits(1) != waits(2)
    *some, last = waits(3)
    assert last is None
    for retry, wait in enumerate(some):
        ceiling = min(30.0, 0.5 * 2**retry)
        assert wait is not None and ceiling / 2 <= wait <= ceiling


# Many at once


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_of_many_calls_with_faults_none_is_lost_and_the_limit_holds(transport: str) -> None:
    faults = [status(429), status(500), disconnect(40), disconnect(0), document(b"{"), document(b"{}")] * 10

    async def echo(request: Any, body: dict[str, Any]) -> Any:
        return await answer(body["messages"][0]["content"], delay=0.01)(request, body)

    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        requests = [ChatRequest(messages=({"role": "user", "content": f"q{i}"},)) for i in range(200)]
        replies = await asyncio.gather(*map(model.complete, requests))
        assert [reply.text for reply in replies] == [f"q{i}" for i in range(200)]
        assert server.most_in_flight == 8
        assert len(server.requests) == 260 == model.meter.attempts
        assert model.meter.retries == 60 == sum(reply.retries for reply in replies)
        assert model.meter.failed_attempts == {
            "RateLimited": 10,
            "ServerError": 10,
            "ConnectionFailed": 20,
            "MalformedReply": 20,
        }
        assert (model.meter.prompt_tokens, model.meter.completion_tokens) == (2200, 600)

    play(scenario, *faults, otherwise=echo, concurrency=8, max_retries=50, transport=transport)


def test_a_call_that_waits_to_retry_takes_no_slot() -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        waiting = asyncio.create_task(model.complete(ASK))
        while not model.meter.retries:
            await asyncio.sleep(0.005)
        reply = await asyncio.wait_for(model.complete(ASK), 1.0)
        assert reply.text == "hello"
        assert not waiting.done()
        waiting.cancel()

    play(scenario, status(429, headers={"Retry-After": "60"}), concurrency=1)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_waiting_for_a_slot_does_not_count_against_the_time_out(transport: str) -> None:
    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        await asyncio.gather(*(model.complete(ASK) for _ in range(8)))
        assert model.meter.attempts == 8
        assert not model.meter.failed_attempts

    play(scenario, otherwise=answer(delay=0.25), concurrency=1, timeout_s=1.0, transport=transport)


def test_a_cancelled_call_gives_its_slot_back() -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        slow = asyncio.create_task(model.complete(ASK))
        while not server.requests:
            await asyncio.sleep(0.005)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert (await asyncio.wait_for(model.complete(ASK), 2.0)).text == "hello"

    play(scenario, hang(30.0), concurrency=1)


def test_several_event_loops_one_after_the_other_leave_nothing_open(caplog: pytest.LogCaptureFixture) -> None:
    model: OpenAIChatModel | None = None

    async def run() -> str:
        nonlocal model
        async with FaultServer() as server:
            model = model or OpenAIChatModel("m", base_url=server.url)
            model.server, address = server.url, model.server
            assert address
            return (await model.complete(ASK)).text

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts = [asyncio.run(run()) for _ in range(3)]
        gc.collect()
    assert texts == ["hello"] * 3
    assert not [str(item.message) for item in caught if issubclass(item.category, ResourceWarning)]
    assert "Unclosed" not in caplog.text


def test_a_pickled_model_reads_the_key_of_its_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        await model.complete(ASK)
        pickled = pickle.dumps(model)
        monkeypatch.setenv("FOGLINE_TEST_KEY", "another-key")
        async with pickle.loads(pickled) as copy:
            assert (await copy.complete(ASK)).text == "hello"
            assert copy.meter.calls == 1
        assert [headers["Authorization"] for headers, _ in server.requests] == [
            f"Bearer {KEY}",
            "Bearer another-key",
        ]

    play(scenario)


# Streams


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("done", [True, False])
def test_a_stream_yields_its_pieces_and_then_the_reply(transport: str, done: bool) -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        pieces = await read_stream(model)
        assert [piece.text for piece in pieces] == [*"hello", ""]
        assert {piece.attempt for piece in pieces} == {0}
        assert all(piece.reply is None for piece in pieces[:-1])
        reply = pieces[-1].reply
        assert reply is not None
        assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("hello", 11, 5)
        assert server.requests[0][1]["stream_options"] == {"include_usage": True}

    play(scenario, stream(chunks("hello"), done=done), transport=transport)


def test_streamed_tool_calls_and_reasoning_are_put_together() -> None:
    def delta(**fields: Any) -> dict[str, Any]:
        return {"choices": [{"delta": fields}]}

    parts = [
        delta(reasoning_content="hm"),
        delta(reasoning_content="m"),
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"at"'}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "act", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ': "x"}'}}]),
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    ]

    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        reply = (await read_stream(model))[-1].reply
        assert reply is not None
        assert reply.reasoning == "hmm"
        assert [(call.id, call.name, call.arguments) for call in reply.tool_calls] == [
            ("a", "look", {"at": "x"}),
            ("b", "act", {}),
        ]

    play(scenario, stream(parts))


CUT_STREAMS = {
    "ConnectionFailed": stream(chunks("half an ans", usage=False, finish=None), cut=True),
    "MalformedReply": stream(chunks("half an ans", usage=False, finish=None), done=False),
    "ServerError": stream([*chunks("half", usage=False, finish=None), {"error": "worker died"}]),
    "ChatTimeout": stream(chunks("far too slow to end"), pause=0.1),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", CUT_STREAMS)
def test_a_cut_stream_starts_again_as_a_whole(kind: str, transport: str) -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        pieces = await read_stream(model)
        assert len(server.requests) == 2
        assert model.meter.failed_attempts == {kind: 1}
        first = "".join(piece.text for piece in pieces if piece.attempt == 0)
        second = "".join(piece.text for piece in pieces if piece.attempt == 1)
        assert first and first != "whole"
        assert second == "whole"
        reply = pieces[-1].reply
        assert reply is not None and (reply.text, reply.retries) == ("whole", 1)

    timeout_s = 1.0 if kind == "ChatTimeout" else 20.0
    play(scenario, CUT_STREAMS[kind], stream(chunks("whole")), timeout_s=timeout_s, transport=transport)


def test_faults_before_the_first_piece_are_retried_too() -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        pieces = await read_stream(model)
        assert pieces[-1].reply is not None and pieces[-1].reply.text == "hello"
        assert model.meter.failed_attempts == {"RateLimited": 1, "ServerError": 1, "MalformedReply": 1}
        assert {piece.attempt for piece in pieces} == {3}

    play(scenario, status(429), status(500), stream(["{not json"]))


def test_a_stream_that_never_ends_well_is_raised() -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        with pytest.raises(MalformedReply, match="after 2 attempts"):
            await read_stream(model)
        assert len(server.requests) == 2

    play(scenario, otherwise=stream(chunks("x", finish=None)), max_retries=1)


def test_a_slow_reader_does_not_run_into_the_time_out() -> None:
    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        text = ""
        async for piece in model.stream(ASK):
            text += piece.text
            await asyncio.sleep(0.25)
        assert text == "hello"
        assert not model.meter.retries

    play(scenario, timeout_s=1.0)


def test_leaving_a_stream_early_gives_its_slot_back() -> None:
    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        async with aclosing(model.stream(ASK)) as pieces:
            assert (await anext(pieces)).text == "h"
        assert (await asyncio.wait_for(model.complete(ASK), 2.0)).text == "hello"

    play(scenario, stream(chunks("hello" * 50), pause=0.05), concurrency=1)


# Secrets


def everything_known_about(error: BaseException) -> str:
    """The traceback through the client with all locals, and every object that hangs on the error."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    assert frames is not None
    shown = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    links, texts = [error], ["".join(shown.format())]
    while links:
        link = links.pop()
        texts += [repr(link), str(link), repr(link.args), repr(vars(link))]
        links += [other for other in (link.__cause__, link.__context__) if other is not None]
    return "\n".join(texts)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_key_is_nowhere_to_be_seen(
    transport: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    quoting = {"error": {"message": f"Incorrect API key provided: {KEY}."}}
    faults: dict[str, Step] = {
        **{name: step for name, (step, _) in LASTING.items()},
        **{name: step for name, (step, _) in FINAL.items()},
        "quoted in 400": status(400, quoting),
        "quoted in 401": status(401, quoting),
        "quoted in 500": status(500, quoting),
        "quoted in 200": document(json.dumps(quoting).encode()),
    }
    seen: list[str] = []

    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        for name, step in faults.items():
            server.script.clear()
            server.otherwise = step
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: model.complete(ASK),
                lambda: read_stream(model),
            ]
            for call in calls:
                try:
                    result = await call()
                except (ChatError, AgentError) as error:
                    assert error.__cause__ is None and error.__context__ is None, name
                    seen.append(everything_known_about(error))
                else:
                    seen.append(repr(result))
        server.otherwise = reflect_headers()
        model._timeout_s = 20.0
        seen.append(repr(await model.complete(ChatRequest(messages=({"role": "user", "content": "show"},)))))
        assert "***" in seen[-1]
        assert sum(KEY in headers["Authorization"] for headers, _ in server.requests) == len(server.requests)
        parts = [model, *vars(model).values(), vars(model), vars(model._access), vars(model._connection)]
        seen.extend(map(repr, parts))
        seen.append(repr(vars(model._connection._client)))  # type: ignore[union-attr]
        seen.append(repr(pickle.dumps(model)))

    play(scenario, transport=transport, cache_dir=tmp_path, max_retries=1, timeout_s=0.3)
    seen.append(caplog.text)
    seen.extend(repr(vars(record)) for record in caplog.records)
    seen.extend(capfd.readouterr())
    seen.extend(path.read_text() for path in tmp_path.rglob("*.json"))
    assert len(seen) > 2 * len(faults)
    assert any(record.name == "openai._base_client" for record in caplog.records)
    assert any(path.suffix == ".json" for path in tmp_path.rglob("*.json"))
    for text in seen:
        assert KEY not in text


def test_extra_headers_are_sent_hidden_and_not_pickled() -> None:
    value = "gateway-secret-0123456789"

    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        await model.complete(ASK)
        assert server.requests[0][0]["X-Gateway"] == value
        with pytest.raises(BadRequest) as caught:
            await model.complete(ASK)
        assert value not in everything_known_about(caught.value)
        assert value not in repr(vars(model._access))
        with pytest.raises(ConfigurationError, match="another process"):
            pickle.dumps(model)

    play(scenario, answer(), status(400, {"error": {"message": value}}), headers={"X-Gateway": value})


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://u:hunter2-hunter2@h/v1", "http://h/v1?key=hunter2-hunter2"]
)
def test_a_bad_address_is_refused_without_quoting_it(address: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        OpenAIChatModel("m", base_url=address)
    assert "hunter2" not in str(caught.value)


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOGLINE_TEST_KEY")
    with pytest.raises(ConfigurationError, match="FOGLINE_TEST_KEY is not set"):
        OpenAIChatModel("gpt", api_key_env="FOGLINE_TEST_KEY")


# Cache


def test_a_second_run_makes_no_request(tmp_path: Path) -> None:
    requests = [
        ASK,
        ChatRequest(messages=ASK.messages, temperature=1.0),
        ChatRequest(messages=ASK.messages, temperature=1.0, sample="2"),
        ChatRequest(messages=ASK.messages, seed=1),
        ChatRequest(messages=ASK.messages, tools=({"type": "function", "function": {"name": "f"}},)),
        ChatRequest(messages=({"role": "system", "content": "hi"},)),
        ChatRequest(messages=ASK.messages, max_tokens=3),
    ]

    async def run() -> None:
        async with FaultServer(tool_calls(("look", '{"a": 1}'), ("act", "{"))) as server:
            options = client_options(server, {"cache_dir": tmp_path, "price": Price(1.0, 2.0)})
            async with OpenAIChatModel("m", **options) as first:
                fresh = [await first.complete(request) for request in requests]
            assert len(server.requests) == len(requests) == len(list(tmp_path.rglob("*.json")))
            async with OpenAIChatModel("m", **options) as second:
                assert second.estimate(requests).cached == len(requests)
                again = [await second.complete(request) for request in requests]
                [piece] = await read_stream(second, requests[1])
            assert len(server.requests) == len(requests)
            assert second.meter.cache_hits == second.meter.calls == len(requests) + 1
            assert second.meter.attempts == second.meter.prompt_tokens == second.meter.cost == 0
            for one, other in zip(fresh, again, strict=True):
                assert other.cached and other.cost == 0.0
                assert (one.text, one.tool_calls, one.finish_reason) == (
                    other.text,
                    other.tool_calls,
                    other.finish_reason,
                )
                assert (one.prompt_tokens, one.completion_tokens) == (
                    other.prompt_tokens,
                    other.completion_tokens,
                )
            assert piece.reply is not None and piece.text == "hello"
            async with OpenAIChatModel("other", **options) as third:
                await third.complete(ASK)
            assert len(server.requests) == len(requests) + 1

    asyncio.run(run())


def test_failures_are_not_cached(tmp_path: Path) -> None:
    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        with pytest.raises(ServerError):
            await model.complete(ASK)
        assert not list(tmp_path.rglob("*.*"))
        assert (await model.complete(ASK)).text == "hello"

    play(scenario, status(500), max_retries=0, cache_dir=tmp_path)


WORKER = """
import asyncio, sys
from fogline.core.chat import ChatRequest, OpenAIChatModel
async def main():
    async with OpenAIChatModel("m", base_url=sys.argv[1], cache_dir=sys.argv[2]) as model:
        asks = [ChatRequest(messages=({"role": "user", "content": f"q{i % 20}"},)) for i in range(60)]
        replies = await asyncio.gather(*map(model.complete, asks))
        assert all(reply.text == ask.messages[0]["content"] for reply, ask in zip(replies, asks))
        print(model.meter.calls, model.meter.attempts, model.meter.corrupt_entries)
asyncio.run(main())
"""


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    async def echo(request: Any, body: dict[str, Any]) -> Any:
        return await answer(body["messages"][0]["content"])(request, body)

    async def worker(server: FaultServer) -> list[int]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, server.url, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return [int(word) for word in out.split()]

    async def run() -> None:
        async with FaultServer(otherwise=echo) as server:
            for calls, _, corrupt in await asyncio.gather(worker(server), worker(server)):
                assert (calls, corrupt) == (60, 0)
            before = len(server.requests)
            assert 20 <= before <= 120
            assert await worker(server) == [60, 0, 0]
            assert len(server.requests) == before
        assert len(list(tmp_path.rglob("*.json"))) == 20
        assert not list(tmp_path.rglob("*.tmp"))

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "swap", "edit"])
def test_a_damaged_entry_is_counted_and_replaced(tmp_path: Path, damage: str) -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        await model.complete(ASK)
        [path] = tmp_path.rglob("*.json")
        sound = path.read_text()
        edited = {"swap": sound.replace(path.stem, "0" * 64), "edit": sound.replace('"hello"', '"hellO"')}
        path.write_text(edited.get(damage, damage))
        assert path.read_text() != sound
        assert (await model.complete(ASK)).text == "hello"
        assert model.meter.corrupt_entries == 1
        assert len(server.requests) == 2
        assert path.read_text() == sound
        assert (await model.complete(ASK)).cached

    play(scenario, cache_dir=tmp_path)


# Meter, estimate, echo


def test_cost_is_counted_and_unknown_prices_stay_unknown() -> None:
    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        reply = await model.complete(ASK)
        assert reply.cost == pytest.approx((11 * 2.0 + 3 * 8.0) / 1e6)
        assert model.meter.total_cost == reply.cost
        reply = await model.complete(ASK)
        assert reply.cost is None and reply.prompt_tokens is None
        assert model.meter.total_cost is None
        assert model.meter.unpriced == 1
        assert model.meter.to_json()["calls"] == 2

    play(scenario, answer(), answer(usage=None), price=Price(2.0, 8.0))


def test_an_unusable_answer_is_paid_for_all_the_same() -> None:
    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        await model.complete(ASK)
        assert model.meter.prompt_tokens == 22
        assert model.meter.cost == pytest.approx(22e-6)

    play(scenario, answer(""), price=Price(1.0, 0.0))


def test_the_estimate_sends_nothing_and_never_calls_the_unknown_free() -> None:
    async def scenario(server: FaultServer, model: OpenAIChatModel) -> None:
        bounded = ChatRequest(messages=({"role": "user", "content": "x" * 400},), max_tokens=50)
        unknown = model.estimate([bounded] * 3)
        assert (unknown.requests, unknown.cached) == (3, 0)
        assert (unknown.prompt_tokens, unknown.completion_tokens) == (3 * (100 + 4 + 3), 150)
        assert unknown.cost is None
        assert "price unknown" in str(unknown)
        model._price = Price(10.0, 20.0, "EUR")
        assert model.estimate([bounded]).cost == pytest.approx((107 * 10 + 50 * 20) / 1e6)
        assert "EUR" in str(model.estimate([bounded]))
        unbounded = model.estimate([ASK])
        assert unbounded.completion_tokens is None and unbounded.cost is None
        assert "unbounded" in str(unbounded)
        assert not server.requests

    play(scenario)


def test_an_exact_echo_of_the_prompt_is_removed_and_counted() -> None:
    text = "system: the rules\nuser: say it\nassistant: forty-two"
    request = ChatRequest(messages=({"role": "system", "content": "the rules"}, {"role": "user", "content": "say it"}))

    async def scenario(_: FaultServer, model: OpenAIChatModel) -> None:
        reply = await model.complete(request)
        assert (reply.text, reply.echo) == ("forty-two", "system: the rules\nuser: say it\nassistant: ")
        assert model.meter.echoes == 1
        model._remove_echo = False
        assert (await model.complete(request)).text == text
        assert model.meter.echoes == 1

    play(scenario, otherwise=answer(text))


def test_importing_the_client_loads_no_heavy_library() -> None:
    code = (
        "import sys, fogline.core.chat; "
        "print([name for name in ('openai', 'aiohttp', 'httpx2', 'torch') if name in sys.modules])"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
