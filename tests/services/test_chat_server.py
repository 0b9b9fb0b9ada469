"""The chat client and agent against a real server: `transformers serve` with a tiny checkpoint made here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from model_server import model_server, require_server

from fogline.agents.agent import SeatView
from fogline.agents.chat import ChatAgent
from fogline.core.chat import ChatPiece, ChatRequest, OpenAIChatModel
from fogline.core.chat.errors import BadRequest, ChatError
from fogline.core.spaces import UnicodeText

pytestmark = pytest.mark.services

T = TypeVar("T")

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
ASK = ChatRequest(
    messages=({"role": "system", "content": "the rules"}, {"role": "user", "content": "say it"}),
    temperature=0.0,
    max_tokens=8,
)


def make_checkpoint(folder: Path, kind: str, template: str) -> Path:
    """Write an untrained model of a few thousand weights with an ASCII tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    # Every token is whole characters: the server's stream never sends the rest of a cut one.
    alphabet = sorted(letter for letter in pre_tokenizers.ByteLevel.alphabet() if letter.isascii())
    blank_and_newline = ["Ġ", "Ċ"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=alphabet + blank_and_newline,
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the rules say it system user assistant"] * 4, trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.eos_token_id,
    )
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    # The server only samples, whatever temperature is asked for, where the checkpoint says that it may.
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    return folder


class Served:
    """A running server and the checkpoints it serves."""

    def __init__(self, url: str, llama: Path, echoing: Path) -> None:
        self.url = url
        self.llama = str(llama)
        self.echoing = str(echoing)

    def play(self, scenario: Callable[[OpenAIChatModel], Awaitable[T]], model: str | None = None, **options: Any) -> T:
        async def run() -> T:
            options.setdefault("timeout_s", 60.0)
            async with OpenAIChatModel(model or self.llama, base_url=f"{self.url}/v1", **options) as client:
                return await scenario(client)

        return asyncio.run(run())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    require_server()
    folder = tmp_path_factory.mktemp("served")
    llama = make_checkpoint(folder / "llama", "Llama", CHATML)
    # A type with a built-in response parser whose marker this template lacks: the server echoes the prompt.
    echoing = make_checkpoint(folder / "echoing", "Qwen3", PLAIN)
    with model_server(folder) as url:
        yield Served(url.removesuffix("/v1"), llama, echoing)


async def pieces_of(model: OpenAIChatModel, request: ChatRequest = ASK) -> list[ChatPiece]:
    return [piece async for piece in model.stream(request)]


def test_a_plain_answer_is_counted_and_repeats(served: Served) -> None:
    async def scenario(model: OpenAIChatModel) -> None:
        one, other = await model.complete(ASK), await model.complete(ASK)
        assert one == other
        assert one.text
        assert one.finish_reason == "length"
        assert one.completion_tokens == 8
        assert one.prompt_tokens is not None and one.prompt_tokens > 8
        assert one.echo == ""
        assert model.meter.completion_tokens == 16

    served.play(scenario)


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_a_streamed_answer_equals_the_plain_one(served: Served, transport: Any) -> None:
    async def scenario(model: OpenAIChatModel) -> None:
        whole, pieces = await model.complete(ASK), await pieces_of(model)
        assert len(pieces) > 2
        assert "".join(piece.text for piece in pieces) == whole.text
        assert pieces[-1].reply == whole

    served.play(scenario, transport=transport)


def test_seeds_decide_samples(served: Served) -> None:
    async def scenario(model: OpenAIChatModel) -> list[str]:
        asks = [ChatRequest(ASK.messages, temperature=1.0, max_tokens=12, seed=seed) for seed in (1, 1, 2, 3)]
        return [(await model.complete(ask)).text for ask in asks]

    first, again, *others = served.play(scenario)
    assert first == again
    assert set(others) != {first}


@pytest.mark.parametrize("streaming", [False, True])
def test_the_agent_plays_two_turns(served: Served, streaming: bool) -> None:
    async def scenario(model: OpenAIChatModel) -> tuple[list[Any], SeatView]:
        agent = ChatAgent(model, max_tokens=6, streaming=streaming)
        view = SeatView("Env-v0", "task", "agent", UnicodeText(), system_prompt="the rules")
        decisions = []
        for view.observation in ("say it", "say it again"):
            decisions += await agent.act([view])
        return decisions, view

    decisions, view = served.play(scenario)
    assert all(isinstance(decision.action, str) and decision.action for decision in decisions)
    assert all(decision.usage.completion_tokens == 6 for decision in decisions)
    assert decisions[1].usage.prompt_tokens > decisions[0].usage.prompt_tokens + 6
    assert [message["role"] for message in view.memory["chat.history"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]


@pytest.mark.parametrize("turns", [1, 3])
def test_the_echo_of_the_prompt_is_removed(served: Served, turns: int) -> None:
    said = [{"role": "system", "content": "the rules"}, {"role": "user", "content": "say it"}]
    said += [{"role": "assistant", "content": "it"}, {"role": "user", "content": "say it again"}] * (turns - 1)
    request = ChatRequest(tuple(said), temperature=0.0, max_tokens=6)
    prompt = "".join(f"{message['role']}: {message['content']}\n" for message in said) + "assistant:"

    async def scenario(model: OpenAIChatModel) -> None:
        reply = await model.complete(request)
        assert reply.echo.rstrip() == prompt
        assert not reply.text.startswith("system")
        assert model.meter.echoes == 1
        streamed = (await pieces_of(model, request))[-1].reply
        assert streamed is not None and streamed.echo == reply.echo
        model._remove_echo = False
        assert (await model.complete(request)).text == reply.echo + reply.text

    served.play(scenario, model=served.echoing)


def test_a_field_that_the_server_does_not_know_is_a_bad_request(served: Served) -> None:
    async def scenario(model: OpenAIChatModel) -> None:
        with pytest.raises(BadRequest, match="422") as caught:
            await model.complete(ChatRequest(ASK.messages, extra={"no_such_field": 1}))
        assert "no_such_field" in str(caught.value)
        assert model.meter.attempts == 1

    served.play(scenario)


def test_a_model_that_is_not_there_is_a_typed_error(served: Served) -> None:
    async def scenario(model: OpenAIChatModel) -> None:
        with pytest.raises(ChatError):
            await model.complete(ASK)
        assert sum(model.meter.failures.values()) == 1

    served.play(scenario, model=f"{served.llama}-missing", max_retries=1, backoff_s=0.01)


def test_it_can_evaluate_a_policy_but_not_be_trained_by(served: Served) -> None:
    from fogline.core.errors import ConfigurationError
    from fogline.trainers.generation_probe import capabilities_of

    found = capabilities_of(served.url, model=str(served.llama))
    assert found.kind == "openai" and not found.weights
    with pytest.raises(ConfigurationError, match="new weights over HTTP"):
        found.require_training()
