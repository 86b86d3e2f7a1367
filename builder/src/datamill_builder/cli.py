"""The `datamill builder` command."""

from __future__ import annotations

import sys
import traceback

import click

from datamill import exits, logs, tracing
from datamill.errors import DatamillError, ServiceUnavailable, first_line
from datamill.runfile import find_service
from datamill.settings import Settings, load_settings
from datamill_builder.service import run
from datamill_builder.stopping import StopSignal


@click.command()
@click.option("--home", type=click.Path(file_okay=False), help="Catalog, store and environments.")
@click.option(
    "--raw-root", type=click.Path(file_okay=False), help="Raw data, a folder per dataset."
)
@click.option("--workers", type=click.IntRange(0, 1024), help="Shard worker processes.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def builder(
    ctx: click.Context, home: str | None, raw_root: str | None, workers: int | None, debug: bool
) -> None:
    """Run a builder: take requests, make shards, pack archives.

    Settings come from DATAMILL_* and from datamill.toml in the home; options go first. Ends
    cleanly on Ctrl-C or SIGTERM: shards in hand are finished or handed back. The second one ends
    it at once, with exit code 130: what was in hand is taken up by whoever finds it.

    \b
    Example:
        datamill builder --raw-root /data/raw --workers 8
    """
    # Below `datamill` the option may stand before the command, too: then it is that one's.
    debug = debug or ctx.find_root().params.get("debug", False)
    sys.exit(serve(debug, home=home, raw_root=raw_root, workers=workers))


def serve(debug: bool, **options: object) -> int:
    """Run until told to stop; return the exit code. `debug`: show tracebacks."""
    stopping = StopSignal()
    try:
        settings = load_settings(**options)
        logs.configure(settings, "builder")
        tracing.set_up("datamill-builder")
        run(settings, _broker_url(settings), stopping)
    except DatamillError as error:
        if debug:
            traceback.print_exception(error)
        click.echo(f"datamill builder: {logs.without_passwords(first_line(error))}", err=True)
        return exits.exit_code(error)
    return exits.EX_OK


def _broker_url(settings: Settings) -> str:
    url = find_service(settings).broker_url
    if url is None:
        raise ServiceUnavailable("a builder needs a broker: set DATAMILL_BROKER_URL")
    return url


def main() -> None:
    """Run `datamill-builder`."""
    builder(prog_name="datamill-builder")
