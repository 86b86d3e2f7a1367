"""`datamill explain`."""

from __future__ import annotations

import json

import click

from datamill_producer.asked import parse_asked
from datamill_producer.completing import complete_dataset_id

_SHOWN_OF_ID = 12


@click.command()
@click.argument("one", metavar="A", shell_complete=complete_dataset_id)
@click.argument("other", metavar="B", shell_complete=complete_dataset_id)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def explain(one: str, other: str, as_json: bool) -> None:
    """Say why A and B are not one dataset: which option, version or raw data differs.

    Each is a dataset id (its first six characters do), a request in quotes, written as after
    `datamill request`, or @FILE with a request as JSON. Options are compared after their defaults
    were filled in, as far as those are known.

    \b
    Examples:
        datamill explain 5a57948d 833389e3
        datamill explain 5a57948d 'duts 1.0.0 -o jpeg_quality=90'
    """
    asked = [parse_asked(each) for each in (one, other)]

    from datamill.runfile import find_service
    from datamill.settings import load_settings
    from datamill_producer.gateway import Document, Gateway

    gateway = Gateway(find_service(load_settings()))
    sides = [gateway.full_id(each) if isinstance(each, str) else each for each in asked]
    found: Document = gateway.compare(*sides)
    click.echo(json.dumps(found) if as_json else _text(found))


def _text(found: dict[str, object]) -> str:
    from datamill.table import table

    rows = [(name, *_told(found[name])) for name in ("a", "b")]
    differences = found["differences"]
    assert isinstance(differences, list)
    lines = [f"  {each['text']}" for each in differences]
    return "\n".join([table(rows), "", str(found["text"]), *lines])


def _told(side: object) -> tuple[str, str, str]:
    assert isinstance(side, dict)
    name = f"{side['dataset_name']} {side['handler_version']}"
    return str(side["dataset_id"])[:_SHOWN_OF_ID], name, json.dumps(side["dataset_config"])
