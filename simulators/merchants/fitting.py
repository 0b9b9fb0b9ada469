"""The fitting branch: what the log says of habits and regularities that nobody states.

LightGBM by default; any scikit-learn classifier takes its place. Policies give it semantic structure: memberships, the
anchor mix, and the direction in which each lever may act.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from fogline.core.errors import ConfigurationError, DataError
from fogline.simulators.merchants.calibration import Calibrator, GroupCheck, Method
from fogline.simulators.merchants.columns import COLUMNS, STAGES
from fogline.simulators.merchants.encoding import MerchantRates, out_of_fold_rates
from fogline.simulators.merchants.estimators import check_estimator, fit_classifier, fit_trees, probability
from fogline.simulators.merchants.features import FeatureBuilder
from fogline.simulators.merchants.funnel import ORDER, check_stages, depth, stage_shares, usual, usual_by_category
from fogline.simulators.merchants.logs import CALIBRATE, TRAIN, Note, merchant_codes
from fogline.simulators.merchants.policies import PolicyLibrary

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]


class FittingConfig(BaseModel):
    """Options of the fitting branch.

    Attributes:
        estimator: ``lightgbm``, ``logistic``, ``base-rate``, or a scikit-learn classifier with ``predict_proba``.
        policies: Whether the branch reads the policies.
        monotone: Whether LightGBM lets a lever act only in the direction on which all policies agree.
        target: ``order`` (given that somebody engaged), or ``funnel`` (one model per stage, multiplied).
        learning_rate: Of LightGBM.
        num_leaves: Of a tree.
        min_child_samples: Rows of a leaf.
        reg_lambda: Ridge on leaves.
        n_estimators: Most trees.
        early_stopping: Trees without gain on calibration rows that end it. Stopping and calibration share those rows:
            half of them for each was worse in 24 synthetic worlds (mean group error 5.11 against 5.05 points with
            3,900 calibration rows, 7.09 against 6.86 with 900).
        calibration: ``auto`` (isotonic from 1,000 calibration rows on, else Platt's), ``isotonic``, ``platt`` or
            ``none``. Trees grown on the log-loss hardly need it: without, the same errors were 5.03 and 6.63.
        num_threads: Of LightGBM; the trees are the same for any number. More of them than idle cores wait for each
            other and can take many times as long.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    estimator: Any = "lightgbm"
    policies: bool = True
    monotone: bool = True
    target: Literal["order", "funnel"] = "order"
    learning_rate: float = Field(default=0.05, gt=0)
    num_leaves: int = Field(default=15, ge=2)
    min_child_samples: int = Field(default=60, ge=1)
    reg_lambda: float = Field(default=5.0, ge=0)
    n_estimators: int = Field(default=600, ge=1)
    early_stopping: int = Field(default=30, ge=1)
    calibration: Method = "auto"
    num_threads: int = Field(default=1, ge=1)

    @field_validator("estimator")
    @classmethod
    def _known(cls, estimator: Any) -> Any:
        check_estimator(estimator)
        return estimator

    @field_serializer("estimator", when_used="json")
    def _named(self, estimator: Any) -> str:
        return estimator if isinstance(estimator, str) else type(estimator).__name__

    def parameters(self) -> dict[str, Any]:
        """Of LightGBM, but for the seed: classes are never reweighted, since the product is a probability."""
        return {
            "objective": "binary",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "subsample": 0.8,
            "subsample_freq": 1,
            "colsample_bytree": 0.8,
            "reg_lambda": self.reg_lambda,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.num_threads,
            "verbosity": -1,
        }


@dataclass(frozen=True)
class StageModel:
    """One classifier with its calibration.

    Attributes:
        estimator: A LightGBM booster, or a scikit-learn classifier.
        calibrator: Its calibration.
        group_error: Mean absolute difference between calibrated and observed rates over merchants of the calibration
            window.
        check: The same with its largest value and what sampling alone would make of it; None where not kept.
    """

    estimator: Any
    calibrator: Calibrator
    group_error: float
    check: GroupCheck | None = None

    def predict(self, matrix: Floats, num_threads: int) -> Floats:
        """Probability of going on; float64 [n]."""
        return self.calibrator(probability(self.estimator, matrix, num_threads))

    def to_json(self) -> dict[str, Any]:
        """As JSON, trees as LightGBM's own text.

        Raises:
            DataError: For a scikit-learn classifier, which has no format that is safe to read.
        """
        if not hasattr(self.estimator, "model_to_string"):
            raise DataError("a scikit-learn classifier cannot be written safely: fit with estimator='lightgbm'.")
        return {
            "estimator": self.estimator.model_to_string(),
            "calibrator": self.calibrator.to_json(),
            "group_error": self.group_error,
            "check": self.check and asdict(self.check),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        import lightgbm

        return cls(
            lightgbm.Booster(model_str=document["estimator"]),
            Calibrator.from_json(document["calibrator"]),
            document["group_error"],
            document["check"] and GroupCheck(**document["check"]),
        )


@dataclass(frozen=True)
class FittingBranch:
    """A fitted branch.

    Attributes:
        config: Options.
        builder: Columns of the model matrix.
        rates: Smoothed order rate of each merchant. The stages of a funnel all read it: rates of their own were no
            better.
        stages: The model of each stage that is predicted: ``order`` alone, or every stage after the first.
        typical: By category, the memberships and the anchor rate of those who came as far as ``intent``, which stand
            in where a row's own are not known (funnel only); float64 [K + 1].
        names: Policies.
    """

    config: FittingConfig
    builder: FeatureBuilder
    rates: MerchantRates
    stages: Mapping[str, StageModel]
    typical: Mapping[str, Floats]
    names: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        membership: Floats,
        anchor_rate: Floats,
        *,
        windows: NDArray[np.int8],
        config: FittingConfig,
        seed: int,
        library: PolicyLibrary,
        signs: Mapping[str, int] | None = None,
    ) -> FittingBranch:
        """Fit on the training window, stop and calibrate on the calibration window.

        Args:
            table: A log.
            membership: q; float64 [n, K].
            anchor_rate: The policies' order rates, mixed; float64 [n].
            windows: Window of each row; int8 [n].
            config: Options.
            seed: Of folds and trees.
            library: The policies.
            signs: 1 or -1 by lever, in which direction alone it may act; the library's by default. None hold without
                ``config.monotone``.

        Raises:
            ConfigurationError: For signs of anything but levers.
            DataError: For a funnel of which the log lacks a stage, or training rows that all ended alike.
        """
        wanted = _signs(library.signs() if signs is None else signs) if config.monotone else {}
        learn = np.flatnonzero(windows == TRAIN)
        train = table.iloc[learn].reset_index(drop=True)
        reached = depth(table)
        typical: dict[str, Floats] = {}
        if config.target == "funnel":
            check_stages(reached[learn])
            known = np.column_stack([membership, anchor_rate])
            typical = usual_by_category(train, known[learn], reached[learn])
        rates = MerchantRates.fit(train, reached[learn] == ORDER)
        builder = FeatureBuilder.fit(train, library.names if config.policies else (), wanted)
        branch = cls(config, builder, rates, {}, typical, library.names)
        merchant_rate = rates.encode(table)
        merchant_rate[learn] = out_of_fold_rates(train, reached[learn] == ORDER, seed)
        usual_people = branch._people(table, membership, anchor_rate)
        # Those who got as far as the last stage were seen whole.
        own_people = (_replaced(usual_people[0], membership, learn), _replaced(usual_people[1], anchor_rate, learn))
        fit = _StageFit(branch, builder.signs(wanted), windows, merchant_codes(table)[0], seed)
        stages = {}
        for stage in range(1, ORDER + 1) if config.target == "funnel" else (ORDER,):
            people = own_people if stage == ORDER else usual_people
            there = reached >= (stage - 1 if config.target == "funnel" else 0)
            stages[STAGES[stage]] = fit(builder.matrix(table, *people, merchant_rate), reached >= stage, there)
        return replace(branch, stages=stages)

    def predict(self, table: pd.DataFrame, membership: Floats, anchor_rate: Floats) -> Floats:
        """Probability of an order of every row under what ``table`` shows; float64 [n].

        In funnel mode, of a row that is only shown, whatever its own membership: it has yet to show it. Else of one
        that engaged.

        Args:
            table: As logged, or after a strategy.
            membership: q; float64 [n, K].
            anchor_rate: The policies' order rates, mixed; float64 [n].
        """
        chances: Floats = np.prod(list(self._chances(table, membership, anchor_rate)), axis=0)
        return chances

    def predict_stages(self, table: pd.DataFrame, membership: Floats, anchor_rate: Floats) -> Floats:
        """Probability of each deepest stage, in funnel mode; float64 [n, 5], rows sum to 1.

        Args:
            table: As logged, or after a strategy.
            membership: q; float64 [n, K].
            anchor_rate: The policies' order rates, mixed; float64 [n].

        Raises:
            ConfigurationError: For a branch that was fitted on orders alone.
        """
        if self.config.target != "funnel":
            raise ConfigurationError("this branch knows orders alone: fit with target='funnel' for the stages.")
        return stage_shares(list(self._chances(table, membership, anchor_rate)))

    def notes(self, table: pd.DataFrame) -> tuple[Note, ...]:
        """What of a table is treated as missing, since it was not there at fit, or was and is gone."""
        return self.builder.notes(table)

    def _chances(self, table: pd.DataFrame, membership: Floats, anchor_rate: Floats) -> Iterator[Floats]:
        """Of going on, stage by stage."""
        people = self._people(table, membership, anchor_rate)
        matrix = self.builder.matrix(table, *people, self.rates.encode(table))
        for stage in self.stages.values():
            yield stage.predict(matrix, self.config.num_threads)

    def _people(self, table: pd.DataFrame, membership: Floats, anchor_rate: Floats) -> tuple[Floats, Floats]:
        """Memberships and anchor rate: their own, or in funnel mode what is usual."""
        if not self.typical:
            return membership, anchor_rate
        values = usual(table, self.typical)
        return values[:, :-1], values[:, -1]

    # As a file

    def to_json(self) -> dict[str, Any]:
        """As JSON.

        Raises:
            DataError: For a scikit-learn classifier, which has no format that is safe to read.
        """
        return {
            "stages": {name: stage.to_json() for name, stage in self.stages.items()},
            "config": self.config.model_dump(mode="json"),
            "builder": self.builder.to_json(),
            "rates": {"overall": self.rates.overall, "rates": dict(self.rates.rates)},
            "typical": {name: values.tolist() for name, values in self.typical.items()},
            "names": list(self.names),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(
            FittingConfig.model_validate(document["config"]),
            FeatureBuilder.from_json(document["builder"]),
            MerchantRates(**document["rates"]),
            {name: StageModel.from_json(stage) for name, stage in document["stages"].items()},
            {name: np.array(values, dtype=np.float64) for name, values in document["typical"].items()},
            tuple(document["names"]),
        )

    def save(self, path: str | Path) -> None:
        """Write the branch as JSON.

        Raises:
            DataError: For a scikit-learn classifier, which has no format that is safe to read.
        """
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a branch from a file.

        Raises:
            DataError: For a file that is not there or holds no branch.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text("utf-8")))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{str(path)!r} holds no fitting branch that can be read: {error!r}.") from error


@dataclass(frozen=True)
class _StageFit:
    """What the fits of all stages share."""

    branch: FittingBranch
    signs: list[int]
    windows: NDArray[np.int8]
    merchant: Rows
    seed: int

    def __call__(self, matrix: Floats, target: Flags, there: Flags) -> StageModel:
        """Fit one stage.

        Args:
            matrix: Of all rows; float64 [n, d].
            target: Who went on; bool [n].
            there: Who could; bool [n].
        """
        config = self.branch.config
        learn = np.flatnonzero((self.windows == TRAIN) & there)
        check = np.flatnonzero((self.windows == CALIBRATE) & there)
        if target[learn].all() or not target[learn].any():
            raise DataError(
                f"all {len(learn):,} training rows ended alike: expected some orders, and some rows without."
            )
        estimator = self._estimator(matrix, target, learn, check)
        raw = probability(estimator, matrix[check], config.num_threads)
        calibrator = Calibrator.fit(raw, target[check], config.calibration)
        found = GroupCheck.of(calibrator(raw), target[check], self.merchant[check])
        return StageModel(estimator, calibrator, found.mean, found)

    def _estimator(self, matrix: Floats, target: Flags, learn: Rows, check: Rows) -> Any:
        config, builder = self.branch.config, self.branch.builder
        if config.estimator != "lightgbm":
            categories = builder.category_columns
            return fit_classifier(config.estimator, matrix, target, learn, categories=categories, seed=self.seed)
        return fit_trees(
            matrix,
            target,
            learn,
            check,
            parameters=config.parameters(),
            most_trees=config.n_estimators,
            patience=config.early_stopping,
            names=builder.names,
            categories=builder.category_columns,
            signs=self.signs,
            seed=self.seed,
        )


def _replaced(values: Floats, own: Floats, rows: Rows) -> Floats:
    found = np.array(values)
    found[rows] = own[rows]
    return found


def _signs(signs: Mapping[str, int]) -> Mapping[str, int]:
    for name, sign in signs.items():
        if name not in COLUMNS or not COLUMNS[name].lever or sign not in (-1, 1):
            levers = ", ".join(column.name for column in COLUMNS.values() if column.lever)
            raise ConfigurationError(f"sign {name!r}: {sign!r}: expected 1 or -1 by lever, one of {levers}.")
    return signs
