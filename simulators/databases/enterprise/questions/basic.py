"""Lists, counts, single figures, distinct values, first and last rows."""

from __future__ import annotations

from fogline.simulators.databases.enterprise.questions.maker import Maker, join_words
from fogline.simulators.databases.enterprise.questions.query import Draft, Renderer


def list_rows(maker: Maker) -> Draft:
    """Names and further columns of the rows that meet some conditions, by name."""
    key = maker.focus(maker.named)
    scope = maker.scope(key, maker.hops(key, 4), int(maker.rng.integers(1, 3)))
    label = maker.label(scope.focus)
    free = [a for a in maker.attributes(key, "category", "city", "number", "money", "decimal", "date")
            if (key, a.key) not in maker.filtered and (key, a.key) not in maker.schema.codes]  # fmt: skip
    count = min(len(free), int(maker.rng.integers(1, 3)))
    shown = [free[i] for i in maker.rng.permutation(len(free))[:count]]

    def text(w: int) -> str:
        names = join_words(
            [f"the {maker.label_phrase(scope.focus, w)}", *(f"the {maker.phrase(key, a, w)}" for a in shown)]
        )
        who = maker.describe(scope, w)
        if w == 0:
            return f"List {names} of all {who}. Order by {maker.label_phrase(scope.focus, w)}."
        return f"Which {who} are there? Give {names}, sorted by {maker.label_phrase(scope.focus, w)} from A to Z."

    def render(r: Renderer) -> str:
        columns = ", ".join([label(r), *(r.column(scope.focus, a.key) for a in shown)])
        return f"SELECT {columns} {scope.body(r)} ORDER BY {label(r)}"

    return maker.draft("list_rows", text, render, ("projection", *scope.families))


def count_rows(maker: Maker) -> Draft:
    """How many rows meet some conditions."""
    key = maker.focus(lambda k: True)
    scope = maker.scope(key, maker.hops(key, 4), int(maker.rng.integers(1, 4)))

    def text(w: int) -> str:
        who = maker.describe(scope, w)
        return (f"How many {who} are there?", f"Count the {who}; give that number only.")[w]

    return maker.draft("count_rows", text, lambda r: f"SELECT COUNT(*) {scope.body(r)}", ("aggregate", *scope.families))


def single_figure(maker: Maker) -> Draft:
    """One aggregate over the rows that meet some conditions."""
    key = maker.focus(lambda k: bool(maker.attributes(k, "money", "number", "decimal")))
    scope = maker.scope(key, maker.hops(key, 4), int(maker.rng.integers(1, 3)))
    _, sql, words = maker.aggregate(maker.value(scope.focus))

    def text(w: int) -> str:
        who = maker.describe(scope, w)
        return (f"What is the {words(w)} of all {who}?", f"Taking only {who}, work out the {words(w)}.")[w]

    return maker.draft(
        "single_figure", text, lambda r: f"SELECT {sql(r)} {scope.body(r)}", ("aggregate", *scope.families)
    )


def two_figures(maker: Maker) -> Draft:
    """Number of rows and an aggregate side by side."""
    key = maker.focus(lambda k: bool(maker.attributes(k, "money", "number", "decimal")))
    scope = maker.scope(key, maker.hops(key, 3), 2)
    _, sql, words = maker.aggregate(maker.value(scope.focus))

    def text(w: int) -> str:
        who = maker.describe(scope, w)
        if w == 0:
            return f"For the {who}, give two figures in one row: how many there are and their {words(w)}."
        return f"In a single row, show the count of {who}, followed by the {words(w)}."

    return maker.draft(
        "two_figures",
        text,
        lambda r: f"SELECT COUNT(*), {sql(r)} {scope.body(r)}",
        ("aggregate", "projection", *scope.families),
    )


def distinct_values(maker: Maker) -> Draft:
    """Different values of an attribute of the focus or of an entity above it."""
    key = maker.focus(lambda k: maker.depth(k) > 0)
    scope = maker.scope(key, maker.hops(key, 3, 1), 0)
    node = maker.pick([n for n in scope.nodes[1:] if maker.attributes(n.entity, "city", "label", "category")])
    attribute = maker.pick(
        [
            a
            for a in maker.attributes(node.entity, "city", "label", "category")
            if (node.entity, a.key) not in maker.schema.codes
        ]
    )
    maker.filtered.add((node.entity, attribute.key))
    maker.filter(scope, scope.focus)
    if maker.chance(0.5):
        maker.filter(scope, scope.focus)

    def text(w: int) -> str:
        what, owner = maker.phrase(node.entity, attribute, w), maker.noun(node.entity, w)
        who = maker.describe(scope, w)
        if w == 0:
            return (
                f"Looking at {who}: which different values of the {what} of these {owner} occur? Alphabetical "
                "order, each once."
            )
        return f"Name every {what} found among the {owner} behind {who}, without repetition and in alphabetical order."

    def render(r: Renderer) -> str:
        column = r.column(node, attribute.key)
        return f"SELECT DISTINCT {column} {scope.body(r)} ORDER BY {column}"

    return maker.draft("distinct_values", text, render, ("distinct", *scope.families))


def first_rows(maker: Maker) -> Draft:
    """The rows with the greatest or smallest figure."""
    key = maker.focus(lambda k: maker.named(k) and bool(maker.attributes(k, "money", "number", "decimal")))
    scope = maker.scope(key, maker.hops(key, 4), int(maker.rng.integers(1, 3)))
    value, label = maker.value(scope.focus), maker.label(scope.focus)
    count, top = int(maker.rng.integers(2, 8)), maker.chance(0.65)
    rounding = "" if value.whole else ", rounded to two decimals"

    def text(w: int) -> str:
        name, who = maker.label_phrase(scope.focus, w), maker.describe(scope, w)
        side = (("highest", "lowest"), ("largest", "smallest"))[w][int(not top)]
        if w == 0:
            return (
                f"Which {count} of the {who} have the {side} {value.text(w)}? Give the {name} and the {value.text(w)}"
                f"{rounding}, the {side} first; ties go by {name}."
            )
        return (
            f"Show {name} and {value.text(w)}{rounding} for the {count} {who} with the {side} {value.text(w)}, "
            f"starting with the {side} and using the {name} in alphabetical order where figures are equal."
        )

    def render(r: Renderer) -> str:
        figure = value.render(r)
        shown = figure if value.whole else f"ROUND({figure}, 2)"
        return (
            f"SELECT {label(r)}, {shown} {scope.body(r)} ORDER BY {figure} {r.direction(top)}, {label(r)} LIMIT {count}"
        )

    return maker.draft("first_rows", text, render, ("order_limit", "projection", *scope.families))


def latest_rows(maker: Maker) -> Draft:
    """The most recent rows, with the name of an entity above them."""
    key = maker.focus(lambda k: maker.named(k) and bool(maker.attributes(k, "date")) and maker.depth(k) > 0)
    scope = maker.scope(key, maker.hops(key, 3, 1), 0)
    day = maker.pick(maker.attributes(key, "date"))
    maker.filtered.add((key, day.key))
    maker.filter(scope, scope.focus)
    label, parent = maker.label(scope.focus), maker.label(scope.last)
    count, late = int(maker.rng.integers(3, 9)), maker.chance(0.7)

    def text(w: int) -> str:
        name, who, what = maker.label_phrase(scope.focus, w), maker.describe(scope, w), maker.phrase(key, day, w)
        above = maker.owned_label(scope.last, w)
        side = (("latest", "earliest"), ("most recent", "oldest"))[w][int(not late)]
        if w == 0:
            return (
                f"Give the {name}, the {above} and the {what} for the {count} {who} with the {side} {what}, "
                f"{side} first, ties by {name}."
            )
        return (
            f"By {what}, which are the {count} {side} {who}? Three columns: {name}, {above}, {what}. "
            f"Begin with the {side}; equal dates are put in order of {name}."
        )

    def render(r: Renderer) -> str:
        column = r.column(scope.focus, day.key)
        return (
            f"SELECT {label(r)}, {parent(r)}, {column} {scope.body(r)} "
            f"ORDER BY {column} {r.direction(late)}, {label(r)} LIMIT {count}"
        )

    return maker.draft("latest_rows", text, render, ("order_limit", "projection", "date", *scope.families))


def share_of_rows(maker: Maker) -> Draft:
    """Percentage of the rows that meet one more condition."""
    key = maker.focus(lambda k: True)
    scope = maker.scope(key, maker.hops(key, 2), 1)
    extra = maker.filter(scope, scope.focus)
    scope.filters.remove(extra)

    def text(w: int) -> str:
        who = maker.describe(scope, w)
        part = f"those {extra.text(w)}"
        if w == 0:
            return f"Of all {who}, what percentage are {part}? Round to two decimals."
        return f"What share of {who}, in percent and rounded to two decimals, is made up of {part}?"

    def render(r: Renderer) -> str:
        part = f"SUM(CASE WHEN {r.condition(extra.render(r))} THEN 1 ELSE 0 END)"
        return f"SELECT ROUND(100.0 * {part} / COUNT(*), 2) {scope.body(r)}"

    return maker.draft(
        "share_of_rows", text, render, ("case", "arithmetic", "aggregate", *extra.families, *scope.families)
    )


def missing_values(maker: Maker) -> Draft:
    """How many rows lack a value and how many have it."""
    key = maker.focus(lambda k: any(a.nullable for a in maker.entity(k).attributes))
    attribute = maker.pick([a for a in maker.entity(key).attributes if a.nullable])
    maker.filtered.add((key, attribute.key))
    scope = maker.scope(key, maker.hops(key, 2), 1)

    def text(w: int) -> str:
        who, what = maker.describe(scope, w), maker.phrase(key, attribute, w)
        if w == 0:
            return f"For {who}, count in one row how many have no {what} recorded and how many have one."
        return f"Give two numbers in a row: {who} lacking a {what}, then those for which it is filled in."

    def render(r: Renderer) -> str:
        column = r.column(scope.focus, attribute.key)
        return f"SELECT COUNT(*) - COUNT({column}), COUNT({column}) {scope.body(r)}"

    return maker.draft("missing_values", text, render, ("null", "aggregate", "arithmetic", *scope.families))


TEMPLATES = (
    list_rows,
    count_rows,
    single_figure,
    two_figures,
    distinct_values,
    first_rows,
    latest_rows,
    share_of_rows,
    missing_values,
)
