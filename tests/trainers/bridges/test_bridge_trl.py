from __future__ import annotations

import doctest
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from bridged import TEXT_WORLDS, native, played, rewards
from transformers.utils import get_json_schema
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_chat_template
from unsteady import Outages

import fogline.trainers.bridges.trl as bridge
from fogline.agents.policies.tiny import fit_tokenizer, tiny_causal_lm
from fogline.core.errors import ConfigurationError
from fogline.trainers.bridges.session import Seeds, Session
from fogline.trainers.bridges.trl import environment_factory, prompts, reward_function

torch.set_num_threads(1)

GROUP = 4
MATH = "MathReasoning-v0"
WORD = '<tool_call>\n{"name": "respond", "arguments": {"text": "word"}}\n</tool_call>'


@pytest.fixture(autouse=True)
def no_outage_is_left_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    Outages.left = Outages.unmade = 0
    yield
    Outages.left = Outages.unmade = 0


def configured(folder: Path, **changed: Any) -> GRPOConfig:
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "num_generations": GROUP,
        "per_device_train_batch_size": GROUP,
        "max_steps": 3,
        "max_completion_length": 24,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 3,
    }
    return GRPOConfig(**{**given, **changed})


class Watched:
    """A reward function that notes what it was asked and what it said."""

    def __init__(self, function: Any) -> None:
        self.__name__ = function.__name__
        self._function = function
        self.calls: list[tuple[dict[str, Any], list[float | None]]] = []

    def __call__(self, **keywords: Any) -> list[float | None]:
        said = self._function(**keywords)
        self.calls.append((keywords, said))
        return list(said)


def taught(model: Any, tokenizer: Any, lessons: Sequence[tuple[list[dict[str, str]], str]], rounds: int) -> None:
    """Teach a model to answer conversations with a phrase that is one token."""
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(rounds):
        for asked, answer in lessons:
            opened = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
            said = [tokenizer.convert_tokens_to_ids(answer), tokenizer.eos_token_id]
            ids = torch.tensor([[*opened, *said]])
            labels = ids.clone()
            labels[:, : -len(said)] = -100
            model(input_ids=ids, labels=labels).loss.backward()
            optimiser.step()
            optimiser.zero_grad()


def test_the_rewards_of_a_grpo_run_are_the_native_ones_of_its_completions(tmp_path: Path) -> None:
    data = prompts(MATH, limit=2)
    right, wrong = "<answer>11</answer>", "<answer>12</answer>"
    documents = [message["content"] for row in data for message in row["prompt"]]
    tokenizer = fit_tokenizer(documents, vocabulary_size=400, phrases=[right, wrong])
    model = tiny_causal_lm(tokenizer, layers=2, width=32, induction=False)
    taught(model, tokenizer, [(row["prompt"], answer) for row in data for answer in (right, wrong)], rounds=15)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    reward = Watched(reward_function(MATH))
    trainer = GRPOTrainer(model, reward, args=configured(tmp_path), train_dataset=data, processing_class=tokenizer)
    trainer.train()
    logged = [row[f"rewards/{MATH}/mean"] for row in trainer.state.log_history if f"rewards/{MATH}/mean" in row]
    assert len(logged) == len(reward.calls) == trainer.state.global_step == 3
    for mean, (asked, said) in zip(logged, reward.calls, strict=True):
        (task_id,) = set(asked["task_id"])
        texts = [completion[0]["content"] for completion in asked["completions"]]
        replayed = [native(MATH, {}, task_id, seed, [text]).reward for seed, text in enumerate(texts)]
        assert said == replayed
        assert mean == pytest.approx(sum(replayed) / GROUP)
    # TRL keeps the rewards of its last batch.
    assert list(trainer._logs["rewards"][MATH]) == reward.calls[-1][1]
    assert {value for _, said in reward.calls for value in said} == {0.0, 1.0}
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(("env_id", "keywords", "task_id", "agent"), TEXT_WORLDS)
def test_tool_calls_earn_the_native_rewards(env_id: str, keywords: Mapping[str, Any], task_id: str, agent: str) -> None:
    """Every native action is a tool call of the environment's own, or what ``respond`` says."""
    expected = played(env_id, keywords, task_id, agent, seed=5)
    env = environment_factory(env_id, keywords, seeds=Seeds(5))()
    session = Session(env_id, keywords)
    assert env.reset(task_id=task_id) == session.reset(task_id, 5)
    calls = [call_of(env_id, turn.action) for turn in expected.turns]
    for name, arguments in calls:
        getattr(env, name)(**arguments)
    if session.tools:
        # The same calls in the environment's own spelling, which may differ from the scripted agent's.
        spelled = [session.tool_action(name, arguments) for name, arguments in calls]
        expected = native(env_id, keywords, task_id, 5, spelled)
    session.close()
    assert expected.reward != 0.0
    assert env.get_reward() == expected.reward
    assert rewards(env.session.episode()) == rewards(expected)


def call_of(env_id: str, action: str) -> tuple[str, dict[str, Any]]:
    """The tool call that a scripted agent's action stands for."""
    if env_id == "SalesDialogue-v0":
        return "say", {"text": action}
    if env_id == "SiloBench-v0":
        call = json.loads(action.split("<tool_call>")[1].split("</tool_call>")[0])
        return call["name"], call["arguments"]
    if env_id != "TrustSQL-v0":
        return "respond", {"text": action}
    name = action.split("<action>")[1].split("</action>")[0]
    if name == "propose_schema":
        return name, json.loads(action.split("<schema>")[1].split("</schema>")[0])
    if name == "confirm_answer":
        return name, {"sql": action.split("```sql\n")[1].split("\n```")[0]}
    call = json.loads(action.split("<tool_call>")[1].split("</tool_call>")[0])
    return name, {"sql": call["arguments"]["sql"]}


def test_the_tools_that_trl_shows_are_the_environments() -> None:
    session = Session("TrustSQL-v0")
    env = environment_factory("TrustSQL-v0")()
    for tool in session.tools:
        own = tool["function"]
        shown = get_json_schema(getattr(env, own["name"]))["function"]
        assert shown["description"] == own["description"]
        assert set(shown["parameters"]["properties"]) == set(own["parameters"]["properties"])
        assert set(shown["parameters"]["required"]) == set(own["parameters"]["required"])
        for name, described in own["parameters"]["properties"].items():
            assert shown["parameters"]["properties"][name]["type"] == described["type"]
    session.close()


def speaker() -> tuple[Any, Any]:
    """A tiny model that was taught to make one tool call after another, in TRL's format for Qwen3."""
    texts = ["system user assistant tool one two turn 0 1 2 3 4 5 6 7 8 9", qwen3_chat_template]
    marks = ["<|im_start|>", "<|im_end|>", "<tool_response>", "</tool_response>", WORD]
    tokenizer = fit_tokenizer(texts, vocabulary_size=420, phrases=marks)
    tokenizer.chat_template = qwen3_chat_template
    tokenizer.eos_token = "<|im_end|>"
    model = tiny_causal_lm(tokenizer, layers=2, width=32, context=4096, induction=False)
    openings = ("one 123", "two 4", "turn 1", "turn 2", "")
    taught(model, tokenizer, [([{"role": "user", "content": text}], WORD) for text in openings], rounds=40)
    return model, tokenizer


@pytest.mark.parametrize("outages", [0, 3])
def test_a_grpo_run_plays_episodes_by_tool_calls(tmp_path: Path, outages: int) -> None:
    """Each rollout has a seed of its own; one that broke has no reward and no advantage."""
    model, tokenizer = speaker()
    made: list[Any] = []
    factory = environment_factory("unsteady:make")

    def noted() -> Any:
        made.append(factory())
        return made[-1]

    trainer = GRPOTrainer(
        model,
        args=configured(tmp_path, max_steps=1, max_completion_length=400, temperature=0.1),
        train_dataset=prompts("unsteady:make", limit=1, opening=False),
        processing_class=tokenizer,
        environment_factory=noted,
    )
    Outages.left = outages
    trainer.train()
    episodes = [env.session.episode() for env in made]
    assert sorted(episode.seed for episode in episodes) == [0, 1, 2, 3]
    assert {episode.task_id for episode in episodes} == {"one"}
    assert any(len(episode.turns) == 3 for episode in episodes)
    (logged,) = trainer._logs["rewards"].values()
    for value, episode in zip(logged, episodes, strict=True):
        if episode.reward is None:
            assert math.isnan(value)
        else:
            again = native("unsteady:make", {}, "one", episode.seed, [turn.action for turn in episode.turns])
            assert value == pytest.approx(again.reward, abs=1e-6)
    lost = [number for number, episode in enumerate(episodes) if episode.status == "infra_error"]
    assert len(lost) == (outages > 0)
    assert [list(trainer._logs["advantages"])[number] for number in lost] == [0.0] * len(lost)


def test_an_outage_is_no_reward_of_a_reward_function() -> None:
    row = prompts(MATH, limit=1)[0]
    reward = reward_function(MATH)
    assert reward(prompts=[row["prompt"]], completions=["11"], task_id=[row["task_id"]], seed=[0]) in ([0.0], [1.0])
    env = environment_factory("unsteady:make", retries=0)()
    env.reset("one")
    env.respond("word")
    Outages.left = 1
    assert "out of order" in env.respond("word")
    assert env.get_reward() is None
    assert "out of order" in env.respond("word")


def test_what_a_reward_function_cannot_score_is_refused() -> None:
    row = prompts("TrustSQL-v0", limit=1)[0]
    asked = {"prompts": [row["prompt"]], "completions": ["x"], "task_id": [row["task_id"]], "seed": [0]}
    with pytest.raises(ConfigurationError, match="environment_factory"):
        reward_function("TrustSQL-v0")(**asked)
    row = prompts("unsteady:make", limit=1)[0]
    asked = {"prompts": [row["prompt"]], "completions": ["x"], "task_id": [row["task_id"]], "seed": [1]}
    with pytest.raises(ConfigurationError, match="depends on the seed"):
        reward_function("unsteady:make")(**asked)
    with pytest.raises(ConfigurationError, match="n_agents=1"):
        environment_factory("SiloBench-v0", {"n_agents": 3})


def test_the_seeds_of_a_group_are_counted_from_the_rows() -> None:
    factory = environment_factory("unsteady:make")
    row = prompts("unsteady:make", limit=1, seed=40, opening=False)[0]
    group = [factory() for _ in range(3)]
    openings = [env.reset(**row) for env in group]
    assert [env.session.episode().seed for env in group] == [40, 41, 42]
    assert len(set(openings)) == 3


def test_a_group_spread_over_processes_has_distinct_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL scores in each process the completions that it sampled there: a group may lie in several."""
    row = prompts(MATH, limit=1, seed=7)[0]
    reward, seeds = reward_function(MATH), []
    reset = Session.reset

    def noted(self: Session, task_id: str = "", seed: int = 0) -> Any:
        seeds.append(seed)
        return reset(self, task_id, seed)

    monkeypatch.setattr(Session, "reset", noted)
    for rank in range(2):
        monkeypatch.setattr("accelerate.PartialState", lambda rank=rank: Process(rank, 2))
        columns = {"task_id": [row["task_id"]] * 3, "seed": [row["seed"]] * 3}
        reward(prompts=[row["prompt"]] * 3, completions=["11"] * 3, **columns)
    assert sorted(seeds) == list(range(7, 13))


class Process(NamedTuple):
    """What accelerate says of one process of a launch."""

    process_index: int
    num_processes: int


def test_an_outage_while_the_environment_is_made_is_no_reward() -> None:
    env = environment_factory("unsteady:make", retries=1)()
    env.reset("one")
    env.respond("word")
    Outages.left = Outages.unmade = 1
    assert "out of order" in env.respond("word")
    assert env.get_reward() is None
    assert env.session.episode().status == "infra_error"


def test_the_example_of_the_bridge_runs() -> None:
    assert doctest.testmod(bridge).failed == 0
