"""Groups: counts and figures per value, per parent, per year; conditions on groups; bands; codes in words."""

from __future__ import annotations

from fogline.simulators.databases.enterprise.model import Attribute
from fogline.simulators.databases.enterprise.questions.maker import ROUNDED, Maker
from fogline.simulators.databases.enterprise.questions.query import Draft, Node, Renderer, Scope, Unsuitable, plain


def _groupable(maker: Maker, node: Node) -> list[Attribute]:
    return [
        a
        for a in maker.attributes(node.entity, "category", "city")
        if (node.entity, a.key) not in maker.schema.codes and (node.entity, a.key) not in maker.filtered
    ]


def _below(maker: Maker, most_hops: int) -> tuple[Scope, Node]:
    """A scope of one to ``most_hops`` joins whose last node has a name; filtered on the focus or in between."""
    key = maker.focus(lambda k: maker.depth(k) > 0)
    scope = maker.climb(Scope(maker.node(key)), maker.hops(key, most_hops, 1))
    if not maker.named(scope.last.entity):
        raise Unsuitable
    maker.filter(scope, scope.focus if maker.chance(0.7) else scope.nodes[-2])
    return scope, scope.last


def count_per_value(maker: Maker) -> Draft:
    """Number of rows for each value of a category or city."""
    key = maker.focus(lambda k: True)
    scope = maker.scope(key, maker.hops(key, 2), 1)
    node = maker.pick([n for n in scope.nodes if _groupable(maker, n)])
    attribute = maker.pick(_groupable(maker, node))

    def text(w: int) -> str:
        what = maker.phrase(node.entity, attribute, w)
        if node != scope.focus:
            what = f"{what} of the {maker.noun(node.entity, w, plural=False)}"
        who = maker.describe(scope, w)
        if w == 0:
            return f"How many {who} are there for each {what}? Show the {what} and the number."
        return f"Break {who} down by {what}: one line per value with how many there are."

    def render(r: Renderer) -> str:
        column = r.column(node, attribute.key)
        return f"SELECT {column}, COUNT(*) {scope.body(r)} GROUP BY {column}"

    return maker.draft("count_per_value", text, render, ("group_by", "aggregate", *scope.families))


def figure_per_parent(maker: Maker) -> Draft:
    """An aggregate of children for each named parent, one to four joins away."""
    scope, parent = _below(maker, 4)
    _, sql, words = maker.aggregate(maker.value(scope.focus))
    label = maker.label(parent)

    def text(w: int) -> str:
        who, owner, name = (
            maker.describe(scope, w),
            maker.noun(parent.entity, w, plural=False),
            maker.label_phrase(parent, w),
        )
        if w == 0:
            return (
                f"Consider {who}. For each {owner} involved, give the {name} and the {words(w)} of these "
                f"{maker.noun(scope.focus.entity, w)}."
            )
        return f"Per {owner} ({name}), what is the {words(w)} of the {who}? Leave out any {owner} without such entries."

    def render(r: Renderer) -> str:
        return f"SELECT {label(r)}, {sql(r)} {scope.body(r)} GROUP BY {label(r)}"

    return maker.draft("figure_per_parent", text, render, ("group_by", "aggregate", *scope.families))


def busy_parents(maker: Maker) -> Draft:
    """Parents with at least so many children."""
    scope, parent = _below(maker, 3)
    label, least = maker.label(parent), int(maker.rng.integers(2, 6))

    def text(w: int) -> str:
        who, owners, name = maker.describe(scope, w), maker.noun(parent.entity, w), maker.label_phrase(parent, w)
        if w == 0:
            return f"Counting only {who}: which {owners} come up at least {least} times? Return {name} and the count."
        return f"Give {name} and number of entries for all {owners} that have {least} or more {who}."

    def render(r: Renderer) -> str:
        having = r.condition(f"COUNT(*) >= {least}")
        return f"SELECT {label(r)}, COUNT(*) {scope.body(r)} GROUP BY {label(r)} HAVING {having}"

    return maker.draft("busy_parents", text, render, ("group_by", "having", "aggregate", *scope.families))


def high_parents(maker: Maker) -> Draft:
    """Parents whose children's total or average passes a limit."""
    scope, parent = _below(maker, 2)
    value, label = maker.value(scope.focus), maker.label(parent)
    function, _, words = maker.aggregate(value)
    column = maker.attributes(scope.focus.entity, "money", "number", "decimal")
    typical = maker.column_values(scope.focus.entity, maker.pick(column).key)
    limit = plain(round(sum(typical) / len(typical) * (2.5 if function == "SUM" else 1.0), -1))

    def text(w: int) -> str:
        who, owners, name = maker.describe(scope, w), maker.noun(parent.entity, w), maker.label_phrase(parent, w)
        figure = words(w).removesuffix(ROUNDED)
        if w == 0:
            return (
                f"Work out, per {maker.noun(parent.entity, w, plural=False)}, the {figure} of {who}. Which {owners} "
                f"come out above {limit}? Only the {name}, in alphabetical order."
            )
        return (
            f"List alphabetically the {name} of all {owners} that reach more than {limit} when the {figure} of "
            f"{who} is taken for each."
        )

    def render(r: Renderer) -> str:
        having = r.condition(f"{r.aggregate(function, value.render(r))} > {limit}")
        return f"SELECT {label(r)} {scope.body(r)} GROUP BY {label(r)} HAVING {having} ORDER BY {label(r)}"

    return maker.draft("high_parents", text, render, ("group_by", "having", "aggregate", *scope.families))


def leading_parents(maker: Maker) -> Draft:
    """The parents with the most children or the greatest total."""
    scope, parent = _below(maker, 4)
    label, count = maker.label(parent), int(maker.rng.integers(2, 6))
    additive = maker.chance(0.5) and bool(maker.attributes(scope.focus.entity, "money"))
    _, sql, words = maker.aggregate(maker.value(scope.focus, additive=True)) if additive else ("", None, None)

    def text(w: int) -> str:
        who, owners, name = maker.describe(scope, w), maker.noun(parent.entity, w), maker.label_phrase(parent, w)
        measure = words(w) if words else ("number", "count")[w]
        if w == 0:
            return (
                f"Which {count} {owners} lead by {measure} of {who}? Show {name} and that figure, highest first, "
                f"ties by {name}."
            )
        return (
            f"Rank {owners} by the {measure} of {who} and keep the top {count}: {name} plus figure, equal ones in "
            f"order of {name}."
        )

    def render(r: Renderer) -> str:
        figure = sql(r) if sql else "COUNT(*)"
        return (
            f"SELECT {label(r)}, {figure} {scope.body(r)} GROUP BY {label(r)} "
            f"ORDER BY {figure} {r.direction(True)}, {label(r)} LIMIT {count}"
        )

    return maker.draft("leading_parents", text, render, ("group_by", "order_limit", "aggregate", *scope.families))


def per_year(maker: Maker) -> Draft:
    """Counts or figures per year of a date."""
    key = maker.focus(lambda k: bool(maker.attributes(k, "date")))
    day = maker.pick(maker.attributes(key, "date"))
    maker.filtered.add((key, day.key))
    scope = maker.scope(key, maker.hops(key, 2), 1)
    figure = bool(maker.attributes(key, "money", "number", "decimal")) and maker.chance(0.6)
    _, sql, words = maker.aggregate(maker.value(scope.focus)) if figure else ("", None, None)
    length, unit = (4, "year") if maker.chance(0.6) else (7, "month")

    def text(w: int) -> str:
        who, what = maker.describe(scope, w), maker.phrase(key, day, w)
        measure = words(w) if words else ("number", "count")[w]
        shape = "" if unit == "year" else " (written as year-month, for instance 2021-04)"
        if w == 0:
            return f"Per {unit} of the {what}{shape}, what is the {measure} of {who}? Oldest {unit} first."
        return f"Show for every {unit}{shape} in which the {what} lies the {measure} of {who}, in order of time."

    def render(r: Renderer) -> str:
        period = f"SUBSTR({r.column(scope.focus, day.key)}, 1, {length})"
        return f"SELECT {period}, {sql(r) if sql else 'COUNT(*)'} {scope.body(r)} GROUP BY {period} ORDER BY {period}"

    return maker.draft("per_year", text, render, ("group_by", "date", "string", "aggregate", *scope.families))


def bands(maker: Maker) -> Draft:
    """Rows sorted into three bands of a figure."""
    key = maker.focus(lambda k: bool(maker.attributes(k, "money", "number", "decimal")))
    attribute = maker.pick(maker.attributes(key, "money", "number", "decimal"))
    maker.filtered.add((key, attribute.key))
    scope = maker.scope(key, maker.hops(key, 2), 1)
    values = sorted(maker.column_values(key, attribute.key))
    low, high = (round(float(values[int(len(values) * share)])) for share in (0.3, 0.7))
    if low >= high:
        raise Unsuitable

    def text(w: int) -> str:
        who, what = maker.describe(scope, w), maker.phrase(key, attribute, w)
        if w == 0:
            return (
                f"Sort {who} into bands by {what}: 'low' below {low}, 'middle' from {low} up to but not including "
                f"{high}, "
                f"'high' from {high}. Give band and number for the bands that occur."
            )
        return (
            f"How are {who} spread over three classes of {what}, namely 'low' (under {low}), 'high' ({high} or "
            "more) and "
            f"'middle' (anything else)? Class and count, without empty classes."
        )

    def render(r: Renderer) -> str:
        column = r.column(scope.focus, attribute.key)
        case = f"CASE WHEN {column} < {low} THEN 'low' WHEN {column} < {high} THEN 'middle' ELSE 'high' END"
        return f"SELECT {case}, COUNT(*) {scope.body(r)} GROUP BY {case}"

    return maker.draft("bands", text, render, ("case", "group_by", "aggregate", *scope.families))


def side_by_side(maker: Maker) -> Draft:
    """For each parent, the rows that meet a condition beside all rows."""
    scope, parent = _below(maker, 2)
    extra = maker.filter(scope, scope.focus)
    scope.filters.remove(extra)
    label = maker.label(parent)

    def text(w: int) -> str:
        who, owner, name = (
            maker.describe(scope, w),
            maker.noun(parent.entity, w, plural=False),
            maker.label_phrase(parent, w),
        )
        if w == 0:
            return (
                f"For each {owner} with {who}, show the {name}, how many of these are ones {extra.text(w)}, and how "
                "many there are in all."
            )
        return (
            f"Starting from {who}, list per {owner}: {name}, the number of those {extra.text(w)}, the overall number."
        )

    def render(r: Renderer) -> str:
        part = f"SUM(CASE WHEN {r.condition(extra.render(r))} THEN 1 ELSE 0 END)"
        return f"SELECT {label(r)}, {part}, COUNT(*) {scope.body(r)} GROUP BY {label(r)}"

    return maker.draft(
        "side_by_side", text, render, ("case", "group_by", "aggregate", *extra.families, *scope.families)
    )


def varied_parents(maker: Maker) -> Draft:
    """Parents whose children show several different values."""
    scope, parent = _below(maker, 2)
    child = scope.focus
    options = [
        a for a in maker.attributes(child.entity, "category", "city") if (child.entity, a.key) not in maker.filtered
    ]
    attribute = maker.pick(options)
    label, least = maker.label(parent), int(maker.rng.integers(2, 4))

    def text(w: int) -> str:
        who, owners, name = maker.describe(scope, w), maker.noun(parent.entity, w), maker.label_phrase(parent, w)
        what = maker.phrase(child.entity, attribute, w)
        if w == 0:
            return (
                f"Which {owners} show at least {least} different values of the {what} among {who}? Give {name} and "
                "the number of different values."
            )
        return (
            f"Looking at {who}, return {name} and count of distinct values of the {what} for {owners} where that "
            f"count is {least} or higher."
        )

    def render(r: Renderer) -> str:
        column = r.column(child, attribute.key)
        having = r.condition(f"{r.count_distinct(column)} >= {least}")
        return f"SELECT {label(r)}, {r.count_distinct(column)} {scope.body(r)} GROUP BY {label(r)} HAVING {having}"

    return maker.draft("varied_parents", text, render, ("having", "group_by", "distinct", "aggregate", *scope.families))


def meaning_per_code(maker: Maker) -> Draft:
    """Counts per coded category, with the codes put into words by the code table."""
    coded = list(maker.schema.codes)
    entity, key = maker.pick(coded)
    if maker.schema.attribute(entity, key).nullable:
        raise Unsuitable
    maker.filtered.add((entity, key))
    scope = maker.scope(entity, maker.hops(entity, 1), 1)
    attribute = maker.schema.attribute(entity, key)
    figure = bool(maker.attributes(entity, "money", "number", "decimal")) and maker.chance(0.5)
    _, sql, words = maker.aggregate(maker.value(scope.focus)) if figure else ("", None, None)

    def text(w: int) -> str:
        who, what = maker.describe(scope, w), maker.phrase(entity, attribute, w)
        measure = words(w) if words else ("number", "count")[w]
        if w == 0:
            return (
                f"Give the {measure} of {who} for each {what}, with the {what} written out in words instead of its "
                "code."
            )
        return f"Split {who} by {what}, spelt out rather than coded, and state the {measure} beside each."

    def render(r: Renderer) -> str:
        lookup, meaning = r.meaning(scope.focus, key, "c")
        source = f"{scope.source(r)} JOIN {lookup}"
        return f"SELECT {meaning}, {sql(r) if sql else 'COUNT(*)'} {source}{scope.where(r)} GROUP BY {meaning}"

    return maker.draft(
        "meaning_per_code", text, render, ("code_table", "join_1", "group_by", "aggregate", *scope.families)
    )


TEMPLATES = (
    count_per_value,
    figure_per_parent,
    busy_parents,
    high_parents,
    leading_parents,
    per_year,
    bands,
    side_by_side,
    varied_parents,
    meaning_per_code,
)
