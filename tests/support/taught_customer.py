"""A tiny language model that is taught here to play customers, by the rule engine's own calls."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from hurried_seller import HurriedSeller
from tokenizers import AddedToken

from fogline.agents.collector import collect_all
from fogline.agents.environments import make_environment
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm
from fogline.core.episode import Episode, Turn
from fogline.envs.sales_dialogue import callers
from fogline.simulators.customers.acts import CUSTOMER_ACTS
from fogline.simulators.customers.customer import Reply
from fogline.simulators.customers.mind import mind_of
from fogline.simulators.customers.modelled import RINGING, character_of, play_rules, shown
from fogline.simulators.customers.rules import Decision
from fogline.simulators.customers.scenarios import Scenario, make_rule_customer
from fogline.simulators.customers.speech import Heard
from fogline.simulators.customers.tags import Tagged
from fogline.simulators.customers.worded import wording_request
from fogline.trainers.batch import batch_of
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.sft import fine_tune

_STATUS = {"converted": 1, "hung_up": -1}


class Spoken(NamedTuple):
    """One reply of a rule customer, and what led to it."""

    said: str | None
    decision: Decision
    reply: Reply
    state: tuple[float, float, float]


class Lesson(NamedTuple):
    """A conversation: system prompt, then what the model reads and how it has to answer.

    Attributes:
        rules: The system prompt.
        turns: What is read and what is to be answered.
        words: What is said in the answers.
    """

    rules: str
    turns: list[tuple[str, str]]
    words: list[str]

    def episode(self, name: str) -> Episode:
        turns = tuple(Turn("agent", heard, answer, 0.0, {}) for heard, answer in self.turns)
        return Episode("Customer-v0", name, 0, turns, "terminated")


class _Recorded:
    """A rule customer whose calls are written down."""

    def __init__(self, calls: list[tuple[Scenario, list[Spoken]]], scenario: Scenario, *rest: Any, **told: Any) -> None:
        self._customer = make_rule_customer(scenario, *rest, **told)
        self._spoken: list[Spoken] = []
        calls.append((scenario, self._spoken))

    def open(self) -> Reply:
        return self._note(None, self._customer.decide_opening())

    def hear(self, heard: Heard) -> Reply:
        return self._note(heard.utterance.text, self._customer.decide(heard))

    def _note(self, said: str | None, decision: Decision) -> Reply:
        mind, reply = mind_of(self._customer), self._customer.word(decision)
        state = (round(mind.trust), round(mind.emotion), round(mind.cooperation))
        self._spoken.append(Spoken(said, decision, reply, state))
        return reply


def calls(scenarios: int, seeds: int, max_turns: int) -> list[tuple[Scenario, list[Spoken]]]:
    """Calls of the hurried seller with rule customers."""
    made: list[tuple[Scenario, list[Spoken]]] = []
    env = partial(make_environment, "SalesDialogue-v0", {"scenarios": scenarios, "max_turns": max_turns})
    with mock.patch.object(callers, "make_rule_customer", partial(_Recorded, made)):
        tasks = [(task, seed) for task in env().unwrapped.task_ids for seed in range(seeds)]
        collect_all(env, HurriedSeller(), tasks, concurrency=1)
    return made


def played(scenario: Scenario, spoken: Sequence[Spoken]) -> Lesson:
    """A call as ``ModelCustomer`` has it with its model."""
    turns = []
    for said, _, reply, (trust, emotion, cooperation) in spoken:
        status = _STATUS.get(reply.status, 0)
        answer = Tagged(reply.act, reply.text, reply.topic, reply.step, trust, emotion, cooperation, status)
        turns.append((RINGING if said is None else shown(said), answer.text()))
    rules = play_rules(scenario.card, character_of(scenario.start, scenario.card))
    return Lesson(rules, turns, [each.reply.text for each in spoken])


def worded(scenario: Scenario, spoken: Sequence[Spoken]) -> list[Lesson]:
    """The replies of a call as ``WordedCustomer`` asks for them, one by one."""
    lessons = []
    for said, decision, reply, _ in spoken:
        rules, asked = wording_request(scenario.card, scenario.start.style, said, decision.gist)
        lessons.append(Lesson(rules["content"], [(asked["content"], reply.text)], [reply.text]))
    return lessons


def teach(folder: Path, lessons: Sequence[Lesson], *, epochs: int, rows: int) -> list[float]:
    """Teach a model the lessons, save it with its chat template, and return the loss of every step."""
    tokenizer = _tokenizer(lessons)
    policy = CausalLMPolicy(tiny_causal_lm(tokenizer, layers=2, width=64, context=2048), tokenizer)
    told = [policy.transcribe(lesson.episode(str(number)), lesson.rules) for number, lesson in enumerate(lessons)]
    settings = LearnerConfig(learning_rate=6e-3, schedule="cosine", warmup=10)
    threads = torch.get_num_threads()
    # Two threads are no faster at this size, and far slower beside other work.
    torch.set_num_threads(1)
    try:
        log = fine_tune(policy, batch_of(told, policy), learner=settings, epochs=epochs, rows=rows)
    finally:
        torch.set_num_threads(threads)
    # The server samples, whatever temperature is asked for, only where the checkpoint says that it may.
    policy.model.generation_config.do_sample = True
    policy.save(folder)
    return [row["loss"] for row in log]


def _tokenizer(lessons: Sequence[Lesson]) -> Any:
    """A tokenizer in which each sentence that customers say often is one token, and so is the frame of the tags."""
    documents = []
    for group in np.array_split(np.arange(len(lessons)), min(len(lessons), 240)):
        told = [lessons[index] for index in group]
        documents.append([text for one in told for text in (one.rules, *(heard for heard, _ in one.turns), *one.words)])
    tokenizer = fit_tokenizer(documents, vocabulary_size=1536, phrase_share=0.3)
    said = Counter(part for lesson in lessons for words in lesson.words for part in re.split(r"(?<=[.?!])(?= )", words))
    often = sorted(sentence for sentence, count in said.items() if count >= 3)
    names = re.findall(r"<(\w+)>", Tagged("answer", "", "", 0, 0, 0, 0, 0).text())
    frame = ("<act>", *(f"</{one}><{two}>" for one, two in pairwise(names)), "</say>", *CUSTOMER_ACTS)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in (*frame, *often)])
    return tokenizer
