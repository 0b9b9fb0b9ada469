"""From what the user wrote to a configuration."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fogline.core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)


def key_values(pairs: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Read ``key=value`` pairs; a value that is JSON is that, any other is text.

    Args:
        pairs: As written.
        option: The option that they came with, for the error.

    Raises:
        ConfigurationError: For a pair without a key or an equals sign, or a key given twice.
    """
    read: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise ConfigurationError(f"{option} {pair!r} is not a key and a value: expected {option} key=value.")
        if key in read:
            raise ConfigurationError(f"{option} {key!r} is given twice: expected one value.")
        read[key] = _value(text)
    return read


def read_config_file(path: Path | None) -> dict[str, Any]:
    """Read a configuration file, JSON or (suffix ``.toml``) TOML; empty where no file is named.

    Raises:
        ConfigurationError: If there is no such file.
        DataError: If it is not what its suffix says, or no table.
    """
    if path is None:
        return {}
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--config {str(path)!r} cannot be read ({error}).") from error
    try:
        config = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON (name it .toml for TOML)"
        raise DataError(f"--config {str(path)!r} is not {kind}: {error}.") from error
    if not isinstance(config, dict):
        raise DataError(f"--config {str(path)!r} holds a {type(config).__name__}: expected a table of options.")
    return config


def build_config(model: type[Model], file: Mapping[str, Any], flags: Mapping[str, Any]) -> Model:
    """Merge a file with flags and build the configuration; flags win, and tables are merged key by key.

    Args:
        model: The command's configuration.
        file: What the file says.
        flags: What the command line says; None and empty values say nothing.

    Raises:
        ConfigurationError: Naming the first option that is wrong, its value and what was expected.
    """
    from pydantic import ValidationError

    given = {name: value for name, value in flags.items() if value is not None and value not in ((), [], {})}
    merged = dict(file)
    for name, value in given.items():
        old = merged.get(name)
        merged[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, list(model.model_fields))) from error


def command_line() -> str:
    """The command as it could be typed again."""
    return shlex.join(["fogline", *sys.argv[1:]])


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _explain(error: Any, known: list[str]) -> str:
    from fogline.core.errors import suggestion

    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{place!r} is missing: give it as an argument, an option or in --config."
    if first["type"] == "extra_forbidden":
        return f"{place!r} is not an option: expected one of {', '.join(known)}.{suggestion(place, known)}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place}={first['input']!r} does not fit: {message}."
