"""What the README says is so: its commands and snippets are run, its tables compared."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from datamill import exits
from datamill.settings import Settings
from datamill_producer.cli import datamill
from tests.docs.following import follow
from tests.docs.readme import README, REPOSITORY, Command, steps
from tests.docs.session import Session
from tests.support.routes import routes

TEXT = README.read_text(encoding="utf-8")

NOT_RUN = {
    "make demo": "test_demo.py runs the demo",
    "make test": "it is what runs this",
    "make setup": "it has run: this is its environment; the set-up has tests of its own",
    'echo "DATAMILL_BROKER_PASSWORD=$(openssl rand -hex 20)" > .env': "for docker compose",
    "docker compose up": "needs Docker; test_compose.py checks compose.yaml",
    "export DATAMILL_BROKER_URL=amqps://datamill:secret@broker.example/datamill": "another machine",
    "datamill request squares 1.0.0 -o count=100 --wait": (
        "its environment holds TensorFlow; test_classic_handler.py builds this package and asks"
    ),
    "datamill builder": "needs the broker of that other machine; the flow tests run builders",
    "DATAMILL_LISTEN=0.0.0.0:8080 DATAMILL_PUBLIC_URL=http://data.example:8080 datamill notifier": (
        "likewise; the flow tests run notifiers"
    ),
}
"""The only commands that are not run, each with its reason."""


@pytest.mark.slow
def test_everything_in_its_order(session: Session) -> None:
    for step in steps(TEXT):
        follow(session, step, NOT_RUN)
    session.close()


def test_what_is_not_run_is_there() -> None:
    lines = {step.line for step in steps(TEXT) if isinstance(step, Command)}
    assert NOT_RUN.keys() <= lines


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table whose first column is called so, header left out."""
    table = re.search(rf"^\| {heading} \|.*\n\|[ -|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert table is not None, f"no table of {heading}"
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table[1].splitlines()]


def test_all_settings_are_there() -> None:
    written = [name.strip("`") for name, *_ in rows("variable")]
    assert written == [f"DATAMILL_{name.upper()}" for name in Settings.model_fields]


@pytest.mark.parametrize("row", rows("variable"), ids=lambda row: row[0].strip("`"))
def test_defaults_of_settings(row: list[str]) -> None:
    name, _, written = row
    default = Settings.model_fields[name.strip("`").removeprefix("DATAMILL_").lower()].default
    if isinstance(default, str | int | float | Path):
        assert written.strip("`").replace(",", "") == str(default).removesuffix(".0")
    else:
        assert not re.fullmatch(r"[\d.,]+", written), "a number, where the setting has none"


def test_exit_codes() -> None:
    written = {int(code) for code, _ in rows("exit code")}
    constants = vars(exits).items()
    assert written == {value for name, value in constants if name.isupper()}


def test_commands() -> None:
    written = {
        name for row in rows("command") for name in re.findall(r"`datamill ([a-z]+)", row[0])
    }
    assert written == set(datamill.list_commands(click.Context(datamill)))


def test_routes() -> None:
    cells = " ".join(row[0] for row in rows("route"))
    written = {
        (method, re.sub("<[^>]*>", "<>", path))
        for method, path in re.findall(r"`(GET|POST) ([^`?]+)", cells)
    }
    assert written == {
        (method, re.sub("{[^}]*}", "<>", path)) for method, path in routes() if method != "HEAD"
    }


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (
            target.removeprefix("#") in headings
            if target.startswith("#")
            else ((REPOSITORY / target).exists())
        )


def test_paths_are_there() -> None:
    for path in re.findall(
        r"`((?:examples|handlers|builder|client|notifier|producer)/[\w./-]+)`", TEXT
    ):
        if path != "handlers/dist":  # made by `make setup`
            assert (REPOSITORY / path).exists(), path
