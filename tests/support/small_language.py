"""Small language models, and a game of words with conversations of any length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import gymnasium
import torch
from gymnasium import spaces

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.tiny import fit_tokenizer

TEXTS = ["the cat sees a dog", "the dog hears a cat", "the owl sees the dog and the cat"]
FAMILIES = ("llama", "qwen2", "gpt2")


@cache
def tokenizer() -> Any:
    """Words of a small world; shared, because nothing changes it."""
    return fit_tokenizer(TEXTS, vocabulary_size=160)


def small_model(family: str = "llama", dtype: torch.dtype = torch.float64, context: int = 256, seed: int = 0) -> Any:
    """Two layers, untrained but opinionated."""
    size, end = len(tokenizer()), tokenizer().eos_token_id
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    built: Any
    ends = {"bos_token_id": None, "eos_token_id": end}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "gpt2":
            shape = {"n_positions": context, "n_embd": 24, "n_layer": 2, "n_head": 3}
            built = GPT2LMHeadModel(GPT2Config(vocab_size=size, initializer_range=0.2, **ends, **shape))
        else:
            shape = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2}
            heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": context}
            config, kind = (LlamaConfig, LlamaForCausalLM) if family == "llama" else (Qwen2Config, Qwen2ForCausalLM)
            built = kind(config(vocab_size=size, initializer_range=0.2, **ends, **shape, **heads))
    return built.to(dtype)


def small_policy(family: str = "llama", dtype: torch.dtype = torch.float64, **options: Any) -> CausalLMPolicy:
    """A policy of a few words a turn."""
    model = small_model(family, dtype, options.pop("context", 256), options.pop("seed", 0))
    return CausalLMPolicy(model, tokenizer(), **{"max_new_tokens": 6, **options})


def view(name: str, observation: str, rules: str = "") -> SeatView:
    """A seat that sees something for the first time."""
    seat = SeatView("Words-v0", name, "agent", None, entropy=(len(name), *name.encode()), system_prompt=rules)
    seat.observation = observation
    return seat


def act(policy: CausalLMPolicy, views: Sequence[SeatView]) -> list[Decision]:
    """Decisions, where none may fail."""
    answers = policy.act(views)
    decisions = [answer for answer in answers if isinstance(answer, Decision)]
    assert len(decisions) == len(views), answers
    return decisions


def rows_of(histories: Sequence[Sequence[Decision]], padding: int = 0) -> tuple[torch.Tensor, ...]:
    """Tokens, attention mask, policy mask and stored log-probabilities of conversations, padded on the right."""
    rows = [[(ids, own) for turn in turns for ids, own in _halves(turn)] for turns in histories]
    length = max(sum(len(ids) for ids, _ in row) for row in rows) + padding
    tokens = torch.zeros(len(rows), length, dtype=torch.int64)
    exists, wrote = torch.zeros(len(rows), length, dtype=torch.bool), torch.zeros(len(rows), length, dtype=torch.bool)
    logps = torch.zeros(len(rows), length, dtype=torch.float64)
    for index, row in enumerate(rows):
        at = 0
        for ids, own in row:
            tokens[index, at : at + len(ids)] = torch.tensor(ids, dtype=torch.int64)
            exists[index, at : at + len(ids)] = True
            wrote[index, at : at + len(ids)] = own
            at += len(ids)
        logps[index, wrote[index]] = torch.tensor(
            [value for turn in histories[index] for value in turn.logps], dtype=torch.float64
        )
    return tokens, exists, wrote, logps


def _halves(turn: Decision) -> tuple[tuple[tuple[int, ...], bool], tuple[tuple[int, ...], bool]]:
    return (turn.context_token_ids, False), (turn.action_token_ids, True)


class WordsEnv(gymnasium.Env[str, str]):
    """Shows as many words as the seed says, and ends after ``length-N`` turns; a word of the action is worth 1."""

    metadata: ClassVar[dict[str, Any]] = {"name": "Words-v0", "render_modes": []}
    system_prompt = "the owl sees"

    def __init__(self) -> None:
        self.observation_space = spaces.Text(1000)
        self.action_space = spaces.Text(1000)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.task_id = str((options or {}).get("task_id", "length-2"))
        self.left = int(self.task_id.partition("-")[2])
        return self._words(), {"task_id": self.task_id}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        reward = float("cat" in action)
        over = self.left == 0
        info = {"outcome": {"words": reward}, "metrics": {}} if over else {}
        return self._words(), reward, over, False, info

    def _words(self) -> str:
        words = ["cat", "dog", "owl", "sees", "hears"]
        return " ".join(words[index] for index in self.np_random.integers(5, size=int(self.np_random.integers(1, 9))))
