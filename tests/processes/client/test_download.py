"""Downloads over real sockets, from a server that cuts, lies and refuses."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datamill import download, pieces
from datamill.download import fetch
from datamill.errors import DigestMismatch, DownloadError, Gone, WaitTimeout
from datamill.part import FilePart
from datamill.source import Source
from tests.support.file_server import FileServer

BODY = os.urandom(3_000_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "backoff", lambda _attempt: 0.01)
    monkeypatch.setattr(download, "_FRUITLESS_SECS", 0.1)


def source(*urls: str, body: bytes = BODY) -> Source:
    return Source(urls, len(body), hashlib.sha256(body).hexdigest())


def test_a_whole_file(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch(source(server.add("/x", BODY)), tmp_path / "part", lambda *p: seen.append(p))
    assert (tmp_path / "part").read_bytes() == BODY
    assert seen == sorted(seen)
    assert seen[-1] == (len(BODY), len(BODY))
    assert server.requests == [("GET", "/x", None)]


def test_an_empty_file(server: FileServer, tmp_path: Path) -> None:
    fetch(source(server.add("/x", b""), body=b""), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == b""


def test_cut_connections_are_resumed_where_they_were_cut(
    server: FileServer, tmp_path: Path
) -> None:
    url = server.add("/x", BODY, cut_after=[1000, 0, 200_000])
    fetch(source(url), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    ranges = [asked for _method, _path, asked in server.requests]
    assert ranges == [None, "bytes=1000-", "bytes=1000-", "bytes=201000-"]


def test_what_an_ended_process_left_is_resumed(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(BODY[:12345])
    fetch(source(server.add("/x", BODY)), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    assert server.requests == [("GET", "/x", "bytes=12345-")]


def test_a_rebuilt_file_is_never_glued_to_the_old_beginning(
    server: FileServer, tmp_path: Path
) -> None:
    """The beginning is another file's; the server's strong ETag is the right one's."""
    (tmp_path / "part").write_bytes(b"old" * 1000)
    fetch(source(server.add("/x", BODY)), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY


def test_a_server_without_ranges(server: FileServer, tmp_path: Path) -> None:
    url = server.add("/x", BODY, ranges=False, cut_after=[1_500_000])
    fetch(source(url), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY


def test_a_wrong_body_is_fetched_once_more(server: FileServer, tmp_path: Path) -> None:
    url = server.add("/x", BODY, bodies=[bytes(len(BODY))])
    fetch(source(url), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    assert server.count("/x") == 2


@pytest.mark.parametrize("wrong", [bytes(len(BODY)), BODY + b"!", BODY + bytes(10_000_000)])
def test_a_body_that_stays_wrong(server: FileServer, tmp_path: Path, wrong: bytes) -> None:
    url = server.add("/x", wrong)
    with pytest.raises(DigestMismatch):
        fetch(source(url), tmp_path / "part")
    assert server.count("/x") == 2
    assert not (tmp_path / "part").exists()


def test_a_body_that_stays_short(server: FileServer, tmp_path: Path) -> None:
    url = server.add("/x", BODY[:100])
    with pytest.raises(DownloadError, match="the connection was cut"):
        fetch(source(url), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY[:100]


def test_a_busy_server(server: FileServer, tmp_path: Path) -> None:
    fetch(source(server.add("/x", BODY, status=[503, 502, 200])), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY


def test_a_server_that_is_away_for_a_while(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is started again refuses at once: attempts are used up in no time."""
    monkeypatch.setattr(download, "_FRUITLESS_SECS", 30.0)
    fetch(source(server.add("/x", BODY, status=[503] * 20 + [200])), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    assert server.count("/x") == 21


def test_gone(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(Gone, match="404"):
        fetch(source(server.url + "/nothing"), tmp_path / "part")
    assert server.count("/nothing") == 1


def test_refused(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="403"):
        fetch(source(server.add("/x", BODY, status=[403])), tmp_path / "part")


def test_another_address_of_the_same_file(server: FileServer, tmp_path: Path) -> None:
    urls = (server.url + "/nothing", "http://127.0.0.1:9/x", server.add("/x", BODY))
    fetch(source(*urls), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY
    assert server.count("/nothing") == 1


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="refused"):
        fetch(source("http://127.0.0.1:9/x"), tmp_path / "part")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd"])
def test_addresses_that_are_not_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="no address"):
        fetch(source(url), tmp_path / "part")


def test_an_error_of_the_callback_ends_the_download(server: FileServer, tmp_path: Path) -> None:
    """`WaitTimeout` is an OSError, as are broken connections; it must not be tried again."""

    def too_late(_done: int, _total: int) -> None:
        raise WaitTimeout

    with pytest.raises(WaitTimeout):
        fetch(source(server.add("/x", BODY)), tmp_path / "part", too_late)
    assert server.count("/x") == 1


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every server for one that more connections may help with."""
    monkeypatch.setattr(download, "_FAR_SECS", -1.0)
    monkeypatch.setattr(download, "_QUICK_SECS", -1.0)
    monkeypatch.setattr(download, "_SLOW_SECS", 60.0)
    monkeypatch.setattr(download, "_TRIAL_BYTES", 100_000)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 100_000)


def fetch_over_four(source: Source, path: Path) -> list[int]:
    """Fetch over four connections; return what was told of the progress."""
    seen: list[int] = []
    with FilePart(path, source.bytes) as part:
        download.fetch_into(source, part, lambda done, _total: seen.append(done), streams=4)
    return seen


@pytest.mark.usefixtures("far_away")
class TestSeveralConnections:
    def test_all_pieces_once(self, server: FileServer, tmp_path: Path) -> None:
        seen = fetch_over_four(source(server.add("/x", BODY)), tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY
        assert seen == sorted(seen) and seen[-1] == len(BODY)
        ranges = [asked for _method, _path, asked in server.requests]
        assert ranges[0] is None
        assert len(ranges) > 25
        assert len(set(ranges)) == len(ranges)

    def test_one_is_enough_near_by(
        self, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(download, "_FAR_SECS", 60.0)
        fetch_over_four(source(server.add("/x", BODY)), tmp_path / "part")
        assert len(server.requests) == 1

    def test_what_an_ended_process_left_is_resumed(
        self, server: FileServer, tmp_path: Path
    ) -> None:
        (tmp_path / "part").write_bytes(BODY[:123_456])
        fetch_over_four(source(server.add("/x", BODY)), tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY
        assert server.requests[0] == ("GET", "/x", "bytes=123456-")
        assert len(server.requests) > 4

    def test_cut_connections(self, server: FileServer, tmp_path: Path) -> None:
        url = server.add("/x", BODY, cut_after=[600_000, 100, 50_000, 0, 250_000])
        fetch_over_four(source(url), tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY

    @pytest.mark.parametrize("how", [{"ranges": False}, {"pieces": False}, {"shift": 1}])
    def test_a_server_that_does_not_send_pieces(
        self, server: FileServer, tmp_path: Path, how: dict[str, Any]
    ) -> None:
        """It answers with everything, or says that it sent other bytes than it was asked for."""
        url = server.add("/x", BODY, **how)
        if "shift" in how:
            with pytest.raises(DownloadError, match="another range"):
                fetch_over_four(source(url), tmp_path / "part")
            return
        fetch_over_four(source(url), tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY

    def test_a_wrong_piece_is_noticed(self, server: FileServer, tmp_path: Path) -> None:
        """The first answers are right, a later one has another file's bytes under the ETag."""
        etag = f'"{hashlib.sha256(BODY).hexdigest()}"'
        bodies = [BODY] * 7 + [bytes(len(BODY))]
        url = server.add("/x", BODY, etag=etag, bodies=bodies)
        fetch_over_four(source(url), tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY

    @pytest.mark.parametrize("wrong", [bytes(len(BODY)), BODY + b"!", BODY[:-1]])
    def test_a_body_that_stays_wrong(
        self, server: FileServer, tmp_path: Path, wrong: bytes
    ) -> None:
        url = server.add("/x", wrong, etag=f'"{hashlib.sha256(BODY).hexdigest()}"')
        with pytest.raises(DownloadError):
            fetch_over_four(source(url), tmp_path / "part")

    def test_a_file_that_goes_meanwhile(self, server: FileServer, tmp_path: Path) -> None:
        url = server.add("/x", BODY, status=[200, 200, 200, 404, 404, 404, 404, 404])
        with pytest.raises(Gone):
            fetch_over_four(source(url), tmp_path / "part")

    def test_a_server_that_is_busy_meanwhile(self, server: FileServer, tmp_path: Path) -> None:
        url = server.add("/x", BODY, status=[200, 200, 503, 200, 503, 503])
        fetch_over_four(source(url), tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == BODY

    def test_an_error_of_the_callback_ends_all_connections(
        self, server: FileServer, tmp_path: Path
    ) -> None:
        def too_late(done: int, _total: int) -> None:
            if done > 150_000:
                raise WaitTimeout

        threads = threading.active_count()
        url = server.add("/x", BODY)
        with FilePart(tmp_path / "part", len(BODY)) as part, pytest.raises(WaitTimeout):
            download.fetch_into(source(url), part, too_late, streams=4)
        assert threading.active_count() <= threads + 5, "the server's only"
        assert BODY.startswith((tmp_path / "part").read_bytes())


def test_a_full_disk_is_said_at_once(server: FileServer) -> None:
    """Writes to a device that is always full."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with _FullDisk(full, len(BODY)) as part, pytest.raises(DownloadError, match="no space"):
        download.fetch_into(source(server.add("/x", BODY)), part)
    assert server.count("/x") == 1


class _FullDisk(FilePart):
    def _kept(self) -> Iterator[bytes]:
        return iter(())  # reading the device would never end
