"""Where every method begins: a tiny model that was shown how to read tables, partly by somebody who slips.

And the two critics of a seed, which begin as its warm start: one that a method learns from, one that measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fogline.agents.collector import collect_all
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.visual_table import SlipperyAgent
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.experiment import WARM
from fogline.benchmarks.reproduce.pgpo.plan import GREEDY, JUDGE, TablePlan
from fogline.benchmarks.reproduce.pgpo.world import (
    LEVELS,
    PHRASES,
    PLACES,
    environments,
    measured,
    most_likely_right,
    questions,
)
from fogline.core.episode import Episode
from fogline.envs.visual_table.perturbations import KINDS as PERTURBED
from fogline.simulators.tables.records import TableDataset
from fogline.simulators.tables.rendering import CELL, render
from fogline.simulators.tables.sources import SYNTHETIC, load_tables
from fogline.trainers.critics import Judgement
from fogline.trainers.learned_critics import LearnedCritic, auc_per_kind
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune, transcribe
from fogline.trainers.sight import align
from fogline.trainers.table_critics import OracleCritic

TAUGHT = "learned critic"
CONTEXT = 192
IMAGE = 4 * CELL
"""A table is four cells high and three wide; a model wants squares."""
_SHOWN_SEED, _LESSON_SEEDS = 70_000_000, {TAUGHT: 71_000_000, JUDGE: 72_000_000}
_CRITIC_LEVELS, _CRITIC_KINDS = (1, 2, 3), ("value", "sum", "difference", "compare", "argmax", "argmin", "count")

Spoilt = Mapping[str, Sequence[tuple[Episode, int]]]


def model_folder(folder: Path, seed: int, name: str = WARM) -> Path:
    """Where a seed's warm start, or a critic of it, is kept."""
    return folder / "models" / f"seed-{seed}" / name.replace(" ", "-")


def warm_policy(plan: TablePlan, folder: Path, seed: int, name: str = WARM) -> Any:
    """The warm start of a seed."""
    return _policy(plan, str(model_folder(folder, seed)), None, name)


def warm_start(plan: TablePlan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """Demonstrate, train, teach both critics, save, measure."""
    dataset = questions("train", plan.shown_tables)
    wanted = [Assignment(task, _SHOWN_SEED + cell.seed) for task in dataset.tasks]
    player = SlipperyAgent(dataset, share=plan.slips)
    shown = collect_all(environments(plan, dataset), player, wanted, concurrency=256)
    policy = _policy(plan, *_untrained(plan, shown, cell.seed), WARM)
    if plan.observation == "image":
        learn_to_see(plan, policy, cell.seed)
    rows = _learn(plan, policy, shown, plan.shown_rate, plan.shown_epochs, cell.seed)
    policy.save(model_folder(folder, cell.seed))
    areas: dict[str, float | None] = {}
    for name in (TAUGHT, JUDGE):
        areas |= teach(plan, folder, cell.seed, name)
    judge = LearnedCritic.load(model_folder(folder, cell.seed, JUDGE))
    curve = [[row["update"], row["loss"]] for row in rows[:: max(len(rows) // 20, 1)]]
    metrics = {GREEDY: most_likely_right(plan, policy), **measured(plan, policy, judge), **areas}
    return {"metrics": metrics, "curves": {"loss": curve}}


def learn_to_see(plan: TablePlan, policy: Any, seed: int) -> list[float]:
    """What stands in each cell, and where; what is beside the table is blank."""
    tables = [task.table for task in questions("train", plan.sight_tables // len(LEVELS))]
    pictures = [render(table, "tiny").image for table in tables]
    words = [[word for row in (table.header, *table.rows) for word in (*row, " ")] for table in tables]
    learner = _falling(plan.sight_rate)
    return align(policy, pictures, words, places=PLACES, learner=learner, epochs=plan.sight_epochs, seed=seed)


def teach(plan: TablePlan, folder: Path, seed: int, name: str) -> dict[str, float | None]:
    """Make a critic of a warm start, and measure it: its area under the curve on tables of their own, by kind."""
    critic = LearnedCritic(warm_policy(plan, folder, seed), name=name)
    first = _LESSON_SEEDS[name] + seed
    gold, spoilt = lessons(plan, critic_questions("train", plan.critic_tables), first)
    episodes = [*gold, *(episode for replies in spoilt.values() for episode, _ in replies)]
    oracle = OracleCritic(critic_questions("train", plan.critic_tables))
    critic.fit(
        episodes,
        oracle.judge(episodes),
        learner=_falling(plan.critic_rate),
        epochs=plan.critic_epochs,
        rows=plan.shown_rows,
        seed=first,
    )
    critic.save(model_folder(folder, seed, name))
    unseen = lessons(plan, critic_questions("validation", plan.test_tables), first)
    return {f"AUC of the {name}, {kind}": found for kind, found in auc_per_kind(critic, *unseen).items()}


def critic_questions(split: str, per_level: int) -> TableDataset:
    """What critics are shown: arithmetic too, which the policies are not asked for."""
    return load_tables(
        SYNTHETIC, level=_CRITIC_LEVELS, kinds=_CRITIC_KINDS, split=split, tasks_per_level=per_level, size="tiny"
    )


def lessons(plan: TablePlan, dataset: TableDataset, seed: int) -> tuple[list[Episode], Spoilt]:
    """Gold traces, and as many of each kind with one thing wrong as the rarest kind allows."""
    tasks = list(dataset.tasks)
    factory = environments(plan, dataset)

    def played(kinds: Sequence[str], share: float) -> list[Episode]:
        player = SlipperyAgent(dataset, kinds, share)
        return collect_all(factory, player, [Assignment(task, seed) for task in tasks], concurrency=256)

    oracle = OracleCritic(dataset)
    found: dict[str, list[tuple[Episode, int]]] = {}
    for kind in PERTURBED:
        replies = played((kind,), 1.0)
        marks = [first_fault(judgement) for judgement in oracle.judge(replies)]
        found[kind] = [(item, place) for item, place in zip(replies, marks, strict=True) if place is not None]
    fewest = min(map(len, found.values()))
    # Every level is there: neighbours are of one level.
    return played((), 0.0), {kind: _evenly(replies, fewest) for kind, replies in found.items()}


def first_fault(judgement: Judgement) -> int | None:
    """The first step that does not hold; None where all do."""
    return next((place for place, step in enumerate(judgement.steps) if step.score < 0.5), None)


def _evenly(items: Sequence[tuple[Episode, int]], number: int) -> list[tuple[Episode, int]]:
    return [items[index * len(items) // number] for index in range(number)]


def _learn(
    plan: TablePlan, policy: Any, shown: Sequence[Episode], rate: float, epochs: int, seed: int
) -> list[dict[str, Any]]:
    batch = transcribe(policy, shown)
    return fine_tune(policy, batch, learner=_falling(rate), epochs=epochs, rows=plan.shown_rows, seed=seed)


def _falling(rate: float) -> LearnerConfig:
    return LearnerConfig(learning_rate=rate, schedule="linear", warmup=30, betas=(0.9, 0.98))


def _untrained(plan: TablePlan, shown: Sequence[Episode], seed: int) -> tuple[Any, Any]:
    """Model and tokenizer."""
    texts = episode_texts(shown[:: max(len(shown) // 200, 1)])
    tokenizer = fit_tokenizer(texts, vocabulary_size=160, phrase_share=None, piece_length=1, phrases=PHRASES)
    size: dict[str, Any] = {"layers": plan.layers, "width": plan.width, "context": CONTEXT, "seed": seed}
    if plan.observation == "symbols":
        return tiny_causal_lm(tokenizer, **size), tokenizer
    from fogline.agents.policies.tiny_vision import seeing_tokenizer, tiny_vision_lm

    seeing = seeing_tokenizer(tokenizer)
    tower: dict[str, Any] = {"vision_layers": plan.vision_layers, "vision_width": plan.vision_width}
    return tiny_vision_lm(seeing, image_size=IMAGE, patch=CELL, **size, **tower), seeing


def _policy(plan: TablePlan, model: Any, tokenizer: Any, name: str) -> Any:
    settings: dict[str, Any] = {"max_new_tokens": plan.longest, "rules": False, "name": name}
    if plan.observation == "symbols":
        from fogline.agents.policies.language import CausalLMPolicy

        return CausalLMPolicy(model, tokenizer, **settings)
    from fogline.agents.policies.vision import VisionLMPolicy

    return VisionLMPolicy(model, tokenizer, freeze_sight=True, **settings)
