"""The loop over several paths: read, fuse, choose one token, and let every path continue with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.generation.utils import GenerateDecoderOnlyOutput

from fogline.agents.decoding.fusion import plausible
from fogline.agents.decoding.paths import Path
from fogline.core.errors import AgentError, ConfigurationError

NOISE, TOKENS = 0, 1
"""Purposes of a row's random numbers: streams of one seed that do not meet."""


@dataclass(frozen=True)
class Scores:
    """What a method says about the next token.

    Attributes:
        logits: Fused logits ``[B,V]``, float32, before any cutoff.
        reference: What plausibility is read from, ``[B,V]``.
        beta: Tokens less likely than this share of the likeliest are out; 0 for no cutoff.
    """

    logits: Tensor
    reference: Tensor
    beta: float = 0.0


@dataclass(frozen=True)
class Call:
    """One call of generate.

    Attributes:
        logits_processor: Temperature, top-k and the like, applied after the fusion.
        stopping_criteria: Says which rows are finished.
        generation_config: generate's.
        seeds: One per row.
        streamer: Is told each token, or None.
    """

    logits_processor: Callable[[Tensor, Tensor], Tensor]
    stopping_criteria: Any
    generation_config: Any
    seeds: Sequence[int]
    streamer: Any = None


def generator_of(seed: int, purpose: int) -> torch.Generator:
    """A row's own random numbers, on the CPU so that they do not depend on the device."""
    state = np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def processed(scores: Scores, input_ids: Tensor, process: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Fused logits after the cutoff and generate's processors, ``[B,V]``.

    A processor may forbid every plausible token (``min_new_tokens`` where only the end is plausible). The cutoff is
    then taken anew, among the tokens that the processors leave the undisturbed model.

    Raises:
        AgentError: If the model's logits are not numbers.
        ConfigurationError: If the processors forbid every token.
    """
    kept = plausible(scores.reference, scores.beta)
    result = process(input_ids, scores.logits.masked_fill(~kept, float("-inf")))
    stuck = ~result.isfinite().any(-1)
    if not bool(stuck.any()):
        return result
    if bool(scores.reference.isnan().any()):
        raise AgentError("the model's logits are not numbers: its weights are damaged, go back to a save.")
    allowed = process(input_ids, scores.reference.clone()).isfinite()
    if not bool(allowed[stuck].any(-1).all()):
        raise ConfigurationError("the logits processors forbid every token: loosen bad words, constraints or lengths.")
    kept = allowed & plausible(scores.reference.masked_fill(~allowed, float("-inf")), scores.beta)
    again = process(input_ids, scores.logits.masked_fill(~kept, float("-inf")))
    return torch.where(stuck[:, None], again, result)


def draw(scores: Tensor, uniforms: Tensor) -> Tensor:
    """Sample by inverse transform: the first token whose cumulated probability exceeds the row's random number.

    Args:
        scores: Processed logits ``[B,V]``; minus infinity is never drawn.
        uniforms: In [0, 1), ``[B]``, float64.

    Returns:
        Tokens ``[B]``.
    """
    cumulated = torch.softmax(scores.double(), -1).cumsum(-1)
    threshold = (uniforms.to(scores.device) * cumulated[:, -1])[:, None]
    return torch.searchsorted(cumulated, threshold, right=True)[:, 0].clamp(max=scores.shape[1] - 1)


def padding(generation_config: Any, device: torch.device) -> Tensor | None:
    """The padding token, a tensor without dimensions, or None."""
    token: Tensor | None = generation_config._pad_token_tensor
    return None if token is None else token.to(device)


def decode(
    paths: Mapping[str, Path], fuse: Callable[[Mapping[str, Path], int], Scores], call: Call
) -> Tensor | GenerateDecoderOnlyOutput:
    """Continue all paths with the same tokens until every row is finished.

    Args:
        paths: By name; ``"original"`` is the one whose tokens are returned.
        fuse: Reads the paths' logits at a step, from 0.
        call: What generate asks for.

    Returns:
        Tokens ``[B,T]`` with the prompt, or generate's output object where that was asked for: ``logits`` are the
        fused ones, ``scores`` what was chosen from.

    Raises:
        ConfigurationError: If a row is finished and there is no padding token.
    """
    original = paths["original"]
    config = call.generation_config
    device = original.input_ids.device
    generators = [generator_of(seed, TOKENS) for seed in call.seeds]
    unfinished = torch.ones(original.input_ids.shape[0], dtype=torch.bool, device=device)
    pad = padding(config, device)
    record = _Record(config)
    step = 0
    while bool(unfinished.any()):
        for path in paths.values():
            path.forward(config)
        fused = fuse(paths, step)
        scores = processed(fused, original.input_ids, call.logits_processor)
        record.add(fused.logits, scores)
        if config.do_sample:
            uniforms = torch.cat([torch.rand(1, generator=source, dtype=torch.float64) for source in generators])
            tokens = draw(scores, uniforms)
        else:
            tokens = scores.argmax(-1)
        if not bool(unfinished.all()):
            if pad is None:
                raise ConfigurationError("a row is finished and pad_token_id is None: set it in the generation config.")
            tokens = torch.where(unfinished, tokens, pad)
        for path in paths.values():
            path.append(tokens[:, None])
        unfinished = unfinished & ~call.stopping_criteria(original.input_ids, record.scores)
        if call.streamer is not None:
            call.streamer.put(tokens.cpu())
        step += 1
    if call.streamer is not None:
        call.streamer.end()
    return record.output(original)


def output_of(
    sequences: Tensor,
    scores: tuple[Tensor, ...] | None = None,
    logits: tuple[Tensor, ...] | None = None,
    cache: Any = None,
) -> GenerateDecoderOnlyOutput:
    """Generate's output object: ``sequences [B,T]``, and per step ``scores`` and ``logits`` ``[B,V]``."""
    parts: Any = {"sequences": sequences, "scores": scores, "logits": logits, "past_key_values": cache}
    return GenerateDecoderOnlyOutput(**parts)


class _Record:
    """What generate's caller asked to see of every step."""

    def __init__(self, config: Any) -> None:
        wanted = bool(config.return_dict_in_generate)
        self._wanted = wanted
        self.scores: tuple[Tensor, ...] | None = () if wanted and config.output_scores else None
        self.logits: tuple[Tensor, ...] | None = () if wanted and config.output_logits else None

    def add(self, logits: Tensor, scores: Tensor) -> None:
        if self.scores is not None:
            self.scores += (scores,)
        if self.logits is not None:
            self.logits += (logits,)

    def output(self, path: Path) -> Tensor | GenerateDecoderOnlyOutput:
        if not self._wanted:
            return path.input_ids
        return output_of(path.input_ids, self.scores, self.logits, path.arguments.get("past_key_values"))
