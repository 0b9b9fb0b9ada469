"""DuCA in words: a tiny causal language model, warm-started on the scripted seller's calls, then trained in text mode.

Three ways to spend the same number of optimiser steps on the same warm start: more imitation, HIAN, and GRPO on the
summed reward. Resumable by arm and seed, like all reproductions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fogline.agents.collector import EnvFactory, collect_all
from fogline.agents.environments import make_environment, task_ids_of
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.sales_dialogue import ScriptedSeller
from fogline.benchmarks.reproduce import ReproduceConfig
from fogline.benchmarks.reproduce.cells import Cell, CellResult, Progress, run_cells
from fogline.benchmarks.reproduce.duca.plan import ENVIRONMENT, PAPER, Arm, hian, summed
from fogline.benchmarks.reproduce.results import Claim, Findings, Published, arms_of, curve_of, failures_of, judge
from fogline.core.episode import Episode
from fogline.core.errors import InfrastructureError
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.measuring import measure
from fogline.trainers.recipes import make_recipe
from fogline.trainers.sft import fine_tune, transcribe
from fogline.trainers.trainer import Trainer

WARM, IMITATION = "warm start", "imitation, equal steps"
_SURROGATE: Mapping[str, Any] = {"clip_low": 0.2, "clip_high": 0.2}
LEARNED: Mapping[str, Arm] = {
    hian(1.0): Arm("duca", _SURROGATE),
    summed(1.0): Arm("grpo", {**_SURROGATE, "aggregation": "token-mean", "ddof": 0}),
    summed(10.0): Arm("grpo", {**_SURROGATE, "aggregation": "token-mean", "ddof": 0}, 10.0),
}
TEST_SEED, DEMONSTRATION_SEED = 50_000_000, 60_000_000
_METRICS = (
    "conversion",
    "repetition",
    "detected",
    "hung_up",
    "breached",
    "turns",
    "fluency",
    "identity",
    "malformed",
    "distinct_2",
)


def _claims(baseline: str) -> tuple[Claim, ...]:
    source = "abstract, relative to GRPO; another environment"
    return (
        Claim(
            metric="conversion",
            arm=hian(1.0),
            baseline=baseline,
            paper=Published(direction="not lower", source=source),
            margin=0.02,
        ),
        Claim(
            metric="conversion", arm=hian(1.0), baseline=baseline, paper=Published(direction="higher", source=source)
        ),
        Claim(
            metric="repetition",
            arm=hian(1.0),
            baseline=baseline,
            paper=Published(direction="lower", source=source),
            relative=True,
        ),
        Claim(
            metric="detected",
            arm=hian(1.0),
            baseline=baseline,
            paper=Published(direction="lower", source=source),
            relative=True,
        ),
    )


CLAIMS: tuple[Claim, ...] = tuple(
    claim for baseline in (IMITATION, summed(1.0), summed(10.0)) for claim in _claims(baseline)
)


class TextPlan(BaseModel):
    """Budgets; the full and the quick form differ in nothing else.

    Attributes:
        domain: The product that is sold.
        scenarios: Customers to train on, and others to measure on.
        imitation_samples: Calls of the scripted seller with each customer.
        imitation_epochs: Passes over them, for the warm start.
        imitation_rows: Calls per step.
        imitation_rate: Learning rate of imitation.
        vocabulary_size: Of the tokenizer.
        max_context: Longest call, in tokens.
        max_new_tokens: Longest turn, in tokens.
        tasks_per_update: Customers of a batch.
        group_size: Calls with each.
        updates: Batches; each is one pass in ``minibatches`` steps.
        minibatches: Optimiser steps of a batch; imitation takes ``updates · minibatches`` steps more.
        test_samples: Calls with each customer that measures, sampled as in training.
        seeds: Of the arms.
        tuning_seeds: Of the choice of learning rates.
        learning_rates: Candidates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    domain: str = "gym-membership"
    scenarios: int = 128
    imitation_samples: int = 8
    imitation_epochs: int = 12
    imitation_rows: int = 16
    imitation_rate: float = 3e-3
    vocabulary_size: int = 768
    max_context: int = 1024
    max_new_tokens: int = 64
    tasks_per_update: int = 8
    group_size: int = 8
    updates: int = 40
    minibatches: int = 2
    test_samples: int = 2
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    tuning_seeds: tuple[int, ...] = (100,)
    learning_rates: tuple[float, ...] = (1e-4, 3e-4)

    def shapes(self) -> dict[str, Any]:
        """What shapes a run; seeds and candidates do not."""
        return self.model_dump(mode="json", exclude={"seeds", "tuning_seeds", "learning_rates"})

    def stated(self) -> dict[str, Any]:
        """Seeds, margins and rules in words."""
        return {
            "seeds": list(self.seeds),
            "margins": {"conversion": "not lower: the 95% interval stays above -2% (absolute)"},
            "tuning": (
                f"learning rate of each arm that learns by reward from {list(self.learning_rates)} by conversion - "
                f"repetition - detected on validation customers over seeds {list(self.tuning_seeds)}, with the budget "
                "of the arms; imitation goes on at its own rate"
            ),
            "budget": "equal optimiser steps from one shared warm start; equal calls for the arms that learn by reward",
        }

    def environments(self, split: str, scale: float = 1.0) -> EnvFactory:
        """Calls in text mode."""
        return partial(
            make_environment,
            ENVIRONMENT,
            {"domain": self.domain, "scenarios": self.scenarios, "split": split, "session_scale": scale},
        )


FULL = TextPlan()
QUICK = TextPlan(
    scenarios=16,
    imitation_samples=4,
    imitation_epochs=1,
    tasks_per_update=2,
    group_size=4,
    updates=2,
    test_samples=1,
    seeds=(0,),
    learning_rates=(1e-4,),
)


def reproduce(config: ReproduceConfig, progress: Progress) -> Findings:
    """Warm start, tuning, arms, verdicts.

    Raises:
        InfrastructureError: The warm start or every tuning run of an arm failed: nothing can follow.
    """
    plan = QUICK if config.quick else FULL
    if config.seeds:
        plan = plan.model_copy(update={"seeds": config.seeds})
    folder = config.cells_folder

    def run(stage: str, cells: list[Cell], function: Any, shapes: Mapping[str, Any]) -> list[CellResult]:
        return run_cells(
            cells,
            function,
            folder / stage,
            config=shapes,
            workers=config.workers,
            resume=config.resume,
            on_progress=progress,
        )

    warm = run("warm", [Cell(WARM, 0)], partial(warm_start, plan, folder / "warm"), plan.shapes())
    for failure in failures_of(warm):
        raise InfrastructureError(f"the warm start failed ({failure.error}): see its file in {folder / 'warm'}.")
    trials = {f"{name}@{rate:g}": rate for name in LEARNED for rate in plan.learning_rates}
    train = partial(train_arm, plan, folder / "warm")
    tuning = run(
        "tuning",
        [Cell(name, seed) for name in trials for seed in plan.tuning_seeds],
        partial(train, trials),
        plan.shapes(),
    )
    rates = _rates(tuning)
    cells = run(
        "arms",
        [Cell(name, seed) for name in (IMITATION, *LEARNED) for seed in plan.seeds],
        partial(train, rates),
        {**plan.shapes(), "rates": rates},
    )
    arms = arms_of(cells)
    ran = {arm.name for arm in arms}
    return Findings(
        system="duca, in text",
        claim=(
            "From one warm start, HIAN makes a language model convert more than imitation of equal steps, and no less "
            "than GRPO on the summed reward, with less repetition and detection"
        ),
        paper=dict(PAPER),
        config={"quick": config.quick, **plan.model_dump(mode="json")},
        plan={"rates_chosen": rates, **plan.stated()},
        arms=(*arms_of(warm), *arms),
        comparisons=judge(arms, CLAIMS),
        curves=tuple(curve_of(cells, name, "train/conversion", "updates") for name in LEARNED if name in ran),
        failures=failures_of(cells),
        notes=(
            "The model has some 300,000 weights and is trained from scratch: this is another world than the paper's.",
            "All arms begin with the same warm start; seeds differ in customers, their order and sampling.",
        ),
    )


def warm_start(plan: TextPlan, folder: Path, cell: Cell) -> Mapping[str, Any]:
    """Imitate the scripted seller, save the model, measure it."""
    shown = demonstrations(plan)
    tokenizer = fit_tokenizer(episode_texts(shown[:400]), vocabulary_size=plan.vocabulary_size)
    model = tiny_causal_lm(tokenizer, context=plan.max_context, seed=cell.seed)
    policy = CausalLMPolicy(model, tokenizer, max_new_tokens=plan.max_new_tokens, rules=False)
    _imitate(policy, shown, plan, plan.imitation_epochs, cell.seed)
    policy.save(folder / "model")
    return {"metrics": measured(policy, plan, "test"), "curves": {}}


def train_arm(plan: TextPlan, folder: Path, rates: Mapping[str, float], cell: Cell) -> Mapping[str, Any]:
    """One arm from the warm start; tuning runs are told by their names' ``@`` and measured on validation customers."""
    name, tuning, _ = cell.arm.partition("@")
    policy = CausalLMPolicy(str(folder / "model"), max_new_tokens=plan.max_new_tokens, rules=False, name=name)
    if name == IMITATION:
        _imitate(policy, demonstrations(plan), plan, 0, cell.seed)
        return {"metrics": measured(policy, plan, "test"), "curves": {}}
    arm = LEARNED[name]
    factory = plan.environments("train", arm.scale)
    env = factory()
    tasks = task_ids_of(env)
    env.close()
    with tempfile.TemporaryDirectory() as place:
        trainer = Trainer(
            policy,
            make_recipe(arm.recipe, **arm.options),
            _settings(plan, arm, cell.seed, rates[cell.arm], place),
            factory,
            tasks,
        )
        rows = [trainer.step() for _ in range(plan.updates)]
        trainer.close()
    metrics = measured(policy, plan, "validation" if tuning else "test")
    metrics |= {"env_steps": float(rows[-1]["env_steps"]), "train_s": float(rows[-1]["wall_s"])}
    curve = [[row["update"], row["train/conversion"]] for row in rows if "train/conversion" in row]
    return {"metrics": metrics, "curves": {"train/conversion": curve}}


def demonstrations(plan: TextPlan) -> list[Episode]:
    """The scripted seller's calls with the customers of the training split."""
    factory = plan.environments("train")
    env = factory()
    tasks = task_ids_of(env)
    env.close()
    wanted = [
        Assignment(task, DEMONSTRATION_SEED + sample) for sample in range(plan.imitation_samples) for task in tasks
    ]
    return collect_all(factory, ScriptedSeller(plan.domain), wanted, concurrency=64)


def measured(policy: CausalLMPolicy, plan: TextPlan, split: str) -> dict[str, float | None]:
    """Means over calls with customers of a split, sampled as in training."""
    factory = plan.environments(split)
    env = factory()
    tasks = task_ids_of(env)
    env.close()
    wanted = [Assignment(task, TEST_SEED + sample) for sample in range(plan.test_samples) for task in tasks]
    means = measure(factory, policy, wanted, greedy=False, concurrency=64)
    return {name: means.get(name) for name in (*_METRICS, "agent_error")}


def _imitate(policy: CausalLMPolicy, shown: list[Episode], plan: TextPlan, epochs: int, seed: int) -> None:
    """The warm start's passes; with ``epochs=0`` as many steps as the other arms take."""
    settings = LearnerConfig(learning_rate=plan.imitation_rate, betas=(0.9, 0.98), micro_batch=16)
    if epochs:
        settings = settings.model_copy(update={"schedule": "linear", "warmup": 20})
    else:
        epochs = 1
        settings = settings.model_copy(update={"learning_rate": plan.imitation_rate / 10})
        shown = shown[: plan.updates * plan.minibatches * plan.imitation_rows]
    batch = transcribe(policy, shown)
    fine_tune(policy, batch, learner=settings, epochs=epochs, rows=plan.imitation_rows, seed=seed)


def _settings(plan: TextPlan, arm: Arm, seed: int, rate: float, folder: str) -> TrainConfig:
    return TrainConfig(
        recipe=arm.recipe,
        env=ENVIRONMENT,
        options=dict(arm.options),
        updates=plan.updates,
        seed=seed,
        rollout=RolloutConfig(tasks_per_update=plan.tasks_per_update, group_size=plan.group_size),
        learner=LearnerConfig(
            learning_rate=rate, betas=(0.9, 0.98), warmup=4, minibatches=plan.minibatches, micro_batch=16
        ),
        out=folder,
        resume=False,
    )


def _rates(tuning: list[CellResult]) -> dict[str, float]:
    """The learning rate of each arm with the best score; ties go to the smaller."""
    scores: dict[str, dict[float, float]] = {}
    for arm in arms_of(tuning):
        name, _, rate = arm.name.partition("@")
        columns = [list(arm.known(metric).values()) for metric in ("conversion", "repetition", "detected")]
        if all(columns):
            conversion, repetition, detected = (sum(values) / len(values) for values in columns)
            scores.setdefault(name, {})[float(rate)] = conversion - repetition - detected
    missing = sorted(set(LEARNED) - set(scores))
    if missing:
        raise InfrastructureError(f"every tuning run of {missing[0]!r} failed: see the files of the stage 'tuning'.")
    return {name: max(found, key=lambda rate: (found[rate], -rate)) for name, found in scores.items()}
