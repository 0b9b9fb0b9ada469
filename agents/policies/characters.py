"""Whether a tokenizer can say what an environment says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fogline.core.errors import ConfigurationError

_RARE = "\u2603\U0001f9ff\u00df\x01"
_SHOWN = 10


class CharacterCheck:
    """Tries each character once, so that a text costs no more than looking at its set of characters.

    Args:
        tokenizer: A transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: set[str] = set()
        # A tokenizer that falls back to bytes knows whatever there is.
        self._knows_all = self._knows(_RARE)

    def __call__(self, texts: Iterable[str]) -> None:
        """Refuse texts with characters that would not come back.

        Raises:
            ConfigurationError: Naming the first of them.
        """
        if self._knows_all:
            return
        for text in texts:
            fresh = set(text) - self._known
            if not fresh:
                continue
            missing = [character for character in sorted(fresh, key=text.index) if not self._knows(character)]
            if missing:
                named = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in missing[:_SHOWN])
                more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
                raise ConfigurationError(
                    f"the tokenizer has no token for {named}{more}, which the environment uses: fit it to texts that "
                    "show them (fit_tokenizer, its option alphabet), or take a byte-level tokenizer."
                )
            self._known |= fresh

    def _knows(self, characters: str) -> bool:
        # Between letters, because some tokenizers trim or pad the ends of a text.
        text = f"a{characters}a"
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        decoded = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return self._tokenizer.unk_token_id not in ids and decoded == text
