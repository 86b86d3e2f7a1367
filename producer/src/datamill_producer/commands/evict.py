"""`datamill evict`."""

from __future__ import annotations

import click

from datamill.table import size
from datamill_producer.completing import complete_dataset_id
from datamill_producer.each_dataset import do_to_each
from datamill_producer.gateway import Document


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=complete_dataset_id)
@click.option(
    "--force",
    is_flag=True,
    help="Even what is being downloaded, or was told ready within the last hour.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def evict(ids: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Take the finished datasets ID out of the store, now.

    Those who know them are told by an event. Asking again builds them again, with the same bytes;
    downloads that have begun go on to their end. What is pinned stays. Of one whose build failed
    or was cancelled, the finished shards go. Needs the admin token (DATAMILL_ADMIN_TOKEN), but
    for the service of `datamill up` on this machine.

    \b
    Example:
        datamill evict 5a57948d
    """
    do_to_each(ids, lambda gateway, each: gateway.evict(each, force=force), _told, as_json)


def _told(document: Document) -> str:
    what = document["archive"] or "its finished shards"
    return f"{document['dataset_id']} evicted: {what}, {size(document['bytes'])}"
