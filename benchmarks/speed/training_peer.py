"""TRL's ``GRPOTrainer`` on the task of :mod:`fogline.benchmarks.speed.training_task`, at its fastest settings."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from fogline.benchmarks.speed.timing import MeasurementFailed
from fogline.benchmarks.speed.training_task import Work, episode_score, observation, prompt, quiet, save_model


class EveryReplyIsACall(PreTrainedTokenizerFast):
    """A tokenizer that reads every completion as a call of the tool ``answer``.

    A model of random weights never writes a valid call. What it writes is taken for one, at no more cost than
    decoding it, which spares the peer its own parser.
    """

    response_template: Any = None

    def parse_response(self, response: Any, schema: Any = None, *, prefix: Any = None, tools: Any = None) -> Any:
        """The assistant's message with its text and one call without arguments."""
        call = {"type": "function", "function": {"name": "answer", "arguments": {}}}
        return {"role": "assistant", "content": self.decode(response), "tool_calls": [call]}


class _Stopwatch(TrainerCallback):
    """Seconds from the start of a step (before it generates) to its end (after the optimiser)."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start."""
        self._began = perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop."""
        self.seconds = perf_counter() - self._began


class TRLTrainer:
    """The peer: its ``train()`` makes one update, and a callback times it without the set-up of the loop.

    Args:
        work: What an update does. More than one turn goes through ``environment_factory``.

    Attributes:
        trainer: The ``GRPOTrainer``.
        prompt_tokens: Of the last update, one entry per row.
        completion_tokens: Of the last update, all tokens after the prompt.
        written_tokens: Of the last update, tokens that the policy wrote.
    """

    name = "trl"

    def __init__(self, work: Work) -> None:
        torch.set_num_threads(work.threads)
        self._work = work
        self._folder = Path(tempfile.mkdtemp(prefix="fogline-bench-"))
        save_model(work, self._folder / "model")
        self._stopwatch = _Stopwatch()
        self.prompt_tokens: list[int] = []
        self.completion_tokens: list[int] = []
        self.written_tokens: list[int] = []
        several = work.turns > 1
        tokenizer_class = EveryReplyIsACall if several else PreTrainedTokenizerFast
        tokenizer = tokenizer_class.from_pretrained(self._folder / "model")
        if several:
            # Set, or TRL would look for the template of a known model family; never read, as parsing is ours.
            tokenizer.response_template = {}
        with _silent():
            self.trainer: Any = GRPOTrainer(
                model=AutoModelForCausalLM.from_pretrained(self._folder / "model", dtype=torch.float32),
                args=_settings(work, self._folder),
                reward_funcs=_reward,
                train_dataset=Dataset.from_list([{"prompt": _messages(work, task)} for task in range(work.prompts)]),
                processing_class=tokenizer,
                environment_factory=_environment(work) if several else None,
                callbacks=[self._stopwatch],
            )
        self.trainer.remove_callback(PrinterCallback)
        self._watch_sizes()

    def update(self) -> float:
        """Make one update and return its seconds.

        Raises:
            MeasurementFailed: A row is not of the length that the task asks for.
        """
        with _silent():
            self.trainer.train()
        self._check()
        return self._stopwatch.seconds

    def read_tokens(self) -> int:
        """Make one update, untimed, and return the tokens that went through the model to generate it."""
        model, counted = self.trainer.model, 0
        generate = model.generate

        def count(_: Any, arguments: Any, keywords: Any) -> None:
            nonlocal counted
            counted += keywords["input_ids"].numel()

        def watched(*arguments: Any, **keywords: Any) -> Any:
            hook = model.register_forward_pre_hook(count, with_kwargs=True)
            try:
                return generate(*arguments, **keywords)
            finally:
                hook.remove()

        model.generate = watched
        try:
            self.update()
        finally:
            del model.generate
        return counted

    def close(self) -> None:
        """Remove the model's folder."""
        shutil.rmtree(self._folder)

    def _watch_sizes(self) -> None:
        generate = self.trainer._generate

        def watched(prompts: Any) -> Any:
            given = generate(prompts)
            self.prompt_tokens = [len(ids) for ids in given[0]]
            self.completion_tokens = [len(ids) for ids in given[1]]
            self.written_tokens = [sum(mask) for mask in given[2]] if given[2] else list(self.completion_tokens)
            return given

        self.trainer._generate = watched

    def _check(self) -> None:
        work = self._work
        seen = (set(self.prompt_tokens), set(self.completion_tokens), set(self.written_tokens))
        expected = ({work.prompt_tokens}, {work.completion_tokens}, {work.turns * work.new_tokens})
        if seen != expected or len(self.prompt_tokens) != work.rows:
            raise MeasurementFailed(
                f"GRPOTrainer made {len(self.prompt_tokens)} rows of (prompt, completion, written) tokens {seen}: "
                f"expected {work.rows} of {expected}."
            )


def _settings(work: Work, folder: Path) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(folder / "output"),
        max_steps=1,
        per_device_train_batch_size=work.rows,
        num_generations=work.group_size,
        max_completion_length=work.completion_tokens,
        # The completion's length bounds all turns together, this one turn.
        generation_kwargs={"max_new_tokens": work.new_tokens},
        max_tool_calling_iterations=work.turns - 1,
        beta=work.kl_coefficient,
        learning_rate=work.learning_rate,
        lr_scheduler_type="constant",
        loss_type="grpo",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        seed=0,
    )


@contextmanager
def _silent() -> Iterator[None]:
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _messages(work: Work, task: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt(work, task)}]


def _reward(completions: Sequence[Sequence[dict[str, Any]]], **_: Any) -> list[float]:
    return [
        episode_score([message["content"] for message in completion if message["role"] == "assistant"])
        for completion in completions
    ]


def _environment(work: Work) -> type:
    text = observation(work)

    class FixedAnswers:
        """What ``environment_factory`` makes: its public method is the tool."""

        def reset(self, **_: Any) -> None:
            """Start anew; the data set holds the prompt."""

        def answer(self) -> str:
            """Answer with the same words every time.

            Returns:
                The words.
            """
            return text

    return FixedAnswers
