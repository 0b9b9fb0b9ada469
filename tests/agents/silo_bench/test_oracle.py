"""The oracles over the environment itself, through the collector: every task, every protocol, every form."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest

from fogline.agents.agent import Agent
from fogline.agents.collector import collect_all
from fogline.agents.registry import SCRIPTED, agent_names, make_agent
from fogline.agents.scripted.silo_bench.oracle import OracleAgent
from fogline.agents.scripted.silo_bench.stars import StarReduce
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError
from fogline.envs.silo_bench import parallel_env
from fogline.envs.silo_bench.tasks.catalogue import TASKS

KINDS = ("tree", "flood", "leader")
PROTOCOLS = ("p2p", "broadcast", "files")


def played(agent: Agent, concurrency: int = 1, numbers: int = 1, **keywords: Any) -> list[Episode]:
    """One episode per task and instance, in one environment where ``concurrency`` is 1."""
    keywords.setdefault("task", tuple(TASKS))
    task_ids = [keywords["task"]] if isinstance(keywords["task"], str) else keywords["task"]
    wanted = [(f"{task_id}/{number}", 0) for task_id in task_ids for number in range(numbers)]
    return collect_all(lambda: parallel_env(**keywords), agent, wanted, concurrency=concurrency)


def solved(episodes: list[Episode]) -> bool:
    return all(episode.status == "terminated" and episode.metrics["success"] for episode in episodes)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", KINDS)
def test_oracles_solve_all_tasks_over_all_protocols_and_know_before_they_answer(kind: Any, protocol: Any) -> None:
    agent = OracleAgent(kind)
    for n_agents in (1, 4):
        episodes = played(agent, n_agents=n_agents, protocol=protocol)
        assert solved(episodes)
        for episode in episodes:
            task = TASKS[episode.task_id.partition("/")[0]]
            promised = agent.schedules[protocol]
            assert episode.metrics["premature"] == 0
            assert episode.metrics["messages"] == promised.messages(task, n_agents)
            assert episode.metrics["rounds"] == promised.rounds(task, n_agents)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["tree", "leader"])
def test_trees_and_leaders_need_no_message_more_than_the_optimum_where_everybody_needs_everything(
    kind: Any, protocol: Any
) -> None:
    whole = tuple(task_id for task_id, task in TASKS.items() if task.scope == "all")
    assert {episode.metrics["redundancy"] for episode in played(OracleAgent(kind), task=whole, protocol=protocol)} == {
        1
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_seats_are_solved_within_the_rounds(kind: Any) -> None:
    for protocol in PROTOCOLS:
        assert solved(played(OracleAgent(kind), task=("III-29",), n_agents=100, protocol=protocol))


def test_what_is_batched_together_changes_nothing() -> None:
    def heard(episodes: list[Episode]) -> list[Any]:
        return [(episode.task_id, [turn.action for turn in episode.turns]) for episode in episodes]

    tasks = ("I-01", "II-14", "III-21")
    alone, together = (played(OracleAgent("flood"), size, 3, task=tasks, n_agents=3) for size in (1, 9))
    assert heard(alone) == heard(together)


def test_a_game_that_is_refused_does_no_harm_to_those_beside_it() -> None:
    # Five rounds are enough for II-11 over a chain of five, not for a sweep over the same seats.
    episodes = played(make_agent("scan", "SiloBench-v0"), 4, task=("I-01", "II-11", "II-12", "II-20"), max_rounds=5)
    assert [episode.status for episode in episodes] == ["agent_error", "terminated"] * 2
    assert episodes[0].failure is not None
    assert "does not solve I-01" in episodes[0].failure.message
    assert solved([episodes[1], episodes[3]])


@pytest.mark.parametrize(
    "keywords",
    [
        {"actions": "text"},
        {"actions": "text", "protocol": "files"},
        {"actions": "text", "protocol": "broadcast", "delivery": "pull"},
        {"reward": "team"},
        {"scaffold": "planning"},
        {"scaffold": "reminder", "hint_level": "topology"},
    ],
)
def test_oracles_play_every_form_of_the_environment(keywords: dict[str, Any]) -> None:
    tasks = ("I-07", "II-11", "II-14", "II-18", "III-30")
    for kind in KINDS:
        episodes = played(OracleAgent(kind), task=tasks, **keywords)
        assert solved(episodes)
        assert {episode.reward for episode in episodes} == {5.0}


def test_a_seat_that_may_not_submit_yet_submits_as_soon_as_it_may() -> None:
    (episode,) = played(make_agent("silent", "SiloBench-v0"), task="I-01", n_agents=3, scaffold="planning")
    assert episode.metrics["rounds"] == 2
    assert episode.metrics["no_submission"] == 0


def test_seats_may_be_played_by_objects_of_their_own() -> None:
    seats = {f"agent_{number}": StarReduce(2) for number in range(5)}
    episodes = collect_all(lambda: parallel_env(task="I-08"), seats, [("I-08/0", 0)])
    assert solved(episodes)
    seats["agent_1"] = make_agent("silent", "SiloBench-v0")  # type: ignore[assignment]
    (mixed,) = collect_all(lambda: parallel_env(task="I-08", max_rounds=9), seats, [("I-08/0", 0)])
    # The leader waits in vain for the one that says nothing.
    assert mixed.metrics["no_submission"] == 4 / 5


@pytest.mark.parametrize("name", SCRIPTED["SiloBench-v0"])
def test_every_named_agent_plays_what_it_is_made_for(name: str) -> None:
    agent = make_agent(name, "SiloBench-v0")
    assert isinstance(agent, Agent)
    assert agent.name == name
    protocol = {"broadcast-once": "broadcast", "write-read": "files", "leader-files": "files"}.get(name, "p2p")
    task = {"scan": "II-20", "hillis-steele": "II-20", "halo": "II-14", "sample-sort": "III-21"}.get(name, "I-08")
    (episode,) = played(agent, task=task, protocol=protocol, n_agents=6)
    assert episode.status == "terminated"
    assert (episode.metrics["success_rate"] == 1.0) == (name not in ("silent", "gossip", "premature"))


def test_options_reach_the_agents_that_take_them() -> None:
    assert make_agent("star", "SiloBench-v0", leader=3).leader == 3  # type: ignore[attr-defined]
    assert make_agent("gossip", "SiloBench-v0", rounds=7).rounds == 7  # type: ignore[attr-defined]
    assert set(SCRIPTED["SiloBench-v0"]) < set(agent_names("SiloBench-v0"))
    with pytest.raises(ConfigurationError, match="no option 'leader'"):
        make_agent("tree", "SiloBench-v0", leader=3)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'tree'"):
        OracleAgent("trees")  # type: ignore[arg-type]


def test_the_central_form_is_refused_since_it_shows_no_seat() -> None:
    (episode,) = collect_all(lambda: gymnasium.make("fogline.envs:SiloBench-v0"), OracleAgent(), [("I-01/0", 0)])
    assert episode.status == "agent_error"
    assert episode.failure is not None
    assert "'tree' plays Silo-Bench seat by seat" in episode.failure.message
