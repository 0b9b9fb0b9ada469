"""Metrics and failure labels of games whose course is known."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.silo_bench import parallel_env
from fogline.envs.silo_bench.calls import ToolCall
from fogline.envs.silo_bench.instances import make_problem
from fogline.envs.silo_bench.metrics import gini
from fogline.envs.silo_bench.optimum import fewest_messages, topological_fidelity
from fogline.envs.silo_bench.tasks.catalogue import TASKS, silo_task


def send(*targets: int, content: str = "x") -> tuple[ToolCall, ...]:
    return tuple(ToolCall("send_message", {"target_id": target, "content": content}) for target in targets)


def submit(answer: Any) -> tuple[ToolCall, ...]:
    return (ToolCall("submit_result", {"answer": answer}),)


def played(rounds: list[dict[int, Any]], **keywords: Any) -> dict[str, Any]:
    """Metrics of a game; ``True`` submits the right answer and ``False`` a wrong one."""
    env = parallel_env(**{"task": "I-01", "n_agents": 3, "max_rounds": len(rounds), **keywords})
    task_id = env.task_ids[0]
    env.reset(seed=0, options={"task_id": task_id})
    truth = silo_task(env.config.task[0]).solve(make_problem(env.config, task_id))
    for actions in rounds:
        chosen = {}
        for agent, action in actions.items():
            right = submit(truth[agent]) if action is True else submit("no")
            chosen[f"agent_{agent}"] = action if isinstance(action, tuple) else right
        env.step(chosen)
    return env.metrics()


def test_a_star_is_what_the_optimum_says() -> None:
    rounds: list[dict[int, Any]] = [{1: send(0), 2: send(0)}, {0: send(1, 2)}, {0: True, 1: True, 2: True}]
    seen = played(rounds)
    assert (seen["messages"], seen["fewest_messages"], seen["redundancy"], seen["fidelity"]) == (4, 4, 1.0, 1.0)
    assert seen["density"] == pytest.approx(4 / 6) and seen["rounds"] == 3
    assert seen["max_in_degree"] == 2 and seen["gini"] == pytest.approx(gini([2, 1, 1]))
    assert seen["pairs"] == [[0, 1, 1], [0, 2, 1], [1, 0, 1], [2, 0, 1]]
    assert (seen["coverage"], seen["premature"], seen["computation_error"], seen["no_submission"]) == (1.0, 0, 0, 0)
    assert seen["consensus_failure"] is False and seen["distinct_answers"] == 1 and seen["success"] is True


def test_a_leader_receives_half_as_much_again_as_the_mean() -> None:
    everybody: dict[int, Any] = {agent: True for agent in range(5)}
    assert played([{agent: send(0) for agent in range(1, 5)}, {0: send(1, 2, 3, 4)}, everybody], n_agents=5)["leader"]
    around = {agent: send((agent + 1) % 5) for agent in range(5)}
    assert not played([around, everybody], n_agents=5)["leader"]


def test_who_submits_unheard_is_premature_even_if_right() -> None:
    seen = played([{0: True, 1: True, 2: True}])
    assert (seen["premature"], seen["computation_error"], seen["success_rate"]) == (1.0, 0.0, 1.0)


def test_who_heard_all_and_is_wrong_has_a_computation_error() -> None:
    rounds: list[dict[int, Any]] = [{1: send(0), 2: send(0)}, {0: False}, {1: True}]
    seen = played(rounds)
    assert seen["computation_error"] == pytest.approx(1 / 3)
    assert seen["premature"] == pytest.approx(1 / 3), "agent 1 heard nobody"
    assert seen["no_submission"] == pytest.approx(1 / 3)
    assert seen["consensus_failure"] is True and seen["distinct_answers"] == 2


def test_knowledge_travels_with_messages_of_messages() -> None:
    rounds: list[dict[int, Any]] = [{2: send(1)}, {1: send(0)}, {0: True, 1: True, 2: True}]
    assert played(rounds)["premature"] == pytest.approx(2 / 3)


def test_a_segmented_task_has_no_consensus() -> None:
    seen = played([{0: True, 1: True, 2: True}], task="II-11")
    assert seen["consensus_failure"] is None and seen["success_rate"] == 1.0
    assert seen["premature"] == pytest.approx(2 / 3), "agent 0 needs nobody"


def test_an_error_in_the_own_shard_decides_any_match() -> None:
    for number in range(40):
        env = parallel_env(task="I-04", n_agents=3)
        env.reset(seed=0, options={"task_id": f"I-04/{number}"})
        problem = make_problem(env.config, f"I-04/{number}")
        holds = [any("ERROR" in line for line in shard) for shard in problem.shards]
        env.step({f"agent_{agent}": submit(any(holds)) for agent in range(3)})
        assert env.metrics()["premature"] == pytest.approx(1 - sum(holds) / 3)


def test_messages_of_files_are_reads_of_others() -> None:
    write = (
        ToolCall("write_file", {"path": "a", "content": "1 2 3"}),
        ToolCall("write_file", {"path": "a", "content": "x"}),
    )
    read = (ToolCall("read_file", {"path": "a"}),)
    seen = played([{0: write}, {0: read, 1: read, 2: read}, {0: True, 1: True, 2: True}], protocol="files")
    assert (seen["messages"], seen["density_reads"], seen["density_writes"]) == (
        2,
        pytest.approx(2 / 6),
        pytest.approx(1 / 6),
    )
    assert seen["words_sent"] == 4
    assert seen["pairs"] == [[0, 1, 1], [0, 2, 1]]


def test_a_broadcast_counts_once_and_is_delivered_to_all() -> None:
    say = (ToolCall("broadcast_message", {"content": "x"}),)
    seen = played([{0: say, 1: say, 2: say}, {0: True, 1: True, 2: True}], protocol="broadcast")
    assert (seen["messages"], seen["redundancy"], seen["density_delivered"]) == (3, 1.0, 1.0)


def test_one_agent_has_no_density_and_perfect_redundancy() -> None:
    seen = played([{0: True}], n_agents=1)
    assert (seen["density"], seen["redundancy"], seen["fidelity"], seen["premature"]) == (0.0, 1.0, 1.0, 0.0)


def test_tokens_are_divided_by_the_rounds_that_were_allowed_and_by_those_that_were_played() -> None:
    env = parallel_env(task="I-01", n_agents=1, max_rounds=100)
    env.reset(seed=0)
    env.step({"agent_0": (ToolCall("wait", {}),)})
    env.step({"agent_0": submit(0)})
    seen = env.metrics()
    assert seen["token_consumption"] == pytest.approx(seen["tokens_out"] / 100)
    assert seen["token_consumption_executed"] == pytest.approx(seen["tokens_out"] / 2)


@pytest.mark.parametrize("n_agents", [2, 3])
@pytest.mark.parametrize("scope", ["all", "prefix", "neighbours"])
def test_the_optimum_is_that_of_exhaustive_search(n_agents: int, scope: str) -> None:
    task = next(task for task in TASKS.values() if task.scope == scope)
    needed = [sum(1 << other for other in task.required(agent, n_agents)) for agent in range(n_agents)]
    calls = list(itertools.permutations(range(n_agents), 2))
    if scope == "neighbours":
        # The optimum of the class in which only neighbours talk; the cycle 1 -> 0 -> 2 -> 1 would do with three.
        calls = [(sender, receiver) for sender, receiver in calls if abs(sender - receiver) == 1]

    def enough(number: int) -> bool:
        for sequence in itertools.product(calls, repeat=number):
            known = [1 << agent for agent in range(n_agents)]
            for sender, receiver in sequence:
                known[receiver] |= known[sender]
            if all(mask & need == need for mask, need in zip(known, needed, strict=True)):
                return True
        return False

    fewest = next(number for number in range(10) if enough(number))
    assert fewest_messages(task, n_agents, "p2p") == fewest_messages(task, n_agents, "files") == fewest


def test_fidelity_is_jaccard_similarity() -> None:
    chain = {(0, 1), (1, 2)}
    assert topological_fidelity("chain", chain, 3) == 1.0
    assert topological_fidelity("both ways", chain, 3) == 0.5
    assert topological_fidelity("all-to-all", chain, 3) == pytest.approx(2 / 6)
    assert topological_fidelity("star", chain, 3) == pytest.approx(2 / 4), "agent 1 as the leader"
    assert topological_fidelity("chain", set(), 3) == 0.0


@given(values=st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_gini_is_the_mean_difference_over_twice_the_mean(values: list[int]) -> None:
    mean = sum(values) / len(values)
    apart = sum(abs(one - other) for one in values for other in values) / len(values) ** 2
    assert gini(values) == pytest.approx(apart / (2 * mean) if mean else 0.0)
