"""Causal models from disk or memory: loaded, adapted, and checked to be what the policy assumes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fogline.agents.policies.kv_cache import Conversation, KeyValueStore
from fogline.core.errors import ConfigurationError, missing_dependency

_PROBE = 6
_TOLERANCE = 1e-3
_HALF = 64.0
CRITIC = "critic.safetensors"
"""File of a critic's weights beside the model's."""


def load_model(
    model: Any,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    loader: str = "AutoModelForCausalLM",
) -> Any:
    """Return a transformers model on its device.

    Args:
        model: A loaded model, a local folder or a name on the hub.
        dtype: Of the weights, a torch dtype or its name; None keeps a loaded model's, and the file's.
        device: Where to; None leaves it where it is.
        loader: Name of the class of transformers that loads this kind of model.

    Raises:
        ConfigurationError: If nothing can be loaded from there, or the dtype does not exist.
    """
    wanted = dtype_of(dtype)
    if isinstance(model, str | Path):
        import transformers

        try:
            with no_progress_bar():
                model = getattr(transformers, loader).from_pretrained(str(model), dtype=wanted or "auto")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"model={str(model)!r} cannot be loaded by {loader}: expected a folder written by save_pretrained, or "
                f"a name on the hub ({error})."
            ) from error
    return model.to(device=device or model.device, dtype=wanted or model.dtype)


@contextlib.contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for every small file."""
    from transformers.utils import logging as library

    logging: Any = library
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_tokenizer(tokenizer: Any, model: Any) -> Any:
    """Return a tokenizer; by default the one that lies beside the model.

    Raises:
        ConfigurationError: If there is none.
    """
    source = model if tokenizer is None else tokenizer
    if not isinstance(source, str | Path):
        if tokenizer is None:
            raise ConfigurationError("tokenizer=None with a loaded model: hand in its tokenizer, or its folder.")
        return tokenizer
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(source))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"no tokenizer can be loaded from {str(source)!r} ({error}).") from error


def dtype_of(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """The torch dtype of a name.

    Raises:
        ConfigurationError: If there is no such floating-point dtype.
    """
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ConfigurationError(f"dtype={dtype!r} is unknown: expected 'float32', 'bfloat16', 'float16' or 'float64'.")
    return found


def add_adapters(model: Any, options: Mapping[str, Any]) -> Any:
    """Wrap a model with LoRA adapters (Hu et al., arXiv 2106.09685), the only weights that stay trainable.

    Args:
        model: A loaded model.
        options: Keywords of ``peft.LoraConfig``.

    Raises:
        MissingDependencyError: If peft is not installed.
        ConfigurationError: If peft refuses the options, or they ask for dropout.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise missing_dependency("peft", "lora") from None
    if options.get("lora_dropout"):
        raise ConfigurationError(
            f"lora_dropout={options['lora_dropout']}: expected 0, because a probability ratio under two different "
            "dropout masks says nothing about the policy."
        )
    try:
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"lora={dict(options)} is refused by peft: {error}") from error


@contextlib.contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """The base model without its adapters; a model without any is left as it is."""
    disable = getattr(model, "disable_adapter", None)
    with contextlib.nullcontext() if disable is None else disable():
        yield


def without_adapters(model: Any) -> Any:
    """The model that adapters were put into; they stay where they are."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def parts_of(model: Any) -> tuple[nn.Module, nn.Module]:
    """Backbone and head of a model, with adapters where it has any.

    Raises:
        ConfigurationError: If it has no head over a vocabulary.
    """
    inner = without_adapters(model)
    head = inner.get_output_embeddings()
    if head is None or inner.base_model is inner:
        raise ConfigurationError(f"{type(inner).__name__} has no language-model head: expected a causal model.")
    return inner.base_model, head


def context_length(model: Any, wanted: int | None) -> tuple[int, int | None]:
    """Longest conversation in tokens, and the number of positions that the model has.

    Raises:
        ConfigurationError: If it is unknown, longer than the model's positions, or longer than a sliding window.
    """
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    length = positions if wanted is None else wanted
    if length is None:
        raise ConfigurationError(f"{type(model).__name__} names no longest context: set max_context.")
    if length < 2:
        raise ConfigurationError(f"max_context={length} is too short: expected at least 2 tokens.")
    if positions is not None and length > positions:
        raise ConfigurationError(f"max_context={length} is longer than the model's {positions} positions.")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds - {"full_attention", "sliding_attention"}:
        raise ConfigurationError(
            f"layers of kind {sorted(kinds)} keep a state that is no list of keys and values: expected a model with "
            "attention layers only."
        )
    window = getattr(config, "sliding_window", None)
    sliding = "sliding_attention" in kinds or (window and getattr(config, "use_sliding_window", True))
    if sliding and window and length > window:
        raise ConfigurationError(
            f"max_context={length} is longer than the model's sliding window of {window} tokens: set max_context to at "
            f"most {window}, within which sliding and full attention are the same."
        )
    return length, positions


@torch.no_grad()
def check_parts(model: Any, backbone: nn.Module, head: nn.Module, vocabulary_size: int) -> None:
    """Probe a model with a few tokens: head over backbone, and a split cached pass, must give its own logits.

    Raises:
        ConfigurationError: If they do not: it scales or caps its logits, or places tokens in a way of its own.
    """
    device = next(backbone.parameters()).device
    ids = torch.arange(_PROBE, device=device)[None] % vocabulary_size
    expected: Tensor = model(input_ids=ids, use_cache=False).logits
    if not same_logits(logits_in_parts(backbone, head, ids), expected):
        raise ConfigurationError(
            f"{type(model).__name__} does not give its own logits when its parts are run one by one: expected a model "
            "whose logits are its head applied to its last hidden state, with keys and values cached by position."
        )


@torch.no_grad()
def logits_in_parts(backbone: nn.Module, head: nn.Module, ids: Tensor) -> Tensor:
    """Logits ``[1,T,V]`` of one row of ids ``[1,T]``, read as the sampler does: in two passes, with a cache."""
    weight = next(backbone.parameters())
    device, length = ids.device, ids.shape[1]
    store, conversation = KeyValueStore(), Conversation()
    store.admit([conversation])
    store.reserve(length)
    half = length // 2
    outputs = []
    for start, stop in ((0, half), (half, length)):
        positions = torch.arange(start, stop, device=device)[None]
        store.aim(0, positions, stop, None, fresh=start == 0)
        later = torch.arange(stop, device=device) > positions[:, None, :, None]
        bias = torch.zeros(later.shape, dtype=weight.dtype, device=device).masked_fill_(
            later, torch.finfo(weight.dtype).min
        )
        outputs.append(
            backbone(
                input_ids=ids[:, start:stop],
                position_ids=positions,
                attention_mask=None if start == 0 else bias,
                past_key_values=store,
                use_cache=True,
            ).last_hidden_state
        )
    logits: Tensor = head(torch.cat(outputs, 1))
    return logits


def same_logits(found: Tensor, expected: Tensor, tolerance: float = _TOLERANCE) -> bool:
    """Whether logits are the same but for rounding, which is coarser in half precision."""
    if expected.dtype not in (torch.float32, torch.float64):
        tolerance *= _HALF
    return torch.allclose(found.double(), expected.double(), atol=tolerance, rtol=tolerance)


def configured_ends(model: Any) -> frozenset[int]:
    """End tokens that the model's own generation settings name."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else ends)


def value_head(backbone: nn.Module, config: Any, model: Any) -> nn.Linear:
    """A linear critic that begins at 0, or the one saved beside the model."""
    weight = next(backbone.parameters())
    width = config.get_text_config().hidden_size
    dtype = weight.dtype if weight.dtype == torch.float64 else torch.float32
    head = nn.Linear(width, 1, device=weight.device, dtype=dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    if isinstance(model, str | Path) and (Path(model) / CRITIC).exists():
        from safetensors.torch import load_file

        head.load_state_dict(load_file(str(Path(model) / CRITIC)))
    return head
