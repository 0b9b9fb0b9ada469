"""``fogline envs``: which environments there are."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from fogline.cli import arguments
from fogline.cli.console import console, print_json


def envs(as_json: arguments.Json = False) -> None:
    """List the environments: what an agent sees, what it does, how many tasks there are, who can play.

    Example: fogline envs --json
    """
    import fogline.envs
    from fogline.cli.tables import table

    rows = [_describe(env_id) for env_id in fogline.envs.ENV_IDS]
    if as_json:
        print_json(rows)
        return
    columns: list[Any] = [
        ("Environment", {"no_wrap": True}),
        "Observation",
        "Action",
        ("Tasks", {"justify": "right"}),
        "Agents",
    ]
    cells = [
        (
            row["id"],
            row["observation"],
            row["action"],
            row["tasks"] if row["problem"] is None else row["problem"],
            ", ".join(row["agents"]),
        )
        for row in rows
    ]
    console().print(table("", columns, cells))
    console().print(f"Watch one: fogline play {rows[0]['id']} --agent {rows[0]['agents'][0]}")


def _describe(env_id: str) -> dict[str, Any]:
    from fogline.agents.environments import make_environment, task_ids_of
    from fogline.agents.registry import agent_names
    from fogline.core.errors import MissingDependencyError

    row: dict[str, Any] = {"id": env_id, "observation": "", "action": "", "tasks": None, "agents": [], "problem": None}
    row["agents"] = list(agent_names(env_id))
    try:
        with closing(make_environment(env_id)) as env:
            seat = next(iter(getattr(env, "possible_agents", ())), None)
            spaces = (env.observation_space, env.action_space)
            if seat is not None:
                spaces = (env.observation_space(seat), env.action_space(seat))
            row.update(observation=_space(spaces[0]), action=_space(spaces[1]), tasks=len(task_ids_of(env)))
    except MissingDependencyError as error:
        row["problem"] = str(error)
    return row


def _space(space: Any) -> str:
    """A space in a few words."""
    from gymnasium import spaces

    from fogline.core.spaces import UnicodeText

    if isinstance(space, (UnicodeText, spaces.Text)):
        return "text"
    if isinstance(space, spaces.Dict):
        return "Dict(" + ", ".join(f"{name}: {_space(part)}" for name, part in space.spaces.items()) + ")"
    if isinstance(space, spaces.Box):
        return f"Box{list(space.shape)} {space.dtype}"
    return str(space)
