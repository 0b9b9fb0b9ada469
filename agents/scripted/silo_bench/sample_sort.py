"""Sorting by regular samples, with a last round that puts every number at its exact rank."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from itertools import pairwise

from fogline.agents.scripted.silo_bench.knowledge import decode, encode, write_lines
from fogline.agents.scripted.silo_bench.schedule import Schedule
from fogline.agents.scripted.silo_bench.seat import Action, Program, Seat
from fogline.envs.silo_bench.calls import SiloView
from fogline.envs.silo_bench.tasks.task import SiloTask

_FIRST = 0
"""The seat that chooses the splitters."""
_RUN = "ranks-"
"""Begins the label of a run of numbers; the rank of its first one follows."""


class SampleSort(Schedule):
    """Parallel sorting by regular sampling (Shi and Schaeffer, 1992), for III-21; moves each number once or twice.

    1. Each seat sorts its numbers and tells agent 0 a regular sample. 2. Agent 0 tells all the N-1 splitters, regular
    in all samples. 3. Each seat tells each other its numbers between the two splitters of that one, and how many it
    has below; so each knows the exact ranks of what it holds now. 4. Numbers whose rank lies in another seat's
    segment go there, each run with the rank that it begins at.

    At most ``(N-1)(N+4)`` messages, of which steps 1 to 3 take ``(N-1)(N+2)``, in at most 5 rounds.
    """

    name = "sample-sort"
    scopes = ("all",)

    def program(self, seat: Seat) -> Program:
        """The four steps."""
        numbers = sorted(seat.view.shard)
        splitters = yield from _agree_on_splitters(seat, numbers)
        bucket, first = yield from _exchange(seat, numbers, splitters)
        yield from _settle(seat, bucket, first, len(numbers))

    def _solves(self, task: SiloTask) -> bool:
        return task.task_id == "III-21"

    def _messages(self, task: SiloTask, n_agents: int) -> int:
        return (n_agents - 1) * (n_agents + 4)

    def _rounds(self, task: SiloTask, n_agents: int) -> int:
        return 5


def _agree_on_splitters(seat: Seat, numbers: list[int]) -> Generator[Action, SiloView, list[int]]:
    """Steps 1 and 2: the N-1 splitters, ascending; values up to and including splitter j fall to seats up to j."""
    sample = regular(numbers, min(seat.n_agents, len(numbers)))
    if seat.agent != _FIRST:
        seat.send(_FIRST, write_lines([(f"sample-{seat.agent}", encode(sample))]))
        yield from seat.hear(["splitters"])
        told: list[int] = decode(seat.known["splitters"])
        return told
    names = [f"sample-{agent}" for agent in seat.others]
    yield from seat.hear(names)
    samples = sorted([*sample, *(number for name in names for number in decode(seat.known[name]))])
    splitters = regular(samples, seat.n_agents)[1:]
    content = write_lines([("splitters", encode(splitters))])
    for target in seat.others:
        seat.send(target, content)
    # The others can go on in the next round only; going along keeps every round under N calls.
    yield from seat.end_round()
    return splitters


def _exchange(
    seat: Seat, numbers: list[int], splitters: list[int]
) -> Generator[Action, SiloView, tuple[list[int], int]]:
    """Step 3: all numbers of this seat's bucket, ascending, and the rank of the first."""
    cuts = [0, *(bisect_right(numbers, splitter) for splitter in splitters), len(numbers)]
    for target in seat.others:
        below, stop = cuts[target], cuts[target + 1]
        seat.send(target, write_lines([(f"chunk-{seat.agent}", encode([below, numbers[below:stop]]))]))
    names = [f"chunk-{agent}" for agent in seat.others]
    yield from seat.hear(names)
    below, stop = cuts[seat.agent], cuts[seat.agent + 1]
    bucket, first = numbers[below:stop], below
    for name in names:
        below, chunk = decode(seat.known[name])
        bucket = bucket + chunk
        first += below
    return sorted(bucket), first


def _settle(seat: Seat, bucket: list[int], first: int, size: int) -> Program:
    """Step 4: hand over what belongs to the segments of others, and submit once the own segment is full."""
    # Segments are cut at multiples of their size, the bucket where it begins and ends.
    inner = range((first // size + 1) * size, first + len(bucket), size)
    for start, stop in pairwise([first, *inner, first + len(bucket)]):
        owner, run = start // size, encode(bucket[start - first : stop - first])
        if owner == seat.agent:
            seat.known[f"{_RUN}{start}"] = run
        elif stop > start:
            seat.send(owner, write_lines([(f"{_RUN}{start}", run)]))
    while True:
        runs = {int(name.removeprefix(_RUN)): decode(run) for name, run in seat.known.items() if name.startswith(_RUN)}
        segment = [number for start in sorted(runs) for number in runs[start]]
        if len(segment) == size:
            break
        yield from seat.end_round()
    yield from seat.submit(segment)


def regular(ascending: list[int], count: int) -> list[int]:
    """``count`` of the numbers at equal distances, the first one among them."""
    return [ascending[index * len(ascending) // count] for index in range(count)]
