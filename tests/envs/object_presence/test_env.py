from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError
from fogline.envs.object_presence.env import ObjectPresenceEnv
from fogline.envs.object_presence.scores import chair_of, mme_of, pope_of
from fogline.simulators.scenes.sources import load_scenes

ENV = "ObjectPresence-v0"
CLEAR = {"contrast": [0.5, 1.0], "noise": 0.0}


def play(agent: str, **keywords: Any) -> list[Episode]:
    env = make_environment(ENV, keywords)
    tasks = env.unwrapped.task_ids
    env.close()
    played = make_agent(agent, ENV, env_kwargs=keywords)
    return collect_all(partial(make_environment, ENV, keywords), played, [Assignment(task, 0) for task in tasks])


def begun(task_id: str, seed: int = 0, **options: Any) -> tuple[ObjectPresenceEnv, Any, dict[str, Any]]:
    env = ObjectPresenceEnv(**options)
    observation, info = env.reset(seed=seed, options={"task_id": task_id})
    return env, observation, info


def test_stored_episodes_hold_what_pope_is_computed_from() -> None:
    episodes = [Episode.from_json(episode.to_json()) for episode in play("always-yes", split="popular", n_images=10)]
    found = pope_of(episode.metrics for episode in episodes)
    assert (found.questions, found.accuracy, found.recall, found.yes_rate) == (60, 0.5, 1.0, 1.0)
    assert sum(episode.reward or 0.0 for episode in episodes) == 30


def test_stored_episodes_hold_what_chair_is_computed_from() -> None:
    episodes = [Episode.from_json(one.to_json()) for one in play("always-yes", task="caption", n_images=20)]
    dataset = load_scenes(task="caption", n_images=20)
    there = sum(len(task.objects) for task in dataset)
    found = chair_of(episode.metrics for episode in episodes)
    assert (found.chair_s, found.recall) == (1.0, 1.0)
    assert found.chair_i == pytest.approx(1 - there / 240)
    for episode in episodes:
        share = len(dataset.tasks[episode.task_id].objects) / 12
        assert episode.reward == pytest.approx(1 - (1 - share))


def test_presence_pays_the_right_one_of_yes_and_no() -> None:
    for task in load_scenes(n_images=3):
        right, wrong = ("Yes.", "There is none") if task.label else ("no", "Yes, I can see it")
        for reply, correct, readable in ((right, 1.0, 1.0), (wrong, 0.0, 1.0), ("a banana", 0.0, 0.0), ("", 0.0, 0.0)):
            env, _, _ = begun(task.task_id, n_images=3)
            observation, reward, terminated, truncated, info = env.step(reply)
            assert (reward, terminated, truncated) == (correct, True, False)
            assert info["outcome"] == {"correct": correct, "readable": readable}
            assert info["malformed"] is not bool(readable)
            assert observation["question"] == "" and (observation["image"] == 255).all()
            metrics = info["metrics"]
            assert metrics["label"] == ("yes" if task.label else "no")
            assert metrics["answer"] == ("" if not readable else metrics["label"] if correct else
                                         {"yes": "no", "no": "yes"}[metrics["label"]])  # fmt: skip


def test_captions_pay_what_is_found_less_what_is_hallucinated() -> None:
    dataset = load_scenes(task="caption", n_images=5)
    for task in dataset:
        wrong = next(name for name in dataset.vocabulary.objects if name not in task.objects)
        there = ", ".join(task.objects)
        first, size = task.objects[0], len(task.objects)
        cases = [
            (there, 1.0, 0.0, 1.0, 1.0),
            (f"I see {there}.", 1.0, 0.0, 1.0, 1.0),
            (", ".join(reversed(task.objects)), 1.0, 0.0, 0.0, 1.0),
            (f"{there}, {wrong}", 1.0, 1 / (size + 1), 0.0, 1 - 1 / (size + 1)),
            (f"{first}, {wrong} and {wrong}", 1 / size, 2 / 3, 0.0, 1 / size - 2 / 3),
            (wrong, 0.0, 1.0, 0.0, -1.0),
            ("an empty room", 0.0, 0.0, 0.0, 0.0),
        ]
        for reply, found, hallucinated, exact, reward in cases:
            env, _, _ = begun(task.task_id, task="caption", n_images=5)
            _, earned, _, _, info = env.step(reply)
            assert earned == pytest.approx(reward)
            assert info["outcome"] == pytest.approx({"found": found, "hallucinated": hallucinated, "exact": exact})
            assert info["metrics"]["hallucinates"] is (hallucinated > 0)
            assert info["metrics"]["wrongly_mentioned"] == ([wrong] if hallucinated else [])
            assert not info["malformed"]
        env, _, _ = begun(task.task_id, task="caption", n_images=5)
        assert env.step(" ")[4]["malformed"]


def test_prompts_are_those_of_the_papers_and_the_shortest() -> None:
    env, full, _ = begun("presence-random-00000-1")
    asked = next(iter(load_scenes())).asked
    article = "an" if asked[0] in "ao" else "a"
    assert full["question"] == f"Is there {article} {asked} in the image? Please answer this question with one word."
    assert "yes or no" in env.system_prompt
    env, short, _ = begun("presence-random-00000-1", prompt="short")
    assert short["question"] == f"is {asked}" and env.system_prompt == ""
    env, full, _ = begun("caption-00000", task="caption")
    assert full["question"] == "Please describe this image in detail."
    assert all(name in env.system_prompt for name in load_scenes().vocabulary.objects)
    assert begun("caption-00000", task="caption", prompt="short")[1]["question"] == "objects"


def test_questions_about_a_picture_see_it_alike_and_the_seed_decides_its_noise() -> None:
    pictures = [begun(f"presence-{split}-00003-{number}", split=split)[1]["image"] for split in ("random", "popular")
                for number in range(1, 7)]  # fmt: skip
    assert all(np.array_equal(pictures[0], picture) for picture in pictures)
    assert pictures[0].shape == (32, 32, 3) and pictures[0].dtype == np.uint8
    again = begun("presence-random-00003-1", seed=1)[1]["image"]
    other = begun("presence-random-00004-1")[1]["image"]
    assert not np.array_equal(pictures[0], again)
    noise = [np.where(abs(picture.astype(int) - 64) < 20, picture.astype(int) - 64, 0) for picture in (again, other)]
    first = np.where(abs(pictures[0].astype(int) - 64) < 20, pictures[0].astype(int) - 64, 0)
    for one in noise:
        assert abs(np.corrcoef(first.ravel(), one.ravel())[0, 1]) < 0.2
    clear = [begun("presence-random-00003-1", seed=seed, world=CLEAR)[1]["image"] for seed in (0, 1)]
    np.testing.assert_array_equal(*clear)


def test_the_objects_can_be_found_in_the_picture_that_is_shown() -> None:
    from fogline.simulators.scenes.rendering import boxes
    from fogline.simulators.scenes.sources import world_for
    from fogline.simulators.scenes.worlds import Scene

    for task in load_scenes(task="caption", n_images=5, world=CLEAR):
        image = begun(task.task_id, task="caption", n_images=5, world=CLEAR)[1]["image"]
        assert isinstance(task.picture, Scene)
        places = boxes(world_for(CLEAR), task.picture)
        seen = np.zeros((32, 32), dtype=bool)
        for box in places.values():
            assert (image[box.top : box.bottom, box.left : box.right] != 64).any()
            seen[box.top : box.bottom, box.left : box.right] = True
        assert (image[~seen] == 64).all()


@given(st.text() | st.text(alphabet="redsquablicyngh -,.'\ud800", max_size=300))
def test_any_reply_is_answered(reply: str) -> None:
    for options in ({}, {"task": "caption"}):
        env = ObjectPresenceEnv(n_images=1, **options)  # type: ignore[arg-type]
        env.reset(seed=0)
        _, reward, terminated, _, info = env.step(reply)
        assert terminated and -1 <= reward <= 1
        json.dumps(info, allow_nan=False)


def test_renderings_show_the_picture_and_the_reply_and_nothing_of_the_truth() -> None:
    task = next(iter(load_scenes(task="caption", world=CLEAR)))
    options = {"task": "caption", "world": CLEAR}
    env, observation, _ = begun(task.task_id, render_mode="rgb_array", **options)
    drawn = env.render()
    assert drawn.shape == (256, 256, 3) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[4::8, 4::8], observation["image"])
    env, _, _ = begun(task.task_id, render_mode="ansi", **options)
    before = env.render()
    assert before.count("▀") == 512 and not any(name in before for name in task.objects)
    env.step("nothing at all")
    assert env.render().endswith("> nothing at all\n= found 0.00, hallucinated 0.00, exact 0.00")
    assert not any(name in env.render() for name in task.objects)


# Pictures of a folder


def folder_of(tmp_path: Path) -> Path:
    rows = []
    for number, (size, colour) in enumerate([((10, 6), (200, 0, 0)), ((8, 80), (0, 200, 0))]):
        Image.new("RGB", size, colour).save(tmp_path / f"{number}.png")
        for name, label in (("cup", "yes"), ("apple", "no")):
            article = "an" if name == "apple" else "a"
            text = f"Is there {article} {name} in the image?"
            rows.append({"question_id": len(rows) + 1, "image": f"{number}.png", "text": text, "label": label})
    (tmp_path / "coco_pope_random.json").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def test_pictures_of_a_folder_lie_on_a_canvas_and_their_size_is_told(tmp_path: Path) -> None:
    env = ObjectPresenceEnv(folder_of(tmp_path), render_mode="ansi")
    assert env.observation_space["image"].shape == (80, 10, 3)  # type: ignore[index]
    for task_id in env.task_ids:
        observation, info = env.reset(seed=0, options={"task_id": task_id})
        height, width = info["size"]
        number = int(task_id[0])
        assert (height, width) == [(6, 10), (80, 8)][number]
        colour = [(200, 0, 0), (0, 200, 0)][number]
        assert (observation["image"][:height, :width] == colour).all()
        assert (observation["image"][height:] == 255).all() and (observation["image"][:, width:] == 255).all()
        assert observation in env.observation_space
        assert observation["question"].endswith("Please answer this question with one word.")
    assert isinstance(env.render(), str)


def test_the_oracle_of_published_questions_is_always_right(tmp_path: Path) -> None:
    found = pope_of(episode.metrics for episode in play("oracle", scenes=str(folder_of(tmp_path))))
    assert (found.accuracy, found.f1, found.questions) == (1.0, 1.0, 4)


def test_mme_is_played_question_by_question_and_scored_by_image(tmp_path: Path) -> None:
    for name in ("existence", "count", "position", "color"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.jpg")
        (tmp_path / name / "1.txt").write_text("Is it? Please answer yes or no.\tYes\nOr? \tNo\n", encoding="utf-8")
    for agent, total in (("oracle", 800.0), ("always-yes", 200.0), ("always-no", 200.0)):
        found = mme_of(episode.metrics for episode in play(agent, scenes=str(tmp_path)))
        assert found.hallucination == total
    question = begun(ObjectPresenceEnv(tmp_path).task_ids[0], scenes=tmp_path)[1]["question"]
    assert question in {"Is it? Please answer yes or no.", "Or?"}


def test_questions_without_their_pictures_are_refused(tmp_path: Path) -> None:
    (folder_of(tmp_path) / "1.png").unlink()
    with pytest.raises(DataError, match=r"no picture '1\.png'"):
        ObjectPresenceEnv(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "long"}, "prompt"),
        ({"task": "captions"}, "task"),
        ({"split": "easy"}, "split"),
        ({"dataset_split": "dev"}, "dataset_split"),
        ({"render_mode": "human"}, "render_mode"),
        ({"scenes": "photographs"}, "a folder"),
        ({"world": {"glow": 1}}, "glow"),
    ],
)
def test_unknown_choices_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ObjectPresenceEnv(**options)
