"""No method at all: greedy decoding, or sampling, by generate's own settings. What papers call "regular"."""

from __future__ import annotations

from collections.abc import Mapping

from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.loop import Scores
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt


class Plain(Decoder):
    """One path. Greedy, it says what generate would say without a decoder; sampling, it draws from row seeds."""

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The undisturbed path."""
        return {"original": prompt.original()}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """Its logits."""
        logits = paths["original"].logits
        return Scores(logits, logits)
