"""The live page over HTTP: its addresses, its files, what it saved, as JSON too."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.usage import savings
from tests.support.catalog_steps import Steps
from tests.support.eventually import eventually
from tests.support.notifier import Answer, NotifierProcess
from tests.support.postgresql import PostgresqlServer, postgresql

__all__ = ["postgresql"]

UNKNOWN = "0" * 64


def page(answer: Answer) -> str:
    """The text of a page."""
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return answer.body.decode()


def test_every_link_of_the_main_page_leads_somewhere(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps(dataset_name="shown").ready()
    steps(dataset_name="shown").accepted().refused("<b>no</b>")
    text = page(notifier.ask("/"))
    assert "&lt;b&gt;no&lt;/b&gt;" in text
    assert "The broker is away" in text
    links = set(re.findall(r'(?:href|src|action)="([^"#]+)"', text))
    assert f"page/{made.dataset_id}" in links
    assert len(links) > 5
    for path in {urljoin("/", link) for link in links} - {"/page/compare"}:
        assert notifier.ask(path, "HEAD").status == 200, path


def test_every_link_of_the_page_of_a_dataset_leads_somewhere(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made, other = steps().ready(), steps().ready()
    text = page(notifier.ask(f"/page/{made.dataset_id}"))
    links = set(re.findall(r'(?:href|src)="([^"#]+)"', text))
    assert f"../datasets/{made.dataset_id}/preview.jpg" in links
    assert f"compare?id={made.dataset_id}&amp;id={other.dataset_id}" in links
    for path in {urljoin("/page/", unescape(link)) for link in links}:
        assert notifier.ask(path, "HEAD").status == 200, path


def test_the_filter_and_longer_lists(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = [steps(dataset_name="filtered").ready() for _ in range(3)]

    def shown(query: str) -> int:
        text = page(notifier.ask(f"/?{query}"))
        return sum(f'href="page/{each.dataset_id}"' in text for each in made)

    assert shown("q=filtered") == 3
    assert shown("q=FILTERED%20ready") == 3
    assert shown("q=filtered+failed") == 0
    assert shown("q=filtered&limit=2") == 2
    assert shown("q=%25") == 0
    assert shown("q=" + "x" * 5000) == 0
    assert "<script>" not in page(notifier.ask("/?q=%3Cscript%3E"))
    assert notifier.ask("/?limit=0").status == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/page/{UNKNOWN}", 404),
        ("/page/%3Cscript%3E", 404),
        (f"/page/compare?id={UNKNOWN}&id={UNKNOWN}", 404),
        (f"/page/compare?id={UNKNOWN}", 400),
        ("/page/compare", 400),
        ("/page/compare?id=x&id=y", 400),
    ],
)
def test_a_page_says_why_there_is_none(notifier: NotifierProcess, path: str, status: int) -> None:
    answer = notifier.ask(path)
    assert answer.status == status
    text = page(answer)
    assert "<h1>" in text
    assert "<script>" not in text


def test_a_catalog_that_is_away_is_said_to_be(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    url = postgresql.add_database()
    notifier = NotifierProcess(tmp_path, DATAMILL_CATALOG_URL=url).start()
    assert "Nobody has asked" in page(notifier.ask("/"))
    postgresql.stop()
    try:
        answer = notifier.ask("/")
    finally:
        postgresql.start()
    assert answer.status == 503
    assert 'http-equiv="refresh"' in page(answer)
    eventually(lambda: notifier.ask("/").status == 200)
    assert notifier.stop() == 0


def test_two_side_by_side(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    one, other = steps().ready(), steps().ready()
    answer = notifier.ask(f"/page/compare?id={one.dataset_id}&id={other.dataset_id}")
    assert "They differ in number: " in page(answer)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("live.css", "text/css; charset=utf-8"),
        ("live.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml; charset=utf-8"),
    ],
)
def test_files_are_kept_by_browsers(notifier: NotifierProcess, name: str, kind: str) -> None:
    text = page(notifier.ask("/"))
    (address,) = set(re.findall(rf'"(page/static/{re.escape(name)}\?v=[0-9a-f]+)"', text))
    answer = notifier.ask(f"/{address}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert "immutable" in answer.headers["Cache-Control"]
    etag = answer.headers["ETag"]
    again = notifier.ask(f"/{address}", headers={"If-None-Match": etag})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    changed = notifier.ask(f"/{address}", headers={"If-None-Match": '"another"'})
    assert changed.body == answer.body
    unnamed = notifier.ask(f"/page/static/{name}")
    assert unnamed.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["base.html", "..%2froutes.py", "../routes.py", "nothing"])
def test_no_other_files_are_given(notifier: NotifierProcess, name: str) -> None:
    assert notifier.ask(f"/page/static/{name}").status == 404


def test_what_sharing_saved(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog
) -> None:
    made = steps().ready()
    with catalog.write() as change:
        lifecycle.log_requests(change, ["second", "third"], made.dataset_id)
    notifier.ask(f"/datasets/{made.archive.name}")

    def used() -> Any:
        return notifier.ask(f"/datasets/{made.dataset_id}").document["usage"]

    size = len(made.archive.body)
    eventually(lambda: used()["sent_bytes"] == size)  # the log of downloads is written later
    usage = used()
    fetched = datetime.fromisoformat(usage.pop("last_used_at"))
    assert abs(datetime.now(UTC) - fetched) < timedelta(minutes=1)
    assert usage == {
        "requests": 3,
        "builds": 1,
        "build_secs": pytest.approx(0.2),
        "saved_secs": pytest.approx(0.4),
        "sent_bytes": size,
        "saved_bytes": 2 * size,
        "downloads": 1,
    }
    with catalog.read() as connection:
        totals = asdict(savings(connection))
    assert totals["saved_bytes"] >= 2 * size
    eventually(lambda: notifier.ask("/savings").document == totals)  # kept for some seconds


def test_nothing_is_known_of_the_use_of_what_is_not_resolved(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().accepted()
    usage = notifier.ask(f"/datasets/{made.dataset_id}").document["usage"]
    assert usage["last_used_at"] is None
    assert {value for name, value in usage.items() if name != "last_used_at"} == {0}
