"""Who talked to whom, as a networkx graph and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError, missing_dependency

if TYPE_CHECKING:
    import networkx

PICTURES = (".png", ".svg")
_INCHES = 6.0
_NODES_WITH_NAMES = 30


def communication_graph(played: Episode | Mapping[str, Any], n_agents: int | None = None) -> networkx.DiGraph[int]:
    """The graph of a game: agents as nodes, pairs with at least one message as edges, ``weight`` how many.

    Args:
        played: An episode of Silo-Bench, or its metrics.
        n_agents: Number of agents; by default the episode's seats, or with metrics alone those that talked.

    Raises:
        DataError: If there are no pairs: another environment's episode, or one that did not come to its end.
        MissingDependencyError: Without networkx.
    """
    try:
        import networkx
    except ImportError as error:
        raise missing_dependency("networkx", "report") from error
    metrics = played.metrics if isinstance(played, Episode) else played
    pairs = metrics.get("pairs")
    if pairs is None:
        raise DataError(
            "there are no 'pairs' among the metrics: expected an episode of Silo-Bench that was played out."
        )
    if n_agents is None:
        n_agents = (
            len(played.seats)
            if isinstance(played, Episode)
            else 1 + max((max(sender, receiver) for sender, receiver, _ in pairs), default=0)
        )
    graph: networkx.DiGraph[int] = networkx.DiGraph()
    graph.add_nodes_from(range(n_agents))
    graph.add_weighted_edges_from((int(sender), int(receiver), int(messages)) for sender, receiver, messages in pairs)
    return graph


def draw(graph: networkx.DiGraph[int], path: str | Path, title: str = "") -> Path:
    """Draw a communication graph on a circle: wider arrows for more messages, larger nodes for more received.

    Args:
        graph: As :func:`communication_graph` makes it.
        path: Picture to write, ``.png`` or ``.svg``; its folder is made. The same graph gives the same file.
        title: Shown above.

    Returns:
        The path.

    Raises:
        ConfigurationError: For another suffix.
        MissingDependencyError: Without matplotlib.
    """
    target = Path(path)
    if target.suffix not in PICTURES:
        raise ConfigurationError(f"path={str(path)!r} is no picture: expected a name that ends in .png or .svg.")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_dependency("matplotlib", "report") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "fogline"}):
        figure = Figure(figsize=(_INCHES, _INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.set_axis_off()
        _draw_on(axes, graph)
        # Without the date, which would make every file another one.
        figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else {"Software": None})
    return target


def _draw_on(axes: Any, graph: networkx.DiGraph[int]) -> None:
    import networkx

    places = networkx.circular_layout(graph)
    received = dict(graph.in_degree(weight="weight"))
    most_received = max([*received.values(), 1])
    weights = [messages for _, _, messages in graph.edges(data="weight")]
    widest = max([*weights, 1])
    networkx.draw_networkx_nodes(
        graph,
        places,
        ax=axes,
        node_size=[60 + 340 * received[node] / most_received for node in graph],
        node_color="#56b4e9",
    )
    networkx.draw_networkx_edges(
        graph,
        places,
        ax=axes,
        width=[0.3 + 2.2 * messages / widest for messages in weights],
        edge_color="#555555",
        arrowsize=6,
        connectionstyle="arc3,rad=0.06",
    )
    if len(graph) <= _NODES_WITH_NAMES:
        networkx.draw_networkx_labels(graph, places, ax=axes, font_size=7)
