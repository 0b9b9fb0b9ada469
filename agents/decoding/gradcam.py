"""Evidence as an external image-text matcher sees it: Grad-CAM on BLIP's cross-attention.

The matcher says how well image and question fit; what it looked at for that, and what would have changed its mind, is
where the evidence lies. AGLA reads one block, PND several (LAVIS ``compute_gradcam``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fogline.core.errors import ConfigurationError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class ImageTextMatcher:
    """A ``BlipForImageTextRetrieval``, put in evaluation mode.

    Args:
        model: The matcher, with its own vision tower.
        mean: What its image processor subtracts, per channel.
        deviation: What it divides by.

    Raises:
        ConfigurationError: For a model without an image-text matching head.
    """

    def __init__(self, model: Any, mean: Sequence[float] = CLIP_MEAN, deviation: Sequence[float] = CLIP_STD) -> None:
        if not all(hasattr(model, part) for part in ("itm_head", "text_encoder", "vision_model")):
            raise ConfigurationError(
                f"{type(model).__name__} is no image-text matcher: expected BlipForImageTextRetrieval, with itm_head."
            )
        self.model = model.eval()
        self._mean = torch.tensor(mean)[:, None, None]
        self._deviation = torch.tensor(deviation)[:, None, None]

    @property
    def blocks(self) -> int:
        """Blocks of its text encoder."""
        return len(self.model.text_encoder.encoder.layer)

    def maps(self, colours: Tensor, input_ids: Tensor, attention_mask: Tensor, layers: Sequence[int]) -> Tensor:
        """Grad-CAM of the match logit, per block.

        ``cam_b = attention * max(gradient, 0)``, without the class patch, mean over heads, mean over the question's
        own tokens. Parameters get no gradients.

        Args:
            colours: The image ``[3,H,W]`` in [0, 1], of any size.
            input_ids: The question in the matcher's tokens, ``[T]``; the first and the last are special.
            attention_mask: ``[T]``.
            layers: Blocks, from 0.

        Returns:
            ``[L,h,w]``, float32, one value per patch of the matcher.

        Raises:
            ConfigurationError: For a question without tokens of its own.
        """
        real = self._real(input_ids, attention_mask)
        if real.numel() < 3:
            raise ConfigurationError(
                f"the matcher's question has {real.numel()} tokens: expected at least one between the two special ones."
            )
        # Decoding runs without gradients, perhaps in inference mode: both end here, and the pixels are made anew. They
        # want a gradient, so that the attention has one even where every weight is frozen.
        with torch.inference_mode(False), torch.enable_grad():
            pixels = self._pixels(colours).clone().requires_grad_()
            seen, result = self._watched(pixels, real.clone()[None], layers)
            gradients = torch.autograd.grad(result.itm_score[:, 1].sum(), seen)
        cams = [
            (attention * gradient.clamp_min(0))[0].mean(0)[1:-1, 1:].mean(0).detach()
            for attention, gradient in zip(seen, gradients, strict=True)
        ]
        patch = self.model.config.vision_config.patch_size
        height, width = (side // patch for side in pixels.shape[-2:])
        return torch.stack(cams).float().reshape(-1, height, width)

    @torch.no_grad()
    def similarity(self, colours: Tensor, input_ids: Tensor, attention_mask: Tensor) -> float:
        """Cosine of image and question, the contrastive score: AGLA keeps the more, the smaller it is."""
        real = self._real(input_ids, attention_mask)[None]
        result = self.model(input_ids=real, pixel_values=self._pixels(colours), use_itm_head=False)
        return float(result.itm_score[0, 0])

    def _real(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return input_ids[attention_mask.bool()].to(next(self.model.parameters()).device)

    def _pixels(self, colours: Tensor) -> Tensor:
        weight = next(self.model.parameters())
        side = self.model.config.vision_config.image_size
        image = colours.to(weight.device, torch.float32)[None]
        if tuple(image.shape[-2:]) != (side, side):
            image = F.interpolate(image, (side, side), mode="bicubic", align_corners=False).clamp(0, 1)
        values = (image - self._mean.to(image.device)) / self._deviation.to(image.device)
        return values.to(weight.dtype)

    def _watched(self, pixels: Tensor, input_ids: Tensor, layers: Sequence[int]) -> tuple[list[Tensor], Any]:
        """Attention ``[1,heads,T,1+patches]`` of the blocks, still in the graph, and what the matcher said."""
        seen: dict[int, Tensor] = {}

        def keep(layer: int) -> Callable[[Any, Any, Any], None]:
            def hook(module: Any, inputs: Any, output: Any) -> None:
                seen[layer] = output[1]

            return hook

        with ExitStack() as hooks:
            for layer in layers:
                cross = self.model.text_encoder.encoder.layer[layer].crossattention
                hooks.callback(cross.register_forward_hook(keep(layer)).remove)
            result = self.model(input_ids=input_ids, pixel_values=pixels, attention_mask=torch.ones_like(input_ids))
        return [seen[layer] for layer in layers], result
