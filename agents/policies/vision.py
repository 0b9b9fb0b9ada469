"""The policy of environments that show a picture and ask about it: a language model that sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fogline.agents.agent import Decision, SeatView
from fogline.agents.policies.checkpoints import parts_of, without_adapters
from fogline.agents.policies.generation import Draft
from fogline.agents.policies.language import CausalLMPolicy
from fogline.agents.policies.picture_encoder import (
    Gallery,
    PictureEncoder,
    PictureReader,
    check_pictures,
    decoder_of,
    drop_capturing_hooks,
)
from fogline.agents.policies.picture_template import PictureTemplate
from fogline.agents.policies.pictures import IMAGE, QUESTION, fault_of, load_processor, pixels_of
from fogline.agents.policies.policy import ROW_PREFIX, Array, RowContext
from fogline.core.episode import Turn
from fogline.core.errors import AgentError, ConfigurationError, DataError

if TYPE_CHECKING:
    from fogline.agents.decoding.decoder import Decoder
    from fogline.agents.policies.decoded import Saliency

_PICTURES = "images"
_MEMORY = "policy.pictures"


class _Seen(NamedTuple):
    """A picture of a conversation, and where its tokens stand there."""

    picture: Array
    places: tuple[int, ...]


class VisionLMPolicy(CausalLMPolicy):
    """Plays with a model of the LLaVA pattern (Liu et al., arXiv 2304.08485): features of pictures stand for tokens.

    An observation is ``{"image": [H,W,3] uint8, "question": text}``, an action is text. The ids that are stored are
    those that the model's own processor makes, with the image token once for each feature of a picture; pixels are no
    tokens and travel beside them, see :meth:`context`. All else is as in :class:`CausalLMPolicy`. Equal pictures are
    looked at once in each pass, and rows with the same picture and words share their reading.

    Args:
        model: A transformers model of image and text to text, a folder that :meth:`save` wrote, or a name on the hub.
        tokenizer: As there; by default that of the processor.
        processor: The model's processor, or where to load it from; by default the one beside the model. A loaded LLaVA
            without one takes plain pixels, as :func:`~fogline.agents.policies.tiny_vision.tiny_vision_lm` does: see
            :class:`~fogline.agents.policies.pictures.PlainPixels`.
        chat_template: As there; by default that of the processor.
        freeze_sight: Leave what sees as it is while the language model learns, as LLaVA leaves its tower: a language
            model that has not learned to read yet teaches a tower to see wrongly.
        decoding: Who writes instead of the model's own distribution: a name or a decoder of
            :mod:`~fogline.agents.decoding`; see :mod:`~fogline.agents.policies.decoded`. To evaluate, not to train: it
            does not score. In exchange its model may be of any family that decoders know, Qwen-VL included.
        saliency: Tells a decoder with ``saliency="oracle"`` where the evidence of an observation is.
        matcher_tokenizer: Of the decoder's matcher.
        name: Shown in reports.
        options: As there; ``render`` turns a question into text.

    Raises:
        ConfigurationError: As there, or for a model that places image tokens in a way of its own.
        MissingDependencyError: As there, or for a processor without Pillow.
    """

    _loader = "AutoModelForImageTextToText"

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        processor: Any = None,
        chat_template: str | None = None,
        freeze_sight: bool = False,
        decoding: str | Decoder | None = None,
        saliency: Saliency | None = None,
        matcher_tokenizer: Any = None,
        name: str = "vision-lm",
        **options: Any,
    ) -> None:
        self._processor = load_processor(processor, model)
        super().__init__(
            model,
            tokenizer if tokenizer is not None else getattr(self._processor, "tokenizer", None),
            chat_template=chat_template or getattr(self._processor, "chat_template", None),
            name=name,
            **options,
        )
        if freeze_sight:
            for weight in self.sight():
                weight.requires_grad_(False)
        self.decoding = decoding
        self._writer = None
        if decoding is None:
            check_pictures(self.model, self._reader, self._head, self._encoder, self.tokenizer)
            return
        from fogline.agents.policies.decoded import DecodedWriter, fitted

        self.decoding = fitted(decoding, self.tokenizer, self._encoder.pixels)
        self._writer = DecodedWriter(
            self.model,
            self._encoder,
            self.decoding,
            image_id=self._image_id,
            ends=frozenset(self._ends),
            stop=self._stop,
            temperature=self.temperature,
            saliency=saliency,
            matcher_tokenizer=matcher_tokenizer,
        )

    def _parts(self) -> tuple[nn.Module, nn.Module]:
        inner = without_adapters(self.model)
        self._image_id: int = _image_id(inner.config, self.tokenizer)
        mark = self.tokenizer.convert_ids_to_tokens(self._image_id)
        self._encoder = PictureEncoder(inner, pixels_of(inner.config, self._processor, mark), mark)
        self._reader = PictureReader(decoder_of(inner), inner.get_input_embeddings(), self._vocabulary_size)
        return self._reader, parts_of(inner)[1]

    def _conversation_template(self, source: str | None, reply_role: str) -> PictureTemplate:
        return PictureTemplate(self.tokenizer, self._encoder.mark, source, reply_role)

    def features(self, pictures: Sequence[Array]) -> list[Tensor]:
        """What the language model reads of pictures (``[H,W,3]`` uint8), ``[m,H]`` each, with gradient."""
        return self._encoder.features([self._encoder.pixels.canvas(picture) for picture in pictures])

    def sight(self) -> list[nn.Parameter]:
        """The weights that make features of pictures: all but those of the language model and its head."""
        reading = {id(weight) for part in (self._reader, self._head) for weight in part.parameters()}
        inner = without_adapters(self.model)
        return [weight for weight in inner.parameters() if id(weight) not in reading]

    # Acting

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        """Write one action for each view, all in one batch; an unfit observation is an :class:`AgentError`."""
        faults = [self._fault(view.observation, view.system_prompt) for view in views]
        fit = [view for view, fault in zip(views, faults, strict=True) if fault is None]
        answers = iter(super().act(fit))
        return [next(answers) if fault is None else AgentError(fault) for fault in faults]

    def _fault(self, observation: Any, rules: str) -> str | None:
        fault = fault_of(observation)
        if fault is not None:
            return fault
        for what, text in ((QUESTION, self._render(observation[QUESTION])), ("the system prompt", rules)):
            if self._encoder.mark in text:
                return (
                    f"{what} contains the image token {self._encoder.mark!r}, which would stand for a picture that is "
                    "not there: expected words alone."
                )
        return self._encoder.pixels.fault(observation[IMAGE])

    def _said(self, observation: Any, rules: str, *, begun: bool, end: int | None) -> str:
        fault = self._fault(observation, rules)
        if fault is not None:
            raise DataError(fault)
        text = super()._said(observation[QUESTION], rules, begun=begun, end=end)
        return text.replace(self._encoder.mark, self._encoder.marks(observation[IMAGE].shape), 1)

    @torch.no_grad()
    def _sample(self, views: Sequence[SeatView], drafts: Sequence[Draft]) -> None:
        """Complete drafts whose pending image tokens are virtual ids while the model reads them."""
        seen = [self._seen(view, draft) for view, draft in zip(views, drafts, strict=True)]
        if self._writer is not None:
            self._writer.write(views, drafts, [[item.picture for item in row] for row in seen], self.greedy)
            for view, row in zip(views, seen, strict=True):
                view.memory[_MEMORY] = row
            return
        gallery = Gallery()
        unread = [
            (draft, picture.places, gallery.place(picture.picture))
            for draft, pictures in zip(drafts, seen, strict=True)
            for picture in pictures
            if picture.places[-1] >= draft.conversation.cached
        ]
        features = self._encoder.features(gallery.pictures)
        starts = np.cumsum([self._vocabulary_size, *map(len, features)]).tolist()
        for draft, places, number in unread:
            cached = draft.conversation.cached
            for virtual, place in enumerate(places, starts[number]):
                if place >= cached:
                    draft.pending[place - cached] = virtual
        with self._reader.showing(torch.cat(features)):
            super()._sample(views, drafts)
        for draft, places, _ in unread:
            for place in places:
                draft.conversation.tokens[place] = self._image_id
        for view, pictures in zip(views, seen, strict=True):
            view.memory[_MEMORY] = pictures

    def _seen(self, view: SeatView, draft: Draft) -> list[_Seen]:
        """The pictures of a conversation, that of this turn included."""
        conversation = draft.conversation
        start, cached = len(conversation.tokens), conversation.cached
        new = draft.pending[start - cached :]
        places = tuple(place for place, token in enumerate(new, start) if token == self._image_id)
        picture = self._encoder.pixels.canvas(view.observation[IMAGE])
        return [*view.memory.get(_MEMORY, ()), _Seen(picture, places)]

    # Scoring

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        """The pictures that the turns show, ``images`` ``[pictures,H,W,3]`` uint8 per row.

        Raises:
            DataError: For an observation without a fit picture, pictures of several shapes, or tokens of another
                policy.
        """
        pictures = []
        for turn in turns:
            fault = self._fault(turn.observation, "")
            if fault is not None:
                raise DataError(fault)
            picture = self._encoder.pixels.canvas(turn.observation[IMAGE])
            found, count = turn.context_token_ids.count(self._image_id), self._encoder.count(picture.shape)
            if found != count:
                raise DataError(
                    f"a turn has {found} image tokens for a picture of {count}: expected tokens of {self.name}; "
                    "transcribe the episode."
                )
            pictures.append(picture)
        shapes = {picture.shape for picture in pictures}
        if len(shapes) > 1:
            raise DataError(f"an episode shows pictures of shapes {sorted(shapes)}: expected one shape.")
        return RowContext(per_row={_PICTURES: np.stack(pictures)} if pictures else {})

    def _at_places(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if self._writer is not None:
            raise ConfigurationError(
                f"{self.name!r} writes by the decoding method {type(self.decoding).__name__}, whose distribution is "
                "not the model's own: leave decoding out to score or to train, and evaluate with it."
            )
        self.model.eval()
        # An image token that the policy wrote itself shows nothing.
        shown = (tokens == self._image_id) & attention_mask & ~policy_mask
        images = context.get(ROW_PREFIX + _PICTURES)
        bank = None
        if bool(shown.any()):
            tokens, bank = self._with_virtual(tokens, shown, images)
        with self._reader.showing(bank):
            return super()._at_places(tokens, attention_mask, policy_mask, context)

    def _with_virtual(self, tokens: Tensor, shown: Tensor, images: Tensor | None) -> tuple[Tensor, Tensor]:
        """Ids ``[N,T]`` with virtual ones where ``shown``, and the bank ``[J,H]`` that they name, with gradient."""
        if images is None:
            raise DataError(
                f"rows have image tokens and the batch no context {ROW_PREFIX + _PICTURES!r}: expected that of "
                "VisionLMPolicy.context, as batch_of puts it there."
            )
        each, most = self._encoder.count(tuple(images.shape[2:])), images.shape[1]
        counts = shown.sum(1)
        wrong = (counts % each != 0) | (counts > each * most)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise DataError(
                f"row {row} has {int(counts[row])} image tokens: expected {each} for each picture, and at most {most} "
                "pictures."
            )
        gallery = Gallery()
        numbers = np.zeros((len(tokens), most), np.int64)
        pixels = images.cpu().numpy()
        for row, count in enumerate((counts // each).tolist()):
            numbers[row, :count] = [gallery.place(picture) for picture in pixels[row, :count]]
        bank = torch.cat(self._encoder.features(gallery.pictures))
        rank = (shown.cumsum(1) - 1).clamp(min=0)
        number = torch.from_numpy(numbers).to(tokens.device).gather(1, (rank // each).clamp(max=most - 1))
        return torch.where(shown, self._vocabulary_size + number * each + rank % each, tokens), bank

    # Keeping

    def __getstate__(self) -> dict[str, Any]:
        """As :meth:`CausalLMPolicy.__getstate__`."""
        drop_capturing_hooks(self.model)
        return super().__getstate__()

    def save(self, folder: str | Path, *, merge: bool = True) -> None:
        """Write model, processor and template so that ``AutoModelForImageTextToText`` and ``AutoProcessor`` read them.

        Args:
            folder: As :meth:`CausalLMPolicy.save`.
            merge: As there.

        Raises:
            MissingDependencyError: Without Pillow.
        """
        pixels = self._encoder.pixels
        pixels.save(Path(folder), self._templated_tokenizer(), self._encoder.count((pixels.edge, pixels.edge, 3)))
        super().save(folder, merge=merge)


def _image_id(config: Any, tokenizer: Any) -> int:
    found = getattr(config, "image_token_id", None)
    if found is None or not 0 <= found < len(tokenizer):
        raise ConfigurationError(
            f"the model's image_token_id is {found}, and the tokenizer has {len(tokenizer)} tokens: expected the id of "
            "an image token that the tokenizer knows."
        )
    return int(found)
