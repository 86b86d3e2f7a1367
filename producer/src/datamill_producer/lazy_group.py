"""A click group that imports a command when it is used, and ends errors in one line.

`datamill --help` must not import SQLAlchemy or aiohttp, so summaries stand in tables here.
"""

from __future__ import annotations

import errno
import importlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
from click.shell_completion import CompletionItem

from datamill import exits
from datamill.errors import DatamillError, first_line

COMMANDS_GROUP = "datamill.commands"
"""The entry point group in which other distributions offer commands."""

DEBUG = "--debug"
"""The option that shows tracebacks."""


@dataclass(frozen=True)
class OwnCommand:
    """A command of this distribution: `module:attribute`."""

    summary: str
    target: str


@dataclass(frozen=True)
class BorrowedCommand:
    """A command that another distribution brings, as an entry point of its name."""

    summary: str
    distribution: str


Section = Mapping[str, OwnCommand | BorrowedCommand]


class LazyGroup(click.Group):
    """The commands of `sections` (title → commands), each imported at its first use."""

    def __init__(self, *args: Any, sections: Mapping[str, Section], **options: Any) -> None:
        super().__init__(*args, **options)
        self._sections = sections
        self._known = {name: c for section in sections.values() for name, c in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help, commands of strangers last."""
        return [*self._known, *sorted(_offered().keys() - self._known.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of this name."""
        match self._known.get(cmd_name):
            case OwnCommand(target=target):
                return _imported(EntryPoint(cmd_name, target, COMMANDS_GROUP))
            case BorrowedCommand(distribution=distribution):
                return _borrowed(cmd_name, distribution)
        strange = _offered().get(cmd_name)
        return None if strange is None else _imported(strange)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return name, command and what follows; a name that is none gets the near ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click looks among commands that it holds; here they are not imported yet.
            raise click.NoSuchCommand(
                error.command_name, possibilities=self.list_commands(ctx), ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of the help."""
        sections = {title: _summaries(section) for title, section in self._sections.items()}
        sections["Other commands"] = {
            name: f"From {point.dist.name}." if point.dist else ""
            for name, point in sorted(_offered().items())
            if name not in self._known
        }
        for title, summaries in sections.items():
            if summaries:
                with formatter.section(title):
                    formatter.write_dl(list(summaries.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names that may follow, without importing what stands behind them."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=_summary(self._known.get(name))) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `--debug` wherever it stands: one adds it at the end of a line that failed."""
        ours, dashes, others = args, [], []
        if "--" in args:
            at = args.index("--")
            ours, dashes, others = args[:at], ["--"], args[at + 1 :]
        if DEBUG in ours:
            ours = [DEBUG, *(word for word in ours if word != DEBUG)]
        return super().parse_args(ctx, [*ours, *dashes, *others])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error becomes one line on stderr and a documented exit code."""
        try:
            return super().invoke(ctx)
        except DatamillError as error:
            _report(error, _shown(error), debug=ctx.params.get("debug", False))
            ctx.exit(exits.exit_code(error))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # who reads has seen enough, as `head` does: click knows what to do
            _report(error, str(error), debug=ctx.params.get("debug", False))
            ctx.exit(exits.EX_FAILED)
        except KeyboardInterrupt:
            ctx.exit(exits.INTERRUPTED)


def _offered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=COMMANDS_GROUP)}


def _borrowed(name: str, distribution: str) -> click.Command:
    point = _offered().get(name)
    if point is None:
        raise click.ClickException(
            f"`datamill {name}` comes with {distribution}, which is not installed: "
            f"pip install {distribution}"
        )
    return _imported(point)


def _imported(point: EntryPoint) -> click.Command:
    module, _, attribute = point.value.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


def _summaries(section: Section) -> dict[str, str]:
    return {name: command.summary for name, command in section.items()}


def _summary(command: OwnCommand | BorrowedCommand | None) -> str | None:
    return command.summary if command else None


def _report(error: Exception, text: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    click.echo(f"datamill: {text}", err=True)


def _shown(error: DatamillError) -> str:
    from datamill.logs import without_passwords

    return without_passwords(first_line(error))
