"""Playing many episodes while somebody watches: how far it is, and where what has ended lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fogline.cli.console import print_note
from fogline.cli.progress import ProgressBar
from fogline.core.redaction import redact_text

if TYPE_CHECKING:
    from fogline.benchmarks.recording import Progress

Report = TypeVar("Report")


def watched(run: Callable[[Callable[[Progress], None]], Report], store: str, resume: bool) -> Report:
    """Run with a progress bar; an interruption says what is kept.

    Args:
        run: Plays, and tells its argument how far it is.
        store: Where episodes are kept.
        resume: Whether the same command goes on from there.
    """
    last: Progress | None = None
    with ProgressBar("episodes") as bar:

        def tell(now: Progress) -> None:
            nonlocal last
            last = now
            bar.update(now.done, now.total, f"{now.unscored} failed" if now.unscored else "")

        try:
            return run(tell)
        except KeyboardInterrupt:
            again = "; the same command goes on from there" if resume else ""
            done, total = (last.done, last.total) if last is not None else (0, 0)
            print_note(f"{done} of {total} episodes are in {redact_text(store)}{again}.")
            raise
