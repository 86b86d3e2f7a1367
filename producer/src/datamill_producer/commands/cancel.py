"""`datamill cancel`."""

from __future__ import annotations

import json

import click

from datamill_producer.completing import complete_dataset_id
from datamill_producer.gateway import Gateway


@click.command()
@click.argument("dataset_id", metavar="ID", shell_complete=complete_dataset_id)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def cancel(dataset_id: str, as_json: bool) -> None:
    """Stop the build of dataset ID; all who wait for it are told.

    Asking for it again goes on with the shards that were done. Needs the admin token
    (DATAMILL_ADMIN_TOKEN), but for the service of `datamill up` on this machine.

    \b
    Example:
        datamill cancel 5a57948d
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings

    gateway = Gateway(find_service(load_settings()))
    found = gateway.cancel(gateway.full_id(dataset_id))
    click.echo(json.dumps(found) if as_json else f"{found['dataset_id']} {found['state']}")
