"""Finding the service: settings first, then what runs on this machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from datamill.errors import ServiceUnavailable
from datamill.runfile import (
    RunFile,
    Service,
    find_service,
    read_run_file,
    remove_run_file,
    write_run_file,
)
from datamill.settings import Settings

RUNNING = RunFile(
    broker_url="amqp://datamill:secret@127.0.0.1:1/datamill",
    http_url="http://127.0.0.1:2",
    admin_token="token",
    pids={"up": os.getpid(), "broker": 1},
)
OTHER = "amqp://somewhere.example/x"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)
    return tmp_path


def running(home: Path, **settings: str) -> Settings:
    write_run_file(home / "run.json", RUNNING)
    return Settings(home=home, **settings)  # type: ignore[arg-type]


def test_the_file_is_the_owners_alone_and_replaced_whole(home: Path) -> None:
    path = home / "deeper" / "run.json"
    for _ in range(2):
        write_run_file(path, RUNNING)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_run_file(path) == RUNNING
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]
    remove_run_file(path)
    remove_run_file(path)
    assert read_run_file(path) is None


def test_what_runs_here_is_found(home: Path) -> None:
    assert find_service(running(home)) == Service(RUNNING.broker_url, RUNNING.http_url, "token")


def test_a_named_broker_is_not_mixed_with_what_runs_here(home: Path) -> None:
    assert find_service(running(home, broker_url=OTHER)) == Service(OTHER, None, None)
    service = find_service(running(home, url="http://far.example"))
    assert service == Service(None, "http://far.example", None)


def test_the_broker_that_runs_here_may_be_named(home: Path) -> None:
    service = find_service(running(home, broker_url=RUNNING.broker_url))
    assert service.http_url == RUNNING.http_url


def test_a_set_token_wins(home: Path) -> None:
    assert find_service(running(home, admin_token="mine")).admin_token == "mine"


def test_nothing_there(home: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="start `datamill up` on this machine"):
        find_service(Settings(home=home))


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"broker_url": 1}', "\0"])
def test_a_file_that_makes_no_sense_is_not_there(home: Path, body: str) -> None:
    (home / "run.json").write_text(body)
    assert read_run_file(home / "run.json") is None


def test_a_file_of_a_process_that_is_gone_is_not_there(home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_run_file(home / "run.json", RUNNING.model_copy(update={"pids": {"up": gone.pid}}))
    with pytest.raises(ServiceUnavailable):
        find_service(Settings(home=home))
