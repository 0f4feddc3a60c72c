"""What a user says of a server, checked: the model's name, the address, the key, the fields added to requests.

Planning a study and reading a finished one need the identity only, so nothing here talks to a server.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from oldham.backends.base import ModelSpec, ServerOptions
from oldham.backends.chat_formats import tokenizer_folder
from oldham.backends.weights import chat_template
from oldham.core.errors import ConfigError
from oldham.core.fingerprint import fingerprint
from oldham.core.records import ModelFingerprint

CODE_VERSION: Final = 1
"""Raised whenever a change to the generation code can change what a model writes."""

Api = Literal["completions", "chat"]

URL_VARIABLE: Final = "OPENAI_BASE_URL"
_WITH_URL: Final = re.compile(r"(?P<name>.*?)@(?P<url>https?://\S+)")
_OWN_FIELDS: Final = frozenset(
    {"model", "prompt", "messages", "stream", "n", "best_of", "echo", "logprobs", "seed", "stop"}
    | {"temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens"}
)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model name that has passed every check."""

    name: str
    """The name the server knows."""
    url: str | None
    """Address given with the name."""
    api: Api
    """Which of the two protocols is spoken."""
    options: ServerOptions
    """Everything else."""

    @classmethod
    def parse(cls, model: str, options: ServerOptions | None) -> ServedModel:
        """Check what the user says of a model and its server.

        Args:
            model: `openai:NAME` or `openai:NAME@URL`.
            options: How the server is reached; None for the defaults.

        Raises:
            ConfigError: The name has an empty part, or options do not go together.
        """
        options = options or ServerOptions()
        text = ModelSpec.parse(model).name
        match = _WITH_URL.fullmatch(text)
        name = match["name"] if match else text
        if not name:
            raise ConfigError(f"`{model}` names no model.", remedy="Write openai:NAME@http://HOST:PORT/v1.")
        if options.cap_usd is not None and None in (options.usd_per_million_read, options.usd_per_million_written):
            raise ConfigError(
                "A spending cap needs both prices.",
                place="cap_usd",
                remedy="Give usd_per_million_read and usd_per_million_written too.",
            )
        if taken := sorted(_OWN_FIELDS & options.extra_body.keys()):
            raise ConfigError(
                f"`{taken[0]}` is set by the study, so `extra_body` cannot set it.",
                place="extra_body",
                remedy="Take it out; sampling and budgets stand in the arm.",
            )
        if options.api == "completions" and options.tokenizer is None:
            raise ConfigError(
                "The completions API needs the model's tokenizer.",
                place="tokenizer",
                remedy="Give tokenizer: hf:ORG/NAME or path:DIR, or write api: chat.",
            )
        api: Api = "chat" if options.api == "chat" or options.tokenizer is None else "completions"
        return cls(name, match["url"] if match else None, api, options)

    @property
    def fingerprint(self) -> ModelFingerprint:
        """The model's identity.

        The address is not part of it: the same served name, asked in the same way, is the same model. What only a
        running server can tell is not either, so that a finished run is read without one.

        Raises:
            ModelError: The tokenizer is not there.
        """
        template = "server"
        if self.api == "completions":
            template = fingerprint("template", chat_template(tokenizer_folder(self.options.tokenizer or "")))
        return ModelFingerprint(
            weights=self.name,
            adapter=None,
            template=template,
            dtype="server",
            backend=f"openai/{CODE_VERSION}/{self.api}/{fingerprint('extra_body', self.options.extra_body, length=16)}",
        )

    def address(self) -> str:
        """Return the server's base address.

        Raises:
            ConfigError: There is none, or it is no address.
        """
        url = self.url or self.options.url or os.environ.get(URL_VARIABLE)
        if not url:
            raise ConfigError(
                f"The model `{self.name}` has no server address.",
                remedy=f"Write openai:{self.name}@http://HOST:PORT/v1, give its server in the study a `url` (where a "
                f"command names the judge: --server-url), or set {URL_VARIABLE}.",
            )
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"`{url}` is no server address.", remedy="Write http://HOST:PORT/v1.")
        return url

    def key(self) -> str:
        """Return the key, or a stand-in for a server of one's own without one.

        Raises:
            ConfigError: The server is a public one and the environment holds no key.
        """
        key = os.environ.get(self.options.key_env)
        if key:
            return key
        if _is_public(urlsplit(self.address()).hostname or ""):
            raise ConfigError(
                f"The environment variable {self.options.key_env} is not set, and it has to hold the server's key.",
                remedy="Set it; any text will do for a server that asks for none.",
            )
        return "none"


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".lan", ".localhost"))
