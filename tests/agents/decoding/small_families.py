"""Vision-language models of random weights, small enough for every decoder on every family.

Weights are larger than an initialiser's, so that attention is sharp and views matter: a mix-up of caches, images or
positions changes the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PAD, BOS, EOS, IMAGE, START, END = 0, 1, 2, 3, 4, 5
VOCABULARY = 48
SIDE = 32
TOKENS = 16
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES = (
    "llava",
    "instructblip",
    "internvl",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "idefics3",
    "smolvlm",
)


@dataclass
class World:
    """A model and a batch of two prompts of different lengths, left-padded.

    Attributes:
        family: Its model type.
        model: The model.
        inputs: What a processor would return.
    """

    family: str
    model: Any
    inputs: dict[str, Tensor]

    def row(self, index: int) -> dict[str, Tensor]:
        """One prompt by itself, without padding."""
        keep = self.inputs["attention_mask"][index].bool()
        single = {}
        for name, value in self.inputs.items():
            if name in ("input_ids", "attention_mask", "mm_token_type_ids"):
                single[name] = value[index][keep][None]
            elif name == "pixel_values" and self.family.startswith("qwen"):
                sizes = self.inputs["image_grid_thw"].prod(1).tolist()
                single[name] = value.split(sizes)[index]
            else:
                single[name] = value[index][None]
        return single

    def generate(self, decoder: Any, inputs: dict[str, Tensor] | None = None, **kwargs: Any) -> Any:
        """Tokens that the model adds, ``[B,n]``, or generate's output object."""
        from fogline.agents.decoding.families import VisionInputs

        inputs = self.inputs if inputs is None else inputs
        if self.family == "instructblip":
            kwargs.setdefault("vision", VisionInputs.of(self.model, inputs))
        kwargs = {"max_new_tokens": 6, "do_sample": False, **kwargs}
        result = self.model.generate(**inputs, custom_generate=decoder, **kwargs)
        return result[:, inputs["input_ids"].shape[1] :] if isinstance(result, Tensor) else result

    def plain(self, inputs: dict[str, Tensor] | None = None, **kwargs: Any) -> Tensor:
        """What generate says by itself."""
        inputs = self.inputs if inputs is None else inputs
        kwargs = {"max_new_tokens": 6, "do_sample": False, **kwargs}
        result: Tensor = self.model.generate(**inputs, **kwargs)
        return result[:, inputs["input_ids"].shape[1] :]


def build(family: str) -> World:
    """A model of the family; the global random numbers are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = _MODELS[family]()
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "norm" not in name:
                weight.data = torch.randn(weight.shape) * 1.2 / weight[0].numel() ** 0.5
        model.eval().requires_grad_(False)
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = EOS
    # A generated placeholder is no answer, and transformers cannot read one without a cache.
    model.generation_config.suppress_tokens = [IMAGE, START, END, 47]
    if family == "instructblip":
        model.language_model.generation_config = model.generation_config
    return World(family, model, _inputs(family))


def _inputs(family: str) -> dict[str, Tensor]:
    image = [START, *[IMAGE] * TOKENS, END]
    rows = [[BOS, *image, 9, 17, 30, 22], [BOS, *image, 12, 40]]
    width = max(map(len, rows))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
    inputs = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5)) * 2 - 0.5
    if family.startswith("qwen"):
        grid = torch.tensor([[1, 8, 8], [1, 8, 8]])
        return {
            **inputs,
            "pixel_values": patches(images, 4, 2, 2),
            "image_grid_thw": grid,
            "mm_token_type_ids": (ids == IMAGE).int(),
        }
    if family in ("idefics3", "smolvlm"):
        return {**inputs, "pixel_values": images[:, None]}
    if family == "instructblip":
        return {**inputs, "pixel_values": images, "qformer_input_ids": torch.tensor([[1, 5, 6], [1, 7, 8]])}
    return {**inputs, "pixel_values": images}


def patches(images: Tensor, patch: int, merge: int, frames: int) -> Tensor:
    """Qwen's layout, written out with loops: merge block by merge block, each patch with its frames."""
    rows = []
    for image in images:
        _, height, width = image.shape
        block = patch * merge
        for top in range(0, height, block):
            for left in range(0, width, block):
                for down in range(merge):
                    for right in range(merge):
                        y, x = top + down * patch, left + right * patch
                        piece = image[:, y : y + patch, x : x + patch]
                        rows.append(piece[:, None].expand(-1, frames, -1, -1).reshape(-1))
    return torch.stack(rows)


def _llava() -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(**VISION, image_size=SIDE, patch_size=8, projection_dim=16)
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )
    return LlavaForConditionalGeneration(config)


def _internvl() -> Any:
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

    vision = InternVLVisionConfig(**VISION, image_size=[SIDE, SIDE], patch_size=[4, 4])
    config = InternVLConfig(
        vision_config=vision,
        text_config=Qwen2Config(**TEXT, tie_word_embeddings=False),
        image_token_id=IMAGE,
        image_seq_length=TOKENS,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    return InternVLForConditionalGeneration(config)


def _instructblip() -> Any:
    from transformers import (
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipQFormerConfig,
        InstructBlipVisionConfig,
        LlamaConfig,
    )

    config = InstructBlipConfig(
        vision_config=InstructBlipVisionConfig(**VISION, image_size=SIDE, patch_size=8).to_dict(),
        qformer_config=InstructBlipQFormerConfig(
            vocab_size=16, **VISION, encoder_hidden_size=32, cross_attention_frequency=1
        ).to_dict(),
        text_config=LlamaConfig(**TEXT).to_dict(),
        num_query_tokens=TOKENS,
        image_token_index=IMAGE,
    )
    return InstructBlipForConditionalGeneration(config)


def _idefics3() -> Any:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, LlamaConfig
    from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig

    vision = Idefics3VisionConfig(**VISION, image_size=SIDE, patch_size=4)
    config = Idefics3Config(
        vision_config=vision.to_dict(),
        text_config=LlamaConfig(**TEXT).to_dict(),
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=PAD,
    )
    return Idefics3ForConditionalGeneration(config)


def _smolvlm() -> Any:
    from transformers import LlamaConfig, SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig

    vision = SmolVLMVisionConfig(**VISION, image_size=SIDE, patch_size=4)
    config = SmolVLMConfig(
        vision_config=vision.to_dict(),
        text_config=LlamaConfig(**TEXT).to_dict(),
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=PAD,
    )
    return SmolVLMForConditionalGeneration(config)


_ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
_QWEN = {"image_token_id": IMAGE, "vision_start_token_id": START, "vision_end_token_id": END, "video_token_id": 47}


def _qwen2_vl() -> Any:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 4}
    config = Qwen2VLConfig(vision_config=vision, text_config={**TEXT, "rope_parameters": _ROPE}, **_QWEN)
    return Qwen2VLForConditionalGeneration(config)


def _qwen2_5_vl() -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {
        "depth": 2,
        "hidden_size": 32,
        "out_hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 4,
        "window_size": 16,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(vision_config=vision, text_config={**TEXT, "rope_parameters": _ROPE}, **_QWEN)
    return Qwen2_5_VLForConditionalGeneration(config)


def _qwen3_vl() -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {
        "depth": 2,
        "hidden_size": 32,
        "out_hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 4,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    text = {**TEXT, "head_dim": 8, "rope_parameters": _ROPE}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(vision_config=vision, text_config=text, **_QWEN))


_MODELS = {
    "llava": _llava,
    "instructblip": _instructblip,
    "internvl": _internvl,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
}


MATCHER_IDS = torch.tensor([[1, 9, 14, 2], [1, 20, 5, 2]])
