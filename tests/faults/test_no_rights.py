"""A broker that refuses: login, virtual host, rights (fault 24)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from datamill import exits
from datamill.broker import connect
from datamill.errors import BrokerUnavailable
from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import Start
from tests.support.fault import Fault

PASSWORD = "a-secret-that-no-log-tells"
COMMANDS = {
    "builder": ["datamill_builder"],
    "notifier": ["datamill_notifier"],
    "client": ["datamill_producer", "request", "toy", "1.0.0"],
}


@pytest.fixture(scope="module")
def broker_url(node: PrivateNode) -> Iterator[str]:
    """A virtual host for all of these tests: they leave nothing in it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield node.add_vhost(name)
    node.delete_vhost(name)


@pytest.fixture(scope="module")
def addresses(node: PrivateNode, broker_url: str) -> Iterator[dict[str, str]]:
    """Addresses of a user who may do nothing, each wrong in one way."""
    user, place = f"user-{uuid.uuid4().hex[:8]}", f"127.0.0.1:{node.ports['amqp']}"
    vhost = urlsplit(broker_url).path[1:]
    node.ctl("add_user", user, PASSWORD)
    node.ctl("set_permissions", "-p", vhost, user, "^$", "^$", "^$")
    yield {
        "wrong password": f"amqp://{user}:not-{PASSWORD}@{place}/{vhost}",
        "no permission": f"amqp://{user}:{PASSWORD}@{place}/{vhost}",
        "unknown virtual host": f"amqp://{user}:{PASSWORD}@{place}/nowhere",
    }
    node.ctl("delete_user", user)


@pytest.mark.parametrize("part", COMMANDS)
@pytest.mark.parametrize("wrong", ["wrong password", "no permission", "unknown virtual host"])
@pytest.mark.fault(24, "wrong password, no permission, unknown virtual host")
def test_a_refusal_ends_it_and_tells_no_password(
    home: Path, addresses: dict[str, str], fault: Fault, wrong: str, part: str
) -> None:
    fault.injected()
    code, said = _run(part, home, addresses[wrong])
    secs = fault.recovered()
    assert code == exits.EX_NOPERM, said
    assert "refused" in said.splitlines()[-1]
    assert PASSWORD not in said
    assert "Traceback" not in said
    assert "trying again" not in said
    fault.saw(f"{wrong}: the {part} ended with exit {code} after {secs:.1f} s, no password told")


def _run(part: str, home: Path, broker_url: str) -> tuple[int, str]:
    settings = {
        "DATAMILL_HOME": str(home),
        "DATAMILL_BROKER_URL": broker_url,
        "DATAMILL_HANDLER_SOURCES": str(home / "wheels"),
        "DATAMILL_LOG_LEVEL": "DEBUG",
    }
    done = subprocess.run(
        [sys.executable, "-m", *COMMANDS[part]],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.fault(24, "a login taken away from a running builder")
def test_a_login_that_is_taken_away_ends_a_builder(
    home: Path, node: PrivateNode, broker_url: str, start_builder: Start, fault: Fault
) -> None:
    vhost = urlsplit(broker_url).path[1:]
    node.ctl("add_user", "passing", PASSWORD)
    node.ctl("set_permissions", "-p", vhost, "passing", ".*", ".*", ".*")
    url = f"amqp://passing:{PASSWORD}@127.0.0.1:{node.ports['amqp']}/{vhost}"
    builder = start_builder(home, broker_url=url)
    fault.injected()
    node.ctl("delete_user", "passing")
    node.ctl("close_all_connections", "-p", vhost, "a test")
    assert builder.process is not None
    assert builder.process.wait(60) == exits.EX_NOPERM
    secs = fault.recovered()
    assert PASSWORD not in builder.log()
    fault.saw(f"a running builder ended with exit {exits.EX_NOPERM} after {secs:.1f} s")


@pytest.mark.fault(24, "the broker goes down while a connection is being opened")
def test_a_broker_that_goes_down_is_no_refusal(fault: Fault) -> None:
    """pika calls this a probable authentication error: whoever believed it would end for good."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        threading.Thread(target=_greet_and_leave, args=(broker,), daemon=True).start()
        started = time.monotonic()
        fault.injected()
        with pytest.raises(BrokerUnavailable, match="cut"):
            connect(f"amqp://u:{PASSWORD}@127.0.0.1:{broker.getsockname()[1]}/x", "test")
        fault.recovered()
        assert time.monotonic() - started < 20
    fault.saw("`BrokerUnavailable`: tried again, not taken for a wrong password")


def _greet_and_leave(server: socket.socket) -> None:
    """Say Connection.Start (AMQP 0-9-1, 1.4.2.1), as brokers do; hang up on the login."""
    connection, _ = server.accept()
    with connection:
        connection.recv(8)
        mechanisms, locales = b"PLAIN", b"en_US"
        method = b"".join(
            [b"\0\x0a\0\x0a", b"\0\x09", (0).to_bytes(4, "big")]
            + [len(text).to_bytes(4, "big") + text for text in (mechanisms, locales)]
        )
        connection.sendall(b"\x01\0\0" + len(method).to_bytes(4, "big") + method + b"\xce")
        connection.recv(4096)
