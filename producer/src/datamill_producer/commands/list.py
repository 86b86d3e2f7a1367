"""`datamill list`."""

from __future__ import annotations

import json

import click

from datamill.table import size, table
from datamill_producer.gateway import MAX_LIST, Document, Gateway
from datamill_producer.moment import local_time

STATES = ("queued", "building", "ready", "failed", "cancelled", "evicted")
_HEADING = ("ID", "NAME", "VERSION", "STATE", "SHARDS", "RECORDS", "SIZE", "ASKED FIRST")
_SHOWN_OF_ID = 12


@click.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--name", help="Only those of this dataset name.")
@click.option("--limit", type=click.IntRange(1, MAX_LIST), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")
def list_datasets(state: str | None, name: str | None, limit: int, as_json: bool) -> None:
    """List the datasets that were asked for, newest first.

    \b
    Example:
        datamill list --state building
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings

    found = Gateway(find_service(load_settings())).datasets(state, name, limit)
    if as_json:
        for document in found:
            click.echo(json.dumps(document))
        return
    if found:
        click.echo(table([_HEADING, *map(_row, found)]))
    else:
        click.echo("no datasets", err=True)


def _row(document: Document) -> tuple[object, ...]:
    return (
        document["dataset_id"][:_SHOWN_OF_ID],
        document["dataset_name"],
        document["handler_version"],
        document["state"],
        _share(document["shards_done"], document["shards"]),
        document["records"],
        size(document["bytes"]),
        local_time(document["created_at"]),
    )


def _share(done: int, shards: int | None) -> str:
    return f"{done}/{shards}" if shards else ""
