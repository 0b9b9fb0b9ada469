"""What a merchant could do: validated interventions on the levers of a log.

A strategy rewrites what was shown, nothing else: users, context, what people did before deciding and hidden variables
stay as they were.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, DataError, check_choice, check_keys, suggestion
from fogline.simulators.merchants.columns import COLUMNS, ENTRIES, LEVERS
from fogline.simulators.merchants.problems import badges_text, range_of

Floats = NDArray[np.float64]

OPERATIONS = ("set", "add", "scale", "remove")
NEUTRAL: Mapping[str, Any] = {
    "discount": 0.0,
    "coupon_value": 0.0,
    "coupon_threshold": 0.0,
    "badges": "",
    "ad_level": 0.0,
    "menu_bundle": False,
}
"""Levers that a log may leave out, and what that means."""


@dataclass(frozen=True)
class Scope:
    """For whom a change is.

    Attributes:
        segment: Wanted values by category column, ``{"city_tier": ("1", "2")}``.
        entry: How the user came; empty for all.
        hours: First and last hour of the day, ends included; may run over midnight. None for all.
    """

    segment: Mapping[str, tuple[str, ...] | str] = field(default_factory=dict)
    entry: tuple[str, ...] = ()
    hours: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        wanted = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in self.segment.items()}
        object.__setattr__(self, "segment", wanted)
        object.__setattr__(self, "entry", tuple(self.entry))
        categories = [
            name for name, column in COLUMNS.items() if column.kind == "category" and column.role != "outcome"
        ]
        for name in wanted:
            check_choice("segment", name, categories)
        for name in self.entry:
            check_choice("entry", name, ENTRIES)
        if self.hours is not None:
            object.__setattr__(self, "hours", tuple(self.hours))
            if len(self.hours) != 2 or not all(isinstance(hour, int) and 0 <= hour <= 23 for hour in self.hours):
                raise ConfigurationError(f"hours={self.hours!r}: expected two whole numbers from 0 to 23.")

    def rows(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Rows of a table that are meant; bool [n].

        Raises:
            ConfigurationError: For a column that the table does not have.
        """
        keep = np.ones(len(table), dtype=bool)
        wanted = {**self.segment, **({"entry": self.entry} if self.entry else {})}
        for name, values in wanted.items():
            keep &= _column(table, name).isin(values).to_numpy()
        if self.hours is not None:
            hour, (first, last) = _column(table, "hour").to_numpy(), self.hours
            keep &= (hour >= first) & (hour <= last) if first <= last else (hour >= first) | (hour <= last)
        return keep


@dataclass(frozen=True)
class Cost:
    """What a change costs the merchant, in price levels.

    Attributes:
        per_order: For each order that comes under it.
        fixed: Once per merchant.
    """

    per_order: float = 0.0
    fixed: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("per_order", self.per_order), ("fixed", self.fixed)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise ConfigurationError(f"cost {name}={value!r}: expected a finite number of price levels.")


EVERYWHERE, NO_COST = Scope(), Cost()


@dataclass(frozen=True)
class Intervention:
    """One change of one lever.

    Attributes:
        field: A lever, one of :data:`~fogline.simulators.merchants.columns.LEVERS`.
        op: ``set``, ``add``, ``scale``; for badges ``set``, ``add``, ``remove``.
        value: A number; true or false; for badges a name or several.
        scope: For whom.
        cost: What it costs.
    """

    field: str
    op: str
    value: Any
    scope: Scope = EVERYWHERE
    cost: Cost = NO_COST

    def __post_init__(self) -> None:
        if self.field in COLUMNS and self.field not in LEVERS:
            raise ConfigurationError(
                f"field={self.field!r} is nothing that a merchant sets: expected one of {', '.join(LEVERS)}."
            )
        check_choice("field", self.field, LEVERS)
        check_choice("op", self.op, OPERATIONS)
        kind = COLUMNS[self.field].kind
        if kind == "set":
            self._check_badges()
        elif kind == "flag":
            if self.op != "set" or not isinstance(self.value, bool):
                raise ConfigurationError(f"{self}: expected op='set' and true or false.")
        else:
            self._check_number()

    def _check_badges(self) -> None:
        names = (self.value,) if isinstance(self.value, str) else self.value
        good = isinstance(names, Sequence) and all(isinstance(name, str) and "|" not in name for name in names)
        if self.op == "scale" or not good:
            raise ConfigurationError(f"{self}: expected op='set', 'add' or 'remove' and names of badges, without '|'.")
        object.__setattr__(self, "value", tuple(names))

    def _check_number(self) -> None:
        if self.op == "remove":
            raise ConfigurationError(f"{self}: only badges are removed; expected op='set', 'add' or 'scale'.")
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not np.isfinite(self.value):
            raise ConfigurationError(f"{self}: expected a finite number.")
        if self.op == "set" and not _legal(self.field, np.array([float(self.value)])).all():
            raise ConfigurationError(f"{self}: expected {range_of(COLUMNS[self.field])}.")

    def __str__(self) -> str:
        """As written."""
        return f"{self.field} {self.op} {self.value!r}"

    def changed(self, table: pd.DataFrame) -> pd.Series:
        """The lever's column after the change.

        Raises:
            ConfigurationError: For a lever that the log lacks, or values out of range.
        """
        rows = self.scope.rows(table)
        before = self._before(table)
        if COLUMNS[self.field].kind == "set":
            unique = {text: self._badges(text) for text in before[rows].unique()}
            return before.where(~rows, before.map(lambda text: unique.get(text, text)).astype("str"))
        if COLUMNS[self.field].kind == "flag":
            return before.where(~rows, self.value)
        old = before.to_numpy(dtype=np.float64)
        new = {"set": np.full_like(old, self.value), "add": old + self.value, "scale": old * self.value}[self.op]
        self._check_range(table, new, rows)
        return pd.Series(np.where(rows, new, old), index=table.index)

    def _before(self, table: pd.DataFrame) -> pd.Series:
        if self.field in table:
            return table[self.field]
        if self.field in NEUTRAL:
            return pd.Series(NEUTRAL[self.field], index=table.index)
        if self.op == "set":
            return pd.Series(np.nan, index=table.index)
        raise ConfigurationError(
            f"{self}: the log has no column {self.field!r}, so there is nothing to {self.op}; use op='set'."
        )

    def _badges(self, text: str) -> str:
        names = set(text.split("|"))
        changed = {"set": set(self.value), "add": names | set(self.value), "remove": names - set(self.value)}
        return badges_text(changed[self.op])

    def _check_range(self, table: pd.DataFrame, new: Floats, rows: NDArray[np.bool_]) -> None:
        wrong = rows & ~_legal(self.field, new) & ~np.isnan(new)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise ConfigurationError(
                f"{self} takes {int(wrong.sum()):,} rows out of range, the first of merchant "
                f"{table['merchant_id'].iloc[first]!r} to {new[first]:g}: expected {range_of(COLUMNS[self.field])}."
            )

    def to_json(self) -> dict[str, Any]:
        """As JSON; what is left at its default is left out."""
        scope = {
            "segment": {name: list(values) for name, values in self.scope.segment.items()},
            "entry": list(self.scope.entry),
            "hours": None if self.scope.hours is None else list(self.scope.hours),
        }
        cost = {"per_order": self.cost.per_order, "fixed": self.cost.fixed}
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        found: dict[str, Any] = {"field": self.field, "op": self.op, "value": value}
        for name, part in (("scope", scope), ("cost", cost)):
            if said := {key: item for key, item in part.items() if item}:
                found[name] = said
        return found

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Inverse of :meth:`to_json`.

        Raises:
            ConfigurationError: For anything that is no intervention.
        """
        given = _mapping("an intervention", document, ("field", "op", "value", "scope", "cost"))
        for name in ("field", "op", "value"):
            if name not in given:
                raise ConfigurationError(f"an intervention has no {name!r}: expected field, op and value in {given}.")
        scope = _mapping("scope", given.get("scope", {}), ("segment", "entry", "hours"))
        cost = _mapping("cost", given.get("cost", {}), ("per_order", "fixed"))
        return cls(given["field"], given["op"], given["value"], Scope(**scope), Cost(**cost))


@dataclass(frozen=True)
class Strategy:
    """Interventions under one name, in order.

    Attributes:
        name: Of the strategy.
        interventions: What is changed; none leaves everything as logged.
    """

    name: str
    interventions: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "interventions", tuple(self.interventions))
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"name={self.name!r} of a strategy: expected some text.")

    @property
    def fields(self) -> tuple[str, ...]:
        """Levers that are changed."""
        return tuple(dict.fromkeys(item.field for item in self.interventions))

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """What would have been shown: do(strategy).

        Args:
            table: As logged; left as it is.

        Raises:
            ConfigurationError: For a lever or a scope that the log lacks, or values out of range.
        """
        after = table
        for item in self.interventions:
            after = after.assign(**{item.field: item.changed(after)})
        return after

    def cost(self, orders: Any) -> Any:
        """What it costs with so many orders, in price levels; numbers or arrays."""
        per_order = sum(item.cost.per_order for item in self.interventions)
        return sum(item.cost.fixed for item in self.interventions) + per_order * orders

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "interventions": [item.to_json() for item in self.interventions]}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Inverse of :meth:`to_json`.

        Raises:
            ConfigurationError: For anything that is no strategy, with its name.
        """
        given = _mapping("a strategy", document, ("name", "interventions"))
        name = given.get("name", "")
        try:
            return cls(name, tuple(Intervention.from_json(item) for item in given.get("interventions", ())))
        except ConfigurationError as error:
            raise ConfigurationError(f"strategy {name!r}: {error}") from error


LOGGED = Strategy("as logged")
"""Nothing is changed."""


def load_strategies(path: str | Path) -> tuple[Strategy, ...]:
    """Read strategies from a JSON file: ``[{"name": …, "interventions": [{"field", "op", "value", …}]}]``.

    Raises:
        DataError: For a file that is not there, is no JSON, or names a strategy wrongly or twice.
    """
    file = Path(path)
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a file of strategies: {error}") from error
    if not isinstance(document, list) or not document:
        raise DataError(f"{str(path)!r}: expected a list of strategies, [{{'name': …, 'interventions': […]}}].")
    try:
        found = tuple(map(Strategy.from_json, document))
        check_names(found)
    except ConfigurationError as error:
        raise DataError(f"{str(path)!r}: {error}") from error
    return found


def save_strategies(strategies: Sequence[Strategy], path: str | Path) -> None:
    """Write strategies as :func:`load_strategies` reads them."""
    text = json.dumps([strategy.to_json() for strategy in strategies], indent=2, ensure_ascii=False)
    Path(path).write_text(text + "\n", "utf-8")


def check_names(strategies: Sequence[Strategy]) -> None:
    """Refuse no strategies, and two of one name.

    Raises:
        ConfigurationError: For either.
    """
    names = [strategy.name for strategy in strategies]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise ConfigurationError(f"strategies named {twice or names}: expected at least one, each with its own name.")


def grid(**values: Sequence[Any]) -> tuple[Strategy, ...]:
    """Every combination of values that levers are set to: ``grid(discount=[0, .1], delivery_min=[20, 30])``."""
    for name in values:
        if name not in LEVERS:
            raise ConfigurationError(f"field={name!r} is no lever: expected {LEVERS}.{suggestion(name, LEVERS)}")
    combinations = itertools.product(*values.values())
    return tuple(
        Strategy(
            ", ".join(f"{name} {value}" for name, value in zip(values, chosen, strict=True)),
            tuple(Intervention(name, "set", value) for name, value in zip(values, chosen, strict=True)),
        )
        for chosen in combinations
    )


def effective_price(table: pd.DataFrame) -> Floats:
    """What an order pays, in price levels: discount and coupon taken off; float64 [n], 1 where no price is logged."""
    price = _numbers(table, "price_level", 1.0)
    discounted = price * (1 - _numbers(table, "discount", 0.0))
    counts = discounted >= _numbers(table, "coupon_threshold", 0.0)
    return np.maximum(discounted - np.where(counts, _numbers(table, "coupon_value", 0.0), 0.0), 0.0)


def _numbers(table: pd.DataFrame, name: str, otherwise: float) -> Floats:
    if name not in table:
        return np.full(len(table), otherwise)
    values: Floats = np.nan_to_num(table[name].to_numpy(dtype=np.float64), nan=otherwise)
    return values


def _legal(name: str, values: Floats) -> NDArray[np.bool_]:
    column = COLUMNS[name]
    good = np.isfinite(values)
    if column.low is not None:
        good &= values > column.low if column.open_low else values >= column.low
    if column.high is not None:
        good &= values < column.high if column.open_high else values <= column.high
    return good


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        raise ConfigurationError(f"the scope names {name!r}, which the log does not have: leave it out.")
    return table[name]


def _mapping(what: str, document: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"{what} is {document!r}: expected an object with {', '.join(known)}.")
    check_keys(what, document, known)
    return dict(document)
