"""Conversations in which whoever speaks to the policy shows it a picture, then says something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fogline.agents.policies.chat_template import ConversationTemplate
from fogline.core.errors import ConfigurationError

_WORDS = "\u27e6words\u27e7"


class PictureTemplate(ConversationTemplate):
    """As :class:`ConversationTemplate`; each observation has one image token where the template puts a picture.

    Templates that know messages of several parts are given a picture and a text; others a text that begins with the
    image token.

    Args:
        tokenizer: A transformers tokenizer.
        mark: The image token.
        template: As there.
        reply_role: As there.

    Raises:
        ConfigurationError: As there, or if a message of one picture does not get one image token.
    """

    def __init__(self, tokenizer: Any, mark: str, template: str | None = None, reply_role: str = "user") -> None:
        self._mark = mark
        self._parts: bool | None = None
        super().__init__(tokenizer, template, reply_role)
        found = self.start("", _WORDS).count(mark)
        if found != 1:
            raise ConfigurationError(
                f"the chat template writes {found} image tokens ({mark!r}) for one picture: expected one. Hand in "
                "another as chat_template=."
            )

    def _render(self, messages: Sequence[Mapping[str, Any]], prompt: bool) -> str:
        if self._parts is None:
            self._parts = self._takes_parts()
        return super()._render([self._shown(message, self._parts) for message in messages], prompt)

    def _takes_parts(self) -> bool:
        try:
            text = super()._render([self._shown({"role": "user", "content": _WORDS}, True)], True)
        except ConfigurationError:
            return False
        # A template that only joins texts may write the parts out as Python would.
        return self._mark in text and _WORDS in text and "'type'" not in text

    def _shown(self, message: Mapping[str, Any], parts: bool) -> Mapping[str, Any]:
        """A message with its picture, which only the policy's own ones do not have."""
        pictured = message["role"] not in ("assistant", "system")
        content = message["content"]
        if not parts:
            return {**message, "content": self._mark + content} if pictured else message
        pictures = [{"type": "image"}] if pictured else []
        return {**message, "content": [*pictures, {"type": "text", "text": content}]}
