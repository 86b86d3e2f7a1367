"""`datamill pin` and `datamill unpin`."""

from __future__ import annotations

import click

from datamill_producer.completing import complete_dataset_id
from datamill_producer.each_dataset import do_to_each
from datamill_producer.gateway import Document

_ids = click.argument(
    "ids", nargs=-1, required=True, metavar="ID...", shell_complete=complete_dataset_id
)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command()
@_ids
@_as_json
def pin(ids: tuple[str, ...], as_json: bool) -> None:
    """Keep the datasets ID in the store, whatever its budget.

    What is pinned is the content that a dataset has now: made from the raw data of now, by the
    handler as it is. One that is still being built stays once it is ready. Needs the admin token
    (DATAMILL_ADMIN_TOKEN), but for the service of `datamill up` on this machine.

    \b
    Example:
        datamill pin 5a57948d 0c4173e4
    """
    do_to_each(ids, lambda gateway, each: gateway.pin(each, pinned=True), _told, as_json)


@click.command()
@_ids
@_as_json
def unpin(ids: tuple[str, ...], as_json: bool) -> None:
    """Let the datasets ID be evicted again.

    What was pinned stays pinned when its raw data changes, and no dataset id stands for it any
    more: then ID is its content key. `datamill gc --dry-run` shows what is pinned, by the ids that
    this takes. Needs the admin token.

    \b
    Example:
        datamill unpin 5a57948d
    """
    do_to_each(ids, lambda gateway, each: gateway.pin(each, pinned=False), _told, as_json)


def _told(document: Document) -> str:
    word = "pinned" if document["pinned"] else "not pinned"
    already = "" if document["changed"] else ", as before"
    return f"{document['dataset_id']} {word}{already}"
