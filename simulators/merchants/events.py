"""Trajectories with their events, as objects and as a table of events, summed up into one row of a log each.

A log has one row per trajectory. Many sources have one row per action instead; what was done there becomes the counts,
the time on the page and the deepest stage that the schema asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fogline.core.errors import ConfigurationError, DataError, check_choice, suggestion
from fogline.simulators.merchants.columns import ACTIONS, COLUMNS, STAGES

EVENT_COLUMNS = ("trajectory_id", "t_offset_s", "action", "target", "dwell_s")
"""Columns of a table of events; ``target`` and ``dwell_s`` may be missing."""
_COUNTED = tuple(action for action in ACTIONS if f"n_{action}" in COLUMNS)
_NEEDED = ("trajectory_id", "action")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that somebody did.

    Attributes:
        t_offset_s: When, seconds since the trajectory began.
        action: One of :data:`~fogline.simulators.merchants.columns.ACTIONS`.
        target: On what; free text, empty for nothing in particular.
        dwell_s: How long it took, seconds.
    """

    t_offset_s: float
    action: str
    target: str = ""
    dwell_s: float = 0.0

    def __post_init__(self) -> None:
        check_choice("action of an event", self.action, ACTIONS)
        for name, value in (("t_offset_s", self.t_offset_s), ("dwell_s", self.dwell_s)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
                raise ConfigurationError(f"{name}={value!r} of an event: expected seconds, a finite number from 0 on.")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One visit: who, where, when, what was shown, and what was done.

    Attributes:
        trajectory_id: Unique name.
        merchant_id: Whose page it was.
        time: When it began; anything that pandas reads as a time.
        events: In any order.
        fields: Further columns of the schema: the merchant's as shown then, the user's, the context's.
    """

    trajectory_id: str
    merchant_id: str
    time: Any
    events: tuple[Event, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", tuple(self.events))
        own = {"trajectory_id", "merchant_id", "time", "outcome", "dwell_s", *(f"n_{action}" for action in _COUNTED)}
        for name in self.fields:
            if name not in COLUMNS:
                raise ConfigurationError(
                    f"trajectory {self.trajectory_id!r} has a field {name!r}, which is no column of a log."
                    f"{suggestion(name, COLUMNS)}"
                )
            if name in own:
                raise ConfigurationError(
                    f"trajectory {self.trajectory_id!r}: {name!r} comes from its events: leave it out."
                )


def table_of(trajectories: Iterable[Trajectory]) -> pd.DataFrame:
    """One row of a log for each trajectory, to be checked by :func:`~fogline.simulators.merchants.logs.check_log`.

    Args:
        trajectories: At least one, each with at least one event.

    Raises:
        DataError: For none, or one without events.
    """
    visits = list(trajectories)
    frame = pd.DataFrame(
        [
            {"trajectory_id": visit.trajectory_id, "merchant_id": visit.merchant_id, "time": visit.time, **visit.fields}
            for visit in visits
        ]
    )
    events = pd.DataFrame(
        [
            (visit.trajectory_id, event.t_offset_s, event.action, event.target, event.dwell_s)
            for visit in visits
            for event in visit.events
        ],
        columns=list(EVENT_COLUMNS),
    )
    return with_events(frame, events)


def with_events(frame: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Sum a table of events up into evidence and outcome, and put them beside what is known of each trajectory.

    Args:
        frame: One row per trajectory, without evidence and outcome.
        events: One row per action: :data:`EVENT_COLUMNS`, actions as in
            :data:`~fogline.simulators.merchants.columns.ACTIONS`.

    Returns:
        ``frame`` with ``n_ACTION`` counts, ``dwell_s`` where events have it, and ``outcome``, the deepest stage that a
        trajectory's events reached.

    Raises:
        DataError: For missing columns, unknown actions, trajectories without events, events of no trajectory, and
            evidence on both sides; with the first few of each.
    """
    _check(frame, events)
    names = events["trajectory_id"].astype("str")
    actions = events["action"].astype("str")
    depth = actions.map({action: STAGES.index(stage) for action, stage in ACTIONS.items()})
    found = pd.DataFrame({f"n_{action}": actions == action for action in _COUNTED if (actions == action).any()})
    summed = found.groupby(names).sum().astype(np.int64)
    summed["outcome"] = depth.groupby(names).max().map(dict(enumerate(STAGES)))
    if "dwell_s" in events:
        summed["dwell_s"] = events["dwell_s"].astype(np.float64).groupby(names).sum()
    key = frame["trajectory_id"].astype("str")
    return frame.assign(**{str(name): key.map(summed[name]) for name in summed})


def _check(frame: pd.DataFrame, events: pd.DataFrame) -> None:
    wrong = [f"the events have no column {name!r}" for name in _NEEDED if name not in events]
    wrong += ["the trajectories have no column 'trajectory_id'"] if "trajectory_id" not in frame else []
    if wrong:
        raise DataError(f"{'; '.join(wrong)}: expected {', '.join(EVENT_COLUMNS)}.")
    twice = [name for name in frame if name in ("outcome", "dwell_s") or str(name).removeprefix("n_") in _COUNTED]
    names, known = events["trajectory_id"].astype("str"), frame["trajectory_id"].astype("str")
    unknown = [action for action in events["action"].astype("str").unique() if action not in ACTIONS]
    for what, values in (
        ("columns of the trajectories that come from their events", twice),
        (f"actions that are none of {', '.join(ACTIONS)}", unknown),
        ("events of trajectories that are not there", sorted(set(names) - set(known))),
        ("trajectories without events (log at least 'exposure' or 'leave')", sorted(set(known) - set(names))),
    ):
        if values:
            more = f" and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else ""
            wrong.append(f"{what}: {', '.join(map(repr, values[:_SHOWN]))}{more}")
    if wrong:
        raise DataError("the events do not fit the trajectories: " + "; ".join(wrong) + ".")
