"""The `datamill up` command."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path

import click

from datamill import logs
from datamill.errors import SettingsError
from datamill.runfile import RunFile
from datamill.settings import Settings, load_settings
from datamill_producer.rabbitmq import FolderInUse
from datamill_producer.rabbitmq.folder_lock import FolderLock
from datamill_producer.up.addresses import listen_address
from datamill_producer.up.brokers import Broker, GivenBroker, PrivateBroker, place
from datamill_producer.up.console import Console, ConsoleStream, has_colours
from datamill_producer.up.supervisor import PartGaveUp, Supervisor

_PREDECESSOR_SECS = 40.0
"""How long the children of a killed `datamill up` may take to end."""
_FOLDER = click.Path(file_okay=False)

log = logging.getLogger(__name__)


class AlreadyRunning(SettingsError):
    """Another `datamill up` runs in this home."""


@click.command()
@click.option("--home", type=_FOLDER, help="Catalog, store, environments and broker data.")
@click.option("--raw-root", type=_FOLDER, help="Raw data, a folder per dataset.")
@click.option("--workers", type=click.IntRange(0, 1024), help="Shard worker processes.")
@click.option("--listen", metavar="HOST:PORT", help="Where the notifier listens.")
@click.option(
    "--handler-source",
    "handler_sources",
    multiple=True,
    metavar="SOURCE",
    help="A folder of wheels, a git repository or an index; may be repeated.",
)
@click.pass_context
def up(
    ctx: click.Context,
    home: str | None,
    raw_root: str | None,
    workers: int | None,
    listen: str | None,
    handler_sources: tuple[str, ...],
) -> None:
    """Run broker, builder and notifier on this machine, until Ctrl-C.

    Without DATAMILL_BROKER_URL it starts a private RabbitMQ node, which listens on loopback only
    and keeps its data in the home. Other settings come from DATAMILL_* and from datamill.toml in
    the home; options go first.

    A first Ctrl-C (or SIGTERM) stops in order: shards in hand are finished or handed back. A
    second one ends everything at once.

    \b
    Example:
        datamill up --raw-root /data/raw --workers 8
    """
    settings = load_settings(
        home=home,
        raw_root=raw_root,
        workers=workers,
        listen=listen,
        handler_sources=handler_sources or None,
    )
    debug = ctx.find_root().params.get("debug", False)
    lock = _lock(settings.home)
    try:
        _supervisor(settings, lock.children, debug).run()
    except PartGaveUp as gave_up:
        if debug:
            traceback.print_exception(gave_up)
        click.echo(f"datamill up: {gave_up}", err=True)
        ctx.exit(gave_up.code)
    finally:
        lock.release()


def _lock(home: Path) -> FolderLock:
    folder = home / "up"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"DATAMILL_HOME: {home} can't be used: {error.strerror}") from error
    lock = FolderLock(folder)
    try:
        lock.acquire(_PREDECESSOR_SECS)
    except FolderInUse as error:
        raise AlreadyRunning(
            f"another `datamill up` runs in {home}: use it, stop it, or choose another --home"
        ) from error
    return lock


def _supervisor(settings: Settings, lock: int, debug: bool) -> Supervisor:
    as_json = settings.log_format == "json"
    coloured = has_colours(sys.stderr, os.environ.get("NO_COLOR"))
    console = Console(sys.stderr, coloured=coloured, as_json=as_json)
    log_format = "json" if as_json else "text"
    own = settings.model_copy(update={"log_format": log_format})
    logs.configure(own, "up", ConsoleStream(console, "up"))  # type: ignore[arg-type]
    listen = listen_address(settings.listen, settings.home)
    return Supervisor(settings, _broker(settings), listen, console, lock, debug, _announce)


def _broker(settings: Settings) -> Broker:
    if settings.broker_url:
        return GivenBroker(settings.broker_url.get_secret_value())
    return PrivateBroker(settings.home / "broker")


def _announce(running: RunFile) -> None:
    click.echo(f"broker  {place(running.broker_url)}")
    click.echo(f"http    {running.http_url}")
    click.echo("press Ctrl-C to stop")
