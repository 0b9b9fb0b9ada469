"""What reaches the terminal, made safe for it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_KEPT = {"\n", "\t"}
_C0_PICTURES = 0x2400
_DELETE, _DELETE_PICTURE = 0x7F, 0x2421
_C1 = range(0x80, 0xA0)
_SURROGATES = range(0xD800, 0xE000)
# Marks that reorder or hide what stands beside them; zero-width joiners stay, because scripts and emoji need them.
_DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0xFEFF}
_TABLE = {
    **{code: _C0_PICTURES + code for code in range(0x20) if chr(code) not in _KEPT},
    _DELETE: _DELETE_PICTURE,
    **dict.fromkeys([*_C1, *_SURROGATES, *_DIRECTION], 0xFFFD),
}


def clean(text: object) -> str:
    """Text that cannot steer a terminal: control and direction characters become visible signs.

    Line feeds and tabs stay; a carriage return before a line feed goes.
    """
    return str(text).replace("\r\n", "\n").translate(_TABLE)


def console(*, stderr: bool = False) -> Console:
    """A rich console on standard output or error that takes text as it is: no markup, no emoji codes."""
    from rich.console import Console

    stream: Any = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        # A terminal of another encoding shows a question mark instead of ending the command.
        stream.reconfigure(errors="replace")
    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=False)


def quiet_libraries() -> None:
    """Switch off other libraries' progress bars, which would write across our own; call it before they load."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def print_error(message: str) -> None:
    """One line (or a few) on standard error."""
    console(stderr=True).print(f"Error: {clean(message)}", style="red", soft_wrap=True)


def print_note(message: str) -> None:
    """A remark on standard error, which leaves standard output to the result."""
    console(stderr=True).print(clean(message), style="dim", soft_wrap=True)


def print_json(value: Any) -> None:
    """JSON on standard output, one document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n")
