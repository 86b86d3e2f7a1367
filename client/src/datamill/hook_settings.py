"""Who is told when a dataset is ready or failed: `[[hooks]]` in `datamill.toml`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

SECRET_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)
"""What the Standard Webhooks specification allows."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
_SHOWN_OF_TARGET = 40


class HookSettings(BaseModel):
    """One who is told: `url = "https://…"` or `command = ["program", "argument"]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    """What it is called in logs, lists and the catalog; made of its target by default. Calls that
    wait are for the hook of this name."""
    url: SecretStr | None = None
    """Where events are posted. Such addresses may be secrets: they are shown nowhere."""
    command: tuple[str, ...] = ()
    """The words of a command, which is run without a shell."""
    events: Annotated[tuple[Literal["ready", "failed", "evicted"], ...], Field(min_length=1)] = (
        "ready",
        "failed",
    )
    """Of what it is told."""
    dataset_names: tuple[str, ...] = ()
    """Of which datasets, by name or pattern (`coco*`); without any, of all."""
    secret: SecretStr | None = None
    """What webhooks are signed with: `whsec_` and 24 to 64 random bytes in base64."""
    timeout_secs: Annotated[float, Field(gt=0, le=600)] = 15.0
    """How long an answer, or a command, may take."""

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if name and not _NAME.match(name):
            raise ValueError("letters, digits, '.', '_' and '-', at most 64, no '-' first")
        return name

    @field_validator("url")
    @classmethod
    def _speaks_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        text = url.get_secret_value()
        try:
            parts = urlsplit(text)
            told = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            told = False
        if not told or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("is no http:// or https:// address, percent-encoded where need be")
        if "@" in parts.netloc:
            raise ValueError("holds a user's name, which is not sent: sign with a secret instead")
        return url

    @field_validator("secret")
    @classmethod
    def _is_a_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            try:
                count = len(secret_bytes(secret))
            except ValueError:
                count = 0
            if count not in _SECRET_BYTES:
                raise ValueError("is not whsec_ and 24 to 64 bytes in base64")
        return secret

    @model_validator(mode="after")
    def _is_one_thing(self) -> HookSettings:
        if (self.url is None) == (not self.command):
            raise ValueError("has either a url or a command")
        if self.command and not self.command[0]:
            raise ValueError("has a command without a program")
        if self.command and self.secret is not None:
            raise ValueError("has a secret, which signs webhooks: a command needs none")
        if not self.name:
            object.__setattr__(self, "name", self._default_name())
        return self

    def _default_name(self) -> str:
        if self.url is not None:
            target = self.url.get_secret_value()
            shown = urlsplit(target).hostname or ""
        else:
            target, shown = "\0".join(self.command), PurePath(self.command[0]).name
        shown = re.sub(r"[^A-Za-z0-9._-]+", "-", shown).strip("-._")[:_SHOWN_OF_TARGET]
        digest = hashlib.sha256(target.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{shown or 'hook'}-{digest[:6]}"

    @property
    def kind(self) -> str:
        """`webhook` or `command`."""
        return "webhook" if self.url is not None else "command"

    @property
    def target(self) -> str:
        """Where it leads, as far as that is no secret: a server's name, or a program."""
        if self.url is None:
            return self.command[0]
        parts = urlsplit(self.url.get_secret_value())
        return f"{parts.scheme}://{parts.netloc}"

    def takes(self, dataset_name: str) -> bool:
        """Return whether it is told of a dataset of this name."""
        patterns = self.dataset_names
        return not patterns or any(fnmatchcase(dataset_name, pattern) for pattern in patterns)


def secret_bytes(secret: SecretStr) -> bytes:
    """Return the key that a secret's text stands for; raise `ValueError` where it is none."""
    text = secret.get_secret_value()
    if not text.startswith(SECRET_PREFIX):
        raise ValueError("the prefix is missing")
    try:
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
