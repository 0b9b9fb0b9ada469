"""Topologies in closed form, random regular graphs, graphs of the caller's."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogline.core.errors import ConfigurationError
from fogline.simulators.channels.channel import ChannelConfig, make_channel
from fogline.simulators.channels.topology import TOPOLOGIES, Neighbours, make_topology


def pairs_of(neighbours: Neighbours) -> set[tuple[int, int]]:
    return {(one, other) for one, others in enumerate(neighbours) for other in others if one < other}


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("n_agents", [*range(1, 14), 20, 50, 100])
def test_named_topologies_are_mutual_connected_and_sorted(name: str, n_agents: int) -> None:
    neighbours = make_topology(name, n_agents, np.random.default_rng(0))
    graph = networkx.Graph(list(pairs_of(neighbours)))
    graph.add_nodes_from(range(n_agents))
    assert networkx.is_connected(graph) and len(neighbours) == n_agents
    for agent, others in enumerate(neighbours):
        assert list(others) == sorted(set(others)) == sorted(graph[agent]) and agent not in others


@pytest.mark.parametrize("n_agents", [1, 2, 3, 10, 100])
def test_named_topologies_have_their_closed_form(n_agents: int) -> None:
    n = n_agents
    chain = set(pairwise(range(n)))
    expected = {
        "complete": {(one, other) for one in range(n) for other in range(one + 1, n)},
        "chain": chain,
        "ring": chain | ({(0, n - 1)} if n > 2 else set()),
        "star": {(0, agent) for agent in range(1, n)},
        "tree": {(parent, child) for parent in range(n) for child in (2 * parent + 1, 2 * parent + 2) if child < n},
    }
    for name, pairs in expected.items():
        assert pairs_of(make_topology(name, n)) == pairs, name


@pytest.mark.parametrize("side", [1, 2, 3, 10])
def test_a_square_number_of_agents_makes_a_square_grid(side: int) -> None:
    square = networkx.grid_2d_graph(side, side)
    expected = {tuple(sorted((one[0] * side + one[1], other[0] * side + other[1]))) for one, other in square.edges}
    assert pairs_of(make_topology("grid", side * side)) == expected


def test_the_last_row_of_a_grid_may_be_short() -> None:
    assert make_topology("grid", 5) == ((1, 3), (0, 2, 4), (1,), (0, 4), (1, 3))


@given(st.integers(2, 24), st.integers(2, 8), st.integers(0, 2**32))
def test_random_regular_graphs_are_connected_regular_and_repeatable(n_agents: int, degree: int, seed: int) -> None:
    expected = min(degree, n_agents - 1)
    if n_agents * expected % 2:
        with pytest.raises(ConfigurationError, match=f"degree={degree} with n_agents={n_agents}"):
            make_topology("random-regular", n_agents, np.random.default_rng(seed), degree)
        return
    neighbours = make_topology("random-regular", n_agents, np.random.default_rng(seed), degree)
    assert {len(others) for others in neighbours} == {expected}
    assert networkx.is_connected(networkx.Graph(list(pairs_of(neighbours))))
    assert neighbours == make_topology("random-regular", n_agents, np.random.default_rng(seed), degree)


def test_random_regular_graphs_are_drawn_evenly() -> None:
    # Five agents with two neighbours each stand in one of 4!/2 = 12 circles.
    rng = np.random.default_rng(3)
    draws = 1200
    counts = Counter(make_topology("random-regular", 5, rng, 2) for _ in range(draws))
    assert len(counts) == 12
    chi_square = sum((count - draws / 12) ** 2 / (draws / 12) for count in counts.values())
    assert chi_square < 31.3  # the 0.999 quantile with 11 degrees of freedom


def test_random_regular_graphs_need_a_generator_and_a_degree_that_connects() -> None:
    with pytest.raises(ConfigurationError, match="pass rng"):
        make_topology("random-regular", 10)
    for degree in (0, 1, -2, 2.0):
        with pytest.raises(ConfigurationError, match="integer of at least 2"):
            make_topology("random-regular", 10, np.random.default_rng(0), degree)  # type: ignore[arg-type]


def test_pairs_and_graphs_give_the_same_topology() -> None:
    pairs = [(2, 0), (1, 2), (0, 2)]
    graph = networkx.Graph([*pairs, (3, 2)])
    assert make_topology(pairs, 4) == ((2,), (2,), (0, 1), ())
    assert make_topology(iter([(3, 2), *pairs]), 4) == make_topology(graph, 4) == ((2,), (2,), (0, 1, 3), (2,))
    assert make_topology(networkx.MultiGraph(graph), 4) == make_topology(np.array([*pairs, (3, 2)]), 4)
    assert make_topology([], 2) == ((), ())


@pytest.mark.parametrize(
    ("topology", "told"),
    [
        ("cirle", "topology='cirle' is unknown"),
        ("rings", "Did you mean 'ring'"),
        ([(0, 4)], r"pair \(0, 4\): expected two different agents, numbered from 0 to 3"),
        ([(1, 1)], r"pair \(1, 1\)"),
        ([(0, 1, 2)], r"pair \(0, 1, 2\)"),
        ([("0", "1")], "pair"),
        (["01"], "pair '01'"),
        ([(True, 0)], "pair"),
        ([3], "pair 3"),
        (3, "topology=3 has no edges"),
        (networkx.DiGraph([(0, 1)]), "directed"),
    ],
)
def test_what_makes_no_topology_is_refused(topology: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make_topology(topology, 4)
    with pytest.raises(ConfigurationError, match=told):
        ChannelConfig(4, topology=topology)


@pytest.mark.parametrize(
    "options",
    [
        {"n_agents": 0},
        {"n_agents": True},
        {"n_agents": 2.0},
        {"max_message_chars": 0},
        {"max_delay": 0},
        {"drop": 1.1},
        {"delay": -0.1},
        {"duplicate": "often"},
        {"drop": float("nan")},
        {"delivery": "pulled"},
    ],
)
def test_options_that_make_no_channel_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(options))}="):
        ChannelConfig(**{"n_agents": 3, **options})


def test_a_channel_draws_its_random_topology_from_its_generator() -> None:
    config = ChannelConfig(12, topology="random-regular")
    peers = []
    for seed in (0, 0, 1):
        channel = make_channel("p2p", config, np.random.default_rng(seed))
        peers.append([channel.peers(agent) for agent in range(12)])
    assert peers[0] == peers[1] != peers[2]
    with pytest.raises(ConfigurationError, match="pass rng"):
        make_channel("p2p", config)
    with pytest.raises(ConfigurationError, match="Did you mean 'p2p'"):
        make_channel("p2", config)
