"""`datamill get`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datamill_producer.completing import complete_dataset_id
from datamill_producer.gateway import Document, Gateway

if TYPE_CHECKING:
    from datamill.runfile import Service
    from datamill.settings import Settings


@click.command()
@click.argument("dataset_id", metavar="ID", shell_complete=complete_dataset_id)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Unpack it there: a folder that is not there yet, or is empty.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def get(dataset_id: str, target: Path | None, as_json: bool) -> None:
    """Download dataset ID, which must be ready, and unpack it; print the folder.

    It goes to the cache of this machine (DATAMILL_CACHE), where trainings find it, and with --to
    to a folder of your own as well. What is in the cache needs no service.

    \b
    Example:
        datamill get 5a57948d --to ./duts
    """
    from datamill.settings import load_settings

    full_id, folder = _obtain(load_settings(), dataset_id)
    if target is not None:
        from datamill_producer.copying import copy_folder

        folder = copy_folder(folder, target)
    document = {"dataset_id": full_id, "folder": str(folder)}
    click.echo(json.dumps(document) if as_json else str(folder))


def _obtain(settings: Settings, given: str) -> tuple[str, Path]:
    from datamill.cache import Cache
    from datamill.errors import ServiceUnavailable
    from datamill.runfile import find_service

    cache = Cache(settings.cache, settings.cache_budget_bytes, settings.download_streams)
    try:
        service = find_service(settings)
        gateway = Gateway(service)
        document = gateway.dataset(gateway.full_id(given))
    except ServiceUnavailable as error:
        ready = cache.recall(given)
        found = cache.find(ready.sha256) if ready else None
        if found is None:
            raise
        click.echo(f"{error}: taking {given[:12]} from the cache of this machine", err=True)
        return given, found
    return document["dataset_id"], _download(cache, service, document)


def _download(cache: object, service: Service, document: Document) -> Path:
    from datamill.cache import Cache
    from datamill.events import Ready
    from datamill.progress import progress_view
    from datamill.source import Source

    assert isinstance(cache, Cache)
    if document["ready"] is None:
        raise _not_ready(document)
    ready = Ready.model_validate(document["ready"])
    # The address in the event is meant for everybody; the one we know is the one that works here.
    urls = dict.fromkeys((f"{service.http_url}/datasets/{ready.archive}", ready.url))
    source = Source(tuple(urls), ready.bytes, ready.sha256)
    label = f"{document['dataset_name']} {ready.dataset_id[:8]}"
    with progress_view(label, shown=True) as view:
        folder = cache.obtain(source, ready.content_key, view.download)
    cache.remember(ready)
    return folder


def _not_ready(document: Document) -> Exception:
    from datamill.errors import NothingFound, RequestFailed, WaitTimeout

    short = document["dataset_id"][:12]
    if failed := document["failed"]:
        return RequestFailed(
            failed["reason"], failed["message"], failed["retryable"], document["dataset_id"]
        )
    if document["state"] == "evicted":
        return NothingFound(f"{short} was removed from the store: `datamill request` it again")
    return WaitTimeout(f"{short} is {document['state']}: `datamill watch {short}` tells when")
