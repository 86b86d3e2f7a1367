"""Settings: `DATAMILL_*` over `datamill.toml` in the home over defaults, in one model.

Read at the edge only (a command, the first call of a client), never at import.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from datamill.errors import SettingsError
from datamill.hook_settings import HookSettings

SETTINGS_FILE = "datamill.toml"
_SOURCE_SEPARATOR = re.compile(r"[,\n]|:(?=/(?!/)|git\+|index\+|https?://)")


class DatasetSettings(BaseModel):
    """One more dataset name: `[datasets.ecssd]`, `handler = "duts"`, `raw = "ECSSD"`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    handler: str | None = None
    """The entry point's name of its handler; the dataset's name where it is not given."""
    raw: str | None = None
    """Its folder, below the raw root unless absolute; the handler's own choice by default."""


class Settings(BaseSettings):
    """Every setting, its unit and its default. None is needed on one machine."""

    model_config = SettingsConfigDict(
        env_prefix="DATAMILL_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    home: Path = Path("~/.local/share/datamill")
    """Catalog, store, environments and broker data of this machine."""
    raw_root: Path | None = None
    """Raw data, a folder per dataset; `<home>/raw` by default."""
    broker_url: SecretStr | None = None
    """An existing broker (`amqp://`, `amqps://`); without it `datamill up` starts its own."""
    catalog_url: SecretStr | None = None
    """The catalog's database, as SQLAlchemy writes it; `<home>/catalog.sqlite` by default."""
    handler_sources: Annotated[tuple[str, ...], NoDecode] = ()
    """Where handler packages come from, in order, separated by commas: folders of wheels,
    `git+file://` and `git+https://` repositories, `index+https://…/simple#package=NAME`."""
    datasets: dict[str, DatasetSettings] = Field(default_factory=dict)
    """More dataset names, each with a handler and a raw folder."""

    workers: Annotated[int, Field(ge=0, le=1024)] = Field(
        default_factory=lambda: os.cpu_count() or 1
    )
    """Shard worker processes of a builder; 0 plans and packs, but makes no shards."""
    lease_secs: Annotated[float, Field(gt=0)] = 30.0
    """A piece of work whose owner shows no sign of life for so long is given to another."""
    open_timeout_secs: Annotated[float, Field(gt=0)] = 120.0
    """A handler that takes longer to be imported and to check a config is ended."""
    shard_timeout_secs: Annotated[float, Field(gt=0)] = 1800.0
    """A handler that works longer on one shard is ended, and its build fails."""
    handler_timeout_secs: Annotated[float, Field(gt=0)] = 7 * 24 * 3600.0
    """The same for a plan, and for a dataset that its handler can't cut into shards."""
    handler_memory_bytes: Annotated[int, Field(ge=64 * 1024**2)] | None = None
    """What a handler process may hold of its own, and each that it starts (Linux counts private
    memory that can be written). One that wants more is ended, and its shard tried again."""
    shard_attempts: Annotated[int, Field(ge=1)] = 3
    """How often a shard is tried before its build fails."""
    stop_grace_secs: Annotated[float, Field(ge=0)] = 10.0
    """How long a stopping builder goes on with the shards in hand before it hands them back."""
    raw_digest: Literal["auto", "content", "stat"] = "auto"
    """What tells one version of raw data from the next: the files' content, or their names,
    sizes and modification times. `auto`: content, up to 4 GiB."""
    store_budget_bytes: Annotated[int, Field(ge=0)] | None = None
    """How much the store may hold."""
    scrub_secs: Annotated[float, Field(ge=0)] = 24 * 3600.0
    """How often every byte of each archive is compared with its digest; 0: never."""
    hooks: tuple[HookSettings, ...] = ()
    """Who is told when a dataset is ready, failed or evicted: webhooks and commands. Builders and
    notifiers that share a catalog need the same."""

    listen: str | None = None
    """`host:port` of the notifier; a free port on loopback by default, kept with the home."""
    public_url: str | None = None
    """The notifier's address as clients reach it: the one that is put into events."""
    admin_token: SecretStr | None = None
    """What administration over HTTP asks for; `<home>/admin-token` (made at need) by default."""

    url: str | None = None
    """For clients: the notifier, where the broker can't be reached."""
    client_name: str | None = None
    """What a client calls itself when it asks, for people who look at requests: at most 128
    characters; `user@host` by default, nothing where it is empty."""
    cache: Path = Path("~/.cache/datamill")
    """The trainer's download cache."""
    cache_budget_bytes: Annotated[int, Field(ge=0)] = 100 * 1024**3
    """How much the download cache may hold before the longest unused datasets go."""
    download_streams: Annotated[int, Field(ge=1, le=16)] = 4
    """Over how many connections an archive is downloaded at most, where the server is far away."""

    log_format: Literal["auto", "text", "json"] = "auto"
    """Log lines for people or for machines; `auto`: text on a terminal and below
    `datamill up`, JSON otherwise."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe log lines that are written."""

    @field_validator("handler_sources", mode="before")
    @classmethod
    def _split_sources(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return tuple(json.loads(value))
        return tuple(part.strip() for part in _SOURCE_SEPARATOR.split(value) if part.strip())

    @field_validator("home", "raw_root", "cache", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("broker_url", mode="after")
    @classmethod
    def _speaks_amqp(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("amqp://", "amqps://")):
            raise ValueError("must begin with amqp:// or amqps://")
        return value

    @field_validator("url", "public_url", mode="after")
    @classmethod
    def _speaks_http(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/") if value else None

    @field_validator("hooks", mode="after")
    @classmethod
    def _told_apart(cls, hooks: tuple[HookSettings, ...]) -> tuple[HookSettings, ...]:
        for name, count in Counter(hook.name for hook in hooks).items():
            if count > 1:
                raise ValueError(f"{count} are called {name}: give each a name of its own")
        return hooks

    @property
    def raw_folder(self) -> Path:
        """The raw root, with its default filled."""
        return self.raw_root or self.home / "raw"

    @property
    def catalog_address(self) -> str:
        """The SQLAlchemy address of the catalog, with its default filled."""
        if self.catalog_url:
            return self.catalog_url.get_secret_value()
        return f"sqlite:///{self.home / 'catalog.sqlite'}"

    @property
    def run_file(self) -> Path:
        """Where `datamill up` says how it can be reached."""
        return self.home / "run.json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, the home's file."""
        given = init_settings()
        home = Path(
            given.get("home") or os.environ.get("DATAMILL_HOME") or cls.model_fields["home"].default
        )
        file = _SettingsFile(settings_cls, home.expanduser() / SETTINGS_FILE)
        return init_settings, _Emptied(settings_cls), env_settings, file


class _Emptied(PydanticBaseSettingsSource):
    """The variable that means something where it is set to nothing."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return nothing: the fields are not asked one by one."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        emptied = os.environ.get("DATAMILL_CLIENT_NAME") == ""
        return {"client_name": ""} if emptied else {}


class _SettingsFile(TomlConfigSettingsSource):
    """The home's file. What is misspelled there must not be silently without effect."""

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = super().__call__()
        known = self.settings_cls.model_fields
        for name in found:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ValueError(f"{name} is no setting{hint}")
        return found


def load_settings(**overrides: Any) -> Settings:
    """Return the settings in force; raise `SettingsError` that names the setting at fault."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"][0] == "hooks":
            raise SettingsError(f"DATAMILL_HOOKS: {_hook_flaw(first)}") from None
        if first["type"] == "extra_forbidden":  # only the file's tables forbid what they don't know
            place = ".".join(str(part) for part in first["loc"])
            known = ", ".join(DatasetSettings.model_fields)
            raise SettingsError(
                f"{SETTINGS_FILE}: {place} is no setting; there are: {known}"
            ) from error
        name = "_".join(str(part) for part in first["loc"]).upper()
        shown = "" if "url" in name.lower() else f" (it is {first['input']!r})"
        raise SettingsError(f"DATAMILL_{name}: {first['msg']}{shown}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{SETTINGS_FILE}: {error}") from error


def _hook_flaw(error: ErrorDetails) -> str:
    """Return what is wrong with a hook, and nothing of what was given: it may be a secret."""
    words = [str(part + 1 if isinstance(part, int) else part) for part in error["loc"][1:]]
    words[:1] = [f"hook {number}" for number in words[:1]]
    if error["type"] == "extra_forbidden":
        known = ", ".join(HookSettings.model_fields)
        return f"{': '.join(words)} is no setting of a hook; there are: {known}"
    return ": ".join([*words, error["msg"].removeprefix("Value error, ")])
