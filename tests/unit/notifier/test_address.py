"""Where the notifier listens, and how others reach it."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from datamill.errors import SettingsError
from datamill.settings import Settings
from datamill_notifier.address import (
    PORT_FILE,
    Address,
    AddressInUse,
    listening_socket,
    parse_listen,
    public_url,
)
from datamill_notifier.admin_token import TOKEN_FILE, admin_token


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("[::1]:80", Address("::1", 80)),
        ("data.example.org:80", Address("data.example.org", 80)),
    ],
)
def test_listen(text: str, expected: Address) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "host", "host:", "host:x", "host:99999", "a:1/b", "u@a:1", "::1"]
)
def test_listen_that_says_no_place(text: str) -> None:
    with pytest.raises(SettingsError, match="DATAMILL_LISTEN"):
        parse_listen(text)


def test_the_port_is_kept_with_the_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with listening_socket(settings) as first:
        port = first.getsockname()[1]
        assert first.getsockname()[0] == "127.0.0.1"
        assert public_url(settings, first) == f"http://127.0.0.1:{port}"
    with listening_socket(settings) as again:
        assert again.getsockname()[1] == port
        with listening_socket(settings) as beside:
            assert beside.getsockname()[1] != port


@pytest.mark.parametrize("content", ["", "x", "-1", "70000", "80 80"])
def test_a_spoilt_port_file_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / PORT_FILE).write_text(content)
    with listening_socket(Settings(home=tmp_path)) as listening:
        assert (tmp_path / PORT_FILE).read_text() == f"{listening.getsockname()[1]}\n"


def test_a_set_address_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressInUse, match=place):
            listening_socket(Settings(home=tmp_path, listen=place))


def test_an_address_of_another_machine_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1"):
        listening_socket(Settings(home=tmp_path, listen="192.0.2.1:0"))


def test_public_url(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, listen="0.0.0.0:0")
    with listening_socket(settings) as listening:
        port = listening.getsockname()[1]
        assert public_url(settings, listening) == f"http://{socket.gethostname()}:{port}"
        said = Settings(home=tmp_path, public_url="https://data.example.org/mill/")
        assert public_url(said, listening) == "https://data.example.org/mill"


def test_the_admin_token_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    token = admin_token(Settings(home=tmp_path))
    assert len(token) >= 40
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    assert admin_token(Settings(home=tmp_path)) == token
    assert admin_token(Settings(home=tmp_path, admin_token="said")) == "said"
    assert [path.name for path in tmp_path.iterdir()] == [TOKEN_FILE]


def test_an_empty_admin_token_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text("\n")
    with pytest.raises(SettingsError, match="empty"):
        admin_token(Settings(home=tmp_path))
