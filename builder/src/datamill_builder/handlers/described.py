"""What `datamill handlers show` says of a handler."""

from __future__ import annotations

import json
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datamill.settings import Settings
from datamill_builder.dataset_name import environment_of, raw_of
from datamill_builder.handlers import answers
from datamill_builder.handlers.answers import Description, Option
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.process import HandlerProcess
from datamill_builder.store import Store

_INDENT = "    "
_WORK = {
    "sharded": "shard by shard, on as many processors as there are",
    "classic": "as one piece of work",
}


@dataclass(frozen=True)
class Described:
    """The handler that reads the datasets of a name, in a version."""

    name: str
    version: str
    environment: Environment
    handler: Description
    raw: str
    """The raw folder, below the raw root unless absolute."""

    @property
    def example(self) -> dict[str, Any]:
        """A config that is taken: options with values worth trying, else one with its default."""
        options = self.handler.options
        worth = {each.name: each.example for each in options if each.example is not None}
        needed = {each.name: each.example for each in options if each.required}
        plain = {each.name: each.default for each in options[:1] if not each.required}
        return needed | (worth or plain)

    def document(self) -> dict[str, Any]:
        """Return all of it for programs."""
        environment = self.environment
        return {
            "dataset_name": self.name,
            "handler_version": self.version,
            "handler": environment.handler,
            "package": environment.package,
            "package_version": environment.package_version,
            "origin": environment.origin,
            "packages": environment.packages,
            "raw": self.raw,
            **self.handler.model_dump(),
            "example": {
                "dataset_name": self.name,
                "handler_version": self.version,
                "dataset_config": self.example,
            },
        }

    def text(self) -> str:
        """Return it for people."""
        return "\n".join(self._lines(min(100, shutil.get_terminal_size((100, 24)).columns)))

    def _lines(self, columns: int) -> Iterator[str]:
        environment, handler = self.environment, self.handler
        yield f"{self.name} {self.version}"
        yield f"  handler  {environment.handler} of {environment.package} " + (
            f"{environment.package_version}, {environment.origin}"
        )
        yield f"  reads    {self.raw}" + (f": {handler.layout}" if handler.layout else "")
        yield f"  works    {_WORK[handler.mode]}"
        yield ""
        if not handler.options:
            yield "It has no options."
        for option in handler.options:
            yield from _lines_of(option, columns)
        yield ""
        yield "Example:"
        told = [f"-o {shlex.quote(f'{name}={_json(v)}')}" for name, v in self.example.items()]
        yield _INDENT + " ".join(["datamill request", self.name, self.version, *told])


def _lines_of(option: Option, columns: int) -> Iterator[str]:
    value = "has to be given" if option.required else f"default {_json(option.default)}"
    yield f"{option.name}  {option.type}, {value}"
    for text in (option.allowed, option.meaning):
        yield from textwrap.wrap(
            " ".join(text.split()),
            columns,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_long_words=False,
        )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def describe(
    name: str, version: str, settings: Settings, environments: Environments, store: Store
) -> Described:
    """Return what the handler that reads the datasets of this name says of itself.

    Its environment is made where it is not there. Raises what a request would be refused for.
    """
    environment = environment_of(name, version, settings, environments)
    handler = ask(environment, settings, environments, store)
    raw = raw_of(name, settings) or handler.raw or name
    return Described(name, version, environment, handler, raw)


def ask(
    environment: Environment, settings: Settings, environments: Environments, store: Store
) -> Description:
    """Have a handler describe itself, in a process of its own; raise `HandlerFailed`."""
    with environments.holding(environment) as python, store.scratch() as folder:
        label = f"{environment.handler} {environment.package_version}"
        process = HandlerProcess(python, folder, label, settings.handler_memory_bytes)
        try:
            answer = process.call(
                "describe",
                entry_point=environment.entry_point,
                timeout_secs=settings.open_timeout_secs,
            )
        finally:
            process.close()
    return answers.description(answer)
