"""Distillation through the learner: every recipe against its definition, and what a teacher must be."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from gymnasium import spaces
from identity import Identity
from tabular import BigramPolicy, FreePolicy, episode, language_batch
from torch import Tensor

from fogline.agents.collector import collect_all
from fogline.agents.policies.vector import policy_for
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers import distillation, scope
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.recipe import Teaching
from fogline.trainers.recipes import RECIPES, make_recipe
from fogline.trainers.teachers import LocalTeacher, check_teacher

torch.set_num_threads(1)

DISTILLED = [name for name in RECIPES if make_recipe(name).teaching is not None]
PLAIN = LearnerConfig(max_gradient_norm=None, old_logp="sampler")
TEACHER_SEED = 11


def small(name: str) -> dict[str, Any]:
    """Settings that fit a vocabulary of five."""
    return {"top_k": 3} if "top_k" in RECIPES[name].defaults else {}


def learner(policy: Any, name: str, config: LearnerConfig = PLAIN, **options: Any) -> Learner:
    return Learner(
        policy,
        make_recipe(name, **{**small(name), **options}),
        config,
        reference=BigramPolicy(seed=7),
        teacher=LocalTeacher(BigramPolicy(seed=TEACHER_SEED)),
    )


def table_gradient(
    name: str, batch: Batch, config: LearnerConfig = PLAIN, seed: int = 0, **options: Any
) -> tuple[Tensor, dict[str, float]]:
    """Gradient of a bigram table after one update of ``batch``, and the log."""
    policy = BigramPolicy(seed=seed)
    logged = learner(policy, name, config, **options).update(batch)
    gradient = policy.module.table.grad
    assert isinstance(gradient, Tensor)
    return gradient, logged


def by_hand(loss: Any, batch: Batch, seed: int = 0) -> Tensor:
    """Gradient of ``loss(student [N,T,V], teacher [N,T,V])`` by the student's table, V-wide and in the open."""
    policy, teacher = BigramPolicy(seed=seed), BigramPolicy(seed=TEACHER_SEED)
    before = torch.cat([torch.full_like(batch.tokens[:, :1], 5), batch.tokens[:, :-1]], 1)
    student = policy.module.table.log_softmax(-1)[before]
    taught = teacher.module.table.detach().log_softmax(-1)[before]
    (gradient,) = torch.autograd.grad(loss(student, taught), policy.module.table)
    return gradient


def sampled(logp: Tensor, batch: Batch) -> Tensor:
    return logp.gather(-1, batch.tokens[..., None])[..., 0]


def counted(batch: Batch) -> Tensor:
    return batch.policy_mask & batch.valid[:, None]


def seq_mean(loss: Tensor, batch: Batch) -> Tensor:
    mask = counted(batch)
    rows = torch.where(mask, loss, 0.0).sum(1) / mask.sum(1).clamp(min=1)
    return rows[batch.valid].sum() / batch.valid.sum()


# Definitions


def test_opd_is_its_definition() -> None:
    batch = language_batch(BigramPolicy())

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return seq_mean(distillation.opd_loss(sampled(student, batch), sampled(teacher, batch), batch.old_logp), batch)

    found, logged = table_gradient("opd", batch)
    torch.testing.assert_close(found, by_hand(loss, batch))
    assert math.isfinite(logged["loss"])


@pytest.mark.parametrize("tail", ["none", "bucket"])
def test_aopd_is_its_definition(tail: str) -> None:
    batch = language_batch(BigramPolicy())

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        ids = teacher.topk(3).indices
        token = distillation.aopd_loss(
            sampled(student, batch),
            sampled(teacher, batch),
            student.gather(-1, ids),
            teacher.gather(-1, ids),
            batch.old_logp,
            tail=tail,
        )
        return seq_mean(token, batch)

    found, logged = table_gradient("aopd", batch, tail=tail)
    torch.testing.assert_close(found, by_hand(loss, batch))
    assert 0 < logged["imitated"] < 1
    assert 0 < logged["teacher_coverage"] < 1
    assert logged["advantage_rewarded"] > 0


def test_aopd_at_either_threshold_is_opd_or_imitation() -> None:
    batch = language_batch(BigramPolicy())
    opd, _ = table_gradient("opd", batch)
    torch.testing.assert_close(table_gradient("aopd", batch, gate_threshold=-1.5)[0], opd)
    whole, _ = table_gradient("gkd", batch, jsd_weight=0.0, aggregation="seq-mean-token-mean")
    everywhere, _ = table_gradient("aopd", batch, gate_threshold=1.0, top_k=5, imitation_reduction="sum")
    torch.testing.assert_close(everywhere, whole)


@pytest.mark.parametrize(
    ("name", "options", "divergence"),
    [
        ("gkd", {"jsd_weight": 0.3}, lambda p, q: distillation.generalised_jsd(p, q, 0.3)),
        ("skew-kl", {}, lambda p, q: distillation.skew_kl(p, q, 0.1)),
        ("skew-kl", {"skew_direction": "reverse"}, lambda p, q: distillation.skew_kl(p, q, 0.1, "reverse")),
    ],
)
def test_whole_divergences_are_their_definitions(name: str, options: dict[str, Any], divergence: Any) -> None:
    batch = language_batch(BigramPolicy())

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        mask = counted(batch)
        return torch.where(mask, divergence(student, teacher), 0.0).sum() / mask.sum()

    torch.testing.assert_close(table_gradient(name, batch, **options)[0], by_hand(loss, batch))


def test_scope_is_equation_six() -> None:
    batch = with_outcomes(language_batch(BigramPolicy()))

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        correct = batch.reward == 1
        weight = scope.scope_weights(
            batch.old_logp, sampled(teacher, batch), batch.policy_mask, correct, batch.group, batch.valid
        )
        token = scope.scope_loss(sampled(student, batch), batch.old_logp, sampled(teacher, batch), correct)
        rows = torch.where(counted(batch), token, 0.0).sum(1)
        return (weight * rows).sum() / len(torch.unique(batch.group[batch.valid]))

    found, logged = table_gradient("scope", batch)
    torch.testing.assert_close(found, by_hand(loss, batch))
    assert 0 < logged["correct"] < 1
    assert logged["imitation_effective"] >= 1
    assert {"correction_groups_without", "imitation_weight_largest", "correction_log_perplexity"} <= set(logged)


def test_scope_over_aopd_corrects_wrong_rows_by_aopd() -> None:
    batch = with_outcomes(language_batch(BigramPolicy()))
    wrong = replace(batch, session={**batch.session, "reward": torch.zeros_like(batch.reward)})
    uniform = {"teacher_weight": "uniform", "weight_norm": "mean", "aggregation": "seq-mean-token-mean"}
    groups = len(torch.unique(wrong.group[wrong.valid]))
    rows = int(wrong.valid.sum())
    found, _ = table_gradient("scope", wrong, wrong_loss="aopd", **uniform)
    aopd, _ = table_gradient("aopd", wrong)
    torch.testing.assert_close(found, aopd * rows / groups)


def with_outcomes(batch: Batch) -> Batch:
    """The batch with rewards of 0 and 1; one group all right, one all wrong where there are three."""
    reward = torch.arange(len(batch)) % 2
    reward = torch.where(batch.group == batch.group.max(), 1, reward)
    return replace(batch, session={**batch.session, "reward": reward.double()})


def test_kdrl_is_grpo_plus_its_divergence_and_the_weight_falls_on_a_line() -> None:
    batch = with_outcomes(language_batch(BigramPolicy()))
    weights = {"distillation_coefficient": 0.5, "final_distillation_coefficient": 0.1}
    recipe = make_recipe("kdrl", **weights)
    (term,) = (term for term in recipe.terms if term.name == "distillation")
    assert [term.weight(share) for share in (0.0, 0.5, 1.0)] == pytest.approx([0.5, 0.3, 0.1])
    grpo, _ = table_gradient("grpo", batch, aggregation="token-mean")
    alone, _ = table_gradient(
        "opd", batch, distillation_estimator="k2", distillation_gradient="direct", aggregation="token-mean"
    )
    for progress, weight in ((0.0, 0.5), (1.0, 0.1)):
        policy = BigramPolicy()
        learner(policy, "kdrl", **weights).update(batch, progress=progress)
        torch.testing.assert_close(policy.module.table.grad, grpo + weight * alone)
    skipped, _ = table_gradient("kdrl", batch, **weights, skip_correct=True)
    assert not torch.equal(skipped, table_gradient("kdrl", batch, **weights)[0])


def test_a_task_s_reward_is_added_to_what_the_teacher_says() -> None:
    batch = with_outcomes(language_batch(BigramPolicy()))
    both, _ = table_gradient("opd", batch, task_weight=0.5)
    opd, _ = table_gradient("opd", batch)
    grpo, _ = table_gradient("grpo", batch, clip_low=10.0, clip_high=10.0)
    torch.testing.assert_close(both, opd + 0.5 * grpo)
    assert make_recipe("opd").needs_groups == 1
    assert make_recipe("opd", task_weight=0.5).needs_groups == 2


def test_the_value_baseline_centres_the_credit_and_changes_no_expected_gradient() -> None:
    policy = BigramPolicy(length=1)
    rows = [episode("a", token, [([2], [token], 0.0)], policy=policy) for token in range(5)]
    likely = policy.module.table.detach().softmax(-1)[2]
    batches = [batch_of([row], policy, dtype=torch.float64) for row in rows]
    plain, baseline = (
        torch.stack([table_gradient(name, batch)[0].flatten() for batch in batches]) for name in ("opd", "vopd")
    )
    torch.testing.assert_close(likely @ plain, likely @ baseline)
    recipe = make_recipe("vopd")
    assert recipe.modulate is not None
    assert recipe.read is not None
    credit = []
    for batch in batches:
        prepared = learner(policy, "vopd").prepare(batch)
        parts = batch.tokens, batch.attention_mask, batch.policy_mask
        forward = policy.score(*parts, {}, read=recipe.read(prepared))
        own = recipe.advantage(prepared)["policy"]
        credit.append([float(recipe.modulate(own, forward, prepared, recipe.clip).sum()), float(own.sum())])
    centred, raw = torch.tensor(credit, dtype=torch.float64).T
    assert float(likely @ centred) == pytest.approx(0, abs=1e-12)
    assert float(likely @ raw) < -0.1


def test_opd_in_expectation_is_the_reverse_divergence_through_the_learner() -> None:
    policy = BigramPolicy(length=1)
    rows = [episode("a", token, [([2], [token], 0.0)], policy=policy) for token in range(5)]
    likely = policy.module.table.detach().softmax(-1)[2]
    batch = batch_of(rows[:1], policy, dtype=torch.float64)
    expected = by_hand(lambda p, q: distillation.reverse_kl(p, q)[counted(batch)].sum(), batch)
    found = torch.stack([table_gradient("opd", batch_of([row], policy, dtype=torch.float64))[0] for row in rows])
    torch.testing.assert_close((likely[:, None, None] * found).sum(0), expected)


# Every method


@pytest.mark.parametrize("name", DISTILLED)
def test_two_updates_on_texts_change_the_weights(name: str) -> None:
    policy = BigramPolicy()
    batch = with_outcomes(language_batch(policy))
    before = policy.module.table.detach().clone()
    student = learner(policy, name, LearnerConfig(epochs=2, minibatches=2, learning_rate=0.05), kl_coefficient=0.1)
    for _ in range(2):
        assert all(math.isfinite(value) for value in student.update(batch).values())
    assert not torch.equal(before, policy.module.table)
    assert policy.module.table.isfinite().all()


@pytest.mark.parametrize("name", DISTILLED)
def test_two_updates_on_vectors_change_the_weights(name: str) -> None:
    def world() -> Identity:
        return Identity(spaces.Discrete(5), length=3)

    policy = policy_for(world(), hidden=(8,))
    batch = with_outcomes(batch_of(collect_all(world, policy, [("", n) for n in range(12)]), policy))
    before = next(policy.module.parameters()).detach().clone()
    teacher = LocalTeacher(policy_for(world(), hidden=(8,), seed=5))
    student = Learner(
        policy,
        make_recipe(name, **small(name)),
        LearnerConfig(epochs=2, learning_rate=0.05),
        reference=policy.reference(),
        teacher=teacher,
    )
    for _ in range(2):
        assert all(math.isfinite(value) for value in student.update(batch).values())
    assert not torch.equal(before, next(policy.module.parameters()))


@pytest.mark.parametrize("name", DISTILLED)
def test_how_a_batch_is_split_changes_nothing(name: str) -> None:
    batch = with_outcomes(language_batch(BigramPolicy(), groups=(4, 3)))
    whole, _ = table_gradient(name, batch)
    split, _ = table_gradient(name, batch, PLAIN.model_copy(update={"micro_batch": 2}))
    torch.testing.assert_close(split, whole)


@pytest.mark.parametrize("name", ["opd", "g-opd", "iw-opd", "kdrl", "scope"])
def test_tokens_that_the_student_did_not_write_have_no_gradient(name: str) -> None:
    batch = with_outcomes(language_batch(BigramPolicy()))
    policy = FreePolicy(batch, drift=0.2)
    student = Learner(
        policy,
        make_recipe(name),
        PLAIN,
        reference=FreePolicy(batch, drift=0.3, seed=9),
        teacher=LocalTeacher(BigramPolicy(seed=TEACHER_SEED)),
    )
    student.update(policy.place(batch))
    gradient = policy.gradient()
    assert not gradient[~counted(batch)].any()
    assert gradient[counted(batch)].abs().max() > 0


@pytest.mark.parametrize("name", DISTILLED)
def test_the_teacher_learns_nothing(name: str) -> None:
    batch = with_outcomes(language_batch(BigramPolicy()))
    student = learner(BigramPolicy(), name)
    assert isinstance(student.teacher, LocalTeacher)
    before = student.teacher.model.module.table.detach().clone()
    student.update(batch)
    assert torch.equal(before, student.teacher.model.module.table)
    assert student.teacher.model.module.table.grad is None


def test_students_converge_to_their_teacher() -> None:
    """AOPD with a bucket, GKD and OPD on their own samples of a bigram world, K < V."""
    target = BigramPolicy(seed=TEACHER_SEED).module.table.detach().softmax(-1)
    for name, options in (("aopd", {"tail": "bucket", "imitation_reduction": "sum"}), ("gkd", {}), ("opd", {})):
        policy = BigramPolicy(length=4)
        student = learner(policy, name, LearnerConfig(learning_rate=0.05), **options)
        for update in range(120):
            batch = language_batch(policy, seed=update, groups=(16, 16))
            student.update(batch)
        found = policy.module.table.detach().softmax(-1)
        reached = float((found[:5] * (found[:5] / target[:5]).log()).sum(-1).mean())
        assert reached < 0.05, (name, reached)


# What a teacher must be


def test_a_local_teacher_says_what_a_softmax_says_whatever_the_chunks() -> None:
    batch = language_batch(BigramPolicy())
    teaching = Teaching(top_k=3, whole=True, entropy=True)
    parts = (batch.tokens, batch.attention_mask, batch.policy_mask, batch.context)
    one, many = (LocalTeacher(BigramPolicy(seed=4), chunk=chunk).score(*parts, teaching) for chunk in (None, 2))
    before = torch.cat([torch.full_like(batch.tokens[:, :1], 5), batch.tokens[:, :-1]], 1)
    logp = BigramPolicy(seed=4).module.table.detach().log_softmax(-1)[before]
    mask = batch.policy_mask
    for rows in (one, many):
        torch.testing.assert_close(rows.logp[mask], sampled(logp, batch)[mask])
        torch.testing.assert_close(rows.top_logp[mask], logp.topk(3).values[mask])
        torch.testing.assert_close(rows.entropy[mask], -(logp.exp() * logp).sum(-1)[mask])
        torch.testing.assert_close(rows.distribution(rows.states[mask]), logp[mask])
        assert not rows.logp[~mask].any()
    bare = LocalTeacher(BigramPolicy(seed=4)).score(*parts, Teaching())
    assert (bare.top_ids, bare.entropy, bare.states) == (None, None, None)
    whole = LocalTeacher(BigramPolicy(seed=4)).score(*parts, Teaching(top_k=None))
    assert whole.top_ids is not None and whole.top_ids.shape[-1] == 5


def test_what_does_not_fit_is_refused_before_anything_is_learned() -> None:
    student = BigramPolicy()
    with pytest.raises(ConfigurationError, match="needs a teacher"):
        Learner(student, make_recipe("opd"), PLAIN)
    with pytest.raises(ConfigurationError, match="another vocabulary"):
        check_teacher(LocalTeacher(BigramPolicy(vocabulary=6)), student, Teaching())
    with pytest.raises(ConfigurationError, match=r"top_k=16 is more than the 5"):
        learner(student, "aopd", top_k=16)
    warm = LocalTeacher(BigramPolicy())
    warm.temperature = 0.6
    with pytest.raises(ConfigurationError, match="temperature"):
        check_teacher(warm, student, Teaching())
    with pytest.raises(ConfigurationError, match="shares weights"):
        check_teacher(LocalTeacher(student), student, Teaching())
    loose = LocalTeacher(BigramPolicy())
    loose.model.module.requires_grad_(True)
    with pytest.raises(ConfigurationError, match="trainable"):
        check_teacher(loose, student, Teaching())
    loose = LocalTeacher(BigramPolicy())
    loose.model.module.train()
    with pytest.raises(ConfigurationError, match="training mode"):
        check_teacher(loose, student, Teaching())
    blind = LocalTeacher(BigramPolicy())
    blind.whole = False
    with pytest.raises(ConfigurationError, match="whole distributions"):
        check_teacher(blind, student, Teaching(whole=True))


def test_densities_have_no_vocabulary() -> None:
    world = Identity(spaces.Box(-1, 1, (2,)), length=2)
    gaussian = policy_for(world, hidden=(8,))
    with pytest.raises(ConfigurationError, match="distribution over a vocabulary"):
        LocalTeacher(gaussian)
    with pytest.raises(ConfigurationError, match="no vocabulary"):
        check_teacher(LocalTeacher(BigramPolicy()), gaussian, Teaching())


@pytest.mark.parametrize("said", [math.nan, -math.inf])
def test_a_teacher_that_cannot_say_is_an_error_and_no_signal(said: float) -> None:
    batch = language_batch(BigramPolicy())
    policy = BigramPolicy()
    student = learner(policy, "opd")
    assert isinstance(student.teacher, LocalTeacher)
    with torch.no_grad():
        student.teacher.model.module.table[:, int(batch.tokens[batch.policy_mask][0])] = said
    before = policy.module.table.detach().clone()
    with pytest.raises(DataError, match="expected a finite number"):
        student.update(batch)
    assert torch.equal(before, policy.module.table)


def test_scope_wants_right_or_wrong() -> None:
    batch = language_batch(BigramPolicy())
    odd = replace(batch, session={**batch.session, "reward": torch.full_like(batch.reward, 0.3)})
    with pytest.raises(DataError, match="correct_threshold"):
        learner(BigramPolicy(), "scope").update(odd)
    learner(BigramPolicy(), "scope", correct_threshold=0.5).update(odd)


@pytest.mark.parametrize("right", [True, False])
def test_a_batch_of_one_outcome_has_one_path(right: bool) -> None:
    batch = language_batch(BigramPolicy())
    one = replace(batch, session={**batch.session, "reward": torch.full_like(batch.reward, float(right))})
    gradient, logged = table_gradient("scope", one)
    assert gradient.isfinite().all() and gradient.any()
    absent, present = ("correction", "imitation") if right else ("imitation", "correction")
    assert f"{absent}_weight_largest" not in logged
    assert logged[f"{present}_groups_without"] == 0


def test_direct_k1_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="expected gradient 0"):
        make_recipe("opd", distillation_gradient="direct")
