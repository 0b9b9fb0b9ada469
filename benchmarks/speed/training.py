"""Updates of fogline's trainer beside TRL's ``GRPOTrainer``: same model, prompts, group size, lengths and reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.timing import MILLISECONDS, Spread, alternate
from fogline.core.errors import missing_dependency

if TYPE_CHECKING:
    from fogline.benchmarks.speed.training_task import Work

NAME = "training"
SINGLE_TURN = Target("at least", 1.1)
MANY_TURNS = Target("at least", 3.0)
NOTHING_TWICE = Target("at most", 0.0)
LATE_TURN = Target("at most", 2.0)

_EARLY = 1
"""Index of turn 2: turn 1 reads the prompt."""

_MEBIBYTE = 1 / 2**20
_EQUAL = (
    "one optimiser step on one batch; one thread; float32; completions of fixed length; the same reference work; "
    "neither side scores the batch a second time for the old log-probabilities; TRL without gradient checkpointing, "
    "logging or saving, timed by a callback from the start of the step to its end"
)
_CALLS = (
    "random weights never write a valid tool call, so TRL's parser is replaced by one that takes every completion for "
    "a call"
)


class Case(NamedTuple):
    """A size of the task.

    Attributes:
        name: In the report.
        work: As keywords of :class:`~fogline.benchmarks.speed.training_task.Work`.
        share: Rounds, as a share of those of the effort.
        target: What is expected; None where nothing is promised.
    """

    name: str
    work: dict[str, int]
    share: float
    target: Target | None


class Plan(NamedTuple):
    """What is measured.

    Attributes:
        cases: Updates beside TRL's.
        read: The case, by place, whose reading and memory are compared too.
        turns: Long episodes, whose turns are looked at one by one.
    """

    cases: tuple[Case, ...]
    read: int
    turns: tuple[dict[str, int], ...]


PLAN = Plan(
    cases=(
        Case("1 turn, prompt 64, 64 new", {"turns": 1, "prompt_tokens": 64, "new_tokens": 64}, 1.0, SINGLE_TURN),
        Case(
            "16 turns, prompt 1024, 8 new, 16 observed",
            {"turns": 16, "prompt_tokens": 1024, "new_tokens": 8, "observation_tokens": 16},
            0.3,
            MANY_TURNS,
        ),
        Case(
            "16 turns, prompt 64, 16 new, 16 observed",
            {"turns": 16, "prompt_tokens": 64, "new_tokens": 16, "observation_tokens": 16},
            0.3,
            MANY_TURNS,
        ),
    ),
    read=1,
    turns=(
        {"turns": 32, "prompt_tokens": 1024, "new_tokens": 8, "observation_tokens": 16},
        {"turns": 32, "prompt_tokens": 64, "new_tokens": 16, "observation_tokens": 16},
    ),
)


def run(effort: Effort, plan: Plan = PLAN) -> list[Finding]:
    """Measure updates, reading, memory and late turns.

    Raises:
        MissingDependencyError: torch, transformers or TRL is not installed.
    """
    for package, extra in (("torch", "train"), ("transformers", "train"), ("trl", "dev")):
        _require(package, extra)
    from fogline.benchmarks.speed.training_task import Work

    findings = [update_time(case, Work(**case.work), effort) for case in plan.cases]
    compared = plan.cases[plan.read]
    findings += [reading(compared, Work(**compared.work)), *memory(compared, Work(**compared.work))]
    for size in plan.turns:
        findings += turns(Work(**size), effort)
    return findings


def _require(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise missing_dependency(package, extra)


def update_time(case: Case, work: Work, effort: Effort) -> Finding:
    """Updates of both sides in turn."""
    from fogline.benchmarks.speed.training_peer import TRLTrainer
    from fogline.benchmarks.speed.training_subject import FoglineTrainer

    ours, theirs = FoglineTrainer(work), TRLTrainer(work)
    try:
        rounds = max(2, round(effort.rounds * case.share))
        seconds = alternate({ours.name: ours.update, theirs.name: theirs.update}, rounds)
    finally:
        ours.close()
        theirs.close()
    mine, his = seconds[ours.name], seconds[theirs.name]
    ratios = [slow / fast for slow, fast in zip(his, mine, strict=True)]
    note = _EQUAL if work.turns == 1 else _CALLS
    return _finding(case.name, "ms", mine, his, MILLISECONDS, "time of TRL", ratios, "×", case.target, note)


def reading(case: Case, work: Work) -> Finding:
    """Tokens that each side reads to generate one batch."""
    from fogline.benchmarks.speed.training_peer import TRLTrainer
    from fogline.benchmarks.speed.training_subject import FoglineTrainer

    ours, theirs = FoglineTrainer(work), TRLTrainer(work)
    try:
        mine, his = ours.read_tokens(), theirs.read_tokens()
    finally:
        ours.close()
        theirs.close()
    return _finding(f"{case.name}: generation", "tokens", [mine], [his], 1.0, "tokens read by TRL", [his / mine], "×")


def memory(case: Case, work: Work) -> list[Finding]:
    """Peak memory of each side in a process of its own."""
    from fogline.benchmarks.speed.training_memory import memory_of

    mine, his = memory_of("fogline", work), memory_of("trl", work)
    return [
        _finding(f"{case.name}: {name}", "MiB", [ours], [theirs], _MEBIBYTE, "peak memory of TRL", [theirs / ours], "×")
        for name, ours, theirs in (
            ("peak of the process", mine.peak, his.peak),
            ("added by updates", mine.added, his.added),
        )
    ]


def turns(work: Work, effort: Effort) -> list[Finding]:
    """What each turn of a long episode reads, and how long the last takes beside the second."""
    from fogline.benchmarks.speed.training_subject import expected_reading, make_policy, play_turns

    policy = make_policy(work)
    early, late, read, wanted = [], [], [0], [0]
    for number in range(max(3, effort.rounds // 3) + 1):
        played = play_turns(policy, work)
        read, wanted = [turn.read for turn in played], expected_reading(work)
        if number:
            early.append(played[_EARLY].ended - played[_EARLY - 1].ended)
            late.append(played[-1].ended - played[-2].ended)
    size = f"{work.turns} turns, prompt {work.prompt_tokens}, {work.new_tokens} new"
    wrong = [float(abs(mine - his)) for mine, his in zip(read, wanted, strict=True)]
    late_over_early = [slow / fast for slow, fast in zip(late, early, strict=True)]
    return [
        _finding(
            f"{size}: read beside new",
            "tokens/turn",
            read,
            wanted,
            1.0,
            "tokens read beyond the new ones, any turn",
            [max(wrong)],
            "",
            NOTHING_TWICE,
            "the last token of a turn is read with the next one; the greatest figure is turn 1, with the prompt",
            "new tokens",
        ),
        _finding(
            f"{size}: last beside turn 2",
            "ms",
            late,
            early,
            MILLISECONDS,
            "time of turn 2",
            late_over_early,
            "×",
            LATE_TURN,
            peer="turn 2",
        ),
    ]


def _finding(
    case: str,
    unit: str,
    mine: Sequence[float],
    his: Sequence[float],
    scale: float,
    quantity: str,
    seen: Sequence[float],
    seen_unit: str,
    target: Target | None = None,
    note: str = "",
    peer: str = "TRL GRPOTrainer",
) -> Finding:
    return Finding(
        benchmark=NAME,
        case=case,
        subject="Trainer.step",
        peer=peer,
        unit=unit,
        subject_value=Spread.of(mine, scale),
        peer_value=Spread.of(his, scale),
        quantity=quantity,
        seen=Spread.of(seen),
        seen_unit=seen_unit,
        target=target,
        note=note,
    )
