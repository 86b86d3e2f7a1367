"""Words that a database takes no text of: asked for, they are nothing that there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.notifier import NotifierProcess
from tests.support.postgresql import PostgresqlServer, postgresql

__all__ = ["postgresql"]

NUL, SURROGATE = "%00", "%ed%a0%80"


@pytest.fixture(scope="module")
def notifier(
    tmp_path_factory: pytest.TempPathFactory, postgresql: PostgresqlServer
) -> Iterator[NotifierProcess]:
    """A notifier whose catalog takes less than SQLite does."""
    url = postgresql.add_database()
    home = tmp_path_factory.mktemp("home")
    process = NotifierProcess(home, DATAMILL_CATALOG_URL=url).start()
    yield process
    assert process.stop() == 0, process.log()
    assert "not foreseen" not in process.log()


@pytest.mark.parametrize("word", [NUL, f"a{NUL}b", SURROGATE])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/datasets?name=WORD", 200),
        ("GET", "/datasets?state=WORD", 400),
        ("GET", "/admin/requests?dataset_name=WORD", 200),
        ("GET", "/admin/requests?dataset_id=WORD", 200),
        ("POST", "/admin/datasets/WORD/pin", 404),
        ("POST", "/admin/datasets/WORD/unpin", 404),
        ("POST", "/admin/datasets/WORD/evict", 404),
        ("POST", "/admin/datasets/WORD/cancel", 404),
        ("GET", "/datasets/WORD", 404),
        ("GET", "/datasets/WORD/details", 404),
        ("GET", "/datasets/WORD/manifest.json", 404),
        ("GET", "/datasets/WORD/shards/0", 404),
        ("GET", "/events?dataset=WORD", 400),
        ("GET", "/?q=WORD", 200),
        ("GET", "/page/WORD", 404),
        ("GET", "/page/compare?id=WORD&id=WORD", 400),
    ],
)
def test_words_that_no_database_takes(
    notifier: NotifierProcess, method: str, path: str, status: int, word: str
) -> None:
    answer = notifier.admin(path.replace("WORD", word), method)
    assert answer.status == status, answer.body
