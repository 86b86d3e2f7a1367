"""Dataset ids for the shell's completion: what the service lists, quickly, or nothing.

Not from the catalog itself: opening one may wait for others, or bring it up to date.
"""

from __future__ import annotations

import threading
from typing import Any

import click
from click.shell_completion import CompletionItem

PATIENCE_SECS = 0.7
"""So long a shell may hang at the tab key, what is loaded for it not counted."""
_MOST = 1000
_SHOWN_OF_ID = 12


def complete_dataset_id(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the dataset ids that begin so, with what they are."""
    found: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: found.extend(_ask()), daemon=True)
    asking.start()
    asking.join(PATIENCE_SECS)
    # A shell shows what is typed from here on: the first characters do.
    return [
        CompletionItem(
            each["dataset_id"][: max(_SHOWN_OF_ID, len(incomplete))],
            help=f"{each['dataset_name']} {each['handler_version']}, {each['state']}",
        )
        for each in list(found)
        if each["dataset_id"].startswith(incomplete)
    ]


def _ask() -> list[dict[str, Any]]:
    from datamill.errors import DatamillError
    from datamill.http_state import fetch_datasets
    from datamill.runfile import find_service
    from datamill.settings import load_settings

    try:
        service = find_service(load_settings())
        return fetch_datasets(service.http_url, _MOST) if service.http_url else []
    except DatamillError:
        return []  # a shell has no place for errors
