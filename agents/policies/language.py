"""The policy of text environments: a causal language model that writes one action a turn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fogline.agents.agent import Decision, SeatView
from fogline.agents.chat import rendered
from fogline.agents.policies.characters import CharacterCheck
from fogline.agents.policies.chat_template import ConversationTemplate
from fogline.agents.policies.checkpoints import (
    CRITIC,
    adapters_off,
    add_adapters,
    check_parts,
    configured_ends,
    context_length,
    load_model,
    load_tokenizer,
    no_progress_bar,
    parts_of,
    value_head,
)
from fogline.agents.policies.forward import Forward, Reading
from fogline.agents.policies.generation import Draft, Sampler
from fogline.agents.policies.kv_cache import Conversation, KeyValueStore
from fogline.agents.policies.policy import RowContext
from fogline.agents.policies.shared_prefix import SharedPrefix
from fogline.agents.policies.stopping import StopRule
from fogline.agents.policies.vocabulary import VocabularyPlaces, log_distribution
from fogline.core.episode import Episode, Turn
from fogline.core.errors import AgentError, ConfigurationError, DataError

_MEMORY = "policy.conversation"


class CausalLMPolicy:
    """Plays with a causal language model, token in, token out.

    A conversation's ids are kept and only appended to: what was sampled is what is scored. Keys and values stay
    cached between turns, so that a turn reads its new tokens and no other. Each seat samples from its own generator.
    Dropout is off in sampling and scoring alike.

    Args:
        model: A transformers model, a folder written by ``save_pretrained``, or a name on the hub.
        tokenizer: Its tokenizer, or where to load it from; None loads the one beside the model.
        temperature: Divides the logits, in sampling and in scoring. There is no other filter: the stored
            log-probabilities are those of the whole distribution.
        max_new_tokens: Longest action in tokens.
        max_context: Longest conversation in tokens; by default all positions of the model. An action is cut when it is
            full, and a turn that finds no room at all ends the episode with an :class:`AgentError`.
        stop: Strings after which an action ends; they stay part of it.
        chat_template: Jinja source, or ``"plain"`` or ``"chatml"``; by default the tokenizer's own, else ``"plain"``.
        reply_role: Role under which replies of the environment are shown, ``"user"`` or ``"tool"``.
        rules: Whether the environment's system prompt opens the conversation.
        render: Turns an observation into text; by default text stays and anything else becomes JSON.
        dtype: Of the weights, such as ``"bfloat16"``; probabilities are always in float32 or better.
        device: Where the model runs.
        lora: Keywords of ``peft.LoraConfig``: train adapters and leave the model as it is.
        chunk: Places whose logits over the vocabulary exist at once in scoring; by default about 16 million logits.
        critic: Whether to add a value head on the last hidden state.
        name: Shown in reports.

    Attributes:
        version: Number of weight updates; whoever updates the weights counts it up, and caches of older weights
            are dropped.
        check_vocabulary: Called with texts, raises a ConfigurationError that names the characters which the tokenizer
            cannot represent; acting and transcribing call it with all that they read.
        greedy: Take the most likely token instead of sampling.
        stop: Strings that end an action.
        tokens_forwarded: Tokens that went through the model in sampling so far, padding not counted.

    Raises:
        ConfigurationError: For a model, a tokenizer, a template or an option that cannot work.
        MissingDependencyError: For ``lora`` without peft.
    """

    batch_size: int | None = None
    together = True
    _loader = "AutoModelForCausalLM"

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        temperature: float = 1.0,
        max_new_tokens: int = 256,
        max_context: int | None = None,
        stop: Sequence[str] = (),
        chat_template: str | None = None,
        reply_role: str = "user",
        rules: bool = True,
        render: Callable[[Any], str] | None = None,
        dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        lora: Mapping[str, Any] | None = None,
        chunk: int | None = None,
        critic: bool = False,
        name: str = "causal-lm",
    ) -> None:
        if not temperature > 0 or max_new_tokens < 1 or (chunk is not None and chunk < 1):
            raise ConfigurationError(
                f"temperature={temperature}, max_new_tokens={max_new_tokens}, chunk={chunk}: expected more than 0, at "
                "least 1 and at least 1. For the most likely token set greedy=True."
            )
        self.name = name
        self.version = 0
        self.greedy = False
        self.has_critic = critic
        self.tokenizer = load_tokenizer(tokenizer, model)
        loaded = load_model(model, dtype, device, self._loader)
        self.max_context, positions = context_length(loaded, max_context)
        self.model = loaded if lora is None else add_adapters(loaded, lora)
        self.model.eval()
        self.temperature = temperature
        self.stop = tuple(stop)
        self._vocabulary_size = int(loaded.get_input_embeddings().weight.shape[0])
        self._backbone, self._head = self._parts()
        self.template = self._conversation_template(chat_template, reply_role)
        check_parts(self.model, self._backbone, self._head, self._vocabulary_size)
        self._critic = value_head(self._backbone, loaded.config, model) if critic else None
        self._module = (
            self.model if self._critic is None else nn.ModuleDict({"model": self.model, "critic": self._critic})
        )
        self._chunk = chunk
        self._max_new_tokens = max_new_tokens
        self._rules = rules
        self._render = render or rendered
        self.check_vocabulary = CharacterCheck(self.tokenizer)
        self._ends = self.template.end_ids | configured_ends(loaded)
        self._stop = StopRule(self.tokenizer, self._ends, stop)
        self._positions = positions or self.max_context
        self._prepare()

    def _parts(self) -> tuple[nn.Module, nn.Module]:
        """From ids to hidden states, and from these to logits."""
        return parts_of(self.model)

    def _conversation_template(self, source: str | None, reply_role: str) -> ConversationTemplate:
        return ConversationTemplate(self.tokenizer, source, reply_role)

    def _prepare(self) -> None:
        """Begin without conversations."""
        self._store = KeyValueStore()
        self._sampler = Sampler(self._backbone, self._head, self._store, self.temperature, self._positions, self._stop)
        self._weights = self._stamp()

    @property
    def module(self) -> nn.Module:
        """All weights, the critic's included; under LoRA only the adapters are trainable."""
        return self._module

    @property
    def tokens_forwarded(self) -> int:
        """Tokens that went through the model in sampling so far, padding not counted."""
        return self._sampler.tokens_forwarded

    # Acting

    def act(self, views: Sequence[SeatView]) -> list[Decision | Exception]:
        """Write one action for each view, all in one batch."""
        self.model.eval()
        self._forget_old_weights()
        contexts = self._contexts(views)
        answers: list[Decision | Exception | None] = [None] * len(views)
        drafts: dict[int, Draft] = {}
        for index, (view, context) in enumerate(zip(views, contexts, strict=True)):
            conversation = _conversation(view)
            room = self.max_context - len(conversation.tokens) - len(context)
            if room < 1:
                answers[index] = AgentError(
                    f"the conversation has {len(conversation.tokens) + len(context)} tokens and no room for an action "
                    f"within max_context={self.max_context}: raise it, shorten the observations or play fewer turns."
                )
                continue
            uniforms = None if self.greedy else view.rng.random(self._max_new_tokens)
            pending = [*conversation.tokens[conversation.cached :], *context]
            drafts[index] = Draft(conversation, pending, uniforms, min(self._max_new_tokens, room))
        if drafts:
            self._sample([views[index] for index in drafts], list(drafts.values()))
        for index, draft in drafts.items():
            answers[index] = self._decision(draft, contexts[index])
        return [answer for answer in answers if answer is not None]

    def _sample(self, views: Sequence[SeatView], drafts: Sequence[Draft]) -> None:
        """Complete the views' drafts."""
        self._sampler.run(drafts)

    def write(self, drafts: Sequence[Draft]) -> None:
        """Complete drafts of conversations that somebody else keeps."""
        self.model.eval()
        self._forget_old_weights()
        self._sampler.run(drafts)

    def _decision(self, draft: Draft, context: Sequence[int]) -> Decision:
        ended = draft.conversation.ended = draft.ids[-1] in self._ends
        written = draft.ids[:-1] if ended else draft.ids
        text = self.tokenizer.decode(written, clean_up_tokenization_spaces=False)
        version = self.version if draft.version is None else draft.version
        return Decision(text, tuple(context), tuple(draft.ids), tuple(draft.logps), policy_version=version)

    def _contexts(self, views: Sequence[SeatView]) -> list[list[int]]:
        """Ids that each view's environment appends; equal texts are encoded once."""
        texts = [self._text(view) for view in views]
        self.check_vocabulary(texts)
        distinct = list(dict.fromkeys(texts))
        encoded = self.tokenizer(distinct, add_special_tokens=False)["input_ids"] if distinct else []
        known = dict(zip(distinct, encoded, strict=True))
        return [known[text] for text in texts]

    def _text(self, view: SeatView) -> str:
        conversation = _conversation(view)
        tokens = conversation.tokens
        end = tokens[-1] if conversation.ended else None
        return self._said(view.observation, view.system_prompt, begun=bool(tokens), end=end)

    def _said(self, observation: Any, rules: str, *, begun: bool, end: int | None) -> str:
        """The environment's side: all before the first action or, once a conversation has begun, between two."""
        shown = self._render(observation)
        return self.template.reply(shown, end) if begun else self.template.start(rules if self._rules else "", shown)

    def _forget_old_weights(self) -> None:
        stamp = self._stamp()
        if stamp != self._weights:
            self._weights = stamp
            self._store.forget()

    def _stamp(self) -> tuple[int, int]:
        """Changes with the declared version, and with every in-place update of a weight."""
        return self.version, sum(weight._version for weight in self.model.parameters())

    # Learning from others

    def transcribe(self, episode: Episode, rules: str | Mapping[str, str] = "") -> Episode:
        """Somebody else's episode in this policy's tokens: what it would have read, and would have had to write.

        Args:
            episode: Text actions, by any agent.
            rules: The environment's system prompt, for all seats or by seat.

        Returns:
            The episode with context and action ids on every turn, each action closed by the end token.
            Log-probabilities are 0: a demonstrator was certain.

        Raises:
            DataError: For an action that is no text.
        """
        begun: set[str] = set()
        turns = []
        end = self.template.end_id
        for turn in episode.turns:
            if not isinstance(turn.action, str):
                raise DataError(
                    f"an action of {episode.env_id} is a {type(turn.action).__name__}: expected text. Play the "
                    "environment in its text form."
                )
            rule = rules if isinstance(rules, str) else rules.get(turn.seat, "")
            context = self._said(turn.observation, rule, begun=turn.seat in begun, end=end)
            read, written = self.tokenizer([context, turn.action], add_special_tokens=False)["input_ids"]
            begun.add(turn.seat)
            action = (*written, end)
            certain = (0.0,) * len(action)
            turns.append(turn._replace(context_token_ids=tuple(read), action_token_ids=action, logps=certain))
        return replace(episode, turns=tuple(turns))

    # Scoring

    def context(self, turns: Sequence[Turn], final_observation: Any) -> RowContext:
        """Nothing: the tokens say it all."""
        return RowContext()

    def score(
        self,
        tokens: Tensor,
        attention_mask: Tensor,
        policy_mask: Tensor,
        context: Mapping[str, Tensor],
        *,
        entropy: bool = False,
        values: bool = False,
        observe: Callable[[Tensor], Tensor] | None = None,
        read: Reading | None = None,
    ) -> Forward:
        """Log-probabilities of tokens that were sampled earlier, under the current weights.

        Args:
            tokens: ``[N,T]`` int64, padded on the right; what the padding holds does not matter.
            attention_mask: ``[N,T]`` bool, True for tokens that exist.
            policy_mask: ``[N,T]`` bool, True where the policy wrote.
            context: Of the batch; what is no token, where the policy reads more than text.
            entropy: Whether ``Forward.entropy`` is wanted.
            values: Whether ``Forward.values`` is wanted.
            observe: See :meth:`Policy.score`.
            read: See :meth:`Policy.score`.

        Raises:
            ConfigurationError: For ``values`` without a critic.
            DataError: If a row's first token is said to be the policy's, or a row is longer than ``max_context``.
        """
        if values and self._critic is None:
            raise ConfigurationError("values=True, but the policy has no critic: build it with critic=True.")
        at_places, written = self._at_places(tokens, attention_mask, policy_mask, context)
        places = VocabularyPlaces(
            at_places,
            written,
            (tokens.shape[0], tokens.shape[1]),
            self._head,
            self.temperature,
            self._vocabulary_size,
            self._chunk,
        )
        estimates = None
        if values and self._critic is not None:
            estimates = self._critic(at_places.to(self._critic.weight.dtype))[:, 0]
        chosen = tokens.to(at_places.device)[written]
        return places.forward(chosen, entropy=entropy, values=estimates, observe=observe, read=read)

    @property
    def vocabulary_size(self) -> int:
        """Entries of a distribution."""
        return self._vocabulary_size

    def states(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> Tensor:
        """What :meth:`distribution` reads at the places that the policy wrote: hidden states ``[N,T,H]``, 0 elsewhere.

        Args and errors as :meth:`score`.
        """
        at_places, written = self._at_places(tokens, attention_mask, policy_mask, context)
        return at_places.new_zeros(*tokens.shape, at_places.shape[-1]).index_put(written, at_places)

    def distribution(self, states: Tensor) -> Tensor:
        """Log-probabilities ``[…,V]`` of the next token, from states ``[…,H]``."""
        return log_distribution(self._head, states, self.temperature)

    def _at_places(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Hidden states ``[M,H]`` that predict what the policy wrote, and the rows and columns of that."""
        if bool(policy_mask[:, 0].any()):
            raise DataError("policy_mask is True at a row's first token, which nothing predicts: expected a context.")
        if tokens.shape[1] > self.max_context and bool(attention_mask[:, self.max_context :].any()):
            raise DataError(f"a row has more tokens than max_context={self.max_context}: expected at most as many.")
        self.model.eval()
        device = next(self._backbone.parameters()).device
        mask = (policy_mask & attention_mask).to(device)
        rows, columns = mask.nonzero(as_tuple=True)
        hidden = self._hidden(tokens.to(device), attention_mask.sum(1).to(device), mask, (rows, columns - 1))
        return hidden, (rows, columns)

    def _hidden(self, ids: Tensor, lengths: Tensor, mask: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """Hidden states ``[M,H]`` at places; prompts that rows share are read once where that saves enough."""
        prefix = SharedPrefix(ids, lengths, mask)
        if prefix.worthwhile:
            return prefix.hidden(self._backbone, ids, lengths, places)
        # Padding lies to the right, where a causal model does not look: no mask is needed, which is also the fast way.
        width = max(int(lengths.max()), 1)
        hidden: Tensor = self._backbone(input_ids=ids[:, :width], use_cache=False).last_hidden_state
        return hidden[places]

    def bootstrap(self, context: Mapping[str, Tensor]) -> Tensor | None:
        """None: what follows a cut conversation is text that nobody has read."""
        return None

    # Keeping

    def reference(self) -> FrozenReference:
        """Today's policy, frozen, for a KL term; under LoRA the model without its adapters, at no cost in memory."""
        if hasattr(self.model, "disable_adapter"):
            return FrozenReference(self)
        frozen = copy.deepcopy(self)
        frozen.module.requires_grad_(False)
        return FrozenReference(frozen)

    def save(self, folder: str | Path, *, merge: bool = True) -> None:
        """Write model, tokenizer and template so that ``from_pretrained`` and ``transformers serve`` read them.

        Args:
            folder: Where to; made if it does not exist.
            merge: Under LoRA, write the whole model with the adapters merged in; False writes the adapters alone.
        """
        model = self.model
        if merge and hasattr(model, "merge_and_unload"):
            model = copy.deepcopy(model).merge_and_unload()
        with no_progress_bar():
            model.save_pretrained(str(folder))
        self._templated_tokenizer().save_pretrained(str(folder))
        if self._critic is not None:
            from safetensors.torch import save_file

            save_file(self._critic.state_dict(), str(Path(folder) / CRITIC))

    def _templated_tokenizer(self) -> Any:
        tokenizer = copy.deepcopy(self.tokenizer)
        tokenizer.chat_template = self.template.source
        return tokenizer

    def __getstate__(self) -> dict[str, Any]:
        """All but the conversations: a copy, or a policy in another process, begins without any."""
        return {key: value for key, value in self.__dict__.items() if key not in {"_store", "_sampler"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()


class FrozenReference:
    """Scores as the policy did when it was made, without gradient.

    Args:
        policy: Whose model it is; where that has adapters, they are switched off while it scores.
    """

    def __init__(self, policy: CausalLMPolicy) -> None:
        self._policy = policy

    @torch.no_grad()
    def score(
        self, tokens: Tensor, attention_mask: Tensor, policy_mask: Tensor, context: Mapping[str, Tensor]
    ) -> Forward:
        """As :meth:`CausalLMPolicy.score`; log-probabilities only."""
        with adapters_off(self._policy.model):
            return self._policy.score(tokens, attention_mask, policy_mask, context)


def _conversation(view: SeatView) -> Conversation:
    known: Conversation | None = view.memory.get(_MEMORY)
    if known is None:
        known = view.memory[_MEMORY] = Conversation()
    return known
