"""A download that stops when it has begun, and goes on when the test says so."""

from __future__ import annotations

import hashlib
import http.client
from types import TracebackType

from tests.support.notifier import NotifierProcess

_BEGUN_BYTES = 64 * 1024


class SlowDownload:
    """Has the first bytes of a file that is larger than what sockets hold; use it in a `with`."""

    def __init__(self, notifier: NotifierProcess, path: str, begin: int = 0) -> None:
        self._connection = notifier.connect()
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        self._connection.request("GET", path, headers=headers)
        self._response: http.client.HTTPResponse = self._connection.getresponse()
        assert self._response.status == (206 if begin else 200)
        self._digest = hashlib.sha256(self._response.read(_BEGUN_BYTES))

    def finish(self) -> str:
        """Read the rest; return the SHA-256 of all that came."""
        while chunk := self._response.read(1024 * 1024):
            self._digest.update(chunk)
        return self._digest.hexdigest()

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> SlowDownload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
