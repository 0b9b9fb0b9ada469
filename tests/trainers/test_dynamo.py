"""DynaMO as a recipe: what is left of the base method, what it does to each token, and over what it can lie."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import killed
import pytest
import torch
from gymnasium import spaces
from identity import Identity
from tabular import BigramPolicy, FreePolicy, language_batch
from torch import Tensor

from fogline.agents.collector import collect_all
from fogline.agents.policies.vector import policy_for
from fogline.core.errors import ConfigurationError
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.config import RolloutConfig
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.logs import read_log
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Recipe
from fogline.trainers.recipes import RECIPES, make_recipe
from fogline.trainers.recipes.dynamo import with_dynamo
from fogline.trainers.recipes.group_relative import TOKEN_LOSSES
from fogline.trainers.teachers import LocalTeacher

torch.set_num_threads(1)

OFF: dict[str, Any] = {"compensation": 0.0, "stabilisation": 1.0}
PLAIN = LearnerConfig(max_gradient_norm=None, old_logp="sampler")


def table(policy: BigramPolicy) -> Tensor:
    return dict(policy.module.named_parameters())["table"]


def stale(policy: BigramPolicy, seed: int = 0) -> Batch:
    """A batch whose sampler differed: ratios on both sides of the band."""
    batch = language_batch(policy, seed, groups=(4, 3, 2, 5))
    noise = 0.3 * torch.randn(batch.tokens.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    shifted = torch.where(batch.policy_mask, batch.behaviour_logp + noise, 0.0)
    return replace(batch, behaviour_logp=shifted, old_logp=shifted)


def gradient(recipe: Recipe, config: LearnerConfig = PLAIN, seed: int = 3) -> tuple[Tensor, dict[str, float]]:
    policy = BigramPolicy(seed=seed, critic=True)
    batch = stale(policy)
    teacher = None if recipe.teaching is None else LocalTeacher(BigramPolicy(seed=11))
    logged = Learner(policy, recipe, config, reference=BigramPolicy(seed=7), teacher=teacher).update(batch)
    found = table(policy).grad
    assert found is not None
    return found, logged


# What is left of the base


@pytest.mark.parametrize("loss", TOKEN_LOSSES)
def test_switched_off_it_is_its_base_bit_for_bit(loss: Any) -> None:
    names = {"clipped": "grpo"}
    own = {"clip_low": 0.2, "clip_high": 0.28, "aggregation": "token-mean"}
    capped = {"dual_clip": 10.0} if loss == "clipped" else {}
    base, _ = gradient(make_recipe(names.get(loss, loss), **own, **capped))
    off, logged = gradient(make_recipe("dynamo", loss=loss, **OFF))
    assert torch.equal(base, off)
    assert not any(name.startswith("modulation_") for name in logged)
    on, logged = gradient(make_recipe("dynamo", loss=loss))
    assert not torch.equal(base, on)
    assert logged["modulation_positive"] != 1


def test_either_factor_alone_is_the_factor() -> None:
    _, lifted = gradient(make_recipe("dynamo", stabilisation=1.0))
    assert lifted["modulation_negative"] == 1 and lifted["modulation_positive_max"] == pytest.approx(1.2, abs=1e-6)
    assert lifted["modulation_positive_min"] >= 1
    _, damped = gradient(make_recipe("dynamo", compensation=0.0))
    assert damped["modulation_positive_max"] <= 1
    least = min(damped["modulation_positive_min"], damped["modulation_negative_min"])
    assert least == pytest.approx(0.6 + 0.4 / (1 + math.exp(50 * 0.01)), abs=1e-6), "the largest change, x = 1"


# What it does


def by_hand(policy: BigramPolicy, batch: Batch, advantage: Tensor, expectation: str) -> Tensor:
    """Section 4.4 in loops over tokens."""
    logits = table(policy).detach()
    logp = logits.log_softmax(-1)
    rows: list[tuple[int, int]] = [
        (row, place)
        for row in range(len(batch))
        for place in range(batch.tokens.shape[1])
        if batch.valid[row] and batch.policy_mask[row, place]
    ]
    state = {at: int(batch.tokens[at[0], at[1] - 1]) if at[1] else policy.vocabulary for at in rows}
    entropy = {at: float(-(logp[state[at]].exp() * logp[state[at]]).sum()) for at in rows}
    most, least = max(entropy.values()), min(entropy.values())
    chosen = {at: float(logp[state[at], batch.tokens[at]]) for at in rows}
    value = {at: math.exp(chosen[at]) * (chosen[at] + entropy[at]) for at in rows}
    change = {}
    for at in rows:
        credit, ratio = float(advantage[at]), math.exp(chosen[at] - float(batch.old_logp[at]))
        inside = (credit > 0 and ratio <= 1.28) or (credit < 0 and ratio >= 0.8)
        distribution = logp[state[at]]
        expected = float((distribution.exp() ** 2 * (distribution + entropy[at])).sum())
        if expectation == "sequence":
            own = [value[other] for other in rows if other[0] == at[0]]
            expected = sum(own) / len(own)
        change[at] = abs(inside * ratio * credit * (value[at] - expected))
    largest = max(change.values())
    found = advantage.clone()
    for at in rows:
        lift = 1 + 0.2 * (most - entropy[at]) / (most - least) if advantage[at] > 0 else 1.0
        found[at] *= lift * (0.6 + 0.4 / (1 + math.exp(50 * (change[at] / largest - 0.99))))
    return found


@pytest.mark.parametrize("expectation", ["vocabulary", "sequence"])
def test_each_token_by_hand(expectation: str) -> None:
    policy = BigramPolicy(seed=3)
    batch = stale(policy)
    recipe = make_recipe("dynamo", entropy_baseline=expectation)
    plain = make_recipe("dynamo", **OFF).advantage(batch)["policy"]
    expected = by_hand(policy, batch, plain, expectation)
    seen: list[Tensor] = []
    (term,) = recipe.terms

    def watched(forward: Any, piece: Batch, advantage: Tensor, mask: Tensor, clip: Any) -> Tensor:
        seen.append(advantage)
        return term.loss(forward, piece, advantage, mask, clip)

    order = torch.argsort(batch.attention_mask[batch.valid].sum(1), stable=True)
    Learner(policy, replace(recipe, terms=(replace(term, loss=watched),)), PLAIN).update(batch)
    torch.testing.assert_close(seen[0], expected[batch.valid][order][:, : seen[0].shape[1]], rtol=0, atol=5e-6)
    assert (expected != plain).any()


def test_the_two_expectations_differ_and_only_one_needs_a_vocabulary() -> None:
    exact, sampled = make_recipe("dynamo"), make_recipe("dynamo", entropy_baseline="sequence")
    assert exact.observe is not None and not exact.needs
    assert sampled.observe is None and sampled.needs == {"entropy"}
    assert not torch.equal(gradient(exact)[0], gradient(sampled)[0])


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("expectation", ["vocabulary", "sequence"])
@pytest.mark.parametrize("old_logp", ["sampler", "auto"])
def test_micro_batches_change_nothing(size: int, expectation: str, old_logp: Any) -> None:
    recipe = make_recipe("dynamo", entropy_baseline=expectation, loss="dgpo")
    whole = PLAIN.model_copy(update={"old_logp": old_logp})
    one, logged = gradient(recipe, whole)
    other, split = gradient(recipe, whole.model_copy(update={"micro_batch": size}))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    for name, value in logged.items():
        if not name.startswith(("loss", "ratio")):
            assert split[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_the_released_scope_is_the_micro_batch() -> None:
    recipe = make_recipe("dynamo", modulation_scope="micro-batch")
    torch.testing.assert_close(gradient(recipe)[0], gradient(make_recipe("dynamo"))[0], rtol=0, atol=1e-15)
    split = PLAIN.model_copy(update={"micro_batch": 2})
    assert (gradient(recipe, split)[0] - gradient(make_recipe("dynamo"), split)[0]).abs().max() > 1e-4


def test_extremes_are_those_of_each_optimiser_step() -> None:
    """Two mini-batches in one update are two scopes: the largest change of each is damped in full."""
    config = PLAIN.model_copy(update={"minibatches": 2, "learning_rate": 1e-12})
    _, halves = gradient(make_recipe("dynamo", compensation=0.0), config)
    _, split = gradient(make_recipe("dynamo", compensation=0.0), config.model_copy(update={"micro_batch": 1}))
    for name in ("modulation_positive", "modulation_negative", "modulation_positive_min"):
        assert split[name] == pytest.approx(halves[name], rel=1e-6)


# Over everything


WITHOUT_CREDIT = ("gkd", "skew-kl", "scope")
"""No term of theirs has an advantage that could be modulated."""
BASES = [name for name in RECIPES if name not in ("dynamo", *WITHOUT_CREDIT)]


@pytest.mark.parametrize("name", BASES)
def test_it_lies_over_every_method(name: str) -> None:
    own = {"top_k": 3} if "top_k" in RECIPES[name].defaults else {}
    base = make_recipe(name, kl_coefficient=0.1, **own)
    recipe = with_dynamo(base, RecipeOptions(prompt_weighting="prompt"))
    assert recipe.options["stabilisation"] == 0.6 and recipe.options["kl_coefficient"] == 0.1
    plain, _ = gradient(base)
    changed, logged = gradient(recipe)
    assert changed.isfinite().all() and not torch.equal(plain, changed)
    assert all(math.isfinite(value) for value in logged.values())
    assert {"modulation_positive", "modulation_negative", "group_rows_min", "group_rows_max", "entropy_mean"} <= set(
        logged
    )
    assert recipe.allocate is not None
    nothing = {"tasks": ("a", "b"), "trials": {}, "correct": {}}
    assert list(recipe.allocate(nothing, ("a", "b"), 16)) == [8, 8]


@pytest.mark.parametrize("credit", ["group", "leave-one-out", "length-weighted", "pass-at-k", "gpg", "returns"])
@pytest.mark.parametrize("loss", ["clipped", "dgpo"])
def test_every_credit_can_be_modulated_under_either_loss(credit: str, loss: str) -> None:
    found, logged = gradient(make_recipe("dynamo", advantage=credit, loss=loss))
    assert found.isfinite().all() and found.any()
    least = min(value for name, value in logged.items() if name.startswith("modulation") and name.endswith("_min"))
    assert 0.6 <= least <= logged["modulation_positive_max"] <= 1.2 + 1e-9


def test_dynamo_over_dgpo_is_the_closed_form_of_both() -> None:
    """F(r) of DGPO times the modulated advantage, in one band."""
    batch = language_batch(BigramPolicy(), groups=(6, 6))
    policy = FreePolicy(batch, drift=1.0)
    placed = policy.place(batch)
    recipe = make_recipe("dynamo", loss="dgpo", left_power=2, right_root=3, clip_low=0.1, clip_high=0.3)
    assert recipe.modulate is not None
    forward = policy.score(
        placed.tokens, placed.attention_mask, placed.policy_mask, placed.context, observe=recipe.observe
    )
    advantage = recipe.modulate(recipe.advantage(placed)["policy"], forward, placed, recipe.clip)
    ratio = (forward.logp.detach() - batch.behaviour_logp).exp()
    left, right = (advantage < 0) & (ratio < 0.9), (advantage > 0) & (ratio > 1.3)
    weight = torch.where(left, (ratio / 0.9) ** 2, torch.where(right, (1.3 / ratio) ** (1 / 3), 1.0))
    mask = batch.policy_mask & batch.valid[:, None]
    expected = torch.where(mask, -advantage * ratio * weight, 0.0) / mask.sum()
    logged = Learner(policy, recipe, PLAIN).update(placed)
    torch.testing.assert_close(policy.gradient(), expected, rtol=0, atol=1e-12)
    assert logged["weight_left_negative_max"] <= 1, "the modulated advantage cancels in the weight"


def vectors(space: spaces.Space[Any]) -> tuple[Any, Batch]:
    policy = policy_for(Identity(space, length=3), hidden=(8,))
    played = collect_all(lambda: Identity(space, length=3), policy, [("", seed) for seed in range(8)])
    return policy, batch_of(played, policy)


@pytest.mark.parametrize("space", [spaces.Discrete(4), spaces.MultiDiscrete([2, 3])])
def test_choices_are_a_vocabulary(space: spaces.Space[Any]) -> None:
    policy, batch = vectors(space)
    logged = Learner(policy, make_recipe("dynamo"), LearnerConfig()).update(batch)
    assert 0.6 <= logged["modulation_negative_min"] < 1


def test_densities_have_none_and_the_error_says_what_to_choose() -> None:
    policy, batch = vectors(spaces.Box(-1, 1, (2,)))
    with pytest.raises(ConfigurationError, match=r"no vocabulary.*entropy_baseline='sequence'"):
        Learner(policy, make_recipe("dynamo"), LearnerConfig()).update(batch)
    logged = Learner(policy, make_recipe("dynamo", entropy_baseline="sequence"), LearnerConfig()).update(batch)
    assert all(math.isfinite(value) for value in logged.values())


# A whole run


@pytest.mark.parametrize("options", [{}, {"loss": "dgpo", "prompt_weighting": "prompt"}, {"allocator": "released"}])
def test_a_run_says_how_it_shared_out_and_modulated(options: dict[str, Any], tmp_path: Path) -> None:
    run = killed.trainer(
        str(tmp_path), 4, recipe="dynamo", options=options, rollout=RolloutConfig(tasks_per_update=3, group_size=6)
    )
    run.train()
    for row in read_log(tmp_path):
        assert row["train/episodes"] == 18
        assert 3 <= row["group_rows_min"] <= 6 <= row["group_rows_max"] <= 9
        assert row["entropy_mean"] > 0 and row["modulation_positive_max"] <= 1.2 + 1e-5


def test_groups_that_differ_in_size_are_refilled_like_any_other(tmp_path: Path) -> None:
    run = killed.trainer(
        str(tmp_path),
        3,
        recipe="dynamo",
        options={"dynamic_sampling": True},
        rollout=RolloutConfig(tasks_per_update=3, group_size=4),
    )
    assert all(row["kept"] > 0 for row in run.train())
