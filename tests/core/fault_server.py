"""A chat server on loopback that answers each request as its script says, faults included."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDict

Step = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def completion(text: str | None = "hello", **fields: Any) -> dict[str, Any]:
    """A well-formed chat completion; ``fields`` replace parts of it."""
    message = {"role": "assistant", "content": text, **fields.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": fields.pop("finish_reason", "stop")}
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    return {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **fields,
    }


def answer(text: str | None = "hello", *, delay: float = 0.0, **fields: Any) -> Step:
    """Answer properly, after ``delay`` seconds."""

    async def step(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(delay)
        if body.get("stream"):
            return await send_stream(request, chunks(text or ""))
        return web.json_response(completion(text, **fields))

    return step


def tool_calls(*calls: tuple[str, str]) -> Step:
    """Answer with tool calls, given as (name, arguments as raw text)."""
    made = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": raw}}
        for index, (name, raw) in enumerate(calls)
    ]
    return answer(None, message={"tool_calls": made}, finish_reason="tool_calls")


def status(code: int, document: Any = None, headers: dict[str, str] | None = None) -> Step:
    """Answer with an HTTP error."""

    async def step(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(document or {"error": {"message": f"status {code}"}}, status=code, headers=headers)

    return step


def document(content: bytes, content_type: str = "application/json") -> Step:
    """Answer 200 with exactly these bytes."""

    async def step(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=content, content_type=content_type)

    return step


def reflect_headers() -> Step:
    """Answer with the request's own headers as text, as a debugging server does."""

    async def step(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion(json.dumps(dict(request.headers))))

    return step


def hang(seconds: float) -> Step:
    """Say nothing for so long, then answer."""
    return answer("late", delay=seconds)


def disconnect(after: int = 40) -> Step:
    """Promise a body, send ``after`` bytes of it, and cut the connection (0: before the headers)."""

    async def step(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        if after == 0:
            request.transport.close()
            return web.Response()
        body = json.dumps(completion("x" * 400)).encode()
        response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(body[:after])
        request.transport.close()
        return response

    return step


def chunks(text: str, *, usage: bool = True, finish: str | None = "stop") -> list[dict[str, Any]]:
    """A stream's chunks, one character each."""
    made: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"role": "assistant"}}], "model": "m"}]
    made += [{"choices": [{"index": 0, "delta": {"content": letter}}]} for letter in text]
    if finish:
        made.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage:
        made.append({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": len(text)}})
    return made


async def send_stream(
    request: web.Request, parts: Iterable[Any], *, pause: float = 0.0, cut: bool = False, done: bool = True
) -> web.StreamResponse:
    """Send server-sent events; ``cut`` closes the connection instead of ending the body."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for part in parts:
        data = part if isinstance(part, str) else json.dumps(part)
        await response.write(f"data: {data}\n\n".encode())
        await asyncio.sleep(pause)
    if cut:
        assert request.transport is not None
        request.transport.close()
        return response
    if done:
        await response.write(b"data: [DONE]\n\n")
    return response


def stream(parts: Iterable[Any], *, pause: float = 0.0, cut: bool = False, done: bool = True) -> Step:
    """Answer with these chunks whatever was asked."""

    async def step(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        return await send_stream(request, parts, pause=pause, cut=cut, done=done)

    return step


class FaultServer:
    """Runs the script's steps, one a request, then ``otherwise`` for ever.

    Attributes:
        requests: Headers and body of every request, in order of arrival.
        in_flight: Requests being answered now.
        most_in_flight: The most there ever were.
    """

    def __init__(self, *script: Step, otherwise: Step | None = None) -> None:
        self.script = deque(script)
        self.otherwise = otherwise or answer()
        self.requests: list[tuple[CIMultiDict[str], dict[str, Any]]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append((request.headers.copy(), body))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            step = self.script.popleft() if self.script else self.otherwise
            return await step(request, body)
        finally:
            self.in_flight -= 1
