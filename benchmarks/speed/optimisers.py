"""What a method adds to the step of GRPO: the same policy, batch, credit and number of steps, taken in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fogline.benchmarks.speed.report import Effort, Finding, Target
from fogline.benchmarks.speed.timing import MILLISECONDS, Spread, alternate
from fogline.core.errors import missing_dependency

if TYPE_CHECKING:
    from fogline.trainers.batch import Batch
    from fogline.trainers.learner import Learner

NAME = "optimisers"
GATE = 1.3
"""What continuous integration, whose machines are shared, holds every ratio to."""

PEER = "grpo"
PAIRS = 50
"""Pairs that count in a full run."""

_RESAMPLES = 2000
_NOTE = (
    "one optimiser step on one batch, whose ratios lie on both sides of the trust region; one thread; float32; the "
    "range of the ratio is a 95% interval of its median over {pairs} alternating pairs, all of which CI holds to {gate}"
)


class Contestant(NamedTuple):
    """A method beside GRPO.

    Attributes:
        recipe: Its name.
        options: Of the recipe.
        target: For the ratio of the step's times.
    """

    recipe: str
    options: Mapping[str, Any]
    target: Target


CONTESTANTS = (
    Contestant("dgpo", {}, Target("at most", 1.05)),
    Contestant("dynamo", {}, Target("at most", 1.15)),
)


@dataclass(frozen=True)
class Size:
    """What is stepped on.

    Attributes:
        vocabulary: Tokens of the model.
        rows: Of the batch, in groups of ``group_size``.
        group_size: Rows of a task.
        read: Tokens of a row that the policy did not write.
        written: Tokens that it wrote after them.
        layers: Of the model.
        width: Of the model.
    """

    vocabulary: int
    rows: int = 16
    group_size: int = 8
    read: int = 16
    written: int = 48
    layers: int = 3
    width: int = 96


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        sizes: Of model and batch.
        contestants: Methods.
    """

    sizes: Sequence[Size] = (Size(512), Size(32_000, written=24))
    contestants: Sequence[Contestant] = field(default=CONTESTANTS)


def run(effort: Effort, plan: Plan | None = None) -> list[Finding]:
    """Time every method's step beside GRPO's, at every size.

    Raises:
        MissingDependencyError: torch or transformers is not installed.
    """
    from importlib.util import find_spec

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_dependency(package, "train")
    plan = plan or Plan()
    pairs = max(2, round(PAIRS * effort.rounds / Effort().rounds))
    return [compare(size, one, pairs) for size in plan.sizes for one in plan.contestants]


def compare(size: Size, contestant: Contestant, pairs: int) -> Finding:
    """Steps of both methods in turn."""
    batch = make_batch(size)
    ours = make_learner(size, contestant.recipe, contestant.options)
    theirs = make_learner(size, PEER, {"aggregation": "token-mean"})
    return side_by_side(
        lambda: ours.update(batch),
        lambda: theirs.update(batch),
        pairs,
        benchmark=NAME,
        case=f"{contestant.recipe}, vocabulary {size.vocabulary}",
        subject=f"Learner.update, {contestant.recipe}",
        peer=f"Learner.update, {PEER}",
        quantity=f"time of the step over that of {PEER}",
        target=contestant.target,
        note=_NOTE.format(pairs=pairs, gate=GATE),
    )


def side_by_side(ours: Callable[[], Any], theirs: Callable[[], Any], pairs: int, **told: Any) -> Finding:
    """Time two steps in turn, on one thread; the ratio is taken pair by pair.

    Args:
        ours: The subject's step.
        theirs: The peer's step.
        pairs: That count.
        told: What else the finding says.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = alternate({"ours": lambda: _elapsed(ours), "theirs": lambda: _elapsed(theirs)}, pairs)
    finally:
        torch.set_num_threads(before)
    mine, his = seconds["ours"], seconds["theirs"]
    return Finding(
        unit="ms",
        subject_value=Spread.of(mine, MILLISECONDS),
        peer_value=Spread.of(his, MILLISECONDS),
        seen=median_interval([one / other for one, other in zip(mine, his, strict=True)]),
        seen_unit="×",
        **told,
    )


def _elapsed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


def median_interval(ratios: Sequence[float], seed: int = 0) -> Spread:
    """The median of independent ratios with its 95% percentile-bootstrap interval."""
    drawn = np.random.default_rng(seed).choice(np.asarray(ratios), (_RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975]).tolist()
    centre = median(ratios)
    return Spread(centre, min(low, centre), max(high, centre))


def make_learner(size: Size, recipe: str, options: Mapping[str, Any]) -> Learner:
    """A learner of its own policy; all of one size start from the same weights.

    It takes the sampler's log-probabilities for the old ones: the batch is then off-policy, and clips have work to do.
    """
    from fogline.trainers.learner import Learner, LearnerConfig
    from fogline.trainers.recipes import make_recipe

    config = LearnerConfig(learning_rate=1e-6, old_logp="sampler")
    return Learner(make_policy(size), make_recipe(recipe, **options), config)


def make_policy(size: Size) -> Any:
    """A random Llama of the size, as a policy that reads and writes token ids."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from fogline.agents.policies.language import CausalLMPolicy

    words = {f"w{index}": index for index in range(size.vocabulary)}
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer(WordLevel(words, "w0")),
        unk_token="w0",
        pad_token="w1",
        eos_token="w2",
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    )
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=2 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=4,
        max_position_embeddings=size.read + size.written,
        pad_token_id=1,
        bos_token_id=None,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    return CausalLMPolicy(model, tokenizer)


def make_batch(size: Size) -> Batch:
    """Random tokens and rewards, under old log-probabilities that differ from the policy's by half a nat or so."""
    import torch

    from fogline.trainers.batch import Batch

    random = torch.Generator().manual_seed(1)
    length = size.read + size.written
    tokens = torch.randint(3, size.vocabulary, (size.rows, length), generator=random)
    written = (torch.arange(length) >= size.read).expand(size.rows, length)
    with torch.no_grad():
        everything = torch.ones_like(written)
        logp = make_policy(size).score(tokens, everything, written, {}).logp
    old = torch.where(written, (logp + 0.5 * torch.randn(logp.shape, generator=random)).clamp(max=0), 0.0)
    reward = torch.rand(size.rows, generator=random)
    row = torch.ones(size.rows, dtype=torch.bool)
    return Batch(
        tokens=tokens,
        attention_mask=everything,
        policy_mask=written,
        turn_index=torch.where(written, 0, -1),
        behaviour_logp=old,
        old_logp=old,
        group=torch.arange(size.rows) // size.group_size,
        task=torch.arange(size.rows) // size.group_size,
        valid=row,
        session={"reward": reward},
        turn={"reward": reward[:, None]},
        turn_mask=row[:, None],
        masks={"policy": written},
        terminated=row,
        truncated=~row,
    )
