"""Paths: one prompt continued token by token, each with its own arguments and its own cache.

The released PND hands every path the original's cache from the second token on, and the contrast is gone after the
first. Here a path shares nothing with its siblings but the model and the tokens that were chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor

from fogline.agents.decoding.attention import Steering, steered

Selector = Callable[[Any, Tensor, Tensor], Any]
"""Image features of some rows of a batch: ``(features, image mask [B,T], rows [n]) -> features``."""


class Path:
    """A view of the prompt and its continuation.

    Args:
        model: What generate runs on.
        input_ids: The prompt, ``[B,T]``.
        arguments: Keyword arguments of the model's forward pass, as generate prepares them. The path owns them.
        image_mask: Which prompt tokens stand for the image, ``[B,T]``, bool.
        select_features: How image features are cut to some rows.
        steering: Guest in this path's attention; the attention must be steerable then.

    Attributes:
        outputs: The newest forward pass.
        logits: Its next-token logits, ``[B,V]``, float32.
    """

    def __init__(
        self,
        model: Any,
        input_ids: Tensor,
        arguments: dict[str, Any],
        image_mask: Tensor,
        select_features: Selector,
        steering: Steering | None = None,
    ) -> None:
        self.model = model
        self.input_ids = input_ids
        self.image_mask = image_mask
        self.steering = steering
        self.arguments = arguments
        self.outputs: Any = None
        self.logits: Tensor = torch.empty(0)
        self._select_features = select_features
        self._read = 0

    def forward(self, generation_config: Any) -> None:
        """Read what was not read yet, and predict the next token."""
        with steered(self.model.get_decoder(), self.steering):
            self.outputs = self._read_on(generation_config)
        self._read = self.input_ids.shape[1]
        self.arguments = self._longer(self.outputs, 1)
        # A copy: the logits of a long prompt would be kept alive by a view of their last row.
        self.logits = self.outputs.logits[:, -1].to(copy=True, dtype=torch.float32, device=self.input_ids.device)

    def _read_on(self, generation_config: Any) -> Any:
        arguments = dict(self.arguments)
        if self._read == 0:
            return self.model._prefill(self.input_ids, generation_config, arguments)
        unread = self.input_ids.shape[1] - self._read if arguments["use_cache"] else None
        inputs = self.model.prepare_inputs_for_generation(self.input_ids, next_sequence_length=unread, **arguments)
        return self.model(**inputs, return_dict=True)

    def append(self, tokens: Tensor) -> None:
        """Continue with tokens ``[B,n]``."""
        self.input_ids = torch.cat([self.input_ids, tokens], 1)
        if tokens.shape[1] > 1:
            self.arguments = self._longer({}, tokens.shape[1] - 1)

    def select(self, rows: Tensor) -> Path:
        """A path of its own with these rows ``[n]`` of this one, in this order; a row may come more than once."""
        arguments = {name: self._rows_of(name, value, rows) for name, value in self.arguments.items()}
        steering = None if self.steering is None else self.steering.select(rows)
        chosen = Path(
            self.model, self.input_ids[rows], arguments, self.image_mask[rows], self._select_features, steering
        )
        chosen._read = self._read
        chosen.logits = self.logits[rows] if self.logits.numel() else self.logits
        return chosen

    def _longer(self, outputs: Any, tokens: int) -> dict[str, Any]:
        longer: dict[str, Any] = self.model._update_model_kwargs_for_generation(
            outputs, self.arguments, is_encoder_decoder=False, num_new_tokens=tokens
        )
        return longer

    def _rows_of(self, name: str, value: Any, rows: Tensor) -> Any:
        if name == "past_key_values":
            return _rows_of_cache(value, rows)
        if name == "mm_encoder_outputs":
            return {kind: self._select_features(features, self.image_mask, rows) for kind, features in value.items()}
        batch = self.input_ids.shape[0]
        if isinstance(value, Tensor) and value.ndim == 3 and name == "position_ids":
            return value[:, rows]
        return value[rows] if isinstance(value, Tensor) and value.ndim and value.shape[0] == batch else value


def _rows_of_cache(cache: Any, rows: Tensor) -> Any:
    """A cache of its own with some rows. Choosing rows copies the tensors: only the objects around them need copies."""
    if cache is None or not cache.get_seq_length():
        return deepcopy(cache)
    chosen = copy(cache)
    chosen.layers = [copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(rows)
    return chosen
