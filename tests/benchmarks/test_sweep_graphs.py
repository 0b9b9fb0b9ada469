"""Communication graphs: the pairs of a game as a networkx graph, and as a picture."""

from __future__ import annotations

import sys
from pathlib import Path

import networkx
import pytest

from fogline.agents.collector import Assignment, collect_all
from fogline.agents.registry import make_agent
from fogline.benchmarks.sweeps.graphs import communication_graph, draw
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError, MissingDependencyError
from fogline.envs.silo_bench import parallel_env

PAIRS = {"pairs": [[0, 1, 7], [1, 0, 3], [2, 0, 1]]}


def test_nodes_are_agents_and_weights_are_messages() -> None:
    graph = communication_graph(PAIRS, n_agents=5)
    assert isinstance(graph, networkx.DiGraph)
    assert list(graph) == [0, 1, 2, 3, 4]
    assert sorted(graph.edges(data="weight")) == [(0, 1, 7), (1, 0, 3), (2, 0, 1)]
    assert list(communication_graph(PAIRS)) == [0, 1, 2]
    assert list(communication_graph({"pairs": []})) == [0]


def test_the_graph_of_a_tree_is_a_tree_both_ways() -> None:
    def make() -> object:
        return parallel_env(task="I-01", n_agents=6, protocol="p2p")

    (episode,) = collect_all(make, make_agent("tree", "SiloBench-v0"), [Assignment("I-01/0", 0)])
    graph = communication_graph(episode)
    assert len(graph) == 6
    assert graph.size(weight="weight") == episode.metrics["messages"] == 2 * 5
    assert networkx.is_tree(graph.to_undirected())


@pytest.mark.parametrize(("suffix", "beginning"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_picture_is_written_and_the_same_graph_gives_the_same(tmp_path: Path, suffix: str, beginning: bytes) -> None:
    graph = communication_graph(PAIRS, n_agents=4)
    one = draw(graph, tmp_path / "new" / f"one{suffix}", "Who & whom")
    other = draw(graph, str(tmp_path / f"other{suffix}"), "Who & whom")
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().startswith(beginning)
    without = draw(networkx.DiGraph({0: {}, 1: {}}), tmp_path / f"silent{suffix}")
    assert without.stat().st_size > 0


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a name that ends in \.png or \.svg"):
        draw(communication_graph(PAIRS), tmp_path / "graph.gif")
    with pytest.raises(DataError, match="no 'pairs'"):
        communication_graph(Episode("TrustSQL-v0", "t", 0, (), "terminated"))


@pytest.mark.parametrize("package", ["networkx", "matplotlib"])
def test_without_a_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    graph = communication_graph(PAIRS)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"'{package}' is not installed.*fogline\[report\]"):
        communication_graph(PAIRS) if package == "networkx" else draw(graph, tmp_path / "graph.png")
