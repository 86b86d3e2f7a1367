"""`datamill dead`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from datamill import exits
from datamill.errors import NothingFound, ServiceUnavailable
from datamill.table import size, table

if TYPE_CHECKING:
    from datamill_producer.dead_letters import DeadLetter, DeadLetters
    from datamill_producer.dead_log import DeadLog

_HEADING = ("N", "DIED", "QUEUE", "ROUTING KEY", "SIZE", "MESSAGE ID")

_as_json = click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")
_which = click.argument("which", metavar="[NUMBER|MESSAGE_ID]...", nargs=-1)
_everything = click.option("--all", "everything", is_flag=True, help="All dead letters.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group()
def dead() -> None:
    """Look at messages that were refused, send them again or drop them.

    Numbers begin with the longest dead: they change when letters are replayed or dropped. Message
    ids don't, and of an id the first six characters do.

    \b
    Example:
        datamill dead list
    """


@dead.command("list")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@_as_json
def list_dead(limit: int, as_json: bool) -> None:
    """List dead letters: since when, from which queue, why, and how they begin.

    \b
    Example:
        datamill dead list --json
    """
    with open_letters() as letters:
        found = letters.fetch()[:limit]
    if as_json:
        for letter in found:
            click.echo(json.dumps(letter.document()))
        return
    if not found:
        click.echo("no dead letters", err=True)
        return
    heading, *rows = table([_HEADING, *map(_row, found)]).splitlines()
    click.echo(heading)
    for row, letter in zip(rows, found, strict=True):
        click.echo(f"{row}\n    {letter.reason}\n    {_one_line(letter.beginning)}")


@dead.command("show")
@click.argument("which", metavar="NUMBER|MESSAGE_ID")
@_as_json
def show_dead(which: str, as_json: bool) -> None:
    """Show one dead letter, with its whole body.

    \b
    Example:
        datamill dead show 1
    """
    from datamill_producer.dead_letters import chosen

    with open_letters() as letters:
        letter = chosen(letters.fetch(), [which])[0]
    body = letter.body.decode("utf-8", "replace")
    if as_json:
        click.echo(json.dumps(letter.document() | {"body": body}))
        return
    rows = [(k, v) for k, v in letter.document().items() if k != "beginning"]
    click.echo(f"{table(rows)}\n\n{body}")


@dead.command("replay")
@_which
@_everything
@click.option("--force", is_flag=True, help="Also what would be refused again.")
@_dry_run
@_as_json
@click.pass_context
def replay_dead(
    ctx: click.Context,
    which: tuple[str, ...],
    everything: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish dead letters again, as they were at first.

    A letter that would be refused again stays, and makes the exit code 1.

    \b
    Examples:
        datamill dead replay 1 3
        datamill dead replay --all --dry-run
    """
    refused = False

    def handle(letters: DeadLetters, letter: DeadLetter) -> str:
        nonlocal refused
        if letter.problem and (not force or letter.exchange is None):
            refused = True
            return f"not replayed: {letter.problem}"
        if dry_run:
            return "would be replayed"
        # First, since a letter may be sent and not be struck out: twice is seen, never is not.
        log_of_home().write(letter, "replayed")
        letters.replay(letter)
        return "replayed"

    _handle(which, everything, handle, as_json)
    if refused:
        ctx.exit(exits.EX_FAILED)


@dead.command("drop")
@_which
@_everything
@_dry_run
@_as_json
def drop_dead(which: tuple[str, ...], everything: bool, dry_run: bool, as_json: bool) -> None:
    """Remove dead letters for good.

    \b
    Example:
        datamill dead drop 2
    """

    def handle(letters: DeadLetters, letter: DeadLetter) -> str:
        if dry_run:
            return "would be dropped"
        log_of_home().write(letter, "dropped")
        letters.drop(letter)
        return "dropped"

    _handle(which, everything, handle, as_json)


@dead.command("log")
@_as_json
def log_dead(as_json: bool) -> None:
    """Say what was replayed or dropped from this home, when and by whom, the oldest first.

    \b
    Example:
        datamill dead log
    """
    entries = list(log_of_home().entries())
    if as_json:
        for entry in entries:
            click.echo(json.dumps(entry))
        return
    if not entries:
        click.echo("nothing was replayed or dropped", err=True)
        return
    names = ("time", "user", "outcome", "routing_key", "message_id", "reason")
    heading = tuple(name.upper().replace("_", " ") for name in names)
    click.echo(table([heading, *([entry[name] for name in names] for entry in entries)]))


def _handle(
    which: Sequence[str],
    everything: bool,
    handle: Callable[[DeadLetters, DeadLetter], str],
    as_json: bool,
) -> None:
    if bool(which) == everything:
        raise click.UsageError("say which: numbers or message ids, or --all")

    from datamill_producer.dead_letters import chosen

    with open_letters() as letters:
        found = letters.fetch()
        if not found:
            raise NothingFound("there are no dead letters")
        for letter in found if everything else chosen(found, which):
            say(letter, handle(letters, letter), as_json)


def log_of_home() -> DeadLog:
    """Return the log of what was done with dead letters."""
    from datamill.settings import load_settings
    from datamill_producer.dead_log import DeadLog

    return DeadLog(load_settings().home)


def open_letters() -> DeadLetters:
    """Return the dead letters of the broker; raise `ServiceUnavailable` without its address."""
    from datamill.runfile import find_service
    from datamill.settings import load_settings
    from datamill_producer.dead_letters import DeadLetters

    url = find_service(load_settings()).broker_url
    if url is None:
        raise ServiceUnavailable("dead letters are at the broker: set DATAMILL_BROKER_URL")
    return DeadLetters(url)


def say(
    letter: DeadLetter, outcome: str, as_json: bool, more: dict[str, Any] | None = None
) -> None:
    """Say what became of a letter: a line for people or a JSON document, with `more` in it."""
    if as_json:
        click.echo(json.dumps(letter.document() | {"outcome": outcome} | (more or {})))
    else:
        click.echo(f"{letter.number} {letter.message_id or '(no message id)'} {outcome}")


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    died = letter.died_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if letter.died_at else ""
    return (
        letter.number,
        died,
        letter.queue,
        letter.routing_key,
        size(len(letter.body)),
        letter.message_id,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
