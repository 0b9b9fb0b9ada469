"""OPERA: over-trust penalty and retrospection-allocation (Huang et al., CVPR 2024, arXiv 2311.17911).

Hallucinations follow where a model keeps looking back at one summarising token of its own answer. OPERA is a beam
search that charges candidates for such a column in the answer's self-attention, and goes back to where it began when
all beams hang on one column for too long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from transformers.generation.utils import GenerateDecoderOnlyOutput

from fogline.agents.decoding.attention import Recorder, over_keys
from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.loop import Call, Scores, output_of, padding
from fogline.agents.decoding.options import DecoderOptions, Strength
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.core.errors import ConfigurationError

_UNIT = 1e-7
"""Scale of a column's product, as released."""


class OPERAOptions(DecoderOptions):
    """Settings of OPERA, as released.

    Attributes:
        beams: Width of the search.
        candidates: Tokens that a beam considers.
        penalty: w in ``logit - w phi``; 0 leaves a beam search over candidates.
        scale: sigma: attention weights are multiplied by it before their product.
        patience: r: how often all beams may name the same column before the search goes back.
        window: How many of the newest answer tokens are looked at.
        opening: For so many first tokens attention to the image is rewarded instead; columns among them never lead
            back.
    """

    beams: int = Field(default=5, ge=1)
    candidates: int = Field(default=5, ge=2)
    penalty: Strength = 1.0
    scale: float = Field(default=50.0, gt=0, allow_inf_nan=False)
    patience: int = Field(default=15, ge=1)
    window: int = Field(default=512, ge=1)
    opening: int = Field(default=10, ge=0)


def over_trust(attention: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """``phi = max_j 1e-7 prod_{i>=j} sigma w_ij`` and the column that reaches it.

    Args:
        attention: The answer's self-attention ``[...,t,t]``: row i is what token i looked at.
        scale: sigma.

    Returns:
        phi ``[...]``, float64, and the column ``[...]``, from 0.
    """
    steps = attention.shape[-1]
    below = torch.ones(steps, steps, dtype=torch.bool, device=attention.device).tril()
    # In logarithms: fifty to the power of a long answer is no float.
    logarithms = (scale * attention.double()).log().masked_fill(~below, 0.0).sum(-2)
    largest, column = logarithms.max(-1)
    return _UNIT * largest.clamp(max=600.0).exp(), column


def allocated_column(columns: Tensor, patience: int, opening: int) -> int | None:
    """The column that all beams named more than ``patience`` times, the newest vote among them.

    Args:
        columns: What each beam named at each step, ``[N,s]``.
        patience: r.
        opening: Columns before this one do not count.

    Returns:
        The column, or None where there is no reason to go back.
    """
    common = int(columns[:, -1].mode().values)
    often = (columns == common).sum(1) > patience
    return common if common >= opening and bool(often.all()) else None


@dataclass(frozen=True)
class _Beams:
    """The search after some answer tokens: ``n`` beams with ``t`` tokens each."""

    input_ids: Tensor
    totals: Tensor
    attention: Tensor
    columns: Tensor
    finished: tuple[tuple[float, Tensor], ...] = ()


@dataclass
class _Past:
    """What going back needs: the search at each length, what was rejected there, how often it went back there."""

    states: list[_Beams] = field(default_factory=list)
    rejected: dict[int, set[tuple[int, ...]]] = field(default_factory=dict)
    visits: Counter[int] = field(default_factory=Counter)


class OPERA(Decoder):
    """Beam search that mistrusts columns."""

    Options = OPERAOptions
    steers = True

    def check(self, prompt: Prompt) -> None:
        """Refuse sampling and several answers: a beam search has neither.

        Raises:
            ConfigurationError: For such settings.
        """
        super().check(prompt)
        config = prompt.generation_config
        if config.do_sample or config.num_return_sequences > 1:
            raise ConfigurationError(
                f"opera is a beam search: expected do_sample=False and num_return_sequences=1, got "
                f"{config.do_sample} and {config.num_return_sequences}."
            )

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """One path; its attention is recorded."""
        last = prompt.model.get_decoder().config.num_hidden_layers - 1
        return {"original": prompt.original(Recorder((last,), heads="max"))}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """The undisturbed logits; the search penalises candidates, not the vocabulary."""
        logits = paths["original"].logits
        return Scores(logits, logits)

    def run(self, prompt: Prompt, extras: Extras, call: Call) -> Tensor | GenerateDecoderOnlyOutput:
        """Search row by row: rows go back at different steps.

        Raises:
            ConfigurationError: With a streamer, or if rows end apart and there is no padding token.
        """
        if call.streamer is not None:
            raise ConfigurationError("opera cannot stream: it takes tokens back. Leave token_streamer out.")
        path = self.paths(prompt, extras)["original"]
        path.forward(call.generation_config)
        rows = torch.arange(path.input_ids.shape[0], device=path.input_ids.device)
        answers = [_Search(self.options, path.select(row[None]), call).best() for row in rows]
        sequences = _stacked(answers, padding(call.generation_config, path.input_ids.device))
        if not call.generation_config.return_dict_in_generate:
            return sequences
        return output_of(sequences)


class _Search:
    """The search for one prompt.

    Args:
        options: OPERA's.
        root: The prompt, read; one row.
        call: What generate asks for.
    """

    def __init__(self, options: OPERAOptions, root: Path, call: Call) -> None:
        self._options = options
        self._root = root
        self._call = call
        self._prompt = root.input_ids.shape[1]
        assert isinstance(root.steering, Recorder)
        self._recorder = root.steering

    def best(self) -> Tensor:
        """The best finished sequence ``[T]``, with the prompt."""
        past = _Past()
        ids = self._root.input_ids
        empty = torch.zeros(1, 0, 0, dtype=torch.float32, device=ids.device)
        beams = _Beams(ids, ids.new_zeros(1, dtype=torch.float64), empty, ids.new_zeros(1, 0))
        path = self._root
        while True:
            steps = beams.attention.shape[-1]
            del past.states[steps:]
            past.states.append(replace(beams, attention=empty))
            expanded, tokens, logits, attention, columns = self._candidates(path, beams)
            target = self._target(past, columns, steps)
            if target is not None:
                self._reject(past, beams, target)
                path, beams = self._read(past.states[target])
                continue
            rejected = past.rejected.get(steps, set())
            beams, kept = self._choose(beams, tokens, logits, attention, columns, rejected)
            if self._is_over(beams):
                return max(beams.finished, key=lambda entry: entry[0])[1]
            path = expanded.select(kept)

    def _candidates(self, path: Path, beams: _Beams) -> tuple[Path, Tensor, Tensor, Tensor, Tensor]:
        """Every beam with each of its candidates.

        Returns:
            Their paths, tokens and penalised logits ``[n,C]``, attention ``[n,C,t+1,t+1]``, and the columns that each
            beam has named, ``[n,s+1]``.
        """
        options = self._options
        allowed = self._call.logits_processor(beams.input_ids, path.logits.log_softmax(-1)).isfinite()
        # A placeholder is no answer, and a pass without cache would look for its image.
        allowed[:, torch.unique(self._root.input_ids[self._root.image_mask])] = False
        words = path.logits.masked_fill(~allowed, float("-inf"))
        logits, tokens = words.topk(min(options.candidates, words.shape[1]), -1)
        beams_, width = tokens.shape
        expanded = path.select(torch.arange(beams_, device=tokens.device).repeat_interleave(width))
        expanded.append(tokens.reshape(-1, 1))
        expanded.forward(self._call.generation_config)
        newest = self._newest(1)[:, 0]
        image = over_keys(expanded.image_mask, newest.shape[-1])
        seen = (newest * image).sum(-1).reshape(beams_, width)
        steps = beams.attention.shape[-1]
        attention = newest.new_zeros(beams_, width, steps + 1, steps + 1)
        attention[..., :steps, :steps] = beams.attention[:, None]
        attention[..., steps, :] = newest[:, self._prompt :].reshape(beams_, width, -1)
        first = max(steps + 1 - options.window, 0)
        phi, column = over_trust(attention[..., first:, first:], options.scale)
        penalty = -seen.double() if steps + 1 <= options.opening else phi
        penalised = logits.double() - options.penalty * penalty
        named = (column + first).mode(-1).values
        return expanded, tokens, penalised, attention, torch.cat([beams.columns, named[:, None]], 1)

    def _target(self, past: _Past, columns: Tensor, steps: int) -> int | None:
        """The answer token to choose anew, or None.

        It is the one after the column, or the column itself where that was tried as often as there are candidates.
        """
        options = self._options
        column = allocated_column(columns[:, -options.window :], options.patience, options.opening)
        if column is None:
            return None
        for target in (column + 1, column):
            if target < steps and past.visits[target] < options.candidates:
                past.visits[target] += 1
                return target
        return None

    def _reject(self, past: _Past, beams: _Beams, target: int) -> None:
        """What the beams chose there is not chosen again; what was rejected later is forgotten."""
        end = self._prompt + target + 1
        past.rejected = {place: chosen for place, chosen in past.rejected.items() if place <= target}
        past.rejected.setdefault(target, set()).update(map(tuple, beams.input_ids[:, :end].tolist()))

    def _read(self, beams: _Beams) -> tuple[Path, _Beams]:
        """Beams as paths again: the answers are read anew from the prompt's cache, and their attention with them."""
        ids, steps = beams.input_ids, beams.input_ids.shape[1] - self._prompt
        path = self._root.select(torch.zeros(ids.shape[0], dtype=torch.long, device=ids.device))
        if not steps:
            return path, beams
        path.append(ids[:, self._prompt :])
        path.forward(self._call.generation_config)
        return path, replace(beams, attention=self._newest(steps)[..., self._prompt :])

    def _newest(self, queries: int) -> Tensor:
        """What the newest queries looked at, strongest head, as shares ``[n,q,kv]``."""
        (weights,) = self._recorder.weights.values()
        newest = weights[:, -queries:]
        return newest / newest.sum(-1, keepdim=True)

    def _choose(
        self,
        beams: _Beams,
        tokens: Tensor,
        logits: Tensor,
        attention: Tensor,
        columns: Tensor,
        rejected: set[tuple[int, ...]],
    ) -> tuple[_Beams, Tensor]:
        """The next beams, and which rows of the expanded paths they are."""
        count, width = tokens.shape
        longer = torch.cat([beams.input_ids.repeat_interleave(width, 0), tokens.reshape(-1, 1)], 1)
        banned = torch.tensor([tuple(row) in rejected for row in longer.tolist()], device=tokens.device)
        banned = banned & ~banned.all()
        table = logits.new_full((count, self._root.logits.shape[1]), float("-inf"))
        table.scatter_(1, tokens, logits.masked_fill(banned.view(count, width), float("-inf")))
        said = self._call.logits_processor(beams.input_ids, table.log_softmax(-1).float())
        totals = (said.gather(1, tokens).double() + beams.totals[:, None]).reshape(-1)
        order = totals.argsort(descending=True, stable=True)
        order = order[totals[order].isfinite()][: 2 * self._options.beams]
        if not order.numel():
            raise ConfigurationError(
                "the logits processors forbid every token: loosen bad words, constraints or lengths."
            )
        done = self._call.stopping_criteria(longer[order], None).tolist()
        ended = [row for row, over in zip(order[: self._options.beams].tolist(), done, strict=False) if over]
        alive = [row for row, over in zip(order.tolist(), done, strict=True) if not over][: self._options.beams]
        length = (longer.shape[1] - self._prompt) ** self._call.generation_config.length_penalty
        finished = (*beams.finished, *((float(totals[row]) / length, longer[row]) for row in ended))
        best = sorted(finished, key=lambda entry: -entry[0])[: self._options.beams]
        kept = torch.tensor(alive, dtype=torch.long, device=tokens.device)
        chosen = _Beams(longer[kept], totals[kept], attention.flatten(0, 1)[kept], columns[kept // width], tuple(best))
        return chosen, kept

    def _is_over(self, beams: _Beams) -> bool:
        """Whether nothing goes on, or what goes on can no longer catch up (generate's rule)."""
        if not beams.totals.numel():
            return True
        config: Any = self._call.generation_config
        if len(beams.finished) < self._options.beams:
            return False
        length = (beams.input_ids.shape[1] - self._prompt) ** config.length_penalty
        return config.early_stopping is True or beams.finished[-1][0] >= float(beams.totals.max()) / length


def _stacked(answers: list[Tensor], pad: Tensor | None) -> Tensor:
    longest = max(answer.numel() for answer in answers)
    if pad is None and any(answer.numel() < longest for answer in answers):
        raise ConfigurationError("a row is finished and pad_token_id is None: set it in the generation config.")
    fill = 0 if pad is None else int(pad)
    return torch.stack([torch.cat([row, row.new_full((longest - row.numel(),), fill)]) for row in answers])
