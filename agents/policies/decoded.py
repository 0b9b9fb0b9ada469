"""Actions written by a decoding method instead of by the model's own distribution: for evaluation, not for training.

What a decoder writes is sampled from logits that it fused and cut. The log-probabilities that are stored are of that
distribution; the model's own, which :meth:`VisionLMPolicy.score` gives, are others, so that no ratio of the two means
anything: trainers refuse such a policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fogline.agents.agent import SeatView
from fogline.agents.decoding import make_decoder
from fogline.agents.decoding.decoder import Decoder
from fogline.agents.decoding.gradcam import CLIP_MEAN, CLIP_STD, ImageTextMatcher
from fogline.agents.decoding.icd import DISTURBANCE
from fogline.agents.policies.checkpoints import load_tokenizer
from fogline.agents.policies.generation import Draft
from fogline.agents.policies.picture_encoder import PictureEncoder
from fogline.agents.policies.policy import Array
from fogline.core.errors import ConfigurationError

Evidence = Callable[[Mapping[str, Any]], Tensor]
"""From an observation to a map of its picture ``[h,w]``, or one per layer ``[L,h,w]``, in [0, 1]."""


class DecodedWriter:
    """Completes drafts with ``model.generate(custom_generate=decoder)``.

    Args:
        model: The whole model.
        encoder: Its seeing half.
        decoder: The method.
        image_id: Stands for a picture, and is never written.
        ends: Ids that end an action.
        stop: Whether the ids written so far end it.
        temperature: Divides the fused logits, where tokens are sampled.
        evidence: Where the evidence is, for methods that are told (``saliency="oracle"``).
        matcher_tokenizer: Of the decoder's matcher.

    Raises:
        ConfigurationError: A matcher without its tokenizer.
    """

    def __init__(
        self,
        model: Any,
        encoder: PictureEncoder,
        decoder: Decoder,
        *,
        image_id: int,
        ends: frozenset[int],
        stop: Callable[[list[int]], bool],
        temperature: float,
        evidence: Evidence | None = None,
        matcher_tokenizer: Any = None,
    ) -> None:
        if decoder.matcher is not None and matcher_tokenizer is None:
            raise ConfigurationError(
                "the decoder's matcher reads questions in tokens of its own: pass matcher_tokenizer= as well."
            )
        self._model, self._encoder, self._decoder = model, encoder, decoder
        self._image_id, self._ends, self._stop, self._temperature = image_id, ends, stop, temperature
        self._evidence, self._matcher_tokenizer = evidence, matcher_tokenizer

    @torch.no_grad()
    def write(
        self, views: Sequence[SeatView], drafts: Sequence[Draft], pictures: Sequence[Sequence[Array]], greedy: bool
    ) -> None:
        """Complete drafts in place; every prompt is read whole, with all pictures of its conversation.

        Args:
            views: Whose turns they are; each seeds the randomness of its own row.
            drafts: With nothing cached.
            pictures: Of each conversation, in order.
            greedy: Take the likeliest token of the fused logits.
        """
        device = next(self._model.parameters()).device
        longest = max(len(draft.pending) for draft in drafts)
        ids = torch.full((len(drafts), longest), self._pad, device=device)
        mask = torch.zeros_like(ids)
        for row, draft in enumerate(drafts):
            ids[row, longest - len(draft.pending) :] = torch.tensor(draft.pending, device=device)
            mask[row, longest - len(draft.pending) :] = 1
        said = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            **self._encoder.inputs([picture for row in pictures for picture in row], self._model.forward),
            **self._told(views),
            custom_generate=self._decoder,
            seeds=[int(view.rng.integers(2**62)) for view in views],
            max_new_tokens=max(draft.limit for draft in drafts),
            do_sample=not greedy,
            **({} if greedy else {"temperature": self._temperature, "top_k": 0, "top_p": 1.0}),
            eos_token_id=sorted(self._ends),
            pad_token_id=self._pad,
            # A picture's token among the words would stand for a picture that is not there.
            suppress_tokens=[self._image_id],
            stopping_criteria=[_Stopped(longest, self._stop)],
            return_dict_in_generate=True,
            output_scores=True,
        )
        self._take(drafts, said, longest)

    @property
    def _pad(self) -> int:
        """Fills rows that are done; any id does, since nobody reads it."""
        return min(self._ends)

    def _take(self, drafts: Sequence[Draft], said: Any, start: int) -> None:
        # A search has no distribution that its tokens were drawn from: OPERA's come without log-probabilities.
        logp = [torch.log_softmax(scores.double(), -1) for scores in said.scores or ()]
        for row, draft in enumerate(drafts):
            written: list[int] = said.sequences[row, start:].tolist()
            for step, token in enumerate(written):
                draft.ids.append(token)
                draft.logps += [float(logp[step][row, token])] if logp else []
                if len(draft.ids) >= draft.limit or self._stop(draft.ids):
                    break
            draft.done = True
            conversation = draft.conversation
            conversation.tokens[conversation.cached :] = [*draft.pending, *draft.ids]

    def _told(self, views: Sequence[SeatView]) -> dict[str, Any]:
        """What the method reads beside the prompt."""
        told: dict[str, Any] = {}
        uses = self._decoder.uses
        if self._evidence is not None and "saliency_maps" in uses:
            told["saliency_maps"] = [[self._evidence(view.observation)] for view in views]
        if self._decoder.matcher is not None:
            questions = [str(view.observation["question"]) for view in views]
            read = self._matcher_tokenizer(questions, padding=True, return_tensors="pt")
            told |= {"matcher_input_ids": read["input_ids"], "matcher_attention_mask": read["attention_mask"]}
        return told


def named_decoder(name: str, tokenizer: Any, matcher: ImageTextMatcher | None = None, **options: Any) -> Decoder:
    """A decoder by name; ICD disturbs by the sentence of its release where no other is given.

    Args:
        name: One of :data:`~fogline.agents.decoding.DECODERS`.
        tokenizer: Of the model.
        matcher: As :func:`~fogline.agents.decoding.make_decoder`.
        options: As there.

    Raises:
        ConfigurationError: As there.
    """
    if name == "icd":
        read = tokenizer(DISTURBANCE, add_special_tokens=False)["input_ids"]
        options = {"disturbance": tuple(read), **options}
    return make_decoder(name, matcher=matcher, **options)


class _Stopped:
    """A criterion of generate: a row, or a beam of one, is done where its action ends."""

    def __init__(self, start: int, stop: Callable[[list[int]], bool]) -> None:
        self._start, self._stop = start, stop

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        done = [self._stop(ids) for ids in input_ids[:, self._start :].tolist()]
        return torch.tensor(done, device=input_ids.device)


def open_matcher(source: str | Path) -> tuple[ImageTextMatcher, Any]:
    """A matcher and its tokenizer, from a folder or the hub.

    Args:
        source: Of a ``BlipForImageTextRetrieval``, such as ``Salesforce/blip-itm-large-coco``.

    Raises:
        ConfigurationError: There is none.
    """
    from transformers import AutoProcessor, BlipForImageTextRetrieval

    loader: Any = AutoProcessor
    kind: Any = BlipForImageTextRetrieval
    try:
        processor = loader.from_pretrained(str(source))
        model = kind.from_pretrained(str(source), attn_implementation="eager")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"matcher={str(source)!r} cannot be loaded as a BlipForImageTextRetrieval with its processor: {error}"
        ) from error
    pixels = processor.image_processor
    mean, deviation = getattr(pixels, "image_mean", CLIP_MEAN), getattr(pixels, "image_std", CLIP_STD)
    return ImageTextMatcher(model, mean, deviation), processor.tokenizer


def vision_agent(
    model: str,
    decoding: str = "plain",
    *,
    matcher: str | None = None,
    greedy: bool = True,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    device: str | None = None,
    dtype: str | None = None,
    **options: Any,
) -> Any:
    """A model that sees, from a folder or the hub, and a way to decode what it says: ``--agent vision``.

    Args:
        model: Of the LLaVA pattern; see :class:`~fogline.agents.policies.vision.VisionLMPolicy`.
        decoding: One of :data:`~fogline.agents.decoding.DECODERS`.
        matcher: An image-text matcher for ``pnd`` and ``agla``; see :func:`open_matcher`.
        greedy: Take the likeliest token; otherwise sample.
        temperature: Where it samples.
        max_new_tokens: Longest answer, in tokens.
        device: Where the model is.
        dtype: Of its weights.
        options: Settings of the decoder.

    Raises:
        ConfigurationError: For an unknown decoder or option, or a model that cannot be loaded.
    """
    from fogline.agents.policies.vision import VisionLMPolicy

    found, matcher_tokenizer = (None, None) if matcher is None else open_matcher(matcher)
    tokenizer = load_tokenizer(None, model)
    policy = VisionLMPolicy(
        model,
        decoding=named_decoder(decoding, tokenizer, found, **options),
        matcher_tokenizer=matcher_tokenizer,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        device=device,
        dtype=dtype,
        name=decoding,
    )
    policy.greedy = greedy
    return policy
