"""The update: closed forms in float64, sharding that changes nothing, and refusals that leave the weights alone."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from tabular import BigramPolicy, FreePolicy, episode, language_batch
from torch import Tensor

from fogline.agents.policies.vector import policy_for
from fogline.core.episode import Episode, Status, Turn
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.learner import Learner, LearnerConfig, TrainingDiverged
from fogline.trainers.recipes import make_recipe

torch.set_num_threads(1)

FREE: dict[str, Any] = {"max_gradient_norm": None}


def table(policy: BigramPolicy) -> Tensor:
    return dict(policy.module.named_parameters())["table"]


def gradient(policy: BigramPolicy) -> Tensor:
    found = table(policy).grad
    assert found is not None
    return found


def learned(policy: BigramPolicy, batch: Batch, recipe: str = "grpo", **config: Any) -> BigramPolicy:
    """A copy of the policy after an update."""
    policy = copy.deepcopy(policy)
    options = {"kl_coefficient": 0.1, "entropy_coefficient": 0.01}
    reference = BigramPolicy(seed=7)
    Learner(policy, make_recipe(recipe, **options), LearnerConfig(**FREE | config), reference=reference).update(batch)
    return policy


# Closed forms


def test_the_gradient_of_a_softmax_table_by_hand() -> None:
    """REINFORCE without baseline: the gradient by the logits of a state is Σ R (p - onehot) / tokens."""
    policy = BigramPolicy(vocabulary=3)
    rows = [episode("a", 0, [([0], [1, 2], 2.0)], policy=policy), episode("a", 1, [([2], [0], -1.0)], policy=policy)]
    batch = batch_of(rows, policy, dtype=torch.float64)
    Learner(policy, make_recipe("reinforce", whiten=False), LearnerConfig(**FREE)).update(batch)
    old = BigramPolicy(vocabulary=3)
    probability = table(old).detach().softmax(-1)
    expected = torch.zeros(4, 3, dtype=torch.float64)
    for state, token, earned in ((0, 1, 2.0), (1, 2, 2.0), (2, 0, -1.0)):
        onehot = torch.nn.functional.one_hot(torch.tensor(token), 3)
        expected[state] += earned * (probability[state] - onehot) / 3
    torch.testing.assert_close(gradient(policy), expected, rtol=0, atol=1e-12)


def test_the_gradient_of_grpo_is_that_of_its_closed_form() -> None:
    """Autograd on the definition, written out over rows and tokens."""
    policy = BigramPolicy(seed=2)
    batch = language_batch(policy, seed=5)
    ours = copy.deepcopy(policy)
    Learner(ours, make_recipe("grpo"), LearnerConfig(**FREE)).update(batch)
    logps = table(policy).log_softmax(-1)
    total = torch.zeros((), dtype=torch.float64)
    rows = [row for row in range(len(batch)) if batch.valid[row]]
    for row in rows:
        peers = batch.reward[[other for other in rows if batch.group[other] == batch.group[row]]]
        advantage = 0.0
        if len(peers) > 1:
            advantage = float((batch.reward[row] - peers.mean()) / (peers.std() + 1e-6))
        places = torch.nonzero(batch.policy_mask[row]).squeeze(1).tolist()
        for place in places:
            chosen = logps[batch.tokens[row, place - 1], batch.tokens[row, place]]
            total = total - advantage * (chosen - chosen.detach()).exp() / len(places) / len(rows)
    (expected,) = torch.autograd.grad(total, table(policy))
    torch.testing.assert_close(gradient(ours), expected, rtol=0, atol=1e-12)


def test_a_step_is_adamw_at_the_rate_of_the_update() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    twin = copy.deepcopy(policy)
    learner = Learner(policy, make_recipe("reinforce"), LearnerConfig(**FREE, learning_rate=1.0, weight_decay=0.1))
    learner.update(batch, learning_rate=0.03)
    optimiser = torch.optim.AdamW([table(twin)], lr=0.03, weight_decay=0.1)
    table(twin).grad = gradient(policy).clone()
    optimiser.step()
    assert torch.equal(table(policy), table(twin))


def test_long_gradients_are_cut_to_the_bound() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    logged = Learner(policy, make_recipe("grpo"), LearnerConfig(max_gradient_norm=1e-3)).update(batch)
    assert float(gradient(policy).norm()) == pytest.approx(1e-3, rel=1e-3)
    assert logged["gradient_norm"] > 1e-3, "the log says how long it was"


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]),
    ],
)
def test_rates_rise_and_fall(schedule: Any, rates: list[float]) -> None:
    config = LearnerConfig(learning_rate=1.0, schedule=schedule, warmup=1)
    assert [config.rate(update, 4) for update in range(4)] == pytest.approx(rates)


# How a batch is cut up changes nothing


@pytest.mark.parametrize("recipe", ["reinforce", "rloo", "grpo", "dr-grpo", "gspo", "cispo", "gmpo", "dual-track-grpo"])
@pytest.mark.parametrize("micro_batch", [1, 2, 3, 100])
def test_any_micro_batch_gives_the_same_gradient(recipe: str, micro_batch: int) -> None:
    policy = BigramPolicy(seed=1)
    batch = language_batch(policy, seed=3)
    whole, parts = learned(policy, batch, recipe), learned(policy, batch, recipe, micro_batch=micro_batch)
    torch.testing.assert_close(gradient(parts), gradient(whole), rtol=0, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))
def test_any_micro_batch_gives_the_same_weights(seed: int, micro_batch: int, epochs: int, minibatches: int) -> None:
    policy = BigramPolicy(seed=1)
    batch = language_batch(policy, seed=seed)
    options = {"epochs": epochs, "minibatches": minibatches, "learning_rate": 0.01}
    whole, parts = learned(policy, batch, **options), learned(policy, batch, **options, micro_batch=micro_batch)
    torch.testing.assert_close(table(parts), table(whole), rtol=0, atol=1e-9)


def test_the_log_does_not_depend_on_micro_batches() -> None:
    batch = language_batch(BigramPolicy(seed=1), seed=3)
    logs = []
    for micro_batch in (None, 1):
        policy = BigramPolicy(seed=2)
        config = LearnerConfig(micro_batch=micro_batch, old_logp="sampler")
        logs.append(Learner(policy, make_recipe("grpo", entropy_coefficient=0.1), config).update(batch))
    assert logs[0].keys() == logs[1].keys()
    assert logs[0] == pytest.approx(logs[1], abs=1e-12)
    assert logs[0]["ratio_max"] > logs[0]["ratio_mean"] > logs[0]["ratio_min"]


def test_more_padding_changes_nothing() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)

    def wider(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, torch.zeros(len(tensor), 7, dtype=tensor.dtype)], 1)

    padded = replace(
        batch,
        **{
            name: wider(getattr(batch, name))
            for name in ("tokens", "attention_mask", "policy_mask", "behaviour_logp", "old_logp")
        },
        turn_index=wider(batch.turn_index + 1) - 1,
        masks={name: wider(mask) for name, mask in batch.masks.items()},
    )
    for recipe in ("dr-grpo", "dual-track-grpo", "reinforce"):
        assert torch.equal(gradient(learned(policy, batch, recipe)), gradient(learned(policy, padded, recipe)))


def test_aborted_rows_count_nowhere() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    kept = batch.select(torch.nonzero(batch.valid).squeeze(1))
    assert len(kept) == len(batch) - 1
    for recipe in ("grpo", "dapo", "dual-track-grpo", "rloo", "reinforce"):
        with_it, without = learned(policy, batch, recipe), learned(policy, kept, recipe)
        torch.testing.assert_close(gradient(with_it), gradient(without), rtol=0, atol=1e-14)


def test_a_pass_is_cut_into_minibatches_that_cover_every_row_once() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    learner = Learner(policy, make_recipe("grpo"), LearnerConfig(epochs=3, minibatches=4))
    steps = list(learner._minibatches(batch))
    assert len(steps) == 12
    valid = torch.nonzero(batch.valid).squeeze(1).tolist()
    for epoch in range(3):
        assert sorted(torch.cat(steps[4 * epoch : 4 * epoch + 4]).tolist()) == valid
    assert any(not torch.equal(one, other) for one, other in zip(steps[:4], steps[4:8], strict=True))
    again = Learner(BigramPolicy(), make_recipe("grpo"), LearnerConfig(epochs=3, minibatches=4))
    assert all(torch.equal(one, other) for one, other in zip(steps, again._minibatches(batch), strict=True))
    few = Learner(BigramPolicy(), make_recipe("grpo"), LearnerConfig(minibatches=100))
    assert len(list(few._minibatches(batch))) == len(valid), "never an empty one"


# Old log-probabilities, and the sampler's


def test_the_first_pass_is_as_good_as_scoring_before() -> None:
    policy = BigramPolicy(seed=1)
    sampler = BigramPolicy(seed=2)
    batch = language_batch(sampler, seed=3)
    one, other = (learned(policy, batch, old_logp=mode) for mode in ("first-pass", "recompute"))
    assert torch.equal(gradient(one), gradient(other))
    assert torch.equal(gradient(one), gradient(learned(policy, batch)))
    trusting = learned(policy, batch, old_logp="sampler")
    assert not torch.allclose(gradient(one), gradient(trusting))


def test_later_epochs_clip_against_the_weights_of_the_rollout() -> None:
    """With a step so long that every ratio leaves the band, the second epoch has nothing left to gain."""
    policy = BigramPolicy(seed=1)
    rows = [episode("a", seed, [([0], [seed], float(seed))], policy=policy) for seed in range(2)]
    batch = batch_of(rows, policy, dtype=torch.float64)
    Learner(policy, make_recipe("grpo"), LearnerConfig(**FREE, epochs=2, learning_rate=0.9)).update(batch)
    ratio = (table(policy).log_softmax(-1)[0, :2] - batch.behaviour_logp[:, 1]).exp()
    assert ratio[0] < 0.8 and ratio[1] > 1.2
    assert not gradient(policy).any()


@pytest.mark.parametrize("correction", ["truncate", "mask"])
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_the_correction_weighs_tokens_by_what_the_sampler_thought(correction: Any, level: Any) -> None:
    batch = language_batch(BigramPolicy())
    policy = FreePolicy(batch, drift=0.8)
    plain = FreePolicy(batch, drift=0.8)
    config = LearnerConfig(
        **FREE, correction=correction, correction_level=level, correction_low=0.5, correction_high=2.0
    )
    Learner(policy, make_recipe("grpo"), config).update(policy.place(batch))
    Learner(plain, make_recipe("grpo"), LearnerConfig(**FREE)).update(plain.place(batch))
    fresh = FreePolicy(batch, drift=0.8)
    logp = fresh.score(batch.tokens, batch.attention_mask, batch.policy_mask, fresh.place(batch).context).logp
    apart = torch.where(batch.policy_mask, logp.detach() - batch.behaviour_logp, 0.0)
    weight = (apart.sum(1, keepdim=True).expand_as(apart) if level == "sequence" else apart).exp()
    bounded = weight.clamp(0.5, 2.0) if correction == "truncate" else weight * ((weight >= 0.5) & (weight <= 2.0))
    assert (bounded != weight).any()
    torch.testing.assert_close(policy.gradient(), plain.gradient() * bounded, rtol=0, atol=1e-12)


def test_the_mismatch_with_the_sampler_is_logged_in_every_mode() -> None:
    batch = language_batch(BigramPolicy(seed=2), seed=3)
    logs = [
        Learner(BigramPolicy(seed=1), make_recipe("grpo"), LearnerConfig(old_logp=mode)).update(batch)  # type: ignore[arg-type]
        for mode in ("first-pass", "recompute")
    ]
    for name in ("mismatch_mean", "mismatch_max", "mismatch_kl"):
        assert logs[0][name] == pytest.approx(logs[1][name], abs=1e-12)
        assert logs[0][name] > 0


def test_settings_that_contradict_each_other_are_refused() -> None:
    policy = BigramPolicy()
    with pytest.raises(ConfigurationError, match=r"old_logp='first-pass' with epochs=2.*Use old_logp='recompute'"):
        Learner(policy, make_recipe("grpo"), LearnerConfig(old_logp="first-pass", epochs=2))
    with pytest.raises(ConfigurationError, match=r"correction='mask' with old_logp='sampler'"):
        Learner(policy, make_recipe("grpo"), LearnerConfig(old_logp="sampler", correction="mask"))
    with pytest.raises(ConfigurationError, match=r"'ppo' needs a critic: build the policy with critic=True"):
        Learner(policy, make_recipe("ppo"), LearnerConfig())
    with pytest.raises(ConfigurationError, match=r"kl_coefficient=0.1 needs a reference"):
        Learner(policy, make_recipe("grpo", kl_coefficient=0.1), LearnerConfig())


def test_the_critic_sees_what_follows_where_a_budget_cut_the_episode() -> None:
    """One step, value 3 of what follows, discount 0.5: the return of a cut row is 1 + 1.5, of an ended one 1."""
    policy = policy_for((spaces.Box(-1, 1, (1,)), spaces.Discrete(2)), critic=True, dtype=torch.float64)
    assert policy.network.critic is not None
    for parameter in policy.network.critic.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(policy.network.critic[-1].bias, 3.0)  # type: ignore[arg-type]
    turn = Turn("agent", [0.5], 0, 1.0, {}, action_token_ids=(0,), logps=(-0.7,))
    ends: tuple[Status, ...] = ("terminated", "truncated")
    rows = [Episode("E", "", seed, (turn,), status, final_observation=[0.1]) for seed, status in enumerate(ends)]
    batch = batch_of(rows, policy, dtype=torch.float64)
    recipe = make_recipe("ppo", discount=0.5, whiten=False)
    prepared = Learner(policy, recipe, LearnerConfig()).prepare(batch)
    assert prepared.values is not None and prepared.values.tolist() == [[3.0], [3.0]]
    assert recipe.advantage(prepared)["return"].tolist() == [[1.0], [2.5]]


# What is not a number


def test_a_loss_that_is_no_number_stops_before_the_step() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    learner = Learner(policy, make_recipe("grpo"), LearnerConfig())
    learner.update(batch)
    before = copy.deepcopy(learner.state())
    broken = batch.behaviour_logp.clone()
    broken[0, torch.nonzero(batch.policy_mask[0])[0]] = torch.nan
    learner.config = LearnerConfig(old_logp="sampler")
    with pytest.raises(TrainingDiverged, match=r"update 1: the loss is nan.*lower learning_rate"):
        learner.update(replace(batch, old_logp=broken))
    after = learner.state()
    assert torch.equal(before["module"]["table"], after["module"]["table"])
    assert before["version"] == after["version"] == 1
    moments = [state["optimiser"]["state"][0]["exp_avg"] for state in (before, after)]
    assert torch.equal(*moments)


def test_a_gradient_that_is_no_number_stops_before_the_step() -> None:
    policy = BigramPolicy()
    batch = language_batch(policy)
    table(policy).register_hook(lambda gradient: gradient * torch.inf)
    before = table(policy).detach().clone()
    with pytest.raises(TrainingDiverged, match=r"gradient's norm is (nan|inf)"):
        Learner(policy, make_recipe("grpo"), LearnerConfig()).update(batch)
    assert torch.equal(before, table(policy))


def test_a_batch_of_failures_is_refused() -> None:
    policy = BigramPolicy()
    rows = [episode("a", seed, [([0], [1], 1.0)], status="infra_error") for seed in range(2)]
    with pytest.raises(DataError, match="none of the batch's 2 rows can be learned from"):
        Learner(policy, make_recipe("grpo"), LearnerConfig()).update(batch_of(rows, policy))


# Observations that are normalised


def test_observations_are_normalised_by_those_of_earlier_batches() -> None:
    space = (spaces.Box(-100, 100, (2,)), spaces.Discrete(2))
    policy = policy_for(space, normalise=True)
    seen = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)) * 20 + 50
    turns = [
        Turn("agent", seen[place].numpy(), 0, float(place), {}, action_token_ids=(place % 2,), logps=(-0.7,))
        for place in range(6)
    ]
    rows = [Episode("E", "", seed, tuple(turns[2 * seed : 2 * seed + 2]), "terminated") for seed in range(3)]
    Learner(policy, make_recipe("reinforce"), LearnerConfig()).update(batch_of(rows, policy))
    assert policy.network.norm is not None
    torch.testing.assert_close(policy.network.norm.mean, seen.double().mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(policy.network.norm.variance, seen.double().var(0, correction=0), rtol=1e-5, atol=0)
    plain = policy_for(space)
    Learner(plain, make_recipe("reinforce"), LearnerConfig()).update(batch_of(rows, plain))
