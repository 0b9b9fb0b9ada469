"""The step of a method beside GRPO's: what is timed is what is said. Ratios are held to the gate, no time is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fogline.benchmarks.speed import optimisers
from fogline.benchmarks.speed.optimisers import CONTESTANTS, GATE, PEER, Contestant, Plan, Size
from fogline.benchmarks.speed.report import Effort

torch.set_num_threads(1)

SMALL = Size(64, rows=4, group_size=2, read=3, written=6, layers=1, width=16)


def test_every_method_is_measured_at_every_size() -> None:
    found = optimisers.run(Effort(rounds=2, seconds=0.001), Plan(sizes=(SMALL, Size(96, 4, 2, 3, 6, 1, 16))))
    assert [item.case for item in found] == [
        "dgpo, vocabulary 64", "dynamo, vocabulary 64", "dgpo, vocabulary 96", "dynamo, vocabulary 96",
    ]  # fmt: skip
    assert {item.benchmark for item in found} == {optimisers.NAME}
    for item in found:
        assert item.seen.low <= item.seen.median <= item.seen.high
        assert item.subject_value.low > 0 and item.peer_value.low > 0 and item.verdict in ("PASS", "FAIL")


def test_the_real_sizes_and_bounds_are_those_that_are_promised() -> None:
    assert [size.vocabulary for size in Plan().sizes] == [512, 32_000]
    assert {one.recipe: one.target.bound for one in Plan().contestants} == {"dgpo": 1.05, "dynamo": 1.15}
    assert optimisers.PAIRS >= 50


@pytest.mark.parametrize("contestant", CONTESTANTS, ids=lambda one: one.recipe)
def test_both_sides_start_from_the_same_weights_and_learn_from_the_same_rows(contestant: Contestant) -> None:
    ours = optimisers.make_learner(SMALL, contestant.recipe, contestant.options)
    theirs = optimisers.make_learner(SMALL, PEER, {"aggregation": "token-mean"})
    for one, other in zip(ours.weights.trainable, theirs.weights.trainable, strict=True):
        assert torch.equal(one, other)
    assert ours.config == theirs.config
    batch = optimisers.make_batch(SMALL)
    mine, his = ours.recipe.advantage(batch)["policy"], theirs.recipe.advantage(batch)["policy"]
    assert torch.equal(mine, his) and ours.recipe.options["aggregation"] == theirs.recipe.options["aggregation"]


def test_the_batch_lies_on_both_sides_of_the_trust_region() -> None:
    logged = optimisers.make_learner(SMALL, "dgpo", {}).update(optimisers.make_batch(SMALL))
    assert logged["clip_left_negative"] > 0.05 and logged["clip_right_positive"] > 0.05
    logged = optimisers.make_learner(SMALL, "dynamo", {}).update(optimisers.make_batch(SMALL))
    assert logged["modulation_negative_min"] < 1


@given(st.lists(st.floats(0.5, 2), min_size=3, max_size=30))
def test_the_interval_of_a_median_holds_it(ratios: list[float]) -> None:
    found = optimisers.median_interval(ratios)
    assert min(ratios) <= found.low <= found.median <= found.high <= max(ratios)
    assert found == optimisers.median_interval(ratios)


@pytest.mark.parametrize("size", [Size(512, written=24), Size(32_000, rows=8, written=12)], ids=lambda s: s.vocabulary)
@pytest.mark.parametrize("contestant", CONTESTANTS, ids=lambda one: one.recipe)
def test_no_step_costs_more_than_the_gate(size: Size, contestant: Contestant) -> None:
    assert optimisers.compare(size, contestant, pairs=9).seen.median <= GATE
