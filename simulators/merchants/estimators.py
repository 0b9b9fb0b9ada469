"""How one classifier is fitted: LightGBM, a preset by name, or any of scikit-learn's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fogline.core.errors import ConfigurationError, missing_dependency, suggestion

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]

PRESETS = ("lightgbm", "logistic", "base-rate")
_LARGEST_SEED = 2**31


def check_estimator(estimator: Any) -> None:
    """Refuse what is neither a preset nor a classifier.

    Raises:
        ConfigurationError: Naming what would do.
    """
    if isinstance(estimator, str) and estimator in PRESETS:
        return
    if isinstance(estimator, (str, type)) or not hasattr(estimator, "predict_proba"):
        raise ConfigurationError(
            f"estimator={estimator!r}: expected one of {', '.join(map(repr, PRESETS))}, or an instance of a "
            f"scikit-learn classifier with predict_proba.{suggestion(estimator, PRESETS)}"
        )


def fit_trees(
    matrix: Floats,
    target: Flags,
    learn: Rows,
    stop: Rows,
    *,
    parameters: Mapping[str, Any],
    most_trees: int,
    patience: int,
    names: Sequence[str],
    categories: Sequence[int],
    signs: Sequence[int],
    seed: int,
) -> Any:
    """LightGBM on some rows, stopped early on others.

    The model's text is the same, byte by byte, for one seed and any number of threads, on one build of LightGBM.

    Args:
        matrix: float64 [n, d].
        target: bool [n].
        learn: Rows to fit on.
        stop: Rows to stop on; where their outcomes do not differ, all trees are grown.
        parameters: Of LightGBM.
        most_trees: Boosting rounds at most.
        patience: Rounds without gain that end it.
        names: Of the columns; [d].
        categories: Columns that hold codes.
        signs: Monotone sign of each column, 1, -1 or 0; [d].
        seed: Of rows and columns drawn.

    Returns:
        A booster with the trees of the best round alone.

    Raises:
        MissingDependencyError: Without LightGBM.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise missing_dependency("lightgbm", "merchant") from error
    settings = {**parameters, "seed": seed % _LARGEST_SEED}
    if any(signs):
        # The method "basic" gives up more fit than the signs ask for.
        settings |= {"monotone_constraints": list(signs), "monotone_constraints_method": "advanced"}
    data = lightgbm.Dataset(
        matrix[learn],
        target[learn].astype(np.float64),
        feature_name=_labels(names),
        categorical_feature=list(categories),
    )
    held: list[Any] = []
    callbacks: list[Callable[..., Any]] = []
    if target[stop].any() and not target[stop].all():
        held = [data.create_valid(matrix[stop], target[stop].astype(np.float64))]
        callbacks = [lightgbm.early_stopping(patience, verbose=False)]
    booster = lightgbm.train(settings, data, most_trees, valid_sets=held, callbacks=callbacks)
    text = booster.model_to_string(num_iteration=booster.best_iteration or None)
    # Only the trees that count; and how many threads grew them is no part of a model.
    return lightgbm.Booster(model_str=re.sub(r"\[num_threads: \d+\]\n", "", text))


def fit_classifier(
    estimator: Any, matrix: Floats, target: Flags, learn: Rows, *, categories: Sequence[int], seed: int
) -> Any:
    """A scikit-learn classifier on some rows, with what trees do not need: categories apart, gaps filled, one scale.

    Args:
        estimator: ``logistic``, ``base-rate`` or a classifier, which is cloned; a ``random_state`` of None becomes
            the seed.
        matrix: float64 [n, d].
        target: bool [n].
        learn: Rows to fit on.
        categories: Columns that hold codes.
        seed: See ``estimator``.
    """
    if estimator == "logistic":
        estimator = LogisticRegression(max_iter=1000)
    elif estimator == "base-rate":
        estimator = DummyClassifier(strategy="prior")
    copy = clone(estimator)
    if copy.get_params().get("random_state", seed) is None:
        copy.set_params(random_state=seed % _LARGEST_SEED)
    numbers = [index for index in range(matrix.shape[1]) if index not in set(categories)]
    prepared = ColumnTransformer(
        [
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(categories)),
            ("numbers", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
        ]
    )
    return make_pipeline(prepared, copy).fit(matrix[learn], target[learn])


def probability(estimator: Any, matrix: Floats, num_threads: int) -> Floats:
    """Probability of the target; float64 [n].

    Args:
        estimator: That one of the functions above returned.
        matrix: float64 [n, d].
        num_threads: Of LightGBM.
    """
    if not len(matrix):
        return np.empty(0)
    if hasattr(estimator, "predict_proba"):
        found: Floats = np.asarray(estimator.predict_proba(matrix)[:, 1], dtype=np.float64)
        return found
    return np.asarray(estimator.predict(matrix, num_threads=num_threads), dtype=np.float64)


def _labels(names: Sequence[str]) -> list[str]:
    """Names that LightGBM allows, each different."""
    found: list[str] = []
    for index, name in enumerate(names):
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        found.append(plain if plain not in found else f"{plain}_{index}")
    return found
