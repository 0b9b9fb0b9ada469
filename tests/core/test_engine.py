"""The engines: the same results everywhere, and failures that stay with their item."""

from __future__ import annotations

import functools
import importlib
import itertools
import math
import operator
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.engine import (
    Engine,
    NotPicklable,
    Outcome,
    RemoteError,
    TaskTimedOut,
    WorkerLost,
    make_engine,
    ordered,
)
from fogline.core.errors import ConfigurationError, InfrastructureError, MissingDependencyError

JOBS = """
import os, signal, subprocess, sys, time

class Stubborn(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")

def square_or_fail(number):
    if number % 7 == 3:
        raise ValueError(f"no {number}")
    return number * number

def misbehave(what):
    kind, value = what
    if kind == "exit":
        os._exit(value)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "sleep":
        time.sleep(value)
    if kind == "wait":
        while not os.path.exists(value) or not os.path.getsize(value):
            time.sleep(0.01)
    if kind == "stubborn":
        raise Stubborn(value, value)
    if kind == "closure":
        return lambda: value
    if kind == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(value, "w") as file:
            file.write(str(child.pid))
        time.sleep(600)
    return os.getpid() if kind == "pid" else value
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A module that workers can import, too: pytest's own modules may not be importable by name."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "engine_test_jobs.py").write_text(JOBS)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("engine_test_jobs")
    sys.path.remove(str(folder))
    del sys.modules["engine_test_jobs"]


@pytest.fixture(scope="module")
def pool(jobs: Any) -> Iterator[Engine]:
    with make_engine("process", workers=2) as engine:
        yield engine


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if not status.exists():
        return False
    return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("name", ["inline", "process"])
def test_values_and_errors_come_with_their_index(name: str, jobs: Any) -> None:
    with make_engine(name) as engine:
        outcomes = list(ordered(engine.map(jobs.square_or_fail, range(20))))
    assert [outcome.index for outcome in outcomes] == list(range(20))
    for number, outcome in enumerate(outcomes):
        if number % 7 == 3:
            assert isinstance(outcome.error, ValueError)
            assert str(outcome.error) == f"no {number}"
            with pytest.raises(ValueError, match=f"no {number}"):
                outcome.unwrap()
        else:
            assert outcome.unwrap() == number * number


def test_every_index_comes_exactly_once(pool: Engine) -> None:
    outcomes = list(pool.map(math.factorial, range(50)))
    assert sorted(outcome.index for outcome in outcomes) == list(range(50))
    assert all(outcome.value == math.factorial(outcome.index) for outcome in outcomes)


def test_a_worker_survives_its_items_and_its_map(pool: Engine, jobs: Any) -> None:
    run = jobs.misbehave
    first = {outcome.unwrap() for outcome in pool.map(run, [("pid", 0)] * 20)}
    second = {outcome.unwrap() for outcome in pool.map(run, [("pid", 0)] * 20)}
    assert 1 <= len(first | second) <= 2
    assert os.getpid() not in first


def test_an_endless_iterator_is_read_no_faster_than_workers_are_free(pool: Engine) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    outcomes = pool.map(math.factorial, endless())
    got = [next(outcomes) for _ in range(10)]
    cast(Any, outcomes).close()
    assert len(got) == 10
    assert taken <= 10 + pool.workers


def test_a_worker_that_dies_costs_one_item(pool: Engine, jobs: Any) -> None:
    work = [("value", 0), ("exit", 7), ("value", 2), ("kill", 0), ("value", 4), ("value", 5)]
    outcomes = list(ordered(pool.map(jobs.misbehave, work)))
    assert [outcome.value for outcome in outcomes] == [0, None, 2, None, 4, 5]
    for index, code in ((1, "exit code 7"), (3, "exit code -9")):
        error = outcomes[index].error
        assert isinstance(error, WorkerLost)
        assert isinstance(error, InfrastructureError)
        assert f"item {index}" in str(error)
        assert code in str(error)


def test_a_worker_that_died_between_maps_costs_nothing(jobs: Any) -> None:
    with make_engine("process", workers=1) as engine:
        (pid,) = [outcome.unwrap() for outcome in engine.map(jobs.misbehave, [("pid", 0)])]
        os.kill(pid, 9)
        assert wait_until(lambda: not alive(pid))
        assert [outcome.unwrap() for outcome in engine.map(math.factorial, [5])] == [120]


def test_a_late_item_is_stopped_and_the_others_go_on(pool: Engine, jobs: Any) -> None:
    work = [("sleep", 600), ("value", 1), ("value", 2), ("value", 3)]
    began = time.monotonic()
    outcomes = list(ordered(pool.map(jobs.misbehave, work, timeout_s=0.5)))
    assert time.monotonic() - began < 30
    assert isinstance(outcomes[0].error, TaskTimedOut)
    assert "timeout_s=0.5" in str(outcomes[0].error)
    assert [outcome.value for outcome in outcomes[1:]] == [1, 2, 3]


def test_the_time_to_start_a_worker_is_not_the_items(jobs: Any) -> None:
    with make_engine("process", workers=1) as engine:
        (outcome,) = engine.map(jobs.misbehave, [("value", 3)], timeout_s=0.05)
    assert outcome.unwrap() == 3


def test_what_a_stopped_item_started_is_stopped_too(pool: Engine, jobs: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    (outcome,) = pool.map(jobs.misbehave, [("child", str(note))], timeout_s=2.0)
    assert isinstance(outcome.error, TaskTimedOut)
    pid = int(note.read_text())
    assert wait_until(lambda: not alive(pid))


def test_what_cannot_travel_is_named(pool: Engine, jobs: Any) -> None:
    with pytest.raises(NotPicklable, match=r"function .*lambda"):
        pool.map(lambda number: number, [1])
    outcomes = list(ordered(pool.map(operator.not_, [0, lambda: None, 0])))
    assert [outcome.value for outcome in outcomes] == [True, None, True]
    assert isinstance(outcomes[1].error, NotPicklable)
    assert "item 1" in str(outcomes[1].error)
    run = jobs.misbehave
    result, stubborn = ordered(pool.map(run, [("closure", 0), ("stubborn", "this")]))
    assert isinstance(result.error, NotPicklable)
    assert "result" in str(result.error)
    assert isinstance(stubborn.error, RemoteError)
    assert "Stubborn: this and this" in str(stubborn.error)


def test_an_error_brings_the_workers_traceback(pool: Engine, jobs: Any) -> None:
    (outcome,) = pool.map(jobs.square_or_fail, [3])
    assert outcome.error is not None
    assert "in square_or_fail" in "".join(outcome.error.__notes__)


def test_an_abandoned_map_stops_its_work(jobs: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with make_engine("process", workers=2) as engine:
        outcomes = engine.map(jobs.misbehave, [("child", str(note)), ("wait", str(note))])
        assert next(outcomes).unwrap() == str(note)
        pid = int(note.read_text())
        assert alive(pid)
        cast(Any, outcomes).close()
        assert wait_until(lambda: not alive(pid))
        assert [outcome.value for outcome in engine.map(math.factorial, [3])] == [6]


def test_an_error_of_the_iterator_is_the_callers(pool: Engine) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        list(pool.map(math.factorial, broken()))
    assert [outcome.value for outcome in pool.map(math.factorial, [4])] == [24]


def test_two_maps_of_one_engine_may_run_at_once(pool: Engine) -> None:
    pairs = zip(ordered(pool.map(math.factorial, range(8))), ordered(pool.map(operator.neg, range(8))), strict=True)
    assert [(a.value, b.value) for a, b in pairs] == [(math.factorial(n), -n) for n in range(8)]


def test_large_items_and_results_travel(pool: Engine) -> None:
    block = bytes(range(256)) * 40_000
    (outcome,) = pool.map(functools.partial(operator.add, block), [block])
    assert outcome.unwrap() == block + block


SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
import engine_test_jobs
from fogline.core.engine import make_engine, ordered

{guard}
engine = make_engine("process", workers=2)
for outcome in ordered(engine.map(engine_test_jobs.{job}, {items})):
    print(outcome.value)
    {after}
"""


def write_script(folder: Path, **parts: str) -> Path:
    (folder / "engine_test_jobs.py").write_text(JOBS)
    script = folder / "script.py"
    body = {"guard": "", "after": "pass", "folder": str(folder), **parts}
    text = SCRIPT.format(**body)
    head, rest = text.split("\nengine = ", 1)
    if body["guard"]:
        rest = textwrap.indent("engine = " + rest, "    ")
        script.write_text(f"{head}\n{rest}")
    else:
        script.write_text(text)
    return script


def test_a_script_that_ends_without_closing_leaves_nothing(tmp_path: Path) -> None:
    script = write_script(
        tmp_path, guard="if __name__ == '__main__':", job="misbehave", items="[('pid', 0)] * 4", after="pass"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    pids = {int(line) for line in done.stdout.split()}
    assert 1 <= len(pids) <= 2
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def test_workers_of_a_killed_parent_end_by_themselves(tmp_path: Path) -> None:
    items = "[('pid', 0), ('pid', 0), ('pid', 0)]"
    script = write_script(
        tmp_path,
        guard="if __name__ == '__main__':",
        job="misbehave",
        items=items,
        after="sys.stdout.flush(); time.sleep(600) if outcome.index == 2 else None",
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = {int(parent.stdout.readline()) for _ in range(3)}
        parent.kill()
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_script_without_guard_is_told_so(tmp_path: Path) -> None:
    script = write_script(tmp_path, job="square_or_fail", items="range(4)")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "WorkerLost" in done.stderr
    assert "if __name__ == '__main__':" in done.stderr.split("WorkerLost")[-1]


def test_inline_takes_closures_and_reads_lazily() -> None:
    outcomes = make_engine().map(lambda number: number + 1, itertools.count())
    assert [next(outcomes) for _ in range(3)] == [Outcome(0, 1), Outcome(1, 2), Outcome(2, 3)]


def test_inline_lets_an_interrupt_through() -> None:
    def interrupt(number: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(make_engine("inline").map(interrupt, [1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "proces"}, "Did you mean 'process'"),
        ({"name": "process", "workers": 0}, "workers=0"),
        ({"name": "inline", "workers": 4}, "workers=4"),
        ({"name": "process", "address": "auto"}, "address='auto'"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_engine(**arguments)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan])
def test_a_limit_that_is_none_is_refused(pool: Engine, timeout_s: float) -> None:
    for engine in (pool, make_engine("inline")):
        with pytest.raises(ConfigurationError, match="timeout_s"):
            engine.map(math.factorial, [1], timeout_s=timeout_s)


def test_inline_refuses_a_limit_it_cannot_keep() -> None:
    with pytest.raises(ConfigurationError, match="engine='process'"):
        make_engine("inline").map(math.factorial, [1], timeout_s=1.0)


def test_absent_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"fogline\[scale\]"):
        make_engine("ray")


def test_core_engine_loads_no_heavy_package() -> None:
    code = (
        "import sys, fogline.core.engine; "
        "print([name for name in ('ray', 'sqlalchemy', 'duckdb', 'multiprocessing') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@given(st.permutations(range(12)))
def test_ordered_restores_any_order(arrival: list[int]) -> None:
    assert [outcome.index for outcome in ordered(Outcome(index, index) for index in arrival)] == list(range(12))


def test_ordered_yields_as_soon_as_an_outcome_is_due() -> None:
    seen: list[int] = []

    def arriving() -> Iterator[Outcome[int]]:
        for index in (1, 0, 2):
            seen.append(index)
            yield Outcome(index, index)

    outcomes = ordered(arriving())
    assert next(outcomes).index == 0
    assert seen == [1, 0]
