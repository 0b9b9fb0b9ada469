from __future__ import annotations

import dataclasses
import doctest
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bridged import TEXT_WORLDS, native, played, rewards
from hypothesis import given, settings
from hypothesis import strategies as st
from unsteady import Outage, Outages

import fogline.trainers.bridges.session as shared
from fogline.core.episode import Episode, Usage
from fogline.core.errors import ConfigurationError
from fogline.trainers.bridges.session import EpisodeChanged, Seeds, Session, openings


@pytest.fixture(autouse=True)
def no_outage_is_left_over() -> Iterator[None]:
    Outages.left = Outages.unmade = 0
    yield
    Outages.left = Outages.unmade = 0


def without_usage(episode: Episode) -> Episode:
    turns = tuple(turn._replace(context_token_ids=(), action_token_ids=(), logps=()) for turn in episode.turns)
    return dataclasses.replace(episode, usage=Usage(), agent="", turns=turns)


@pytest.mark.parametrize(("env_id", "keywords", "task_id", "agent"), TEXT_WORLDS)
def test_a_session_is_the_collectors_episode(
    env_id: str, keywords: Mapping[str, Any], task_id: str, agent: str
) -> None:
    recorded = played(env_id, keywords, task_id, agent, seed=5)
    session = Session(env_id, keywords)
    session.reset(task_id, 5)
    replies = [session.step(turn.action) for turn in recorded.turns]
    assert [reply.reward for reply in replies] == rewards(recorded)
    assert [reply.done for reply in replies] == [False] * (len(replies) - 1) + [True]
    assert without_usage(session.episode()) == without_usage(recorded)
    assert session.reward == recorded.reward
    session.close()


@settings(max_examples=15)
@given(st.lists(st.text(max_size=30), min_size=40, max_size=40), st.integers(0, 2**31))
def test_whatever_is_said_earns_what_it_earns_natively(said: list[str], seed: int) -> None:
    task_id = "gym-membership/0003"
    expected = native("SalesDialogue-v0", {}, task_id, seed, said)
    session = Session("SalesDialogue-v0")
    session.reset(task_id, seed)
    assert [session.step(text).reward for text in said[: len(expected.turns)]] == rewards(expected)
    assert session.done
    session.close()


def test_several_seats_are_one_mapping_of_actions() -> None:
    keywords = {"n_agents": 3, "actions": "text", "max_rounds": 2}
    session = Session("SiloBench-v0", keywords, text=False)
    seen = session.reset("I-01/0", 1)
    assert sorted(seen) == ["agent_0", "agent_1", "agent_2"]
    with pytest.raises(ConfigurationError, match="one for each of"):
        session.step({"agent_0": "hello"})
    reply = session.step(dict.fromkeys(seen, "hello"))
    assert sorted(reply.terms) == sorted(seen)
    assert not reply.done
    assert session.step(dict.fromkeys(seen, "hello")).done
    session.close()


def test_an_outage_is_mended_and_the_episode_goes_on() -> None:
    undisturbed = Session("unsteady:make")
    undisturbed.reset("two", 7)
    expected = [undisturbed.step(word) for word in ("a", "bcd", "ef")]
    session = Session("unsteady:make", retries=2)
    session.reset("two", 7)
    Outages.left = 2
    assert [session.step(word) for word in ("a", "bcd", "ef")] == expected
    assert session.episode().status == "terminated"
    assert session.episode().usage.retries == 2


def test_an_outage_that_outlasts_the_retries_leaves_no_reward() -> None:
    session = Session("unsteady:make", retries=1)
    session.reset("one", 7)
    session.step("word")
    Outages.left = 2
    with pytest.raises(Outage):
        session.step("word")
    assert session.reward is None
    assert session.episode().status == "infra_error"
    assert session.episode().reward is None
    with pytest.raises(ConfigurationError, match="call reset"):
        session.step("word")
    session.reset("one", 7)
    assert [session.step("word").reward for _ in range(3)] == pytest.approx([0.4] * 3)


def test_an_episode_that_cannot_be_led_back_is_given_up() -> None:
    session = Session("unsteady:make", {"fickle": "words"})
    session.reset("one", 7)
    session.step("word")
    Outages.left = 1
    with pytest.raises(EpisodeChanged, match="more than seed and actions"):
        session.step("word")
    assert session.reward is None


@pytest.mark.parametrize("outages", [1, 2])
def test_an_outage_may_outlast_the_making_of_the_environment(outages: int) -> None:
    """Each try to make it anew spends an attempt; when they are spent there is no reward, whatever was paid before."""
    session = Session("unsteady:make", retries=2)
    session.reset("one", 7)
    session.step("word")
    Outages.left, Outages.unmade = 1, outages
    if outages == 1:
        assert [session.step("word").reward for _ in range(2)] == pytest.approx([0.4] * 2)
        assert session.episode().usage.retries == 2
        return
    with pytest.raises(Outage, match="cannot be made"):
        session.step("word")
    assert (session.reward, session.done) == (None, True)
    episode = session.episode()
    assert (episode.status, episode.reward) == ("infra_error", None)
    assert episode.failure is not None
    assert episode.failure.attempts == 3
    session.reset("one", 7)
    assert [session.step("word").reward for _ in range(3)] == pytest.approx([0.4] * 3)


def test_an_environment_that_broke_is_made_anew_for_the_next_episode() -> None:
    session = Session("unsteady:make", retries=0)
    session.reset("one", 7)
    session.step("word")
    Outages.left = 1
    with pytest.raises(Outage):
        session.step("word")
    session.reset("two", 8)
    assert [session.step("word").reward for _ in range(3)] == pytest.approx([0.4] * 3)
    assert (session.episode().task_id, session.episode().seed, session.episode().usage.retries) == ("two", 8, 0)


@pytest.mark.parametrize("other", ["opening", "picture"])
def test_another_opening_or_a_changed_pixel_ends_the_episode(other: str) -> None:
    session = Session("unsteady:make", {"fickle": other}, text=False)
    session.reset("one", 7)
    session.step("word")
    Outages.left = 1
    with pytest.raises(EpisodeChanged, match="in turn 0" if other == "opening" else "in turn 1"):
        session.step("word")
    assert session.episode().status == "infra_error"


def test_after_a_refused_task_there_is_no_episode() -> None:
    session = Session("unsteady:make")
    with pytest.raises(ConfigurationError, match="not a task"):
        session.reset("three", 0)
    with pytest.raises(ConfigurationError, match="reset"):
        session.step("word")


@pytest.mark.parametrize(
    ("env_id", "keywords", "told"),
    [
        ("SiloBench-v0", {"n_agents": 3}, "n_agents=1"),
        ("SiloBench-v0", {"n_agents": 1}, "actions='text'"),
        ("MerchantStrategy-v0", {}, "Stable-Baselines3"),
        ("SalesDialogue-v0", {"actions": "acts"}, "writes text"),
        ("TrustSQL-v1", {}, "TrustSQL-v0"),
    ],
)
def test_what_does_not_read_and_write_is_refused(env_id: str, keywords: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Session(env_id, keywords)


def test_a_picture_is_refused_where_words_are_asked_for() -> None:
    session = Session("VisualTable-v0")
    with pytest.raises(ConfigurationError, match="image"):
        session.reset(session.task_ids[0], 0)


def test_a_step_without_an_episode_is_refused() -> None:
    session = Session("MathReasoning-v0")
    with pytest.raises(ConfigurationError, match="reset"):
        session.step("1")
    with pytest.raises(ConfigurationError, match="reset"):
        session.episode()


def test_an_episode_that_the_caller_leaves_open_is_truncated() -> None:
    session = Session("unsteady:make")
    session.reset("one", 0)
    session.step("word")
    assert session.episode().status == "truncated"
    assert session.episode().reward == pytest.approx(0.4)


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_the_seeds_of_a_task_are_distinct_over_all_processes(world: int, each: int, first: int) -> None:
    streams = [Seeds(first, rank, world) for rank in range(world)]
    drawn = sorted(stream.draw("task") for stream in streams for _ in range(each))
    assert drawn == list(range(first, first + world * each))
    assert [stream.draw("another") for stream in streams] == list(range(first, first + world))


def test_threads_draw_distinct_seeds() -> None:
    seeds = Seeds()
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: seeds.draw("task"), range(200))) == list(range(200))


def test_an_opening_is_the_rules_and_the_first_observation() -> None:
    session = Session("MathReasoning-v0")
    (opening,) = openings(session, ["arithmetic-01-0003"], seed=2)
    assert [message["role"] for message in opening.messages()] == ["system", "user"]
    assert opening.messages()[0]["content"] == session.system_prompt
    assert opening.messages()[1]["content"] == session.reset("arithmetic-01-0003", 2)
    session.close()


def test_the_example_of_the_session_runs() -> None:
    assert doctest.testmod(shared).failed == 0
