"""Actions written by a decoding method instead of by the model's own distribution: for evaluation, not for training.

What a decoder writes is chosen from logits that it fused and cut. The log-probabilities that are stored are those of
what was chosen from; the model's own are others, so that no ratio of the two means anything: trainers refuse such a
policy, and it does not score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isnan
from typing import Any

import torch
from torch import Tensor

from fogline.agents.agent import SeatView
from fogline.agents.decoding import make_decoder
from fogline.agents.decoding.decoder import Decoder
from fogline.agents.decoding.families import family_of
from fogline.agents.decoding.icd import DISTURBANCE, ICD
from fogline.agents.decoding.opera import OPERA
from fogline.agents.decoding.options import ViewOptions
from fogline.agents.policies.checkpoints import without_adapters
from fogline.agents.policies.generation import Draft
from fogline.agents.policies.picture_encoder import PictureEncoder
from fogline.agents.policies.pictures import IMAGE, QUESTION, Pixels
from fogline.agents.policies.policy import Array
from fogline.core.errors import AgentError, ConfigurationError

Saliency = Callable[[Mapping[str, Any]], Tensor]
"""From an observation to a map of its picture ``[h,w]``, or one per layer ``[L,h,w]``, in [0, 1].

The picture that it is shown is the one that the model is shown: on a model's canvas where the model has one.
"""

_MAPS = "policy.saliency"


class DecodedWriter:
    """Completes drafts with ``model.generate(custom_generate=decoder)``.

    Every turn reads its conversation anew, with all its pictures: the caches of a method's paths end with the turn.

    Args:
        model: The whole model, adapters included.
        encoder: Its seeing half.
        decoder: The method, as :func:`fitted` returns it.
        image_id: Stands for a picture, and is never written.
        ends: Ids that end an action.
        stop: Whether the ids written so far end it.
        temperature: Divides the fused logits.
        saliency: Where the evidence is, for methods that are told (``saliency="oracle"``).
        matcher_tokenizer: Of the decoder's matcher.

    Raises:
        ConfigurationError: For a model of no known family, a matcher without its tokenizer, a method that waits for
            maps and has nobody to give them, or a giver of maps whom it does not ask.
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
        saliency: Saliency | None = None,
        matcher_tokenizer: Any = None,
    ) -> None:
        # Adapters are layers of the model itself: what is around it only hides the names of its arguments.
        self._model = without_adapters(model)
        family_of(self._model.config)
        if decoder.matcher is not None and matcher_tokenizer is None:
            raise ConfigurationError(
                "the decoder's matcher reads questions in tokens of its own: pass matcher_tokenizer= as well."
            )
        told = getattr(decoder.options, "saliency", None) == "oracle"
        if told != (saliency is not None):
            raise ConfigurationError(
                f"{type(decoder).__name__} with saliency='oracle' is told where the evidence is: pass saliency=, from "
                "an observation to its maps, or choose saliency='attention' or 'matcher'."
                if told
                else f"{type(decoder).__name__} does not ask where the evidence is: leave saliency= out, or choose a "
                "decoder with the option saliency='oracle'."
            )
        self._encoder, self._decoder = encoder, decoder
        self._image_id, self._ends, self._stop, self._temperature = image_id, ends, stop, temperature
        self._saliency, self._matcher_tokenizer = saliency, matcher_tokenizer

    @torch.no_grad()
    def write(
        self, views: Sequence[SeatView], drafts: Sequence[Draft], pictures: Sequence[Sequence[Array]], greedy: bool
    ) -> None:
        """Complete drafts in place, those with the same limit in one batch.

        Args:
            views: Whose turns they are; each seeds the randomness of its own row, sampled noise included.
            drafts: With nothing cached.
            pictures: Of each conversation, in order.
            greedy: Take the likeliest token of the fused logits.

        Raises:
            AgentError: The model's logits are not numbers.
            ConfigurationError: A search is asked to sample.
        """
        if isinstance(self._decoder, OPERA) and not greedy:
            raise ConfigurationError("opera searches and does not sample: set the policy's greedy=True.")
        seeds = [int(view.rng.integers(2**62)) for view in views]
        for limit in sorted({draft.limit for draft in drafts}):
            rows = [row for row, draft in enumerate(drafts) if draft.limit == limit]
            own = [drafts[row] for row in rows]
            said, start = self._said(
                own,
                limit,
                greedy,
                seeds=[seeds[row] for row in rows],
                **self._shown([picture for row in rows for picture in pictures[row]]),
                **self._told([views[row] for row in rows], [pictures[row][-1] for row in rows]),
            )
            self._take(own, said, start, self._temperature if greedy else 1.0)

    def _said(self, drafts: Sequence[Draft], limit: int, greedy: bool, **inputs: Any) -> tuple[Any, int]:
        """What generate returns for the drafts, and where their actions begin."""
        device = next(self._model.parameters()).device
        start = max(len(draft.pending) for draft in drafts)
        # Fills rows that wait or are done; any id does, since nobody reads it.
        pad = min(self._ends)
        ids = torch.full((len(drafts), start), pad, device=device)
        mask = torch.zeros_like(ids)
        for row, draft in enumerate(drafts):
            ids[row, start - len(draft.pending) :] = torch.tensor(draft.pending, device=device)
            mask[row, start - len(draft.pending) :] = 1
        with _settings_of_its_own(self._model):
            said = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                custom_generate=self._decoder,
                max_new_tokens=limit,
                do_sample=not greedy,
                **({} if greedy else {"temperature": self._temperature, "top_k": 0, "top_p": 1.0}),
                eos_token_id=sorted(self._ends),
                pad_token_id=pad,
                # A picture's token among the words would stand for a picture that is not there.
                suppress_tokens=[self._image_id],
                stopping_criteria=[_Stopped(start, self._stop)],
                return_dict_in_generate=True,
                output_scores=True,
                **inputs,
            )
        return said, start

    def _take(self, drafts: Sequence[Draft], said: Any, start: int, temperature: float) -> None:
        # A search chooses from no distribution: OPERA's tokens come without log-probabilities.
        logp = [torch.log_softmax(scores.double() / temperature, -1) for scores in said.scores or ()]
        for row, draft in enumerate(drafts):
            for step, token in enumerate(said.sequences[row, start:].tolist()):
                draft.ids.append(token)
                draft.logps += [float(logp[step][row, token])] if logp else []
                if self._stop(draft.ids):
                    break
            if any(map(isnan, draft.logps)):
                raise AgentError("the model's logits are not numbers: its weights are damaged, go back to a save.")
            draft.done = True
            conversation = draft.conversation
            conversation.tokens[conversation.cached :] = [*draft.pending, *draft.ids]

    def _shown(self, pictures: Sequence[Array]) -> dict[str, Any]:
        """The pictures as the model's processor lays them out."""
        return self._encoder.inputs(pictures, self._model.get_image_features)

    def _told(self, views: Sequence[SeatView], pictures: Sequence[Array]) -> dict[str, Any]:
        """What the method reads beside the prompt; ``pictures`` are those of this turn."""
        told: dict[str, Any] = {}
        if self._saliency is not None:
            for view, picture in zip(views, pictures, strict=True):
                map_ = self._saliency({**view.observation, IMAGE: picture})
                view.memory[_MAPS] = [*view.memory.get(_MAPS, ()), map_]
            told["saliency_maps"] = [view.memory[_MAPS] for view in views]
        if self._decoder.matcher is not None:
            questions = [str(view.observation[QUESTION]) for view in views]
            read = self._matcher_tokenizer(questions, padding=True, return_tensors="pt")
            told |= {"matcher_input_ids": read["input_ids"], "matcher_attention_mask": read["attention_mask"]}
        return told


def fitted(decoder: str | Decoder, tokenizer: Any, pixels: Pixels) -> Decoder:
    """A decoder that knows its model: what black and white are, and how to disturb an instruction.

    Settings that were given stay as they are.

    Args:
        decoder: One of :data:`~fogline.agents.decoding.DECODERS`, or a decoder.
        tokenizer: Of the model; ICD disturbs by the sentence of its release where no other is given.
        pixels: Say what the model's processor subtracts and divides by.

    Raises:
        ConfigurationError: As :func:`~fogline.agents.decoding.make_decoder`.
    """
    made = make_decoder(decoder) if isinstance(decoder, str) else decoder
    known: dict[str, Any] = {}
    if isinstance(made.options, ViewOptions):
        known = {"image_mean": pixels.mean, "image_std": pixels.deviation}
    if isinstance(made, ICD):
        known = {"disturbance": tuple(tokenizer(DISTURBANCE, add_special_tokens=False)["input_ids"])}
    unsaid = {name: value for name, value in known.items() if name not in made.options.model_fields_set}
    return type(made)(made.options.model_copy(update=unsaid), made.matcher) if unsaid else made


@contextmanager
def _settings_of_its_own(model: Any) -> Iterator[None]:
    """Leave out what a model's folder asks of generate, such as a repetition penalty: the policy samples without."""
    from transformers import GenerationConfig

    blank: Any = GenerationConfig
    before = model.generation_config
    model.generation_config = blank()
    try:
        yield
    finally:
        model.generation_config = before


class _Stopped:
    """A criterion of generate: a row, or a beam of one, is done where its action ends."""

    def __init__(self, start: int, stop: Callable[[list[int]], bool]) -> None:
        self._start, self._stop = start, stop

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        done = [self._stop(ids) for ids in input_ids[:, self._start :].tolist()]
        return torch.tensor(done, device=input_ids.device)
