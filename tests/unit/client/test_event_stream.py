"""Events by the notifier's stream: none missed, whatever stands between, from a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datamill import event_stream
from datamill.errors import ServiceUnavailable
from datamill.event_stream import EventStream
from datamill.events import Evicted
from datamill.subscription import Subscription
from tests.support.eventually import eventually
from tests.support.reverse_proxy import ReverseProxy


def event(number: int) -> Evicted:
    return Evicted(dataset_id=f"{number:064x}", content_key="0" * 64)


class PlayedStream:
    """A notifier's `/events`: numbered events, remembered from `remembers_from` on."""

    def __init__(self) -> None:
        self.count = 0
        self.remembers_from = 0
        self.asked: list[tuple[str | None, str | None]] = []
        """`Last-Event-ID` and `secs` of each connection."""
        self.breaks_after: int | None = None
        """After so many events a stream ends."""
        self.breaks_within: int | None = None
        """After so many bytes of its first event the next stream ends."""
        self.spoils: set[int] = set()
        """Events that come as something else."""
        self.status = 200
        self.closing = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> PlayedStream:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.closing = True
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        played = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args: Any) -> None:
                pass

            def do_GET(self) -> None:
                secs = parse_qs(urlsplit(self.path).query).get("secs", [None])[0]
                played.asked.append((self.headers["Last-Event-ID"], secs))
                if played.status != 200:
                    self.send_error(played.status)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                try:
                    self._stream(played.count, None if secs is None else float(secs))
                except OSError:
                    return

            def _stream(self, now: int, secs: float | None) -> None:
                last = self.headers["Last-Event-ID"]
                known = last is not None and int(last) >= played.remembers_from
                seen = int(last) if known else now
                self.wfile.write(b"retry: 2000\n" + (b"" if seen < now else b"id: %d\n" % now))
                self.wfile.write(b"\n")
                if not known:  # the state, without an id
                    self.wfile.write(b"event: evicted\ndata: " + event(10**6).encode() + b"\n\n")
                ends_at = time.monotonic() + (60.0 if secs is None else secs)
                sent = 0
                while not played.closing:
                    while seen < played.count:
                        seen += 1
                        body = b"{}" if seen in played.spoils else event(seen).encode()
                        frame = b"id: %d\nevent: evicted\ndata: %s\n\n" % (seen, body)
                        cut, played.breaks_within = played.breaks_within, None
                        self.wfile.write(frame[:cut])
                        if cut is not None:
                            return
                        sent += 1
                        if sent == played.breaks_after:
                            return
                    if time.monotonic() >= ends_at:
                        return
                    self.wfile.write(b": still here\n\n")
                    time.sleep(0.02)

        return Handler


@pytest.fixture
def notifier() -> Iterator[PlayedStream]:
    with PlayedStream() as running:
        yield running


class Reader:
    """A subscription that is read in a thread of its own."""

    def __init__(self, url: str, patience_secs: float = 0.0) -> None:
        self.seen: list[int] = []
        self.stopping = threading.Event()
        self.subscription = Subscription("dataset.evicted.*", lambda _one: None)
        self.stream = EventStream(url, self.subscription, self.stopping, patience_secs)
        self._reading = threading.Thread(target=self._read)

    def _read(self) -> None:
        for told in self.subscription:
            self.seen.append(int(told.dataset_id, 16))

    def __enter__(self) -> Reader:
        self._reading.start()
        self.stream.start()
        assert self.stream.begun.wait(20)
        return self

    def __exit__(self, *_error: object) -> None:
        self.stopping.set()
        self.subscription.close()
        self._reading.join(10)
        self.stream.join(10)
        assert not self.stream.is_alive()


def test_what_happens_after_the_beginning_is_not_missed(notifier: PlayedStream) -> None:
    notifier.count = 5
    with Reader(notifier.url) as reader:
        notifier.count = 8  # before the stream itself is there, or after
        eventually(lambda: reader.seen == [6, 7, 8], 20)
        assert notifier.asked[0] == (None, "0")
        assert notifier.asked[1] == ("5", None)


def test_a_stream_that_breaks_is_gone_on_with(notifier: PlayedStream) -> None:
    notifier.breaks_after = 3
    with Reader(notifier.url) as reader:
        notifier.count = 10
        eventually(lambda: reader.seen == list(range(1, 11)), 20)
        assert [asked for asked, _ in notifier.asked[1:4]] == ["0", "3", "6"]


@pytest.mark.parametrize("count", [3, 6, 20, 40, -2, -1])
def test_an_event_that_is_cut_comes_whole_the_next_time(notifier: PlayedStream, count: int) -> None:
    with Reader(notifier.url) as reader:
        notifier.breaks_within = count
        notifier.count = 2
        eventually(lambda: reader.seen == [1, 2], 20)


def test_what_the_notifier_does_not_remember_is_told_as_a_state(notifier: PlayedStream) -> None:
    notifier.breaks_after = 1
    with Reader(notifier.url) as reader:
        notifier.count = 1
        eventually(lambda: reader.seen == [1], 20)
        notifier.breaks_after = None
        notifier.remembers_from = 50
        notifier.count = 50
        eventually(lambda: reader.seen[:2] == [1, 10**6], 20)
        notifier.count = 51
        eventually(lambda: reader.seen[-1] == 51, 20)


def test_what_is_no_event_is_left_out_with_a_warning(
    notifier: PlayedStream, caplog: pytest.LogCaptureFixture
) -> None:
    notifier.spoils.add(2)
    with Reader(notifier.url) as reader:
        notifier.count = 3
        eventually(lambda: reader.seen == [1, 3], 20)
    (record,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert "an event was left out: it is no event" in record.message


def test_a_proxy_that_holds_back_streams_is_asked_for_short_ones(
    notifier: PlayedStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_SILENCE_SECS", 0.5)
    monkeypatch.setattr(event_stream, "_BRIEF_SECS", 0.1)
    with (
        ReverseProxy(notifier.port, holds_back=True) as proxy,
        Reader(proxy.url) as reader,
    ):
        for count in (1, 2, 3):
            notifier.count = count
            eventually(lambda count=count: reader.seen == list(range(1, count + 1)), 20)
        assert ("0", None) in notifier.asked, "a long one was tried"
        eventually(lambda: notifier.asked[-1] == ("3", "0.1"), 20)


def test_connections_that_are_cut_lose_nothing(notifier: PlayedStream) -> None:
    with ReverseProxy(notifier.port) as proxy, Reader(proxy.url) as reader:
        for count in range(1, 6):
            notifier.count = count
            eventually(lambda count=count: reader.seen == list(range(1, count + 1)), 20)
            proxy.cut_all()


def test_a_notifier_that_restarts_is_waited_for(notifier: PlayedStream) -> None:
    with ReverseProxy(notifier.port) as proxy:
        port, proxy.backend_port = proxy.backend_port, None
        with Reader(proxy.url) as refused:
            assert isinstance(refused.stream.error, ServiceUnavailable)
            assert "could not be reached" in str(refused.stream.error)
        coming_back = threading.Timer(0.7, lambda: setattr(proxy, "backend_port", port))
        coming_back.start()
        with Reader(proxy.url, patience_secs=15) as reader:
            assert reader.stream.error is None
            notifier.count = 1
            eventually(lambda: reader.seen == [1], 20)
        coming_back.join()


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_is_no_notifier_is_not_waited_for(notifier: PlayedStream, status: int) -> None:
    notifier.status = status
    started = time.monotonic()
    with Reader(notifier.url, patience_secs=60) as reader:
        assert "is it a Datamill notifier" in str(reader.stream.error)
    assert time.monotonic() - started < 10
