"""Calls that cannot be carried out: told what was expected, never raised, counted nowhere."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from channel_programs import PROTOCOLS
from hypothesis import given
from hypothesis import strategies as st

from fogline.simulators.channels.channel import Channel, ChannelConfig, make_channel

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(("target_id", "content", "path", "prefix", "other"))


def counts(channel: Channel) -> dict[str, Any]:
    traffic = channel.traffic
    return {name: getattr(traffic, name) for name in traffic.__slots__ if not name.startswith("_")} | {
        "pairs": traffic.pairs
    }


def open_channel(protocol: str, **options: Any) -> Channel:
    channel = make_channel(protocol, ChannelConfig(**{"n_agents": 4, **options}))
    channel.begin_round(1)
    return channel


@pytest.mark.parametrize(
    ("protocol", "tool", "arguments", "told"),
    [
        ("p2p", "send_message", {"target_id": 4, "content": "x"}, "expected an id from 0 to 3"),
        ("p2p", "send_message", {"target_id": -1, "content": "x"}, "expected an id from 0 to 3"),
        ("p2p", "send_message", {"target_id": 1, "content": "x"}, "yourself"),
        ("p2p", "send_message", {"target_id": 3, "content": "x"}, "you can send to 0, 2"),
        (
            "p2p",
            "send_message",
            {"target_id": "2", "content": "x"},
            "target_id of send_message is '2': expected an int",
        ),
        ("p2p", "send_message", {"target_id": True, "content": "x"}, "expected an integer"),
        ("p2p", "send_message", {"target_id": 2.0, "content": "x"}, "expected an integer"),
        ("p2p", "send_message", {"target_id": [2], "content": "x"}, "expected an integer"),
        ("p2p", "send_message", {"content": "x"}, "target_id of send_message is missing: expected an integer"),
        ("p2p", "send_message", {"target_id": 2}, "content of send_message is missing: expected text"),
        ("p2p", "send_message", {"target_id": 2, "content": 7}, "content of send_message is 7: expected text"),
        ("p2p", "send_message", {"target_id": 2, "content": None}, "is None: expected text"),
        ("p2p", "send_message", {"target_id": 2, "content": "x", "to": 3}, "no argument 'to': expected (target_id"),
        ("p2p", "send_message", [2, "x"], "by name, (target_id, content)"),
        ("p2p", "receive_messages", {"from": 2}, "no argument 'from'"),
        ("p2p", "send_mesage", {}, "Did you mean 'send_message'?"),
        ("p2p", "broadcast_message", {"content": "x"}, "send_message, receive_messages, wait, submit_result"),
        ("broadcast", "broadcast_message", {}, "content of broadcast_message is missing"),
        ("broadcast", "broadcast_message", {"content": b"x"}, "expected text"),
        ("broadcast", ["list_agents"], {}, "There is no tool"),
        ("files", "read_file", {}, "path of read_file is missing"),
        ("files", "read_file", {"path": "nowhere"}, "no file 'nowhere'"),
        ("files", "delete_file", {"path": "nowhere"}, "no file 'nowhere'"),
        ("files", "write_file", {"path": "a"}, "content of write_file is missing"),
        ("files", "list_files", {"prefix": 3}, "prefix of list_files is 3: expected text"),
        ("files", "list_files", {"folder": "a"}, "no argument 'folder': expected (prefix)"),
    ],
)
def test_a_call_that_fails_says_what_was_expected_and_leaves_no_trace(
    protocol: str, tool: Any, arguments: Any, told: str
) -> None:
    channel, fresh = open_channel(protocol, topology="chain"), open_channel(protocol, topology="chain")
    result = channel.call(1, tool, arguments)
    assert result["success"] is False and told in result["message"]
    channel.begin_round(2)
    assert counts(channel) == counts(fresh)
    assert all(channel.inbox(agent) == () for agent in range(4))
    assert channel.provenance.log == []


@given(
    st.sampled_from(PROTOCOLS),
    st.data(),
    st.dictionaries(NAMES, VALUES, max_size=4) | VALUES,
)
def test_no_arguments_raise_and_every_result_is_json(protocol: str, data: st.DataObject, arguments: Any) -> None:
    channel = open_channel(protocol)
    tool = data.draw(st.sampled_from(channel.tools) | VALUES)
    result = channel.call(0, tool, arguments)
    assert json.loads(json.dumps(result)) == result
    if result.get("success") is False:
        assert result["message"] and len(result["message"]) < 400


def test_integers_of_numpy_are_integers() -> None:
    channel = open_channel("p2p")
    result = channel.call(0, "send_message", {"target_id": np.int64(2), "content": np.str_("x")})
    assert json.dumps(result) and result["success"] is True
    channel.begin_round(2)
    assert [message.content for message in channel.inbox(2)] == ["x"]


def test_a_prefix_may_be_left_out() -> None:
    assert open_channel("files").call(0, "list_files", {}) == {"files": []}


def test_long_values_are_told_in_short() -> None:
    channel = open_channel("p2p")
    result = channel.call(0, "send_message", {"target_id": "9" * 100_000, "content": "x"})
    assert len(result["message"]) < 200


def test_integers_too_long_to_spell_out_are_told_as_such() -> None:
    channel = open_channel("p2p")
    for tool, target in (("send_message", 10**5000), (10**5000, 1)):
        result = channel.call(0, tool, {"target_id": target, "content": "x"})  # type: ignore[arg-type]
        assert result["success"] is False and "a very large int" in result["message"]
