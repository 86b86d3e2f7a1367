"""Archives over HTTP: whole, in part, resumed; and never anything that is not the archive."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from datamill.download import read_into
from datamill.errors import DownloadError
from datamill.part import FilePart
from datamill.pieces import Pieces
from datamill_builder.catalog import Catalog, lifecycle
from datamill_builder.catalog.schema import downloads
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps
from tests.support.notifier import NotifierProcess
from tests.support.rot import flip_bit

BIG_BYTES = 24 * 1024 * 1024  # more than the buffers of both ends of a loopback connection


@pytest.fixture(scope="module")
def served(steps: Callable[..., Steps]) -> Steps:
    """An archive that nobody touches."""
    return steps().ready()


@pytest.fixture(scope="module")
def path(served: Steps) -> str:
    return f"/datasets/{served.archive.name}"


def big_archive(number: int) -> object:
    payload = os.urandom(1024) * (BIG_BYTES // 1024)
    return pack({"train": [[example(text=payload)]]}, content_key=f"{number:064x}")


def eventually(condition: Callable[[], bool], secs: float = 10.0) -> bool:
    deadline = time.monotonic() + secs
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# --- what is sent --------------------------------------------------------------------------------


def test_whole(notifier: NotifierProcess, served: Steps, path: str) -> None:
    answer = notifier.ask(path)
    assert answer.status == 200
    assert answer.body == served.archive.body
    assert answer.headers["ETag"] == f'"{served.archive.sha256}"'
    assert answer.headers["Content-Length"] == str(len(served.archive.body))
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Last-Modified"] is None
    digest = base64.b64encode(hashlib.sha256(served.archive.body).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"


def test_head_says_the_same_and_sends_nothing(notifier: NotifierProcess, path: str) -> None:
    whole, head = notifier.ask(path), notifier.ask(path, "HEAD")
    assert head.status == 200
    assert head.body == b""
    for name in ("ETag", "Content-Length", "Content-Type", "Repr-Digest", "Accept-Ranges"):
        assert head.headers[name] == whole.headers[name]
    ranged = notifier.ask(path, "HEAD", headers={"Range": "bytes=0-9"})
    assert (ranged.status, ranged.headers["Content-Length"]) == (200, str(len(whole.body)))


def test_a_compressed_sibling_is_not_served(
    notifier: NotifierProcess, served: Steps, path: str
) -> None:
    beside = served.store.archive_path(served.archive.name + ".gz")
    beside.write_bytes(b"not what was asked for")
    answer = notifier.ask(path, headers={"Accept-Encoding": "gzip"})
    assert answer.body == served.archive.body
    assert answer.headers["Content-Encoding"] is None
    assert notifier.ask(path + ".gz").status == 404


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 9000), length=st.integers(1, 9000))
def test_any_part_is_the_slice(
    notifier: NotifierProcess, served: Steps, path: str, first: int, length: int
) -> None:
    body = served.archive.body
    answer = notifier.ask(path, headers={"Range": f"bytes={first}-{first + length - 1}"})
    if first >= len(body):
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(body)}"
        return
    assert answer.status == 206
    assert answer.body == body[first : first + length]
    last = min(first + length, len(body)) - 1
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(body)}"
    assert answer.headers["ETag"] == f'"{served.archive.sha256}"'


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("bytes=0-0", 206),
        ("bytes=-5", 206),
        ("bytes=-0", 416),
        ("bytes=0-1,3-4", 200),
        ("lines=0-1", 200),
        ("bytes=x", 200),
    ],
)
def test_odd_ranges(notifier: NotifierProcess, path: str, field: str, status: int) -> None:
    answer = notifier.ask(path, headers={"Range": field})
    assert answer.status == status
    if status == 416:
        assert answer.document["error"] == "range_not_satisfiable"


def test_conditions(notifier: NotifierProcess, served: Steps, path: str) -> None:
    etag = f'"{served.archive.sha256}"'
    size = str(len(served.archive.body))
    unchanged = notifier.ask(path, headers={"If-None-Match": etag})
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert unchanged.headers["ETag"] == etag
    assert notifier.ask(path, headers={"If-Match": '"other"'}).status == 412
    assert notifier.ask(path, headers={"If-Match": etag}).status == 200
    resumed = {"Range": "bytes=100-", "If-Range": etag}
    assert notifier.ask(path, headers=resumed).status == 206
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2099 07:28:00 GMT"):
        answer = notifier.ask(path, headers={"Range": "bytes=100-", "If-Range": other})
        assert answer.status == 200, other
        assert answer.headers["Content-Length"] == size


def test_fields_that_come_twice_are_one_list(
    notifier: NotifierProcess, served: Steps, path: str
) -> None:
    connection = notifier.connect()
    connection.putrequest("GET", path)
    connection.putheader("If-None-Match", '"other"')
    connection.putheader("If-None-Match", f'"{served.archive.sha256}"')
    connection.endheaders()
    assert connection.getresponse().status == 304
    connection.close()


def test_one_connection_serves_one_after_the_other(
    notifier: NotifierProcess, served: Steps, path: str
) -> None:
    connection = notifier.connect()
    body = served.archive.body
    for _ in range(3):
        for headers, expected in [
            ({}, body),
            ({"Range": "bytes=10-19"}, body[10:20]),
            ({"If-None-Match": "*"}, b""),
            ({"Range": "bytes=99999999-"}, None),
            ({"If-Match": '"x"'}, None),
        ]:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            content = response.read()
            assert expected is None or content == expected
    connection.close()


def test_an_old_client_is_served(notifier: NotifierProcess, served: Steps, path: str) -> None:
    host, _, port = notifier.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        received = b"".join(iter(lambda: plain.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert body == served.archive.body


def test_many_at_once(notifier: NotifierProcess, served: Steps, path: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda _: notifier.ask(path).body, range(64)))
    assert set(bodies) == {served.archive.body}


# --- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/datasets/..%2f..%2fcatalog.sqlite",
        "/datasets/../../catalog.sqlite",
        "/datasets/%2e%2e/%2e%2e/catalog.sqlite",
        "/datasets/..%5c..%5ccatalog.sqlite",
        "/datasets/archives",
        "/datasets/",
        "/datasets/.zip",
        "/datasets/toy_1.0.0_" + "0" * 64 + ".zip",
        "/datasets/toy_1.0.0_" + "f" * 63 + ".zip",
        "/datasets/" + "f" * 64,
        "/datasets/" + "F" * 64,
        "/datasets/" + "f" * 64 + "%0a",
        "/datasets/" + "f" * 64 + "/manifest.json",
        "/datasets/" + "f" * 64 + "/../../catalog.sqlite",
        "/datasets/%00",
        "/datasets/%ff%fe",
        "/store/archives",
        "/admin-token",
        "//datasets",
    ],
)
def test_addresses_of_nothing(notifier: NotifierProcess, path: str) -> None:
    answer = notifier.ask(path)
    assert answer.status == 404
    assert answer.document["error"] == "not_found"


def test_the_name_is_one_with_the_content(
    notifier: NotifierProcess, served: Steps, path: str
) -> None:
    assert notifier.ask(path.replace("toy_1.0.0", "other_1.0.0")).status == 404
    assert notifier.ask(path.replace("toy_1.0.0", "toy_1.0.1")).status == 404


def test_other_methods(notifier: NotifierProcess, path: str) -> None:
    answer = notifier.ask(path, "DELETE")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET,HEAD"
    assert answer.document["error"] == "method_not_allowed"


def test_a_version_with_a_plus_is_found_however_it_is_written(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps()
    packed = made.archive.__class__(
        made.archive.name.replace("_1.0.0_", "_1.0.0+cu12_"),
        made.archive.body,
        made.archive.manifest,
        made.archive.shards,
    )
    made.archive = packed
    made.ready()
    for name in (packed.name, packed.name.replace("+", "%2B")):
        assert notifier.ask(f"/datasets/{name}").body == packed.body


def test_not_ready_is_not_there(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    made = steps().accepted().resolved().planned().shards_made()
    assert notifier.ask(f"/datasets/{made.archive.name}").status == 404
    assert notifier.ask(f"/datasets/{made.dataset_id}/manifest.json").status == 404
    made.packed()
    assert notifier.ask(f"/datasets/{made.archive.name}").body == made.archive.body


def test_a_touched_archive_is_hashed_again_and_served(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    os.utime(made.store.archive_path(made.archive.name), (1, 1))
    for _ in range(2):
        assert notifier.ask(f"/datasets/{made.archive.name}").body == made.archive.body
    assert notifier.log().count(f"{made.archive.name} was touched since it was packed") == 1


def test_a_damaged_archive_is_never_served(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    file = made.store.archive_path(made.archive.name)
    body = bytearray(made.archive.body)
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    base = f"/datasets/{made.dataset_id}"
    for path in (f"/datasets/{made.archive.name}", f"{base}/manifest.json", f"{base}/shards/0"):
        for headers in ({}, {"Range": "bytes=0-0"}):
            answer = notifier.ask(path, headers=headers)
            assert answer.status == 410, "clients ask for the dataset again"
            assert answer.document["error"] == "damaged"
            assert answer.headers["ETag"] is None
    # Whole again, as after a rebuild: served again.
    file.write_bytes(made.archive.body)
    assert notifier.ask(f"/datasets/{made.archive.name}").body == made.archive.body


def test_an_archive_that_is_doubted_is_hashed_again(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog
) -> None:
    made = steps().ready()
    path, doubt = f"/datasets/{made.archive.name}", {"Cache-Control": "no-cache"}
    flip_bit(made.store.archive_path(made.archive.name))
    assert notifier.ask(path, headers=doubt).status == 410
    assert notifier.ask(path).status == 410, "nor is it served to others from here on"
    with catalog.read() as connection:
        build = lifecycle.find_build(connection, made.content_key)
    assert build is not None and build.archive_mark is None, "a builder looks at it when asked"


def test_doubts_make_nobody_hash_all_the_time(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps().ready()
    path, doubt = f"/datasets/{made.archive.name}", {"Cache-Control": "no-cache"}
    for _ in range(3):
        assert notifier.ask(path, headers=doubt).body == made.archive.body
    assert notifier.log().count(f"{made.archive.name} was touched") == 1


def test_a_link_in_place_of_an_archive_is_not_followed(
    notifier: NotifierProcess, steps: Callable[..., Steps], tmp_path: Path
) -> None:
    made = steps().ready()
    file = made.store.archive_path(made.archive.name)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert notifier.ask(f"/datasets/{made.archive.name}").status == 404
    file.unlink()
    os.mkfifo(file)
    assert notifier.ask(f"/datasets/{made.archive.name}").status == 404


def test_an_archive_that_is_gone(notifier: NotifierProcess, steps: Callable[..., Steps]) -> None:
    made = steps().ready()
    made.store.archive_path(made.archive.name).unlink()
    assert notifier.ask(f"/datasets/{made.archive.name}").status == 404
    state = notifier.ask(f"/datasets/{made.dataset_id}").document
    assert (state["state"], state["ready"]) == ("evicted", None)


# --- entries --------------------------------------------------------------------------------------


def test_manifest_and_preview(notifier: NotifierProcess, served: Steps, tmp_path: Path) -> None:
    with zipfile.ZipFile(served.archive.write(tmp_path)) as opened:
        contents = {name: opened.read(name) for name in ("manifest.json", "preview.jpg")}
    for name, kind in (("manifest.json", "application/json"), ("preview.jpg", "image/jpeg")):
        answer = notifier.ask(f"/datasets/{served.dataset_id}/{name}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        assert answer.body == contents[name]
        etag = f'"{hashlib.sha256(contents[name]).hexdigest()}"'
        assert answer.headers["ETag"] == etag
        again = notifier.ask(
            f"/datasets/{served.dataset_id}/{name}", headers={"If-None-Match": etag}
        )
        assert again.status == 304


def test_an_archive_without_a_preview(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps(archive=pack(content_key="e" * 64)).ready()
    assert notifier.ask(f"/datasets/{made.dataset_id}/preview.jpg").status == 404
    assert notifier.ask(f"/datasets/{made.dataset_id}/manifest.json").status == 200


# --- the log of downloads, and trouble on the way -------------------------------------------------


def logged(catalog: Catalog, content_key: str) -> list[tuple[int, bool]]:
    """(bytes, whether it has ended) of each download of an archive."""
    with catalog.read() as connection:
        rows = connection.execute(
            select(downloads)
            .where(downloads.c.content_key == content_key)
            .order_by(downloads.c.seq)
        )
        return [(row.bytes, row.ended_at is not None) for row in rows]


def test_a_download_in_many_pieces_is_one(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog, tmp_path: Path
) -> None:
    """As the client takes it over a long link: the first bytes, then ranges over connections."""
    made = steps(archive=big_archive(0xB7)).ready()
    before, size = notifier.numbers(), len(made.archive.body)
    url, etag = f"{notifier.url}/datasets/{made.archive.name}", f'"{made.archive.sha256}"'
    with FilePart(tmp_path / "part", size) as part, urllib.request.urlopen(url) as first:
        pieces = Pieces(part, url, etag, 30.0, read_into, lambda *said: DownloadError(str(said)))
        pieces.receive(first, 4, lambda: None)
        assert part.complete
    assert (tmp_path / "part").read_bytes() == made.archive.body

    def is_over() -> bool:
        """Between two pieces it has ended, too, but is not whole."""
        ((sent, has_ended),) = logged(catalog, made.content_key)
        return has_ended and sent >= size

    eventually(is_over)
    ((sent, _),) = logged(catalog, made.content_key)
    assert sent < 2 * size, "what is sent to somebody who hangs up is sent, too, and not all of it"
    after = notifier.numbers()
    assert after["datamill_downloads_total"] - before["datamill_downloads_total"] == 1
    used = notifier.ask(f"/datasets/{made.dataset_id}").document["usage"]
    assert (used["downloads"], used["sent_bytes"]) == (1, sent)


def test_downloads_are_logged(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog
) -> None:
    made = steps().ready()
    path = f"/datasets/{made.archive.name}"
    notifier.ask(path)
    notifier.ask(path, headers={"Range": "bytes=0-9"})
    notifier.ask(path, "HEAD")
    notifier.ask(path, headers={"If-None-Match": "*"})
    expected = [(len(made.archive.body), True), (10, True)]
    assert eventually(lambda: logged(catalog, made.content_key) == expected), logged(
        catalog, made.content_key
    )


def test_a_download_in_pieces_is_one(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog
) -> None:
    """Over several connections, or resumed: its bytes are counted, it is not counted again."""
    made = steps().ready()
    path = f"/datasets/{made.archive.name}"
    for span in ("0-9", "10-99", "100-199"):
        notifier.ask(path, headers={"Range": f"bytes={span}"})
    notifier.ask(path, headers={"Range": "bytes=200-"})
    expected = [(len(made.archive.body), True)]
    assert eventually(lambda: logged(catalog, made.content_key) == expected), logged(
        catalog, made.content_key
    )


def test_a_client_that_leaves_is_no_trouble(
    notifier: NotifierProcess, steps: Callable[..., Steps], catalog: Catalog
) -> None:
    made = steps(archive=big_archive(0xB1)).ready()
    connection = notifier.connect()
    connection.request("GET", f"/datasets/{made.archive.name}")
    assert len(connection.getresponse().read(1000)) == 1000
    connection.close()

    def ended() -> bool:
        rows = logged(catalog, made.content_key)
        return len(rows) == 1 and rows[0][1] and rows[0][0] < len(made.archive.body)

    assert eventually(ended), logged(catalog, made.content_key)
    assert eventually(lambda: notifier.numbers()["datamill_downloads_in_progress"] == 0)


def test_a_file_that_shrinks_under_way_ends_in_a_cut_connection(
    notifier: NotifierProcess, steps: Callable[..., Steps]
) -> None:
    made = steps(archive=big_archive(0xB2)).ready()
    connection = notifier.connect()
    connection.request("GET", f"/datasets/{made.archive.name}")
    response = connection.getresponse()
    response.read(1000)
    os.truncate(made.store.archive_path(made.archive.name), 2000)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()


def test_a_replaced_file_does_not_mix_into_a_download(
    notifier: NotifierProcess, steps: Callable[..., Steps], tmp_path: Path
) -> None:
    made = steps(archive=big_archive(0xB3)).ready()
    connection = notifier.connect()
    connection.request("GET", f"/datasets/{made.archive.name}")
    response = connection.getresponse()
    begin = response.read(1000)
    other = tmp_path / "other"
    other.write_bytes(bytes(len(made.archive.body)))
    other.replace(made.store.archive_path(made.archive.name))
    assert hashlib.sha256(begin + response.read()).hexdigest() == made.archive.sha256
    connection.close()


def test_a_slow_client_keeps_nobody_waiting(
    notifier: NotifierProcess, steps: Callable[..., Steps], served: Steps, path: str
) -> None:
    made = steps(archive=big_archive(0xB4)).ready()
    stalled = [notifier.connect() for _ in range(40)]
    for connection in stalled:
        connection.request("GET", f"/datasets/{made.archive.name}")
        connection.getresponse().read(10)
    assert notifier.numbers()["datamill_downloads_in_progress"] == 40
    started = time.monotonic()
    assert notifier.ask(path).body == served.archive.body
    assert time.monotonic() - started < 2.0
    for connection in stalled:
        connection.close()
    assert eventually(lambda: notifier.numbers()["datamill_downloads_in_progress"] == 0)


def test_stopping_lets_a_download_end(home: Path, steps: Callable[..., Steps]) -> None:
    made = steps(archive=big_archive(0xB5)).ready()
    process = NotifierProcess(home).start()
    connection = process.connect()
    connection.request("GET", f"/datasets/{made.archive.name}")
    response = connection.getresponse()
    begin = response.read(1000)
    codes: list[int] = []
    stopping = threading.Thread(target=lambda: codes.append(process.stop()))
    stopping.start()
    assert eventually(lambda: "1 downloads are open" in process.log())
    with pytest.raises(ConnectionRefusedError):
        process.ask("/healthz")
    assert hashlib.sha256(begin + response.read()).hexdigest() == made.archive.sha256
    stopping.join(10)
    assert codes == [0]
    connection.close()


def test_stopping_waits_no_longer_than_the_grace(home: Path, steps: Callable[..., Steps]) -> None:
    made = steps(archive=big_archive(0xB6)).ready()
    process = NotifierProcess(home, DATAMILL_STOP_GRACE_SECS="0.5").start()
    connection = process.connect()
    connection.request("GET", f"/datasets/{made.archive.name}")
    response = connection.getresponse()
    response.read(1000)
    started = time.monotonic()
    assert process.stop() == 0
    assert 0.4 < time.monotonic() - started < 4.0
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    assert "Traceback" not in process.log()
    connection.close()
