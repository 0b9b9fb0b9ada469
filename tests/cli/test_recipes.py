"""``fogline recipes``."""

from __future__ import annotations

import json

from commands import Invoke

from fogline.trainers.recipes import RECIPES, recipe_table


def test_the_json_is_the_table_of_methods(invoke: Invoke) -> None:
    rows = json.loads(invoke("recipes", "--json").stdout)
    assert rows == json.loads(json.dumps(recipe_table()))
    assert [set(row) for row in rows] == [{"name", "paper", "parts", "defaults"}] * len(RECIPES)


def test_every_method_is_in_the_table(invoke: Invoke) -> None:
    shown = [line.split()[0] for line in invoke("recipes").stdout.splitlines() if line.strip()]
    assert set(RECIPES) <= set(shown)
