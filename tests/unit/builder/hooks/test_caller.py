"""Calls are made until each is done or given up: by a thread, of a real server."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from datamill.hook_settings import HookSettings
from datamill_builder.catalog import Catalog, PatientChanges, hook_calls
from datamill_builder.catalog.schema import hook_calls as table
from datamill_builder.catalog.states import HookCallState
from datamill_builder.hooks import retrying
from datamill_builder.hooks.caller import HookCaller
from datamill_builder.hooks.command import Command
from datamill_builder.hooks.message import Message, Outcome, Target, trial
from datamill_builder.hooks.retrying import PAUSES_SECS, pause_secs
from datamill_builder.hooks.webhook import Webhook
from tests.support.eventually import eventually
from tests.support.hook_server import HookServer, answer, cut, hang
from tests.support.postgresql import PostgresqlServer, postgresql

__all__ = ["postgresql"]

Start = Callable[..., HookCaller]


@pytest.fixture
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


@pytest.fixture
def start(catalog: Catalog) -> Iterator[Start]:
    """Start callers; all are ended with the test."""
    started: list[HookCaller] = []

    def begin(hook: HookSettings, target: Target, on: Catalog = catalog) -> HookCaller:
        caller = HookCaller(hook, target, on, PatientChanges(on), look_secs=0.02)
        caller.start()
        started.append(caller)
        return caller

    yield begin
    for caller in started:
        caller.stop()
    for caller in started:
        caller.join(10)
        assert not caller.is_alive()


def webhook(server: HookServer, **settings: Any) -> HookSettings:
    return HookSettings(url=server.url, **{"name": "one", **settings})  # type: ignore[arg-type]


def write(catalog: Catalog, count: int = 1, hook: str = "one") -> list[str]:
    """Write calls that are due; return their messages' ids."""
    bodies = [trial().body for _ in range(count)]
    now = time.time()
    rows = [
        {
            "hook": hook,
            "event": "ready",
            "dataset_id": "0" * 64,
            "body": body,
            "state": HookCallState.PENDING,
            "attempts": 0,
            "due_at": now,
            "created_at": now,
        }
        for body in bodies
    ]
    with catalog.write() as change:
        change.connection.execute(table.insert(), rows)
    return [json.loads(body)["id"] for body in bodies]


def states(catalog: Catalog) -> Counter[str]:
    with catalog.read() as connection:
        return Counter(row.state for row in hook_calls.listed(connection, limit=10_000))


def all_are(catalog: Catalog, state: HookCallState) -> Callable[[], bool]:
    return lambda: set(states(catalog)) == {state}


def test_the_pauses_take_about_a_day() -> None:
    assert 20 * 3600 < sum(PAUSES_SECS) < 24 * 3600
    assert list(PAUSES_SECS) == sorted(PAUSES_SECS)
    pauses = [pause_secs(attempt) for attempt in range(1, len(PAUSES_SECS) + 2)]
    assert pauses[-1] is None
    for pause, least in zip(pauses[:-1], PAUSES_SECS, strict=True):
        assert pause is not None
        assert least <= pause <= 1.1 * least
    wish = pause_secs(1, 600.0)
    assert wish is not None
    assert 600 <= wish <= 660
    longest = pause_secs(1, 1e9)
    assert longest is not None
    assert longest < hook_calls.LONGEST_PAUSE_SECS, "else the clock would seem to be set back"


def test_a_server_that_fails_is_told_in_the_end_under_the_same_id(
    catalog: Catalog, server: HookServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PAUSES_SECS", (0.02,) * 10)
    server.reactions = [answer(500), cut, answer(302, Location="/x"), answer(429), answer(200)]
    (message_id,) = write(catalog)
    start(webhook(server), Webhook(webhook(server)))
    eventually(all_are(catalog, HookCallState.DONE), 20)
    assert [told.headers["webhook-id"] for told in server.told] == [message_id] * 5
    assert len({told.body for told in server.told}) == 1
    with catalog.read() as connection:
        (row,) = hook_calls.listed(connection)
    assert (row.attempts, row.error) == (5, None)


def test_after_the_last_attempt_it_is_given_up_with_the_reason(
    catalog: Catalog, server: HookServer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PAUSES_SECS", (0.02, 0.02))
    server.reactions = [answer(500, b"first"), answer(500, b"second"), answer(500, b"third")]
    write(catalog)
    start(webhook(server), Webhook(webhook(server)))
    eventually(all_are(catalog, HookCallState.GIVEN_UP), 20)
    with catalog.read() as connection:
        (row,) = hook_calls.listed(connection)
    assert (row.attempts, row.error) == (3, "500 Internal Server Error: third")
    assert len(server.told) == 3
    with catalog.write() as change:
        hook_calls.call_again(change, [row.seq])
    eventually(all_are(catalog, HookCallState.DONE), 20)


def test_who_is_gone_for_good_is_asked_once(
    catalog: Catalog, server: HookServer, start: Start
) -> None:
    server.reactions = [answer(410)]
    write(catalog)
    start(webhook(server), Webhook(webhook(server)))
    eventually(all_are(catalog, HookCallState.GIVEN_UP), 20)
    assert len(server.told) == 1


def test_who_asks_for_time_gets_it(catalog: Catalog, server: HookServer, start: Start) -> None:
    server.reactions = [answer(429, Retry_After="900")]
    write(catalog)
    start(webhook(server), Webhook(webhook(server)))
    eventually(lambda: server.told, 20)

    def put_off() -> float:
        with catalog.read() as connection:
            (row,) = hook_calls.listed(connection)
        return row.due_at - time.time() if row.error else 0.0

    assert 890 < eventually(put_off, 20) < 1000


def test_a_server_that_is_killed_and_comes_back(
    catalog: Catalog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PAUSES_SECS", (0.1,) * 100)
    with HookServer() as first:
        settings, port = webhook(first), first.port
        ids = write(catalog, 1)
        start(settings, Webhook(settings))
        eventually(lambda: first.told, 20)
    ids += write(catalog, 3)

    def refused() -> bool:
        with catalog.read() as connection:
            return any(row.error for row in hook_calls.listed(connection))

    eventually(refused, 20)
    with HookServer(port=port) as second:
        eventually(all_are(catalog, HookCallState.DONE), 20)
        assert {told.headers["webhook-id"] for told in second.told} == set(ids[1:])


def test_a_hook_that_hangs_holds_up_no_other_and_no_change(
    catalog: Catalog, server: HookServer, start: Start
) -> None:
    over = threading.Event()
    with HookServer() as dead:
        dead.reactions = [hang(over)] * 5
        write(catalog, 5, "dead")
        hanging = webhook(dead, name="dead", timeout_secs=20)
        start(hanging, Webhook(hanging))
        eventually(lambda: dead.told, 20)
        started = time.monotonic()
        write(catalog, 20)
        start(webhook(server), Webhook(webhook(server)))
        eventually(lambda: len(server.told) == 20, 10)
        assert time.monotonic() - started < 8
        assert len(dead.told) == 1
        over.set()


def test_a_caller_that_is_stopped_lets_go_at_once(
    catalog: Catalog, server: HookServer, start: Start
) -> None:
    over = threading.Event()
    server.reactions = [hang(over)]
    write(catalog)
    settings = webhook(server, timeout_secs=30)
    caller = start(settings, Webhook(settings))
    eventually(lambda: server.told, 20)
    caller.stop()
    caller.join(5)
    assert not caller.is_alive()
    over.set()
    with catalog.read() as connection:
        (row,) = hook_calls.listed(connection)
    assert (row.state, row.error) == ("pending", "the builder was stopped meanwhile")
    assert row.due_at <= time.time(), "a restart goes on at once"
    assert row.attempts == 0, "restarts spend no attempts"


def test_a_command_is_told_again_until_it_is_content(
    catalog: Catalog, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "PAUSES_SECS", (0.02,) * 10)
    script = "cat >> told; echo >> told; test $(wc -l < told) -ge 3"
    settings = HookSettings(name="one", command=("sh", "-c", script))
    (message_id,) = write(catalog)
    start(settings, Command(settings, tmp_path))
    eventually(all_are(catalog, HookCallState.DONE), 20)
    ids = [json.loads(line)["id"] for line in (tmp_path / "told").read_text().splitlines()]
    assert ids == [message_id] * 3


class Played:
    """Does as a test says."""

    def __init__(self, play: Callable[[Message], Outcome]) -> None:
        self.attempts: list[int] = []
        self._play = play

    def tell(self, message: Message) -> Outcome:
        self.attempts.append(message.attempt)
        return self._play(message)

    def stop(self) -> None:
        """There is nothing to stop."""


def test_a_target_that_raises_has_failed_and_takes_nobody_along(
    catalog: Catalog,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(retrying, "PAUSES_SECS", (0.02, 0.02))

    def fail(_message: Message) -> Outcome:
        raise OverflowError("Python int too large to convert to C int")

    target = Played(fail)
    write(catalog)
    caller = start(HookSettings(name="one", command=("true",)), target)
    eventually(all_are(catalog, HookCallState.GIVEN_UP), 20)
    assert caller.is_alive(), "a part that ends takes the builder along"
    assert target.attempts == [1, 2, 3]
    with catalog.read() as connection:
        (row,) = hook_calls.listed(connection)
    assert row.error == "not foreseen: OverflowError: why is in the builder's log"
    assert "too large to convert" in caplog.text, "with its traceback"


def test_a_call_whose_last_attempt_ended_without_a_word_is_given_up(
    catalog: Catalog, start: Start
) -> None:
    write(catalog)
    with catalog.write() as change:
        change.connection.execute(update(table).values(attempts=len(PAUSES_SECS) + 1))
    target = Played(lambda _message: Outcome(True, "ok"))
    start(HookSettings(name="one", command=("true",)), target)
    eventually(all_are(catalog, HookCallState.GIVEN_UP), 20)
    assert target.attempts == []
    with catalog.read() as connection:
        (row,) = hook_calls.listed(connection)
    assert "ended without a word" in row.error


def test_what_no_database_takes_is_not_written(catalog: Catalog, start: Start) -> None:
    write(catalog)
    said = "exit code 1: \0 and \ud800"
    start(HookSettings(name="one", command=("true",)), Played(lambda _: Outcome(False, said)))

    def error() -> str | None:
        with catalog.read() as connection:
            (row,) = hook_calls.listed(connection)
        return row.error

    assert eventually(error, 20) == "exit code 1: \ufffd and \ufffd"


class Recorder:
    """Is told at once, and remembers by whom."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def tell(self, message: Message) -> Outcome:
        self._told.append(message.id)
        time.sleep(0.001)
        return Outcome(True, "ok")

    def stop(self) -> None:
        """There is nothing to stop."""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_builders_that_share_a_catalog_make_each_call_once(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, start: Start
) -> None:
    address = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    if database == "postgresql":
        running: PostgresqlServer = request.getfixturevalue("postgresql")
        address = running.add_database()
    told: list[str] = []
    settings = HookSettings(name="one", command=("true",))
    with ExitStack() as stack:
        catalogs = [Catalog(address) for _ in range(3)]
        for one in catalogs:
            stack.callback(one.close)
        ids = write(catalogs[0], 60)
        callers = [start(settings, Recorder(told), one) for one in catalogs]
        eventually(all_are(catalogs[0], HookCallState.DONE), 30)
        for caller in callers:
            caller.stop()
            caller.join(10)
    assert Counter(told) == Counter(ids)
