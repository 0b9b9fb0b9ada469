"""What a sweep plays, and two ready-made ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fogline.core.errors import check_choice
from fogline.envs.silo_bench.calls import Protocol

SWEEP = "silo-bench"
"""Name of the sweep, which also marks its runs in a store."""
Keep = Literal["answers", "all"]
PAPER_SIZES = (2, 5, 10, 20, 50, 100)
_Names = Annotated[tuple[str, ...], Field(strict=False)]


class SweepConfig(BaseModel):
    """What ``fogline sweep silo-bench`` does; the command line, a file and Python build the same.

    The defaults are the published sweep (Silo-Bench, arXiv 2603.01045, section 4.1): thirty tasks, six sizes, three
    protocols, three agents, 1,620 cells.

    Attributes:
        tasks: ``"I-01"`` to ``"III-30"``; all thirty where empty.
        n_agents: Sizes: numbers of seats.
        protocols: ``"p2p"``, ``"broadcast"``, ``"files"``.
        agents: Who plays: names of agents, ``"module:Class"``, or ``"chat:MODEL"`` for a chat agent with that model.
            ``"tree+silent"`` is a mixed team: seats take turns, seat i gets member i modulo the number of members.
        agent_options: Keywords of agents, by name. Those of ``"chat"`` hold for every ``"chat:MODEL"``, too.
        seeds: Instances per cell: ``"I-01/0"``, ``"I-01/1"`` and so on.
        seed: Root of the agents' and the channels' randomness; which data an instance holds is decided by the
            environment's ``suite_seed`` and the instance's number.
        env_kwargs: Further keywords of the environment, such as ``max_rounds`` or ``drop``.
        baseline: Also play the single-agent oracle at each size, which relative coordination cost needs: one seat
            (the first member of a team) that holds the data of so many.
        engine: ``inline`` plays in this process, ``process`` in several, ``ray`` on a cluster.
        workers: Processes of the engine; one per CPU by default.
        address: Of a running Ray cluster.
        concurrency: Episodes in flight in one process, for agents that wait; others play one after another.
        timeout_s: Wall-clock limit of one attempt at an episode, in seconds.
        retries: Further attempts after a failure that is not the agent's.
        store: Path of the SQLite file, or a database URL, where episodes are kept.
        resume: Use what the store has of the same cells; False plays everything again.
        keep: ``"answers"`` stores of each seat its last turn without what it saw, enough to score again;
            ``"all"`` whole transcripts.
        prices: Price list of chat models (JSON or TOML).
        cache_dir: Folder in which replies of chat models are kept.
        max_tokens: No further cell is begun once the stored episodes of the sweep took so many tokens, prompts and
            replies together; what is in flight is played to its end.
        max_cost: Likewise for their price.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    tasks: _Names = ()
    n_agents: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)] = PAPER_SIZES
    protocols: Annotated[tuple[Protocol, ...], Field(strict=False, min_length=1)] = ("p2p", "broadcast", "files")
    agents: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ("tree", "flood", "leader")
    agent_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    seeds: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)
    env_kwargs: dict[str, Any] = Field(default_factory=dict)
    baseline: bool = False
    engine: Literal["inline", "process", "ray"] = "inline"
    workers: int | None = Field(default=None, ge=1)
    address: str | None = None
    concurrency: int = Field(default=16, ge=1)
    timeout_s: float | None = Field(default=None, gt=0)
    retries: int = Field(default=2, ge=0)
    store: str = "runs.db"
    resume: bool = True
    keep: Keep = "answers"
    prices: str | None = None
    cache_dir: str | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_cost: float | None = Field(default=None, gt=0)


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {},
        "quick": {"tasks": ("I-01", "I-07", "II-11", "II-14", "III-21", "III-23"), "n_agents": (2, 5, 10)},
    }
)
"""Settings by name. ``paper``: the published sweep, which is what the defaults are; ``quick``: 162 cells of it."""


def preset(name: str) -> dict[str, Any]:
    """Settings of a preset.

    Raises:
        ConfigurationError: For an unknown name.
    """
    check_choice("preset", name, PRESETS)
    return dict(PRESETS[name])
