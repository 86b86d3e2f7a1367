"""`datamill notifier`: tells and serves, alone."""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback

import click

from datamill import exits, logs, tracing
from datamill.errors import DatamillError, first_line
from datamill.settings import Settings, load_settings
from datamill_builder.catalog import CatalogTooNew, CatalogUnavailable
from datamill_notifier.server import serve


def _exit_code(error: DatamillError) -> int:
    match error:
        case CatalogUnavailable():
            return exits.EX_UNAVAILABLE
        case CatalogTooNew():
            return exits.EX_CONFIG
    return exits.exit_code(error)


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; DATAMILL_LISTEN.")
@click.option(
    "--public-url", metavar="URL", help="How clients reach it; DATAMILL_PUBLIC_URL.", default=None
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def notifier(ctx: click.Context, listen: str | None, public_url: str | None, debug: bool) -> None:
    """Serve files, events and states over HTTP, until SIGTERM or Ctrl-C.

    Exits 0 when stopped, 1 when an error ended what listens to events, 69 when catalog or port
    can't be used, 77 when the broker refuses the login, 78 when a setting is wrong or the broker
    holds queues of another kind. A broker that is away is waited for; files are served meanwhile.

    \b
    Example:
        datamill notifier --listen 0.0.0.0:8080 --public-url http://data.example:8080
    """
    # Below `datamill` the option may stand before the command, too: then it is that one's.
    debug = debug or ctx.find_root().params.get("debug", False)
    sys.exit(_run(listen, public_url, debug))


def _run(listen: str | None, public_url: str | None, debug: bool) -> int:
    try:
        settings = load_settings(listen=listen, public_url=public_url)
        logs.configure(settings, "notifier")
        tracing.set_up("datamill-notifier")
        asyncio.run(_serve_until_signalled(settings))
    except DatamillError as error:
        if debug:
            traceback.print_exception(error)
        click.echo(f"datamill notifier: {logs.without_passwords(first_line(error))}", err=True)
        return _exit_code(error)
    return exits.EX_OK


async def _serve_until_signalled(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def main() -> None:
    """Run `datamill-notifier`."""
    notifier(prog_name="datamill-notifier")
