"""Running a server of ours until it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web


def serve(
    app: web.Application, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] | None = None
) -> None:
    """Serve until interrupted; ``ready`` is told the address. Port 0 takes a free one."""

    async def run() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            if ready is not None:
                bound: Any = runner.addresses[0]
                ready(f"http://{host}:{bound[1]}")
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    asyncio.run(run())
