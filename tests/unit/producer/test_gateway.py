"""The notifier's answers, played by a small real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datamill.errors import (
    DatamillError,
    InvalidRequest,
    Kept,
    NotAllowed,
    NothingFound,
    ServiceUnavailable,
)
from datamill.runfile import Service
from datamill_producer import accepted_log
from datamill_producer.accepted_log import Selection, selected
from datamill_producer.gateway import Gateway, full_ids

Answer = Callable[[str, dict[str, str], str], tuple[int, Any]]


class Played:
    """A server that answers what `answer` returns for path, parameters and token."""

    def __init__(self) -> None:
        self.answer: Answer = lambda path, parameters, token: (200, {})
        self.location: str | None = None
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
                played.asked.append((self.command, parts.path, parameters))
                token = self.headers.get("Authorization", "")
                status, document = played.answer(parts.path, parameters, token)
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if played.location:
                    self.send_header("Location", played.location)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the name that the server looks for

            def log_message(self, *_arguments: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def played() -> Iterator[Played]:
    server = Played()
    yield server
    server.stop()


@pytest.fixture
def gateway(played: Played) -> Gateway:
    return Gateway(Service(None, played.url, "t0ken"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequest),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NothingFound),
        (409, NothingFound),
        (500, ServiceUnavailable),
        (503, ServiceUnavailable),
    ],
)
def test_refusals_are_errors_with_the_servers_words(
    played: Played, gateway: Gateway, status: int, error: type[DatamillError]
) -> None:
    played.answer = lambda *_: (status, {"error": "word", "message": "what is wrong"})
    with pytest.raises(error, match="what is wrong"):
        gateway.dataset("0" * 64)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_answers_of_something_else(played: Played, gateway: Gateway, body: bytes) -> None:
    played.answer = lambda *_: (502, body)
    with pytest.raises(ServiceUnavailable, match="502 Bad Gateway"):
        gateway.dataset("0" * 64)
    played.answer = lambda *_: (200, b"<html>")
    with pytest.raises(ServiceUnavailable):
        gateway.dataset("0" * 64)


def test_nobody_there() -> None:
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        Gateway(Service(None, "http://127.0.0.1:1")).datasets()
    with pytest.raises(ServiceUnavailable, match="DATAMILL_URL"):
        Gateway(Service("amqp://h", None))


def test_the_token_goes_along(played: Played, gateway: Gateway) -> None:
    played.answer = lambda path, parameters, token: (200, {"token": token})
    assert gateway.cancel("0" * 64) == {"token": "Bearer t0ken"}
    assert played.asked == [("POST", f"/admin/datasets/{'0' * 64}/cancel", {})]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_goes_to_nobody_else(played: Played, gateway: Gateway, status: int) -> None:
    elsewhere = Played()
    try:
        elsewhere.answer = lambda path, parameters, token: (200, {"token": token})
        played.location = f"{elsewhere.url}/datasets?secret=1"
        played.answer = lambda *_: (status, {})
        for ask in (gateway.datasets, lambda: gateway.cancel("0" * 64)):
            with pytest.raises(ServiceUnavailable) as caught:
                ask()
            said = f"{played.url} sends requests on to {elsewhere.url}: set DATAMILL_URL to the "
            assert str(caught.value) == said + "address where the notifier is"
        assert elsewhere.asked == []
    finally:
        elsewhere.stop()


def test_not_ready_is_an_answer(played: Played, gateway: Gateway) -> None:
    parts = {"ready": False, "catalog": True, "broker": False}
    played.answer = lambda *_: (503, parts)
    assert gateway.readiness() == parts


def test_prefixes(played: Played, gateway: Gateway) -> None:
    ids = ["abcdef" + "0" * 58, "abcdef" + "1" * 58, "fedcba" + "0" * 58]
    played.answer = played_ids({ids[0]: "c" * 64, ids[1]: None, ids[2]: "d" * 64})
    assert gateway.full_id("fedcba") == ids[2]
    assert gateway.full_id("abcdef1") == ids[1]
    assert played.asked[0] == ("GET", "/ids/fedcba", {}), "the server looks, however many there are"
    with pytest.raises(InvalidRequest, match="begins 2"):
        gateway.full_id("abcdef")
    with pytest.raises(NothingFound, match="datamill list"):
        gateway.full_id("123456")
    for text in ("abcde", "", "ABCDEF", "xyzxyz", "0" * 65):
        with pytest.raises(InvalidRequest):
            gateway.full_id(text)


def played_ids(ids: dict[str, str | None], *orphans: str) -> Answer:
    """Answer as a catalog of these dataset ids, with their content keys, does."""
    keys = {*orphans, *(key for key in ids.values() if key)}

    def answer(path: str, _parameters: dict[str, str], _token: str) -> tuple[int, Any]:
        prefix = path.removeprefix("/ids/")
        names = [each for each in ids if each.startswith(prefix)]
        contents = [key for key in sorted(keys) if key.startswith(prefix)]
        return 200, {
            "datasets": [{"dataset_id": one, "content_key": ids[one]} for one in names],
            "contents": [
                {"content_key": key, "dataset_ids": [one for one in ids if ids[one] == key]}
                for key in contents
            ],
        }

    return answer


def test_content_keys_that_are_shown_can_be_given(played: Played, gateway: Gateway) -> None:
    one, two, three = "1" * 64, "2" * 64, "3" * 64
    key, shared, orphan = "aaaaaa" + "0" * 58, "bbbbbb" + "0" * 58, "cccccc" + "0" * 58
    played.answer = played_ids({one: key, two: shared, three: shared}, orphan)
    for find in (gateway.full_id, gateway.full_id_or_content):
        assert find("111111") == one
        with pytest.raises(NothingFound):
            find("abcabc")
    assert gateway.full_id("aaaaaa") == one
    assert gateway.full_id("bbbbbb") == two, "the first that was asked for"
    with pytest.raises(NothingFound, match="`unpin`"):
        gateway.full_id("cccccc")
    assert gateway.full_id_or_content("aaaaaa") == key
    assert gateway.full_id_or_content("bbbbbb") == shared
    assert gateway.full_id_or_content("cccccc") == orphan
    same = "aaaaaa" + "1" * 58
    played.answer = played_ids({same: key})
    assert gateway.full_id_or_content("aaaaaa") == same, "an id and its own content are one thing"


def test_full_ids_need_no_server() -> None:
    ids = ["1" * 64, "2" * 64]
    assert full_ids(Service("amqp://h", None), [*ids, ids[0]]) == ids


def entry(number: int, dataset: int | None = None) -> dict[str, Any]:
    config = {"n": number if dataset is None else dataset}
    return {
        "message_id": f"m{number}",
        "accepted_at": f"2026-01-31T12:00:00.{number:03d}Z",
        "dataset_id": f"id-{config['n']}",
        "dataset_name": "toy",
        "handler_version": "1.0.0",
        "dataset_config": config,
        "state": "ready",
    }


def test_each_request_is_selected_once_in_order(played: Played, gateway: Gateway) -> None:
    entries = [entry(1), entry(2), entry(3, dataset=1)]
    played.answer = lambda *_: (200, entries)
    found = selected(gateway, Selection(dataset_name="toy", since=5.0, failed=True))
    assert [request.dataset_config["n"] for request in found] == [1, 2]
    ((_, path, parameters),) = played.asked
    assert path == "/admin/requests"
    limit = parameters.pop("limit")
    assert int(limit) > 0
    assert parameters == {"since": "5.0", "dataset_name": "toy", "failed": "1"}


def test_one_message_id_for_two_datasets_is_two_requests(played: Played, gateway: Gateway) -> None:
    entries = [entry(1, dataset=1), entry(1, dataset=2) | {"accepted_at": "2026-02-01T00:00:00Z"}]
    played.answer = lambda *_: (200, entries)
    found = selected(gateway, Selection())
    assert [request.dataset_config["n"] for request in found] == [1, 2]


def test_every_id_is_asked_for(played: Played, gateway: Gateway) -> None:
    played.answer = lambda path, parameters, token: (
        200,
        [entry(int(parameters["dataset_id"][-1]))],
    )
    found = selected(gateway, Selection(dataset_ids=("id-2", "id-1")))
    assert [request.dataset_config["n"] for request in found] == [1, 2]


def test_a_long_log_comes_in_pages(
    played: Played, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_log, "MAX_LIST", 3)
    # Two of the same millisecond, across the border of two pages.
    log = [entry(n) for n in range(1, 9)]
    log[4]["accepted_at"] = log[5]["accepted_at"]

    def page(_path: str, parameters: dict[str, str], _token: str) -> tuple[int, Any]:
        until = float(parameters.get("until", "inf"))
        epoch = 1769860800.0  # 2026-01-31T12:00:00Z
        before = [e for e in log if epoch + float("0." + e["accepted_at"][-4:-1]) < until - 1e-6]
        return 200, before[-int(parameters["limit"]) :]

    played.answer = page
    found = selected(gateway, Selection())
    assert sorted(request.dataset_config["n"] for request in found) == list(range(1, 9))


# --- what the store keeps ---


def test_keeping_asks_for_what_it_says(played: Played, gateway: Gateway) -> None:
    gateway.pin("a" * 64, pinned=True)
    gateway.pin("a" * 64, pinned=False)
    gateway.evict("a" * 64, force=True)
    gateway.gc(1000, dry_run=True)
    gateway.gc(None, dry_run=False)
    assert played.asked == [
        ("POST", f"/admin/datasets/{'a' * 64}/pin", {}),
        ("POST", f"/admin/datasets/{'a' * 64}/unpin", {}),
        ("POST", f"/admin/datasets/{'a' * 64}/evict", {"force": "1"}),
        ("POST", "/admin/gc", {"budget": "1000", "dry_run": "1"}),
        ("POST", "/admin/gc", {"dry_run": "0"}),
    ]


@pytest.mark.parametrize(("error", "kind"), [("kept", Kept), ("conflict", NothingFound)])
def test_what_stays_is_told_from_what_is_not_there(
    played: Played, gateway: Gateway, error: str, kind: type[DatamillError]
) -> None:
    played.answer = lambda *_: (409, {"error": error, "message": "it is so"})
    with pytest.raises(kind, match="it is so"):
        gateway.evict("a" * 64, force=False)
