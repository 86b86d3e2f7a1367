"""`datamill show`."""

from __future__ import annotations

import json

import click

from datamill_producer.completing import complete_dataset_id


@click.command()
@click.argument("dataset_id", metavar="ID", shell_complete=complete_dataset_id)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def show(dataset_id: str, as_json: bool) -> None:
    """Say everything that is known of dataset ID.

    Its config with defaults marked, what it was made with, its splits and shards, what was
    skipped, how it is used, where it can be fetched, and the Python that gets it. Of an ID the
    first six characters do, if no other begins so.

    \b
    Example:
        datamill show 5a57948d
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings
    from datamill_producer.dataset_text import dataset_text
    from datamill_producer.gateway import Gateway

    gateway = Gateway(find_service(load_settings()))
    found = gateway.details(gateway.full_id(dataset_id))
    click.echo(json.dumps(found) if as_json else dataset_text(found))
