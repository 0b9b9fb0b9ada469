"""A content-addressed disk cache of chat replies, safe for any number of processes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fogline.core.chat.messages import ChatReply, ChatRequest, ToolCall
from fogline.core.errors import DataError

_VERSION = 1
_STORED = ("text", "reasoning", "finish_reason", "model", "prompt_tokens", "completion_tokens")


def request_key(model: str, server: str, request: ChatRequest) -> str:
    """Return the SHA-256 (hex) of everything that decides the reply.

    That is the model, the server's address (two servers may give one name to different weights), the
    messages, tools and sampling parameters, the seed and the sample's name. Keys, headers, time-outs and
    retries do not count. The order of keys in messages and schemas does: chat templates render it.
    """
    fields = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    document = {"version": _VERSION, "model": model, "server": server, "request": fields}
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()


class ChatCache:
    """Replies on disk, one small file each, named by :func:`request_key`.

    A file appears by an atomic rename, so a reader sees all of it or none. Each holds its own key and a
    checksum: a damaged file counts as absent and is replaced by the next :meth:`put`.

    Args:
        folder: Where the files live; made when missing.

    Attributes:
        corrupt: Damaged entries met so far.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.corrupt = 0

    def path(self, key: str) -> Path:
        """Where the entry of ``key`` lives."""
        return self.folder / key[:2] / f"{key}.json"

    def __contains__(self, key: str) -> bool:
        """Whether a sound entry exists; counts nothing."""
        try:
            return self._load(key) is not None
        except DataError:
            return False

    def get(self, key: str) -> ChatReply | None:
        """Return the stored reply, or None where there is none or it is damaged (counted)."""
        try:
            return self._load(key)
        except DataError:
            self.corrupt += 1
            return None

    def put(self, key: str, reply: ChatReply) -> None:
        """Store ``reply`` under ``key``, replacing what is there."""
        payload = {name: getattr(reply, name) for name in _STORED}
        payload["tool_calls"] = [[call.name, call.arguments, call.id, call.raw] for call in reply.tool_calls]
        entry = {"version": _VERSION, "key": key, "checksum": _checksum(payload), "reply": payload}
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{key[:8]}-", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(entry, file)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _load(self, key: str) -> ChatReply | None:
        path = self.path(key)
        try:
            entry = json.loads(path.read_text("utf-8"))
            payload = entry["reply"]
            if entry["key"] != key or entry["version"] != _VERSION or entry["checksum"] != _checksum(payload):
                raise DataError(f"cache entry {path.name} is damaged: its checksum does not match; delete it.")
            calls = tuple(ToolCall(*call) for call in payload["tool_calls"])
            return ChatReply(**{name: payload[name] for name in _STORED}, tool_calls=calls, cost=0.0, cached=True)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"cache entry {path.name} is damaged ({type(error).__name__}): delete it.") from error


def _checksum(payload: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
