"""`datamill watch`."""

from __future__ import annotations

import click

from datamill import exits


@click.command()
@click.argument("dataset_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="The events as JSON lines on stdout.")
@click.pass_context
def watch(ctx: click.Context, dataset_ids: tuple[str, ...], as_json: bool) -> None:
    """Follow datasets, an event a line, until all are ready or failed.

    The exit code is 3 if one of them failed. Watching asks for nothing: see `datamill request`.

    \b
    Example:
        datamill watch 5a57948d 833389e3
    """
    from datamill.events import Failed
    from datamill.runfile import find_service
    from datamill.sessions import session_for
    from datamill.settings import load_settings
    from datamill_producer.event_lines import line
    from datamill_producer.gateway import full_ids
    from datamill_producer.watching import follow

    service = find_service(load_settings())
    failed = False
    for event in follow(session_for(service), full_ids(service, dataset_ids)):
        click.echo(event.encode().decode() if as_json else line(event))
        failed = failed or isinstance(event, Failed)
    if failed:
        ctx.exit(exits.REQUEST_FAILED)
