"""ICD: instruction contrastive decoding (Wang et al., ACL 2024 Findings, arXiv 2403.18715).

A disturbed instruction makes the model unsure of what it sees; what it says then is subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping

from fogline.agents.decoding.decoder import Decoder, Extras
from fogline.agents.decoding.fusion import contrast
from fogline.agents.decoding.loop import Scores
from fogline.agents.decoding.options import Beta, DecoderOptions, Strength, TokenIds
from fogline.agents.decoding.paths import Path
from fogline.agents.decoding.prompt import Prompt
from fogline.core.errors import ConfigurationError

DISTURBANCE = "You are a confused object detector."
"""The disturbance as implemented in SID's repository."""


class ICDOptions(DecoderOptions):
    """Settings of ICD.

    Attributes:
        strength: a in ``(1 + a) l - a l'``.
        beta: Plausibility cutoff.
        disturbance: Token ids read before the question, after the image: :data:`DISTURBANCE` in the model's tokens.
            generate's ``contrast_input_ids`` replaces the whole prompt instead.
    """

    strength: Strength = 1.0
    beta: Beta = 0.1
    disturbance: TokenIds = ()


class ICD(Decoder):
    """Contrast with the disturbed instruction."""

    Options = ICDOptions
    uses = ("contrast_input_ids", "contrast_attention_mask")

    def paths(self, prompt: Prompt, extras: Extras) -> dict[str, Path]:
        """The prompt, and the prompt with the disturbance; the image is the same.

        Raises:
            ConfigurationError: Without a disturbance.
        """
        paths = {"original": prompt.original()}
        if self.options.strength == 0:
            return paths
        if extras.contrast_input_ids is not None:
            other = prompt.with_tokens(extras.contrast_input_ids, extras.contrast_attention_mask)
        elif self.options.disturbance:
            other = prompt.with_insertion(self.options.disturbance)
        else:
            raise ConfigurationError(
                "icd has no disturbed instruction: make it with disturbance=tokenizer("
                "fogline.agents.decoding.icd.DISTURBANCE, add_special_tokens=False).input_ids, or give generate "
                "contrast_input_ids."
            )
        return {**paths, "negative": other}

    def scores(self, paths: Mapping[str, Path], step: int) -> Scores:
        """``(1 + a) l - a l'`` over the tokens that are plausible under the proper instruction."""
        original = paths["original"].logits
        disturbed = paths.get("negative", paths["original"]).logits
        return Scores(contrast(original, disturbed, self.options.strength), original, self.options.beta)
