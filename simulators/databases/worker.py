"""The worker process: runs statements for its parent until the parent hangs up.

Started as a script by :mod:`fogline.simulators.databases.pool` under ``python -I -S``, with the parent's socket as
its standard input. Arguments: engine, memory in bytes, process id of the parent, then folders to import from.
"""

from __future__ import annotations

import _thread
import contextlib
import marshal
import os
import resource
import select
import signal
import sys
import time
from types import ModuleType
from typing import Any

PACKAGE = "fogline.simulators.databases"
PARENT_CHECK_SECONDS = 0.5
WATCH_STACK_BYTES = 256 * 1024


def main(arguments: list[str]) -> None:
    """Serve the parent on file descriptor 0 until it closes its end."""
    engine_name, memory_bytes, parent = arguments[0], int(arguments[1]), int(arguments[2])
    os.closerange(3, 256)
    _thread.stack_size(WATCH_STACK_BYTES)
    _thread.start_new_thread(_end_with, (parent,))
    _use_light_packages(os.path.dirname(os.path.abspath(__file__)), arguments[3:])  # noqa: PTH100, PTH120
    from fogline.simulators.databases.wire import encode

    try:
        engine = __import__(f"{PACKAGE}.engine_{engine_name}", fromlist=["Engine"]).Engine(memory_bytes)
        _restrict(memory_bytes + engine.baseline_bytes)
    except Exception as error:
        _write(encode((type(error).__name__, str(error))))
        raise
    _write(encode(None))
    _serve(engine)
    _end_with(parent)  # A parent that lives on kills this process.


def _serve(engine: Any) -> None:
    from fogline.simulators.databases.wire import HEADER_BYTES, LINGER_SECONDS, encode, linger

    databases: dict[int, Any] = {}
    poller = select.poll()
    poller.register(0, select.POLLIN)
    data = b""
    while True:
        # The beginning of the next message may have come along with the last one.
        while len(data) < HEADER_BYTES or len(data) < int.from_bytes(data[:HEADER_BYTES], "little") + HEADER_BYTES:
            linger(poller.poll, LINGER_SECONDS["worker"])
            more = os.read(0, 65536)
            if not more:
                return
            data += more
        end = int.from_bytes(data[:HEADER_BYTES], "little") + HEADER_BYTES
        message = marshal.loads(memoryview(data)[HEADER_BYTES:end])
        data = data[end:]
        if message[0] == "run":
            database, limits = databases[message[1]], message[3]
            for statement in message[2]:
                answer = database.run(statement, limits)
                _write(encode(answer))
                if answer[-1]:
                    return
        elif message[0] == "open":
            try:
                databases[message[1]] = engine.open(message[2])
                _write(encode(None))
            except Exception as error:
                _write(encode((type(error).__name__, str(error))))
        else:
            databases.pop(message[1]).close()


def _write(frame: bytes) -> None:
    view = memoryview(frame)
    while view:
        view = view[os.write(0, view) :]


def _use_light_packages(folder: str, import_folders: list[str]) -> None:
    """Make this folder importable under its real name without running the packages above it."""
    sys.path.extend(import_folders)
    name = ""
    for part in PACKAGE.split("."):
        name = f"{name}.{part}" if name else part
        module = ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    module.__path__ = [folder]


def _restrict(memory_bytes: int) -> None:
    """Bound the address space and forbid file contents and core dumps; imports are over by now."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _end_with(parent: int) -> None:
    """End this process, and its empty folder, soon after its parent, even in the middle of a statement."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    with contextlib.suppress(OSError):
        os.rmdir(os.getcwd())  # noqa: PTH106, PTH109
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
