"""A vision-language model behind a chat server as the critic: shown the table, it scores every step of a reply.

The published rubric and scale are not known; these are our words. An answer that cannot be used is asked for once more.
After that the critic has nothing to say of the episode, which leaves the batch and is counted. It is never a zero.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fogline.core.chat.errors import ContentRefused, ContextLengthExceeded, EmptyReply
from fogline.core.chat.json_reply import json_object
from fogline.core.chat.loop_thread import LoopThread
from fogline.core.chat.messages import ChatModel, ChatRequest, Message
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError, missing_dependency
from fogline.envs.visual_table.traces import Trace, written_step
from fogline.trainers.critics import CriticFault, Judgement
from fogline.trainers.table_critics import judgement_of, reply_of

RUBRIC = """\
You check, step by step, how somebody read an answer from a table. Row 0 is the header, rows of data count from 1, \
column 1 is the leftmost. Score every step: 1 where it holds, 0 where it does not, a number between where you doubt.
- find NAME -> cell: the name stands in that very cell.
- read cell = VALUE: that is what stands in the cell.
- calc OPERATION(VALUES) = VALUE: the values were read in earlier steps that hold, and the result is right.
- pick max or min -> cell: all of its column was read before, and it is the largest or smallest.
A step that repeats an earlier one does not hold. Whether the answer is right does not matter here.
Answer with one JSON object and nothing else: {"scores": [one number from 0 to 1 for each step, in order]}"""

REPAIR = "That cannot be used: {fault}. Answer with the JSON object alone."
_AT_ONCE = 256


@dataclass
class CriticReport:
    """What asking has taken so far.

    Attributes:
        episodes: Asked about.
        calls: Answers that were asked for, repairs and those of a cache included.
        repairs: Of them, asked for again.
        faults: Episodes of which nothing usable was said, by reason.
    """

    episodes: int = 0
    calls: int = 0
    repairs: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "faults": dict(self.faults)}


class ChatCritic:
    """Asks a chat model about the steps of each reply of VisualTable-v0.

    Args:
        model: Who answers; it must see pictures where the environment shows them.
        max_tokens: Longest answer.
        temperature: Of its sampling.

    Attributes:
        report: What asking has taken so far; tokens and money are in the model's own meter.

    Raises:
        ConfigurationError: For a number out of range.
    """

    def __init__(self, model: ChatModel, *, max_tokens: int = 200, temperature: float = 0.0) -> None:
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
            raise ConfigurationError(f"max_tokens={max_tokens!r}: expected a whole number of at least 1.")
        if not 0 <= temperature <= 2:
            raise ConfigurationError(f"temperature={temperature!r}: expected a number from 0 to 2.")
        self.name = f"chat critic {model.name}"
        self.model, self.report = model, CriticReport()
        self._max_tokens, self._temperature = max_tokens, temperature
        self._thread = LoopThread()

    def judge(self, episodes: Sequence[Episode]) -> list[Judgement | CriticFault]:
        """Ask about every reply that has a step, many at once.

        Raises:
            ChatError: The server or the way to it failed, after the client's own retries.
            MissingDependencyError: A picture is to be shown and Pillow is not installed.
        """
        return self._thread.run(self._judge_all(episodes))

    def close(self) -> None:
        """End the thread in which the model is called."""
        self._thread.close()

    async def _judge_all(self, episodes: Sequence[Episode]) -> list[Judgement | CriticFault]:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(episode: Episode) -> Judgement | CriticFault:
            async with slots:
                return await self._judged(episode)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(episode)) for episode in episodes]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _judged(self, episode: Episode) -> Judgement | CriticFault:
        trace = reply_of(episode)
        if not trace.steps:
            return Judgement((), anchored=False)
        self.report.episodes += 1
        messages = critic_messages(episode, trace)
        fault = ""
        for attempt in range(2):
            self.report.calls += 1
            self.report.repairs += attempt
            try:
                reply = await self.model.complete(
                    ChatRequest(messages, temperature=self._temperature, max_tokens=self._max_tokens)
                )
            except (ContentRefused, EmptyReply, ContextLengthExceeded) as error:
                return self._fault(episode, type(error).__name__, str(error))
            try:
                return judgement_of(trace, read_scores(reply.text, len(trace.steps)))
            except ValueError as error:
                fault = str(error)
            again = {"role": "user", "content": REPAIR.format(fault=fault)}
            messages = (*messages, {"role": "assistant", "content": reply.text}, again)
        return self._fault(episode, "garbage", fault)

    def _fault(self, episode: Episode, reason: str, detail: str) -> CriticFault:
        self.report.faults[reason] += 1
        return CriticFault(f"{self.name} has nothing usable to say of {episode.task_id!r} ({reason}): {detail}")


def read_scores(text: str, steps: int) -> list[float]:
    """Read an answer.

    Args:
        text: As the model wrote it.
        steps: How many scores are expected.

    Raises:
        ValueError: It is anything but one JSON object with that many numbers from 0 to 1.
    """
    scores = json_object(text).get("scores")
    if not isinstance(scores, list) or len(scores) != steps:
        said = f"{len(scores)} of them" if isinstance(scores, list) else type(scores).__name__
        raise ValueError(f"scores: expected a list of {steps} numbers, not {said}")
    for score in scores:
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise ValueError(f"scores holds a {type(score).__name__}: expected numbers from 0 to 1")
        if not 0 <= score <= 1:
            raise ValueError(f"scores holds {str(score)[:40]}: expected numbers from 0 to 1")
    return [float(score) for score in scores]


def critic_messages(episode: Episode, trace: Trace) -> tuple[Message, ...]:
    """The rubric, the table as the policy saw it, and its steps, numbered."""
    observation = episode.turns[-1].observation
    steps = "\n".join(f"{number}. {written_step(step)}" for number, step in enumerate(trace.steps, 1))
    if isinstance(observation, Mapping):
        asked = f"Question: {observation['question']}\nSteps:\n{steps}"
        picture = {"type": "image_url", "image_url": {"url": data_url(observation["image"])}}
        content: Any = [picture, {"type": "text", "text": asked}]
    else:
        content = f"{observation}\nSteps:\n{steps}"
    return {"role": "system", "content": RUBRIC}, {"role": "user", "content": content}


def data_url(image: Any) -> str:
    """A picture as a PNG in a URL.

    Raises:
        DataError: It is no RGB picture of whole bytes.
        MissingDependencyError: Pillow is not installed.
    """
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(
            f"an image of shape {array.shape} and dtype {array.dtype}: expected [height, width, 3] of uint8 (mode RGB)."
        )
    try:
        from PIL import Image
    except ImportError:
        raise missing_dependency("pillow", "vision") from None
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
