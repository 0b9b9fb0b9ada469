"""Chat models: one async protocol, and a client for every server with the OpenAI chat API.

The client keeps a concurrency limit, retries what may succeed, answers repeated requests from a disk cache,
counts tokens and money, estimates both before anything is paid, and shows its key to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from fogline.core.chat.access import Access
from fogline.core.chat.cache import ChatCache, request_key
from fogline.core.chat.echo import strip_echo
from fogline.core.chat.errors import ChatTimeout
from fogline.core.chat.messages import ChatPiece, ChatReply, ChatRequest
from fogline.core.chat.meter import Meter
from fogline.core.chat.prices import Estimate, Price, estimate_requests
from fogline.core.chat.retry import Backoff, Retries
from fogline.core.chat.wire import (
    StreamAssembler,
    decode,
    parse_reply,
    reported_error,
    request_body,
    usage_of,
)
from fogline.core.errors import ConfigurationError, check_choice

if TYPE_CHECKING:
    from fogline.core.chat.transport import Connection


class OpenAIChatModel:
    """A model behind any server that speaks the OpenAI chat API.

    Safe to share between all coroutines of a process. It can be pickled to worker processes, which read the
    key from their own environment; each event loop gets its own connections, closed when the loop ends.

    Args:
        model: The model's name, as the server knows it.
        base_url: The server's address, usually ending in ``/v1``; by default ``$OPENAI_BASE_URL``, then
            OpenAI's own. A user part (``https://user:password@host``) is sent as Basic authorization and
            shown nowhere.
        api_key_env: Environment variable that holds the key. It may be unset where ``base_url`` is given.
        concurrency: Most requests in flight; waiting to retry does not count.
        timeout_s: Longest that one attempt may take from sending to the last byte, in seconds.
        max_retries: Most further attempts after the first.
        retry_time_s: Seconds after the first attempt began in which further attempts may run.
        backoff_s: Ceiling of the wait before the first retry, in seconds; it doubles with each.
        seed: Seed of the back-off's jitter. It decides no reply.
        cache_dir: Folder of the disk cache; None for none. One folder serves any number of processes.
        price: The model's price, for the meter and for estimates; None where it is unknown.
        headers: Further request headers. They do not enter the cache's key and are shown nowhere.
        transport: ``"aiohttp"``, or ``"httpx"``, the library's slower default.
        max_tokens_field: What the server calls the token limit. By default ``"max_completion_tokens"`` for
            OpenAI's own address and ``"max_tokens"`` elsewhere.
        stream_usage: Whether to ask for token counts at the end of streams (``stream_options``).
        remove_echo: Whether to remove an exact copy of the prompt before the answer (counted in the meter).

    Attributes:
        name: The model's name.
        server: The server's address, without user part.
        meter: What was sent, received, paid and lost so far.

    Raises:
        ConfigurationError: For an option that makes no sense, or a missing key.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 16,
        timeout_s: float = 120.0,
        max_retries: int = 6,
        retry_time_s: float = 600.0,
        backoff_s: float = 0.5,
        seed: int = 0,
        cache_dir: str | Path | None = None,
        price: Price | None = None,
        headers: Mapping[str, str] | None = None,
        transport: Literal["aiohttp", "httpx"] = "aiohttp",
        max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None,
        stream_usage: bool = True,
        remove_echo: bool = True,
    ) -> None:
        if concurrency < 1 or not timeout_s > 0:
            raise ConfigurationError(
                f"concurrency={concurrency}, timeout_s={timeout_s}: expected at least 1 and positive seconds."
            )
        check_choice("transport", transport, ("aiohttp", "httpx"))
        self._access = Access(base_url, api_key_env, headers)
        self.name = model
        self.server = self._access.server
        self.meter = Meter()
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._backoff = Backoff(max_retries, retry_time_s, first_s=backoff_s, seed=seed)
        self._cache = None if cache_dir is None else ChatCache(cache_dir)
        self._price = price
        self._transport = transport
        default_field = "max_completion_tokens" if self._access.official else "max_tokens"
        self._max_tokens_field = max_tokens_field or default_field
        self._stream_usage = stream_usage
        self._remove_echo = remove_echo
        self._forget_loop()

    def __repr__(self) -> str:
        """Name and server."""
        return f"OpenAIChatModel({self.name!r}, base_url={self.server!r})"

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer ``request``: from the cache, or from the server with retries.

        Raises:
            ChatError: The server or the way to it failed for good.
            ContextLengthExceeded: The conversation does not fit the model.
            ContentRefused: The model declined to answer.
        """
        key = self._key(request)
        reply = self._cached(key)
        if reply is None:
            retries = self._retries()
            while (reply := await retries.attempt(lambda: self._ask(request, retries))) is None:
                await asyncio.sleep(retries.wait_s)
            reply = replace(reply, retries=retries.count)
            self._store(key, reply)
        return self._finished(request, reply)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        """Answer ``request`` piece by piece; the last piece carries the whole reply.

        A stream that is cut is started again as a whole, and ``attempt`` of its pieces rises. Leave the
        iterator early only through ``contextlib.aclosing``, so that its connection is given back.

        Raises:
            ChatError: The server or the way to it failed for good.
            ContextLengthExceeded: The conversation does not fit the model.
            ContentRefused: The model declined to answer.
        """
        key = self._key(request)
        reply = self._cached(key)
        if reply is None:
            retries = self._retries()
            while reply is None:
                attempt = retries.count
                async with aclosing(self._pieces(request, retries)) as pieces:
                    while not isinstance(piece := await retries.attempt(lambda: anext(pieces)), ChatReply):
                        if piece is None:
                            break
                        yield ChatPiece(piece, attempt)
                    reply = piece
                if reply is None:
                    await asyncio.sleep(retries.wait_s)
            reply = replace(reply, retries=retries.count)
            self._store(key, reply)
            yield ChatPiece("", retries.count, self._finished(request, reply))
        else:
            reply = self._finished(request, reply)
            yield ChatPiece(reply.text, 0, reply)

    def estimate(self, requests: Iterable[ChatRequest]) -> Estimate:
        """Say what ``requests`` would take, without sending any.

        Tokens are approximate (:func:`fogline.core.chat.prices.approximate_prompt_tokens`); completion tokens and
        cost are upper bounds. What the cache holds is free.
        """
        paid, cached = [], 0
        for request in requests:
            if self._cache is not None and self._key(request) in self._cache:
                cached += 1
            else:
                paid.append(request)
        return estimate_requests(paid, self._price, cached)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        lease = self._lease if self._loop is asyncio.get_running_loop() else None
        self._forget_loop()
        if lease is not None:
            await lease.aclose()

    async def __aenter__(self) -> Self:
        """Return the model itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    def __getstate__(self) -> dict[str, Any]:
        """State for a worker process: no connections, no counts, and no key.

        Raises:
            ConfigurationError: If ``headers`` or a login in ``base_url`` were given: they would travel in
                the clear.
        """
        if not self._access.portable:
            raise ConfigurationError(
                "a chat model with headers=… or a login in base_url cannot be sent to another process: "
                "use api_key_env, which each process reads for itself."
            )
        return {
            **self.__dict__,
            "_loop": None,
            "_lease": None,
            "_connection": None,
            "_slots": None,
            "meter": Meter(),
        }

    # One attempt

    def _retries(self) -> Retries:
        return Retries(self._backoff, self.meter, self._timeout_s)

    async def _ask(self, request: ChatRequest, retries: Retries) -> ChatReply:
        connection, slots = await self._connected()
        body = request_body(request, self.name, self._max_tokens_field)
        async with slots:
            try:
                async with asyncio.timeout(retries.begin()):
                    payload = await connection.post(body)
            except TimeoutError:
                late = self._late()
            else:
                return self._read(decode(payload))
        raise late

    async def _pieces(self, request: ChatRequest, retries: Retries) -> AsyncGenerator[str | ChatReply, None]:
        """Yield the texts of one streaming attempt, then its reply; the consumer's own time is free."""
        connection, slots = await self._connected()
        body = request_body(request, self.name, self._max_tokens_field) | {"stream": True}
        if self._stream_usage:
            body["stream_options"] = {"include_usage": True}
        assembler, loop = StreamAssembler(), asyncio.get_running_loop()
        async with slots, aclosing(connection.stream(body)) as chunks:
            left_s = retries.begin()
            while True:
                asked = loop.time()
                try:
                    async with asyncio.timeout(left_s):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    break
                left_s -= loop.time() - asked
                if chunk is None:
                    yield self._read(assembler.document())
                    return
                self._refuse_error(chunk)
                if text := assembler.feed(chunk):
                    yield text
        raise self._late()

    def _read(self, document: dict[str, Any]) -> ChatReply:
        self._refuse_error(document)
        # A server charges for an answer that turns out unusable, so it is counted before it is read.
        cost = self.meter.add_answer(*usage_of(document), self._price)
        return replace(parse_reply(document), cost=cost)

    def _refuse_error(self, document: Mapping[str, Any]) -> None:
        if (error := reported_error(document, self.server, self._access.key_source)) is not None:
            raise error

    def _late(self) -> ChatTimeout:
        return ChatTimeout(f"{self.server} did not answer within {self._timeout_s:g} s: raise timeout_s.")

    # Around the attempts

    def _key(self, request: ChatRequest) -> str:
        return request_key(self.name, self.server, request) if self._cache is not None else ""

    def _cached(self, key: str) -> ChatReply | None:
        self.meter.calls += 1
        if self._cache is None:
            return None
        damaged = self._cache.corrupt
        reply = self._cache.get(key)
        self.meter.corrupt_entries += self._cache.corrupt - damaged
        self.meter.cache_hits += reply is not None
        return reply

    def _store(self, key: str, reply: ChatReply) -> None:
        if self._cache is not None:
            self._cache.put(key, reply)

    def _finished(self, request: ChatRequest, reply: ChatReply) -> ChatReply:
        if not self._remove_echo:
            return reply
        echo, answer = strip_echo(reply.text, request.messages)
        if not echo:
            return reply
        self.meter.echoes += 1
        return replace(reply, text=answer, echo=echo)

    # Connection

    def _forget_loop(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lease: AsyncGenerator[Connection, None] | None = None
        self._connection: Connection | None = None
        self._slots: asyncio.Semaphore | None = None

    async def _connected(self) -> tuple[Connection, asyncio.Semaphore]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._connection is None or self._slots is None:
            connection, slots = self._open(), asyncio.Semaphore(self._concurrency)
            self._loop, self._connection, self._slots = loop, connection, slots
            self._lease = _until_the_loop_ends(connection)
            await anext(self._lease)
            return connection, slots
        return self._connection, self._slots

    def _open(self) -> Connection:
        from fogline.core.chat.transport import Connection

        headers, redactor = self._access.secrets()
        return Connection(
            self.server,
            headers,
            redactor,
            key_source=self._access.key_source,
            timeout_s=self._timeout_s,
            limit=self._concurrency,
            transport=self._transport,
        )


async def _until_the_loop_ends(connection: Connection) -> AsyncGenerator[Connection, None]:
    """Close ``connection`` when closed, or when ``asyncio.run`` shuts the loop's async generators down."""
    try:
        yield connection
    finally:
        await connection.aclose()
