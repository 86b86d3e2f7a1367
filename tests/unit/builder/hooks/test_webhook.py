"""Webhooks against a real server that answers, refuses, hangs, drips and lies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from datamill.hook_settings import HookSettings
from datamill_builder.hooks.message import Message, trial
from datamill_builder.hooks.signature import signature
from datamill_builder.hooks.webhook import Webhook
from tests.support.hook_server import HookServer, answer, cut, drip, hang

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Ends what hangs, with the test."""
    event = threading.Event()
    yield event
    event.set()


def webhook(url: str, **settings: Any) -> Webhook:
    return Webhook(HookSettings(url=url, **settings))  # type: ignore[arg-type]


def test_the_specification_s_own_example() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signed_message_can_be_verified(server: HookServer) -> None:
    message = trial()
    outcome = webhook(server.url, secret=SECRET).tell(message)
    assert (outcome.done, outcome.says) == (True, "204 No Content")
    (told,) = server.told
    assert told.path == "/told?token=very-secret"
    assert told.headers["Content-Type"] == "application/json"
    assert told.headers["User-Agent"].startswith("datamill/")
    # As docs/hooks.md shows it to receivers.
    signed = f"{told.headers['webhook-id']}.{told.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(KEY, signed + told.body, hashlib.sha256).digest()
    assert told.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert abs(int(told.headers["webhook-timestamp"]) - time.time()) < 5
    document = json.loads(told.body)
    assert told.headers["webhook-id"] == document["id"] == message.id
    assert document["event"] == "test"


def test_without_a_secret_there_is_no_signature(server: HookServer) -> None:
    assert webhook(server.url).tell(trial()).done
    assert "webhook-signature" not in server.told[0].headers
    assert server.told[0].headers["webhook-id"].startswith("msg_")


@pytest.mark.parametrize(
    ("status", "done", "final"),
    [(200, True, False), (202, True, False), (299, True, False)]
    + [(status, False, False) for status in (301, 302, 307, 308, 400, 401, 404, 429, 500, 503)]
    + [(410, False, True)],
)
def test_what_a_status_means(server: HookServer, status: int, done: bool, final: bool) -> None:
    server.reactions = [answer(status, Location=f"http://localhost:{server.port}/elsewhere")]
    outcome = webhook(server.url).tell(trial())
    assert (outcome.done, outcome.final) == (done, final), outcome
    assert str(status) in outcome.says
    assert len(server.told) == 1, "redirects are not followed"


def test_an_error_is_shown_in_a_line_without_the_address(server: HookServer) -> None:
    path = server.url.partition("localhost:")[2].partition("/")[2]
    body = f"no_service at\n{server.url}\x1b[31m, /{path} ".encode() + b"x" * 100_000
    server.reactions = [answer(404, body)]
    outcome = webhook(server.url).tell(trial())
    assert outcome.says.startswith("404 Not Found: no_service at <its address>[31m, <its ad")
    assert "very-secret" not in outcome.says
    assert len(outcome.says) < 300


def test_retry_after_in_seconds_and_as_a_date(server: HookServer) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    server.reactions = [
        answer(429, Retry_After="120"),
        answer(503, Retry_After=then),
        answer(503, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"),
        answer(429, Retry_After="soon"),
        answer(503, Retry_After="Mon, 01 Jan 2026 99999999999999999999:00:00 GMT"),
        answer(429),
    ]
    pauses = [webhook(server.url).tell(trial()).pause_secs for _ in range(6)]
    assert pauses[0] == 120.0
    assert 590 < pauses[1] <= 600
    assert pauses[2:] == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("how", ["hangs", "drips a head", "drips a body"])
def test_the_time_limit_is_for_all_of_it(
    server: HookServer, over: threading.Event, how: str
) -> None:
    body = b"HTTP/1.1 500 Oh\r\nContent-Length: 100000\r\n\r\n"
    reactions = {
        "hangs": hang(over),
        "drips a head": drip(over),
        "drips a body": drip(over, body),
    }
    server.reactions = [reactions[how]]
    started = time.monotonic()
    outcome = webhook(server.url, timeout_secs=0.5).tell(trial())
    assert not outcome.done
    assert time.monotonic() - started < 3
    if how != "drips a body":  # of which the beginning is enough
        assert outcome.says == "no answer within 0.5 s"


def test_the_time_limit_is_for_looking_up_the_name_too(
    server: HookServer, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    looked_up = threading.Event()

    def slow(*arguments: Any, **options: Any) -> Any:
        over.wait(10)
        looked_up.set()
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    started = time.monotonic()
    outcome = webhook(server.url, timeout_secs=0.5).tell(trial())
    assert time.monotonic() - started < 3
    assert (outcome.done, outcome.says) == (False, "no answer within 0.5 s")
    over.set()
    assert looked_up.wait(10)
    _ended("hook call")
    assert server.told == [], "who comes late sends nothing: another builder may tell it by now"


def _ended(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(10)
            assert not thread.is_alive()


def test_a_connection_that_is_cut(server: HookServer) -> None:
    server.reactions = [cut]
    outcome = webhook(server.url).tell(trial())
    assert not outcome.done
    assert "very-secret" not in outcome.says
    assert "closed" in outcome.says


def test_nobody_listens() -> None:
    outcome = webhook("http://127.0.0.1:9/very-secret").tell(trial())
    assert (outcome.done, outcome.says) == (False, "Connection refused")


def test_it_can_be_stopped_from_another_thread(server: HookServer, over: threading.Event) -> None:
    server.reactions = [hang(over)]
    hook = webhook(server.url, timeout_secs=30)
    stopping = threading.Timer(0.3, hook.stop)
    stopping.start()
    started = time.monotonic()
    outcome = hook.tell(trial())
    stopping.join()
    assert (outcome.says, outcome.broken_off) == ("the builder was stopped meanwhile", True)
    assert hook.tell(trial()).broken_off, "it was stopped before"
    assert len(server.told) == 1
    assert time.monotonic() - started < 5


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _served_by(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_certificates_are_verified(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HookServer(_served_by(authority, "localhost")) as server:
        stranger = webhook(server.url).tell(trial())
        assert not stranger.done
        assert stranger.says.startswith("its certificate is not trusted: ")
        assert server.told == []

        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert webhook(server.url).tell(trial()).done
        assert len(server.told) == 1
    with HookServer(_served_by(authority, "other.example")) as server:
        other = webhook(server.url).tell(trial())
        assert not other.done
        assert "not valid for 'localhost'" in other.says


def test_proxies_are_respected(server: HookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    assert webhook("http://hooks.invalid/x").tell(Message(trial().body)).done
    assert server.told[0].path == "http://hooks.invalid/x"
    monkeypatch.setenv("no_proxy", "hooks.invalid")
    assert not webhook("http://hooks.invalid/x").tell(trial()).done
