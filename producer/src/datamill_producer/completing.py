"""Dataset ids and names for the shell's completion: quickly, or not at all."""

from __future__ import annotations

import threading

import click
from click.shell_completion import CompletionItem

PATIENCE_SECS = 0.7
"""So long a shell may hang at the tab key, what is loaded for it not counted."""
_MOST = 1000


def complete_dataset_id(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the dataset ids that begin so, with what they are."""
    # A shell shows what is typed from here on: the first characters do.
    return [
        CompletionItem(
            document["dataset_id"][: max(12, len(incomplete))],
            help=f"{document['dataset_name']} {document['handler_version']}, {document['state']}",
        )
        for document in _datasets()
        if document["dataset_id"].startswith(incomplete)
    ]


def complete_dataset_name(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the names of datasets that were asked for that begin so."""
    names = sorted({document["dataset_name"] for document in _datasets()})
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_handler_version(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the versions that were asked for of the dataset that is named before."""
    name = ctx.params.get("name")
    versions = {each["handler_version"] for each in _datasets() if each["dataset_name"] == name}
    return [CompletionItem(each) for each in sorted(versions) if each.startswith(incomplete)]


def _datasets() -> list[dict[str, str]]:
    """Return what a service lists; nothing where none is found at once."""
    found: list[dict[str, str]] = []
    asking = threading.Thread(target=lambda: found.extend(_ask()), daemon=True)
    asking.start()
    asking.join(PATIENCE_SECS)
    return list(found)


def _ask() -> list[dict[str, str]]:
    from datamill.errors import DatamillError
    from datamill.runfile import find_service
    from datamill.settings import load_settings
    from datamill_producer.gateway import Gateway

    try:
        return Gateway(find_service(load_settings()), PATIENCE_SECS).datasets(limit=_MOST)
    except DatamillError:
        return []  # a shell has no place for errors
