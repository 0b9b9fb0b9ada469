"""Small models that see, of several families, and a game of pictures with conversations of any length."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from small_language import TEXTS

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.policy import Array
from fogline.agents.policies.tiny import fit_tokenizer
from fogline.agents.policies.tiny_vision import PICTURE, TEMPLATE, seeing_tokenizer, tiny_vision_lm
from fogline.agents.policies.vision import VisionLMPolicy
from fogline.core.episode import Episode, Turn
from fogline.core.spaces import UnicodeText

EDGE, SHAPE = 32, (32, 24)


@cache
def tokenizer() -> Any:
    """Words of a small world, and an image token; shared, because nothing changes it."""
    return seeing_tokenizer(fit_tokenizer(TEXTS, vocabulary_size=160))


def small_model(dtype: torch.dtype = torch.float64, seed: int = 1, **options: Any) -> Any:
    """A tiny LLaVA of two layers, untrained but opinionated: four tokens a picture."""
    shape = {"layers": 2, "width": 32, "heads": 2, "vision_width": 16, "context": 256, "induction": False}
    model = tiny_vision_lm(tokenizer(), image_size=EDGE, dtype=dtype, seed=seed, **{**shape, **options})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(0.25 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return model


def small_policy(dtype: torch.dtype = torch.float64, **options: Any) -> VisionLMPolicy:
    """A policy of a few words a turn; with this seed it writes no image token, which no whole model could read."""
    model = small_model(dtype, options.pop("seed", 1))
    return VisionLMPolicy(model, tokenizer(), **{"max_new_tokens": 6, **options})


def picture(seed: int, shape: tuple[int, int] = SHAPE) -> Array:
    """Noise, ``[H,W,3]`` uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def shown(seed: int, question: str = "the cat") -> dict[str, Any]:
    """An observation."""
    return {"image": picture(seed), "question": question}


def view(name: str, observation: Mapping[str, Any], rules: str = "") -> SeatView:
    """A seat that sees something for the first time."""
    seat = SeatView("Pictures-v0", name, "agent", None, entropy=(len(name), *name.encode()), system_prompt=rules)
    seat.observation = observation
    return seat


def act(policy: VisionLMPolicy, views: Sequence[SeatView]) -> list[Decision]:
    """Decisions, where none may fail."""
    answers = policy.act(views)
    decisions = [answer for answer in answers if isinstance(answer, Decision)]
    assert len(decisions) == len(views), answers
    return decisions


def turn(observation: Any, decision: Decision) -> Turn:
    """What the collector makes of a decision."""
    return Turn(
        "agent", observation, decision.action, 0.0, {}, "", False,
        decision.context_token_ids, decision.action_token_ids, decision.logps, 0,
    )  # fmt: skip


def played(policy: VisionLMPolicy, observations: Sequence[Sequence[Any]], rules: str = "") -> list[Episode]:
    """One episode for each list of observations, all played at once; shorter ones end earlier."""
    views = [view(f"seat {number}", own[0], rules) for number, own in enumerate(observations)]
    turns: list[list[Turn]] = [[] for _ in views]
    for step in range(max(map(len, observations))):
        live = [number for number, own in enumerate(observations) if step < len(own)]
        for number in live:
            views[number].observation = observations[number][step]
        for number, decision in zip(live, act(policy, [views[number] for number in live]), strict=True):
            turns[number].append(turn(observations[number][step], decision))
    return [Episode("Pictures-v0", f"t{n}", n, tuple(own), "terminated") for n, own in enumerate(turns)]


class PicturesEnv(gymnasium.Env[dict[str, Any], str]):
    """Shows one of a few pictures and says a word, ``length-N`` times; a word of the action is worth 1."""

    metadata: ClassVar[dict[str, Any]] = {"name": "Pictures-v0", "render_modes": []}
    system_prompt = "the owl sees"
    task_ids = tuple(f"length-{turns}" for turns in (1, 2, 3))

    def __init__(self) -> None:
        image = spaces.Box(0, 255, (*SHAPE, 3), np.uint8)
        self.observation_space = spaces.Dict({"image": image, "question": UnicodeText(1000)})
        self.action_space = UnicodeText(1000)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.task_id = str((options or {}).get("task_id", "length-2"))
        self.left = int(self.task_id.partition("-")[2])
        return self._shown(), {"task_id": self.task_id}

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.left -= 1
        reward = float("cat" in action)
        over = self.left == 0
        info = {"outcome": {"words": reward}, "metrics": {}} if over else {}
        return self._shown(), reward, over, False, info

    def _shown(self) -> dict[str, Any]:
        words = ["cat", "dog", "owl"]
        return shown(int(self.np_random.integers(3)), words[int(self.np_random.integers(3))])


# Families of transformers: a model, and the processor that it would come with.

_TEXT: dict[str, Any] = {
    "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2,
    "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
_TOWER: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 32, "initializer_range": 0.2,
}  # fmt: skip


def _words(mark: str, *more: str) -> tuple[Any, dict[str, Any]]:
    """A tokenizer with these special tokens, and a text configuration of its size."""
    words = copy.deepcopy(fit_tokenizer(TEXTS, vocabulary_size=160))
    words.add_tokens([mark, *more], special_tokens=True)
    words.chat_template = TEMPLATE.replace(PICTURE, mark)
    return words, {"vocab_size": len(words), **_TEXT}


def _llava_processor(words: Any, mark: str, cls: int, **image: Any) -> Any:
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    kind: Any = LlavaProcessor
    return kind(
        image_processor=CLIPImageProcessorPil(**image), tokenizer=words, patch_size=8, image_token=mark,
        vision_feature_select_strategy="default" if cls else "full", num_additional_image_tokens=cls,
        chat_template=words.chat_template,
    )  # fmt: skip


_SQUARE: dict[str, Any] = {"size": {"height": 32, "width": 32}, "do_center_crop": False}


def _llava() -> tuple[Any, Any]:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    words, text = _words("<image>")
    config = LlavaConfig(
        text_config=LlamaConfig(**text), vision_config=CLIPVisionConfig(patch_size=8, projection_dim=16, **_TOWER),
        image_token_index=words.convert_tokens_to_ids("<image>"), vision_feature_layer=[-2, -1],
    )  # fmt: skip
    crop: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    return LlavaForConditionalGeneration(config), _llava_processor(words, "<image>", 1, **crop)


def _llava_next() -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessorPil,
        LlavaNextProcessor,
    )

    words, text = _words("<image>")
    grid: Any = [[32, 64], [64, 32]]
    config = LlavaNextConfig(
        text_config=LlamaConfig(**text), vision_config=CLIPVisionConfig(patch_size=8, projection_dim=16, **_TOWER),
        image_token_index=words.convert_tokens_to_ids("<image>"), image_grid_pinpoints=grid,
    )  # fmt: skip
    images: Any = LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=grid
    )
    kind: Any = LlavaNextProcessor
    processor = kind(
        image_processor=images, tokenizer=words, patch_size=8, vision_feature_select_strategy="default",
        image_token="<image>", num_additional_image_tokens=1, chat_template=words.chat_template,
    )  # fmt: skip
    return LlavaNextForConditionalGeneration(config), processor


def _internvl() -> tuple[Any, Any]:
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

    words, text = _words("<IMG_CONTEXT>")
    tower: Any = InternVLVisionConfig(**{**_TOWER, "image_size": [32, 32], "patch_size": [4, 4]})
    config = InternVLConfig(
        vision_config=tower, text_config=Qwen2Config(**text), image_seq_length=16, downsample_ratio=0.5,
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )  # fmt: skip
    return InternVLForConditionalGeneration(config), _llava_processor(words, "<IMG_CONTEXT>", 0, **_SQUARE)


def _idefics3(prefix: str = "Idefics3", split: bool = False) -> tuple[Any, Any]:
    import transformers
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor, LlamaConfig

    rows = [f"<row_{row}_col_{column}>" for row in (1, 2, 3) for column in (1, 2, 3)]
    words, text = _words("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *rows)
    config = getattr(transformers, f"{prefix}Config")(
        vision_config={**_TOWER, "patch_size": 4}, text_config=LlamaConfig(**text).to_dict(), scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"), pad_token_id=0,
    )  # fmt: skip
    images: Any = Idefics3ImageProcessorPil(
        size={"longest_edge": 64 if split else 32}, max_image_size={"longest_edge": 32}, do_image_splitting=split
    )
    kind: Any = Idefics3Processor
    processor = kind(image_processor=images, tokenizer=words, image_seq_len=16, chat_template=words.chat_template)
    return getattr(transformers, f"{prefix}ForConditionalGeneration")(config), processor


def _qwen2_vl() -> tuple[Any, Any]:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    words, text = _words("<|image_pad|>")
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1]}
    tower: Any = {"depth": 2, "embed_dim": 16, "hidden_size": 24, "num_heads": 2, "mlp_ratio": 2, "patch_size": 4}
    config = Qwen2VLConfig(
        text_config={**text, "rope_parameters": rope}, vision_config=tower,
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
    )  # fmt: skip
    return Qwen2VLForConditionalGeneration(config), _llava_processor(words, "<|image_pad|>", 0, **_SQUARE)


class QwenProcessor:
    """Lays pictures out in patches, as Qwen's does: that one asks for torchvision, because of its films."""

    def __init__(self, words: Any, mark: str) -> None:
        from transformers import Qwen2VLImageProcessorPil

        kind: Any = Qwen2VLImageProcessorPil
        self.image_processor = kind(patch_size=4, min_pixels=16 * 16, max_pixels=32 * 32)
        self.tokenizer, self.chat_template, self._mark = words, words.chat_template, mark

    def __call__(self, text: list[str], images: list[list[Any]], **options: Any) -> dict[str, Any]:
        seen = self.image_processor(images=[image for row in images for image in row], return_tensors="pt")
        tokens = [int(grid.prod()) // 4 for grid in seen["image_grid_thw"]]
        full = [one.replace(self._mark, self._mark * count) for one, count in zip(text, tokens, strict=True)]
        return {**self.tokenizer(full, **options), **seen}


def qwen2_vl() -> tuple[Any, Any]:
    """A model in float64 that places image tokens in three dimensions, with a processor that lays pictures out so."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    words, text = _words(*marks)
    words.chat_template = TEMPLATE.replace(PICTURE, marks[2] + marks[0] + marks[3])
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1]}
    tower: Any = {"depth": 2, "embed_dim": 16, "hidden_size": 24, "num_heads": 2, "mlp_ratio": 2, "patch_size": 4}
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids = dict(zip(names, words.convert_tokens_to_ids(list(marks)), strict=True))
    config = Qwen2VLConfig(text_config={**text, "rope_parameters": rope}, vision_config=tower, **ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen2VLForConditionalGeneration(config)
    return model.double(), QwenProcessor(words, marks[0])


def _gemma3() -> tuple[Any, Any]:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3TextConfig, SiglipVisionConfig

    words, text = _words("<image_soft_token>")
    shape: Any = {"sliding_window": 256, "head_dim": 4, "query_pre_attn_scalar": 4}
    tower: Any = {**_TOWER, "patch_size": 8, "vision_use_head": False}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**text, **shape), vision_config=SiglipVisionConfig(**tower),
        mm_tokens_per_image=16, image_token_id=words.convert_tokens_to_ids("<image_soft_token>"),
    )  # fmt: skip
    return Gemma3ForConditionalGeneration(config), _llava_processor(words, "<image_soft_token>", 0, **_SQUARE)


FAMILIES: Mapping[str, Callable[[], tuple[Any, Any]]] = {
    "llava": _llava,
    "llava-next": _llava_next,
    "internvl": _internvl,
    "idefics3": _idefics3,
    "idefics3-tiles": lambda: _idefics3(split=True),
    "smolvlm": lambda: _idefics3("SmolVLM"),
    "qwen2-vl": _qwen2_vl,
    "gemma3": _gemma3,
}


def family(name: str) -> tuple[Any, Any]:
    """A model of a family in float64, and its processor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, processor = FAMILIES[name]()
    return model.double(), processor
