"""Where every method begins: a tiny model that imitated a solver who errs, so that it can more than it does.

The most likely answer is right far more often than a sampled one. That gap is what learning by reward closes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from fogline.agents.agent import Agent
from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.countdown import CountdownAgent
from fogline.agents.scripted.math_reasoning import NoisyAgent
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.experiment import ACCURACY, WARM
from fogline.benchmarks.reproduce.math_reasoning.plan import GREEDY, PASS, MathPlan
from fogline.core.episode import Episode
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune, transcribe

_SHOWN_SEED, _TEST_SEED = 70_000_000, 80_000_000
_SOLVERS: Mapping[str, Callable[[float], Agent]] = {"arithmetic": NoisyAgent, "countdown": CountdownAgent}


def model_folder(folder: Path, seed: int) -> Path:
    """Where the warm start of a seed is kept."""
    return folder / "models" / f"seed-{seed}"


def warm_policy(plan: MathPlan, folder: Path, seed: int, name: str = WARM) -> CausalLMPolicy:
    """The warm start of a seed."""
    return CausalLMPolicy(str(model_folder(folder, seed)), max_new_tokens=plan.longest, rules=False, name=name)


def warm_start(plan: MathPlan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """Demonstrate, train, save, measure."""
    dataset = plan.dataset("train", plan.shown_problems)
    first = _SHOWN_SEED + cell.seed * plan.shown_samples
    wanted = [Assignment(task, first + sample) for sample in range(plan.shown_samples) for task in dataset.tasks]
    shown = collect_all(plan.environments(dataset), _SOLVERS[plan.source](plan.error), wanted, concurrency=256)
    # Boilerplate and pieces of words are for text; here every character is a token.
    tokenizer = fit_tokenizer(episode_texts(shown[:200]), vocabulary_size=128, phrase_share=2.0, piece_length=1)
    model = tiny_causal_lm(tokenizer, layers=plan.layers, width=plan.width, context=64, seed=cell.seed, induction=False)
    policy = CausalLMPolicy(model, tokenizer, max_new_tokens=plan.longest, rules=False)
    settings = LearnerConfig(learning_rate=plan.shown_rate, schedule="linear", warmup=50, betas=(0.9, 0.98))
    batch = transcribe(policy, shown)
    rows = fine_tune(policy, batch, learner=settings, epochs=plan.shown_epochs, rows=plan.shown_rows, seed=cell.seed)
    policy.save(model_folder(folder, cell.seed))
    curve = [[row["update"], row["loss"]] for row in rows[:: max(len(rows) // 20, 1)]]
    return {"metrics": measured(policy, plan, "test"), "curves": {"loss": curve}}


def measured(policy: CausalLMPolicy, plan: MathPlan, split: str) -> dict[str, float]:
    """Accuracy of a policy on a split: sampled, one right of k, most likely."""
    sampled = _right(sampled_answers(policy, plan, split))
    greedy = _right(_answers(policy, plan, split, 1, greedy=True))
    return {
        ACCURACY: fmean(fmean(right) for right in sampled),
        PASS: fmean(max(right) for right in sampled),
        GREEDY: fmean(right[0] for right in greedy),
    }


def accuracy(policy: CausalLMPolicy, plan: MathPlan) -> float:
    """Mean over the test problems of one sampled answer each: a point of a curve."""
    return fmean(right[0] for right in _right(_answers(policy, plan, "test", 1, greedy=False)))


def sampled_answers(policy: CausalLMPolicy, plan: MathPlan, split: str) -> list[list[Episode]]:
    """Sampled answers to each problem of a split."""
    return _answers(policy, plan, split, plan.test_samples, greedy=False)


def _right(answers: Sequence[Sequence[Episode]]) -> list[list[float]]:
    """1 or 0 for each answer to each problem."""
    return [[float(episode.outcome["correct"]) for episode in group] for group in answers]


def _answers(policy: CausalLMPolicy, plan: MathPlan, split: str, samples: int, *, greedy: bool) -> list[list[Episode]]:
    dataset = plan.dataset(split, plan.test_problems)
    before = policy.greedy
    policy.greedy = greedy
    wanted = [Assignment(task, _TEST_SEED + sample) for task in dataset.tasks for sample in range(samples)]
    try:
        episodes = collect_all(plan.environments(dataset), policy, wanted, concurrency=512)
    finally:
        policy.greedy = before
    return [list(group) for _, group in groupby(episodes, key=lambda episode: episode.task_id)]
