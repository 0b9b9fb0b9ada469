"""How turns become tokens: once, when they are new.

A conversation is a list of ids that only grows. Its first turn is the rendered start; each later turn appends what
the template puts between an assistant's message and its next one. That is possible only with templates that are
prefix-preserving: rendering a longer conversation starts with the rendering of the shorter one, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.core.errors import ConfigurationError

PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}"
    "{% endfor %}"
)
"""For models without a template: rules and observations end with an empty line, actions with the end token."""

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The format of Qwen and others, with nothing taken out of earlier turns."""

BUILT_IN: Mapping[str, str] = {"plain": PLAIN, "chatml": CHATML}

_ACTIONS = ("first <b>action</b>", "<think>\nsome reason\n</think>\n\nsecond action", "third action")
_OBSERVATIONS = ("\u27e6first observation\u27e7", "\u27e6second observation\u27e7", "\u27e6third observation\u27e7")
_RULES = "\u27e6rules\u27e7"


class ConversationTemplate:
    """Renders starts and continuations of conversations.

    Args:
        tokenizer: A transformers tokenizer.
        template: Jinja source, or the name of one in :data:`BUILT_IN`; None takes the tokenizer's own, or ``plain``.
        reply_role: Role of the environment's replies, ``"user"`` or ``"tool"``; the first observation is the user's.

    Attributes:
        source: The Jinja source in use.
        end_id: The token that ends an action: the template's own end of a turn if it has one, else the end token.
        end_ids: Both.

    Raises:
        ConfigurationError: If the template is not prefix-preserving.
    """

    def __init__(self, tokenizer: Any, template: str | None = None, reply_role: str = "user") -> None:
        self._tokenizer = tokenizer
        self._role = reply_role
        self.source: str = BUILT_IN.get(template or "", template or "") or tokenizer.chat_template or PLAIN
        if self.source == PLAIN and tokenizer.eos_token is None:
            raise ConfigurationError(
                "the tokenizer has neither a chat template nor an end token: set tokenizer.eos_token, or hand in "
                "chat_template=."
            )
        self._before, self._after = self._between()
        closing = self._closing()
        end = tokenizer.eos_token_id if closing is None else closing
        if end is None:
            raise ConfigurationError(
                "nothing ends an action: set tokenizer.eos_token, or hand in a chat_template= whose assistant messages "
                "end with a special token."
            )
        self.end_id: int = end
        self.end_ids = frozenset({end, tokenizer.eos_token_id} - {None})

    def start(self, rules: str, observation: str) -> str:
        """The text up to where the first action begins."""
        return self._render([*_system(rules), {"role": "user", "content": observation}], True)

    def reply(self, observation: str, end: int | None) -> str:
        """The text between two actions.

        Args:
            observation: The environment's reply.
            end: The token that ended the action, which is not said twice; None if the action was cut.
        """
        before = self._before
        if end is not None:
            before = before.removeprefix(self._tokenizer.decode([end], clean_up_tokenization_spaces=False))
        return before + observation + self._after

    def _render(self, messages: Sequence[Mapping[str, str]], prompt: bool) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages), chat_template=self.source, add_generation_prompt=prompt, tokenize=False
            )
        except Exception as error:
            raise ConfigurationError(
                f"the chat template cannot render roles {[message['role'] for message in messages]} ({error}): hand in "
                f"another as chat_template=, such as one of {sorted(BUILT_IN)}."
            ) from error
        return text

    def _between(self) -> tuple[str, str]:
        """What surrounds an observation that follows an action; checks that it is always the same."""
        openings = ("", _RULES) if self._takes_rules() else ("",)
        surroundings = {self._surroundings(turns, rules) for turns in (1, 2, 3) for rules in openings}
        if len(surroundings) != 1:
            raise _not_preserving(f"an observation is surrounded differently from turn to turn ({surroundings})")
        return surroundings.pop()

    def _takes_rules(self) -> bool:
        """Some templates refuse system messages; that matters only to environments that have rules."""
        try:
            self.start(_RULES, _OBSERVATIONS[0])
        except ConfigurationError:
            return False
        return True

    def _surroundings(self, turns: int, rules: str) -> tuple[str, str]:
        messages = [*_system(rules), {"role": "user", "content": "\u27e6question\u27e7"}]
        for turn in range(turns):
            action, observation = _ACTIONS[turn], _OBSERVATIONS[turn]
            earlier = self._render(messages, True) + action
            messages.append({"role": "assistant", "content": action})
            messages.append({"role": self._role, "content": observation})
            later = self._render(messages, True)
            if not later.startswith(earlier):
                raise _not_preserving(_difference(earlier, later))
        before, found, after = later[len(earlier) :].partition(observation)
        if not found:
            raise _not_preserving(f"the observation {observation!r} does not appear after the action")
        return before, after

    def _closing(self) -> int | None:
        """The special token right after an action, if there is one."""
        ids = self._tokenizer(self._before, add_special_tokens=False)["input_ids"] if self._before else []
        special = set(self._tokenizer.all_special_ids) | set(self._tokenizer.get_added_vocab().values())
        return int(ids[0]) if ids and ids[0] in special else None


def _system(rules: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": rules}] if rules else []


def _difference(earlier: str, later: str) -> str:
    place = next((at for at, pair in enumerate(zip(earlier, later, strict=False)) if pair[0] != pair[1]), len(later))
    start = max(0, place - 20)
    return f"{earlier[start : place + 20]!r} became {later[start : place + 20]!r} once more was said"


def _not_preserving(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the chat template is not prefix-preserving: {what}. Tokens are appended and never rendered again, so what "
        f"the policy reads must not change later; hand in another as chat_template=, such as one of {sorted(BUILT_IN)}."
    )
