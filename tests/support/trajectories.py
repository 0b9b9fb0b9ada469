"""One reproducible trajectory of any registered environment, as JSON; run as a script it prints the hash."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import gymnasium
import numpy as np

from fogline.core.jsonable import to_jsonable


def drive(env: gymnasium.Env[Any, Any], seed: int, steps: int = 12) -> list[Any]:
    """Reset with ``seed`` and step with seeded samples; resets follow without a seed. Returns JSON-able rows."""
    return list(rows(env, seed, steps))


def rows(env: gymnasium.Env[Any, Any], seed: int, steps: int = 12) -> Any:
    """As :func:`drive`, one step at a time, so that two environments can be interleaved."""
    space = env.action_space
    samples = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    yield to_jsonable([observation, info])
    tool_names = [tool["function"]["name"] for tool in getattr(env.unwrapped, "tools", ())]
    for step in range(steps):
        action: Any
        if tool_names and step % 3:
            name = tool_names[int(samples.integers(len(tool_names)))]
            statement = ["SELECT sql FROM sqlite_master", "SELECT 1", "SELEC"][int(samples.integers(3))]
            action = env.unwrapped.tool_action(name, {"sql": statement, "tables": ["a"], "columns": {"a": ["b"]}})  # type: ignore[attr-defined]
        else:
            space.seed(int(samples.integers(2**31)))
            action = space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        yield to_jsonable([observation, reward, terminated, truncated, info])
        if terminated or truncated:
            observation, info = env.reset()
            yield to_jsonable([observation, info])


def digest(env_id: str, options: dict[str, Any], seed: int) -> str:
    """SHA-256 of a trajectory's JSON."""
    env = gymnasium.make(f"fogline.envs:{env_id}", **options)
    text = json.dumps(drive(env, seed))
    env.close()
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(item: tuple[str, dict[str, Any], int]) -> str:
    """As :func:`digest`, of one argument, for engines."""
    return digest(*item)


if __name__ == "__main__":
    print(digest(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])))
