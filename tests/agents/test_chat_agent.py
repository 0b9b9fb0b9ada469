"""The chat agent: conversation, tools, votes, seeds, usage, limits, and its life inside the collector."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.agents.agent import Agent, Decision, SeatView
from fogline.agents.chat import ChatAgent, majority, normalised, rendered
from fogline.agents.collector import collect_all
from fogline.core.chat import ChatModel, ChatPiece, ChatReply, ChatRequest, ToolCall
from fogline.core.chat.errors import ContentRefused, ContextLengthExceeded, RateLimited
from fogline.core.errors import AgentError, ConfigurationError
from fogline.core.spaces import UnicodeText
from fogline.envs.text import Response, TurnEnv

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


class Scripted:
    """A chat model that answers by a function of the request and its number."""

    name = "scripted"

    def __init__(self, reply: Callable[[int, ChatRequest], ChatReply]) -> None:
        self.reply = reply
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        number = len(self.requests)
        self.requests.append(request)
        await asyncio.sleep(0)
        return self.reply(number, request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatPiece]:
        reply = await self.complete(request)
        for letter in reply.text:
            yield ChatPiece(letter)
        yield ChatPiece("", reply=reply)


def saying(*texts: str) -> Scripted:
    return Scripted(lambda number, _: ChatReply(texts[number], prompt_tokens=10, completion_tokens=2))


def view_of(seed: int = 0, **options: Any) -> SeatView:
    options.setdefault("system_prompt", "the rules")
    return SeatView("Env-v0", "task", "agent", UnicodeText(), entropy=(seed,), **options)


def turn(agent: ChatAgent, view: SeatView, observation: Any) -> Decision:
    view.observation = observation
    [decision] = asyncio.run(agent.act([view]))
    return decision


def test_it_is_an_agent_and_the_script_is_a_model() -> None:
    agent = ChatAgent(saying("x"))
    assert isinstance(agent, Agent)
    assert isinstance(saying(), ChatModel)
    assert (agent.batch_size, agent.name) == (1, "chat:scripted")


def test_rules_observations_and_replies_alternate() -> None:
    model = saying("<think>hm</think>\nfirst", "second")
    agent, view = ChatAgent(model, max_tokens=9, temperature=0.0), view_of()
    assert turn(agent, view, "you see").action == "<think>hm</think>\nfirst"
    assert turn(agent, view, "then").action == "second"
    assert model.requests[1] == ChatRequest(
        messages=(
            {"role": "system", "content": "the rules"},
            {"role": "user", "content": "you see"},
            {"role": "assistant", "content": "<think>hm</think>\nfirst"},
            {"role": "user", "content": "then"},
        ),
        temperature=0.0,
        max_tokens=9,
    )


def test_without_rules_there_is_no_system_message() -> None:
    model = saying("x")
    turn(ChatAgent(model), view_of(system_prompt=""), "you see")
    assert [message["role"] for message in model.requests[0].messages] == ["user"]


def test_two_episodes_share_nothing() -> None:
    model = Scripted(lambda number, request: ChatReply(str(len(request.messages))))
    agent = ChatAgent(model)
    one, other = view_of(), view_of()
    assert [turn(agent, view, "see").action for view in (one, other, one)] == ["2", "2", "4"]


@pytest.mark.parametrize(("reasoning", "action"), [("inline", "<think>\nsix\n</think>\n\n42"), ("drop", "42")])
def test_reasoning_returned_apart_goes_back_where_the_model_wrote_it(reasoning: Any, action: str) -> None:
    agent = ChatAgent(Scripted(lambda *_: ChatReply("42", reasoning="six\n")), reasoning=reasoning)
    assert turn(agent, view_of(), "?").action == action


def test_a_tool_call_becomes_an_action_and_the_next_observation_answers_it() -> None:
    calls = (ToolCall("look", {"at": "door"}, "c1", '{"at":"door"}'), ToolCall("look", {}, "c2", "{}"))
    replies = [ChatReply("I look.", calls), ChatReply("done"), ChatReply("again")]
    model = Scripted(lambda number, _: replies[number])
    agent = ChatAgent(model, mode="tools")
    view = view_of(tools=[TOOL], tool_action=lambda name, arguments: (name, dict(arguments)))
    assert turn(agent, view, "a room").action == ("look", {"at": "door"})
    assert turn(agent, view, "a door").action == "done"
    assert turn(agent, view, "well").action == "again"
    assert model.requests[0].tools == (TOOL,)
    function = {"name": "look", "arguments": '{"at":"door"}'}
    assert model.requests[2].messages[2:] == (
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a door"},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "well"},
    )


def test_malformed_arguments_reach_the_environment_as_written() -> None:
    def never(_: str, __: Mapping[str, Any]) -> Any:
        raise AssertionError("there are no arguments to hand over")

    model = Scripted(lambda *_: ChatReply("", (ToolCall("look", None, "c", '{"at": '),)))
    decision = turn(ChatAgent(model, mode="tools"), view_of(tools=[TOOL], tool_action=never), "a room")
    assert decision.action == '<tool_call>{"name": "look", "arguments": {"at": }</tool_call>'


def test_bare_tool_schemas_are_wrapped() -> None:
    model = saying("x")
    view = view_of(tools=[{"name": "look"}], tool_action=lambda *_: None)
    turn(ChatAgent(model, mode="tools"), view, "?")
    assert model.requests[0].tools == ({"type": "function", "function": {"name": "look"}},)


def test_tools_are_not_sent_in_text_mode_and_needed_in_tools_mode() -> None:
    model = saying("x")
    turn(ChatAgent(model), view_of(tools=[TOOL]), "?")
    assert model.requests[0].tools == ()
    with pytest.raises(ConfigurationError, match="offers no tools"):
        turn(ChatAgent(saying("x"), mode="tools"), view_of(), "?")


# Votes


def test_the_majority_wins_in_its_earliest_wording() -> None:
    model = saying("<think>a</think> no", "<think>b</think>yes  sir", "yes\nsir", "no?")
    agent, view = ChatAgent(model, votes=4, temperature=1.0), view_of()
    decision = turn(agent, view, "?")
    assert decision.action == "<think>b</think>yes  sir"
    assert decision.usage is not None
    assert (decision.usage.model_calls, decision.usage.prompt_tokens) == (4, 40)
    model.reply = lambda *_: ChatReply("x")
    turn(agent, view, "next")
    assert model.requests[-1].messages[2]["content"] == decision.action
    assert len({request.sample for request in model.requests}) == 8


def test_votes_on_tool_calls_ignore_the_order_of_arguments() -> None:
    raws = ['{"a": 1, "b": 2}', '{"b": 2, "a": 1}', '{"a": 3}', '{"a": 3} ', '{"a":1,"b":2}']
    calls = [(ToolCall("look", json.loads(raw), str(index), raw),) for index, raw in enumerate(raws)]
    model = Scripted(lambda number, _: ChatReply("", calls[number]))
    view = view_of(tools=[TOOL], tool_action=lambda _, arguments: dict(arguments))
    decision = turn(ChatAgent(model, mode="tools", votes=5, temperature=1.0), view, "?")
    assert decision.action == {"a": 1, "b": 2}


@given(st.lists(st.sampled_from("abcd"), min_size=1))
def test_ties_go_to_the_earliest(keys: list[str]) -> None:
    chosen = majority(keys)
    most = max(keys.count(key) for key in keys)
    assert keys.count(keys[chosen]) == most
    assert chosen == min(index for index, key in enumerate(keys) if keys.count(key) == most)


@pytest.mark.parametrize(
    ("action", "form"),
    [("  a \n b ", "a b"), ("<think>x</think>a", "a"), ("a<think>never closed", "a"), ("A", "A")],
)
def test_normalised_ignores_reasoning_and_white_space_only(action: str, form: str) -> None:
    assert normalised(action) == form


def test_one_failing_vote_fails_the_turn() -> None:
    def reply(number: int, _: ChatRequest) -> ChatReply:
        if number == 1:
            raise RateLimited("slow down")
        return ChatReply("x")

    with pytest.raises(RateLimited):
        turn(ChatAgent(Scripted(reply), votes=3, temperature=1.0), view_of(), "?")


@pytest.mark.parametrize("options", [{"votes": 0}, {"votes": 2}, {"mode": "telepathy"}, {"reasoning": "x"}])
def test_contradictory_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ChatAgent(saying(), **options)


# Seeds


def samples_of(temperature: float | None, seed: int, **options: Any) -> list[ChatRequest]:
    model = Scripted(lambda *_: ChatReply("x"))
    agent, view = ChatAgent(model, temperature=temperature, **options), view_of(seed)
    for observation in ("one", "two"):
        turn(agent, view, observation)
    return model.requests


def test_seeds_repeat_with_the_episode_and_differ_between_episodes_and_turns() -> None:
    one, again, other = samples_of(1.0, 1), samples_of(1.0, 1), samples_of(1.0, 2)
    assert one == again
    seeds = [request.seed for request in one + other]
    assert None not in seeds and len(set(seeds)) == 4


def test_greedy_requests_are_equal_across_episodes_so_that_the_cache_answers_them() -> None:
    assert samples_of(0.0, 1) == samples_of(0.0, 2)
    assert samples_of(0.0, 1)[0].seed is None


def test_without_seeds_draws_are_still_kept_apart_in_the_cache() -> None:
    one, other = samples_of(None, 1, seeds=False), samples_of(None, 2, seeds=False)
    assert {request.seed for request in one + other} == {None}
    assert len({request.sample for request in one + other}) == 4


# Usage and limits


def test_usage_leaves_out_what_the_cache_answered() -> None:
    replies = [
        ChatReply("x", prompt_tokens=5, completion_tokens=1, cost=0.5, retries=2),
        ChatReply("x", prompt_tokens=5, completion_tokens=1, cost=0.0, retries=2, cached=True),
        ChatReply("x"),
    ]
    model = Scripted(lambda number, _: replies[number])
    usage = turn(ChatAgent(model, votes=3, temperature=1.0), view_of(), "?").usage
    assert usage is not None
    assert (usage.model_calls, usage.prompt_tokens, usage.completion_tokens) == (3, 5, 1)
    assert (usage.cost, usage.retries) == (0.5, 2)


def test_the_context_limit_is_checked_before_anything_is_sent() -> None:
    model = saying("x", "y")
    agent, view = ChatAgent(model, context_limit=60, max_tokens=20), view_of()
    turn(agent, view, "short")
    with pytest.raises(ContextLengthExceeded, match="context_limit=60") as caught:
        turn(agent, view, "long " * 30)
    assert isinstance(caught.value, AgentError)
    assert len(model.requests) == 1


def test_the_servers_own_counts_decide_where_there_are_any() -> None:
    model = Scripted(lambda *_: ChatReply("x", prompt_tokens=900, completion_tokens=80))
    agent, view = ChatAgent(model, context_limit=1000), view_of()
    turn(agent, view, "short")
    with pytest.raises(ContextLengthExceeded):
        turn(agent, view, "x" * 60)


def test_observations_that_are_not_text_become_json_and_images_are_refused() -> None:
    assert rendered("as is") == "as is"
    assert json.loads(rendered({"round": 1, "inbox": ["hé"]})) == {"round": 1, "inbox": ["hé"]}
    with pytest.raises(ConfigurationError, match="cannot read"):
        rendered({"image": np.zeros((2, 2, 3), np.uint8), "question": "?"})
    model = saying("x")
    turn(ChatAgent(model, render=lambda seen: seen["text"]), view_of(), {"text": "only this"})
    assert model.requests[0].messages[-1]["content"] == "only this"


def test_streaming_plays_the_same() -> None:
    agent, view = ChatAgent(saying("first", "second"), streaming=True), view_of()
    assert [turn(agent, view, seen).action for seen in ("a", "b")] == ["first", "second"]


# In the collector


class Echoes(TurnEnv[str, str]):
    """Three turns; the observation counts, the reward is one for repeating it."""

    system_prompt = "repeat what you read"

    def __init__(self) -> None:
        super().__init__(["slow", "quick"])
        self.observation_space = UnicodeText()
        self.action_space = UnicodeText()
        self._turn = 0

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        self._task, self._turn = task_id, 0
        return f"{task_id} 0", {}

    def respond(self, action: str) -> Response:
        self._turn += 1
        over = self._turn == 3
        return Response(f"{self._task} {self._turn}", "turn", outcome={} if over else None)


class Slow(Scripted):
    """Waits for a signal in the episodes of the task ``slow``; repeats what it reads."""

    def __init__(self) -> None:
        super().__init__(
            lambda _, request: ChatReply(request.messages[-1]["content"], prompt_tokens=1, completion_tokens=1)
        )
        self.quick = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        if request.messages[-1]["content"].startswith("slow"):
            while self.quick < 12:
                await asyncio.sleep(0.001)
        else:
            self.quick += 1
        return await super().complete(request)


def test_a_slow_call_holds_up_no_other_episode() -> None:
    tasks = [("slow", 0), *(("quick", seed) for seed in range(4))]
    episodes = collect_all(Echoes, ChatAgent(Slow()), tasks, concurrency=5, timeout_s=20.0)
    assert [episode.status for episode in episodes] == ["terminated"] * 5
    for episode in episodes:
        assert [turn.action for turn in episode.turns] == [f"{episode.task_id} {index}" for index in range(3)]
        assert (episode.usage.model_calls, episode.usage.prompt_tokens) == (3, 3)


@pytest.mark.parametrize(
    ("error", "status", "tries"),
    [(RateLimited("busy"), "infra_error", 3), (ContentRefused("no"), "agent_error", 1)],
)
def test_failures_are_typed_in_the_episode(error: Exception, status: str, tries: int) -> None:
    def fail(_: int, __: ChatRequest) -> ChatReply:
        raise error

    model = Scripted(fail)
    [episode] = collect_all(Echoes, ChatAgent(model), [("quick", 0)], retries=2)
    assert episode.status == status
    assert episode.failure is not None and episode.failure.kind == type(error).__name__
    assert len(model.requests) == tries
    assert isinstance(Echoes(), gymnasium.Env)
