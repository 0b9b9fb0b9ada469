"""The bench of scale: what is played is played everywhere, and what is written is there."""

from __future__ import annotations

from fogline.benchmarks.speed import scale
from fogline.benchmarks.speed.report import QUICK


def test_an_engine_stands_beside_one_process_and_the_store_beside_none() -> None:
    pool, *_, stored = scale.run(QUICK)
    assert pool.subject == "engine='process', 2 workers"
    assert pool.seen.median == pool.subject_value.median / pool.peer_value.median > 0
    assert stored.subject_value.median > 0
    assert stored.case.startswith("1,000 episodes in flight")


def test_every_episode_is_in_the_store_before_its_rate_is_told() -> None:
    finding = scale.storing(episodes=40, rounds=1)
    assert finding.seen == finding.subject_value
    assert finding.seen.low > 0
