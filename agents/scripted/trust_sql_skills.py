"""TrustSQL-v0 as a choice among skills, for learners without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fogline.agents.agent import SeatView
from fogline.agents.scripted.trust_sql import SchemaExplorer
from fogline.core.episode import Turn

_PHASES = ("explore", "propose", "generate", "confirm", "sql", "malformed")
_COUNTED = 4


class SkillEncoder:
    """Features of the protocol's state, and one action per skill of :class:`SchemaExplorer`.

    Features are: the number of turns of each phase (clipped at 4, scaled to 1), the phase of the last turn, whether
    the last answer was an error, and the share of ten turns that is spent. Nothing is read but what was shown.
    """

    features = 2 * len(_PHASES) + 2
    actions = len(SchemaExplorer.skills)

    def __init__(self) -> None:
        self._explorer = SchemaExplorer()

    def encode(self, turns: Sequence[Turn], observation: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Features ``[14]`` float32 in [0, 1]."""
        vector = np.zeros(self.features, dtype=np.float32)
        for turn in turns:
            vector[_PHASES.index(turn.phase)] += 1.0 / _COUNTED
        np.minimum(vector, 1.0, out=vector)
        if turns:
            vector[len(_PHASES) + _PHASES.index(turns[-1].phase)] = 1.0
            vector[-2] = str(observation).startswith(("Error", "Invalid", "Refused"))
        vector[-1] = min(len(turns) / 10, 1.0)
        return vector

    def action(self, view: SeatView, index: int) -> Any:
        """The tool call that the skill makes of the view."""
        return self._explorer.call(SchemaExplorer.skills[index], view)
