from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.visual_table.drawing import FAILS, HOLDS
from fogline.envs.visual_table.env import VisualTableEnv
from fogline.envs.visual_table.traces import written_trace
from fogline.simulators.tables.records import Cell, Step
from fogline.simulators.tables.rendering import render
from fogline.simulators.tables.sources import load_tables

ENV = "VisualTable-v0"
GUESS = Step("calc", "sum", operands=("1", "1"), value="2")


def play(agent: str, samples: int = 1, **keywords: Any) -> list[Episode]:
    env = make_environment(ENV, keywords)
    tasks = env.unwrapped.task_ids
    env.close()

    def factory() -> gymnasium.Env[Any, Any]:
        return make_environment(ENV, keywords)

    wanted = [Assignment(task, seed) for task in tasks for seed in range(samples)]
    return collect_all(factory, make_agent(agent, ENV, env_kwargs=keywords), wanted)


def begun(task_id: str, **options: Any) -> tuple[VisualTableEnv, Any]:
    env = VisualTableEnv(**options)
    observation, _ = env.reset(seed=0, options={"task_id": task_id})
    return env, observation


@pytest.mark.parametrize("observation", ["image", "symbols"])
@pytest.mark.parametrize("size", ["pretty", "tiny"])
def test_the_oracle_earns_everything(observation: str, size: str) -> None:
    episodes = play("oracle", observation=observation, size=size, tasks_per_level=5)
    assert len(episodes) == 20
    assert {episode.reward for episode in episodes} == {1.0}
    assert {turn.seat for episode in episodes for turn in episode.turns} == {"agent"}


def test_who_points_beside_what_it_says_is_right_and_earns_little() -> None:
    episodes = play(
        "hallucinator", observation="symbols", tasks_per_level=20, world={"rows": [4, 6], "columns": [3, 4]}
    )
    assert {episode.outcome["correct"] for episode in episodes} == {1.0}
    assert max(episode.reward or 0.0 for episode in episodes) < 0.5
    assert all(episode.metrics["misplaced"] > 0 for episode in episodes)


@pytest.mark.parametrize("gate", ["soft", "hard"])
def test_right_answers_without_anchors_earn_nothing(gate: str) -> None:
    episodes = play("guesser", observation="symbols", level=3, kinds=["argmax"], shortcut=1.0, gate=gate)
    assert {(episode.outcome["correct"], episode.reward) for episode in episodes} == {(1.0, 0.0)}
    assert {episode.outcome["well_formed"] for episode in episodes} == {1.0}


@pytest.mark.parametrize("level", [3, 4])
def test_where_the_gate_is_off_a_shortcut_pays_like_reading(level: int) -> None:
    kinds = {3: ["argmax"], 4: ["two-hop"]}[level]
    options = {"observation": "symbols", "level": level, "kinds": kinds, "shortcut": 1.0, "tasks_per_level": 30}
    free = {agent: play(agent, gate="off", **options) for agent in ("oracle", "guesser")}
    gated = {agent: play(agent, **options) for agent in ("oracle", "guesser")}
    assert [episode.reward for episode in free["oracle"]] == [episode.reward for episode in free["guesser"]]
    for rigorous, guessed in zip(gated["oracle"], gated["guesser"], strict=True):
        assert (rigorous.reward or 0.0) - (guessed.reward or 0.0) >= 0.9


def test_the_reward_is_the_gated_answer_and_format() -> None:
    task = next(iter(load_tables(level=1)))
    found, column, read = task.steps
    wrong = str(int(task.answers[0]) + 7)
    cases = [
        (written_trace(task.steps, task.answers[0]), 1.0, 1.0, 1.0),
        (written_trace(task.steps, wrong), 0.0, 1.0, 1.0),
        (written_trace(task.steps, task.answers[0]) + "!", 1.0, 0.0, 1.0),
        (written_trace([found, read], task.answers[0]), 1.0, 1.0, 1.0),
        (written_trace([found, column], task.answers[0]), 1.0, 1.0, 0.0),
        (written_trace([found, column, read, GUESS], task.answers[0]), 1.0, 1.0, 0.75),
        (written_trace([GUESS], task.answers[0]), 1.0, 1.0, 0.0),
        (task.answers[0], 0.0, 0.0, 0.0),
        ("", 0.0, 0.0, 0.0),
    ]
    for reply, correct, formed, process in cases:
        for gate, factor in (("soft", process), ("hard", float(process >= 0.5)), ("off", 1.0)):
            env, _ = begun(task.task_id, level=1, gate=gate, observation="symbols")
            _, reward, terminated, truncated, info = env.step(reply)
            assert reward == pytest.approx(factor * (0.9 * correct + 0.1 * formed)), (reply, gate)
            assert (terminated, truncated) == (True, False)
            assert info["outcome"] == pytest.approx(
                {
                    "answer": factor * correct,
                    "format": factor * formed,
                    "correct": correct,
                    "well_formed": formed,
                    "process": process,
                }
            )
            assert info["malformed"] is not bool(formed)


def test_the_image_is_the_table_on_a_white_canvas_and_its_boxes_can_be_pointed_at() -> None:
    for size in ("pretty", "tiny"):
        task = next(iter(load_tables(level=2, size=size)))
        picture = render(task.table, size)  # type: ignore[arg-type]
        env, observation = begun(task.task_id, level=2, size=size)
        height, width, _ = picture.image.shape
        np.testing.assert_array_equal(observation["image"][:height, :width], picture.image)
        assert (observation["image"][height:] == 255).all() and (observation["image"][:, width:] == 255).all()
        assert observation["question"] == task.question
        assert observation in env.observation_space
        steps = [
            Step(step.kind, step.name, picture.box(step.anchor), step.operands, step.value)
            if isinstance(step.anchor, Cell)
            else step
            for step in task.steps
        ]
        assert env.step(written_trace(steps, task.answers[0]))[1] == pytest.approx(1.0)


def test_symbols_say_what_the_table_says_in_both_lengths() -> None:
    task = next(iter(load_tables(level=1)))
    _, full = begun(task.task_id, level=1, observation="symbols")
    assert full.endswith(f"Question: {task.question}")
    assert [line.split(": ", 1)[1].split(" | ") for line in full.splitlines() if line.startswith("Row")] == [
        list(row) for row in (task.table.header, *task.table.rows)
    ]
    env, short = begun(task.task_id, level=1, observation="symbols", prompt="short")
    assert short.splitlines()[0] == " ".join(task.table.header)
    assert short.endswith(f"\n{task.short}:")
    assert env.system_prompt == "" != VisualTableEnv(level=1).system_prompt


def test_anchors_are_drawn_where_they_point_and_as_they_hold() -> None:
    task = next(task for task in load_tables(level=1) if task.table.height >= 3)
    env, _ = begun(task.task_id, level=1, render_mode="rgb_array")
    plain = env.render()
    picture = render(task.table)
    np.testing.assert_array_equal(plain, picture.image)
    anchor = task.steps[2].anchor
    assert isinstance(anchor, Cell)
    beside = Cell(anchor.row % task.table.height + 1, anchor.column)
    env.step(
        written_trace(
            [*task.steps, Step("read", anchor=beside, value="nothing"), Step("pick", "max", Cell(99, 1))], "x"
        )
    )
    drawn = env.render()
    for cell, colour in ((anchor, HOLDS), (beside, FAILS)):
        box = picture.box(cell)
        assert drawn[box.top + 1, (box.left + box.right) // 2].tolist() == list(colour)
    assert drawn.shape == plain.shape
    text, _ = begun(task.task_id, level=1, render_mode="ansi")
    text.step(written_trace([task.steps[0], GUESS], "x"))
    assert [line[0] for line in text.render().splitlines()[-3:]] == ["+", "-", "="]


def test_real_tables_are_judged_by_the_rules_of_their_set() -> None:
    dataset = load_tables("wikitablequestions")
    env = VisualTableEnv("wikitablequestions", observation="symbols", gate="off")
    right = 0.0
    for task in list(dataset)[:120]:
        env.reset(seed=0, options={"task_id": task.task_id})
        right += env.step(written_trace([GUESS], "|".join(gold.replace("|", "/") for gold in task.answers)))[1]
    assert right >= 0.9 * 120
    assert {task.level for task in dataset} == {0}
    assert len({id(task.table) for task in dataset}) == 40 and len(dataset) == 331


def test_nothing_of_the_gold_is_in_reach() -> None:
    dataset = load_tables(level=1, tasks_per_level=3)
    env: Any = gymnasium.make(f"fogline.envs:{ENV}", tables=dataset)
    assert env.spec.kwargs["tables"] == "synthetic"
    assert dataset.tasks["table-1-0000"].answers[0] not in repr(dataset.tasks["table-1-0000"])
    env.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"observation": "pixels"}, ConfigurationError, "observation"),
        ({"size": "large"}, ConfigurationError, "size"),
        ({"gate": "medium"}, ConfigurationError, "gate"),
        ({"form": "mean"}, ConfigurationError, "form"),
        ({"find_rule": "any"}, ConfigurationError, "find_rule"),
        ({"prompt": "long"}, ConfigurationError, "prompt"),
        ({"shortcut": "often"}, ConfigurationError, "shortcut"),
        ({"render_mode": "human"}, ConfigurationError, "render_mode"),
        ({"tables": "spreadsheets"}, ConfigurationError, "a folder"),
    ],
)
def test_unknown_choices_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        VisualTableEnv(**options)


def test_a_table_that_tiny_cannot_write_is_refused_when_it_comes() -> None:
    env = VisualTableEnv("wikitablequestions", size="tiny")
    with pytest.raises(DataError, match="size='tiny'"):
        env.reset(seed=0)
