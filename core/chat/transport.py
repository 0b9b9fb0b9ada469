"""The wire under the chat client: the `openai` library, with keys kept out of everything it can show.

The library never holds the key: it is given a placeholder, and the real headers are put on a request only
while it is being sent. Its exceptions, which carry requests and headers, never leave this module; each
becomes one of :mod:`fogline.core.chat.errors` without a chain behind it. Imports `openai`: load it lazily.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import aiohttp
import httpx2
import openai

from fogline.core.chat.errors import (
    BadRequest,
    ChatError,
    ChatTimeout,
    ConnectionFailed,
    MalformedReply,
    status_error,
)
from fogline.core.chat.secret import Redactor, Secret
from fogline.core.errors import AgentError

_PLACEHOLDER = "fogline-adds-the-key-while-sending"
_PATH = "/chat/completions"
_LIBRARY_ERRORS = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    aiohttp.ClientError,
    OSError,
)


class _KeyedClient(httpx2.AsyncClient):
    """Puts the secret headers on a request for as long as it is being sent."""

    def __init__(self, secrets: Mapping[str, Secret], **options: Any) -> None:
        super().__init__(**options)
        self._secrets = secrets

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send with the keys; the request that comes back in responses and errors has none."""
        request.headers.pop("authorization", None)
        try:
            for name, secret in self._secrets.items():
                request.headers[name] = secret.reveal()
            return await super().send(request, **options)
        finally:
            for name in self._secrets:
                request.headers.pop(name, None)


class _KeyedAiohttpClient(_KeyedClient, openai.DefaultAioHttpClient):
    """Over aiohttp: a fraction of the default transport's CPU time at high concurrency."""


class _KeyedHttpxClient(_KeyedClient, openai.DefaultAsyncHttpxClient):
    """Over the library's default transport."""


class Connection:
    """A pool of connections to one server, bound to the event loop that first used it.

    Args:
        base_url: Address without user part.
        headers: Headers to add to each request, values secret.
        redactor: Removes secrets from what the server sends.
        key_source: Where the key comes from, in words, for error messages.
        timeout_s: Bound of each wait on the socket, in seconds.
        limit: Most connections.
        transport: ``"aiohttp"`` or ``"httpx"``.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, Secret],
        redactor: Redactor,
        *,
        key_source: str,
        timeout_s: float,
        limit: int,
        transport: str,
    ) -> None:
        self._base_url = base_url
        self._redactor = redactor
        self._key_source = key_source
        kind = _KeyedAiohttpClient if transport == "aiohttp" else _KeyedHttpxClient
        http_client = kind(
            headers,
            timeout=httpx2.Timeout(timeout_s),
            limits=httpx2.Limits(max_connections=limit, max_keepalive_connections=limit, keepalive_expiry=30.0),
            follow_redirects=False,
        )
        self._client = openai.AsyncOpenAI(
            api_key=_PLACEHOLDER, base_url=base_url, max_retries=0, timeout=timeout_s, http_client=http_client
        )

    async def post(self, body: Mapping[str, Any]) -> bytes:
        """Send one request and return the answer's whole body, free of secrets.

        Raises:
            ChatError: The request failed; the type says how.
            AgentError: The server says that the conversation is too long or unwanted.
        """
        try:
            response = await self._client.post(_PATH, cast_to=httpx2.Response, body=dict(body))
            return self._redactor.data(bytes(response.content))
        except _LIBRARY_ERRORS as error:
            failure = self._translate(error)
        raise failure

    async def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Send one streaming request and yield the server-sent chunks, free of secrets.

        Raises:
            ChatError: The request failed or the stream broke; the type says how.
            AgentError: The server says that the conversation is too long or unwanted.
        """
        response: httpx2.Response | None = None
        try:
            # With this cast_to the library hands over the response unread, whatever it says its type is.
            answer: Any = await self._client.post(
                _PATH,
                cast_to=httpx2.Response,
                body=dict(body),
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )
            response = answer
            async for data in _events(answer):
                if data == "[DONE]":
                    return
                yield self._chunk(data)
            return
        except _LIBRARY_ERRORS as error:
            failure = self._translate(error)
        finally:
            if response is not None:
                await _close_stream(response)
        raise failure

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _chunk(self, data: str) -> dict[str, Any]:
        try:
            chunk = json.loads(self._redactor.text(data))
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            raise MalformedReply(f"a chunk of {len(data)} characters is not a JSON object: the stream is damaged.")
        return chunk

    def _translate(self, error: BaseException) -> ChatError | AgentError:
        """Turn a library's error into ours, which keeps its kind and the server's words, no more."""
        server = self._base_url
        if isinstance(error, openai.APIStatusError):
            response = error.response
            text = self._redactor.text(response.text)
            try:
                document: Any = json.loads(text)
            except ValueError:
                document = text
            return status_error(
                response.status_code, response.headers, document, server=server, key_source=self._key_source
            )
        chain = _chain(error)
        timed_out = any(isinstance(link, (TimeoutError, httpx2.TimeoutException)) for link in chain)
        # The aiohttp bridge reports a closed connection as a connect time-out; the cause tells them apart.
        broken = any(
            isinstance(link, aiohttp.ClientConnectionError) and not isinstance(link, TimeoutError) for link in chain
        )
        if timed_out and not broken:
            return ChatTimeout(f"{server} did not answer in time: raise timeout_s or lower concurrency.")
        if any(isinstance(link, (httpx2.UnsupportedProtocol, httpx2.InvalidURL)) for link in chain):
            return BadRequest(f"base_url={server!r} is not an address: expected http:// or https://.")
        kinds = type(chain[-1]).__name__
        return ConnectionFailed(f"the connection to {server} failed ({kinds}): check that the server is up.")


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = [error]
    while (cause := links[-1].__cause__ or links[-1].__context__) is not None and cause not in links:
        links.append(cause)
    return links


async def _events(response: httpx2.Response) -> AsyncIterator[str]:
    """Yield the data of each server-sent event."""
    data: list[str] = []
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data.clear()
    if data:
        yield "\n".join(data)


async def _close_stream(response: httpx2.Response) -> None:
    # The stream is over either way: that the broken connection cannot be closed in order adds nothing.
    try:
        await response.aclose()
    except _LIBRARY_ERRORS:
        return
