"""`datamill doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from datamill import exits

if TYPE_CHECKING:
    from datamill.checkup import Check, Found
    from datamill.settings import Settings

_MARKS = {"ok": "ok", "warning": "WARNING", "error": "ERROR"}


@click.command()
@click.option(
    "--management-url",
    metavar="URL",
    help="RabbitMQ's management API, http://user:password@host:15672, for its alarms.",
)
@click.option(
    "--limit",
    "limit_secs",
    type=click.FloatRange(min=1.0),
    default=15.0,
    show_default=True,
    metavar="SECS",
    help="How long a check may take.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def doctor(
    ctx: click.Context, management_url: str | None, limit_secs: float, as_json: bool
) -> None:
    """Look at everything that Datamill needs here: a line each, and what to do.

    Machine, home, broker, queues, notifier, clock; where a builder is installed, catalog, store,
    raw data, handler sources and uv. It changes nothing, and works where nothing runs. The exit
    code is 1 if something will not work; warnings alone give 0.

    \b
    Example:
        datamill doctor
    """
    from datamill.checkup import Level
    from datamill.settings import load_settings
    from datamill_producer.doctor.making import make

    settings = load_settings()
    told = []
    for name, findings in make(_checks(settings, management_url), limit_secs):
        for found in findings:
            told.append({"check": name, **found.document()})
            if not as_json:
                click.echo(_line(name, found))
    counts = {level.value: sum(one["level"] == level for one in told) for level in Level}
    if as_json:
        click.echo(json.dumps({"ok": not counts["error"], **counts, "checks": told}))
    else:
        click.echo(f"\n{counts['error']} errors, {counts['warning']} warnings")
    if counts["error"]:
        ctx.exit(exits.EX_FAILED)


def _checks(settings: Settings, management_url: str | None) -> Iterator[Check]:
    from importlib.metadata import entry_points

    from datamill.checkup import CHECKS_GROUP
    from datamill_producer.doctor.home import home_checks
    from datamill_producer.doctor.machine import machine_checks
    from datamill_producer.doctor.management import management_checks
    from datamill_producer.doctor.service import service_checks

    yield from machine_checks(settings)
    yield from home_checks(settings)
    yield from service_checks(settings)
    if management_url:
        yield from management_checks(management_url)
    for point in sorted(entry_points(group=CHECKS_GROUP), key=lambda each: each.name):
        yield from point.load()(settings)


def _line(name: str, found: Found) -> str:
    line = f"{_MARKS[found.level.value]:<8}{name:<18} {found.says}"
    return f"{line}\n{'':27}what to do: {found.advice}" if found.advice else line
