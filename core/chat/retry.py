"""Trying again: how often, after how long, and what is raised in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np

from fogline.core.chat.errors import ChatError
from fogline.core.chat.meter import Meter
from fogline.core.errors import AgentError, ConfigurationError

T = TypeVar("T")


class Backoff:
    """Exponential back-off with jitter, bounded in count and in total time.

    The wait before retry k (from 0) is drawn from ``[c/2, c]`` with ``c = min(longest_s, first_s * 2**k)``;
    a server's ``Retry-After`` is waited out in full, plus at most a tenth, so that clients do not return
    all at once.

    Args:
        max_retries: Most attempts after the first.
        total_s: Seconds from the start of the first attempt after which no attempt begins.
        first_s: Ceiling of the first wait, in seconds.
        longest_s: Ceiling of every wait that the server did not ask for, in seconds.
        seed: Seed of the jitter. It decides only when requests are sent.
    """

    def __init__(
        self,
        max_retries: int,
        total_s: float,
        *,
        first_s: float = 0.5,
        longest_s: float = 30.0,
        seed: int = 0,
    ) -> None:
        if max_retries < 0 or not total_s > 0 or not first_s > 0 or not longest_s > 0:
            raise ConfigurationError(
                f"max_retries={max_retries}, retry_time_s={total_s}, backoff_s={first_s}: "
                "expected at least 0, and positive seconds."
            )
        self.max_retries = max_retries
        self.total_s = total_s
        self._first_s = first_s
        self._longest_s = longest_s
        self._rng = np.random.default_rng(seed)

    def delay(self, retry: int, retry_after_s: float | None, spent_s: float) -> float | None:
        """Return the seconds to wait before retry ``retry`` (from 0), or None to give up.

        Args:
            retry: How many retries were made before.
            retry_after_s: What the server asked for, if it did.
            spent_s: Seconds since the first attempt began.
        """
        if retry >= self.max_retries:
            return None
        jitter = float(self._rng.random())
        ceiling = min(self._longest_s, self._first_s * 2.0 ** min(retry, 32))
        wait = ceiling * (1 + jitter) / 2
        if retry_after_s is not None:
            wait = retry_after_s * (1 + jitter / 10)
        return wait if spent_s + wait < self.total_s else None


class Retries:
    """The attempts at one completion: their count, their budget, and what becomes of their errors.

    Args:
        backoff: How long to wait, and when to give up.
        meter: Where attempts and failures are counted.
        timeout_s: Longest that one attempt may take, in seconds.

    Attributes:
        count: Retries so far.
        wait_s: Seconds to wait before the next attempt, after a failed one.
    """

    def __init__(self, backoff: Backoff, meter: Meter, timeout_s: float) -> None:
        self._backoff = backoff
        self._meter = meter
        self._timeout_s = timeout_s
        self._began: float | None = None
        self.count = 0
        self.wait_s = 0.0

    def begin(self) -> float:
        """Note that an attempt goes on the wire and return the seconds it may take."""
        self._meter.attempts += 1
        now = asyncio.get_running_loop().time()
        self._began = now if self._began is None else self._began
        return max(1e-3, min(self._timeout_s, self._backoff.total_s - (now - self._began)))

    async def attempt(self, action: Callable[[], Awaitable[T]]) -> T | None:
        """Await ``action``; None says that it failed and may be repeated after ``wait_s`` seconds.

        Raises:
            ChatError: It failed for good.
            AgentError: The conversation itself is at fault.
        """
        try:
            return await action()
        except (ChatError, AgentError) as error:
            failure = error
        # Raised outside the handler: no exception that may know a header hangs on to it.
        self._settle(failure)
        return None

    def _settle(self, failure: ChatError | AgentError) -> None:
        kind = type(failure).__name__
        self._meter.failed_attempts[kind] += 1
        wait_s: float | None = None
        if isinstance(failure, ChatError) and failure.retryable:
            spent = 0.0 if self._began is None else asyncio.get_running_loop().time() - self._began
            wait_s = self._backoff.delay(self.count, failure.retry_after_s, spent)
        if wait_s is None:
            self._meter.failures[kind] += 1
            if isinstance(failure, ChatError):
                failure.attempts = self.count + 1
            raise failure
        self._meter.retries += 1
        self.count += 1
        self.wait_s = wait_s
