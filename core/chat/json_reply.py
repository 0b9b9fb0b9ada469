"""A JSON object out of what a chat model wrote: reasoning and code fences are passed over, nothing else is forgiven."""

from __future__ import annotations

import json
import re
from typing import Any

_REASONING = re.compile(r"\A.*</think>|<think>.*\Z", re.DOTALL)
"""Chat templates may open the tag themselves, so that an answer holds its end alone."""
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")


def json_object(text: str) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        ValueError: There is anything else; the text of the error can be told to the model.
    """
    bare = _FENCE.sub("", _REASONING.sub("", text).strip()).strip()
    try:
        document = json.loads(bare)
    except ValueError as error:
        raise ValueError(f"this is no JSON: {str(error)[:80]}") from error
    except RecursionError as error:
        raise ValueError("this is no JSON: it is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError(f"expected one JSON object, not {type(document).__name__}")
    return document
