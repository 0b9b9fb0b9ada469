"""Shared files: snapshots, the last writer wins, deletions, who sees what."""

from __future__ import annotations

from channel_programs import Call, Program, neighbours, programs, run
from hypothesis import given

from fogline.simulators.channels.channel import Channel, ChannelConfig, make_channel


def store(n_agents: int = 4, topology: str = "complete") -> Channel:
    channel = make_channel("files", ChannelConfig(n_agents, topology=topology))
    channel.begin_round(1)
    return channel


def write(channel: Channel, agent: int, path: str, content: str) -> None:
    assert channel.call(agent, "write_file", {"path": path, "content": content})["success"] is True


def read(channel: Channel, agent: int, path: str) -> str | None:
    result = channel.call(agent, "read_file", {"path": path})
    return result["content"] if result["success"] else None


def listed(channel: Channel, agent: int, prefix: str = "") -> list[str]:
    return [file["path"] for file in channel.call(agent, "list_files", {"prefix": prefix})["files"]]


@given(programs(("files",), faults=False))
def test_a_round_leaves_what_its_changes_leave_when_made_one_after_the_other_by_agent(program: Program) -> None:
    done = run(program)
    reach = neighbours(program.config)
    files: dict[str, tuple[str, int, int]] = {}
    waiting: list[Call] = []
    present = 1
    for number, call, result in done.results:
        if number != present:
            for change in sorted(waiting, key=lambda change: change.agent):
                if change.tool == "delete_file":
                    files.pop(change.arguments["path"], None)
                else:
                    files[change.arguments["path"]] = (change.arguments["content"], change.agent, present)
            waiting, present = [], number
        path = call.arguments["path"]
        file = files.get(path)
        seen = file is not None and (file[1] == call.agent or file[1] in reach[call.agent])
        own = any(
            other.tool == "write_file" and other[0] == call.agent and other[2]["path"] == path for other in waiting
        )
        if call.tool == "read_file" and seen:
            assert file is not None
            metadata = {"modified_by": file[1], "modified_at_round": file[2]}
            assert result == {"success": True, "content": file[0], "metadata": metadata}
        elif call.tool == "read_file":
            assert result["success"] is False and path in result["message"]
        elif call.tool == "delete_file":
            assert result["success"] is (seen or own)
        if call.tool != "read_file" and result["success"]:
            waiting.append(call)


def test_the_highest_number_that_wrote_stays_whoever_was_called_last() -> None:
    channel = store()
    for agent in (2, 3, 0, 1):
        write(channel, agent, "k", f"of {agent}")
    channel.begin_round(2)
    assert read(channel, 0, "k") == "of 3"


def test_of_an_agents_own_writes_the_last_stays() -> None:
    channel = store()
    write(channel, 1, "k", "first")
    write(channel, 1, "k", "second")
    channel.begin_round(2)
    assert read(channel, 0, "k") == "second"


def test_a_file_stays_readable_until_the_round_of_its_deletion_is_over() -> None:
    channel = store()
    write(channel, 0, "k", "x")
    channel.begin_round(2)
    assert channel.call(1, "delete_file", {"path": "k"})["success"] is True
    assert read(channel, 2, "k") == "x" and listed(channel, 2) == ["k"]
    channel.begin_round(3)
    assert read(channel, 2, "k") is None and listed(channel, 2) == []


def test_a_deletion_removes_writes_of_lower_numbers_and_not_of_higher_ones() -> None:
    channel = store()
    for path in ("low", "high"):
        write(channel, 0, path, "old")
    channel.begin_round(2)
    write(channel, 1, "low", "new")
    write(channel, 3, "high", "new")
    for path in ("low", "high"):
        assert channel.call(2, "delete_file", {"path": path})["success"] is True
    channel.begin_round(3)
    assert read(channel, 0, "low") is None and read(channel, 0, "high") == "new"


def test_an_agent_may_take_back_what_it_wrote_in_the_same_round() -> None:
    channel = store()
    write(channel, 1, "k", "x")
    assert channel.call(1, "delete_file", {"path": "k"})["success"] is True
    assert channel.call(2, "delete_file", {"path": "k"})["success"] is False
    channel.begin_round(2)
    assert listed(channel, 1) == []


def test_files_are_listed_by_path_with_their_last_writer_and_round() -> None:
    channel = store()
    write(channel, 1, "b/1", "x")
    write(channel, 3, "a", "x")
    channel.begin_round(2)
    write(channel, 2, "a", "y")
    channel.begin_round(3)
    one = {"path": "a", "modified_by": 2, "modified_at_round": 2}
    other = {"path": "b/1", "modified_by": 1, "modified_at_round": 1}
    assert channel.call(0, "list_files", {}) == {"files": [one, other]}
    assert channel.call(0, "list_files", {"prefix": "b/"}) == {"files": [other]}


def test_a_file_shows_to_its_last_writer_and_that_ones_neighbours_only() -> None:
    channel = store(4, "chain")
    write(channel, 1, "k", "x")
    channel.begin_round(2)
    assert [listed(channel, agent) for agent in range(4)] == [["k"], ["k"], ["k"], []]
    assert [read(channel, agent, "k") for agent in range(4)] == ["x", "x", "x", None]
    assert channel.call(3, "delete_file", {"path": "k"})["success"] is False
    write(channel, 3, "k", "y")
    channel.begin_round(3)
    assert [read(channel, agent, "k") for agent in range(4)] == [None, None, "y", "y"]


def test_a_path_needs_a_name_that_is_not_too_long() -> None:
    channel = store()
    for path in ("", "x" * 256):
        result = channel.call(0, "write_file", {"path": path, "content": ""})
        assert result["success"] is False and "expected 1 to 255" in result["message"]
    write(channel, 0, "x" * 255, "")
    assert channel.inbox(0) == ()
