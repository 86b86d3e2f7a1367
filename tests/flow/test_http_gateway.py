"""A trainer that can't reach the broker: all of the client over HTTP, whatever stands between."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

import datamill
from datamill import event_stream
from datamill.errors import ServiceUnavailable
from datamill.events import Progress
from datamill.sessions import close_sessions
from tests.support.builder import Start
from tests.support.eventually import eventually
from tests.support.notifier import NotifierProcess
from tests.support.reverse_proxy import ReverseProxy
from tests.support.toy import write_items
from tests.support.up import DATAMILL

pytestmark = pytest.mark.slow

VERSION = "1.0.0"


@pytest.fixture
def notifier(home: Path, broker_url: str) -> Iterator[NotifierProcess]:
    process = NotifierProcess(home, broker_url, DATAMILL_LISTEN="127.0.0.1:0").start()
    eventually(lambda: process.ask("/readyz").status == 200, 20)
    yield process
    process.stop()


@pytest.fixture
def service(notifier: NotifierProcess, home: Path, start_builder: Start) -> NotifierProcess:
    """A builder, whose events name an address that no trainer can reach; the notifier beside it."""
    start_builder(home, DATAMILL_PUBLIC_URL="http://unreachable.invalid")
    return notifier


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Make this process a client that knows nothing but an HTTP address; give its cache."""
    for name in list(os.environ):
        if name.startswith("DATAMILL_"):
            monkeypatch.delenv(name)

    def at(url: str) -> Path:
        monkeypatch.setenv("DATAMILL_URL", url)
        monkeypatch.setenv("DATAMILL_HOME", str(tmp_path / "trainer"))
        monkeypatch.setenv("DATAMILL_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("DATAMILL_CLIENT_NAME", "ada@gpu7")
        return tmp_path / "cache"

    yield at
    close_sessions()


def port_of(notifier: NotifierProcess) -> int:
    return int(notifier.url.rpartition(":")[2])


Between = Callable[[NotifierProcess], ReverseProxy]


@pytest.fixture(params=["nothing", "a prefix and TLS", "one that holds back"])
def address(
    request: pytest.FixtureRequest,
    service: NotifierProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """How trainers reach the service."""
    with ExitStack() as stack:
        if request.param == "nothing":
            yield service.url
        elif request.param == "a prefix and TLS":
            authority = trustme.CA()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("localhost").configure_cert(context)
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            proxy = ReverseProxy(port_of(service), prefix="/data/mill", tls=context)
            yield stack.enter_context(proxy).url
        else:
            monkeypatch.setattr(event_stream, "_SILENCE_SECS", 2.0)
            proxy = ReverseProxy(port_of(service), holds_back=True)
            yield stack.enter_context(proxy).url


def test_everything_that_a_training_does(
    address: str, service: NotifierProcess, home: Path, trainer: Callable[[str], Path]
) -> None:
    write_items(home / "raw", ["sleep 0.3 slow"] * 24)
    trainer(address)
    with datamill.subscribe("dataset.ready.*") as told:
        dataset = datamill.request_dataset("toy", VERSION, {"prefix": "first "})
        seen: list[str] = []
        rates: list[float] = []

        def note(event: Any) -> None:
            seen.append(event.event)
            if isinstance(event, Progress):
                rates.append(event.records_per_sec)

        with dataset.tracker.listening(note):
            # Shards while the rest is built, by the address that is reached from here.
            texts = [record["text"] for record in dataset.as_numpy("train")]
            folder = dataset.wait(60)
        assert len(texts) == 24
        assert {bytes(text) for text in texts} == {b"first sleep 0.3 slow"}
        assert {"accepted", "planned", "shard", "progress", "ready"} <= {*seen}
        assert any(rate > 0 for rate in rates), "how fast it is, is told over HTTP too"
        assert next(told).dataset_id == dataset.id
    assert json.loads((folder / "manifest.json").read_text())["config"]["prefix"] == "first "

    found = asyncio.run(datamill.wait_for_completion(dataset.id, 30))
    assert found.dataset_id == dataset.id
    again = datamill.request_dataset("toy", VERSION, {"prefix": "first "})
    assert again.wait(30) == folder

    with pytest.raises(datamill.RequestFailed, match="from 1 to 10"):
        datamill.request_dataset("toy", VERSION, {"repeat": 11}).wait(30)
    with pytest.raises(datamill.InvalidRequest, match="NO SUCH"):
        datamill.request_dataset("NO SUCH", VERSION)

    state = service.ask(f"/datasets/{dataset.id}").document
    assert state["requests"] == 2
    log = service.admin(f"/admin/requests?dataset_id={dataset.id}").document
    assert [request["client"] for request in log] == ["ada@gpu7"] * 2


def test_the_commands(address: str, trainer: Callable[[str], Path], tmp_path: Path) -> None:
    trainer(address)

    def run(*words: str) -> str:
        done = subprocess.run([*DATAMILL, *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dataset_id, folder = run("request", "toy", VERSION, "-o", "prefix=c", "--wait").split()
    assert Path(folder, "manifest.json").is_file()
    lines = [json.loads(line) for line in run("watch", dataset_id[:10], "--json").splitlines()]
    assert lines[-1]["event"] == "ready"
    assert run("get", dataset_id[:10], "--to", str(tmp_path / "got")).strip().endswith("got")
    assert json.loads(run("status", dataset_id[:10], "--json"))["state"] == "ready"
    assert dataset_id in run("list", "--json")


def test_a_notifier_that_restarts_in_between(
    service: NotifierProcess, home: Path, broker_url: str, trainer: Callable[[str], Path]
) -> None:
    write_items(home / "raw", ["sleep 0.5 slow"] * 16)
    service.stop()
    fixed = NotifierProcess(home, broker_url, DATAMILL_LISTEN=service.url.removeprefix("http://"))
    fixed.start()
    try:
        trainer(fixed.url)
        with datamill.subscribe() as told:
            dataset = datamill.request_dataset("toy", VERSION, {"prefix": "restart "})
            eventually(lambda: dataset.tracker.shards, 30)
            fixed.kill()
            fixed.start()
            other = datamill.request_dataset("toy", VERSION, {"prefix": "after "})
            folder = dataset.wait(60)
            assert other.wait(60) != folder
            kinds = {(event.event, event.dataset_id) for event in _until_ready(told, other.id)}
        assert ("ready", other.id) in kinds
        state = fixed.ask(f"/datasets/{dataset.id}").document
        assert state["requests"] == 1, "asked again, it is the same request"
    finally:
        fixed.stop()


def _until_ready(told: Any, dataset_id: str) -> Iterator[Any]:
    giving_up = threading.Timer(30, told.close)
    giving_up.start()
    for event in told:
        yield event
        if (event.event, event.dataset_id) == ("ready", dataset_id):
            break
    giving_up.cancel()


def test_a_request_waits_for_a_notifier_that_restarts(
    service: NotifierProcess, trainer: Callable[[str], Path]
) -> None:
    with ReverseProxy(port_of(service)) as proxy:
        trainer(proxy.url)
        datamill.request_dataset("toy", VERSION).wait(60)
        port, proxy.backend_port = proxy.backend_port, None
        coming_back = threading.Timer(2.0, lambda: setattr(proxy, "backend_port", port))
        coming_back.start()
        assert datamill.request_dataset("toy", VERSION, {"repeat": 2}).wait(60).is_dir()
        coming_back.join()


def test_connections_that_are_cut_all_the_time(
    service: NotifierProcess, home: Path, trainer: Callable[[str], Path]
) -> None:
    write_items(home / "raw", ["sleep 0.2 slow"] * 24)
    over = threading.Event()
    with ReverseProxy(port_of(service)) as proxy:

        def cut() -> None:
            while not over.wait(0.4):
                proxy.cut_all()

        cutting = threading.Thread(target=cut)
        trainer(proxy.url)
        dataset = datamill.request_dataset("toy", VERSION, {"prefix": "cut "})
        cutting.start()
        try:
            assert len(list(dataset.as_numpy("train"))) == 24
        finally:
            over.set()
            cutting.join()


def test_a_notifier_without_a_broker_says_so(home: Path, trainer: Callable[[str], Path]) -> None:
    alone = NotifierProcess(home).start()
    try:
        trainer(alone.url)
        with pytest.raises(ServiceUnavailable, match="broker"):
            datamill.request_dataset("toy", VERSION)
    finally:
        alone.stop()
