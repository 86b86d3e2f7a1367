"""Doing something to several datasets: each is tried, whatever becomes of the others."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence

import click

from datamill import exits
from datamill.errors import DatamillError, first_line
from datamill_producer.gateway import Document, Gateway


def do_to_each(
    given: Sequence[str],
    do: Callable[[Gateway, str], Document],
    told: Callable[[Document], str],
    as_json: bool,
) -> None:
    """Do something to each dataset, and tell what became of it: a line each, or one document.

    What went wrong with one is a line on stderr, and the exit code of the first such error that
    of the command. Ids may be content keys, too. Raises an error where one is neither, before
    anything is done.
    """
    from datamill.runfile import find_service
    from datamill.settings import load_settings

    gateway = Gateway(find_service(load_settings()))
    ids = list(dict.fromkeys(gateway.full_id_or_content(each) for each in given))
    debug = click.get_current_context().find_root().params.get("debug", False)
    done, code = [], exits.EX_OK
    for dataset_id in ids:
        try:
            document = do(gateway, dataset_id)
        except DatamillError as error:
            if debug:
                traceback.print_exception(error)
            click.echo(f"datamill: {dataset_id[:12]}: {first_line(error)}", err=True)
            code = code or exits.exit_code(error)
            continue
        done.append(document)
        if not as_json:
            click.echo(told(document))
    if as_json:
        click.echo(json.dumps(done))
    if code:
        click.get_current_context().exit(code)
