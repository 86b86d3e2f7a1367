"""The files and the environment that make a RabbitMQ node a private one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamill_producer.rabbitmq.installation import Installation
from datamill_producer.rabbitmq.ports import LOOPBACK

USER = VHOST = "datamill"
EVERYTHING = ".*"
BASE_PORTS = ("amqp", "distribution", "epmd")

PLUGIN_LISTENERS = {
    "rabbitmq_management": "management.tcp.ip = {host}\nmanagement.tcp.port = {port}\n",
    "rabbitmq_prometheus": "prometheus.tcp.ip = {host}\nprometheus.tcp.port = {port}\n",
    "rabbitmq_stream": "stream.listeners.tcp.1 = {host}:{port}\n",
}
"""Plugins that listen, and how they are kept on loopback; each gets the port of its name."""

# The file is strict: one key that the server does not know, and it does not boot.
_SERVER = """\
listeners.tcp.1 = {host}:{amqp}
load_definitions = {definitions}
log.file = false
log.console = true
log.console.level = warning
vm_memory_high_watermark.absolute = 512MB
consumer_timeout = 3600000
"""


def port_names(plugins: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the ports that a node with these plugins needs."""
    return (*BASE_PORTS, *(plugin for plugin in plugins if plugin in PLUGIN_LISTENERS))


def kept_secret(path: Path, mode: int) -> str:
    """Return the secret in the file, made at the first call."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        secret = secrets.token_hex(20)
        write_private(path, secret, mode)
        return secret


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that nobody but its owner has ever been able to read, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def write_configuration(
    folder: Path, ports: Mapping[str, int], password: str, plugins: Sequence[str], extra: str
) -> None:
    """Write what the node reads when it boots."""
    definitions = folder / "definitions.json"
    text = _SERVER.format(host=LOOPBACK, amqp=ports["amqp"], definitions=definitions)
    for plugin in plugins:
        listener = PLUGIN_LISTENERS.get(plugin, "")
        text += listener.format(host=LOOPBACK, port=ports.get(plugin))
    write_private(folder / "rabbitmq.conf", text + extra)
    write_private(definitions, json.dumps(_definitions(password)))
    write_private(folder / "enabled_plugins", f"[{','.join(plugins)}].\n")
    write_private(folder / "env.conf", "")
    kept_secret(folder / ".erlang.cookie", 0o400)


def vhost_definitions(name: str) -> dict[str, object]:
    """Return the definitions of a virtual host in which the user may do everything."""
    rights = {"configure": EVERYTHING, "write": EVERYTHING, "read": EVERYTHING}
    return {
        "vhosts": [{"name": name}],
        "permissions": [{"user": USER, "vhost": name, **rights}],
    }


def _definitions(password: str) -> dict[str, object]:
    # With definitions to load the node makes no default user: there is no guest.
    user = {
        "name": USER,
        "password_hash": password_hash(password, secrets.token_bytes(4)),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "administrator",
    }
    return {"users": [user], **vhost_definitions(VHOST)}


def password_hash(password: str, salt: bytes) -> str:
    """Return base64(salt || SHA-256(salt || password)), with 4 bytes of salt.

    Source: RabbitMQ's documentation, "Credentials and Passwords", "Computing Password Hash".
    """
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def node_environment(
    folder: Path,
    installation: Installation,
    ports: Mapping[str, int],
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the environment in which server and tools know nothing of a system-wide node."""
    strange = ("RABBITMQ_", "ERL_", "LC_", "NOTIFY_SOCKET")
    kept = {name: value for name, value in inherited.items() if not name.startswith(strange)}
    return kept | {
        "HOME": str(folder),  # where the cookie is
        "LANG": "C.UTF-8",
        "PATH": installation.search_path(inherited.get("PATH", os.defpath)),
        # Lets the script exec: the child's pid is the node's, and SIGTERM stops it in order.
        "RUNNING_UNDER_SYSTEMD": "true",
        # On `localhost`: a changed host name does not orphan the data.
        "RABBITMQ_NODENAME": "datamill@localhost",
        # An empty one, instead of /etc/rabbitmq/rabbitmq-env.conf.
        "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        # A folder that is not there, instead of /etc/rabbitmq/conf.d.
        "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_MNESIA_DIR": str(folder / "data" / "node"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "data" / "feature_flags"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "rabbit.pid"),
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        # The tools listen too, each on a port that the system picks: several can run at once.
        "RABBITMQ_CTL_DIST_PORT_MIN": "0",
        "RABBITMQ_CTL_DIST_PORT_MAX": "0",
        # For every Erlang, the one too that the server starts to look for epmd: talk to other nodes
        # over loopback only, and leave no epmd daemon behind where ours is gone.
        "ERL_ZFLAGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        # A node that can't boot says why in its log; a dump of its memory helps nobody here.
        "ERL_CRASH_DUMP_SECONDS": "0",
        # Allows epmd to be stopped while the node is still known to it.
        "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",
    }
