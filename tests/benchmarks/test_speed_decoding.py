"""Every method is timed beside greedy, PND against its target, and three caches weigh as three."""

from __future__ import annotations

from fogline.agents.decoding import DECODERS
from fogline.benchmarks.speed import decoding
from fogline.benchmarks.speed.report import Effort

SMALL = decoding.Size(width=64, rows=2, tokens=4)


def test_every_method_stands_beside_greedy_and_memory_is_told() -> None:
    *methods, looking, memory = decoding.run(Effort(rounds=1, seconds=0.01), SMALL)
    assert {found.subject.removeprefix("a token of ").partition(",")[0] for found in methods} == set(DECODERS)
    assert [found.case for found in methods if found.target is not None] == ["pnd, width 64"]
    assert all(found.seen.median > 0 for found in methods)
    assert looking.peer == "a token of greedy generate"
    assert memory.seen.median == 3
    # Keys and values of 6 layers: 2 rows, 64 patches, 16 words and all tokens but the last, which nobody read.
    assert memory.peer_value.median == 2 * 6 * 2 * (64 + 16 + 3) * 64 * 4 / 1024
