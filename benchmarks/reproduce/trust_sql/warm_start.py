"""Supervised warm starts: sloppy annotators, relettered so that no name is learned, one model per form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.trust_sql_demonstrations import demonstrate, relettered
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.trust_sql.plan import FORMS, Plan
from fogline.benchmarks.reproduce.trust_sql.world import databases, environments, measured
from fogline.core.episode import Episode
from fogline.simulators.databases.records import TextToSQLDataset
from fogline.simulators.databases.shelf import Shelf
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune, transcribe

_FITTED = 400


def model_folder(folder: Path, form: str) -> Path:
    """Where the warm start of a form is kept."""
    return folder / "models" / form.replace(" ", "-").replace(",", "")


def warm_start(plan: Plan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """Demonstrate, fit a tokenizer, train, save, measure on validation and test."""
    shown, lessons, complaint = demonstrated(plan, cell.arm, cell.seed)
    tokenizer = fit_tokenizer(episode_texts(shown[:_FITTED], rules=[complaint]), vocabulary_size=512)
    model = tiny_causal_lm(tokenizer, context=plan.max_context, seed=cell.seed)
    policy = CausalLMPolicy(model, tokenizer, max_new_tokens=plan.max_new_tokens, rules=False)
    settings = LearnerConfig(
        learning_rate=plan.sft_learning_rate, schedule="linear", warmup=30, betas=(0.9, 0.98), max_gradient_norm=1.0
    )
    batch = transcribe(policy, lessons, "")
    rows = fine_tune(policy, batch, learner=settings, epochs=1, rows=plan.sft_rows, seed=cell.seed)
    policy.save(model_folder(folder, cell.arm))
    test = databases("test", plan.test_databases, plan.test_questions)
    found = measured(policy, environments(plan, cell.arm, test), test)
    curve = [[row["update"], row["loss"]] for row in rows[:: max(len(rows) // 20, 1)]]
    return {"metrics": {**found, "demonstrations": float(len(shown))}, "curves": {"loss": curve}}


def demonstrated(plan: Plan, form: str, seed: int) -> tuple[list[Episode], list[Episode], str]:
    """What the annotators did, the lessons made of it, and the complaint of the environment that neither holds."""
    source = databases("sft", plan.sft_databases, plan.sft_questions)
    shown = demonstrate(source, [Assignment(task, seed) for task in source.tasks], shelf=Shelf(), **FORMS[form])
    lessons = [
        relettered(episode, "sft", np.random.default_rng([seed, copy, number]))
        for copy in range(plan.sft_copies)
        for number, episode in enumerate(shown)
    ]
    return shown, lessons, _complaint(plan, form, source)


def _complaint(plan: Plan, form: str, dataset: TextToSQLDataset) -> str:
    """What the environment answers to a turn that it cannot read; no demonstration shows it."""
    env = environments(plan, form, dataset)()
    env.reset(seed=0)
    answer = str(env.step("nothing")[0])
    env.close()
    return answer
