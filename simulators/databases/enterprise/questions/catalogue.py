"""All question templates, and what their families say about difficulty."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fogline.simulators.databases.enterprise.questions import basic, combining, grouping, nested
from fogline.simulators.databases.enterprise.questions.maker import Maker
from fogline.simulators.databases.enterprise.questions.query import Draft

Template = Callable[[Maker], Draft]
TEMPLATES: tuple[Template, ...] = (*basic.TEMPLATES, *grouping.TEMPLATES, *nested.TEMPLATES, *combining.TEMPLATES)

_POINTS = {
    "join_1": 1, "join_2": 2, "join_3plus": 3, "group_by": 1, "having": 1, "order_limit": 1, "case": 1, "left_join": 1,
    "self_join": 1, "code_table": 1, "coded": 1, "many_to_many": 1, "set_operation": 2, "subquery_in": 2,
    "subquery_scalar": 2, "exists": 2, "correlated": 1, "derived_table": 1, "cte": 1, "window": 2,
}  # fmt: skip


def difficulty(families: Sequence[str]) -> str:
    """``easy``, ``medium``, ``hard`` or ``extra``, by the number and kind of structures."""
    points = sum(_POINTS.get(family, 0) for family in families)
    for name, most in (("easy", 1), ("medium", 3), ("hard", 4)):
        if points <= most:
            return name
    return "extra"
