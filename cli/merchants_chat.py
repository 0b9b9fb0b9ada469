"""The options by which ``fogline merchants`` reasons with a chat model instead of rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fogline.cli.console import console, print_json
from fogline.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from fogline.simulators.merchants.chat_reasoner import ChatReasoner
    from fogline.simulators.merchants.policies import PolicyLibrary
    from fogline.simulators.merchants.strategies import Strategy

_PANEL = "A chat model that reasons instead of rules"

Chat = Annotated[
    str | None,
    typer.Option("--chat", metavar="NAME", help="The model, as its server knows it.", rich_help_panel=_PANEL),
]
BaseUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="Its server, e.g. http://localhost:8000/v1.", rich_help_panel=_PANEL)
]
CacheDir = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where its replies are kept.", rich_help_panel=_PANEL)
]
Prices = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Price list, JSON or TOML, for --dry-run.", rich_help_panel=_PANEL)
]
Transcript = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Add every question and answer here, JSON lines.", rich_help_panel=_PANEL),
]
Draws = Annotated[
    int, typer.Option(metavar="N", help="Answers to each question, of which the median counts.", rich_help_panel=_PANEL)
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it would take, and ask nothing.", rich_help_panel=_PANEL)
]

_WARM = 0.7
"""Temperature of several draws."""


def chat_reasoner(
    model: str | None,
    base_url: str | None,
    cache_dir: Path | None,
    *,
    draws: int = 1,
    prices: Path | None = None,
    transcript: Path | None = None,
    dry_run: bool = False,
) -> ChatReasoner | None:
    """A reasoner of these options; None where rules reason.

    Raises:
        ConfigurationError: For an option of a chat model where none is named.
    """
    if model is None:
        given = {"--base-url": base_url, "--cache-dir": cache_dir, "--draws": draws != 1, "--prices": prices,
                 "--transcript": transcript, "--dry-run": dry_run}  # fmt: skip
        if named := [option for option, value in given.items() if value]:
            raise ConfigurationError(f"{', '.join(named)} without a chat model: name one with --chat, or leave it out.")
        return None
    from fogline.agents.registry import price_of
    from fogline.core.chat import OpenAIChatModel
    from fogline.simulators.merchants.chat_reasoner import ChatReasoner

    price = None if prices is None else price_of(model, prices)
    client = OpenAIChatModel(model, base_url=base_url, cache_dir=cache_dir, price=price)
    return ChatReasoner(client, temperature=_WARM if draws > 1 else 0.0, draws=draws, transcript=transcript)


def show_estimate(
    reasoner: ChatReasoner,
    questions: Sequence[tuple[pd.DataFrame, Sequence[Strategy]]],
    library: PolicyLibrary,
    as_json: bool,
) -> None:
    """Say what questions would take at most, repairs left out."""
    from dataclasses import asdict

    found = [reasoner.estimate(table, library, strategies) for table, strategies in questions]
    if as_json:
        print_json([asdict(estimate) for estimate in found])
        return
    for estimate in found:
        console().print(str(estimate), soft_wrap=True)
    console().print("Nothing was asked. An answer that cannot be used is asked for once more.")


def show_report(reasoner: ChatReasoner) -> None:
    """Say what asking took."""
    report = reasoner.report
    fallbacks = sum(report.fallbacks.values())
    price = "price unknown" if report.unpriced else f"price {report.cost:.4f}"
    console().print(
        f"{report.cells:,} questions: {report.calls:,} calls, {report.cached:,} of them from the cache, "
        f"{report.attempts:,} on the wire, {report.prompt_tokens:,} + {report.completion_tokens:,} tokens, {price}; "
        f"{report.repairs:,} repaired, "
        f"{fallbacks:,} left to the policy's rate.",
        soft_wrap=True,
    )
