"""TRL's own code on random tensors: where it implements the same loss or advantage, the numbers agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fogline.trainers.advantages import group_normalise, leave_one_out
from fogline.trainers.gates import soft_overlong_penalty
from fogline.trainers.importance import importance_weight
from fogline.trainers.losses import (
    aggregate,
    cispo_loss,
    clipped_loss,
    gspo_loss,
    kl_loss,
    sapo_loss,
    sequence_clipped_loss,
)

torch.set_num_threads(1)

ROWS, GROUP, LONGEST = 8, 4, 6
LENGTHS = [6, 3, 1, 5, 4, 6, 2, 6]
LOW, HIGH, BETA = 0.2, 0.28, 0.1
TOLERANCE: dict[str, Any] = {"rtol": 0, "atol": 1e-6}


class Given:
    """Random rows, and a trainer of TRL that sees them instead of sampling and scoring."""

    def __init__(self, trainer: Any, args: Any) -> None:
        draw = torch.Generator().manual_seed(7)
        shape = (ROWS, LONGEST)
        self.trainer, self.args = trainer, args
        self.mask = torch.arange(LONGEST) < torch.tensor(LENGTHS)[:, None]
        self.logp = -3 * torch.rand(shape, generator=draw, dtype=torch.float64)
        self.old = self.logp + 0.4 * torch.randn(shape, generator=draw, dtype=torch.float64)
        self.behaviour = self.old + 0.5 * torch.randn(shape, generator=draw, dtype=torch.float64)
        self.reference = self.logp + 0.3 * torch.randn(shape, generator=draw, dtype=torch.float64)
        self.row_advantage = torch.randn(ROWS, generator=draw, dtype=torch.float64)
        self.reward = torch.randn(ROWS, generator=draw, dtype=torch.float64)
        self.reward[:GROUP] = 0.1  # a group whose members all earned the same
        self.advantage = self.row_advantage[:, None].expand(shape)
        self.group = torch.arange(ROWS) // GROUP
        self.valid = torch.ones(ROWS, dtype=torch.bool)
        self.scored = self.logp
        trainer._get_per_token_logps_and_entropies = lambda *_, **__: (self.scored, torch.zeros(shape), None)
        trainer._calculate_rewards = lambda *_: self.reward[:, None]

    def inputs(self) -> dict[str, Tensor]:
        prompt = torch.ones(ROWS, 1, dtype=torch.int64)
        return {
            "prompt_ids": prompt,
            "prompt_mask": prompt,
            "completion_ids": torch.ones(ROWS, LONGEST, dtype=torch.int64),
            "completion_mask": self.mask.long(),
            "advantages": self.row_advantage,
            "old_per_token_logps": self.old,
            "old_logps": torch.where(self.mask, self.old, 0.0).sum(1),
            "ref_per_token_logps": self.reference,
            "num_items_in_batch": self.mask.sum(),
        }

    def theirs(self, inputs: dict[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """TRL's loss, and its gradient by the log-probabilities."""
        self.scored = self.logp.clone().requires_grad_()
        loss = self.trainer._compute_loss(self.trainer.model, inputs or self.inputs())
        (gradient,) = torch.autograd.grad(loss, self.scored)
        return loss.detach(), gradient

    def ours(self, loss: Any, mode: str, **counts: float) -> tuple[Tensor, Tensor]:
        """Our loss of ``loss(logp)``, aggregated, and its gradient."""
        logp = self.logp.clone().requires_grad_()
        total = aggregate(loss(logp), self.mask, mode, valid=self.valid, **counts)
        (gradient,) = torch.autograd.grad(total, logp)
        return total.detach(), gradient

    def agrees(self, loss: Any, mode: str, inputs: dict[str, Tensor] | None = None, **counts: float) -> None:
        theirs, ours = self.theirs(inputs), self.ours(loss, mode, **counts)
        assert theirs[1].abs().max() > 0
        torch.testing.assert_close(ours, theirs, **TOLERANCE)

    def scored_by_trl(self) -> dict[str, Tensor]:
        """What TRL's advantage code makes of the rewards and log-probabilities."""
        completions = [[1] * length for length in LENGTHS]
        prompts = [[1]] * ROWS
        behaviour = [row[:length].tolist() for row, length in zip(self.behaviour, LENGTHS, strict=True)]
        texts = [""] * ROWS
        if type(self.trainer).__name__ == "RLOOTrainer":
            self.trainer._generate = lambda _: (prompts, completions, texts)
        else:
            self.trainer._generate = lambda _: (prompts, completions, None, texts, behaviour, {}, None, [])
        self.scored = self.old
        output: dict[str, Tensor] = self.trainer._generate_and_score_completions([{"prompt": "a"}] * ROWS)
        return output


def model_and_tokenizer() -> tuple[Any, Any]:
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "<eos>": 1, "a": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    config = LlamaConfig(
        vocab_size=3,
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        pad_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config), tokenizer


def rows() -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"prompt": ["a"] * ROWS})


def common(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": ROWS,
        "num_generations": GROUP,
        "max_completion_length": LONGEST,
        "epsilon": LOW,
        "epsilon_high": HIGH,
        "seed": 0,
    }


def unused(completions: Sequence[str], **_: Any) -> list[float | None]:
    return [0.0] * len(completions)


@pytest.fixture(scope="module")
def grpo_trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    from trl import GRPOConfig, GRPOTrainer

    model, tokenizer = model_and_tokenizer()
    args = GRPOConfig(**common(tmp_path_factory.mktemp("grpo")), beta=0.0)
    trainer = GRPOTrainer(model=model, reward_funcs=unused, args=args, train_dataset=rows(), processing_class=tokenizer)
    trainer.current_gradient_accumulation_steps = 1
    yield trainer, args


@pytest.fixture
def grpo(grpo_trainer: tuple[Any, Any]) -> Iterator[Given]:
    trainer, args = grpo_trainer
    saved = dict(vars(trainer)), dict(vars(args))
    yield Given(trainer, args)
    vars(trainer).update(saved[0])
    vars(args).update(saved[1])


@pytest.fixture(scope="module")
def rloo(tmp_path_factory: pytest.TempPathFactory) -> Given:
    from trl import RLOOConfig, RLOOTrainer

    model, tokenizer = model_and_tokenizer()
    args = RLOOConfig(**common(tmp_path_factory.mktemp("rloo")), beta=0.0)
    trainer = RLOOTrainer(model=model, reward_funcs=unused, args=args, train_dataset=rows(), processing_class=tokenizer)
    return Given(trainer, args)


@pytest.mark.parametrize(
    ("loss_type", "mode", "counts"),
    [
        ("grpo", "seq-mean-token-mean", {}),
        ("bnpo", "token-mean", {}),
        ("dapo", "token-mean", {"tokens": float(sum(LENGTHS))}),
        ("dr_grpo", "seq-mean-token-sum-norm", {"length": float(LONGEST)}),
        ("luspo", "seq-mean-token-sum", {}),
    ],
)
def test_clipped_loss_under_each_aggregation(grpo: Given, loss_type: str, mode: str, counts: dict[str, float]) -> None:
    grpo.trainer.loss_type = loss_type
    grpo.agrees(lambda logp: clipped_loss(logp, grpo.old, grpo.advantage, LOW, HIGH), mode, **counts)


def test_dual_clip_is_delta(grpo: Given) -> None:
    grpo.trainer.loss_type = "grpo"
    grpo.args.delta = 1.5
    assert (((grpo.logp - grpo.old).exp() > 1.5) & (grpo.advantage < 0) & grpo.mask).any()
    grpo.agrees(lambda logp: clipped_loss(logp, grpo.old, grpo.advantage, LOW, HIGH, 1.5), "seq-mean-token-mean")


@pytest.mark.parametrize("corrected", [False, True])
def test_k3_divergence(grpo: Given, corrected: bool) -> None:
    grpo.trainer.loss_type, grpo.trainer.beta, grpo.args.use_bias_correction_kl = "grpo", BETA, corrected
    old = grpo.old if corrected else None

    def loss(logp: Tensor) -> Tensor:
        divergence = kl_loss(logp, grpo.reference, "k3", old_logp=old)
        return clipped_loss(logp, grpo.old, grpo.advantage, LOW, HIGH) + BETA * divergence

    grpo.agrees(loss, "seq-mean-token-mean")


def test_cispo_with_an_absolute_cap(grpo: Given) -> None:
    grpo.trainer.loss_type, grpo.trainer.epsilon_high = "cispo", 1.4
    grpo.agrees(lambda logp: cispo_loss(logp, grpo.old, grpo.advantage, LOW, 1.4, "trl"), "token-mean")


def test_sapo(grpo: Given) -> None:
    grpo.trainer.loss_type = "sapo"
    grpo.args.sapo_temperature_pos, grpo.args.sapo_temperature_neg = 1.3, 0.7
    grpo.agrees(lambda logp: sapo_loss(logp, grpo.old, grpo.advantage, 1.3, 0.7), "seq-mean-token-mean")


def test_gspo(grpo: Given) -> None:
    grpo.trainer.loss_type, grpo.trainer.importance_sampling_level = "grpo", "sequence"
    grpo.agrees(lambda logp: gspo_loss(logp, grpo.old, grpo.advantage, grpo.mask, LOW, HIGH), "seq-mean-token-mean")


def test_rloo_loss(rloo: Given) -> None:
    rloo.agrees(
        lambda logp: sequence_clipped_loss(logp, rloo.old, rloo.advantage, rloo.mask, LOW, HIGH),
        "seq-mean-token-sum",
    )


def test_a_mask_with_holes(grpo: Given) -> None:
    grpo.trainer.loss_type = "grpo"
    inputs = grpo.inputs()
    holes = torch.ones(ROWS, LONGEST, dtype=torch.bool)
    holes[:, 1] = False
    grpo.mask = grpo.mask & holes
    grpo.agrees(
        lambda logp: clipped_loss(logp, grpo.old, grpo.advantage, LOW, HIGH),
        "seq-mean-token-mean",
        inputs | {"tool_mask": holes.long()},
    )


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_group_advantage(grpo: Given, scale: str) -> None:
    grpo.trainer.scale_rewards = scale
    theirs = grpo.scored_by_trl()["advantages"]
    ours = group_normalise(grpo.reward, grpo.group, grpo.valid, ddof=1, epsilon=1e-4, scale=scale)
    torch.testing.assert_close(ours, theirs, **TOLERANCE)


def test_leave_one_out_advantage(rloo: Given) -> None:
    theirs = rloo.scored_by_trl()["advantages"]
    torch.testing.assert_close(leave_one_out(rloo.reward, rloo.group, rloo.valid), theirs, **TOLERANCE)


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("correction", ["truncate", "mask"])
@pytest.mark.parametrize("low", [None, 0.7])
def test_importance_correction(grpo: Given, level: str, correction: str, low: float | None) -> None:
    trainer = grpo.trainer
    trainer.use_vllm, trainer.vllm_importance_sampling_correction = True, True
    trainer.vllm_importance_sampling_mode = f"{level}_{correction}"
    trainer.vllm_importance_sampling_clip_min, trainer.vllm_importance_sampling_clip_max = low, 1.5
    scored = grpo.scored_by_trl()
    ours = importance_weight(grpo.old, grpo.behaviour, grpo.mask, correction, level, low, 1.5)
    theirs = scored["importance_sampling_ratio"].to(ours.dtype).expand_as(ours)
    torch.testing.assert_close(ours[grpo.mask], theirs[grpo.mask], **TOLERANCE)
    trainer.loss_type = "grpo"
    grpo.agrees(
        lambda logp: ours * clipped_loss(logp, grpo.old, grpo.advantage, LOW, HIGH),
        "seq-mean-token-mean",
        grpo.inputs() | {"importance_sampling_ratio": scored["importance_sampling_ratio"]},
    )


@pytest.mark.parametrize(("most", "buffer"), [(100, 20), (64, 64)])
def test_soft_overlong_penalty(most: int, buffer: int) -> None:
    from trl.rewards import get_soft_overlong_punishment

    lengths = [0, 1, most - buffer, most - buffer + 1, most - 1, most, most + 1, 2 * most]
    theirs = get_soft_overlong_punishment(most, buffer)(completion_ids=[[0] * length for length in lengths])
    ours = soft_overlong_penalty(torch.tensor(lengths, dtype=torch.float64), most, buffer)
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), **TOLERANCE)
