"""`amqps://`: the certificate and the host name are verified."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from datamill import topology
from datamill.broker import Publisher, connect
from datamill.errors import BrokerRefused
from datamill_producer.rabbitmq import Installation, PrivateNode
from datamill_producer.rabbitmq.ports import kept_ports


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, the broker's certificate, and a file with what to trust."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server.private_key_pem.write_to_path(folder / "key.pem")
    server.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return folder


@pytest.fixture(scope="module")
def tls_url(
    authority: Path, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a node that speaks TLS as well."""
    folder = tmp_path_factory.mktemp("tls-node")
    port = kept_ports(folder / "tls-port.json", ["tls"])["tls"]
    conf = (
        f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {authority / 'ca.pem'}\n"
        f"ssl_options.certfile = {authority / 'cert.pem'}\n"
        f"ssl_options.keyfile = {authority / 'key.pem'}\n"
    )
    with PrivateNode(folder, installation, conf=conf) as node:
        while not _listens(port):  # 4.x opens this port after the other
            assert node.alive()
            time.sleep(0.02)
        yield node.url.replace("amqp://", "amqps://").replace(
            f"127.0.0.1:{node.ports['amqp']}", f"localhost:{port}"
        )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_trusted_certificate_is_accepted(
    tls_url: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    connection = connect(tls_url, "test")
    topology.declare(connection.channel())
    connection.close()
    with Publisher(tls_url) as publisher:
        publisher.publish(topology.REQUESTS_EXCHANGE, "dataset.request.x", b"{}")


def test_an_unknown_certificate_is_refused(
    tls_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    with pytest.raises(BrokerRefused, match="certificate"):
        connect(tls_url, "test")


def test_a_certificate_for_another_host_is_refused(
    tls_url: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    assert ssl.create_default_context().check_hostname
    with pytest.raises(BrokerRefused, match="IP address mismatch"):
        connect(tls_url.replace("localhost", "127.0.0.1"), "test")
