"""Combinations: set operations, windows, common table expressions, outer and self joins, many-to-many links."""

from __future__ import annotations

from fogline.simulators.databases.enterprise.questions.maker import Maker
from fogline.simulators.databases.enterprise.questions.query import Draft, Node, Renderer, Scope, Unsuitable
from fogline.simulators.databases.enterprise.schema import Edge

_SET_WORDS = {
    "INTERSECT": (
        "Which {owners} have both {a} and {b}? Give the {name}, each once.",
        "Name the {owners} ({name}, no repeats) with {a} as well as {b}.",
    ),
    "EXCEPT": (
        "Which {owners} have {a}, but not {b}? Give the {name}, each once.",
        "Leaving out all {owners} with {b}, which remain that have {a}? Just the {name}, no repeats.",
    ),
    "UNION": (
        "Which {owners} have {a}, or {b}, or both? Give the {name}, each once.",
        "Put together the {owners} with {a} and the {owners} with {b}; list every {name} once.",
    ),
}
_NUMBERS = ("money", "number", "decimal")


def _children_of(maker: Maker, parent: str, edge: Edge) -> Scope:
    """Filtered children joined to their parent."""
    scope = Scope(maker.node(edge.child))
    scope.links.append((scope.focus, edge, maker.node(parent)))
    maker.filter(scope, scope.focus)
    return scope


def set_of_parents(maker: Maker) -> Draft:
    """Parents that two kinds of children lead to: both, either, or only the first."""
    parent = maker.focus(lambda k: maker.named(k) and bool(maker.schema.children(k)))
    first = _children_of(maker, parent, maker.child_edge(parent))
    second = _children_of(maker, parent, maker.child_edge(parent))
    operator = maker.pick(tuple(_SET_WORDS))
    one, two = maker.label(first.last), maker.label(second.last)

    def side(scope: Scope, w: int) -> str:
        edge = scope.links[0][1]
        own = Scope(scope.focus, [], scope.filters)
        return f"{maker.describe(own, w)} {edge.reference.phrase} them"

    def text(w: int) -> str:
        owners, name = maker.noun(parent, w), maker.label_phrase(first.last, w)
        a, b = side(first, w), side(second, w)
        return _SET_WORDS[operator][w].format(owners=owners, name=name, a=a, b=b)

    def render(r: Renderer) -> str:
        return f"SELECT {one(r)} {first.body(r)} {operator} SELECT {two(r)} {second.body(r)}"

    return maker.draft("set_of_parents", text, render, ("set_operation", *first.families, *second.families))


def best_per_group(maker: Maker) -> Draft:
    """The leading rows of each group, by a window."""
    key = maker.focus(lambda k: maker.named(k) and maker.depth(k) > 0 and bool(maker.attributes(k, *_NUMBERS)))
    scope = maker.climb(Scope(maker.node(key)), 1)
    attribute = maker.pick(maker.attributes(key, *_NUMBERS))
    maker.filtered.add((key, attribute.key))
    maker.filter(scope, scope.focus)
    label, parent = maker.label(scope.focus), maker.label(scope.last)
    count, top = int(maker.rng.integers(2, 4)), maker.chance(0.7)

    def text(w: int) -> str:
        who, what, owner = (
            maker.describe(scope, w),
            maker.phrase(key, attribute, w),
            maker.noun(scope.last.entity, w, plural=False),
        )
        name, above = maker.label_phrase(scope.focus, w), maker.owned_label(scope.last, w)
        side = (("highest", "lowest"), ("largest", "smallest"))[w][int(not top)]
        if w == 0:
            return (
                f"Take {who}. For each {owner}, which {count} of them have the {side} {what} (ties by {name})? Show "
                f"the {above}, the {name} and the {what}."
            )
        return (
            f"Keep, per {owner}, the {count} with the {side} {what} of the {who}, equal ones in order of {name}: "
            f"{above}, {name}, {what}."
        )

    def render(r: Renderer) -> str:
        figure = r.column(scope.focus, attribute.key)
        rank = f"ROW_NUMBER() OVER (PARTITION BY {parent(r)} ORDER BY {figure} {r.direction(top)}, {label(r)})"
        inside = f"SELECT {parent(r)} AS owner, {label(r)} AS item, {figure} AS figure, {rank} AS place {scope.body(r)}"
        test = r.condition(f"place <= {count}")
        return f"SELECT owner, item, figure FROM ({inside}) AS ranked WHERE {test}"

    return maker.draft("best_per_group", text, render, ("window", "derived_table", *scope.families))


def running_total(maker: Maker) -> Draft:
    """Running total of a figure by year."""
    key = maker.focus(lambda k: bool(maker.attributes(k, "date")) and bool(maker.attributes(k, "money")))
    day = maker.pick(maker.attributes(key, "date"))
    maker.filtered.add((key, day.key))
    scope = maker.scope(key, maker.hops(key, 2), 1)
    value = maker.value(scope.focus, additive=True)

    def text(w: int) -> str:
        who, what = maker.describe(scope, w), maker.phrase(key, day, w)
        if w == 0:
            return (
                f"For {who}, show per year of the {what} the total {value.text(w)} and the running total up to and "
                "including that year, both rounded to two decimals, in order of years."
            )
        return (
            f"Year by year (by {what}) and in order of time: sum of the {value.text(w)} of {who}, and the same sum "
            "accumulated since the first year; two decimals."
        )

    def render(r: Renderer) -> str:
        year = f"SUBSTR({r.column(scope.focus, day.key)}, 1, 4)"
        inside = (
            f"SELECT {year} AS period, {r.aggregate('SUM', value.render(r))} AS total {scope.body(r)} GROUP BY {year}"
        )
        running = "SUM(total) OVER (ORDER BY period)"
        return (
            f"WITH yearly AS ({inside}) SELECT period, ROUND(total, 2), ROUND({running}, 2) FROM yearly ORDER BY period"
        )

    return maker.draft(
        "running_total", text, render, ("window", "cte", "date", "group_by", "aggregate", *scope.families)
    )


def share_of_group(maker: Maker) -> Draft:
    """Each value's percentage of the total, by a window over groups."""
    key = maker.focus(lambda k: maker.depth(k) > 0 and bool(maker.attributes(k, "money")))
    scope = maker.climb(Scope(maker.node(key)), maker.hops(key, 2, 1))
    label = maker.label(scope.last)
    maker.filter(scope, scope.focus)
    value = maker.value(scope.focus, additive=True)

    def text(w: int) -> str:
        who, owner, name = (
            maker.describe(scope, w),
            maker.noun(scope.last.entity, w, plural=False),
            maker.label_phrase(scope.last, w),
        )
        if w == 0:
            return (
                f"What percentage of the total {value.text(w)} of {who} goes to each {owner}? Show {name} and "
                "percentage, rounded to two decimals."
            )
        return (
            f"Distribute the sum of the {value.text(w)} of {who} over the {maker.noun(scope.last.entity, w)}: "
            f"{name} with the share in percent to two decimals."
        )

    def render(r: Renderer) -> str:
        total = r.aggregate("SUM", value.render(r))
        return (
            f"SELECT {label(r)}, ROUND(100.0 * {total} / SUM({total}) OVER (), 2) {scope.body(r)} GROUP BY {label(r)}"
        )

    return maker.draft(
        "share_of_group", text, render, ("window", "group_by", "aggregate", "arithmetic", *scope.families)
    )


def change_by_year(maker: Maker) -> Draft:
    """Change of a yearly count against the year before."""
    key = maker.focus(lambda k: bool(maker.attributes(k, "date")) and maker.entity(k).role in ("event", "detail"))
    day = maker.pick(maker.attributes(key, "date"))
    maker.filtered.add((key, day.key))
    scope = maker.scope(key, maker.hops(key, 2), 1)

    def text(w: int) -> str:
        who, what = maker.describe(scope, w), maker.phrase(key, day, w)
        if w == 0:
            return (
                f"Count {who} per year of the {what} and show beside it the change against the previous year listed "
                "(empty for the first), years in order."
            )
        return (
            f"How did the yearly number of {who} develop, by {what}? Year, number, difference to the preceding line "
            "(nothing in the first), in order of time."
        )

    def render(r: Renderer) -> str:
        year = f"SUBSTR({r.column(scope.focus, day.key)}, 1, 4)"
        inside = f"SELECT {year} AS period, COUNT(*) AS tally {scope.body(r)} GROUP BY {year}"
        change = "tally - LAG(tally) OVER (ORDER BY period)"
        return f"WITH yearly AS ({inside}) SELECT period, tally, {change} FROM yearly ORDER BY period"

    return maker.draft(
        "change_by_year", text, render, ("window", "cte", "date", "group_by", "aggregate", *scope.families)
    )


def all_parents(maker: Maker) -> Draft:
    """Every parent with its number of filtered children, those without included."""
    parent = maker.focus(lambda k: maker.named(k) and bool(maker.schema.children(k)))
    edge = maker.child_edge(parent)
    outer, inner = Scope(maker.node(parent)), Scope(maker.node(edge.child))
    maker.filter(inner, inner.focus)
    if maker.chance(0.5):
        maker.filter(outer, outer.focus)
    label = maker.label(outer.focus)

    def text(w: int) -> str:
        who, name, children = maker.describe(outer, w), maker.label_phrase(outer.focus, w), maker.describe(inner, w)
        if w == 0:
            return (
                f"List the {name} of all {who} and how many {children} there are {edge.reference.phrase} each, 0 "
                "included."
            )
        return (
            f"Give one line for each of the {who}, even with none: {name}, number of {children} "
            f"{edge.reference.phrase} each."
        )

    def render(r: Renderer) -> str:
        on = [r.link(inner.focus, edge, outer.focus), *inner.conditions(r)]
        join = f"{r.left_join()} {r.table(inner.focus)} ON {' AND '.join(on)}"
        tally = f"COUNT({r.column(inner.focus, edge.source)})"
        return f"SELECT {label(r)}, {tally} {outer.source(r)} {join}{outer.where(r)} GROUP BY {label(r)}"

    return maker.draft(
        "all_parents", text, render, ("left_join", "group_by", "aggregate", *outer.families, *inner.families)
    )


def more_of_one_kind(maker: Maker) -> Draft:
    """Parents with more children of one kind than of another, each counted on its own."""
    parent = maker.focus(lambda k: maker.named(k) and len(maker.schema.children(k)) > 1)
    first_edge = maker.child_edge(parent)
    second_edge = maker.child_edge(parent, lambda edge: edge != first_edge)
    first, second = Scope(maker.node(first_edge.child)), Scope(maker.node(second_edge.child))
    owner = maker.node(parent)
    outer = Scope(owner)
    maker.filter(first, first.focus)
    label = maker.label(owner)

    def text(w: int) -> str:
        owners, name = maker.noun(parent, w), maker.label_phrase(owner, w)
        a = f"{maker.describe(first, w)} {first_edge.reference.phrase} them"
        b = f"{maker.describe(second, w)} {second_edge.reference.phrase} them"
        if w == 0:
            return (
                f"Which {owners} have more {a} than {b}, having at least one of each? Show the {name} and both "
                "numbers in that order."
            )
        return (
            f"Compare per {owners} the number of {a} with the number of {b}; where both occur and the first is "
            f"greater, give {name}, first number, second number."
        )

    def counted(r: Renderer, scope: Scope, edge: Edge) -> str:
        column = r.column(scope.focus, edge.source)
        return f"SELECT {column} AS owner, COUNT(*) AS tally {scope.body(r)} GROUP BY {column}"

    def render(r: Renderer) -> str:
        parts = f"one AS ({counted(r, first, first_edge)}), two AS ({counted(r, second, second_edge)})"
        joins = f"JOIN one ON one.owner = {r.identifier(owner)} JOIN two ON two.owner = {r.identifier(owner)}"
        test = r.condition("one.tally > two.tally")
        return f"WITH {parts} SELECT {label(r)}, one.tally, two.tally {outer.source(r)} {joins}{outer.where(r, test)}"

    return maker.draft("more_of_one_kind", text, render, ("cte", "join_2", "group_by", "aggregate", *first.families))


def own_kind(maker: Maker) -> Draft:
    """Rows beside the row of the same entity that they refer to."""
    edges = [edge for edge in maker.schema.edges if edge.parent == edge.child and maker.named(edge.child)]
    edge = maker.pick(edges)
    low, high = maker.node(edge.child), maker.node(edge.child)
    scope = Scope(low, [(low, edge, high)])
    maker.filter(scope, low if maker.chance(0.5) else high)
    attribute = maker.pick(maker.attributes(edge.child, *_NUMBERS, "date"))
    compare = maker.chance(0.5)
    one, two = maker.label(low), maker.label(high)

    def text(w: int) -> str:
        who, name, what = maker.describe(scope, w), maker.label_phrase(low, w), maker.phrase(edge.child, attribute, w)
        later = ("later", "greater")[attribute.kind != "date"]
        extra = f" Only pairs in which the first has a {later} {what} than the second." if compare else ""
        if w == 0:
            return f"Show pairs: the {name} of {who}, and beside it the {name} of the latter.{extra}"
        return f"For {who}, give both parties by {name}, the first-mentioned first.{extra}"

    def render(r: Renderer) -> str:
        more = [r.condition(f"{r.column(low, attribute.key)} > {r.column(high, attribute.key)}")] if compare else []
        return f"SELECT {one(r)}, {two(r)} {scope.body(r, *more)}"

    return maker.draft("own_kind", text, render, ("self_join", *scope.families))


def many_to_many(maker: Maker) -> Draft:
    """Named entities on one side of a link, conditioned on the other side."""
    links = [k for k in maker.schema.entities if len(maker.schema.parents(k)) >= 2 and not maker.named(k)]
    link = maker.node(maker.pick(links))
    order = maker.schema.parents(link.entity)
    first, second = (order[i] for i in maker.rng.permutation(len(order))[:2])
    if first.parent == second.parent:
        raise Unsuitable
    shown, other = maker.node(first.parent), maker.node(second.parent)
    scope = Scope(link, [(link, first, shown), (link, second, other)])
    maker.filter(scope, other)
    if maker.chance(0.5):
        maker.filter(scope, shown)
    label = maker.label(shown)

    def text(w: int) -> str:
        who, owners, name = maker.describe(scope, w), maker.noun(shown.entity, w), maker.label_phrase(shown, w)
        if w == 0:
            return f"There are {who}. Which {owners} are these? Give each {name} once, in alphabetical order."
        return f"Name all {owners} that come up in {who}: the {name}, sorted, no repeats."

    def render(r: Renderer) -> str:
        return f"SELECT DISTINCT {label(r)} {scope.body(r)} ORDER BY {label(r)}"

    return maker.draft("many_to_many", text, render, ("many_to_many", "distinct", *scope.families))


def pairs_of_values(maker: Maker) -> Draft:
    """Counts for each combination of two attributes of different entities."""
    key = maker.focus(lambda k: maker.depth(k) > 0)
    scope = maker.climb(Scope(maker.node(key)), maker.hops(key, 3, 1))

    def options(node: Node) -> list[str]:
        return [
            a.key
            for a in maker.attributes(node.entity, "category", "city")
            if (node.entity, a.key) not in maker.schema.codes
        ]

    columns = [(scope.focus, maker.pick(options(scope.focus))), (scope.last, maker.pick(options(scope.last)))]
    maker.filtered.update((node.entity, k) for node, k in columns)
    maker.filter(scope, maker.pick(scope.nodes))

    def text(w: int) -> str:
        names = [
            f"{maker.phrase(node.entity, maker.schema.attribute(node.entity, k), w)} of the "
            f"{maker.noun(node.entity, w, plural=False)}"
            for node, k in columns
        ]
        who = maker.describe(scope, w)
        if w == 0:
            return (
                f"Count {who} for every combination of {names[0]} and {names[1]} that occurs: the two values, then "
                "the number."
            )
        return (
            f"Cross-tabulate {who} as a list: {names[0]}, {names[1]}, how many; combinations that do not occur are "
            "left out."
        )

    def render(r: Renderer) -> str:
        listing = ", ".join(r.column(node, k) for node, k in columns)
        return f"SELECT {listing}, COUNT(*) {scope.body(r)} GROUP BY {listing}"

    return maker.draft("pairs_of_values", text, render, ("group_by", "aggregate", *scope.families))


TEMPLATES = (
    set_of_parents,
    best_per_group,
    running_total,
    share_of_group,
    change_by_year,
    all_parents,
    more_of_one_kind,
    own_kind,
    many_to_many,
    pairs_of_values,
)
