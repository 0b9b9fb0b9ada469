"""The task that fogline's trainer and its peer are timed on: one tiny model, fixed prompts, turns of fixed length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from fogline.core.rewards import RewardScheme
from fogline.core.spaces import UnicodeText
from fogline.envs.text import Response, TurnEnv

PAD = "<pad>"
NEVER = "<never>"
"""The tokenizer's end of text. The model has no row for it, so that both sides write every turn to its full length
without a filter on the logits, which would cost one of them more than the other."""

TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ {'user': 'U', 'assistant': 'A', 'tool': 'T'}[message.role] }}{{ message.content }}"
    "{%- for call in message.tool_calls or [] -%}{{ call.function.name }}{{ call.function.arguments | tojson }}"
    "{%- endfor -%}{{ '' if message.role == 'assistant' else '.' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}A{%- endif -%}"
)
"""A turn that was cut at its full length has no end token, so the assistant's turns have none."""

_FRAME = 3
"""Tokens around what the environment says: its header, its end, and the assistant's header."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PAIRS = 143
"""Tokens of two letters: nothing is read as one, but the policy writes them; the vocabulary has 400 with them."""

_REWARDED = "a"
_CHARACTERS = 100_000


@dataclass(frozen=True)
class Work:
    """What one update of either side does.

    Attributes:
        turns: Turns of an episode.
        prompts: Tasks in an update.
        group_size: Episodes of a task.
        prompt_tokens: Tokens before the first turn, all of the chat template's included.
        new_tokens: Tokens that the policy writes in every turn.
        observation_tokens: Tokens between two turns, all of the chat template's included.
        layers: Of the model.
        width: Of the model.
        threads: Of torch, on both sides.
        kl_coefficient: Above 0, so that a reference model scores every row.
        learning_rate: Of AdamW.
    """

    turns: int = 1
    prompts: int = 2
    group_size: int = 8
    prompt_tokens: int = 64
    new_tokens: int = 16
    observation_tokens: int = 16
    layers: int = 3
    width: int = 96
    threads: int = 1
    kl_coefficient: float = 0.04
    learning_rate: float = 1e-5

    @property
    def rows(self) -> int:
        """Episodes of an update."""
        return self.prompts * self.group_size

    @property
    def completion_tokens(self) -> int:
        """Tokens of an episode after its prompt."""
        return self.turns * self.new_tokens + (self.turns - 1) * self.observation_tokens

    @property
    def row_tokens(self) -> int:
        """Tokens of an episode."""
        return self.prompt_tokens + self.completion_tokens


def letters(count: int, start: int = 0) -> str:
    """``count`` letters, one token each; ``start`` makes a different text."""
    return "".join(_LETTERS[(start + 7 * index) % len(_LETTERS)] for index in range(count))


def prompt(work: Work, task: int) -> str:
    """What the user says first in task number ``task``."""
    return letters(work.prompt_tokens - _FRAME, start=task)


def observation(work: Work) -> str:
    """What every turn is answered with."""
    return letters(work.observation_tokens - _FRAME, start=5)


def score(text: str) -> float:
    """A reward that costs next to nothing and differs between samples."""
    return text.count(_REWARDED) / max(len(text), 1)


def save_model(work: Work, folder: Path) -> None:
    """Write a randomly initialised Llama and its tokenizer into ``folder``, the same ones for the same ``work``."""
    pairs = [first + second for first in _LETTERS for second in _LETTERS][:_PAIRS]
    tokens = [PAD, *sorted(ByteLevel.alphabet()), *pairs, NEVER]
    backend = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, []))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = ByteLevelDecoder()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, pad_token=PAD, eos_token=NEVER, chat_template=TEMPLATE
    )
    config = LlamaConfig(
        vocab_size=len(tokens) - 1,
        hidden_size=work.width,
        intermediate_size=2 * work.width,
        num_hidden_layers=work.layers,
        num_attention_heads=4,
        max_position_embeddings=2 * work.row_tokens,
        pad_token_id=tokens.index(PAD),
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Neither progress bars nor warnings of transformers, which would mix with the report."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


class FixedTurns(TurnEnv[str, str]):
    """Answers every turn with the same words and ends after a fixed number of turns.

    Args:
        work: How long prompts, answers and episodes are.
    """

    # Gymnasium declares it on the instance.
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4, "name": "FixedTurns"}  # noqa: RUF012
    reward_scheme: RewardScheme = RewardScheme(turn={"score": 1.0}, session={"end": 0.0})

    def __init__(self, work: Work) -> None:
        super().__init__(tuple(str(task) for task in range(work.prompts)))
        self.observation_space = UnicodeText(_CHARACTERS)
        self.action_space = UnicodeText(_CHARACTERS)
        self._work = work
        self._observation = observation(work)
        self._turn = 0

    def begin(self, task_id: str) -> tuple[str, dict[str, Any]]:
        """Say the task's prompt."""
        self._turn = 0
        return prompt(self._work, int(task_id)), {}

    def respond(self, action: str) -> Response:
        """Score the turn."""
        self._turn += 1
        outcome = {"end": 1.0} if self._turn == self._work.turns else None
        return Response(self._observation, "go", {"score": score(action)}, outcome=outcome)


def episode_score(texts: Iterable[str]) -> float:
    """What :class:`FixedTurns` pays for an episode of these turns."""
    return sum(score(text) for text in texts)
