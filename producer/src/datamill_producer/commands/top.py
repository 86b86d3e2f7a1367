"""`datamill top`."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datamill_producer.gateway import Document, Gateway

_PLAIN_COLUMNS = 120
_PLAIN_LINES = 60


@click.command()
@click.option("--once", is_flag=True, help="One screen as plain text; what a pipe gets anyway.")
@click.option(
    "--every",
    "every_secs",
    type=click.FloatRange(min=0.2),
    default=1.0,
    show_default=True,
    metavar="SECS",
    help="Look so often.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, once.")
def top(once: bool, every_secs: float, as_json: bool) -> None:
    """Show what happens, as it happens, until Ctrl-C.

    What is built and how far, what waits and why, what came of it last, who builds, and the store
    against its budget. While the notifier can't be reached the last screen stays, and says so.

    \b
    Examples:
        datamill top
        datamill top --once
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings
    from datamill_producer.gateway import Gateway

    gateway = Gateway(find_service(load_settings()))
    overview = gateway.overview()
    if as_json:
        click.echo(json.dumps(overview))
    elif once or not sys.stdout.isatty():
        click.echo(_plain(overview), nl=False)
    else:
        _live(gateway, overview, every_secs)


def _plain(overview: Document) -> str:
    """Return one screen without escape codes; COLUMNS says how wide, where there is no terminal."""
    import io

    from rich.console import Console

    from datamill_producer.screen import screen

    columns, lines = shutil.get_terminal_size((_PLAIN_COLUMNS, _PLAIN_LINES))
    text = io.StringIO()
    console = Console(
        file=text, width=columns, force_terminal=False, color_system=None, highlight=False
    )
    console.print(screen(overview, columns, lines))
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _live(gateway: Gateway, overview: Document, every_secs: float) -> None:
    from rich.console import Console
    from rich.live import Live

    from datamill.errors import DatamillError, first_line
    from datamill_producer.screen import screen

    console = Console()
    trouble: str | None = None
    never = threading.Event()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen(overview, console.width, console.height, trouble), refresh=True)
            never.wait(every_secs)  # for ever, until Ctrl-C: the lazy group ends that
            try:
                overview, trouble = gateway.overview(), None
            except DatamillError as error:
                trouble = first_line(error)
