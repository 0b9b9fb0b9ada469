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
    try:
        return model.model_validate(_merged(file, given))
    except ValidationError as error:
        raise ConfigurationError(_explain(error, model)) from error


def table_of(pairs: Sequence[str] | None, option: str, **flags: Any) -> dict[str, Any]:
    """A table of the configuration: what flags of their own say, and ``key=value`` pairs for the rest.

    Args:
        pairs: As written.
        option: The option that they came with, for the error.
        flags: By key of the table; None says nothing.

    Raises:
        ConfigurationError: As :func:`key_values`, or for a key that its own flag says, too.
    """
    read = key_values(pairs, option)
    given = {key: value for key, value in flags.items() if value is not None}
    for key in given:
        if key in read:
            raise ConfigurationError(
                f"{option} {key}={read[key]!r} and the flag of its own, {given[key]!r}: expected one of them."
            )
    return {**read, **given}


def command_line() -> str:
    """The command as it could be typed again."""
    return shlex.join(["fogline", *sys.argv[1:]])


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(old)
    for name, value in new.items():
        before = both.get(name)
        both[name] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return both


def _explain(error: Any, model: type[BaseModel]) -> str:
    from fogline.core.errors import suggestion

    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{place!r} is missing: give it as an argument, an option or in --config."
    if first["type"] == "extra_forbidden":
        known = _options_beside(first["loc"], model)
        return f"{place!r} is not an option: expected one of {', '.join(known)}.{suggestion(first['loc'][-1], known)}"
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place}={first['input']!r} does not fit: {message}."


def _options_beside(place: Sequence[Any], model: Any) -> list[str]:
    """Names that are known where an unknown one was given, in a table of its own or not."""
    for part in place[:-1]:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
