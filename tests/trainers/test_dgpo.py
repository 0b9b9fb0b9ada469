"""DGPO as a recipe: the released expression, the gradient that reaches the weights, and what the log says of it.

The printed table of log-weights and the invariants of the loss by itself are in ``test_losses.py``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tabular import BigramPolicy, FreePolicy, language_batch
from torch import Tensor

from fogline.core.errors import ConfigurationError
from fogline.trainers.batch import Batch
from fogline.trainers.learner import Learner, LearnerConfig
from fogline.trainers.losses import dgpo_loss
from fogline.trainers.recipes import make_recipe

torch.set_num_threads(1)

LB, UB = 0.8, 1.2
SAMPLER = LearnerConfig(max_gradient_norm=None, old_logp="sampler")


def real(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(
    old=st.floats(-6, -0.01),
    apart=st.floats(-4, 4),
    advantage=st.sampled_from([-1.3, 0.4]),
    n=st.integers(1, 3),
    m=st.integers(1, 3),
)
def test_the_stable_form_is_the_published_one(old: float, apart: float, advantage: float, n: int, m: int) -> None:
    """Section 3.1: J = A · π · sg[C π^n] left of the band, A · π · sg[C π^(-1/m)] right of it, A · π / π_old within."""
    logp = real([[old + apart]]).requires_grad_()
    pi, before = logp.exp(), math.exp(old)
    ratio = math.exp(apart)
    if advantage < 0 and ratio < LB:
        held = LB**-n * before ** -(n + 1) * pi.detach() ** n
    elif advantage > 0 and ratio > UB:
        held = UB ** (1 / m) * before ** (1 / m - 1) * pi.detach() ** (-1 / m)
    else:
        held = torch.full_like(pi, 1 / before).detach()
    published = -advantage * held * pi
    ours = dgpo_loss(logp, real([[old]]), real([[advantage]]), 0.2, 0.2, n, m)
    torch.testing.assert_close(ours, published, rtol=1e-9, atol=0)
    one, other = (torch.autograd.grad(loss.sum(), logp, retain_graph=True)[0] for loss in (ours, published))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)


def pushed(batch: Batch, spread: float, seed: int = 0) -> tuple[FreePolicy, Batch, Tensor]:
    """A policy whose log-ratios are normal with that deviation, its batch, and the ratios."""
    policy = FreePolicy(batch, drift=spread, seed=seed)
    own = dict(policy.module.named_parameters())["logp"].detach().reshape(batch.tokens.shape)
    return policy, policy.place(batch), (own - batch.behaviour_logp).exp()


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2)])
def test_the_gradient_of_the_objective_by_token_in_closed_form(n: int, m: int) -> None:
    batch = language_batch(BigramPolicy())
    policy, placed, ratio = pushed(batch, 1.0)
    recipe = make_recipe("dgpo", left_power=n, right_root=m)
    Learner(policy, recipe, SAMPLER).update(placed)
    advantage = recipe.advantage(batch)["policy"]
    mask = batch.policy_mask & batch.valid[:, None]
    left, right = (advantage < 0) & (ratio < LB), (advantage > 0) & (ratio > UB)
    assert (left & mask).sum() > 3 and (right & mask).sum() > 3
    weight = torch.where(left, (ratio / LB) ** n, torch.where(right, (UB / ratio) ** (1 / m), 1.0))
    expected = torch.where(mask, -advantage * ratio * weight, 0.0) / mask.sum()
    torch.testing.assert_close(policy.gradient(), expected, rtol=0, atol=1e-12)


def test_inside_the_band_it_is_grpo() -> None:
    batch = language_batch(BigramPolicy())
    gradients = []
    for name in ("dgpo", "grpo", "gppo"):
        policy, placed, ratio = pushed(batch, 0.02)
        assert (ratio > LB).all() and (ratio < UB).all()
        Learner(policy, make_recipe(name, aggregation="token-mean"), SAMPLER).update(placed)
        gradients.append(policy.gradient())
    for other in gradients[1:]:
        torch.testing.assert_close(gradients[0], other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["dgpo", "dynamo"])
@pytest.mark.parametrize("apart", [-1e4, 1e4])
def test_log_ratios_of_ten_thousand_stay_finite(name: str, apart: float) -> None:
    batch = language_batch(BigramPolicy())
    shifted = torch.where(batch.policy_mask, batch.behaviour_logp - apart, 0.0)
    policy = FreePolicy(batch)
    pushed_away = replace(policy.place(batch), behaviour_logp=shifted, old_logp=shifted)
    logged = Learner(policy, make_recipe(name), SAMPLER).update(pushed_away)
    assert policy.gradient().isfinite().all()
    assert all(math.isfinite(value) for value in logged.values())


@pytest.mark.parametrize("options", [{"left_power": 0}, {"left_power": 1.5}, {"right_root": 0}, {"right_root": 0.5}])
def test_powers_are_whole_numbers_from_1(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make_recipe("dgpo", **options)


# What the log says


def logged(
    name: str, spread: float, config: LearnerConfig = SAMPLER, **options: Any
) -> tuple[dict[str, float], Tensor]:
    """The log of one step, and the ratios of the tokens in LN."""
    batch = language_batch(BigramPolicy(), groups=(6, 6, 6))
    policy, placed, ratio = pushed(batch, spread)
    recipe = make_recipe(name, aggregation="token-mean", **options)
    advantage = recipe.advantage(batch)["policy"]
    mask = batch.policy_mask & batch.valid[:, None] & (advantage < 0) & (ratio < LB)
    return Learner(policy, recipe, config).update(placed), ratio[mask]


@pytest.mark.parametrize(
    ("name", "options", "weight"),
    [
        ("dgpo", {}, lambda ratio: ratio / LB),
        ("dgpo", {"left_power": 2}, lambda ratio: (ratio / LB) ** 2),
        ("gppo", {}, lambda ratio: LB / ratio),
        ("ce-gppo", {}, lambda ratio: 0.75 * LB / ratio),
        ("cispo", {}, lambda ratio: LB / ratio),
        ("grpo", {}, torch.zeros_like),
        ("aspo", {}, torch.zeros_like),
    ],
)
def test_the_weight_at_the_left_boundary_is_logged_for_every_method(
    name: str, options: dict[str, Any], weight: Any
) -> None:
    found, ratio = logged(name, 2.0, **options)
    assert len(ratio) > 5
    assert found["weight_left_negative"] == pytest.approx(weight(ratio).mean().item(), rel=1e-9)
    assert found["weight_left_negative_max"] == pytest.approx(weight(ratio).max().item(), rel=1e-9)
    assert found["clip_left_negative"] > 0 and found["clip_right_positive"] > 0


def test_as_tokens_die_it_is_bounded_for_dgpo_and_grows_for_gppo_and_cispo() -> None:
    seen = {
        name: [logged(name, spread)[0]["weight_left_negative_max"] for spread in (1.0, 2.0, 4.0)]
        for name in ("dgpo", "gppo", "cispo")
    }
    assert max(seen["dgpo"]) <= 1
    for name in ("gppo", "cispo"):
        assert 1 < seen[name][0] < seen[name][1] < seen[name][2] and seen[name][2] > 100


def test_on_the_right_the_root_is_what_is_logged() -> None:
    batch = language_batch(BigramPolicy(), groups=(6, 6, 6))
    policy, placed, ratio = pushed(batch, 1.0)
    recipe = make_recipe("dgpo", right_root=3)
    found = Learner(policy, recipe, SAMPLER).update(placed)
    above = batch.policy_mask & batch.valid[:, None] & (recipe.advantage(batch)["policy"] > 0) & (ratio > UB)
    assert found["weight_right_positive"] == pytest.approx(((UB / ratio[above]) ** (1 / 3)).mean().item(), rel=1e-9)


def test_an_average_over_tokens_does_not_depend_on_how_a_step_is_split() -> None:
    whole, _ = logged("dgpo", 1.5)
    split, _ = logged("dgpo", 1.5, SAMPLER.model_copy(update={"micro_batch": 1}))
    for name in ("weight_left_negative", "weight_left_negative_max", "weight_right_positive", "clip_left_negative"):
        assert split[name] == pytest.approx(whole[name], rel=1e-9), name


def test_on_policy_there_is_no_boundary_to_speak_of() -> None:
    policy = BigramPolicy()
    found = Learner(policy, make_recipe("dgpo"), LearnerConfig()).update(language_batch(policy))
    assert found["clip_left_negative"] == found["clip_right_positive"] == 0
    assert not any(name.startswith("weight_") for name in found)


def test_entropy_is_logged_where_it_is_asked_for() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    logp = dict(policy.module.named_parameters())["table"].detach().log_softmax(-1)
    before = torch.cat([torch.full_like(batch.tokens[:, :1], policy.vocabulary), batch.tokens[:, :-1]], 1)
    exact = -(logp.exp() * logp).sum(-1)[before][batch.policy_mask & batch.valid[:, None]].mean()
    weights = []
    for asked in (True, False):
        own = BigramPolicy()
        found = Learner(own, make_recipe("dgpo"), LearnerConfig(log_entropy=asked)).update(batch)
        assert ("entropy_mean" in found) == asked
        if asked:
            assert found["entropy_mean"] == pytest.approx(exact.item(), abs=1e-12)
        weights.append(dict(own.module.named_parameters())["table"].detach())
    assert torch.equal(*weights), "looking changes nothing"
