from __future__ import annotations

import socket
from pathlib import Path

import pytest

from datamill.errors import SettingsError
from datamill_producer.up.addresses import http_url, listen_address
from datamill_producer.up.brokers import place


def test_a_port_is_chosen_and_kept(tmp_path: Path) -> None:
    first = listen_address(None, tmp_path)
    assert first.startswith("127.0.0.1:")
    assert listen_address(None, tmp_path) == first


def test_a_kept_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    first = listen_address(None, tmp_path)
    with socket.create_server(("127.0.0.1", int(first.split(":")[1]))):
        assert listen_address(None, tmp_path) != first


def test_given_addresses(tmp_path: Path) -> None:
    assert listen_address("0.0.0.0:8080", tmp_path) == "0.0.0.0:8080"
    assert listen_address("[::1]:8080", tmp_path) == "[::1]:8080"
    host, port = listen_address("127.0.0.1:0", tmp_path).split(":")
    assert (host, int(port) > 0) == ("127.0.0.1", True)


@pytest.mark.parametrize("text", ["8080", "host", ":8080", "host:port", "host:70000", "::1:80", ""])
def test_what_is_no_address(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="DATAMILL_LISTEN"):
        listen_address(text, tmp_path)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://[::1]:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("data.lab:80", "http://data.lab:80"),
    ],
)
def test_how_this_machine_reaches_it(listen: str, url: str) -> None:
    assert http_url(listen) == url


def test_a_broker_is_shown_without_its_password() -> None:
    assert place("amqp://me:p%40ss@host:5672/v") == "amqp://host:5672/v"
    assert place("amqps://host/v") == "amqps://host/v"
