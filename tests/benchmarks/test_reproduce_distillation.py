"""AOPD and SCOPE run again: plans of one piece, the exploration test, one cell of each kind."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from micro_arithmetic import MICRO

from fogline.benchmarks.reproduce import ReproduceConfig, aopd, aopd_retention, scope
from fogline.benchmarks.reproduce.aopd import plan as of_aopd
from fogline.benchmarks.reproduce.aopd.recovery import recover
from fogline.benchmarks.reproduce.aopd_retention import plan as of_retention
from fogline.benchmarks.reproduce.aopd_retention.two_skills import begin_with_two, calculated, first_skill, specialist
from fogline.benchmarks.reproduce.cells import Cell
from fogline.benchmarks.reproduce.distillation import (
    TEACHER_SEED,
    at_equal_rates,
    both,
    claims_at_equal_rates,
    open_teacher,
)
from fogline.benchmarks.reproduce.distillation.plan import STRENGTHS, STRONG, WEAK, DistillationPlan, of
from fogline.benchmarks.reproduce.experiment import ACCURACY, Method
from fogline.benchmarks.reproduce.math_reasoning.plan import ENTROPY, PASS
from fogline.benchmarks.reproduce.math_reasoning.training import IMITATED, train_method
from fogline.benchmarks.reproduce.math_reasoning.warm_start import WARM, sampled_answers, warm_policy, warm_start
from fogline.benchmarks.reproduce.results import Arm, Published, claimed
from fogline.benchmarks.reproduce.scope import plan as of_scope
from fogline.benchmarks.reproduce.scope import variety
from fogline.benchmarks.reproduce.scope.concentration import concentration, effective_share
from fogline.benchmarks.reproduce.trust_sql import plan as of_trust_sql
from fogline.trainers.recipes import make_recipe
from fogline.trainers.teachers import LocalTeacher, check_teacher

PLAN = DistillationPlan(**{**MICRO, "teacher_width": 48, "teacher_epochs": 8})


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    warm_start(PLAN.of_teacher(), folder, Cell(WARM, TEACHER_SEED))
    return folder


@pytest.mark.parametrize("module", [of_aopd, of_scope, of_retention])
def test_quick_and_full_differ_in_budget_only(module: Any) -> None:
    assert type(module.QUICK) is type(module.FULL)
    assert len(module.FULL.seeds) >= 5
    assert not set(module.FULL.seeds) & set(module.FULL.tuning_seeds)
    later = getattr(module, "AFTERWARDS", {})
    named = {*both((*module.METHODS, *later)), *of_aopd.RECOVERY.values(), WARM, *of_retention.METHODS}
    claims = (*module.CLAIMS, *getattr(module, "CLAIMS_AFTERWARDS", ()))
    assert {claim.arm for claim in claims} | {claim.baseline for claim in claims} <= named
    assert set(both(("x",))) == {f"x, {strength}" for strength in STRENGTHS}


def test_a_weak_start_has_seen_less_and_the_teacher_more() -> None:
    full = of_aopd.FULL

    def seen(plan: DistillationPlan) -> int:
        return plan.shown_problems * plan.shown_samples * plan.shown_epochs

    assert seen(full.student(WEAK)) < seen(full.student(STRONG)) < seen(full.of_teacher())
    assert full.of_teacher().error == 0 < full.student(WEAK).error


def test_every_ablation_of_scope_is_an_arm() -> None:
    options = {name: make_recipe(method.recipe, **method.options).options for name, method in of_scope.METHODS.items()}
    weights = {
        (found["student_weight"], found["teacher_weight"]) for found in options.values() if "student_weight" in found
    }
    assert weights == {
        ("perplexity", "inverse-perplexity"),
        ("uniform", "uniform"),
        ("uniform", "inverse-perplexity"),
        ("perplexity", "uniform"),
        ("inverse-perplexity", "inverse-perplexity"),
        ("perplexity", "perplexity"),
    }
    assert options[of_scope.OVER_AOPD]["wrong_loss"] == "aopd"


def test_aopd_recovers_what_opd_does_not() -> None:
    plan = of_aopd.QUICK
    aopd_steps, opd_steps = (
        recover(plan, Cell(of_aopd.RECOVERY[name], 0))["metrics"] for name in (of_aopd.AOPD, of_aopd.OPD)
    )
    assert aopd_steps == {of_aopd.STEPS: pytest.approx(38, abs=8), of_aopd.RECOVERED: 1.0}
    assert opd_steps == {of_aopd.STEPS: plan.recovery_limit + 1, of_aopd.RECOVERED: 0.0}


def test_the_teacher_fits_its_students(teacher_folder: Path, warm_folder: Path) -> None:
    teacher = open_teacher(PLAN, teacher_folder)
    for name in {*of_aopd.METHODS, *of_scope.METHODS} - {of_aopd.SEQ_KD}:
        method = {**of_aopd.METHODS, **of_scope.METHODS}[name]
        teaching = make_recipe(method.recipe, **method.options).teaching
        if teaching is not None:
            check_teacher(teacher, warm_policy(PLAN, warm_folder, 0), teaching)


@pytest.mark.parametrize(
    "name", [of_aopd.AOPD, of_aopd.EXOPD, of_aopd.GRPO, of_aopd.SEQ_KD, of_scope.SCOPE, of_scope.OVER_AOPD]
)
def test_a_cell_of_each_kind(name: str, teacher_folder: Path, warm_folder: Path) -> None:
    methods = {**of_aopd.METHODS, **of_scope.METHODS}
    found = train_method(
        PLAN,
        methods,
        {methods[name].tuned_as or name: 1e-3},
        warm_folder,
        Cell(name, 0),
        teacher=lambda: LocalTeacher(warm_policy(PLAN, teacher_folder, TEACHER_SEED)),
        more=variety,
    )
    assert {ACCURACY, PASS, ENTROPY, of_scope.SPREAD, of_scope.DISTINCT} <= set(found["metrics"])
    assert found["metrics"]["episodes"] == PLAN.updates * PLAN.tasks_per_update * PLAN.group_size
    assert [point[0] for point in found["curves"][ACCURACY]] == [0, 1, 2]
    assert (IMITATED in found["metrics"]) == (name == of_aopd.AOPD)


def test_a_rival_with_another_rate_runs_at_the_methods_own_as_well() -> None:
    methods = {"a": Method("aopd"), "b": Method("opd"), "c": Method("scope", tuned_as="b"), "d": Method("gkd")}
    rivals = (("a", "b"), ("a", "d"), ("c", "d"), ("c", "b"))
    controls = at_equal_rates(methods, {"a": 1e-3, "b": 1e-4, "d": 1e-3}, rivals)
    assert controls == {
        "b at the rate of a": Method("opd", tuned_as="a"),
        "d at the rate of c": Method("gkd", tuned_as="b"),
    }
    claims = [
        claimed("m", of(arm, label), of(rival, label), "higher", "a table", 0.1, margin=0.02)
        for arm, rival in rivals
        for label in STRENGTHS
    ]
    arms = [Arm(name=of("b at the rate of a", STRONG), seeds=(0,), metrics={"m": (1.0,)})]
    (again,) = claims_at_equal_rates(claims, rivals, STRENGTHS, arms)
    assert (again.arm, again.baseline) == ("a, strong", "b at the rate of a, strong")
    assert again.paper == Published(direction="higher", difference=0.1, source="a table; at equal rates")
    assert again.margin == 0.02


def test_variety_counts_each_right_answer_once(teacher_folder: Path) -> None:
    plan = PLAN.model_copy(update={"source": "countdown", "levels": (1, 1), "test_problems": 4, "longest": 6})
    policy = warm_policy(plan, teacher_folder, TEACHER_SEED)
    found = variety(policy, plan, "train")
    groups = sampled_answers(policy, plan, "train")
    expected = [len({answer.turns[0].action for answer in group if answer.outcome["correct"]}) for group in groups]
    assert found[of_scope.DISTINCT] == fmean(expected)


def test_what_weights_rest_on_is_their_effective_number() -> None:
    group = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    weights = torch.tensor([0.25, 0.25, 0.25, 0.25, 1.0, 0.0, 1.0])
    assert effective_share(weights, group) == pytest.approx((1.0 + 0.5) / 2), "a single answer has nothing to share"


def test_the_weights_of_a_start_rest_on_more_at_a_higher_temperature(teacher_folder: Path, warm_folder: Path) -> None:
    found = concentration(PLAN, warm_folder, teacher_folder, Cell(of_scope.BEGINNING, 0))["metrics"]
    assert found[of_scope.SURPRISE] > 0
    flat, flatter = (found[of_scope.RESTS_ON[temperature]] for temperature in of_scope.TEMPERATURES)
    assert 0 < flat <= flatter <= 1


def test_two_skills_are_learned_from_one_tokenizer_and_both_measured(tmp_path: Path) -> None:
    small = {"sft_databases": 3, "sft_copies": 1, "test_databases": 1, "test_questions": 2, "max_turns": 3}
    plan = of_retention.Plan(
        **{**MICRO, "levels": (4, 4), "shown_problems": 4, "specialist_problems": 12},
        first=of_trust_sql.QUICK.model_copy(update=small),
    )
    taught = specialist(plan, tmp_path / "specialist", Cell(WARM, TEACHER_SEED))["metrics"]
    begun = begin_with_two(tmp_path / "specialist", plan, tmp_path, Cell(WARM, 0))["metrics"]
    assert set(begun) - set(taught) == {of_retention.FIRST}
    student, teacher = warm_policy(plan, tmp_path, 0), open_teacher(plan, tmp_path / "specialist")
    assert student.tokenizer.get_vocab() == teacher.model.tokenizer.get_vocab()  # type: ignore[attr-defined]
    assert first_skill(student, plan, "test") == {of_retention.FIRST: begun[of_retention.FIRST]}
    with_calls = [episode for episode in calculated(plan, 3) if len(episode.turns) == 2]
    assert len(with_calls) == 3 and {episode.reward for episode in with_calls} == {1.0}


def test_the_spread_where_all_are_right_is_an_entropy(warm_folder: Path) -> None:
    plan = PLAN.model_copy(update={"test_problems": 8, "test_samples": 1})
    found = variety(warm_policy(PLAN, warm_folder, 0), plan, "train")[of_scope.SPREAD]
    assert found is None or 0 < found < 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aopd", "aopd-retention", "scope"])
def test_the_quick_form_runs_whole_and_resumes(name: str, tmp_path: Path) -> None:
    module = {"aopd": aopd, "aopd-retention": aopd_retention, "scope": scope}[name]
    config = ReproduceConfig(name=name, quick=True, runs=str(tmp_path))
    first = module.reproduce(config, lambda *_: None)
    assert not first.failures
    assert module.reproduce(config, lambda *_: None) == first
