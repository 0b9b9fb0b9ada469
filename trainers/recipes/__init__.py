"""Every method by name: its paper, its defaults, and how it is put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fogline.core.errors import ConfigurationError, check_choice, check_keys
from fogline.trainers.options import RecipeOptions
from fogline.trainers.recipe import Recipe
from fogline.trainers.recipes.classic import CLASSIC
from fogline.trainers.recipes.dual_horizon import DUAL_HORIZON
from fogline.trainers.recipes.dual_track import DUAL_TRACK
from fogline.trainers.recipes.dynamo import DYNAMO
from fogline.trainers.recipes.entry import Entry
from fogline.trainers.recipes.group_relative import GROUP_RELATIVE
from fogline.trainers.recipes.on_policy_distillation import ON_POLICY_DISTILLATION
from fogline.trainers.recipes.pgpo import PROCESS_GATED
from fogline.trainers.recipes.scope import SCOPE

RECIPES: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        *CLASSIC,
        *GROUP_RELATIVE,
        *DUAL_TRACK,
        *DUAL_HORIZON,
        *DYNAMO,
        *ON_POLICY_DISTILLATION,
        *SCOPE,
        *PROCESS_GATED,
    )
}


def make_recipe(name: str, **options: Any) -> Recipe:
    """Put a method together.

    Args:
        name: One of :data:`RECIPES`.
        options: Settings that differ from the method's defaults; see :class:`RecipeOptions`.

    Raises:
        ConfigurationError: For an unknown method, a setting that it does not read, or a value that does not fit.
    """
    from pydantic import ValidationError

    check_choice("recipe", name, RECIPES)
    entry = RECIPES[name]
    check_keys(f"recipe {name!r}", options, entry.defaults)
    try:
        settings = RecipeOptions.model_validate({**entry.defaults, **options})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(
            f"recipe {name!r}: {'.'.join(map(str, first['loc']))}={first['input']!r} does not fit: {first['msg']}."
        ) from error
    return entry.build(settings)


def recipe_table() -> list[dict[str, Any]]:
    """One row per method: name, paper, parts by role, defaults."""
    return [
        {"name": entry.name, "paper": entry.paper, "parts": entry.parts(), "defaults": dict(entry.defaults)}
        for entry in RECIPES.values()
    ]
