"""SID: self-introspective decoding (Huo et al., ICLR 2025, arXiv 2408.02032).

Instead of disturbing the image from outside, the model itself disturbs it: after an early layer it keeps only the
image tokens that matter least to it. What it says then is subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from fogline.agents.decoding.attention import Steering, over_keys, query_positions
from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.fusion import contrast
from fogline.agents.decoding.loop import Scores
from fogline.agents.decoding.options import Beta, DecoderOptions, Strength
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.core.errors import ConfigurationError


class SIDOptions(DecoderOptions):
    """Settings of SID, as released.

    Attributes:
        strength: a in ``(1 + a) l - a l'``; its function falls back to 0.5.
        beta: Plausibility cutoff.
        layer: K: tokens are ranked by the attention of layer K-1 and missing from layer K on.
        keep: How many image tokens stay, or None for the released share.
        keep_share: Which share of them stays where ``keep`` is None: 100 of LLaVA's 576.
    """

    strength: Strength = 1.0
    beta: Beta = 0.1
    layer: int = Field(default=2, ge=1)
    keep: int | None = Field(default=None, ge=1)
    keep_share: float = Field(default=100 / 576, gt=0, le=1)


def least_attended(attention: Tensor, image: Tensor, keep: Tensor) -> Tensor:
    """Which image tokens stay: those that a query looks at least.

    Args:
        attention: Mean over heads, ``[B,q,kv]``.
        image: Which keys are image tokens, ``[B,kv]``, bool.
        keep: How many stay in each row, ``[B]``.

    Returns:
        ``[B,q,kv]``, bool; False for every key that is no image token.
    """
    ranked = attention.masked_fill(~image[:, None], float("inf"))
    ranks = ranked.argsort(dim=-1, stable=True).argsort(dim=-1)
    kept: Tensor = (ranks < keep[:, None, None]) & image[:, None]
    return kept


class Introspection(Steering):
    """Hides the most attended image tokens from layer K on.

    Every query hides by its own attention, as the release does at each step; what comes before the prompt's last token
    hides by that token's. So a pass over the whole sequence hides what step after step with a cache hides.

    Args:
        image_mask: Image tokens of the prompt, ``[B,T]``, bool.
        layer: K.
        keep: How many stay in each row, ``[B]``.
    """

    def __init__(self, image_mask: Tensor, layer: int, keep: Tensor) -> None:
        self._image_mask = image_mask
        self._layer = layer
        self._keep = keep
        self._hidden: Tensor | None = None

    def observe(self, layer: int, weights: Tensor) -> None:
        """Rank at layer K-1."""
        if layer != self._layer - 1:
            return
        image = over_keys(self._image_mask, weights.shape[-1])
        hidden = image[:, None] & ~least_attended(weights.float().mean(1), image, self._keep)
        last = self._image_mask.shape[1] - 1
        # Position of the query that decides for each query, among the queries of this pass.
        positions = query_positions(weights)
        self._hidden = hidden[:, positions.clamp_min(last) - positions[0]]

    def adjust(self, layer: int, scores: Tensor) -> Tensor:
        """Hide from layer K on."""
        if layer < self._layer or self._hidden is None:
            return scores
        return scores.masked_fill(self._hidden[:, None], torch.finfo(scores.dtype).min)

    def select(self, rows: Tensor) -> Introspection:
        """For some rows."""
        return Introspection(self._image_mask[rows], self._layer, self._keep[rows])


class SID(Decoder):
    """Contrast with the model's own worst look at the image."""

    Options = SIDOptions
    steers = True

    def check(self, prompt: Prompt) -> None:
        """Refuse a layer that the model does not have."""
        super().check(prompt)
        layers = prompt.model.get_decoder().config.num_hidden_layers
        if self.options.layer >= layers:
            raise ConfigurationError(
                f"layer={self.options.layer}: the model has layers 0 to {layers - 1}, and nothing would be hidden. "
                f"Expected 1 to {layers - 1}."
            )

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The prompt, and the prompt with most of its image hidden."""
        paths = {"original": prompt.original()}
        if self.options.strength == 0:
            return paths
        tokens = prompt.image_mask.sum(1)
        share = (tokens * self.options.keep_share).round().long().clamp_min(1)
        keep = share if self.options.keep is None else torch.full_like(tokens, self.options.keep)
        return {**paths, "negative": prompt.original(Introspection(prompt.image_mask, self.options.layer, keep))}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """``(1 + a) l - a l'`` over the tokens that are plausible with the whole image."""
        original = paths["original"].logits
        disturbed = paths.get("negative", paths["original"]).logits
        return Scores(contrast(original, disturbed, self.options.strength), original, self.options.beta)
