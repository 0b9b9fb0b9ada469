"""A second tool-use skill after the first: students who query databases learn the calculator, and may forget.

The first skill is TrustSQL-v0 in pocket databases, the second MathReasoning-v0 with its calculator. A student begins
with many demonstrations of the first and a few of the second. Its teacher knows the second skill alone, and training
plays nothing else; what is left of the first is measured afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.math_reasoning import CalculatorAgent
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.aopd_retention.plan import FIRST, SPECIALIST, Plan
from fogline.benchmarks.reproduce.cells import Cell, CellResult, Progress
from fogline.benchmarks.reproduce.distillation import TEACHER_SEED, open_teacher
from fogline.benchmarks.reproduce.experiment import Method
from fogline.benchmarks.reproduce.math_reasoning import math_experiment
from fogline.benchmarks.reproduce.math_reasoning.warm_start import measured, model_folder, warm_policy
from fogline.benchmarks.reproduce.trust_sql import world as trust_sql
from fogline.benchmarks.reproduce.trust_sql.plan import HIDDEN
from fogline.benchmarks.reproduce.trust_sql.warm_start import demonstrated
from fogline.core.episode import Episode
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune, transcribe

_FITTED = 300
"""Episodes of each skill that the tokenizer is fitted to."""
_SHARE = 0.25
"""A phrase that one skill repeats in every other episode is boilerplate, though the other skill never says it."""


def adapt(
    plan: Plan, methods: Mapping[str, Method], config: ReproduceConfig, progress: Progress
) -> tuple[list[CellResult], list[CellResult], dict[str, float]]:
    """The specialist who teaches, then warm starts and arms.

    Returns:
        Starts (the specialist's among them), arms, and their learning rates.

    Raises:
        InfrastructureError: A warm start failed: nothing can follow.
    """
    above = math_experiment(plan, {}, config, progress, place=SPECIALIST, begin=specialist)
    starts = [replace(cell, arm=SPECIALIST) for cell in above.warm_starts((TEACHER_SEED,))]
    folder = above.folder / "warm"
    students = math_experiment(
        plan,
        methods,
        config,
        progress,
        place="students",
        teacher=partial(open_teacher, plan, folder),
        more=first_skill,
        begin=partial(begin_with_two, folder),
    )
    starts += students.warm_starts()
    rates = students.rates()
    return starts, students.arms(rates, dict.fromkeys(methods, plan.seeds)), rates


def specialist(plan: Plan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """Who knows the calculator alone; everybody has its tokenizer, which is fitted to both skills."""
    shown, _, complaint = demonstrated(plan.first, HIDDEN, cell.seed)
    calls = calculated(plan, plan.specialist_problems)
    texts = episode_texts([*shown[:_FITTED], *calls[:: max(len(calls) // _FITTED, 1)]], rules=[complaint])
    tokenizer = fit_tokenizer(texts, vocabulary_size=512, phrase_share=_SHARE)
    policy = _learned(plan, tokenizer, calls, plan.specialist_epochs, cell.seed)
    policy.save(model_folder(folder, cell.seed))
    return {"metrics": measured(policy, plan, "test")}


def begin_with_two(teachers: Path, plan: Plan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """A student: many demonstrations of the first skill, a few of the second."""
    _, lessons, _ = demonstrated(plan.first, HIDDEN, cell.seed)
    tokenizer = warm_policy(plan, teachers, TEACHER_SEED).tokenizer
    policy = _learned(plan, tokenizer, [*lessons, *calculated(plan, plan.shown_problems)], 1, cell.seed)
    policy.save(model_folder(folder, cell.seed))
    return {"metrics": {**measured(policy, plan, "test"), **first_skill(policy, plan, "test")}}


def calculated(plan: Plan, per_level: int) -> list[Episode]:
    """Demonstrations of the calculator."""
    dataset = plan.dataset("train", per_level)
    wanted = [Assignment(task, 0) for task in dataset.tasks]
    return collect_all(plan.environments(dataset), CalculatorAgent(), wanted, concurrency=256)


def first_skill(policy: CausalLMPolicy, plan: Any, split: str) -> Mapping[str, float | None]:
    """Greedy execution accuracy in databases of a split."""
    databases = trust_sql.databases(split, plan.first.test_databases, plan.first.test_questions)  # type: ignore[arg-type]
    found = trust_sql.measured(policy, trust_sql.environments(plan.first, HIDDEN, databases), databases)
    return {FIRST: found["ex"]}


def _learned(plan: Plan, tokenizer: Any, shown: Sequence[Episode], epochs: int, seed: int) -> CausalLMPolicy:
    first = plan.first
    model = tiny_causal_lm(tokenizer, context=first.max_context, seed=seed)
    policy = CausalLMPolicy(model, tokenizer, max_new_tokens=plan.longest, rules=False)
    settings = LearnerConfig(learning_rate=first.sft_learning_rate, schedule="linear", warmup=30, betas=(0.9, 0.98))
    fine_tune(policy, transcribe(policy, shown), learner=settings, epochs=epochs, rows=first.sft_rows, seed=seed)
    return policy
