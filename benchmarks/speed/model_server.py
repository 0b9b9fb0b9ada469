"""A model server on this machine that answers every request after a fixed time, to measure what is around it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

from fogline.benchmarks.speed.timing import MeasurementFailed

MODEL = "loopback"
_STARTING_S = 30.0


def reply(messages: list[dict[str, Any]], rounds: int) -> str:
    """Wait in every round but the last, and submit then."""
    spoken = sum(message["role"] == "assistant" for message in messages)
    call = {"name": "wait", "arguments": {}}
    if spoken + 1 >= rounds:
        call = {"name": "submit_result", "arguments": {"answer": 0}}
    return f"<tool_call>{json.dumps(call)}</tool_call>"


@contextmanager
def loopback_server(latency_s: float, rounds: int) -> Iterator[str]:
    """Run the server in a process of its own while it is needed.

    Args:
        latency_s: Seconds that every answer takes.
        rounds: Round in which a conversation's seat submits.

    Yields:
        The address, as an OpenAI client wants it.

    Raises:
        MeasurementFailed: If the server does not come up.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Popen([sys.executable, "-m", __name__, str(port), str(latency_s), str(rounds)])
    address = f"http://127.0.0.1:{port}/v1"
    try:
        _await_start(server, address)
        yield address
    finally:
        server.terminate()
        server.wait()


def _await_start(server: Popen[bytes], address: str) -> None:
    until = time.monotonic() + _STARTING_S
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/models", timeout=1).read()
            return
        except OSError:
            time.sleep(0.05)
    raise MeasurementFailed(f"the loopback model server did not answer at {address} within {_STARTING_S:g} s.")


def serve(port: int, latency_s: float, rounds: int) -> None:
    """Answer until killed."""
    from aiohttp import web

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def chat(request: web.Request) -> web.Response:
        due = asyncio.get_running_loop().time() + latency_s
        messages = (await request.json())["messages"]
        message = {"role": "assistant", "content": reply(messages, rounds)}
        answer = {
            "id": "0",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        }
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        return web.json_response(answer)

    app = web.Application(client_max_size=2**26)
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
