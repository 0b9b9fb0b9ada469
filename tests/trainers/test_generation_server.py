"""A policy that a server samples for plays and learns as one in this process, and weights of another age are found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web

from fogline.agents.collector import collect_all
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import episode_texts, fit_tokenizer, tiny_causal_lm
from fogline.agents.rollout import Assignment
from fogline.agents.scripted.math_reasoning import CalculatorAgent
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError, DataError, InfrastructureError
from fogline.envs.math_reasoning.env import MathReasoningEnv
from fogline.envs.trust_sql.env import TrustSQLEnv
from fogline.trainers.batch import batch_of
from fogline.trainers.config import PolicyConfig, RolloutConfig, TrainConfig
from fogline.trainers.generation_probe import Capabilities, capabilities_of
from fogline.trainers.generation_server import Generator, generation_app
from fogline.trainers.learner import LearnerConfig
from fogline.trainers.rollouts import StaleWeights
from fogline.trainers.served_policy import ServedPolicy
from fogline.trainers.serving import serve
from fogline.trainers.setup import make_trainer
from fogline.trainers.teacher_wire import packed
from fogline.trainers.whole import scored_parts

torch.set_num_threads(1)


def env() -> MathReasoningEnv:
    return MathReasoningEnv("arithmetic", difficulty=[1, 2], tasks_per_level=8, prompt="short")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    tasks = [Assignment(task, 0) for task in env().task_ids]
    return fit_tokenizer(episode_texts(collect_all(env, CalculatorAgent(), tasks)), vocabulary_size=128, piece_length=1)


def made(tokenizer: Any, seed: int = 0) -> Any:
    return tiny_causal_lm(tokenizer, layers=2, width=32, context=4096, seed=seed)


OPTIONS: dict[str, Any] = {"max_new_tokens": 6, "rules": False}


class Servers:
    """Real servers, each in a thread of its own."""

    def start(self, app: web.Application) -> str:
        found: list[str] = []
        ready = threading.Event()

        def told(address: str) -> None:
            found.append(address)
            ready.set()

        threading.Thread(target=serve, args=(app, "127.0.0.1", 0, told), daemon=True).start()
        assert ready.wait(20)
        return found[0]


@pytest.fixture(scope="module")
def start() -> Callable[[web.Application], str]:
    return Servers().start


@pytest.fixture
def url(tokenizer: Any, start: Callable[[web.Application], str]) -> Iterator[str]:
    """A server that was started with other weights than any trainer has."""
    yield start(generation_app(CausalLMPolicy(made(tokenizer, 99), tokenizer, **OPTIONS)))


def talk() -> TrustSQLEnv:
    """Answers whatever is said, so that there are several turns."""
    return TrustSQLEnv(max_turns=3)


def played(policy: CausalLMPolicy, place: Callable[[], Any] = env) -> list[Episode]:
    wanted = [Assignment(task, seed) for task in place().task_ids[:6] for seed in range(3)]
    return collect_all(place, policy, wanted, concurrency=18)


@pytest.mark.parametrize(
    ("place", "dtype", "greedy"),
    [(talk, "float64", False), (talk, "float64", True), (env, "float32", False)],
)
def test_it_writes_what_one_process_writes_and_its_log_probabilities_are_those_of_scoring(
    tokenizer: Any, start: Callable[[web.Application], str], place: Callable[[], Any], dtype: str, greedy: bool
) -> None:
    options = {**OPTIONS, "dtype": dtype}
    url = start(generation_app(CausalLMPolicy(made(tokenizer, 99), tokenizer, **options)))
    local = CausalLMPolicy(made(tokenizer), tokenizer, **options)
    served = ServedPolicy(made(tokenizer), tokenizer, server=url, **options)
    local.greedy = served.greedy = greedy
    expected, found = played(local, place), played(served, place)
    assert (max(len(item.turns) for item in found) > 1) == (place is talk)
    for one, other in zip(expected, found, strict=True):
        assert [turn.action_token_ids for turn in one.turns] == [turn.action_token_ids for turn in other.turns]
        assert [turn.context_token_ids for turn in one.turns] == [turn.context_token_ids for turn in other.turns]
        assert one.reward == other.reward
    batch = batch_of(found, served, dtype=torch.float64)
    scored = local.score(*scored_parts(batch)).logp
    written = batch.policy_mask
    torch.testing.assert_close(batch.behaviour_logp[written], scored[written].double(), atol=1e-5, rtol=0)


def trained(tokenizer: Any, folder: Path, model: Path, server: str | None) -> tuple[dict[str, Any], CausalLMPolicy]:
    config = TrainConfig(
        recipe="grpo",
        env="MathReasoning-v0",
        env_kwargs={"difficulty": [1, 2], "tasks_per_level": 8, "prompt": "short"},
        updates=2,
        policy=PolicyConfig(model=str(model), server=server, max_new_tokens=6),
        rollout=RolloutConfig(tasks_per_update=4, group_size=4, correct_above=-1.0),
        learner=LearnerConfig(learning_rate=1e-2),
        out=str(folder),
    )
    trainer = make_trainer(config)
    rows = [trainer.step(), trainer.step()]
    trainer.close()
    assert isinstance(trainer.policy, CausalLMPolicy)
    return rows[-1], trainer.policy


def test_training_by_a_server_is_training_in_one_process(
    tokenizer: Any, start: Callable[[web.Application], str], tmp_path: Path
) -> None:
    CausalLMPolicy(made(tokenizer, 3), tokenizer).save(tmp_path / "model")
    served = CausalLMPolicy(tmp_path / "model", max_new_tokens=6)
    row, local = trained(tokenizer, tmp_path / "local", tmp_path / "model", None)
    other, far = trained(tokenizer, tmp_path / "far", tmp_path / "model", start(generation_app(served)))
    assert isinstance(far, ServedPolicy)
    assert row["train/reward"] == other["train/reward"]
    for name, weight in local.model.named_parameters():
        torch.testing.assert_close(weight, far.model.get_parameter(name), atol=1e-5, rtol=0)
    begun = CausalLMPolicy(tmp_path / "model").model
    assert any(not torch.equal(weight, begun.get_parameter(name)) for name, weight in local.model.named_parameters())
    # The weights of the last update were never asked for: the server has those of the one before.
    assert (served.version, far.version) == (1, 2)


def test_a_batch_of_stale_weights_is_found_by_its_version(tokenizer: Any, url: str, tmp_path: Path) -> None:
    from fogline.trainers.recipes import make_recipe
    from fogline.trainers.trainer import Trainer

    served = ServedPolicy(made(tokenizer), tokenizer, server=url, synchronise=False, **OPTIONS)
    config = TrainConfig(
        recipe="grpo",
        env="MathReasoning-v0",
        rollout=RolloutConfig(tasks_per_update=2, group_size=2),
        out=str(tmp_path),
    )
    trainer = Trainer(served, make_recipe("grpo"), config, env, env().task_ids)
    served.push()
    trainer.step()
    before = [weight.clone() for weight in served.model.parameters()]
    with pytest.raises(StaleWeights, match=r"version 0 of the weights of 'causal-lm', and version 1 is about to learn"):
        trainer.step()
    assert all(torch.equal(one, other) for one, other in zip(before, served.model.parameters(), strict=True))
    served.push()
    assert trainer.step()["update"] == 2
    trainer.close()


def test_a_server_that_began_again_or_serves_somebody_else_gets_our_weights_again(tokenizer: Any, url: str) -> None:
    one, other = (ServedPolicy(made(tokenizer, seed), tokenizer, server=url, **OPTIONS) for seed in (1, 2))
    first = [item.turns[0].action_token_ids for item in played(one)]
    assert [item.turns[0].action_token_ids for item in played(other)] != first
    assert [item.turns[0].action_token_ids for item in played(one)] == first


def test_what_does_not_fit_is_refused(tokenizer: Any, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"temperature is 1.0 there and 0.5 here"):
        ServedPolicy(made(tokenizer), tokenizer, server=url, temperature=0.5, **OPTIONS)
    with pytest.raises(ConfigurationError, match=r"stop is .* there and .*'x'"):
        ServedPolicy(made(tokenizer), tokenizer, server=url, stop=["x"], **OPTIONS)
    with pytest.raises(ConfigurationError, match="leave lora out"):
        ServedPolicy(made(tokenizer), tokenizer, server=url, lora={"r": 2}, **OPTIONS)
    with pytest.raises(ConfigurationError, match="expected http://HOST:PORT"):
        ServedPolicy(made(tokenizer), tokenizer, server="localhost:1", **OPTIONS)
    wide = tiny_causal_lm(tokenizer, layers=2, width=64, context=4096)
    with pytest.raises(ConfigurationError, match="weights of another model"):
        ServedPolicy(wide, tokenizer, server=url, **OPTIONS).push()
    with pytest.raises(InfrastructureError, match="nothing answers"):
        ServedPolicy(made(tokenizer), tokenizer, server="http://127.0.0.1:9", **OPTIONS)


def question(**changed: Any) -> bytes:
    asked = {
        "tokens": torch.tensor([[4, 5, 6]]),
        "lengths": torch.tensor([3]),
        "limits": torch.tensor([2]),
        "uniforms": torch.full((1, 2), 0.5, dtype=torch.float64),
    }
    return packed({**asked, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tokens": torch.tensor([[4, 5, 5000]])}, "ids from 4 to 5000"),
        ({"lengths": torch.tensor([4])}, "lengths up to 4 of 3 tokens"),
        ({"limits": torch.tensor([3])}, "limits up to 3 with 2 random numbers"),
        ({"limits": torch.tensor([0])}, "the least is 0"),
        ({"lengths": torch.tensor([3, 3])}, r"expected \[N,T\]"),
        ({"limits": None}, "limits is missing"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(tokenizer: Any, changed: dict[str, Any], message: str) -> None:
    generator = Generator(CausalLMPolicy(made(tokenizer), tokenizer, **OPTIONS))
    assert generator.generate(question())
    with pytest.raises(DataError, match=message):
        generator.generate(question(**changed))
    with pytest.raises(DataError, match="no tensors"):
        generator.generate(b"garbage")


def test_the_probe_knows_ours_and_refuses_to_train_by_what_lacks_something(url: str) -> None:
    assert capabilities_of(url) == Capabilities(url, "fogline", True, True, True)
    capabilities_of(url).require_training()
    with pytest.raises(ConfigurationError, match=r"does without: new weights over HTTP\. Sample in this process"):
        Capabilities("http://x", "openai", True, True).require_training()


def openai(choice: dict[str, Any]) -> web.Application:
    """What an OpenAI API says that returns what it is asked for, or leaves it out."""

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "some"}]})

    async def completions(request: web.Request) -> web.Response:
        asked = await request.json()
        assert (asked["model"], asked["max_tokens"], asked["return_token_ids"]) == ("some", 1, True)
        return web.json_response({"choices": [choice]})

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.post("/v1/completions", completions)])
    return app


@pytest.mark.parametrize(
    ("choice", "ids", "logp"),
    [
        ({"text": "a", "token_ids": [7], "logprobs": {"token_logprobs": [-0.1]}}, True, True),
        ({"text": "a", "logprobs": {"token_logprobs": [-0.1]}}, False, True),
        ({"text": "a", "token_ids": [7], "logprobs": None}, True, False),
        ({"text": "a"}, False, False),
    ],
)
def test_the_probe_believes_what_comes_back(
    start: Callable[[web.Application], str], choice: dict[str, Any], ids: bool, logp: bool
) -> None:
    address = start(openai(choice))
    assert capabilities_of(address + "/v1") == Capabilities(address, "openai", ids, logp, False)


def test_what_is_no_such_server_is_unknown(start: Callable[[web.Application], str]) -> None:
    address = start(web.Application())
    assert capabilities_of(address) == Capabilities(address, "unknown")
