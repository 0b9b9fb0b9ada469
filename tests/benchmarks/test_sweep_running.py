"""Running sweeps: engines agree, nothing is played twice, failures are typed, limits hold."""

from __future__ import annotations

import json
import os
import signal
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from fault_server import FaultServer, answer, status

from fogline.benchmarks.recording import Progress
from fogline.benchmarks.sweeps import running
from fogline.benchmarks.sweeps.cells import facts_of
from fogline.benchmarks.sweeps.config import SweepConfig
from fogline.benchmarks.sweeps.keeping import answers_of
from fogline.benchmarks.sweeps.running import sweep, sweep_async
from fogline.core.engine import Outcome, TaskTimedOut
from fogline.core.jsonable import to_jsonable
from fogline.core.store import RunStore, StoredEpisode
from fogline.envs.silo_bench.config import SiloConfig
from fogline.envs.silo_bench.instances import make_problem
from fogline.envs.silo_bench.scoring import score_answers
from fogline.envs.silo_bench.tasks.catalogue import silo_task

Metrics = dict[tuple[str, str, int], str]


def small(tmp_path: Path, **changes: Any) -> SweepConfig:
    settings: dict[str, Any] = {
        "tasks": ("I-01", "II-11"),
        "n_agents": (2, 5),
        "protocols": ("p2p", "files"),
        "agents": ("tree", "flood"),
        "store": str(tmp_path / "runs.db"),
    }
    return SweepConfig(**settings | changes)


def stored(config: SweepConfig, **options: Any) -> list[StoredEpisode]:
    with closing(RunStore(config.store, create=False)) as store:
        return list(store.episodes(latest_only=False, **options))


def metrics(config: SweepConfig) -> Metrics:
    """Metrics as text by cell, instance and seed; no key may have two rows."""
    rows = stored(config)
    found = {
        (row.cell_key, row.episode.task_id, row.episode.seed): json.dumps(to_jsonable(row.episode.metrics))
        for row in rows
    }
    assert len(found) == len(rows)
    return found


# Engines


def test_a_pool_stores_the_metrics_of_the_inline_engine_byte_by_byte(tmp_path: Path) -> None:
    # Lost, late and doubled messages, so that the channel's draws are compared, too.
    faults = {"env_kwargs": {"drop": 0.1, "duplicate": 0.1, "max_rounds": 12}, "seeds": 2, "protocols": ("p2p",)}
    alone = small(tmp_path, **faults)
    pool = small(tmp_path, **faults, store=str(tmp_path / "pool.db"), engine="process", workers=2)
    one, other = sweep(alone), sweep(pool)
    assert metrics(alone) == metrics(pool)
    assert one.table == other.table
    assert (other.cells, other.complete, other.played) == (8, 8, 16)


async def test_it_runs_inside_a_running_loop(tmp_path: Path) -> None:
    assert (await sweep_async(small(tmp_path, tasks=("I-01",)))).complete == 8


# Resuming


def test_a_second_run_plays_nothing_and_more_instances_play_what_is_new(tmp_path: Path) -> None:
    first = sweep(small(tmp_path))
    again = sweep(small(tmp_path))
    assert (first.played, first.reused, again.played, again.reused) == (16, 0, 0, 16)
    assert again.table == first.table
    wider = sweep(small(tmp_path, seeds=2))
    assert (wider.played, wider.reused, wider.complete) == (16, 16, 16)
    assert (sweep(small(tmp_path)).reused, sweep(small(tmp_path, resume=False)).played) == (16, 16)


def test_progress_counts_up_to_the_plan_from_what_is_there(tmp_path: Path) -> None:
    sweep(small(tmp_path, tasks=("I-01",)))
    told: list[Progress] = []
    sweep(small(tmp_path), progress=told.append)
    assert [item.done for item in told] == list(range(8, 17))
    assert {item.total for item in told} == {16}


def test_an_interrupted_sweep_keeps_what_had_ended(tmp_path: Path) -> None:
    # A process that was started in the background of a script ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def stop(progress: Progress) -> None:
        if progress.done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            sweep(small(tmp_path), progress=stop)
    finally:
        signal.signal(signal.SIGINT, before)
    kept = len(stored(small(tmp_path)))
    assert 5 <= kept <= 7
    report = sweep(small(tmp_path))
    assert (report.played, report.reused) == (16 - kept, kept)


# Failures


def test_failures_are_typed_counted_left_out_and_tried_again(tmp_path: Path) -> None:
    agent = "silo_players:Flaky"
    repaired = tmp_path / "repaired"
    config = small(
        tmp_path,
        tasks=("I-01", "I-02", "I-05"),
        n_agents=(2, 3, 4),
        agents=(agent,),
        agent_options={agent: {"repaired": str(repaired)}},
        retries=0,
    )
    report = sweep(config)
    failed = [row.episode for row in stored(config) if not row.episode.scored]
    assert 0 < len(failed) < 18
    assert {(item.status, item.failure.kind) for item in failed if item.failure} == {
        ("infra_error", "InfrastructureError")
    }
    assert (report.unscored, report.failures) == (len(failed), {"InfrastructureError": len(failed)})
    assert report.complete == report.cells - len(failed)
    assert sum(line.numbers["success_rate"].episodes for line in report.table.lines) == 18 - len(failed)
    repaired.touch()
    second = sweep(config)
    assert (second.played, second.reused, second.complete) == (len(failed), 18 - len(failed), 18)


def test_an_agents_own_failure_is_a_wrong_answer(tmp_path: Path) -> None:
    report = sweep(small(tmp_path, agents=("silo_players:Clumsy",)))
    assert (report.complete, report.unscored) == (8, 0)
    number = report.table.number(("silo_players:Clumsy", "p2p"), "success_rate")
    assert (number.value, number.episodes) == (0.0, 4)
    assert report.table.number(("silo_players:Clumsy", "p2p"), "density").value is None


def test_a_worker_that_dies_costs_the_cells_it_had(tmp_path: Path) -> None:
    config = small(tmp_path, tasks=("I-01",), agents=("silo_players:Deadly",), engine="process", workers=2, retries=0)
    report = sweep(config)
    assert report.failures == {"WorkerLost": 2}
    assert (report.complete, report.cells) == (2, 4)
    failed = [row.episode for row in stored(config) if not row.episode.scored]
    assert {(item.task_id, item.status, item.agent) for item in failed} == {
        ("I-01/0", "infra_error", "silo_players:Deadly")
    }


class Unreliable:
    """An engine that loses every item until it has been handed it so many times."""

    name = "unreliable"
    workers = 2

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.limits: list[float | None] = []
        self.rounds: list[int] = []

    def map(self, function: Any, items: Any, *, timeout_s: float | None = None) -> Any:
        self.limits.append(timeout_s)
        self.rounds.append(0)
        for index, item in enumerate(items):
            self.rounds[-1] += 1
            if len(self.rounds) <= self.losses:
                yield Outcome(index, error=TaskTimedOut("late"))
            else:
                yield Outcome(index, function(item))

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("losses", [1, 2, 3])
def test_what_a_worker_lost_is_tried_again_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: int
) -> None:
    engine = Unreliable(losses)
    monkeypatch.setattr(running, "make_engine", lambda *_, **__: engine)
    config = small(tmp_path, agents=("silo_players:Guesser",), engine="process", retries=2, timeout_s=5.0, seeds=2)
    report = sweep(config)
    failed = losses == 3
    assert engine.rounds == [8] * (3 if failed else losses + 1)
    assert set(engine.limits) == {running.STARTING_S + 5.0 * 2 * 3}
    assert report.failures == ({"TaskTimedOut": 16} if failed else {})
    assert report.complete == (0 if failed else 8)
    attempts = {row.episode.failure.attempts for row in stored(config) if row.episode.failure}
    assert attempts == ({3} if failed else set())


# Agents that wait


def most_at_once(config: SweepConfig) -> int:
    return max(answer for row in stored(config) for answer in answers_of(row.episode).values())


@pytest.mark.parametrize(("engine", "workers"), [("inline", None), ("process", 1)])
def test_cells_of_agents_that_wait_are_played_at_once_up_to_the_limit(
    tmp_path: Path, engine: str, workers: int | None
) -> None:
    agent = "silo_players:Waiting"
    config = small(
        tmp_path, tasks=("I-01", "I-02", "I-03", "I-04"), n_agents=(2,), agents=(agent,), concurrency=4,
        engine=engine, workers=workers, agent_options={agent: {"seconds": 0.1, "tell": True}},
    )  # fmt: skip
    assert sweep(config).complete == 8
    assert most_at_once(config) == 4


def test_instances_of_few_cells_share_the_limit(tmp_path: Path) -> None:
    agent = "silo_players:Waiting"
    config = small(
        tmp_path, tasks=("I-01",), n_agents=(2,), protocols=("p2p",), agents=(agent,), concurrency=3, seeds=9,
        agent_options={agent: {"seconds": 0.1, "tell": True}},
    )  # fmt: skip
    assert sweep(config).complete == 1
    assert most_at_once(config) == 3


def test_waiting_does_not_change_what_is_stored(tmp_path: Path) -> None:
    wide = small(tmp_path, agents=("silo_players:Waiting",), concurrency=8)
    narrow = small(tmp_path, agents=("silo_players:Waiting",), concurrency=1, store=str(tmp_path / "narrow.db"))
    sweep(wide)
    sweep(narrow)
    assert metrics(wide) == metrics(narrow)


# Limits


def test_no_cell_is_begun_after_the_tokens_are_used_up(tmp_path: Path) -> None:
    limits = {"agents": ("silo_players:Waiting",), "n_agents": (2,), "concurrency": 1}
    # Two seats, one decision of ten tokens each: twenty an episode.
    stopped = sweep(small(tmp_path, **limits, max_tokens=30))
    assert (stopped.played, stopped.missing, stopped.usage["prompt_tokens"]) == (2, 2, 28)
    assert stopped.stopped == "max_tokens=30 is reached: 40 tokens are used"
    again = sweep(small(tmp_path, **limits, max_tokens=30))
    assert (again.played, again.reused, again.missing) == (0, 2, 2)
    whole = sweep(small(tmp_path, **limits, max_tokens=80))
    assert (whole.played, whole.missing, whole.stopped) == (2, 0, "")


def test_no_cell_is_begun_after_the_money_is_spent(tmp_path: Path) -> None:
    limits = {"agents": ("silo_players:Waiting",), "n_agents": (2,), "concurrency": 1, "prices": "prices.json"}
    report = sweep(small(tmp_path, **limits, max_cost=2.5))
    assert (report.played, report.usage["cost"]) == (3, 3.0)
    assert report.stopped == "max_cost=2.5 is reached: 3.0000 is spent"


# What is stored


def test_seats_of_a_mixed_team_are_played_by_its_members_in_turn(tmp_path: Path) -> None:
    config = small(tmp_path, agents=("tree+silent",), protocols=("p2p",), env_kwargs={"max_rounds": 8})
    sweep(config)
    for row in stored(config):
        assert row.episode.agent == "tree+silent"
        senders = {int(sender) for sender, _, _ in row.episode.metrics["pairs"]}
        # Odd seats say nothing. They submit at once, which seats of the tree that wait for them cannot.
        assert all(sender % 2 == 0 for sender in senders)
        assert {f"agent_{seat}" for seat in range(1, len(row.episode.seats), 2)} <= set(answers_of(row.episode))


def test_scripted_agents_play_games_of_text_as_they_play_those_of_calls(tmp_path: Path) -> None:
    choice = {"agents": ("tree", "tree+silent"), "protocols": ("p2p", "broadcast", "files"), "tasks": ("III-27",)}
    calls = small(tmp_path, **choice, env_kwargs={"max_rounds": 12})
    words = small(
        tmp_path, **choice, env_kwargs={"max_rounds": 12, "actions": "text"}, store=str(tmp_path / "words.db")
    )
    sweep(calls)
    sweep(words)
    # Only how long the actions are is another matter.
    left_out = {"tokens_out", "token_consumption", "token_consumption_executed"}
    found = []
    for config in (calls, words):
        with closing(RunStore(config.store)) as store:
            cells = {cell.cell_key: facts_of(cell.config) for cell in store.cells()}
        found.append(
            {
                cells[row.cell_key]: {key: item for key, item in row.episode.metrics.items() if key not in left_out}
                for row in stored(config)
            }
        )
    assert found[0] == found[1]
    assert {item["success_rate"] for item in found[1].values()} > {1.0}


async def test_a_chat_model_and_a_schedule_sit_at_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    said = '<tool_call>{"name": "submit_result", "arguments": {"answer": 7}}</tool_call>'
    async with FaultServer(otherwise=answer(said)) as server:
        config = small(
            tmp_path, tasks=("I-01",), n_agents=(4,), protocols=("p2p",), agents=("silent+chat:small", "chat:small"),
            agent_options={"chat": {"base_url": server.url}}, baseline=True,
        )  # fmt: skip
        report = await sweep_async(config)
    assert (report.complete, report.cells) == (4, 4)
    assert report.usage["model_calls"] == 2 + 4 + 1
    table = {row.episode.agent: answers_of(row.episode) for row in stored(config) if len(row.episode.seats) == 4}
    assert set(table["chat:small"].values()) == {7}
    mixed = table["silent+chat:small"]
    assert mixed["agent_1"] == mixed["agent_3"] == table["chat:small"]["agent_0"]
    assert mixed["agent_0"] != mixed["agent_1"]


async def test_a_server_that_fails_a_fifth_of_the_calls_leaves_typed_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    said = answer('<tool_call>{"name": "submit_result", "arguments": {"answer": 7}}</tool_call>')
    steps = [status(500) if number % 5 == 4 else said for number in range(1000)]
    async with FaultServer(*steps, otherwise=said) as server:
        config = small(
            tmp_path, tasks=("I-01", "I-02", "I-05", "I-06", "I-07"), n_agents=(2,), agents=("chat:small",), retries=0,
            agent_options={"chat": {"base_url": server.url, "max_retries": 0}}, concurrency=2,
        )  # fmt: skip
        report = await sweep_async(config)
        patient = await sweep_async(config.model_copy(update={"retries": 8}))
    assert 0 < report.unscored < report.episodes == 10
    assert report.scored + report.unscored == 10
    failed = [row.episode for row in stored(config) if not row.episode.scored]
    assert {item.status for item in failed} == {"infra_error"}
    assert report.failures == {"ServerError": len(failed)}
    assert sum(line.numbers["success_rate"].episodes for line in report.table.lines) == report.scored
    assert (patient.played, patient.complete, patient.unscored) == (len(failed), 10, 0)


def test_answers_alone_and_whole_transcripts_say_the_same(tmp_path: Path) -> None:
    # III-23 has one answer for all seats, II-11 one for each.
    choice = {"tasks": ("II-11", "III-23"), "agents": ("tree", "tree+silent"), "env_kwargs": {"max_rounds": 20}}
    brief = small(tmp_path, **choice)
    whole = small(tmp_path, **choice, keep="all", store=str(tmp_path / "whole.db"))
    sweep(brief)
    sweep(whole)
    assert metrics(brief) == metrics(whole)
    transcripts = {row.cell_key: row.episode for row in stored(whole)}
    for row in stored(brief):
        few, all_turns = row.episode, transcripts[row.cell_key]
        assert [turn.seat for turn in few.turns] == list(few.seats)
        assert all(turn.observation is None for turn in few.turns)
        assert few.final_observation is None
        assert (few.reward, few.outcome) == (all_turns.reward, all_turns.outcome)
        assert all(few.reward_of(seat) == all_turns.reward_of(seat) for seat in few.seats)
        assert answers_of(few) == answers_of(all_turns)
    sizes = [sum(len(json.dumps(row.episode.to_json())) for row in stored(config)) for config in (brief, whole)]
    assert sizes[0] < sizes[1] / 3


def test_stored_answers_are_enough_to_score_again(tmp_path: Path) -> None:
    config = small(tmp_path, tasks=("II-11", "III-23", "III-27"), agents=("tree", "silent"), protocols=("p2p",))
    sweep(config)
    with closing(RunStore(config.store)) as store:
        cells = {cell.cell_key: facts_of(cell.config) for cell in store.cells()}
    scores = set()
    for row in stored(config):
        facts, answers = cells[row.cell_key], answers_of(row.episode)
        rules = SiloConfig(task=(facts.task,), n_agents=facts.n_agents)
        task = silo_task(facts.task)
        expected = task.solve(make_problem(rules, row.episode.task_id))
        given = [answers.get(seat) for seat in row.episode.seats]
        again = score_answers(given, expected, task)
        assert again.success_rate == row.episode.metrics["success_rate"]
        assert again.partial_correctness == row.episode.metrics["partial_correctness"]
        scores.add(again.success_rate)
    assert len(scores) > 1


def test_the_single_agent_oracle_is_played_at_every_size(tmp_path: Path) -> None:
    config = small(tmp_path, baseline=True, protocols=("broadcast",))
    report = sweep(config)
    assert report.complete == report.cells == 8 + 8
    alone = [row.episode for row in stored(config) if len(row.episode.seats) == 1]
    assert len(alone) == 8
    assert all(item.metrics["success_rate"] == 1.0 for item in alone)


def test_secrets_reach_neither_store_nor_report(tmp_path: Path) -> None:
    agent = "silo_players:Secretive"
    config = small(tmp_path, tasks=("I-01",), agents=(agent,), agent_options={agent: {"api_key": "hunter22hunter22"}})
    report = sweep(config, command="fogline sweep --api-key hunter22hunter22")
    assert "hunter22" not in json.dumps(report.to_json())
    for file in tmp_path.iterdir():
        assert b"hunter22" not in file.read_bytes()


def test_writing_happens_beside_the_play_in_few_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = RunStore.add_episodes_of_cells

    def counted(store: RunStore, run_id: str, items: Any) -> int:
        items = list(items)
        sizes.append(len(items))
        return write(store, run_id, items)

    monkeypatch.setattr(RunStore, "add_episodes_of_cells", counted)
    agent = "silo_players:Waiting"
    config = small(
        tmp_path, tasks=(), n_agents=(2,), agents=(agent,), concurrency=64, agent_options={agent: {"seconds": 0.0}}
    )
    began = perf_counter()
    report = sweep(config)
    assert perf_counter() - began < 60
    assert sum(sizes) == report.played == 60
    assert len(sizes) < 60
