"""The cost of a teacher beside GRPO plus one teacher forward, and of a whole vocabulary beside its naive form."""

from __future__ import annotations

import pytest
import torch

from fogline.benchmarks.speed import distillation
from fogline.benchmarks.speed.distillation import CONTESTANTS, TARGET, Contestant, Plan
from fogline.benchmarks.speed.optimisers import GATE, PAIRS, Size
from fogline.benchmarks.speed.report import Effort

torch.set_num_threads(1)

SMALL = Size(64, rows=4, group_size=2, read=3, written=6, layers=1, width=16)


def test_every_method_is_measured_and_the_memory_of_both_forms() -> None:
    found = distillation.run(Effort(rounds=2, seconds=0.001), Plan(sizes=(SMALL,), memory=Size(4_000, rows=16)))
    names = [f"{one.recipe}, vocabulary 64" for one in CONTESTANTS]
    assert [item.case for item in found] == [*names, "whole vocabulary of 4,000, 768 places"]
    assert all(item.subject_value.low > 0 and item.peer_value.low > 0 for item in found)


def test_the_real_sizes_and_bounds_are_those_that_are_promised() -> None:
    assert [size.vocabulary for size in Plan().sizes] == [512, 32_000]
    assert {one.recipe for one in CONTESTANTS} >= {"aopd", "scope"}
    assert TARGET.bound == 1.15
    assert PAIRS >= 50


@pytest.mark.parametrize("size", [Size(512, written=24), Size(32_000, rows=8, written=12)], ids=lambda s: s.vocabulary)
@pytest.mark.parametrize("contestant", CONTESTANTS, ids=lambda one: one.recipe)
def test_no_step_costs_more_than_the_gate(size: Size, contestant: Contestant) -> None:
    assert distillation.compare(size, contestant, pairs=9).seen.median <= GATE


def test_a_whole_vocabulary_in_chunks_takes_less_than_half_of_the_memory() -> None:
    found = distillation.memory(Plan().memory)
    assert found.seen.median <= 0.5, (found.subject_value, found.peer_value)
