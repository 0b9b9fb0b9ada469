"""The words that a seat reads. All seats read the same but for their id and their data: nobody is given a role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fogline.envs.silo_bench.config import HintLevel, SiloConfig
from fogline.envs.silo_bench.spaces import DESCRIPTIONS, TOOLS
from fogline.envs.silo_bench.tasks.task import Problem, SiloTask

_CHANNELS: Mapping[str, str] = {
    "p2p": "You can send private messages to single agents.",
    "broadcast": "Whatever you send goes to all other agents.",
    "files": "You share a store of text files with the other agents; there are no messages.",
}
_EXAMPLES: Mapping[str, str] = {
    "target_id": "1",
    "content": "hello",
    "path": "notes/a.txt",
    "prefix": "notes/",
    "answer": "42",
}
_TOPOLOGIES: Mapping[str, str] = {
    "star": "one agent collects from all others, computes, and sends the result back to each",
    "chain": "agent 0 tells agent 1, which tells agent 2, and so on to the last",
    "both ways": "each agent exchanges with the agents right before and right after it",
    "all-to-all": "every agent exchanges with every other one",
}
_SCAFFOLDS: Mapping[str, str] = {
    "none": "",
    "planning": "The first round is for planning only: agree on a strategy; nothing can be submitted in it.",
    "reminder": "",
    "scratchpad": "Keep a shared workspace of intermediate results that all agents can build on, and say where it is.",
}
REMINDER = "Reminder: what you send is seen in the next round; wait and submit_result end your turn; submit once."


def rules(config: SiloConfig, agent: int) -> str:
    """The rules of the game for one seat: identity, channel, tools, rounds."""
    others = "You are the only agent." if config.n_agents == 1 else f"Agent ids run from 0 to {config.n_agents - 1}."
    parts = [
        f"You are agent {agent} of {config.n_agents}. {others}",
        "Together you compute one answer from data that is spread over all of you. "
        "Find out what depends on what, choose a way to share it, and send no more than is needed."
        if config.n_agents > 1
        else "Compute the answer from your data.",
        f"{_CHANNELS[config.protocol]} Time runs in rounds, at most {config.max_rounds}. In each round every agent "
        "acts once, all together; what is sent or written in a round is seen from the next one on, never earlier.",
        _tools(config),
        "A reply may hold several calls; they run in order. wait and submit_result end your turn. Only tools answer "
        "you: never make up a result. EVERY agent must submit an answer of its own before the rounds are over.",
        _limits(config),
        _SCAFFOLDS[config.scaffold],
    ]
    return "\n\n".join(part for part in parts if part)


def task_text(task: SiloTask, problem: Problem, agent: int, hint_level: HintLevel) -> str:
    """Task, data and form of the answer for one seat, with as many hints as ``hint_level`` allows."""
    wording = task.wording(problem, agent)
    shard = json.dumps(problem.shards[agent], ensure_ascii=False)
    parts = [f"# Task: {task.name}\n{wording.task}"]
    if hint_level != "none" and len(problem.shards) > 1:
        parts.append(f"# What you need\n{_dependency(task)}")
    if hint_level in ("algorithm", "topology"):
        parts.append(f"# How shards combine\n{wording.algorithm}")
    if hint_level == "topology" and len(problem.shards) > 1:
        parts.append(f"# Who talks to whom\nBest suited: {_TOPOLOGIES[task.topology]}.")
    if problem.public:
        parts.append(f"# Known to all agents\n{json.dumps(problem.public, ensure_ascii=False)}")
    parts.append(f"# Your data\n{shard}")
    parts.append(f"# Answer\n{wording.answer}")
    return "\n\n".join(parts)


def observation_text(observation: Mapping[str, Any]) -> str:
    """What a reading agent is shown of an observation: the prompt in the first round, then what is new."""
    number, left = int(observation["round"][0]), int(observation["rounds_left"][0])
    parts = [observation["prompt"]] if number == 1 else []
    parts.append(f"Round {number}; {left} more after it.")
    if observation["tool_results"] != "[]":
        parts.append(f"Results of your last calls: {observation['tool_results']}")
    if observation["inbox"] != "[]":
        parts.append(f"Messages that arrived: {observation['inbox']}")
    return "\n".join(parts)


def _dependency(task: SiloTask) -> str:
    if task.scope == "prefix":
        return "Your answer depends on your own data and on the data of all agents with a lower id."
    if task.scope == "neighbours":
        return "Your answer depends on your own data and on that of the agents right before and right after you."
    whose = "Each agent submits its own part of it" if task.segmented else "All agents must submit the same answer"
    return f"The answer depends on the data of all agents; nobody alone has enough. {whose}."


def _tools(config: SiloConfig) -> str:
    lines = ["Tools:"]
    for tool, arguments in TOOLS[config.protocol].items():
        lines.append(f"- {tool}({', '.join(arguments)}): {DESCRIPTIONS[tool]}")
        if config.actions == "text":
            inside = "".join(f"<{name}>{_EXAMPLES[name]}</{name}>" for name in arguments)
            lines.append(f"  <tool_call><tool>{tool}</tool><parameters>{inside}</parameters></tool_call>")
    if config.actions == "text":
        lines.append('JSON does as well: <tool_call>{"name": "wait", "arguments": {}}</tool_call>')
    return "\n".join(lines)


def _limits(config: SiloConfig) -> str:
    limits = []
    if config.max_message_chars is not None:
        limits.append(f"A message or file may have at most {config.max_message_chars} characters.")
    if config.action_budget is not None:
        limits.append(f"At most {config.action_budget} calls run in a round.")
    if config.topology != "complete":
        limits.append("Not every agent can reach every other one: a call to one that is out of reach says so.")
    return " ".join(limits)
