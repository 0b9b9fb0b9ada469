"""What the run store keeps: its records, and how episodes, configurations and scores become rows."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from fogline.core.episode import Episode
from fogline.core.errors import DataError
from fogline.core.jsonable import from_jsonable, to_jsonable
from fogline.core.redaction import redact
from fogline.core.store.database import now

_PACKAGES = (
    "fogline",
    "gymnasium",
    "pettingzoo",
    "numpy",
    "sqlalchemy",
    "duckdb",
    "openai",
    "torch",
    "transformers",
)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One command that was started.

    Attributes:
        run_id: Unique name; run ids sort by the time they began.
        created_at: When, ISO 8601 in UTC.
        command: The command line or entry point, redacted.
        config: Its configuration, redacted.
        versions: Versions of Python and of the packages that shape results.
    """

    run_id: str
    created_at: str
    command: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CellRecord:
    """One configuration (redacted) and the key that its content hashes to."""

    cell_key: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """One attempt as it was stored.

    Attributes:
        id: Number of the row; scores refer to it.
        run_id: The run that wrote it.
        cell_key: The cell that it belongs to.
        attempt: 1 for the first try of this ``(cell, task, seed)``, then 2, 3 ….
        latest: Whether it stands for its key: the scored attempt, or the last one while none is scored.
        created_at: When it was stored, ISO 8601 in UTC.
        episode: The episode itself, exactly as it was added.
    """

    id: int
    run_id: str
    cell_key: str
    attempt: int
    latest: bool
    created_at: str
    episode: Episode


@dataclass(frozen=True, slots=True)
class Score:
    """What one version of a scorer says about one stored episode.

    Attributes:
        episode_id: :attr:`StoredEpisode.id`.
        scorer: Name of the scorer.
        version: Version of its rules; other rules need another version.
        outcome: Named results.
        reward: Their weighted sum, or None where the scorer cannot say.
        created_at: Filled in by the store.
    """

    episode_id: int
    scorer: str
    version: str
    outcome: Mapping[str, Any]
    reward: float | None
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class CellSummary:
    """What a cell holds, whichever run wrote it.

    Attributes:
        cell_key: The cell.
        config: Its configuration.
        episodes: Number of keys ``(task, seed)`` with at least one attempt.
        attempts: Number of stored attempts, failed ones included.
        written: How many of them the summarised run wrote itself.
        scored: Number of keys with a scored episode.
        failed: Number of keys whose every attempt failed for reasons outside the policy.
        statuses: Number of keys by the status that stands for them.
        mean_reward: Mean over the scored keys; None when there are none, or one of them has no finite reward.
    """

    cell_key: str
    config: Mapping[str, Any]
    episodes: int = 0
    attempts: int = 0
    written: int = 0
    scored: int = 0
    failed: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    mean_reward: float | None = None


def cell_key(config: Mapping[str, Any]) -> str:
    """Return the content hash of a configuration: 32 hexadecimal digits.

    The order of keys, and whether a sequence is a list or a tuple, do not matter; secrets are redacted first,
    so a new API key does not make a new cell.

    Raises:
        DataError: For a value without a JSON form, NaN and infinity included.
    """
    return key_of(canonical(config))


def key_of(text: str) -> str:
    """Return the content hash of a configuration's one JSON text, which :func:`canonical` makes."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that shape results."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def encode(run_id: str, cell_key: str, episode: Episode) -> dict[str, Any]:
    """Return an episode's row in the table, its attempt's number excepted."""
    seed, reward = int(episode.seed), episode.reward
    if not -(2**63) <= seed < 2**63:
        raise DataError(f"seed={seed} of task {episode.task_id!r} does not fit a store: expected a 64-bit integer.")
    return {
        "run_id": run_id,
        "cell_key": cell_key,
        "env_id": str(episode.env_id),
        "task_id": str(episode.task_id),
        "seed": seed,
        "status": episode.status,
        "scored": episode.scored,
        "reward": _finite(reward),
        "created_at": now(),
        # Compressed for size, and because zlib's checksum tells a damaged payload from a whole one.
        "payload": zlib.compress(json.dumps(episode.to_json(), separators=(",", ":")).encode("ascii"), 1),
    }


def decode(row: Any) -> Episode:
    """Return the episode of a row of the table.

    Raises:
        DataError: When the payload is damaged, or not that row's.
    """
    try:
        episode = Episode.from_json(json.loads(zlib.decompress(row.payload)))
    except (zlib.error, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"the payload of episode id={row.id} (task {row.task_id!r}, seed {row.seed}) is damaged "
            f"({error}): restore it from a copy"
        ) from error
    if (episode.task_id, int(episode.seed), episode.status) != (row.task_id, row.seed, row.status):
        raise DataError(
            f"the payload of episode id={row.id} is task {episode.task_id!r}, seed {episode.seed}, its row "
            f"is task {row.task_id!r}, seed {row.seed}: restore it from a copy"
        )
    return episode


def canonical(config: Mapping[str, Any]) -> str:
    """Return the one JSON text of a configuration, without its secrets.

    Raises:
        DataError: For a value without a JSON form, NaN and infinity included.
    """
    try:
        return json.dumps(to_jsonable(_lists(redact(config))), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise DataError(
            f"a configuration cannot be stored ({error}): expected finite numbers, text, lists, mappings."
        ) from error


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DataError(f"key {key!r} of a configuration is a {type(key).__name__}: expected text.")
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def read_config(text: str) -> dict[str, Any]:
    """Inverse of :func:`canonical`."""
    return dict(from_jsonable(json.loads(text)))


def score_row(score: Score) -> dict[str, Any]:
    """Return a score's row in the table."""
    return {
        "episode_id": int(score.episode_id),
        "scorer": score.scorer,
        "version": score.version,
        "outcome": json.dumps(to_jsonable(score.outcome), sort_keys=True, separators=(",", ":")),
        "reward": _finite(score.reward),
        "created_at": now(),
    }


def _finite(reward: float | None) -> float | None:
    # SQLite has no NaN. An episode's payload keeps it, and the mean over such a cell is None.
    return float(reward) if reward is not None and math.isfinite(reward) else None
