"""A network namespace with a cable to this one, which can be cut silently (Linux, root)."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess

NOBODY = "02:00:00:00:00:01"
"""A hardware address that no interface has: what is sent there is dropped without a word."""


class NoNamespaces(Exception):
    """Network namespaces can't be made here."""


class Cable:
    """Joins a namespace of its own to the one that we are in; use it in a `with`.

    Addresses are of 198.18.0.0/15, which RFC 2544 sets apart for measurements. Raises
    `NoNamespaces` where they can't be made.
    """

    def __init__(self) -> None:
        token = secrets.token_hex(4)
        self.namespace = f"mill-{token}"
        self._ours, self._theirs = f"mo{token}", f"mi{token}"
        net = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
        last = 4 * secrets.randbelow(64)
        self.outside, self.inside = f"{net}.{last + 1}", f"{net}.{last + 2}"

    @property
    def under(self) -> list[str]:
        """The beginning of a command line that runs another command inside."""
        return ["ip", "netns", "exec", self.namespace]

    def cut(self) -> None:
        """Let every packet vanish, in both directions; nobody is told."""
        _ip("neigh", "replace", self.inside, "lladdr", NOBODY, "dev", self._ours, *_FOR_EVER)
        _ip(
            *("-n", self.namespace, "neigh", "replace", self.outside),
            *("lladdr", NOBODY, "dev", self._theirs, *_FOR_EVER),
        )

    def heal(self) -> None:
        """Let packets through again."""
        _ip("neigh", "del", self.inside, "dev", self._ours)
        _ip("-n", self.namespace, "neigh", "del", self.outside, "dev", self._theirs)

    def __enter__(self) -> Cable:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise NoNamespaces("network namespaces need root and the command `ip` (iproute2)")
        try:
            _ip("netns", "add", self.namespace)
        except subprocess.CalledProcessError as error:
            raise NoNamespaces(f"no network namespace can be made: {error.stderr}") from error
        try:
            self._lay()
        except BaseException:
            _ip("netns", "del", self.namespace)
            raise
        return self

    def _lay(self) -> None:
        inside = ("-n", self.namespace)
        pair = (self._ours, "type", "veth", "peer", "name", self._theirs)
        _ip("link", "add", *pair, "netns", self.namespace)
        _ip("addr", "add", f"{self.outside}/30", "dev", self._ours)
        _ip("link", "set", self._ours, "up")
        _ip(*inside, "addr", "add", f"{self.inside}/30", "dev", self._theirs)
        _ip(*inside, "link", "set", self._theirs, "up")
        _ip(*inside, "link", "set", "lo", "up")

    def __exit__(self, *_error: object) -> None:
        _ip("link", "del", self._ours)  # the other end goes with it
        _ip("netns", "del", self.namespace)


_FOR_EVER = ("nud", "permanent")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
