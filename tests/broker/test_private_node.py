"""The private node, with real RabbitMQ: what it keeps, what it leaves, whom it lets in."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from pika.exceptions import ProbableAuthenticationError

from datamill_producer.rabbitmq import FolderInUse, Installation, NodeFailed, PrivateNode

QUEUE = "kept"
DEFAULT_PORTS = (4369, 5672, 15672, 25672)
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.fixture
def make_node(installation: Installation, tmp_path: Path) -> Iterator[Callable[..., PrivateNode]]:
    with contextlib.ExitStack() as stack:

        def make(folder: str = "node", conf: str = "") -> PrivateNode:
            node = PrivateNode(tmp_path / folder, installation, conf=conf)
            stack.callback(node.stop)
            return node

        yield make


@pytest.fixture(scope="module")
def node(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateNode]:
    """One running node for the tests that leave it as it was."""
    with PrivateNode(tmp_path_factory.mktemp("shared") / "a folder", installation) as node:
        yield node


def eventually(condition: Callable[[], bool], secs: float = 10.0) -> bool:
    deadline = time.monotonic() + secs
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def channel_to(url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def declare(url: str) -> None:
    with channel_to(url) as channel:
        channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})


def publish(url: str, count: int) -> None:
    with channel_to(url) as channel:
        for number in range(count):
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("", QUEUE, str(number).encode(), properties, mandatory=True)


def take_all(url: str, count: int) -> list[int]:
    with channel_to(url) as channel:
        taken = []
        for method, _, body in channel.consume(QUEUE, inactivity_timeout=10):
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            taken.append(int(body))
            if len(taken) == count:
                break
        channel.cancel()
        return taken


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose working folder is the node's: itself, epmd, a watcher."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    return found


def listening(processes: list[int]) -> dict[int, set[str]]:
    """Return the ports on which the processes listen, with the hexadecimal addresses."""
    inodes = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    ports: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            if fields[3] == "0A" and fields[9] in inodes:
                ports.setdefault(int(port, 16), set()).add(address)
    return ports


OWNER = """
import sys, threading
from pathlib import Path
from datamill_producer.rabbitmq import PrivateNode, find_installation

node = PrivateNode(Path(sys.argv[1]), find_installation())
if sys.argv[2] == "thread":
    thread = threading.Thread(target=node.start)
    thread.start()
    thread.join()
else:
    node.start()
print(node.url, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def owner_process(folder: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts a node in the folder and prints its address."""
    command = [sys.executable, "-c", OWNER, str(folder), how]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@needs_proc
def test_it_listens_on_loopback_only(node: PrivateNode) -> None:
    ports = listening(processes_of(node.folder))

    assert set(ports) == set(node.ports.values())
    loopback = {"0100007F", "00000000000000000000000001000000"}
    assert set().union(*ports.values()) <= loopback


def test_its_own_user_is_the_only_one(node: PrivateNode) -> None:
    assert node.ctl("list_users").split() == ["user", "tags", "datamill", "[administrator]"]
    for login in ("guest:guest", "datamill:wrong"):
        secret = node.url.partition("//")[2].partition("@")[0]
        with (
            pytest.raises(ProbableAuthenticationError),
            channel_to(node.url.replace(secret, login)),
        ):
            pass


def test_secrets_are_for_the_owner_alone(node: PrivateNode) -> None:
    mode = {path.name: path.stat().st_mode & 0o777 for path in node.folder.iterdir()}

    assert node.folder.stat().st_mode & 0o777 == 0o700
    assert mode[".erlang.cookie"] == 0o400
    assert mode["password"] == mode["definitions.json"] == 0o600
    password = (node.folder / "password").read_text(encoding="ascii")
    assert len(password) == 40
    assert password in node.url
    others = [path for path in node.folder.iterdir() if path.is_file() and path.name != "password"]
    assert not [path for path in others if password in path.read_text("utf-8", "replace")]


def test_virtual_hosts_come_and_go(node: PrivateNode) -> None:
    url = node.add_vhost("one-test")
    declare(url)
    publish(url, 1)
    assert take_all(url, 1) == [0]

    node.delete_vhost("one-test")

    assert node.ctl("list_vhosts").split() == ["name", "datamill"]


def test_a_tool_that_fails_is_an_error(node: PrivateNode) -> None:
    with pytest.raises(NodeFailed, match="delete_vhost: exit code"):
        node.delete_vhost("never-made")


def test_a_second_owner_is_refused(node: PrivateNode, installation: Installation) -> None:
    second = PrivateNode(node.folder, installation)
    with pytest.raises(FolderInUse, match=f"process {os.getpid()} runs its RabbitMQ node there"):
        second.start()
    second.stop()

    with owner_process(node.folder, "main") as process:
        assert process.wait(30) != 0
    assert node.ctl("list_vhosts").split() == ["name", "datamill"], "the first is as it was"


@pytest.mark.slow
def test_confirmed_messages_survive_a_kill(make_node: Callable[..., PrivateNode]) -> None:
    node = make_node()
    node.start()
    url = node.url
    declare(url)
    node.settle()
    publish(url, 50)

    node.kill()
    assert not node.alive()
    node.start()

    assert node.url == url
    assert take_all(url, 50) == list(range(50))


@pytest.mark.slow
def test_what_was_not_settled_is_begun_anew(make_node: Callable[..., PrivateNode]) -> None:
    node = make_node()
    node.start()
    declare(node.url)

    node.kill()
    node.start()

    assert not node.settled
    assert node.ctl("list_queues", "--vhost", "datamill", "name") == ""
    declare(node.url)
    publish(node.url, 1)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("how", ["main", "thread"])
def test_it_ends_with_its_owner(
    how: str, make_node: Callable[..., PrivateNode], tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    with owner_process(folder, how) as owner:
        assert owner.stdout
        url = owner.stdout.readline().strip()
        assert len(processes_of(folder)) >= 2, "the node and its epmd"
        declare(url)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert eventually(lambda: processes_of(folder) == [])

    heir = make_node()
    heir.start()
    assert heir.url == url


@needs_proc
@pytest.mark.slow
def test_it_ends_with_an_owner_who_dies_while_it_boots(
    make_node: Callable[..., PrivateNode], tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    with owner_process(folder, "main") as owner:
        assert eventually(lambda: len(processes_of(folder)) >= 2)
        first = set(processes_of(folder))
        owner.send_signal(signal.SIGKILL)
        owner.wait()

    # The next one waits until the last process of the first has ended.
    heir = make_node()
    heir.start()
    assert not first & set(processes_of(folder))
    declare(heir.url)


@needs_proc
def test_stopping_leaves_no_process(make_node: Callable[..., PrivateNode]) -> None:
    node = make_node()
    node.start()
    descendants = processes_of(node.folder)
    assert node.pid in descendants
    begun = time.monotonic()

    node.stop()

    assert not node.alive()
    assert processes_of(node.folder) == []
    assert time.monotonic() - begun < 20, "stopped by itself, not killed"
    assert not any(_is_open(port) for port in node.ports.values())


def test_a_port_taken_meanwhile_is_replaced(make_node: Callable[..., PrivateNode]) -> None:
    node = make_node()
    node.start()
    before = dict(node.ports)
    node.stop()

    with socket.create_server(("127.0.0.1", before["amqp"])):
        node.start()

        assert node.ports == before | {"amqp": node.ports["amqp"]}
        assert node.ports["amqp"] != before["amqp"]
        declare(node.url)


def test_it_runs_beside_whoever_has_the_default_ports(
    make_node: Callable[..., PrivateNode],
) -> None:
    with contextlib.ExitStack() as stack:
        for port in DEFAULT_PORTS:
            with contextlib.suppress(OSError):  # taken already: just as good
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        assert all(map(_is_open, DEFAULT_PORTS))

        node = make_node()
        node.start()

        assert not set(node.ports.values()) & set(DEFAULT_PORTS)
        assert "datamill@localhost" in node.ctl("status")


def test_a_node_that_can_not_boot_says_why(make_node: Callable[..., PrivateNode]) -> None:
    node = make_node(conf="no_such_key = 1\n")

    with pytest.raises(NodeFailed, match=r"while starting \(.*no_such_key"):
        node.start()
    assert not node.alive()
    assert not (node.folder / "erl_crash.dump").exists()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
