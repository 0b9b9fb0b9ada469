"""What people did before deciding, as numbers that policies are mined from.

Merchants and outcomes are left out: policies must transfer, and an outcome would leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.columns import names_of

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

REPEAT = "repeat_orders"
_REPEAT_WEIGHT = 0.5
_DERIVED = ("depth", "entropy")


@dataclass(frozen=True)
class EvidenceScaler:
    """The evidence features and their standardisation, fixed on training rows.

    Attributes:
        names: Features in order: evidence columns, ``repeat_orders`` (at half weight), and for ``full`` features
            ``depth`` (kinds of action seen) and ``entropy`` (of the actions, in nats).
        mean: Of each; float64 [d].
        scale: Standard deviation of each over its weight; float64 [d].
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats

    def __post_init__(self) -> None:
        known = (*names_of("evidence"), REPEAT, *_DERIVED)
        if len(set(self.names)) != len(self.names) or not set(self.names) <= set(known):
            raise ConfigurationError(f"features {list(self.names)}: expected some of {list(known)}, each once.")
        shape = (len(self.names),)
        finite = self.mean.shape == self.scale.shape == shape and np.isfinite([self.mean, self.scale]).all()
        if not finite or not (self.scale > 0).all():
            raise ConfigurationError(
                f"features have mean={self.mean.tolist()}, scale={self.scale.tolist()}: expected {len(self.names)} "
                "finite numbers each, scales above 0."
            )

    @classmethod
    def fit(cls, table: pd.DataFrame, kind: Literal["channels", "full"] = "channels") -> Self:
        """Standardise on a table; gaps are left out, and a column of nothing but gaps is no feature.

        Raises:
            DataError: For a log without any evidence.
        """
        names = [name for name in (*names_of("evidence"), REPEAT) if name in table and table[name].notna().any()]
        if not set(names) - {REPEAT}:
            raise DataError(
                "the log has no evidence of what people did: expected at least one of "
                f"{', '.join(names_of('evidence'))}."
            )
        if kind == "full":
            names += _DERIVED
        raw = _raw(table, tuple(names))
        spread = np.nanstd(raw, axis=0)
        spread[spread == 0] = 1.0  # says nothing, and stays 0
        weight = np.array([_REPEAT_WEIGHT if name == REPEAT else 1.0 for name in names])
        return cls(tuple(names), np.nanmean(raw, axis=0), spread / weight)

    def features(self, table: pd.DataFrame) -> Floats:
        """Standardised features, φ; float64 [n, d]. A column that is missing, or a gap in it, counts as average."""
        standardised: Floats = (_raw(table, self.names) - self.mean) / self.scale
        return np.nan_to_num(standardised, copy=False, nan=0.0)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"names": list(self.names), "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(tuple(document["names"]), np.array(document["mean"], float), np.array(document["scale"], float))


def _raw(table: pd.DataFrame, names: tuple[str, ...]) -> Floats:
    found = np.full((len(table), len(names)), np.nan)
    for index, name in enumerate(names):
        if name in table:
            found[:, index] = np.log1p(table[name].to_numpy(dtype=np.float64))
    counts = [index for index, name in enumerate(names) if name.startswith("n_")]
    if "depth" in names:
        done = np.nan_to_num(np.expm1(found[:, counts]))
        total = done.sum(axis=1, keepdims=True)
        share = np.divide(done, total, out=np.zeros_like(done), where=total > 0)
        found[:, names.index("depth")] = (done > 0).sum(axis=1)
        logs = np.log(share, out=np.zeros_like(share), where=share > 0)
        found[:, names.index("entropy")] = -(share * logs).sum(axis=1)
    return found
