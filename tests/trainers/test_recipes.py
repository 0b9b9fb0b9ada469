"""Recipes against their definitions: every number by a slow loop, every gradient by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.learner import Learner, LearnerConfig, count
from fogline.trainers.recipes import make_recipe, recipe_table

torch.set_num_threads(1)

NAMES = [
    "reinforce",
    "reinforce++",
    "rloo",
    "ppo",
    "grpo",
    "dr-grpo",
    "dapo",
    "gspo",
    "cispo",
    "gppo",
    "ce-gppo",
    "aspo",
]
NAMES += ["sapo", "gmpo", "dgpo", "dual-track-grpo", "duca", "gdpo", "mt-grpo", "dynamo"]
DISTILLED = ["opd", "gkd", "minillm", "g-opd", "kdrl", "skew-kl", "eopd", "vopd", "iw-opd", "aopd", "scope"]
"""Those that listen to a teacher; test_on_policy_distillation.py has them by token."""
PLAIN = LearnerConfig(max_gradient_norm=None, old_logp="sampler")
"""No bound on the gradient, and the sampler's log-probabilities as the old ones: ratios as the test sets them."""


def real(values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def by_token(name: str, batch: Batch, *, drift: float = 0.0, **options: Any) -> Tensor:
    """Gradient of a recipe's objective by the log-probability of every token, ``[N,T]``, through the learner."""
    policy = FreePolicy(batch, drift=drift)
    reference = FreePolicy(batch, drift=0.3, seed=9)
    Learner(policy, make_recipe(name, **options), PLAIN, reference=reference).update(policy.place(batch))
    return policy.gradient()


# The table


def test_the_table_has_every_method_with_all_that_it_reads() -> None:
    rows = {row["name"]: row for row in recipe_table()}
    assert list(rows) == [*NAMES, *DISTILLED, "pgpo"]
    for name, row in rows.items():
        assert set(row) == {"name", "paper", "parts", "defaults"}
        assert row["paper"] and {"advantage", "terms", "gate", "select"} <= set(row["parts"])
        recipe = make_recipe(name)
        assert recipe.name == name and recipe.paper == row["paper"]
        assert recipe.options == row["defaults"], "a method says the value of each of its settings"
        assert {"kl_coefficient", "entropy_coefficient", "aggregation"} <= set(row["defaults"])


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("grpo", "ddof", 1),
        ("dr-grpo", "scale", "none"),
        ("dr-grpo", "aggregation", "seq-mean-token-sum-norm"),
        ("dapo", "clip_high", 0.28),
        ("dapo", "aggregation", "token-mean"),
        ("dapo", "dynamic_sampling", True),
        ("gspo", "clip_low", 3e-4),
        ("gspo", "clip_high", 4e-4),
        ("ce-gppo", "left_weight", 0.75),
        ("aspo", "cap_positive", 3.0),
        ("sapo", "temperature_negative", 1.05),
        ("gmpo", "clip_low", 0.4),
        ("dgpo", "left_power", 1),
        ("dgpo", "right_root", 2),
        ("dgpo", "clip_high", 0.2),
        ("dgpo", "aggregation", "token-mean"),
        ("dynamo", "clip_high", 0.28),
        ("dynamo", "dual_clip", 10.0),
        ("dynamo", "compensation", 0.2),
        ("dynamo", "stabilisation", 0.6),
        ("dynamo", "stabilisation_slope", 50.0),
        ("dynamo", "stabilisation_threshold", 0.99),
        ("dynamo", "proxy_power", 1.0),
        ("dynamo", "prompt_weighting", "token"),
        ("dual-track-grpo", "schema_coefficient", 0.25),
        ("dual-track-grpo", "ddof", 0),
        ("dual-track-grpo", "epsilon", 1e-6),
        ("dual-track-grpo", "advantage_clip", 10.0),
        ("dual-track-grpo", "clip_low", 0.2),
        ("dual-track-grpo", "clip_high", 0.28),
        ("dual-track-grpo", "aggregation", "seq-mean-token-mean"),
        ("dual-track-grpo", "kl_coefficient", 0.0),
        ("duca", "session_weight", 1.0),
        ("duca", "turn_weight", 1.0),
        ("duca", "turn_discount", 0.0),
        ("duca", "turn_scope", "turn_centre_batch_scale"),
        ("duca", "rescale", True),
        ("duca", "leave_one_out", False),
        ("duca", "epsilon", 1e-6),
        ("duca", "floor", 1e-8),
        ("duca", "advantage_clip", 5.0),
        ("duca", "clip_low", 0.2),
        ("duca", "clip_high", 0.28),
        ("duca", "aggregation", "token-mean"),
        ("gdpo", "epsilon", 1e-4),
        ("mt-grpo", "turn_weight", 1.0),
        ("pgpo", "clip_low", 0.2),
        ("pgpo", "clip_high", 0.28),
        ("pgpo", "kl_coefficient", 0.0),
        ("pgpo", "aggregation", "token-mean"),
        ("pgpo", "process_gate", "soft"),
        ("pgpo", "answer_weight", 0.9),
        ("pgpo", "format_weight", 0.1),
        ("pgpo", "filter_on", "accuracy"),
        ("pgpo", "length_low", 0.3),
        ("pgpo", "length_high", 0.65),
        ("pgpo", "length_top", 0.95),
    ],
)
def test_defaults_are_those_of_the_papers(name: str, setting: str, value: object) -> None:
    assert make_recipe(name).options[setting] == value


def test_mistakes_are_named_with_what_was_meant() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'dual-track-grpo'"):
        make_recipe("dual-trak-grpo")
    with pytest.raises(ConfigurationError, match=r"no key 'clip_hi'.*Did you mean 'clip_high'"):
        make_recipe("grpo", clip_hi=0.3)
    with pytest.raises(ConfigurationError, match="no key 'schema_coefficient'"):
        make_recipe("grpo", schema_coefficient=0.3)
    with pytest.raises(ConfigurationError, match=r"ddof=2 does not fit"):
        make_recipe("grpo", ddof=2)
    with pytest.raises(ConfigurationError, match=r"kl_coefficient=-1.0 does not fit"):
        make_recipe("ppo", kl_coefficient=-1.0)
    with pytest.raises(ConfigurationError, match="no critic, which advantage='gae' needs: use recipe 'ppo'"):
        make_recipe("grpo", advantage="gae")


def test_ppo_with_another_advantage_needs_no_critic() -> None:
    recipe = make_recipe("ppo", advantage="returns")
    assert {term.name for term in recipe.terms} == {"policy"}
    assert not recipe.needs


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("grpo", 2),
        ("rloo", 2),
        ("dual-track-grpo", 2),
        ("duca", 2),
        ("gdpo", 2),
        ("mt-grpo", 2),
        ("reinforce", 1),
        ("ppo", 1),
    ],
)
def test_methods_that_compare_members_of_a_group_say_so(name: str, size: int) -> None:
    assert make_recipe(name).needs_groups == size


# Every method


@pytest.mark.parametrize("name", NAMES)
def test_two_updates_on_texts_change_the_weights(name: str) -> None:
    policy = BigramPolicy(critic=True)
    batch = language_batch(policy)
    before = [parameter.detach().clone() for parameter in policy.module.parameters()]
    learner = Learner(
        policy,
        make_recipe(name, kl_coefficient=0.1, entropy_coefficient=0.01),
        LearnerConfig(epochs=2, minibatches=2, learning_rate=0.05),
        reference=policy.reference(),
    )
    for _ in range(2):
        logged = learner.update(batch)
        assert all(math.isfinite(value) for value in logged.values())
    assert all(parameter.isfinite().all() for parameter in policy.module.parameters())
    assert not torch.equal(before[0], next(policy.module.parameters()))
    assert policy.version == learner.updates == 2


@pytest.mark.parametrize("name", NAMES)
def test_two_updates_on_vectors_change_the_weights(name: str) -> None:
    world = Identity(spaces.MultiDiscrete([2, 3]), length=3)
    policy = policy_for(world, critic=True, hidden=(8,))
    episodes = collect_all(
        lambda: Identity(spaces.MultiDiscrete([2, 3]), length=3), policy, [("", n) for n in range(12)]
    )
    batch = batch_of(episodes, policy)
    before = [parameter.detach().clone() for parameter in policy.module.parameters()]
    learner = Learner(policy, make_recipe(name), LearnerConfig(epochs=2, learning_rate=0.05))
    for _ in range(2):
        assert all(math.isfinite(value) for value in learner.update(batch).values())
    assert not torch.equal(before[0], next(policy.module.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_tokens_that_the_policy_did_not_write_and_aborted_rows_have_no_gradient(name: str) -> None:
    batch = language_batch(BigramPolicy())
    gradient = by_token(name, batch, drift=0.2, kl_coefficient=0.1, entropy_coefficient=0.01)
    free = ~(batch.policy_mask & batch.valid[:, None])
    assert free.any() and not batch.valid.all()
    assert torch.equal(gradient[free], torch.zeros_like(gradient[free]))
    assert gradient[~free].abs().max() > 0


@pytest.mark.parametrize("name", [name for name in NAMES if make_recipe(name).needs_groups == 2])
def test_members_that_all_earned_the_same_teach_nothing(name: str) -> None:
    rows = [episode("a", seed, [([1], [seed % 5, 2], 0.1), ([3], [4] * (seed + 1), 0.7)]) for seed in range(4)]
    batch = batch_of(rows, BigramPolicy(), dtype=torch.float64)
    gradient = by_token(name, batch, drift=0.2)
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("name", ["reinforce", "reinforce++"])
def test_returns_that_are_all_the_same_teach_nothing(name: str) -> None:
    batch = batch_of(
        [episode("a", seed, [([1], [seed], 7.0)]) for seed in range(4)], BigramPolicy(), dtype=torch.float64
    )
    assert not by_token(name, batch).any()
    assert by_token(name, batch, whiten=False).any()


# Dual-Track


SETTINGS: dict[str, Any] = {"ddof": 0, "epsilon": 1e-6, "advantage_clip": 10.0, "clip_low": 0.2, "clip_high": 0.28}


@pytest.mark.parametrize("aggregation", ["seq-mean-token-mean", "token-mean"])
def test_without_the_schema_track_it_is_grpo_bit_for_bit(aggregation: str) -> None:
    policies = [BigramPolicy(seed=3) for _ in range(2)]
    batch = language_batch(policies[0])
    names = {"dual-track-grpo": {"schema_coefficient": 0.0}, "grpo": {}}
    logs = []
    for policy, (name, own) in zip(policies, names.items(), strict=True):
        recipe = make_recipe(name, aggregation=aggregation, **SETTINGS, **own)
        learner = Learner(policy, recipe, LearnerConfig(epochs=3, learning_rate=0.1, max_gradient_norm=None))
        logs.append(learner.update(batch))
        assert not learner.needs
    assert logs[0] == logs[1]
    tables = [dict(policy.module.named_parameters())["table"] for policy in policies]
    assert tables[0].grad is not None and tables[1].grad is not None
    assert torch.equal(tables[0].grad, tables[1].grad)
    assert torch.equal(tables[0], tables[1])


@pytest.mark.parametrize(("factor", "epsilon"), [(0.25, 1e-6), (100.0, 1e-6), (0.01, 1e-8)])
def test_scaling_the_schema_reward_changes_nothing(factor: float, epsilon: float) -> None:
    """All that differs is the epsilon in the denominator: beside a deviation of 0.005, one of 1e-6 would show."""
    batch = language_batch(BigramPolicy())
    scaled = replace(batch, session={**batch.session, "schema": factor * batch.session["schema"]})
    one, other = (by_token("dual-track-grpo", each, drift=0.2, epsilon=epsilon) for each in (batch, scaled))
    assert (one - other).norm() <= 1e-5 * one.norm()
    louder = by_token("dual-track-grpo", batch, drift=0.2, epsilon=epsilon, schema_coefficient=0.25 * factor)
    assert (one - louder).norm() > 1e-2 * one.norm(), "λ acts on the loss"


def test_tokens_after_the_checkpoint_get_no_schema_gradient() -> None:
    batch = language_batch(BigramPolicy())
    both, full = (
        by_token("dual-track-grpo", batch, drift=0.2),
        by_token("dual-track-grpo", batch, drift=0.2, schema_coefficient=0.0),
    )
    late = batch.policy_mask & ~batch.masks["schema"]
    assert late[batch.valid].any()
    assert torch.equal(both[late], full[late])
    early = batch.masks["schema"] & batch.valid[:, None]
    assert (both[early] != full[early]).any()
    # The term alone, by autograd.
    logp = (batch.behaviour_logp + 0.1).requires_grad_()
    recipe = make_recipe("dual-track-grpo")
    term = {term.name: term for term in recipe.terms}["schema"]
    advantage = recipe.advantage(batch)
    policy = FreePolicy(batch)
    forward = replace(policy.score(*scored(policy.place(batch))), logp=logp)
    loss = term.loss(forward, batch, advantage["schema"], batch.masks["schema"], recipe.clip)
    term.aggregate(loss, batch.masks["schema"], None, batch, count(batch, "schema")).backward()  # type: ignore[no-untyped-call]
    assert logp.grad is not None
    assert torch.equal(logp.grad[late], torch.zeros_like(logp.grad[late]))
    assert logp.grad[early].abs().max() > 0


def scored(batch: Batch) -> tuple[Any, ...]:
    return batch.tokens, batch.attention_mask, batch.policy_mask, batch.context


def normalised(rewards: dict[int, float], groups: Sequence[int]) -> dict[int, float]:
    """Section 11.2 for valid rows: population deviation, 1e-6, clipped to 10; 0 for a group of one."""
    found = {}
    for row, reward in rewards.items():
        peers = [rewards[other] for other in rewards if groups[other] == groups[row]]
        centre = sum(peers) / len(peers)
        deviation = math.sqrt(sum((peer - centre) ** 2 for peer in peers) / len(peers))
        found[row] = min(max((reward - centre) / (deviation + 1e-6), -10.0), 10.0) if len(peers) > 1 else 0.0
    return found


def slow_dual_track(batch: Batch, logp: Tensor, weight: float) -> list[list[float]]:
    """Section 11.3 by hand: the derivative of L_full + λ L_schema by each token's log-probability."""
    rows = [row for row in range(len(batch)) if batch.valid[row]]
    groups = batch.group.tolist()
    full = normalised({row: float(batch.session["reward"][row]) for row in rows}, groups)
    schema = normalised({row: float(batch.session["schema"][row]) for row in rows}, groups)
    gradient = [[0.0] * batch.tokens.shape[1] for _ in range(len(batch))]
    for advantage, mask, coefficient in ((full, "policy", 1.0), (schema, "schema", weight)):
        for row in rows:
            tokens = [place for place in range(batch.tokens.shape[1]) if batch.masks[mask][row, place]]
            for place in tokens:
                ratio = math.exp(float(logp[row, place] - batch.behaviour_logp[row, place]))
                gain = advantage[row]
                clipped = (gain > 0 and ratio > 1.28) or (gain < 0 and ratio < 0.8)
                slope = 0.0 if clipped else -gain * ratio
                gradient[row][place] += coefficient * slope / max(1, len(tokens)) / len(rows)
    return gradient


@pytest.mark.parametrize("seed", range(4))
def test_ragged_groups_dropped_rows_and_lonely_rows_are_what_the_definitions_say(seed: int) -> None:
    batch = language_batch(BigramPolicy(), seed, groups=(4, 3, 1, 2, 6))
    assert not batch.valid.all() and batch.reward[~batch.valid].isnan().all()
    assert batch.session["schema"][~batch.valid].isnan().all()
    policy = FreePolicy(batch, drift=0.3, seed=seed)
    logp = policy.score(*scored(policy.place(batch))).logp.detach().clone()
    Learner(policy, make_recipe("dual-track-grpo"), PLAIN).update(policy.place(batch))
    expected = real(slow_dual_track(batch, logp, 0.25))
    torch.testing.assert_close(policy.gradient(), expected, rtol=0, atol=1e-12)
    lonely = batch.group == 2
    assert lonely.sum() == 1 and torch.equal(policy.gradient()[lonely], torch.zeros_like(policy.gradient()[lonely]))


def test_the_fixture_of_the_paper() -> None:
    full = [1.1, 1.1, 0.2, 0.3, 0.0, 1.0, 0.2, 1.1]
    schema = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    rows = [
        episode("q", seed, [([0], [1, 2], 0.0), ([0], [3, 4], reward)], schema=proposed, schema_end=0)
        for seed, (reward, proposed) in enumerate(zip(full, schema, strict=True))
    ]
    batch = batch_of(rows, BigramPolicy(), dtype=torch.float64)
    advantage = make_recipe("dual-track-grpo").advantage(batch)
    expected = real([1.038, 1.038, -0.929, -0.710, -1.366, 0.820, -0.929, 1.038])
    torch.testing.assert_close(advantage["policy"][:, 1], expected, rtol=0, atol=6e-4)
    proposed = real([1.291, 1.291, -0.775, -0.775, -0.775, -0.775, -0.775, 1.291])
    torch.testing.assert_close(advantage["schema"][:, 1], proposed, rtol=0, atol=6e-4)
    assert not advantage["schema"][:, 4:].any(), "after the proposal there is none"
    # The coefficient of each token, at ratio 1: Â_full / |m_full| + λ Â_schema / |m_schema|, over 8 rows.
    gradient = by_token("dual-track-grpo", batch)
    exact, exact_schema = advantage["policy"][:, 1], advantage["schema"][:, 1]
    torch.testing.assert_close(gradient[:, 1], -(exact / 4 + 0.25 * exact_schema / 2) / 8, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient[:, 4], -exact / 4 / 8, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mixing", ["naive", "weighted", "reward-weighted"])
def test_other_ways_to_mix_two_rewards_by_their_formulas(mixing: str) -> None:
    batch = language_batch(BigramPolicy())
    rows = [row for row in range(len(batch)) if batch.valid[row]]
    groups = batch.group.tolist()
    reward = {row: float(batch.session["reward"][row]) for row in rows}
    schema = {row: float(batch.session["schema"][row]) for row in rows}
    full = normalised(reward, groups)
    own = normalised(schema, groups)
    summed = normalised({row: reward[row] + schema[row] for row in rows}, groups)
    found = make_recipe("dual-track-grpo", mixing=mixing).advantage(batch)["policy"]
    for row in range(len(batch)):
        for place in range(batch.tokens.shape[1]):
            expected = 0.0
            if batch.valid[row] and batch.policy_mask[row, place]:
                early = float(batch.masks["schema"][row, place])
                expected = {
                    "naive": summed[row],
                    "weighted": full[row] + 0.25 * early * own[row],
                    "reward-weighted": full[row] * (1 + 0.25 * schema[row] * early),
                }[mixing]
            assert float(found[row, place]) == pytest.approx(expected, abs=1e-12)


def test_a_batch_without_a_schema_track_is_learned_from_as_by_grpo() -> None:
    batch = language_batch(BigramPolicy())
    bare = replace(
        batch, masks={"policy": batch.policy_mask}, session={"reward": batch.reward, "turns": batch.session["turns"]}
    )
    assert torch.equal(by_token("dual-track-grpo", bare), by_token("grpo", bare, **SETTINGS))


# Divergence, length, entropy


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_divergence_in_the_loss_by_hand(estimator: str) -> None:
    batch = language_batch(BigramPolicy())
    policy = FreePolicy(batch, drift=0.2)
    reference = FreePolicy(batch, drift=0.3, seed=9)
    logp, frozen = (each.score(*scored(each.place(batch))).logp.detach() for each in (policy, reference))
    with_it = by_token("grpo", batch, drift=0.2, kl_coefficient=0.5, kl_estimator=estimator)
    without = by_token("grpo", batch, drift=0.2)
    apart = logp - frozen
    slope = {"k1": torch.ones_like(apart), "k2": apart, "k3": 1 - (-apart).exp()}[estimator]
    mask = batch.policy_mask & batch.valid[:, None]
    share = mask.sum(1, keepdim=True).clamp(min=1) * batch.valid.sum()
    expected = torch.where(mask, 0.5 * slope / share, 0.0)
    torch.testing.assert_close(with_it - without, expected, rtol=0, atol=1e-12)


def test_divergence_in_the_reward_by_hand() -> None:
    batch = language_batch(BigramPolicy())
    policy, reference = FreePolicy(batch), FreePolicy(batch, drift=0.3, seed=9)
    frozen = reference.score(*scored(reference.place(batch))).logp.detach()
    recipe = make_recipe("grpo", kl_coefficient=0.5, kl_placement="reward")
    assert [term.name for term in recipe.terms] == ["policy"]
    learner = Learner(policy, recipe, PLAIN, reference=reference)
    prepared = learner.prepare(policy.place(batch))
    for row in range(len(batch)):
        drift = sum(
            float(batch.behaviour_logp[row, place] - frozen[row, place])
            for place in range(batch.tokens.shape[1])
            if batch.policy_mask[row, place]
        )
        if batch.valid[row]:
            assert float(prepared.reward[row]) == pytest.approx(float(batch.reward[row]) - 0.5 * drift, abs=1e-12)
    assert float(batch.reward[0]) != float(prepared.reward[0])
    # Rewards to go carry it at the end of the row, where the gate put it.
    whole = make_recipe("reinforce", whiten=False, kl_coefficient=0.5, kl_placement="reward").advantage(prepared)
    first = batch.policy_mask.int().argmax(1)
    rows = torch.nonzero(batch.valid).squeeze(1)
    torch.testing.assert_close(whole["policy"][rows, first[rows]], prepared.reward[rows], rtol=0, atol=1e-12)


def test_rows_that_are_too_long_are_punished_softly() -> None:
    lengths = (4, 8, 9, 10, 12, 20)
    rows = [episode("a", seed, [([0], [1] * length, 1.0)]) for seed, length in enumerate(lengths)]
    batch = batch_of(rows, BigramPolicy(), dtype=torch.float64)
    recipe = make_recipe("dapo", overlong_length=12, overlong_buffer=4)
    assert recipe.gate is not None
    assert recipe.gate(batch).tolist() == [1.0, 1.0, 0.75, 0.5, 0.0, 0.0]
    assert make_recipe("dapo").gate is None


def test_the_entropy_bonus_pulls_entropies_up_by_its_coefficient() -> None:
    batch = language_batch(BigramPolicy())
    policy = FreePolicy(batch)
    Learner(policy, make_recipe("dapo", entropy_coefficient=0.3), PLAIN).update(policy.place(batch))
    mask = batch.policy_mask & batch.valid[:, None]
    torch.testing.assert_close(policy.gradient("entropy"), torch.where(mask, -0.3 / mask.sum(), 0.0).double())


def test_the_critic_is_pulled_to_the_returns() -> None:
    rows = [episode("a", 0, [([0], [1], 1.0), ([2], [3, 4], 5.0)])]
    batch = batch_of(rows, BigramPolicy(), dtype=torch.float64)
    policy = FreePolicy(batch)
    Learner(policy, make_recipe("ppo", discount=0.5, trace=1.0), PLAIN).update(policy.place(batch))
    # To go: 1 + 0.5 · (0 + 0.5 · 5), 0 + 0.5 · 5, 5. The values are 0, and half of the mean squared error counts half.
    expected = [0.0, -0.5 * 2.25 / 3, 0.0, -0.5 * 2.5 / 3, -0.5 * 5.0 / 3]
    torch.testing.assert_close(policy.gradient("values"), real([expected]))


# Refusals


def test_a_reward_that_is_no_number_is_refused_with_its_task() -> None:
    rows = [episode("fine", 0, [([0], [1], 1.0)]), episode("sick", 1, [([0], [1], float("nan"))])]
    batch = batch_of(rows, BigramPolicy(), dtype=torch.float64)
    with pytest.raises(DataError, match=r"rows \[1\] is nan .*'sick'"):
        by_token("reinforce", batch)
    with pytest.raises(DataError, match=r"rows \[1\] is nan"):
        by_token("dapo", batch)


def test_a_schema_reward_that_is_no_number_costs_no_step() -> None:
    rows = [episode("a", seed, [([0], [1], float(seed))], schema=float("nan"), schema_end=0) for seed in range(2)]
    policy = BigramPolicy()
    before = policy.module.state_dict()["table"].clone()
    with pytest.raises(DataError, match=r"schema is \[nan, nan\]"):
        Learner(policy, make_recipe("reinforce"), PLAIN).update(batch_of(rows, policy, dtype=torch.float64))
    assert torch.equal(before, policy.module.state_dict()["table"])
