"""The tutorial is run, from its empty folder to the trained network."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from datamill_producer.rabbitmq import Installation
from tests.docs.following import follow
from tests.docs.readme import README, REPOSITORY, steps
from tests.docs.session import Session

TUTORIAL = REPOSITORY / "docs" / "handler_tutorial.md"
TEXT = TUTORIAL.read_text(encoding="utf-8")

WHO = {
    "GIT_AUTHOR_NAME": "Newcomer",
    "GIT_AUTHOR_EMAIL": "newcomer@example.org",
    "GIT_COMMITTER_NAME": "Newcomer",
    "GIT_COMMITTER_EMAIL": "newcomer@example.org",
}
"""What git asks of a home that is empty."""


@pytest.fixture
def newcomer(session: Session, installation: Installation) -> Session:
    """One who has RabbitMQ already; the reader of the README has it fetched."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    session.environment |= {**WHO, "XDG_CACHE_HOME": cache}
    return session


@pytest.mark.slow
def test_everything_in_its_order(newcomer: Session) -> None:
    shown = ""
    for step in steps(TEXT):
        shown = follow(newcomer, step)
    after, before = (float(number) for number in re.findall(r"by ([\d.]+)", shown))
    assert after < 0.7 * before, "the last step is a training that learns something"
    newcomer.close()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (TUTORIAL.parent / target).exists(), target
    assert "docs/handler_tutorial.md" in README.read_text(encoding="utf-8")
