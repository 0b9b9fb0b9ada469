"""Pages that need no network: a template beside its caller, plotly inside, one look for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fogline.core.errors import missing_dependency

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
_STYLE = "page.css"


class Figure(NamedTuple):
    """A figure of a page.

    Attributes:
        name: Its anchor.
        title: Heading.
        note: What a reader has to know.
        plot: The plotly figure.
    """

    name: str
    title: str
    note: str
    plot: Any


def render(template: Path, figures: Sequence[Figure], **values: Any) -> str:
    """Fill a template; it also gets ``figures``, ``drawn`` (a figure to HTML), ``plotly`` and ``style``.

    Args:
        template: A Jinja file; what it shows is escaped.
        figures: To be drawn; without any, plotly stays out of the page.
        values: Further values of the template.

    Raises:
        MissingDependencyError: Without plotly or jinja2.
    """
    try:
        import jinja2
        from markupsafe import Markup
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise missing_dependency(error.name or "jinja2", "report") from error

    def drawn(figure: Figure) -> Markup:
        # A name of its own, because plotly's default is another one each time.
        return Markup(figure.plot.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{figure.name}"))

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        figures=figures,
        drawn=drawn,
        plotly=Markup(get_plotlyjs() if figures else ""),
        style=Markup((Path(__file__).parent / _STYLE).read_text(encoding="utf-8")),
        **values,
    )
