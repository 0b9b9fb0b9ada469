"""Nesting: comparisons with an average, with the own group, with what exists or does not exist elsewhere."""

from __future__ import annotations

from fogline.simulators.databases.enterprise.questions.maker import ROUNDED, Maker, aggregate_sql, aggregate_text
from fogline.simulators.databases.enterprise.questions.query import Draft, Node, Renderer, Scope, Value
from fogline.simulators.databases.enterprise.schema import Edge

_NUMBERS = ("money", "number", "decimal")


def _has_number(maker: Maker, key: str) -> bool:
    return bool(maker.attributes(key, *_NUMBERS))


def _attribute_value(maker: Maker, node: Node, twin: Node) -> tuple[Value, Value]:
    """The same plain figure for two uses of an entity."""
    attribute = maker.pick(maker.attributes(node.entity, *_NUMBERS))

    def value(of: Node) -> Value:
        return Value(
            lambda r: r.column(of, attribute.key),
            lambda w: maker.phrase(node.entity, attribute, w),
            attribute.kind == "money",
            attribute.kind == "number",
        )

    maker.filtered.add((node.entity, attribute.key))
    return value(node), value(twin)


def above_average(maker: Maker) -> Draft:
    """Rows above the average of all rows of their kind."""
    key = maker.focus(lambda k: maker.named(k) and _has_number(maker, k))
    scope = Scope(maker.node(key))
    inner = Scope(maker.node(key))
    outer_value, inner_value = _attribute_value(maker, scope.focus, inner.focus)
    maker.climb(scope, maker.hops(key, 2))
    maker.filter(scope, scope.last)
    label, above = maker.label(scope.focus), maker.chance(0.6)

    def text(w: int) -> str:
        who, everyone, name = maker.describe(scope, w), maker.noun(key, w), maker.label_phrase(scope.focus, w)
        side = (("above", "below"), ("greater than", "smaller than"))[w][int(not above)]
        if w == 0:
            return (
                f"Which {who} have a {outer_value.text(w)} {side} the average over all {everyone}? List each {name} "
                f"with the {outer_value.text(w)}."
            )
        return (
            f"Give {name} and {outer_value.text(w)} of {who} with a {outer_value.text(w)} that is {side} the mean "
            f"of all {everyone} whatsoever."
        )

    def render(r: Renderer) -> str:
        average = f"(SELECT {r.aggregate('AVG', inner_value.render(r))} {inner.body(r)})"
        test = r.condition(f"{outer_value.render(r)} {'>' if above else '<'} {average}")
        return f"SELECT {label(r)}, {outer_value.render(r)} {scope.body(r, test)}"

    return maker.draft("above_average", text, render, ("subquery_scalar", "aggregate", *scope.families))


def _same_parent(maker: Maker) -> tuple[Scope, Scope, Edge]:
    """Two uses of an entity that share a parent."""
    key = maker.focus(lambda k: maker.named(k) and maker.depth(k) > 0 and _has_number(maker, k))
    edge = maker.pick(maker.firm_parents(key))
    return Scope(maker.node(key)), Scope(maker.node(key)), edge


def above_own_group(maker: Maker) -> Draft:
    """Rows above the average of those with the same parent."""
    scope, inner, edge = _same_parent(maker)
    outer_value, inner_value = _attribute_value(maker, scope.focus, inner.focus)
    maker.filter(scope, scope.focus)
    label = maker.label(scope.focus)

    def text(w: int) -> str:
        key = scope.focus.entity
        who, everyone, name = maker.describe(scope, w), maker.noun(key, w), maker.label_phrase(scope.focus, w)
        owner = maker.noun(edge.parent, w, plural=False)
        if w == 0:
            return (
                f"Among {who}, find those whose {outer_value.text(w)} exceeds the average {outer_value.text(w)} of all "
                f"{everyone} {edge.reference.phrase} the same {owner}. Return the {name} only."
            )
        return (
            f"Return the {name} of {who} that beat the mean {outer_value.text(w)} of all {everyone} sharing their "
            f"{owner} "
            f"(that is, {edge.reference.phrase} the same one)."
        )

    def render(r: Renderer) -> str:
        tie = r.condition(f"{r.column(inner.focus, edge.source)} = {r.column(scope.focus, edge.source)}")
        average = f"(SELECT {r.aggregate('AVG', inner_value.render(r))} {inner.body(r, tie)})"
        test = r.condition(f"{outer_value.render(r)} > {average}")
        return f"SELECT {label(r)} {scope.body(r, test)}"

    return maker.draft("above_own_group", text, render, ("correlated", "subquery_scalar", "aggregate", *scope.families))


def newest_per_parent(maker: Maker) -> Draft:
    """For each parent, the child with the latest date, ties kept."""
    key = maker.focus(lambda k: maker.named(k) and maker.depth(k) > 0 and bool(maker.attributes(k, "date")))
    scope = maker.climb(Scope(maker.node(key)), 1)
    edge = scope.links[0][1]
    inner = Scope(maker.node(key))
    day = maker.pick(maker.attributes(key, "date"))
    maker.filtered.add((key, day.key))
    maker.filter(scope, scope.last)
    label, parent = maker.label(scope.focus), maker.label(scope.last)

    def text(w: int) -> str:
        what, who = maker.phrase(key, day, w), maker.describe(scope, w)
        owner = maker.noun(edge.parent, w, plural=False)
        names = f"the {maker.owned_label(scope.last, w)} and the {maker.label_phrase(scope.focus, w)}"
        if w == 0:
            return (
                f"Take {who}. For each {owner} give {names} of the one with the latest {what}; if several share "
                "that day, give all."
            )
        return (
            f"Per {owner}, which of the {who} has the most recent {what}? Show {names}; keep every one in case of "
            "equal dates."
        )

    def render(r: Renderer) -> str:
        tie = r.condition(f"{r.column(inner.focus, edge.source)} = {r.identifier(scope.last)}")
        latest = f"(SELECT {r.aggregate('MAX', r.column(inner.focus, day.key))} {inner.body(r, tie)})"
        test = r.condition(f"{r.column(scope.focus, day.key)} = {latest}")
        return f"SELECT {parent(r)}, {label(r)} {scope.body(r, test)}"

    return maker.draft("newest_per_parent", text, render, ("correlated", "date", "subquery_scalar", *scope.families))


def _parent_and_child(maker: Maker, hops: int = 0) -> tuple[Scope, Scope, Edge]:
    """A named parent with a scope of its own, and a filtered scope of its children."""
    parent = maker.focus(lambda k: maker.named(k) and bool(maker.schema.children(k)))
    edge = maker.child_edge(parent)
    outer = maker.climb(Scope(maker.node(parent)), min(hops, maker.depth(parent)))
    inner = Scope(maker.node(edge.child))
    maker.filter(inner, inner.focus)
    return outer, inner, edge


def with_children(maker: Maker) -> Draft:
    """Parents that some filtered child refers to, by IN."""
    outer, inner, edge = _parent_and_child(maker, int(maker.rng.integers(0, 2)))
    maker.filter(outer, outer.last)
    label = maker.label(outer.focus)

    def text(w: int) -> str:
        who, name = maker.describe(outer, w), maker.label_phrase(outer.focus, w)
        children = maker.describe(inner, w)
        back = f"{edge.reference.phrase} them"
        if w == 0:
            return f"List the {name} of {who} for which there are {children} {back}. Sort by {name}."
        return (
            f"Of {who}, only those count that have at least one of the {children} {back}: give their {name} in "
            "alphabetical order."
        )

    def render(r: Renderer) -> str:
        inside = f"SELECT {r.column(inner.focus, edge.source)} {inner.body(r)}"
        test = r.condition(f"{r.identifier(outer.focus)} IN ({inside})")
        return f"SELECT {label(r)} {outer.body(r, test)} ORDER BY {label(r)}"

    return maker.draft("with_children", text, render, ("subquery_in", *outer.families, *inner.families))


def without_children(maker: Maker) -> Draft:
    """Parents that no filtered child refers to, by NOT EXISTS."""
    outer, inner, edge = _parent_and_child(maker)
    if maker.chance(0.6):
        maker.filter(outer, outer.focus)
    label = maker.label(outer.focus)

    def text(w: int) -> str:
        who, name, children = maker.describe(outer, w), maker.label_phrase(outer.focus, w), maker.describe(inner, w)
        if w == 0:
            return f"Which {who} have no {children} {edge.reference.phrase} them at all? Only the {name}."
        return f"Show the {name} of {who} without any {children} {edge.reference.phrase} them."

    def render(r: Renderer) -> str:
        tie = r.condition(f"{r.column(inner.focus, edge.source)} = {r.identifier(outer.focus)}")
        test = r.condition(f"NOT EXISTS (SELECT 1 {inner.body(r, tie)})")
        return f"SELECT {label(r)} {outer.body(r, test)}"

    return maker.draft("without_children", text, render, ("exists", "correlated", *outer.families, *inner.families))


def both_kinds(maker: Maker) -> Draft:
    """Parents with a child of one kind but none of another, by EXISTS and NOT EXISTS."""
    outer, inner, edge = _parent_and_child(maker)
    other_edge = maker.child_edge(outer.focus.entity)
    other = Scope(maker.node(other_edge.child))
    maker.filter(other, other.focus)
    label = maker.label(outer.focus)

    def text(w: int) -> str:
        owners, name = maker.noun(outer.focus.entity, w), maker.label_phrase(outer.focus, w)
        first = f"{maker.describe(inner, w)} {edge.reference.phrase} them"
        second = f"{maker.describe(other, w)} {other_edge.reference.phrase} them"
        if w == 0:
            return f"Find the {name} of {owners} that have {first} but no {second}."
        return f"Which {owners} (give the {name}) do have {first}, yet lack any {second}?"

    def render(r: Renderer) -> str:
        tie = r.condition(f"{r.column(inner.focus, edge.source)} = {r.identifier(outer.focus)}")
        second = r.condition(f"{r.column(other.focus, other_edge.source)} = {r.identifier(outer.focus)}")
        tests = (
            r.condition(f"EXISTS (SELECT 1 {inner.body(r, tie)})"),
            r.condition(f"NOT EXISTS (SELECT 1 {other.body(r, second)})"),
        )
        return f"SELECT {label(r)} {outer.body(r, *tests)}"

    return maker.draft(
        "both_kinds", text, render, ("exists", "correlated", *outer.families, *inner.families, *other.families)
    )


def average_of_counts(maker: Maker) -> Draft:
    """Average or greatest number of children per parent, through a derived table."""
    key = maker.focus(lambda k: maker.depth(k) > 0)
    edge = maker.pick(maker.firm_parents(key))
    scope = maker.scope(key, 0, 1)
    function = maker.pick(("AVG", "MAX"))
    figure = Value(lambda r: "per_owner.tally", lambda w: "", False, function == "MAX")
    figure_sql = aggregate_sql(function, figure)

    def text(w: int) -> str:
        who, owner = maker.describe(scope, w), maker.noun(edge.parent, w, plural=False)
        side = {"AVG": ("average", "mean"), "MAX": ("greatest", "highest")}[function][w]
        rounding = ", rounded to two decimals" if function == "AVG" else ""
        if w == 0:
            return (
                f"What is the {side} number of {who} {edge.reference.phrase} one and the same {owner}{rounding}? "
                f"Skip any {owner} without them."
            )
        return (
            f"Count {who} for each {owner} that they are {edge.reference.phrase}; what is the {side} of these "
            f"counts{rounding}?"
        )

    def render(r: Renderer) -> str:
        column = r.column(scope.focus, edge.source)
        inside = f"SELECT {column} AS owner, COUNT(*) AS tally {scope.body(r)} GROUP BY {column}"
        return f"SELECT {figure_sql(r)} FROM ({inside}) AS per_owner"

    return maker.draft("average_of_counts", text, render, ("derived_table", "group_by", "aggregate", *scope.families))


def gap_between(maker: Maker) -> Draft:
    """Difference of one figure between two groups of rows."""
    key = maker.focus(lambda k: _has_number(maker, k))
    first, second = Scope(maker.node(key)), Scope(maker.node(key))
    one, two = _attribute_value(maker, first.focus, second.focus)
    attribute = maker.pick(maker.attributes(key, "category", "city"))
    values = sorted(set(maker.column_values(key, attribute.key)))
    left, right = (values[i] for i in maker.rng.permutation(len(values))[:2])
    literals = maker.coded(key, attribute, left), maker.coded(key, attribute, right)
    function = "SUM" if one.additive and maker.chance(0.5) else "AVG"
    words = aggregate_text(function, one)

    def text(w: int) -> str:
        who, what = maker.noun(key, w), maker.phrase(key, attribute, w)
        figure = words(w).removesuffix(ROUNDED)
        if w == 0:
            return (
                f"By how much does the {figure} of {who} with {what} {left} exceed that of {who} with {what} "
                f"{right}? Round to two decimals; it may be negative."
            )
        return (
            f"Subtract the {figure} of {who} whose {what} is {right} from that of {who} whose {what} is {left}, to "
            "two decimals."
        )

    def render(r: Renderer) -> str:
        parts = []
        for scope, value, literal in ((first, one, literals[0]), (second, two, literals[1])):
            test = r.condition(f"{r.column(scope.focus, attribute.key)} = {literal}")
            parts.append(f"(SELECT {r.aggregate(function, value.render(r))} {scope.body(r, test)})")
        return f"SELECT ROUND({parts[0]} - {parts[1]}, 2)"

    families = ("subquery_scalar", "arithmetic", "aggregate", "filter")
    return maker.draft("gap_between", text, render, families)


TEMPLATES = (
    above_average,
    above_own_group,
    newest_per_parent,
    with_children,
    without_children,
    both_kinds,
    average_of_counts,
    gap_between,
)
