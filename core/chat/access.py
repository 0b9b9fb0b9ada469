"""How a chat server is reached and by whom: address, key and headers, shown to nobody."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

from fogline.core.chat.secret import Redactor, Secret
from fogline.core.errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.openai.com/v1"


class Access:
    """The address of a server and what opens it.

    The key itself is not kept: it is read from the environment when connections are opened.

    Args:
        base_url: The address; None for ``$OPENAI_BASE_URL``, then OpenAI's own.
        key_env: Environment variable that holds the key.
        headers: Further request headers.

    Attributes:
        server: The address without user part.
        official: Whether it is OpenAI's own.

    Raises:
        ConfigurationError: For an address that is none, or a key that is needed and missing.
    """

    def __init__(self, base_url: str | None, key_env: str, headers: Mapping[str, str] | None) -> None:
        given = base_url or os.environ.get("OPENAI_BASE_URL")
        self.server, self._login = _split_login(given or DEFAULT_BASE_URL)
        self.official = self.server.startswith("https://api.openai.com/")
        self._key_env = key_env
        self._key_needed = given is None
        self._headers = {name.lower(): Secret(value) for name, value in (headers or {}).items()}
        self.secrets()

    @property
    def key_source(self) -> str:
        """Where the key comes from, in words."""
        return f"the environment variable {self._key_env}"

    @property
    def portable(self) -> bool:
        """Whether it can travel to another process without carrying a secret."""
        return not self._headers and self._login is None

    def secrets(self) -> tuple[dict[str, Secret], Redactor]:
        """Read the key; return the headers to send and what removes their values from texts.

        Raises:
            ConfigurationError: If a key is needed and its variable is not set.
        """
        key = os.environ.get(self._key_env)
        if not key and self._key_needed and "authorization" not in self._headers:
            raise ConfigurationError(
                f"{self._key_env} is not set: export it with your key, name another variable with "
                "api_key_env, or give the base_url of a server that needs none."
            )
        headers: dict[str, Secret] = {}
        hidden = list(self._headers.values())
        if self._login is not None:
            login = self._login
            token = Secret(base64.b64encode(login.reveal().encode()).decode())
            headers["authorization"] = Secret(f"Basic {token.reveal()}")
            hidden += [login, Secret(login.reveal().partition(":")[2]), token]
        elif key:
            headers["authorization"] = Secret(f"Bearer {key}")
            hidden.append(Secret(key))
        return {**headers, **self._headers}, Redactor(hidden)


def _split_login(address: str) -> tuple[str, Secret | None]:
    """Return the address without its user part, and the user part."""
    parts = urlsplit(address)
    # The address is not quoted here: one that cannot be read may hide a password anywhere.
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            "base_url is not an http:// or https:// address: expected e.g. http://localhost:8000/v1."
        )
    if parts.query or parts.fragment:
        raise ConfigurationError("base_url has a query or a fragment: give the address alone, and keys as headers=….")
    host = parts.netloc.rpartition("@")[2]
    clean = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    if parts.username is None and parts.password is None:
        return clean, None
    return clean, Secret(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}")
