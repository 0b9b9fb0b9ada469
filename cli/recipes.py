"""``fogline recipes``: which methods there are."""

from __future__ import annotations

from typing import Any

from fogline.cli import arguments
from fogline.cli.console import console, print_json

_FOLD: dict[str, Any] = {"overflow": "fold"}


def recipes(as_json: arguments.Json = False) -> None:
    """List the methods: where each was published, what it is made of, and its settings.

    Example: fogline recipes --json
    """
    from fogline.cli.tables import table
    from fogline.trainers.recipes import recipe_table

    rows = recipe_table()
    if as_json:
        print_json(rows)
        return
    cells = [(row["name"], row["paper"], row["parts"]["advantage"], row["parts"]["terms"]) for row in rows]
    console().print(table("", [("Recipe", {"no_wrap": True}), "Paper", ("Advantage", _FOLD), ("Terms", _FOLD)], cells))
    console().print("Settings of one, and what a run would take: fogline train RECIPE --env ENV --dry-run")
