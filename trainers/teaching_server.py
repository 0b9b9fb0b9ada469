"""A scoring server: a language model that says over HTTP how likely it finds what a student wrote."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from fogline.core.errors import FoglineError
from fogline.trainers.recipe import Teaching
from fogline.trainers.teacher_wire import ASKED, answer, unpacked
from fogline.trainers.teachers import LocalTeacher

MOST_BYTES = 1 << 30
"""Largest question."""


def teaching_app(teacher: LocalTeacher) -> web.Application:
    """The server's two pages; one question is answered at a time."""
    model = ThreadPoolExecutor(1, "fogline-teacher")

    async def told(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "name": teacher.name,
                "vocabulary": teacher.vocabulary,
                "vocabulary_size": teacher.vocabulary_size,
                "temperature": teacher.temperature,
            }
        )

    async def score(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            k, entropy = int(request.query.get("top_k", "0")), request.query.get("entropy", "0") == "1"
            if not 0 <= k <= teacher.vocabulary_size:
                raise ValueError(f"top_k={k}: expected 0 to {teacher.vocabulary_size}")
            said = await asyncio.get_running_loop().run_in_executor(
                model, _scored, teacher, body, Teaching(top_k=k, entropy=entropy)
            )
        except (FoglineError, ValueError, IndexError, RuntimeError) as error:
            return web.Response(status=400, text=json.dumps({"error": str(error)}), content_type="application/json")
        return web.Response(body=said, content_type="application/octet-stream")

    app = web.Application(client_max_size=MOST_BYTES)
    app.add_routes([web.get("/", told), web.post("/score", score)])

    async def stop(_: web.Application) -> None:
        model.shutdown(wait=False, cancel_futures=True)

    app.on_cleanup.append(stop)
    return app


def _scored(teacher: LocalTeacher, body: bytes, teaching: Teaching) -> bytes:
    tokens, attention, policy = (unpacked(body, ASKED, "the student")[name] for name in ASKED)
    return answer(teacher.score(tokens, attention.bool(), policy.bool(), {}, teaching))
