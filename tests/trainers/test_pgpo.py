"""PGPO's parts and the invariants of its specification (5.4)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.core.errors import ConfigurationError, DataError
from fogline.trainers.advantages import group_normalise
from fogline.trainers.batch import Batch, batch_of
from fogline.trainers.process import process_gate, process_gated_reward, process_score
from fogline.trainers.recipes import make_recipe
from fogline.trainers.selection import length_aware_sampling

ENV = "VisualTable-v0"


def floats(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bools(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.bool)


SCORES = torch.tensor([[1.0, 0.5, 0.0], [0.8, 0.4, 9.0], [0.2, 0.0, 0.0], [9.0, 9.0, 9.0]], dtype=torch.float64)
STEPS = bools(1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0).reshape(4, 3)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("mean", (0.5, 0.6, 0.2, 0.0)),
        ("min", (0.0, 0.4, 0.2, 0.0)),
        ("prod", (0.0, 0.32, 0.2, 0.0)),
        ("last", (0.0, 0.4, 0.2, 0.0)),
    ],
)
def test_step_scores_become_one(aggregation: str, expected: tuple[float, ...]) -> None:
    found = process_score(SCORES, STEPS, bools(1, 1, 1, 1), aggregation)
    torch.testing.assert_close(found, floats(*expected))


def test_a_row_that_points_nowhere_is_capped_and_one_without_steps_has_nothing() -> None:
    ones, steps = torch.ones(3, 2, dtype=torch.float64), bools(1, 1, 1, 1, 0, 0).reshape(3, 2)
    assert process_score(ones, steps, bools(1, 0, 0)).tolist() == [1.0, 0.5, 0.0]
    assert process_score(ones, steps, bools(1, 0, 0), shortcut_cap=0.0).tolist() == [1.0, 0.0, 0.0]
    assert process_score(ones, steps, bools(0, 0, 0), shortcut_cap=1.0).tolist() == [1.0, 1.0, 0.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(0, 4), st.floats(0, 1))
def test_no_better_step_lowers_the_score(scores: list[float], place: int, more: float) -> None:
    better = list(scores)
    place %= len(scores)
    better[place] = max(better[place], more)
    mask, anchored = torch.ones(1, len(scores), dtype=torch.bool), bools(1)
    for aggregation in ("mean", "min", "prod", "last"):
        low, high = (process_score(floats(*row)[None], mask, anchored, aggregation) for row in (scores, better))
        assert float(low) <= float(high) + 1e-12
        assert 0 <= float(low) <= 1


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.1, float("inf")])
def test_a_critic_that_answers_garbage_is_an_error_and_no_zero(wrong: float) -> None:
    scores = SCORES.clone()
    scores[1, 1] = wrong
    with pytest.raises(DataError, match="step 1 of row 1"):
        process_score(scores, STEPS, bools(1, 1, 1, 1))
    with pytest.raises(ConfigurationError, match="aggregation"):
        process_score(SCORES, STEPS, bools(1, 1, 1, 1), "median")
    with pytest.raises(ConfigurationError, match="shortcut_cap"):
        process_score(SCORES, STEPS, bools(1, 1, 1, 1), shortcut_cap=2.0)


def test_gates() -> None:
    process = floats(0.0, 0.49, 0.5, 1.0)
    assert process_gate(process).tolist() == [0.0, 0.49, 0.5, 1.0]
    assert process_gate(process, "hard").tolist() == [0.0, 0.0, 1.0, 1.0]
    assert process_gate(process, "hard", 0.4).tolist() == [0.0, 1.0, 1.0, 1.0]
    assert process_gate(process, "off").tolist() == [1.0] * 4
    with pytest.raises(ConfigurationError, match="gate"):
        process_gate(process, "half")


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["soft", "hard", "off"]), st.booleans(), st.booleans())
def test_the_reward_is_bounded_and_grows_with_each_of_its_parts(
    low: float, high: float, gate: str, correct: bool, formed: bool
) -> None:
    low, high = min(low, high), max(low, high)

    def reward(process: float, right: float, form: float) -> float:
        return float(process_gated_reward(floats(process), floats(right), floats(form), gate))

    right, form = float(correct), float(formed)
    assert 0 <= reward(low, right, form) <= 1.0
    assert reward(low, right, form) <= reward(high, right, form)
    assert reward(low, 0.0, form) <= reward(low, 1.0, form)
    assert reward(low, right, 0.0) <= reward(low, right, 1.0)
    if gate == "soft":
        gap = reward(high, 1.0, form) - reward(low, 1.0, form)
        assert gap == pytest.approx((0.9 + 0.1 * form) * (high - low))


# Length-aware sampling


def kept(metric: Any, length: Any, group: Any, valid: Any = None, **levels: float) -> list[bool]:
    rows = len(group)
    return length_aware_sampling(
        floats(*metric),
        torch.tensor(length),
        torch.tensor(group),
        torch.ones(rows, dtype=torch.bool) if valid is None else bools(*valid),
        **levels,
    ).tolist()  # type: ignore[no-any-return]


def brute_force(
    metric: list[float], length: list[int], group: list[int], low: float, high: float, top: float
) -> list[bool]:
    """By the definition, with numpy's quantiles."""
    members = {number: [row for row, own in enumerate(group) if own == number] for number in set(group)}
    alive = {
        number: float(np.mean([length[row] for row in rows]))
        for number, rows in members.items()
        if len(rows) == 1 or len({metric[row] for row in rows}) > 1
    }
    if not alive:
        return [False] * len(group)
    first, second, third = np.quantile(list(alive.values()), [low, high, top])
    return [own in alive and (alive[own] <= first or second <= alive[own] <= third) for own in group]


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=24),
    st.sampled_from([(0.3, 0.65, 0.95), (0.3, 0.6, 0.9), (0.0, 0.5, 0.5), (1.0, 1.0, 1.0)]),
)
def test_what_is_kept_is_what_the_definition_says(
    rows: list[tuple[float, int, int]], levels: tuple[float, ...]
) -> None:
    metric, length, group = (list(column) for column in zip(*rows, strict=True))
    low, high, top = levels
    assert kept(metric, length, group, low=low, high=high, top=top) == brute_force(metric, length, group, *levels)
    scaled = [3 * value for value in length]
    assert kept(metric, scaled, group, low=low, high=high, top=top) == brute_force(metric, length, group, *levels)


def test_lengths_the_order_of_prompts_and_levels_that_keep_all() -> None:
    metric = [0, 1] * 6
    length = [value for value in (1, 2, 3, 4, 5, 6) for _ in range(2)]
    group = [number for number in range(6) for _ in range(2)]
    usual = kept(metric, length, group)
    assert usual[::2] == [True, True, False, False, True, False]
    order = [7, 2, 11, 0, 5, 3, 8, 1, 10, 4, 9, 6]
    shuffled = kept(*([column[place] for place in order] for column in (metric, length, group)))
    assert shuffled == [usual[place] for place in order]
    for levels in ({"low": 1.0}, {"high": 0.0, "top": 1.0}):
        assert all(kept(metric, length, group, **levels))
    assert all(kept(metric, [4] * 12, group))


def test_groups_that_all_earned_the_same_and_invalid_rows_are_out() -> None:
    assert kept([1, 1, 0, 1], [2, 2, 2, 2], [0, 0, 1, 1]) == [False, False, True, True]
    assert kept([1, 1], [2, 2], [0, 1]) == [True, True]
    assert kept([0, 1, 0, 1], [2, 2, 2, 2], [0, 0, 1, 1], valid=[1, 0, 1, 1]) == [True, False, True, True]
    assert kept([1, 1], [2, 2], [0, 0]) == [False, False]
    for levels in ({"low": -0.1}, {"high": 0.7, "top": 0.6}, {"top": 1.1}):
        with pytest.raises(ConfigurationError, match="quantiles"):
            kept([0, 1], [1, 1], [0, 0], **levels)


# The recipe


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Answers of all kinds: read, misread, guessed; four tasks, three rows each."""
    options: dict[str, Any] = {
        "observation": "symbols", "size": "tiny", "prompt": "short",
        "level": 3, "kinds": ["argmax"], "tasks_per_level": 4,
    }  # fmt: skip
    env = make_environment(ENV, options)
    tasks = env.unwrapped.task_ids
    env.close()
    episodes = []
    for seed, agent in enumerate(("oracle", "hallucinator", "guesser")):
        played = collect_all(
            lambda: make_environment(ENV, options),
            make_agent(agent, ENV, env_kwargs=options),
            [Assignment(task, seed) for task in tasks],
        )
        episodes += played
    tokenizer = fit_tokenizer(episode_texts(episodes), vocabulary_size=256)
    model = tiny_causal_lm(tokenizer, layers=1, width=32, context=256, induction=False)
    policy = CausalLMPolicy(model, tokenizer, rules=False)
    episodes.sort(key=lambda episode: episode.task_id)
    return batch_of([policy.transcribe(episode) for episode in episodes], policy)


def rewards(batch: Batch, **options: Any) -> Tensor:
    gate = make_recipe("pgpo", **options).gate
    assert gate is not None
    return gate(batch)


def test_the_environment_and_the_recipe_pay_the_same(batch: Batch) -> None:
    torch.testing.assert_close(rewards(batch), batch.reward)


def test_without_the_gate_a_guess_that_is_right_earns_what_reading_does(batch: Batch) -> None:
    session = batch.session
    free = rewards(batch, process_gate="off")
    torch.testing.assert_close(free, 0.9 * session["correct"] + 0.1 * session["well_formed"])
    gated = rewards(batch)
    guessed = (session["correct"] > 0) & (session["process"] == 0)
    assert (gated[guessed] == 0).all()
    assert float(rewards(batch, process_gate="hard").max()) == pytest.approx(1.0)


def test_with_perfect_steps_it_is_dapo_and_with_none_nothing_is_learned(batch: Batch) -> None:
    def advantage(process: float, **options: Any) -> Tensor:
        session = {**batch.session, "process": torch.full_like(batch.session["process"], process)}
        shown = replace(batch, session=session)
        recipe = make_recipe("pgpo", **options)
        assert recipe.gate is not None
        paid = replace(shown, session={**session, "reward": recipe.gate(shown)})
        return recipe.advantage(paid)["policy"]

    outcome = 0.9 * batch.session["correct"] + 0.1 * batch.session["well_formed"]
    dapo = make_recipe("dapo").advantage(replace(batch, session={**batch.session, "reward": outcome}))["policy"]
    torch.testing.assert_close(advantage(1.0), dapo)
    assert not advantage(0.0).any()
    pgpo, dapo_recipe = make_recipe("pgpo"), make_recipe("dapo")
    assert pgpo.clip == dapo_recipe.clip
    assert [term.name for term in pgpo.terms] == [term.name for term in dapo_recipe.terms]


def test_a_group_that_is_all_right_but_reads_unequally_has_an_advantage_that_the_accuracy_filter_drops(
    batch: Batch,
) -> None:
    ones = torch.ones_like(batch.session["correct"])
    shown = replace(batch, session={**batch.session, "correct": ones})
    paid = rewards(shown)
    assert group_normalise(paid, batch.group, batch.valid).abs().max() > 0.5
    by_accuracy, by_reward = (make_recipe("pgpo", filter_on=name).select for name in ("accuracy", "reward"))
    assert by_accuracy is not None and by_reward is not None
    assert not by_accuracy(shown).any()
    assert by_reward(shown).any()
    assert make_recipe("pgpo", filter_on="none").select is None


@pytest.mark.parametrize("missing", ["correct", "well_formed", "process"])
def test_an_environment_that_does_not_check_steps_is_refused(batch: Batch, missing: str) -> None:
    session = {name: value for name, value in batch.session.items() if name != missing}
    with pytest.raises(ConfigurationError, match=f"{missing}.*VisualTable-v0"):
        rewards(replace(batch, session=session))


def test_the_common_gate_comes_after_the_process(batch: Batch) -> None:
    length = int(batch.policy_mask.sum(1).max())
    punished = rewards(batch, overlong_length=length, overlong_buffer=length)
    assert (punished <= rewards(batch)).all() and (punished < rewards(batch)).any()


def test_what_is_logged(batch: Batch) -> None:
    statistics = make_recipe("pgpo").statistics
    assert statistics is not None
    found = statistics(batch)
    assert found == {
        name: pytest.approx(float(batch.session[name].mean())) for name in ("process", "correct", "well_formed")
    }


def test_options_are_checked() -> None:
    for name, value in product(("process_threshold", "length_low", "length_top"), (-0.1, 1.1)):
        with pytest.raises(ConfigurationError, match=name):
            make_recipe("pgpo", **{name: value})
    with pytest.raises(ConfigurationError, match="filter_on"):
        make_recipe("pgpo", filter_on="length")
