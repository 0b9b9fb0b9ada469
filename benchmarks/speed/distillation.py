"""What listening to a teacher costs: a step beside GRPO's plus one bare forward pass of the teacher; and its memory.

Memory is that of a divergence over the whole vocabulary and its gradient, in chunks, beside the naive form, which
holds the distributions of every place of student and teacher at once; each in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fogline.benchmarks.speed.optimisers import (
    GATE,
    PAIRS,
    PEER,
    Size,
    make_batch,
    make_policy,
    side_by_side,
)
from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.timing import MeasurementFailed, Spread
from fogline.benchmarks.speed.training_memory import peak_bytes
from fogline.core.errors import missing_dependency

if TYPE_CHECKING:
    from fogline.trainers.batch import Batch
    from fogline.trainers.learner import Learner

NAME = "distillation"
_NOTE = (
    "one optimiser step on one batch; the peer makes GRPO's step and a forward pass of the same teacher over the same "
    "rows; one thread; float32; the range of the ratio is a 95% interval of its median over {pairs} alternating pairs, "
    "all of which CI holds to {gate}"
)
_MEMORY_NOTE = (
    "peak of the process above what it was before: one divergence of GKD and its gradient by all weights; one run each"
)
_MIB = 1024**2


class Contestant(NamedTuple):
    """A method that distils.

    Attributes:
        recipe: Its name.
        options: Of the recipe.
    """

    recipe: str
    options: Mapping[str, Any]


CONTESTANTS = (
    Contestant("opd", {}),
    Contestant("aopd", {"top_k": 16}),
    Contestant("scope", {"correct_threshold": 0.5}),
)
TARGET = Target("at most", 1.15)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        sizes: Of model and batch.
        contestants: Methods.
        memory: Of model and batch whose peak is taken.
    """

    sizes: Sequence[Size] = (Size(512), Size(32_000, written=24))
    contestants: Sequence[Contestant] = field(default=CONTESTANTS)
    memory: Size = field(default=Size(32_000, rows=32, written=64))


def run(effort: Effort, plan: Plan | None = None) -> list[Finding]:
    """Time every method's step, and take the memory of both forms.

    Raises:
        MissingDependencyError: torch or transformers is not installed.
    """
    from importlib.util import find_spec

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_dependency(package, "train")
    plan = plan or Plan()
    pairs = max(2, round(PAIRS * effort.rounds / Effort().rounds))
    timed = [compare(size, one, pairs) for size in plan.sizes for one in plan.contestants]
    return [*timed, memory(plan.memory)]


def compare(size: Size, contestant: Contestant, pairs: int) -> Finding:
    """Steps of both sides in turn."""
    import torch

    batch = make_batch(size)
    ours = make_learner(size, contestant.recipe, contestant.options)
    theirs = make_learner(size, PEER, {"aggregation": "token-mean"})
    teacher = make_policy(size)

    def peer() -> None:
        with torch.no_grad():
            teacher.score(batch.tokens, batch.attention_mask, batch.policy_mask, {})
        theirs.update(batch)

    return side_by_side(
        lambda: ours.update(batch),
        peer,
        pairs,
        benchmark=NAME,
        case=f"{contestant.recipe}, vocabulary {size.vocabulary}",
        subject=f"Learner.update, {contestant.recipe}, local teacher",
        peer=f"Learner.update, {PEER}, and one teacher forward",
        quantity="time of the step over that of the peer",
        target=TARGET,
        note=_NOTE.format(pairs=pairs, gate=GATE),
    )


def make_learner(size: Size, recipe: str, options: Mapping[str, Any]) -> Learner:
    """A learner of its own policy, with a teacher of its own where the method has one."""
    from fogline.trainers.learner import Learner, LearnerConfig
    from fogline.trainers.recipes import make_recipe
    from fogline.trainers.teachers import LocalTeacher

    made = make_recipe(recipe, **options)
    teacher = None if made.teaching is None else LocalTeacher(make_policy(size))
    return Learner(make_policy(size), made, LearnerConfig(learning_rate=1e-6, old_logp="sampler"), teacher=teacher)


def memory(size: Size) -> Finding:
    """Peak memory of both forms.

    Raises:
        MeasurementFailed: One of them could not be run.
    """
    chunked, naive = (_peak(form, size) for form in ("chunked", "naive"))
    return Finding(
        benchmark=NAME,
        case=f"whole vocabulary of {size.vocabulary:,}, {size.rows * size.written:,} places",
        subject="Forward.expect beside the teacher's hidden states",
        peer="both distributions of all places at once",
        unit="MiB",
        subject_value=Spread(chunked / _MIB, chunked / _MIB, chunked / _MIB),
        peer_value=Spread(naive / _MIB, naive / _MIB, naive / _MIB),
        quantity="peak memory over that of the naive form",
        seen=Spread(chunked / naive, chunked / naive, chunked / naive),
        seen_unit="×",
        target=Target("at most", 0.5),
        note=_MEMORY_NOTE,
    )


def _peak(form: str, size: Size) -> float:
    script = f"from {__name__} import report; report({form!r}, {asdict(size)!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MeasurementFailed(f"the {form} form could not be run: {done.stderr.strip()[-300:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def report(form: str, size: dict[str, Any]) -> None:
    """Take one divergence and its gradient in this process, and print the peak above what was there before."""
    import torch

    from fogline.trainers.distillation import generalised_jsd
    from fogline.trainers.recipe import Teaching
    from fogline.trainers.teachers import LocalTeacher
    from fogline.trainers.whole import scored_parts

    made = Size(**size)
    student, teacher, batch = make_policy(made), make_policy(made), make_batch(made)
    weights = list(student.module.parameters())
    before = peak_bytes()
    if form == "chunked":
        rows = LocalTeacher(teacher).score(*scored_parts(batch), Teaching(whole=True))
        assert rows.distribution is not None
        read = rows.distribution
        loss = student.score(*scored_parts(batch)).expect(lambda p, h: generalised_jsd(p, read(h)), rows.states)
    else:
        with torch.no_grad():
            taught = _everything(teacher, batch)
        loss = generalised_jsd(_everything(student, batch), taught)
    torch.autograd.grad(loss.sum(), weights)
    print(json.dumps(peak_bytes() - before))


def _everything(policy: Any, batch: Batch) -> Any:
    """Log-probabilities ``[M,V]`` of all places at once."""
    from fogline.trainers.whole import scored_parts

    return policy.distribution(policy.states(*scored_parts(batch))[batch.policy_mask])
