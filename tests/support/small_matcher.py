"""An image-text matcher that is made at once, and looks at pictures as large ones do."""

from __future__ import annotations

from typing import Any

import torch


def matcher() -> Any:
    """A small image-text matcher, and how to ask it: 16 patches, four blocks."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    from fogline.agents.decoding.gradcam import ImageTextMatcher

    text = {
        "vocab_size": 32,
        "hidden_size": 24,
        "encoder_hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "bos_token_id": 1,
        "sep_token_id": 2,
    }
    vision = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 4,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = BlipForImageTextRetrieval(BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=8))
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "norm" not in name:
                weight.data = torch.randn(weight.shape) * 1.2 / weight[0].numel() ** 0.5
    return ImageTextMatcher(model.requires_grad_(False))
