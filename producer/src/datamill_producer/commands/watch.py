"""`datamill watch`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from datamill import exits
from datamill_producer.completing import complete_dataset_id

if TYPE_CHECKING:
    from datamill.events import Event

_SHOWN_OF_ID = 12


@click.command()
@click.argument(
    "dataset_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_dataset_id
)
@click.option(
    "--bar/--lines", default=None, help="A bar each, which is what a terminal gets; or lines."
)
@click.option("--json", "as_json", is_flag=True, help="The events as JSON lines on stdout.")
@click.pass_context
def watch(
    ctx: click.Context, dataset_ids: tuple[str, ...], bar: bool | None, as_json: bool
) -> None:
    """Follow datasets until all are ready or failed: a bar each, or an event a line.

    The exit code is 3 if one of them failed, else 5 if one was evicted. Watching asks for nothing:
    see `datamill request`.

    \b
    Example:
        datamill watch 5a57948d 833389e3
    """
    if bar and as_json:
        raise click.UsageError("--json gives lines: leave out --bar")

    from datamill.events import Evicted, Failed
    from datamill.runfile import find_service
    from datamill.sessions import session_for
    from datamill.settings import load_settings
    from datamill_producer.event_lines import line
    from datamill_producer.gateway import full_ids
    from datamill_producer.watching import follow

    service = find_service(load_settings())
    ids = full_ids(service, dataset_ids)
    events: Iterable[Event] = follow(session_for(service), ids)
    if bar or (bar is None and not as_json and _at_a_terminal()):
        events = _with_bars(events, ids)
    failed = evicted = False
    for event in events:
        click.echo(event.encode().decode() if as_json else line(event))
        failed = failed or isinstance(event, Failed)
        evicted = evicted or isinstance(event, Evicted)
    if failed:
        ctx.exit(exits.REQUEST_FAILED)
    if evicted:
        ctx.exit(exits.NOTHING_FOUND)


def _at_a_terminal() -> bool:
    return sys.stdout.isatty() and sys.stderr.isatty()


def _with_bars(events: Iterable[Event], ids: list[str]) -> Iterator[Event]:
    """Show events as bars; yield, once those are gone, what each dataset ended with."""
    from datamill.events import Evicted
    from datamill.progress import progress_view

    last: list[Event] = []
    with ExitStack() as shown:
        views = {
            dataset_id: shown.enter_context(progress_view(dataset_id[:_SHOWN_OF_ID], shown=True))
            for dataset_id in ids
        }
        for event in events:
            views[event.dataset_id].event(event)
            if event.final or isinstance(event, Evicted):
                last.append(event)
    yield from last
