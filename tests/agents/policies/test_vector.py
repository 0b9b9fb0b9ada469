"""Vector policies: what was sampled is what is scored, and probabilities are those of the closed forms."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from echo_game import EchoGame
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import SCHEMAS

from fogline.agents.agent import Decision, SeatView
from fogline.agents.collector import collect_all
from fogline.agents.policies import categorical
from fogline.agents.policies.encoders import SpaceEncoder
from fogline.agents.policies.networks import ActorCritic, RunningNorm
from fogline.agents.policies.policy import ROW_PREFIX, Policy
from fogline.agents.policies.vector import CategoricalPolicy, GaussianPolicy, policy_for
from fogline.agents.scripted.trust_sql_skills import SkillEncoder
from fogline.core.episode import Episode, Turn
from fogline.core.errors import AgentError, ConfigurationError, DataError, InfrastructureError
from fogline.trainers.batch import Batch, batch_of

torch.set_num_threads(1)

SEEN = spaces.Box(-2.0, 2.0, (3,))
MIXED = spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "k": spaces.Discrete(3, start=4), "b": spaces.MultiBinary(2)})
PARTS = spaces.Dict({"a": spaces.Discrete(3, start=-1), "b": spaces.MultiDiscrete([2, 4])})
LEVER = spaces.Box(np.array([-2.0, 0.0]), np.array([4.0, 1.0]), dtype=np.float64)


class World(gymnasium.Env[Any, Any]):
    """Shows samples of a space, insists on legal actions, ends or is cut after a few turns that the seed decides."""

    metadata = {"name": "World-v0", "render_modes": []}  # noqa: RUF012

    def __init__(self, observation_space: Any, action_space: Any, masked: bool = False) -> None:
        # A space draws from a generator of its own: worlds must not share one.
        self.observation_space = copy.deepcopy(observation_space)
        self.action_space = action_space
        self.masked = masked

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(1, 6))
        return self.observation_space.sample(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        if self.masked and self.mask is not None:
            assert self.mask[action]
        self.left -= 1
        cut = self.left == 0 and bool(self.np_random.integers(2))
        return self.observation_space.sample(), 1.0, self.left == 0 and not cut, cut, self._info()

    def _info(self) -> dict[str, Any]:
        self.mask = None
        if not self.masked or self.np_random.random() < 0.3:
            return {}
        self.mask = self.np_random.integers(0, 2, self.action_space.n).astype(np.int8)
        self.mask[self.np_random.integers(self.action_space.n)] = 1
        return {"action_mask": self.mask}


WORLDS = {
    "discrete": lambda: World(SEEN, spaces.Discrete(4, start=2)),
    "masked": lambda: World(SEEN, spaces.Discrete(5), masked=True),
    "parts": lambda: World(MIXED, PARTS),
    "box": lambda: World(MIXED, LEVER),
    "seats": EchoGame,
}


def played(kind: str, policy: Policy, episodes: int = 24, concurrency: int = 8) -> list[Episode]:
    found = collect_all(
        WORLDS[kind], policy, [("", seed) for seed in range(episodes)], concurrency=concurrency, retries=0
    )
    assert not [episode.failure for episode in found if episode.failure is not None]
    return found


def scored(policy: Policy, batch: Batch, **wanted: bool) -> Any:
    return policy.score(batch.tokens, batch.attention_mask, batch.policy_mask, batch.context, **wanted)


def view_of(observation: Any, seed: int = 0, info: dict[str, Any] | None = None) -> SeatView:
    view = SeatView("World-v0", "", "agent", None, entropy=(seed,))
    view.observation, view.info = observation, info or {}
    return view


def decided(policy: Any, view: SeatView) -> Decision:
    decision = policy.act([view])[0]
    assert isinstance(decision, Decision)
    return decision


def lively(policy: Any, seed: int = 0) -> Any:
    """The policy with large weights, so that probabilities are far from even."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.network.actor.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return policy


def discrete(**options: Any) -> CategoricalPolicy:
    return CategoricalPolicy(SpaceEncoder(SEEN, spaces.Discrete(4)), **options)


# What was sampled is what is scored


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_score_is_the_samplers_log_probability(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    policy = lively(policy_for(WORLDS[kind](), critic=True, dtype=dtype))
    batch = batch_of(played(kind, policy), policy, dtype=dtype)
    forward = scored(policy, batch, entropy=True, values=True)
    assert isinstance(policy, Policy)
    assert batch.valid.all()
    assert torch.allclose(forward.logp, batch.behaviour_logp, rtol=tolerance, atol=tolerance / 10)
    for found in (forward.logp, forward.entropy, forward.values):
        assert not found[~batch.policy_mask].any()
    assert forward.logp.dtype == forward.values.dtype == dtype


@pytest.mark.parametrize("kind", WORLDS)
def test_fresh_weights_score_what_they_sampled_to_a_millionth(kind: str) -> None:
    policy = policy_for(WORLDS[kind]())
    batch = batch_of(played(kind, policy), policy)
    assert torch.allclose(scored(policy, batch).logp, batch.behaviour_logp, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", WORLDS)
def test_decisions_do_not_depend_on_what_is_batched_together(kind: str) -> None:
    policy = lively(policy_for(WORLDS[kind](), dtype=torch.float64))
    alone, together = (played(kind, policy, concurrency=size) for size in (1, 24))
    for one, other in zip(alone, together, strict=True):
        assert [turn.action_token_ids for turn in one.turns] == [turn.action_token_ids for turn in other.turns]
        for left, right in zip(one.turns, other.turns, strict=True):
            assert left.logps == pytest.approx(right.logps, abs=1e-12)


@pytest.mark.parametrize("kind", ["masked", "parts", "box"])
def test_padding_and_what_lies_off_the_mask_are_not_read(kind: str) -> None:
    policy = lively(policy_for(WORLDS[kind](), critic=True, dtype=torch.float64))
    batch = batch_of(played(kind, policy), policy, dtype=torch.float64)
    clean = scored(policy, batch, entropy=True, values=True)
    tokens = torch.nn.functional.pad(batch.tokens.masked_fill(~batch.policy_mask, 2**40), (0, 3), value=-7)
    context = {}
    for name, array in batch.context.items():
        context[name] = array
        if not name.startswith(ROW_PREFIX):
            spoilt = array.clone()
            spoilt[~batch.policy_mask] = math.nan if array.is_floating_point() else 1
            context[name] = torch.cat(
                [spoilt, spoilt[:, :3] * math.nan if array.is_floating_point() else spoilt[:, :3]], 1
            )
    masks = [torch.nn.functional.pad(mask, (0, 3)) for mask in (batch.attention_mask, batch.policy_mask)]
    dirty = policy.score(tokens, masks[0], masks[1], context, entropy=True, values=True)
    for name in ("logp", "entropy", "values"):
        found = getattr(dirty, name)
        assert torch.equal(found[:, :-3], getattr(clean, name))
        assert not found[:, -3:].any()
    gradients = []
    for forward in (clean, dirty):
        policy.module.zero_grad()
        (forward.logp.sum() + forward.entropy.sum() + forward.values.sum()).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in policy.module.parameters()]))
    assert torch.allclose(*gradients, rtol=1e-12, atol=1e-12)
    assert gradients[0].isfinite().all()


def test_a_stored_episode_is_scored_like_a_fresh_one() -> None:
    for kind in ("masked", "box"):
        policy = lively(policy_for(WORLDS[kind](), dtype=torch.float64))
        episodes = played(kind, policy, episodes=6)
        stored = [Episode.from_json(json.loads(json.dumps(episode.to_json()))) for episode in episodes]
        fresh, again = (scored(policy, batch_of(rows, policy, dtype=torch.float64)).logp for rows in (episodes, stored))
        assert torch.equal(fresh, again)


# The softmax


def test_choices_come_as_often_as_their_probability_says() -> None:
    policy = lively(discrete(dtype=torch.float64))
    observation = np.array([0.3, -0.4, 1.0], np.float32)
    decisions = policy.act([view_of(observation, seed) for seed in range(4000)])
    with torch.no_grad():
        wanted = torch.softmax(policy.network.outputs(torch.from_numpy(observation)), -1).numpy()
    counts = np.bincount([decision.action_token_ids[0] for decision in decisions], minlength=4)
    spread = np.sqrt(wanted * (1 - wanted) / 4000)
    assert np.all(np.abs(counts / 4000 - wanted) < 4 * spread + 1e-9)
    for decision in decisions[:20]:
        (index,) = decision.action_token_ids
        assert decision.logps[0] == pytest.approx(math.log(wanted[index]), rel=1e-5)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 1000))
def test_parts_are_independent_and_entropies_add_up(sizes: list[int], seed: int) -> None:
    """Against the joint distribution, written out: its probabilities add up to 1 and its entropy is the score's."""
    encoder = SpaceEncoder(SEEN, spaces.MultiDiscrete(sizes))
    policy = lively(CategoricalPolicy(encoder, dtype=torch.float64, hidden=(4,)), seed)
    count = math.prod(sizes)
    observation = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mask = torch.tensor([[True, False]])
    tokens = torch.tensor([[seed % count, 0]])
    forward = policy.score(tokens, mask, mask, {"observation": observation}, entropy=True)
    joint = forward.gather(torch.arange(count).expand(1, 2, count))
    assert joint.shape == (1, 2, count)
    assert not joint[0, 1].any()
    logp = joint[0, 0].detach()
    assert float(logp.exp().sum()) == pytest.approx(1.0)
    assert float(logp[tokens[0, 0]]) == pytest.approx(forward.logp[0, 0].item())
    assert float(-(logp.exp() * logp).sum()) == pytest.approx(forward.entropy[0, 0].item(), abs=1e-12)
    scores = policy.network.outputs(observation[0, 0]).reshape(len(sizes), max(sizes))
    parts = [torch.distributions.Categorical(logits=row[:size]) for row, size in zip(scores, sizes, strict=True)]
    digits = np.unravel_index(int(tokens[0, 0]), sizes)
    by_hand = sum(part.log_prob(torch.tensor(int(digit))) for part, digit in zip(parts, digits, strict=True))
    assert forward.logp[0, 0].item() == pytest.approx(by_hand.item(), abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 40, 2**22])
def test_an_expectation_walks_over_all_joint_choices(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categorical, "_CHUNK", chunk)
    policy = lively(policy_for(WORLDS["parts"](), dtype=torch.float64))
    batch = batch_of(played("parts", policy), policy)
    forward = scored(policy, batch, entropy=True)
    entropy = forward.expect(lambda logp: -(logp.exp() * logp).sum(-1))
    assert torch.allclose(entropy, forward.entropy, atol=1e-12)
    entropy.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in policy.network.actor.parameters())


def test_an_expectation_over_too_many_choices_is_refused_and_sampling_is_not() -> None:
    policy = policy_for((SEEN, spaces.MultiBinary(62)), dtype=torch.float64)
    views = [view_of(np.zeros(3, np.float32), seed) for seed in range(3)]
    decisions = policy.act(views)
    tokens = torch.tensor([[decision.action_token_ids[0]] for decision in decisions])
    mask = torch.ones(3, 1, dtype=torch.bool)
    forward = policy.score(tokens, mask, mask, {"observation": torch.zeros(3, 1, 3)})
    assert forward.logp.flatten().tolist() == pytest.approx([decision.logps[0] for decision in decisions], abs=1e-12)
    with pytest.raises(ConfigurationError, match="at most 1048576"):
        forward.expect(lambda logp: logp.sum(-1))


@pytest.mark.parametrize("token", [4, -1])
def test_a_token_that_is_no_choice_is_refused(token: int) -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    with pytest.raises(DataError, match="choices 0 to 3"):
        discrete().score(torch.tensor([[token]]), mask, mask, {"observation": torch.zeros(1, 1, 3)})


def test_greed_takes_the_likeliest_choice_and_still_reports_its_probability() -> None:
    policy = lively(discrete())
    views = [view_of(np.random.default_rng(seed).normal(size=3).astype(np.float32), seed) for seed in range(30)]
    policy.greedy = True
    with torch.no_grad():
        rows = torch.log_softmax(policy.network.outputs(torch.tensor(np.stack([v.observation for v in views]))), -1)
    for decision, row in zip(policy.act(views), rows, strict=True):
        assert isinstance(decision, Decision)
        assert decision.action_token_ids == (int(row.argmax()),)
        assert decision.logps[0] == pytest.approx(float(row.max()), abs=1e-5)


# Action masks


def test_illegal_choices_have_probability_0_when_acting_and_when_scored() -> None:
    policy = lively(policy_for(WORLDS["masked"](), dtype=torch.float64))
    episodes = played("masked", policy)
    batch = batch_of(episodes, policy, dtype=torch.float64)
    illegal = batch.context["illegal"]
    assert illegal.any()
    assert not illegal.all(-1).any()
    forward = scored(policy, batch, entropy=True)
    everything = forward.gather(torch.arange(5).expand(*batch.tokens.shape, 5))
    here = batch.policy_mask
    assert (everything[here].exp()[illegal[here]] == 0).all()
    assert torch.allclose(everything[here].exp().sum(-1), torch.ones(int(here.sum()), dtype=torch.float64))
    scores = policy.network.outputs(batch.context["observation"][here]).masked_fill(illegal[here], -math.inf)
    entropy = torch.stack([torch.distributions.Categorical(logits=row[row.isfinite()]).entropy() for row in scores])
    assert torch.allclose(forward.entropy[here], entropy, atol=1e-12)


def test_a_view_without_a_mask_is_free_beside_one_with() -> None:
    policy = lively(discrete(dtype=torch.float64))
    observation = np.ones(3, np.float32)
    only = np.array([0, 0, 1, 0])
    free, bound = policy.act([view_of(observation), view_of(observation, info={"action_mask": only})])
    assert isinstance(free, Decision)
    assert isinstance(bound, Decision)
    alone = decided(policy, view_of(observation))
    assert (free.action, free.policy_data) == (alone.action, None)
    assert free.logps == pytest.approx(alone.logps, abs=1e-12)
    assert (bound.action, bound.logps) == (2, (0.0,))


def test_a_mask_that_forbids_everything_stops_its_own_episode_only() -> None:
    views = [view_of(np.ones(3, np.float32), 0, {"action_mask": np.zeros(4)}), view_of(np.ones(3, np.float32))]
    for policy in (discrete(), discrete()):
        stuck, free = policy.act(views)
        assert isinstance(stuck, AgentError)
        assert "forbids every action" in str(stuck)
        assert isinstance(free, Decision)
        policy.greedy = True


def test_a_mask_of_another_shape_is_refused() -> None:
    view = view_of(np.ones(3, np.float32), 0, {"action_mask": np.ones(3)})
    with pytest.raises(ConfigurationError, match=r"shape \(3,\) for parts of sizes \(4,\)"):
        discrete().act([view])


# The Gaussian


def test_the_density_is_that_of_independent_normals() -> None:
    policy = lively(policy_for(WORLDS["box"](), dtype=torch.float64))
    assert isinstance(policy, GaussianPolicy)
    with torch.no_grad():
        policy.log_std.copy_(torch.tensor([-0.7, 0.4]))
    batch = batch_of(played("box", policy), policy, dtype=torch.float64)
    forward = scored(policy, batch, entropy=True)
    here = batch.policy_mask
    normal = torch.distributions.Normal(
        policy.network.outputs(batch.context["observation"][here]), policy.log_std.exp()
    )
    assert torch.allclose(forward.logp[here], normal.log_prob(batch.context["action"][here]).sum(-1), atol=1e-12)
    assert torch.allclose(forward.entropy[here], normal.entropy().sum(-1), atol=1e-12)
    assert not batch.tokens.any()
    (forward.logp.sum() + forward.entropy.sum()).backward()
    assert policy.log_std.grad is not None
    assert policy.log_std.grad.all()


def test_samples_have_the_mean_and_deviation_that_they_report() -> None:
    policy = policy_for((SEEN, LEVER), dtype=torch.float64)
    assert isinstance(policy, GaussianPolicy)
    with torch.no_grad():
        policy.log_std.copy_(torch.tensor([-1.0, 0.5]))
    decisions = policy.act([view_of(np.ones(3, np.float32), seed) for seed in range(4000)])
    samples = np.stack([decision.policy_data["sample"] for decision in decisions])
    policy.greedy = True
    centre = decided(policy, view_of(np.ones(3, np.float32))).policy_data
    assert centre is not None
    deviation = np.exp([-1.0, 0.5])
    assert np.all(np.abs(samples.mean(0) - centre["sample"]) < 4 * deviation / math.sqrt(4000))
    assert samples.std(0) == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize(
    ("space", "sample", "action"),
    [
        (LEVER, [0.0, 0.0], [1.0, 0.5]),
        (LEVER, [-1.0, 1.0], [-2.0, 1.0]),
        (LEVER, [7.0, -9.0], [4.0, 0.0]),
        (spaces.Box(-np.inf, np.inf, (2,), np.float64), [7.0, -9.0], [7.0, -9.0]),
        (spaces.Box(np.array([0.0, -np.inf]), np.array([np.inf, 1.0]), dtype=np.float64), [-3.0, 3.0], [0.0, 1.0]),
    ],
)
def test_the_environment_receives_the_sample_in_the_boxs_units_and_clipped(
    space: spaces.Box, sample: list[float], action: list[float]
) -> None:
    policy = policy_for((SEEN, space))
    assert isinstance(policy, GaussianPolicy)
    handed = policy.legal(np.array([sample]))
    assert space.contains(handed[0])
    assert handed[0].tolist() == action


def test_the_log_probability_is_of_the_sample_and_not_of_the_clipped_action() -> None:
    policy = policy_for(WORLDS["box"](), dtype=torch.float64)
    assert isinstance(policy, GaussianPolicy)
    with torch.no_grad():
        policy.log_std.fill_(2.0)
    turns = [turn for episode in played("box", policy) for turn in episode.turns]
    clipped = [turn for turn in turns if np.any(np.isin(turn.action, [-2.0, 0.0, 4.0, 1.0]))]
    assert len(clipped) > len(turns) // 2
    assert all(turn.policy_data is not None and np.abs(turn.policy_data["sample"]).max() > 1 for turn in clipped)


def test_a_density_has_no_vocabulary() -> None:
    policy = policy_for(WORLDS["box"]())
    batch = batch_of(played("box", policy, episodes=2), policy)
    forward = scored(policy, batch)
    with pytest.raises(ConfigurationError, match="no vocabulary"):
        forward.gather(batch.tokens[..., None])
    with pytest.raises(ConfigurationError, match="no vocabulary"):
        forward.expect(lambda logp: logp.sum(-1))


def test_a_box_of_integers_is_no_gaussian() -> None:
    with pytest.raises(ConfigurationError, match="expected a Box of floats"):
        policy_for((SEEN, spaces.Box(0, 9, (2,), np.int64)))


# Networks and their first weights


def test_the_first_weights_follow_the_seed_and_touch_no_global_generator() -> None:
    before = torch.get_rng_state()
    one, same, other = (discrete(seed=seed, critic=True).module.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["actor.0.weight"], other["actor.0.weight"])
    assert not torch.equal(one["actor.0.weight"], one["critic.0.weight"])


def test_layers_are_orthogonal_with_the_gains_of_their_places() -> None:
    network = ActorCritic(8, 4, hidden=(8, 8), critic=True, dtype=torch.float64)
    assert network.critic is not None
    for layers, last in ((network.actor, 0.01), (network.critic, 1.0)):
        linears = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
        for layer, gain in zip(linears, (math.sqrt(2), math.sqrt(2), last), strict=True):
            product = layer.weight @ layer.weight.T
            assert torch.allclose(product, gain**2 * torch.eye(len(product), dtype=torch.float64), atol=1e-12)
            assert not layer.bias.any()


def test_acting_draws_from_the_views_generators_alone() -> None:
    before = torch.get_rng_state()
    policy = discrete()
    assert decided(policy, view_of(np.ones(3), 5)) == decided(policy, view_of(np.ones(3), 5))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_critic_is_optional_and_has_weights_of_its_own() -> None:
    assert not discrete().has_critic
    policy = policy_for(WORLDS["discrete"](), critic=True, dtype=torch.float64)
    batch = batch_of(played("discrete", policy), policy)
    assert scored(discrete(), batch, values=True).values is None
    forward = scored(policy, batch, values=True)
    forward.values.sum().backward()
    assert all(parameter.grad is None for parameter in policy.network.actor.parameters())
    assert policy.network.critic is not None
    by_hand = policy.network.critic(batch.context["observation"].double()).squeeze(-1)
    assert torch.allclose(forward.values, by_hand * batch.policy_mask)


def test_the_bootstrap_values_what_was_seen_last() -> None:
    policy = policy_for(WORLDS["discrete"](), critic=True, dtype=torch.float64)
    episodes = played("discrete", policy, episodes=5)
    unknown = Episode("World-v0", "", 9, episodes[0].turns, "truncated")
    found = policy.bootstrap(batch_of([*episodes, unknown], policy).context)
    assert found is not None
    assert policy.network.critic is not None
    for episode, value in zip(episodes, found, strict=False):
        by_hand = policy.network.critic(torch.from_numpy(episode.final_observation).double())
        assert value.item() == pytest.approx(by_hand.item())
    assert found[-1] == 0.0
    assert discrete().bootstrap(batch_of(episodes, discrete()).context) is None


def test_each_seat_bootstraps_from_its_own_last_observation() -> None:
    policy = policy_for(EchoGame(), critic=True)
    episodes = played("seats", policy, episodes=4)
    final = batch_of(episodes, policy).context[ROW_PREFIX + "final_observation"]
    seen = [episode.final_observation[seat] for episode in episodes for seat in episode.seats]
    assert np.array_equal(final.numpy(), np.stack(seen))


# Normalisation


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5))
def test_statistics_of_pieces_are_those_of_the_whole(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(sum(sizes))
    pieces = [3 + 5 * torch.randn(size, 2, generator=generator, dtype=torch.float64) for size in sizes]
    norm = RunningNorm(2)
    for piece in pieces:
        norm.observe(piece)
    whole = torch.cat(pieces)
    assert norm.count == len(whole)
    if len(whole):
        assert torch.allclose(norm.mean, whole.mean(0))
        assert torch.allclose(norm.variance, whole.var(0, correction=0))
        assert torch.allclose(norm(whole).mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-9)
        assert norm(whole.float()).dtype == torch.float32


def test_acting_and_scoring_leave_the_statistics_alone_and_observing_changes_both() -> None:
    policy = policy_for(WORLDS["box"](), normalise=True, critic=True, dtype=torch.float64)
    norm = policy.network.norm
    assert norm is not None
    batch = batch_of(played("box", policy), policy, dtype=torch.float64)
    before = scored(policy, batch, values=True)
    assert norm.count == 0
    assert torch.allclose(before.logp, batch.behaviour_logp, atol=1e-12)
    policy.observe(batch.context["observation"][batch.policy_mask])
    assert norm.count == int(batch.policy_mask.sum())
    after = scored(policy, batch, values=True)
    assert not torch.allclose(before.logp, after.logp)
    assert not torch.allclose(before.values, after.values)
    again = batch_of(played("box", policy), policy, dtype=torch.float64)
    assert torch.allclose(scored(policy, again).logp, again.behaviour_logp, atol=1e-12)


def test_a_policy_that_does_not_normalise_says_so() -> None:
    with pytest.raises(ConfigurationError, match="normalise=True"):
        discrete().observe(torch.zeros(1, 3))


# Files, copies and refusals


def test_weights_statistics_and_version_are_saved(tmp_path: Path) -> None:
    policy = lively(policy_for(WORLDS["box"](), normalise=True, critic=True))
    policy.observe(torch.randn(9, 7, generator=torch.Generator().manual_seed(0)))
    policy.version = 7
    policy.save(tmp_path / "new" / "folder")
    other = policy_for(WORLDS["box"](), normalise=True, critic=True, seed=5)
    other.load(tmp_path / "new" / "folder")
    assert other.version == 7
    for name, value in policy.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name])
    view = MIXED.sample()
    assert np.array_equal(decided(policy, view_of(view, 3)).action, decided(other, view_of(view, 3)).action)


def test_a_folder_of_another_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no vector_policy\.pt"):
        discrete().load(tmp_path)
    discrete().save(tmp_path)
    with pytest.raises(DataError, match="of another policy than categorical"):
        discrete(hidden=(8,)).load(tmp_path)


def test_a_reference_stays_behind_and_has_no_gradient() -> None:
    for kind in ("discrete", "box"):
        policy = policy_for(WORLDS[kind](), dtype=torch.float64)
        batch = batch_of(played(kind, policy), policy, dtype=torch.float64)
        reference = policy.reference()
        with torch.no_grad():
            for parameter in policy.module.parameters():
                parameter.add_(0.1)
        then = scored(reference, batch).logp
        assert not then.requires_grad
        assert torch.allclose(then, batch.behaviour_logp, atol=1e-12)
        assert not torch.allclose(scored(policy, batch).logp, then)


def test_turns_of_another_policy_are_refused() -> None:
    words = Turn("agent", np.zeros(3), 0, 0.0, {}, context_token_ids=(5,), action_token_ids=(1, 2), logps=(-1.0, -1.0))
    with pytest.raises(DataError, match="1 read and 2 written tokens"):
        discrete().context([words], None)
    choice = Turn("agent", np.zeros(3), 0, 0.0, {}, action_token_ids=(0,), logps=(-1.0,))
    with pytest.raises(DataError, match="without the sample behind its action"):
        policy_for((SEEN, LEVER)).context([choice], None)


def test_an_observation_that_is_not_finite_is_nobodys_choice() -> None:
    for policy in (discrete(), policy_for((SEEN, LEVER))):
        broken, fine = policy.act([view_of(np.array([0.0, math.nan, 0.0])), view_of(np.zeros(3))])
        assert isinstance(broken, InfrastructureError)
        assert not broken.retryable
        assert isinstance(fine, Decision)


def test_weights_that_are_not_finite_stop_the_run() -> None:
    policy = discrete()
    with torch.no_grad():
        policy.network.actor[0].bias[0] = math.nan
    with pytest.raises(ConfigurationError, match="version 0, are not finite: lower the learning rate"):
        policy.act([view_of(np.zeros(3))])


def test_a_policy_fits_the_spaces_it_was_built_for() -> None:
    assert isinstance(policy_for(gymnasium.make("CartPole-v1")), CategoricalPolicy)
    assert isinstance(policy_for(gymnasium.make("Pendulum-v1")), GaussianPolicy)
    shared = policy_for(EchoGame())
    assert isinstance(shared, CategoricalPolicy)
    assert shared.sizes == (3,)


def test_seats_with_different_spaces_cannot_share_a_policy() -> None:
    game = EchoGame()
    game._actions["right"] = spaces.Discrete(7)
    with pytest.raises(ConfigurationError, match="share_policy is impossible: seat 'right'"):
        policy_for(game)


def test_text_goes_to_a_language_model() -> None:
    for pair in ((spaces.Text(9), spaces.Discrete(2)), (SEEN, spaces.Text(9))):
        with pytest.raises(ConfigurationError, match="CausalLMPolicy"):
            policy_for(pair)


def test_skills_are_choices_like_any_other() -> None:
    policy = CategoricalPolicy(SkillEncoder())
    view = view_of("2 tables")
    with torch.no_grad():
        assert policy.network.outputs(torch.from_numpy(policy.encoder.encode((), "x"))).shape == (SkillEncoder.actions,)
    assert policy.sizes == (SkillEncoder.actions,)
    assert policy.context(view.turns, None).per_token["observation"].shape == (0, SkillEncoder.features)


def test_skills_are_played_and_scored_in_trust_sql(make_env: Any) -> None:
    policy = lively(CategoricalPolicy(SkillEncoder(), dtype=torch.float64))
    tasks = [(task_id, seed) for task_id in sorted(SCHEMAS)[:2] for seed in range(2)]
    episodes = collect_all(lambda: make_env(actions="structured"), policy, tasks)
    batch = batch_of(episodes, policy, dtype=torch.float64)
    assert batch.valid.all()
    assert int(batch.policy_mask.sum()) == sum(len(episode.turns) for episode in episodes)
    assert torch.allclose(scored(policy, batch).logp, batch.behaviour_logp, atol=1e-12)
