"""`datamill up` as people run it: from nothing to serving, and every way to end."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.support.listener import PlainClient
from tests.support.up import UpProcess, wait_until_gone

MakeUp = Callable[..., UpProcess]


def ask_by_amqp(up: UpProcess, prefix: str) -> dict[str, object]:
    client = PlainClient(up.run_file()["broker_url"])
    try:
        return client.wait(client.ask("toy", config={"prefix": prefix}))
    finally:
        client.close()


def test_it_serves_and_ctrl_c_ends_it_in_order(start_up: MakeUp) -> None:
    up = start_up().start()
    assert stat.S_IMODE(up.run_json.stat().st_mode) == 0o600
    assert up.pids()["up"] == up.process.pid  # type: ignore[union-attr]
    assert set(up.pids()) == {"up", "broker", "builder", "notifier"}
    output = up.output_path.read_text()
    assert up.run_file()["http_url"] in output
    assert "press Ctrl-C to stop" in output
    password = up.run_file()["broker_url"].split("@")[0].rpartition(":")[2]
    assert password not in output + up.log()

    assert ask_by_amqp(up, "plain")["event"] == "ready"
    dataset_id, folder = up.said("request", "toy", "1.0.0", "-o", "prefix=cli", "--wait").split()
    assert len(dataset_id) == 64
    assert Path(folder, "manifest.json").exists()

    processes = up.processes()
    assert set(up.pids().values()) <= processes
    up.interrupt()
    assert up.wait() == 0, up.log()
    assert not up.run_json.exists()
    wait_until_gone(processes, timeout_secs=1.0)
    order = [up.log().index(f"stopping the {part}") for part in ("builder", "notifier", "broker")]
    assert order == sorted(order)
    assert "Traceback" not in up.log()


def test_a_shipped_handler_and_a_training(
    start_up: MakeUp, home: Path, shipped_wheels: Path, broker_url: str
) -> None:
    for number in range(6):
        colour = "red" if number % 2 else "blue"
        folder = home / "raw" / "classification" / colour
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(folder / f"{number}.png")
    up = start_up(
        DATAMILL_HANDLER_SOURCES=str(shipped_wheels), DATAMILL_BROKER_URL=broker_url
    ).start()
    training = 'sh -c "ls {path} && echo $DATAMILL_DATASET_ID && exit 7"'
    done = up.command(
        "request", "classification", "1.0.0", "-o", "image_size=[16,16]", "--exec", training
    )
    assert done.returncode == 7, done
    dataset_id, _folder, *listed, told_id = done.stdout.split()
    assert told_id == dataset_id
    assert {"features.json", "manifest.json", "preview.jpg"} <= set(listed)


def test_sigterm_while_it_starts_leaves_nothing(start_up: MakeUp, home: Path) -> None:
    up = start_up().launch()
    up.wait_for(lambda: "starting RabbitMQ" in up.log())
    up.wait_for(lambda: len(up.processes()) > 1)
    processes = up.processes()
    up.process.terminate()  # type: ignore[union-attr]
    assert up.wait() == 0, up.log()
    wait_until_gone(processes, timeout_secs=2.0)
    assert not up.run_json.exists()


def test_kill_9_takes_all_children_along_and_it_comes_back(start_up: MakeUp) -> None:
    up = start_up().start()
    assert ask_by_amqp(up, "before")["event"] == "ready"
    processes = up.processes()
    up.process.kill()  # type: ignore[union-attr]
    up.wait()
    wait_until_gone(processes, timeout_secs=10.0)
    up.run_json.unlink()

    up.start()
    assert ask_by_amqp(up, "before")["cached"] is True


def test_killed_parts_come_back(start_up: MakeUp) -> None:
    up = start_up().start()
    for part in ("broker", "builder", "notifier"):
        before = up.pids()
        os.kill(before[part], signal.SIGKILL)
        up.wait_for(
            lambda part=part, before=before: up.pids().get(part) not in (None, before[part])
        )
        after = up.pids()
        assert [name for name in before if before[name] != after[name]] == [part]
        assert f"the {part} ended" in up.log()
    up.wait_for(lambda: up.command("status").returncode == 0)
    folder = up.said("request", "toy", "1.0.0", "--wait").split()[1]
    assert Path(folder, "manifest.json").exists()


def test_a_second_ctrl_c_ends_at_once(start_up: MakeUp) -> None:
    up = start_up(DATAMILL_STOP_GRACE_SECS="60").start()
    dataset_id = up.said("request", "slow", "1.0.0").strip()
    up.wait_for(lambda: up.documents("status", dataset_id)[0]["state"] == "building")
    processes = up.processes()
    # A builder that does not hear SIGTERM: stopping in order would take its whole grace.
    os.kill(up.pids()["builder"], signal.SIGSTOP)
    up.interrupt()
    up.wait_for(lambda: "stopping the builder" in up.log())
    started = time.monotonic()
    up.interrupt()
    assert up.wait() == 130
    wait_until_gone(processes, timeout_secs=2.0)
    assert time.monotonic() - started < 2.0
    assert not up.run_json.exists()


def test_stopping_hands_back_what_is_in_hand(start_up: MakeUp, broker_url: str) -> None:
    up = start_up(DATAMILL_STOP_GRACE_SECS="0", DATAMILL_BROKER_URL=broker_url).start()
    dataset_id = up.said("request", "slow", "1.0.0").strip()
    up.wait_for(lambda: up.documents("status", dataset_id)[0]["shards_done"] > 0)
    processes = up.processes()
    up.interrupt()
    assert up.wait() == 0
    wait_until_gone(processes, timeout_secs=1.0)

    up.start()
    assert up.said("request", "slow", "1.0.0", "--wait").startswith(dataset_id)


def test_a_given_broker_and_a_closed_terminal(start_up: MakeUp, broker_url: str) -> None:
    """The reader of its output is gone, and then SIGHUP comes, as when a window is closed."""
    up = start_up(DATAMILL_BROKER_URL=broker_url).launch(piped=True)
    up.wait_for(up.run_json.exists)
    assert set(up.pids()) == {"up", "builder", "notifier"}
    assert up.run_file()["broker_url"] == broker_url
    assert ask_by_amqp(up, "given")["event"] == "ready"
    processes = up.processes()
    up.close_pipe()
    assert up.said("request", "toy", "1.0.0", "-o", "prefix=unread", "--wait")
    up.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    assert up.wait() == 0
    wait_until_gone(processes, timeout_secs=1.0)
    PlainClient(broker_url).close()  # it was left alone


def test_a_broker_that_is_away_is_said_in_one_line(start_up: MakeUp) -> None:
    up = start_up(DATAMILL_BROKER_URL="amqp://me:secret@127.0.0.1:1/none")
    done = up.command("up")
    assert done.returncode == 69
    assert "127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_that_can_not_start_ends_it_with_its_code(start_up: MakeUp, broker_url: str) -> None:
    # An address that is reserved for documentation (RFC 5737): nobody can listen there.
    up = start_up(DATAMILL_BROKER_URL=broker_url, DATAMILL_LISTEN="192.0.2.1:8080")
    done = up.command("up")
    assert done.returncode == 78, done
    assert "192.0.2.1" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("datamill up: the notifier ended")
    assert "Traceback" not in done.stderr
    assert not up.run_json.exists()

    said = up.command("up", "--debug").stderr
    assert [line for line in said.splitlines() if "notifier" in line and "Traceback" in line]
    assert "PartGaveUp" in said


def test_options_and_a_second_one_on_the_same_home(
    start_up: MakeUp, home: Path, tmp_path: Path, broker_url: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "raw").rename(tmp_path / "elsewhere")
    up = start_up(DATAMILL_HANDLER_SOURCES="", DATAMILL_BROKER_URL=broker_url).start(
        "--listen", f"127.0.0.1:{port}",
        "--raw-root", str(tmp_path / "elsewhere"),
        "--handler-source", str(home / "wheels"),
        "--workers", "1",
    )  # fmt: skip
    before = up.run_file()
    assert before["http_url"] == f"http://127.0.0.1:{port}"
    assert up.said("request", "toy", "1.0.0", "--wait")
    assert "1 shard workers" in up.log()

    second = up.command("up")
    assert second.returncode == 78
    assert second.stdout == ""
    assert len(second.stderr.splitlines()) == 1
    assert str(up.home) in second.stderr
    assert up.run_file() == before
