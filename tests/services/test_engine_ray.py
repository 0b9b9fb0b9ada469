"""The Ray engine on loopback with two CPUs: the same rules as the process pool."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
import operator
import os
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from requirement import unavailable

from fogline.core.engine import Engine, NotPicklable, TaskTimedOut, WorkerLost, make_engine, ordered
from fogline.core.errors import ConfigurationError

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    if importlib.util.find_spec("ray") is None:
        unavailable("ray", "Ray is not installed (pip install 'fogline[scale]')")
    with make_engine("ray", workers=2) as engine:
        yield engine


def test_results_are_those_of_the_inline_engine(cluster: Engine) -> None:
    inline = [outcome.value for outcome in make_engine("inline").map(math.factorial, range(20))]
    assert [outcome.value for outcome in ordered(cluster.map(math.factorial, range(20)))] == inline


def test_an_error_stays_with_its_item(cluster: Engine) -> None:
    outcomes = list(ordered(cluster.map(math.sqrt, [4.0, -1.0, 9.0])))
    assert [outcome.value for outcome in outcomes] == [2.0, None, 3.0]
    assert isinstance(outcomes[1].error, ValueError)
    assert "In the worker" in outcomes[1].error.__notes__[0]


def test_an_endless_iterator_is_read_no_faster_than_workers_are_free(cluster: Engine) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    outcomes = cluster.map(math.factorial, endless())
    got = [next(outcomes) for _ in range(10)]
    cast(Any, outcomes).close()
    assert len(got) == 10
    assert taken <= 10 + cluster.workers


def test_a_worker_that_dies_costs_one_item(cluster: Engine) -> None:
    work = [functools.partial(os._exit, 7), functools.partial(abs, -1), functools.partial(abs, -2)]
    outcomes = list(ordered(cluster.map(operator.call, work)))
    assert isinstance(outcomes[0].error, WorkerLost)
    assert "item 0" in str(outcomes[0].error)
    assert [outcome.value for outcome in outcomes[1:]] == [1, 2]


def test_a_late_item_is_stopped_and_the_others_go_on(cluster: Engine) -> None:
    outcomes = list(ordered(cluster.map(time.sleep, [600.0, 0.0, 0.0], timeout_s=2.0)))
    assert isinstance(outcomes[0].error, TaskTimedOut)
    assert [outcome.error for outcome in outcomes[1:]] == [None, None]


def test_what_cannot_travel_is_named(cluster: Engine) -> None:
    with pytest.raises(NotPicklable, match=r"function .*lambda"):
        cluster.map(lambda number: number, [1])
    outcomes = list(ordered(cluster.map(operator.not_, [0, lambda: None, 1])))
    assert [outcome.value for outcome in outcomes] == [True, None, False]
    assert isinstance(outcomes[1].error, NotPicklable)


def test_a_second_address_is_refused(cluster: Engine) -> None:
    with pytest.raises(ConfigurationError, match="connected to Ray already"):
        make_engine("ray", address="auto")
