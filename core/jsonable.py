"""Lossless JSON form of observations and actions: arrays, tuples, bytes and numpy scalars included."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from fogline.core.errors import DataError

_TAG = "__kind__"


def to_jsonable(value: Any) -> Any:
    """Turn ``value`` into what ``json`` can write; :func:`from_jsonable` turns it back.

    Raises:
        DataError: For a type that has no JSON form here.
    """
    if value is None or (isinstance(value, (str, bool, int, float)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, Mapping):
        if _TAG not in value and all(type(key) is str for key in value):
            return {key: to_jsonable(item) for key, item in value.items()}
        # JSON's keys are text: any other key, and our own tag as a key, travel as pairs.
        return {_TAG: "mapping", "items": [[to_jsonable(key), to_jsonable(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [to_jsonable(item) for item in value]
    if isinstance(value, tuple):
        return {_TAG: "tuple", "items": [to_jsonable(item) for item in value]}
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(np.asarray(value), scalar=isinstance(value, np.generic))
    if isinstance(value, (bytes, bytearray)):
        return {_TAG: "bytes", "data": base64.b64encode(bytes(value)).decode("ascii")}
    raise DataError(
        f"{type(value).__name__} has no JSON form: expected None, bool, number, text, bytes, array, list, tuple, dict."
    )


def from_jsonable(value: Any) -> Any:
    """Inverse of :func:`to_jsonable`."""
    if isinstance(value, list):
        return [from_jsonable(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_TAG)
    if kind is None:
        return {key: from_jsonable(item) for key, item in value.items()}
    if kind == "tuple":
        return tuple(from_jsonable(item) for item in value["items"])
    if kind == "mapping":
        return {from_jsonable(key): from_jsonable(item) for key, item in value["items"]}
    data = base64.b64decode(value["data"])
    if kind == "bytes":
        return data
    array = np.frombuffer(data, dtype=np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    return array[()] if kind == "scalar" else array


def _array(array: np.ndarray[Any, Any], scalar: bool) -> dict[str, Any]:
    if array.dtype.hasobject or array.dtype.names:
        raise DataError(
            f"an array of dtype {array.dtype} cannot be stored: expected numbers, booleans or fixed-width text."
        )
    return {
        _TAG: "scalar" if scalar else "array",
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii"),
    }
