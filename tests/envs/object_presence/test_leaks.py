"""The truth stays hidden: no observation, info or public attribute holds it before the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest

from fogline.simulators.scenes.mentions import Vocabulary
from fogline.simulators.scenes.records import SceneDataset, SceneTask
from fogline.simulators.scenes.sources import load_scenes
from fogline.simulators.scenes.worlds import Scene, SceneWorld

SECRET = "unheard-of contraption"
OPAQUE = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type, np.random.Generator)


def reachable(value: Any, seen: set[int]) -> Iterator[Any]:
    """Everything that can be reached through public attributes, keys and elements."""
    if isinstance(value, str):
        yield value
        return
    if value is None or isinstance(value, (int, float, np.ndarray, *OPAQUE)) or id(value) in seen:
        return
    seen.add(id(value))
    yield value
    yield repr(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from reachable(key, seen)
            yield from reachable(item, seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from reachable(item, seen)
    else:
        for name in dir(value):
            if not name.startswith("_"):
                try:
                    found = getattr(value, name)
                except (AttributeError, NotImplementedError):
                    continue
                yield from reachable(found, seen)


def assert_hidden(*shown: Any) -> None:
    for value in shown:
        for found in reachable(value, set()):
            assert not isinstance(found, (SceneTask, SceneDataset, Scene))
            assert not isinstance(found, str) or SECRET not in found


def captions() -> SceneDataset:
    world = SceneWorld()
    scene = Scene(0, 0, tuple(range(12)), 0.5)
    task = SceneTask("one", "scene-0", scene, "What is there?", "caption", None, (SECRET,))
    return SceneDataset("secrets", {"one": task}, Vocabulary((SECRET, "cup")), {SECRET: 1.0}, world)


def test_what_is_there_is_shown_nowhere_before_or_after_a_caption_that_missed_it() -> None:
    # With rules, the vocabulary would be told; that names what there can be, not what is.
    env: Any = gymnasium.make("fogline.envs:ObjectPresence-v0", scenes=captions(), prompt="short", render_mode="ansi")
    assert env.spec.kwargs["scenes"] == "secrets"
    assert_hidden(env, env.unwrapped)
    assert_hidden(env.reset(seed=0), env, env.unwrapped, env.render())
    step = env.step("a cup")
    assert step[1] == -1.0
    assert_hidden(step, env, env.unwrapped, env.render())
    env.reset(seed=0)
    assert env.step(SECRET)[1] == 1.0


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_before_the_answer_a_yes_and_a_no_differ_in_what_is_asked_alone(split: str) -> None:
    env: Any = gymnasium.make("fogline.envs:ObjectPresence-v0", split=split, n_images=5)
    assert_hidden(env, env.unwrapped)
    by_image: dict[str, list[Any]] = {}
    for task in load_scenes(split=split, n_images=5):
        observation, info = env.reset(seed=0, options={"task_id": task.task_id})
        assert set(info) == {"task_id", "phase", "kind", "image_id", "size"}
        assert_hidden(info, env, env.unwrapped)
        question = observation["question"].replace(task.asked, "").replace(" an ", " a ")
        rest = {key: value for key, value in info.items() if key != "task_id"}
        by_image.setdefault(task.image_id, []).append((observation["image"].tobytes(), question, rest))
    assert all(all(one == rows[0] for one in rows) for rows in by_image.values())


def test_the_order_of_tasks_tells_nothing() -> None:
    tasks = list(load_scenes(split="popular", n_images=300))
    for number in range(6):
        assert 100 < sum(bool(task.label) for task in tasks[number::6]) < 200
