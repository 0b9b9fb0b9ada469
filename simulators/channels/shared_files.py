"""A flat store of files that agents write and read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fogline.simulators.channels.base import Channel, Parameter, failure, shown, success
from fogline.simulators.channels.config import ChannelConfig

LONGEST_PATH = 255
"""Most characters of a path; the bound on content does not count it."""


class StoredFile(NamedTuple):
    """What a path holds.

    Attributes:
        content: The text.
        writer: Who wrote it last.
        round: Round in which that was.
        known: What the writer knew then, as a bit mask of facts.
    """

    content: str
    writer: int
    round: int
    known: int


class FilesChannel(Channel):
    """A key-value store in which the last writer wins (Silo-Bench, appendix A).

    Reads see the store as it was at the end of the previous round. The changes of a round take effect in the order of
    the agents' numbers, and of each agent's calls: of several writes to a path the one by the highest number stays,
    and a deletion removes what lower numbers wrote in the same round but not what higher ones did. In a restricted
    topology a file shows only to its last writer and that one's neighbours; anybody may write to any path.

    A lost change (write or deletion) never takes effect. A late one takes effect when it arrives, before that round's
    own changes but over whatever was there, and keeps the round in which it was made as its time. A
    doubled change does nothing more than a single one.

    Facts travel in contents only: the names that ``list_files`` shows carry none in the books.
    """

    parameters: ClassVar[Mapping[str, tuple[Parameter, ...]]] = {
        "list_files": (Parameter("prefix", str, ""),),
        "read_file": (Parameter("path", str),),
        "write_file": (Parameter("path", str), Parameter("content", str)),
        "delete_file": (Parameter("path", str),),
    }

    def __init__(self, config: ChannelConfig, rng: np.random.Generator | None = None) -> None:
        super().__init__(config, rng)
        self._files: dict[str, StoredFile] = {}
        # By round: (round made, agent, sequence number, path, new file or None), which sorts as it takes effect.
        self._due: defaultdict[int, list[tuple[int, int, int, str, StoredFile | None]]] = defaultdict(list)
        self._last_writers: dict[str, int] = {}
        self._written: set[tuple[int, str]] = set()
        self._sequence = 0

    def _arrive(self) -> None:
        self._last_writers.clear()
        self._written.clear()
        for _, _, _, path, file in sorted(self._due.pop(self.round, ())):
            if file is None:
                self._files.pop(path, None)
            else:
                self._files[path] = file

    def _run(self, agent: int, tool: str, values: Sequence[Any]) -> dict[str, Any]:
        if tool == "read_file":
            return self._read(agent, *values)
        if tool == "write_file":
            return self._write(agent, *values)
        return self._delete(agent, *values) if tool == "delete_file" else self._list(agent, *values)

    def _visible(self, agent: int, path: str) -> StoredFile | None:
        file = self._files.get(path)
        if file is None or (agent != file.writer and agent not in self._reach[file.writer]):
            return None
        return file

    def _list(self, agent: int, prefix: str) -> dict[str, Any]:
        reach = self._reach[agent]
        files = [
            {"path": path, "modified_by": file.writer, "modified_at_round": file.round}
            for path, file in sorted(self._files.items())
            if path.startswith(prefix) and (file.writer == agent or file.writer in reach)
        ]
        return {"files": files}

    def _read(self, agent: int, path: str) -> dict[str, Any]:
        file = self._visible(agent, path)
        if file is None:
            return failure(_absent(path))
        content, writer, round, known = file
        self.traffic.count_read(agent, writer, len(content))
        if writer != agent:
            self._unseen.append((writer, agent, round, len(content), known))
        metadata = {"modified_by": writer, "modified_at_round": round}
        return {"success": True, "content": content, "metadata": metadata}

    def _write(self, agent: int, path: str, content: str) -> dict[str, Any]:
        if not 0 < len(path) <= LONGEST_PATH:
            return failure(f"The path has {len(path)} characters: expected 1 to {LONGEST_PATH}.")
        problem = self._over_length(content)
        if problem:
            return failure(problem)
        self._change(agent, path, StoredFile(content, agent, self.round, self.provenance.knows(agent)))
        self._count_write(agent, path, len(content))
        return success("Written: visible from the next round on.")

    def _delete(self, agent: int, path: str) -> dict[str, Any]:
        if self._visible(agent, path) is None and (agent, path) not in self._written:
            return failure(_absent(path))
        self._change(agent, path, None)
        return success("Deleted from the next round on.")

    def _change(self, agent: int, path: str, file: StoredFile | None) -> None:
        self._sequence += 1
        for due in self._fate():
            self._due[due].append((self.round, agent, self._sequence, path, file))

    def _count_write(self, agent: int, path: str, characters: int) -> None:
        self._written.add((agent, path))
        writes = self.traffic.writes
        self.traffic.characters_sent[agent] += characters
        last = self._last_writers.get(path)
        if last is None or last < agent:
            if last is not None:
                writes[last] -= 1
            writes[agent] += 1
            self._last_writers[path] = agent


def _absent(path: str) -> str:
    return f"There is no file {shown(path)} that you can see: expected a path that list_files shows."
