"""A chat model as the critic: what it is asked, how it is read, and that what cannot be used is never a zero."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.registry import make_agent
from fogline.agents.rollout import Assignment
from fogline.core.chat.errors import (
    ChatError,
    ConnectionFailed,
    ContentRefused,
    ContextLengthExceeded,
    EmptyReply,
    RateLimited,
)
from fogline.core.chat.messages import ChatModel, ChatPiece, ChatReply, ChatRequest
from fogline.core.episode import Episode, Turn
from fogline.core.errors import ConfigurationError, DataError, MissingDependencyError
from fogline.envs.visual_table.env import VisualTableEnv
from fogline.envs.visual_table.traces import written_step
from fogline.simulators.tables.records import TableDataset
from fogline.simulators.tables.sources import load_tables
from fogline.trainers.chat_critics import RUBRIC, ChatCritic, critic_messages, data_url, read_scores
from fogline.trainers.config import RolloutConfig, TrainConfig
from fogline.trainers.critics import CriticFault, Judgement, judged
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.recipes import make_recipe
from fogline.trainers.sft import fine_tune, transcribe
from fogline.trainers.table_critics import OracleCritic, reply_of
from fogline.trainers.trainer import Trainer

ENV = "VisualTable-v0"
RIGHT = '{"scores": [1, 0.5, 0]}'
"""Of the three steps that an answer of the first level has."""


class Scripted:
    """A chat model that answers by a function of the request, and keeps its requests."""

    def __init__(self, answer: Callable[[ChatRequest], str], name: str = "scripted") -> None:
        self.answer, self.name = answer, name
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        return ChatReply(self.answer(request), prompt_tokens=100, completion_tokens=8)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatPiece]:
        yield ChatPiece("", reply=await self.complete(request))


def saying(*answers: str | Exception) -> Scripted:
    """Says one after the other, the last of them for good."""
    left = list(answers)

    def answer(_: ChatRequest) -> str:
        said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, Exception):
            raise said
        return said

    return Scripted(answer)


def factory(dataset: TableDataset, observation: str) -> Any:
    return partial(VisualTableEnv, dataset, observation=observation, size="tiny", prompt="short", gate="off")


def played(dataset: TableDataset, observation: str) -> list[Episode]:
    tasks = [Assignment(task, 3) for task in dataset.tasks]
    players = [make_agent(name, ENV, dataset=dataset) for name in ("oracle", "slippery")]
    return [item for player in players for item in collect_all(factory(dataset, observation), player, tasks)]


@pytest.fixture(scope="module")
def dataset() -> TableDataset:
    return load_tables(level=1, tasks_per_level=12, size="tiny")


@pytest.fixture(scope="module")
def seen(dataset: TableDataset) -> list[Episode]:
    return played(dataset, "image")


@pytest.fixture(scope="module")
def read(dataset: TableDataset) -> list[Episode]:
    return played(dataset, "symbols")


def replying(episode: Episode, action: str) -> Episode:
    return replace(episode, turns=(*episode.turns[:-1], episode.turns[-1]._replace(action=action)))


def showing(episode: Episode, image: Any) -> Episode:
    turn = episode.turns[-1]
    return replace(episode, turns=(turn._replace(observation={**turn.observation, "image": image}),))


def said(request: ChatRequest, place: int = 1) -> str:
    """The words of a message."""
    content = request.messages[place]["content"]
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if "text" in part)


def knowing(dataset: TableDataset, episodes: Sequence[Episode]) -> Scripted:
    """Answers as one who knows the tables."""
    answers = {}
    for episode, judgement in zip(episodes, OracleCritic(dataset).judge(episodes), strict=True):
        request = ChatRequest(critic_messages(episode, reply_of(episode)))
        answers[json.dumps(request.messages)] = json.dumps({"scores": [step.score for step in judgement.steps]})
    return Scripted(lambda request: answers[json.dumps(request.messages)])


# What is asked


def test_symbols_are_sent_as_text(read: list[Episode]) -> None:
    model = saying(RIGHT)
    ChatCritic(model, max_tokens=77, temperature=0.5).judge(read[:1])
    (request,) = model.requests
    observation = read[0].turns[0].observation
    steps = [written_step(step) for step in reply_of(read[0]).steps]
    assert request.messages == (
        {"role": "system", "content": RUBRIC},
        {"role": "user", "content": f"{observation}\nSteps:\n1. {steps[0]}\n2. {steps[1]}\n3. {steps[2]}"},
    )
    assert all(step in read[0].turns[0].action for step in steps)
    assert (request.max_tokens, request.temperature) == (77, 0.5)


def test_a_picture_is_sent_as_a_png_of_the_very_pixels(seen: list[Episode]) -> None:
    model = saying(RIGHT)
    ChatCritic(model).judge(seen)
    assert len(model.requests) == len(seen)
    for episode, request in zip(seen, model.requests, strict=True):
        picture, words = request.messages[1]["content"]
        observation = episode.turns[0].observation
        assert (picture["type"], words["type"]) == ("image_url", "text")
        np.testing.assert_array_equal(pixels(picture["image_url"]["url"]), observation["image"])
        assert words["text"].startswith(f"Question: {observation['question']}\nSteps:\n1. find ")


def pixels(url: str) -> Any:
    from PIL import Image

    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        return np.asarray(picture)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_any_picture_comes_back_as_it_was(image: Any) -> None:
    np.testing.assert_array_equal(pixels(data_url(image)), image)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (np.zeros((4, 4)), r"shape \(4, 4\) and dtype float64"),
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((3, 4, 4), np.uint8), r"shape \(3, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "dtype float32"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (None, "dtype object"),
    ],
)
def test_what_is_no_picture_is_an_error(seen: list[Episode], image: Any, why: str) -> None:
    model = saying(RIGHT)
    with pytest.raises(DataError, match=why):
        ChatCritic(model).judge([showing(seen[0], image)])
    assert not model.requests


def test_without_pillow_a_picture_names_the_extra(monkeypatch: pytest.MonkeyPatch, seen: list[Episode]) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match="vision"):
        ChatCritic(saying(RIGHT)).judge(seen[:1])


def test_a_served_checkpoint_reads_of_a_request_what_the_policy_would(tmp_path: Path) -> None:
    from small_vision import EDGE, SHAPE, picture, small_policy
    from transformers import AutoProcessor

    from fogline.agents.policies.vision import VisionLMPolicy

    image = picture(0)
    assert image.shape == (*SHAPE, 3) != (EDGE, EDGE, 3), "smaller than what the model was built for"
    policy = small_policy()
    policy.save(tmp_path)
    loader: Any = AutoProcessor
    parts = [{"type": "image", "url": data_url(image)}, {"type": "text", "text": "the cat"}]
    talk = [{"role": "system", "content": [{"type": "text", "text": "the owl"}]}, {"role": "user", "content": parts}]
    served = loader.from_pretrained(tmp_path).apply_chat_template(
        talk, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    for reader in (policy, VisionLMPolicy(tmp_path)):
        np.testing.assert_allclose(served["pixel_values"], reader._encoder.pixels.inputs([image])["pixel_values"])
        shown = Turn("agent", {"image": image, "question": "the cat"}, "dog", 0.0, {})
        told = reader.transcribe(Episode("Pictures-v0", "t", 0, (shown,), "terminated"), "the owl")
        assert tuple(served["input_ids"][0].tolist()) == told.turns[0].context_token_ids


# What is made of an answer


@pytest.mark.parametrize("observation", ["image", "symbols"])
def test_right_answers_become_judgements_with_places(
    dataset: TableDataset, observation: str, request: pytest.FixtureRequest
) -> None:
    episodes: list[Episode] = request.getfixturevalue("seen" if observation == "image" else "read")
    critic = ChatCritic(knowing(dataset, episodes))
    found = critic.judge(episodes)
    for episode, judgement, known in zip(episodes, found, OracleCritic(dataset).judge(episodes), strict=True):
        assert isinstance(judgement, Judgement)
        assert judgement.steps == known.steps, "scores and places"
        assert judgement.process is None, "the method aggregates the steps"
        points = [step.anchor is not None for step in reply_of(episode).steps]
        assert judgement.anchored == any(
            step.score >= 0.5 and at for step, at in zip(judgement.steps, points, strict=True)
        )
    assert {step.score for item in found if isinstance(item, Judgement) for step in item.steps} == {0.0, 1.0}
    report = critic.report
    assert (report.episodes, report.calls, report.repairs, dict(report.faults)) == (len(episodes),) * 2 + (0, {})
    critic.close()
    assert critic.judge(episodes) == found, "a closed critic opens again"


def test_answers_stay_with_their_episodes_however_late_they_come(dataset: TableDataset, read: list[Episode]) -> None:
    class Slow(Scripted):
        async def complete(self, request: ChatRequest) -> ChatReply:
            await asyncio.sleep(zlib.crc32(said(request).encode()) % 7 / 1000)
            return await super().complete(request)

    expected = ChatCritic(knowing(dataset, read)).judge(read)
    assert ChatCritic(Slow(knowing(dataset, read).answer)).judge(read) == expected


def test_a_reply_without_steps_costs_no_call(seen: list[Episode]) -> None:
    model = saying(RIGHT)
    critic = ChatCritic(model)
    silent = [replying(seen[0], "I do not know"), replying(seen[0], "<think> ; </think>"), replace(seen[0], turns=())]
    assert critic.judge(silent) == [Judgement((), anchored=False)] * 3
    assert not model.requests
    assert (critic.report.episodes, critic.report.calls) == (0, 0)
    assert critic.judge([]) == []


GARBAGE = [
    ("I would say the first one holds.", "this is no JSON"),
    ("", "this is no JSON"),
    ('{"scores": [1, 1, 1', "this is no JSON"),
    ("[1, 1, 1]", "expected one JSON object, not list"),
    ('{"score": [1, 1, 1]}', "scores: expected a list of 3 numbers, not NoneType"),
    ('{"scores": 1}', "a list of 3 numbers, not int"),
    ('{"scores": []}', "a list of 3 numbers, not 0 of them"),
    ('{"scores": [1, 1]}', "a list of 3 numbers, not 2 of them"),
    ('{"scores": [1, 1, 1, 1]}', "a list of 3 numbers, not 4 of them"),
    ('{"scores": [1, 1, 1.01]}', "scores holds 1.01: expected numbers from 0 to 1"),
    ('{"scores": [1, 1, -0.5]}', "scores holds -0.5"),
    ('{"scores": [1, 1, NaN]}', "scores holds nan"),
    ('{"scores": [1, 1, Infinity]}', "scores holds inf"),
    ('{"scores": [1, true, 1]}', "scores holds a bool"),
    ('{"scores": [1, "1", 1]}', "scores holds a str"),
    ('{"scores": [1, null, 1]}', "scores holds a NoneType"),
    ('{"scores": [1, "\\ud800", 1]}', "scores holds a str"),
]


@pytest.mark.parametrize(("text", "fault"), GARBAGE)
def test_garbage_is_asked_for_once_more_and_then_is_a_fault(seen: list[Episode], text: str, fault: str) -> None:
    model = saying(text)
    critic = ChatCritic(model)
    (answer,) = critic.judge(seen[:1])
    assert isinstance(answer, CriticFault)
    assert fault in str(answer) and seen[0].task_id in str(answer) and "scripted" in str(answer)
    first, second = model.requests
    assert second.messages[:2] == first.messages
    assert second.messages[2] == {"role": "assistant", "content": text}
    assert second.messages[3]["role"] == "user" and fault in second.messages[3]["content"]
    assert critic.report.to_json() == {"episodes": 1, "calls": 2, "repairs": 1, "faults": {"garbage": 1}}


@pytest.mark.parametrize(("text", "fault"), GARBAGE)
def test_what_is_repaired_counts_as_said(seen: list[Episode], text: str, fault: str) -> None:
    critic = ChatCritic(saying(text, RIGHT))
    (answer,) = critic.judge(seen[:1])
    assert isinstance(answer, Judgement), fault
    assert [step.score for step in answer.steps] == [1.0, 0.5, 0.0]
    assert critic.report.to_json() == {"episodes": 1, "calls": 2, "repairs": 1, "faults": {}}


@pytest.mark.parametrize("before", [(), ("hm",)], ids=["at once", "in the repair"])
@pytest.mark.parametrize(
    "error", [ContentRefused("no"), EmptyReply("nothing in it"), ContextLengthExceeded("too long")]
)
def test_refusals_silence_and_what_does_not_fit_are_faults(
    seen: list[Episode], error: Exception, before: tuple[str, ...]
) -> None:
    critic = ChatCritic(saying(*before, error))
    (answer,) = critic.judge(seen[:1])
    assert isinstance(answer, CriticFault) and str(error) in str(answer)
    assert not answer.retryable
    calls = 1 + len(before)
    faults = {type(error).__name__: 1}
    assert critic.report.to_json() == {"episodes": 1, "calls": calls, "repairs": calls - 1, "faults": faults}


@pytest.mark.parametrize("error", [ConnectionFailed("gone"), RateLimited("slower")])
def test_a_server_that_fails_is_an_error_and_no_fault(seen: list[Episode], error: ChatError) -> None:
    critic = ChatCritic(saying(RIGHT, error))
    with pytest.raises(type(error), match=str(error)):
        critic.judge(seen)
    assert not critic.report.faults
    critic.model = saying(RIGHT)
    assert all(isinstance(item, Judgement) for item in critic.judge(seen)), "and it goes on when the server does"


@pytest.mark.parametrize(
    "options", [{"max_tokens": 0}, {"max_tokens": True}, {"max_tokens": 1.5}, {"temperature": -1}, {"temperature": 2.5}]
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    assert isinstance(saying(RIGHT), ChatModel)
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        ChatCritic(saying(RIGHT), **options)


# Reading scores


@pytest.mark.parametrize(
    "text",
    [RIGHT, f"```json\n{RIGHT}\n```", f"<think>{{}} hm</think>\n{RIGHT}", RIGHT[:-1] + ', "why": "so"}'],
)
def test_scores_are_read_through_reasoning_and_fences(text: str) -> None:
    assert read_scores(text, 3) == [1.0, 0.5, 0.0]


NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, 1, 0.5, 10**400, 1e-320]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=5), NUMBERS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
LISTS = st.lists(st.one_of(VALUES, st.floats(0, 1), st.integers(0, 1)), max_size=5)
ANSWERS = st.one_of(
    st.text(),
    VALUES.map(json.dumps),
    LISTS.map(lambda scores: json.dumps({"scores": scores})),
    st.lists(st.floats(0, 1), max_size=5).map(lambda scores: json.dumps({"scores": scores})),
)


@given(ANSWERS, st.sampled_from(["", "```json\n", "<think>so</think>", "x"]), st.integers(1, 5))
def test_whatever_is_said_is_scores_or_a_value_error(text: str, before: str, steps: int) -> None:
    try:
        scores = read_scores(before + text, steps)
    except ValueError as error:
        assert type(error) is ValueError and len(str(error)) < 200, "it is told to the model"
        assert str(error).encode()
    else:
        assert len(scores) == steps
        assert all(type(score) is float and 0 <= score <= 1 for score in scores)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_scores_are_read_as_they_were_written(scores: list[float]) -> None:
    assert read_scores(json.dumps({"scores": scores}), len(scores)) == scores


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_of_any_depth_is_a_value_error(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    for depth in (*range(1, sys.getrecursionlimit() + 50), 100_000):
        with pytest.raises(ValueError, match=r"no JSON|scores holds"):
            read_scores('{"scores": [' + opening * depth + "1" + closing * depth + "]}", 1)


# What leaves the batch


def fickle(request: ChatRequest) -> str:
    """Believes every step, and has nothing usable to say of some replies, always the same ones."""
    words = said(request)
    if zlib.crc32(words.encode()) % 3 == 0:
        return "hm"
    return json.dumps({"scores": [1] * len(words.partition("Steps:\n")[2].splitlines())})


def test_an_episode_with_a_fault_is_a_failure_and_no_zero(seen: list[Episode]) -> None:
    critic = ChatCritic(Scripted(fickle))
    found = judged(critic, seen)
    failed = [item for item in found if item.judgement is None]
    assert 0 < len(failed) < len(seen)
    for item in failed:
        assert (item.episode.status, item.episode.reward, item.episode.scored) == ("infra_error", None, False)
        assert item.episode.failure is not None
        assert item.episode.failure.kind == "CriticFault"
        assert "this is no JSON" in item.episode.failure.message
    for item, episode in zip(found, seen, strict=True):
        if item.judgement is not None:
            assert item.episode is episode
            assert [step.score for step in item.judgement.steps] == [1.0] * 3
    assert critic.report.faults == {"garbage": len(failed)}


@pytest.fixture(scope="module")
def policy(read: list[Episode]) -> CausalLMPolicy:
    """Writes steps, if not the right ones."""
    tokenizer = fit_tokenizer(episode_texts(read), vocabulary_size=256)
    model = tiny_causal_lm(tokenizer, layers=1, width=32, context=256, induction=False)
    writer = CausalLMPolicy(model, tokenizer, rules=False, max_new_tokens=60)
    fine_tune(writer, transcribe(writer, read), learner=LearnerConfig(learning_rate=1e-2), epochs=40, rows=8)
    return writer


def test_a_trainer_counts_what_a_critic_cannot_say_and_learns_from_the_rest(
    dataset: TableDataset, policy: CausalLMPolicy, tmp_path: Path
) -> None:
    config = TrainConfig(
        recipe="pgpo",
        env=ENV,
        updates=1,
        rollout=RolloutConfig(tasks_per_update=6, group_size=4),
        out=str(tmp_path),
    )
    critic = ChatCritic(Scripted(fickle))
    recipe = make_recipe("pgpo", filter_on="none")
    run = Trainer(policy, recipe, config, factory(dataset, "symbols"), tuple(dataset.tasks), critic=critic)
    played = run.rollouts.play(run.recipe)
    faults = critic.report.faults.total()
    assert dict(critic.report.faults) == {"garbage": faults}
    failed = [item for item in played.episodes if not item.scored]
    assert 0 < faults == len(failed) < len(played.episodes)
    assert {item.status for item in failed} == {"infra_error"}
    assert all(item.reward is None for item in failed)
    assert int((~played.batch.valid).sum()) == faults
    rows = played.batch.critic
    assert rows is not None
    assert not rows.mask[~played.batch.valid].any(), "no step of theirs has a score, not even 0"
    assert (rows.score[rows.mask] == 1).all()
    before = {name: weight.detach().clone() for name, weight in policy.module.named_parameters()}
    row = run.step()
    assert np.isfinite(row["loss"])
    assert any((weight != before[name]).any() for name, weight in policy.module.named_parameters())
    run.close()
