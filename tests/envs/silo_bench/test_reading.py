"""Actions as seats spell them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.envs.silo_bench.calls import ToolCall
from fogline.envs.silo_bench.reading import read_calls, read_text

SEND = ToolCall("send_message", {"target_id": 1, "content": "17"})
WAIT = ToolCall("wait", {})


@pytest.mark.parametrize(
    "action",
    [
        (SEND, WAIT),
        [SEND, WAIT],
        [list(SEND), ["wait", {}]],
        ({"tool": "send_message", "arguments": {"target_id": 1, "content": "17"}}, {"name": "wait"}),
    ],
)
def test_structured_calls_have_several_spellings(action: Any) -> None:
    reading = read_calls(action)
    assert reading.calls == (SEND, WAIT) and reading.problem == ""


def test_one_call_alone_is_an_action_too() -> None:
    assert read_calls(WAIT).calls == (WAIT,)
    assert read_calls({"tool": "wait"}).calls == (WAIT,)
    assert read_calls(["wait", {}]).calls == (WAIT,)


@pytest.mark.parametrize("action", [None, 3, (), [], "wait", (3,), {"tool": 3}, [("wait", 3)]])
def test_what_is_no_call_is_said_to_be_none(action: Any) -> None:
    reading = read_calls(action)
    assert reading.calls == () and reading.problem


def test_what_can_be_read_beside_what_cannot_is_carried_out() -> None:
    reading = read_calls((WAIT, 3, SEND))
    assert reading.calls == (WAIT, SEND) and "int" in reading.problem


def test_text_holds_xml_and_json_calls_in_order() -> None:
    said = (
        "<think><tool_call><tool>submit_result</tool></tool_call></think> I send, then wait. "
        "<tool_call><tool>send_message</tool><parameters><target_id> 1 </target_id><content>17</content></parameters>"
        '</tool_call> and <tool_call>{"name": "wait", "arguments": {}}</tool_call>'
    )
    assert read_text(said).calls == (SEND, WAIT)


def test_bare_json_is_an_action() -> None:
    assert read_text('Well: {"tool": "wait", "arguments": {}}').calls == (WAIT,)
    assert read_text(
        '[{"tool": "wait"}, {"name": "send_message", "arguments": {"target_id": 1, "content": "17"}}]'
    ).calls == (
        WAIT,
        SEND,
    )


@given(content=st.text(alphabet=st.characters(exclude_characters="<>", exclude_categories=["Cs"]), max_size=60))
def test_the_content_of_a_message_is_kept_to_the_byte(content: str) -> None:
    xml = (
        "<tool_call><tool>send_message</tool><parameters><target_id>1</target_id>"
        f"<content>{content}</content></parameters></tool_call>"
    )
    assert read_text(xml).calls[0].arguments["content"] == content
    call = json.dumps({"name": "send_message", "arguments": {"target_id": 1, "content": content}})
    assert read_text(f"<tool_call>{call}</tool_call>").calls[0].arguments["content"] == content


def test_numbers_in_messages_stay_text_and_targets_become_numbers() -> None:
    said = (
        "<tool_call><tool>send_message</tool><parameters><target_id>2</target_id><content>[1, 2]</content></parameters>"
    )
    assert read_text(said).calls[0].arguments == {"target_id": 2, "content": "[1, 2]"}


@pytest.mark.parametrize("said", ["", "hello", "<tool_call>what</tool_call>", "{", "<tool_call>" * 50, "[" * 5000])
def test_text_without_a_call_says_what_is_missing(said: str) -> None:
    reading = read_text(said)
    assert reading.calls == () and "tool_call" in reading.problem


@given(said=st.text() | st.none() | st.integers())
def test_no_text_raises(said: Any) -> None:
    read_text(said)


def test_length_counts_what_is_written() -> None:
    assert read_text("x" * 41).characters == 41
    short, long = (
        read_calls((SEND,)).characters,
        read_calls((SEND._replace(arguments={"content": "x" * 100}),)).characters,
    )
    assert 20 < short < 60 < 100 < long
