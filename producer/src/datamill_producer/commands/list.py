"""`datamill list`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from datamill.table import size, table
from datamill_producer.completing import complete_dataset_name
from datamill_producer.gateway import MAX_LIST, Document, Gateway
from datamill_producer.moment import local_time

STATES = ("queued", "building", "ready", "failed", "cancelled", "evicted")
_HEADING = (
    "ID",
    "NAME",
    "VERSION",
    "STATE",
    "SHARDS",
    "RECORDS",
    "SIZE",
    "REQUESTS",
    "DOWNLOADS",
    "LAST USE",
    "PINNED",
)
_SHOWN_OF_ID = 12

_ORDERS: dict[str, Callable[[Document], Any]] = {
    "created": lambda one: one["created_at"] or "",
    "used": lambda one: one.get("used_at") or "",
    "size": lambda one: one["bytes"] or 0,
    "records": lambda one: one["records"] or one["records_done"] or 0,
    "requests": lambda one: one["requests"],
    "downloads": lambda one: one.get("downloads") or 0,
    "name": lambda one: (one["dataset_name"], one["handler_version"], one["dataset_id"]),
}
_ASCENDING = ("name",)


@click.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option(
    "--name", help="Only those of this dataset name.", shell_complete=complete_dataset_name
)
@click.option("--pinned", is_flag=True, help="Only those that are never evicted.")
@click.option(
    "--sort",
    type=click.Choice(tuple(_ORDERS)),
    default="created",
    show_default=True,
    help="What comes first: the newest, last used, largest, most …; by name: A to Z.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--limit", type=click.IntRange(1, MAX_LIST), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout.")
def list_datasets(
    state: str | None,
    name: str | None,
    pinned: bool,
    sort: str,
    reverse: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List the datasets that were asked for, newest first.

    \b
    Examples:
        datamill list --state building
        datamill list --sort size --limit 10
        datamill list --sort used --reverse --state ready
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings

    plain = sort == "created" and not (reverse or pinned)
    gateway = Gateway(find_service(load_settings()))
    found = gateway.datasets(state, name, limit if plain else MAX_LIST)
    if not plain:
        kept = [one for one in found if one.get("pinned_at") or not pinned]
        kept.sort(key=_ORDERS[sort], reverse=(sort not in _ASCENDING) != reverse)
        found = kept[:limit]
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
        document["requests"],
        document.get("downloads"),
        local_time(document.get("used_at")),
        "pinned" if document.get("pinned_at") else "",
    )


def _share(done: int, shards: int | None) -> str:
    return f"{done}/{shards}" if shards else ""
