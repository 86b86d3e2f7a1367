"""`datamill status`."""

from __future__ import annotations

import json

import click

from datamill import exits
from datamill.table import size, table
from datamill_producer.completing import complete_dataset_id
from datamill_producer.dataset_text import state_text
from datamill_producer.gateway import Document, Gateway
from datamill_producer.moment import local_time

_SHOWN_OF_ID = 12


@click.command()
@click.argument("dataset_id", metavar="[ID]", required=False, shell_complete=complete_dataset_id)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def status(ctx: click.Context, dataset_id: str | None, as_json: bool) -> None:
    """Show how dataset ID is, or, without one, the service.

    Of an ID the first six characters do, if no other begins so. For the service the exit code is
    69 if a part of it does not work.

    \b
    Examples:
        datamill status
        datamill status 5a57948d
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings

    service = find_service(load_settings())
    if dataset_id is not None:
        gateway = Gateway(service)
        document = gateway.dataset(gateway.full_id(dataset_id))
        click.echo(json.dumps(document) if as_json else _dataset(document))
        return

    from datamill_producer import health

    looked = health.look(service)
    click.echo(json.dumps(looked) if as_json else _service(looked))
    if not health.is_well(looked):
        ctx.exit(exits.EX_UNAVAILABLE)


def _dataset(document: Document) -> str:
    rows = [
        ("dataset", document["dataset_id"]),
        ("name", f"{document['dataset_name']} {document['handler_version']}"),
        ("config", json.dumps(document["dataset_config"])),
        ("state", state_text(document)),
        ("asked", f"{document['requests']} times, first {local_time(document['created_at'])}"),
    ]
    if document.get("note"):
        rows.append(("note", document["note"]))
    if near := document.get("near"):
        rows.append(("near", near["text"]))
    if document["waiting"]:
        rows.append(("waiting", document["waiting"]))
    if ready := document["ready"]:
        rows.append(("archive", f"{ready['url']} ({size(ready['bytes'])})"))
        rows.append(("sha256", ready["sha256"]))
    if failed := document["failed"]:
        rows.append(("reason", f"{failed['reason']}: {failed['message']}"))
    return table(rows)


def _service(looked: Document) -> str:
    rows = [_part(name, looked[name]) for name in ("broker", "builder", "notifier")]
    rows += [("", queue["name"], _queue(queue)) for queue in looked["broker"].get("queues", ())]
    builds = looked["builds"]
    if builds["ok"]:
        rows.append(("builds", f"{len(builds['building'])} running", _queued(builds["queued"])))
        rows += [
            ("", build["dataset_id"][:_SHOWN_OF_ID], _build(build)) for build in builds["building"]
        ]
    else:
        rows.append(("builds", "", builds["error"]))
    return table(rows)


def _part(name: str, part: Document) -> tuple[str, str, str]:
    return name, part.get("url", ""), part.get("error", "ok")


def _queue(queue: Document) -> str:
    if "error" in queue:
        return str(queue["error"])
    return f"{queue['messages']} messages, {queue['consumers']} consumers"


def _queued(queued: list[Document]) -> str:
    return f"{len(queued)} queued"


def _build(build: Document) -> str:
    return f"{build['dataset_name']} {build['handler_version']}, {state_text(build)}"
