"""Fetching a file whose digest is known: resumed where it was cut, hashed as it comes."""

from __future__ import annotations

import http.client
import logging
import time
import urllib.error
import urllib.request
from collections import deque
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from datamill import tracing
from datamill.broker import backoff
from datamill.errors import DatamillError, DigestMismatch, DownloadError, Gone, first_line
from datamill.part import FilePart, Part, unwritable
from datamill.pieces import CONTENT_RANGE, NoRanges, Pieces
from datamill.source import ProgressCallback, Source

log = logging.getLogger(__name__)

_SOCKET_TIMEOUT_SECS = 30.0
_FRUITLESS_ATTEMPTS = 6
_FRUITLESS_SECS = 30.0
"""Attempts in a row that bring no byte, and seconds, before giving up: a server that is started
again refuses connections for some seconds, and that at once."""
_LONGEST_RETRY_AFTER_SECS = 30.0
_FAR_SECS = 0.02
"""A server that takes longer to answer is far away, or busy."""
_TRIAL_BYTES = 2 * 1024 * 1024
_QUICK_SECS, _SLOW_SECS = 0.01, 1.0
"""Where the first bytes take less, one connection will do; where more, the link is slow."""
_GONE = (404, 410)
_WORTH_RETRYING = (408, 425, 429, 500, 502, 503, 504)


def fetch(source: Source, path: Path, progress: ProgressCallback | None = None) -> None:
    """Make `path` the whole, verified, synced file; go on with what it holds already.

    The caller sees to it that nobody else writes to `path`, and moves it to its public name.
    Raises what `fetch_into` raises.
    """
    with FilePart(path, source.bytes) as part:
        fetch_into(source, part, progress)


def fetch_into(
    source: Source, part: Part, progress: ProgressCallback | None = None, streams: int = 1
) -> None:
    """Make an open part whole, verified and synced; go on with what it holds already.

    `streams`: over so many connections at most, where one alone can't fill a long link.

    Raises `Gone` where the server does not have it (any more, or whole), `DigestMismatch` if it
    came wrong twice (nothing of it stays), `DownloadError` otherwise.
    """
    _receive_all(source, part, progress, streams)
    if part.sha256 != source.sha256:
        log.warning("%s did not arrive as announced; fetching it once more", source.urls[0])
        part.restart()
        _receive_all(source, part, progress, doubted=True)
    if part.sha256 != source.sha256:
        part.discard()
        raise DigestMismatch(
            f"{source.urls[0]} is not what was announced: its SHA-256 is not {source.sha256[:12]}…"
        )
    try:
        part.sync()
    except OSError as error:
        raise unwritable(error) from error


def _receive_all(
    source: Source,
    part: Part,
    progress: ProgressCallback | None,
    streams: int = 1,
    doubted: bool = False,
) -> None:
    urls = deque(source.urls)
    fruitless, fruitful_at = 0, time.monotonic()
    while not part.complete:
        url, before = urls[0], part.size
        try:
            _receive(url, source, part, progress, streams, doubted)
            error: Exception = DownloadError("the connection was cut")
        except NoRanges as problem:
            log.info("%s; going on with one connection", problem)
            streams = 1
            continue
        except Gone:
            urls.popleft()
            if not urls:
                raise
            continue
        except (_RetryLater, OSError, http.client.HTTPException) as problem:
            error = _worth_retrying(problem)
        urls.rotate(-1)
        fruitless += 1
        if part.size > before:
            fruitless, fruitful_at = 0, time.monotonic()
        fruitless_secs = time.monotonic() - fruitful_at
        if fruitless >= _FRUITLESS_ATTEMPTS and fruitless_secs >= _FRUITLESS_SECS:
            raise DownloadError(f"{url} could not be downloaded: {first_line(error)}") from error
        if not part.complete:
            log.info("%s: %s; going on after %d bytes", url, first_line(error), part.size)
            pause_secs = backoff(min(fruitless, _FRUITLESS_ATTEMPTS))
            time.sleep(max(getattr(error, "pause_secs", 0.0), pause_secs))


def _worth_retrying(problem: Exception) -> Exception:
    if isinstance(problem, DatamillError) and not isinstance(problem, _RetryLater):
        raise problem  # WaitTimeout is an OSError too
    return problem


def _receive(
    url: str,
    source: Source,
    part: Part,
    progress: ProgressCallback | None,
    streams: int,
    doubted: bool,
) -> None:
    """Receive as much as one connection gives, or as several give until one breaks."""
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} is no address to download from")
    headers = {"Accept-Encoding": "identity", **tracing.headers()}
    etag = f'"{source.sha256}"'
    if part.size:
        # Strong validators only: a rebuilt file must never be glued to the old one's beginning.
        headers |= {"Range": f"bytes={part.size}-", "If-Range": etag}
    if doubted:
        # Nothing that somebody between has kept; and the server is to look at its file again.
        headers |= {"Cache-Control": "no-cache"}
    asked_at = time.monotonic()
    with _open(urllib.request.Request(url, headers=headers)) as response:
        answered_secs = time.monotonic() - asked_at
        if not _continues(response, part):
            part.restart()
        if streams == 1 or response.headers.get("ETag") != etag or _through_proxy(url):
            _copy(response, part, progress, part.total + 1)
            return
        asked_at = time.monotonic()
        _copy(response, part, progress, part.size + _TRIAL_BYTES)
        expected = response.length == part.total - part.size
        if not expected or not _is_long_link(answered_secs, time.monotonic() - asked_at):
            _copy(response, part, progress, part.total + 1)
        elif not part.complete:
            pieces = Pieces(part, response.url, etag, _SOCKET_TIMEOUT_SECS, read_into, _refusal)
            pieces.receive(response, streams, lambda: _tell(part, progress))


def _is_long_link(answered_secs: float, trial_secs: float) -> bool:
    """Return whether more connections may help: the server is far away, and yet not slow.

    Over a slow link pieces would take too long: what one has of a piece is lost if it is cut.
    """
    return answered_secs > _FAR_SECS and _QUICK_SECS < trial_secs < _SLOW_SECS


def _through_proxy(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(
        parts.hostname or ""
    )


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            request, timeout=_SOCKET_TIMEOUT_SECS
        )
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(request.full_url, error) from error
    return response


def _refusal(url: str, answer: http.client.HTTPResponse | urllib.error.HTTPError) -> DownloadError:
    said = f"{url}: the server says {answer.status} {answer.reason}"
    if answer.status in _GONE:
        return Gone(said)
    if answer.status in _WORTH_RETRYING:
        return _RetryLater(said, _retry_after(answer.headers))
    return DownloadError(said)


def _retry_after(headers: Message) -> float:
    text = headers.get("Retry-After", "")
    return min(float(text), _LONGEST_RETRY_AFTER_SECS) if text.isdecimal() else 0.0


def read_into(response: http.client.HTTPResponse, room: memoryview) -> int:
    """Receive what there is, at most what there is room for; 0 at the end.

    `HTTPResponse` offers this only with a copy, or until all the room is full.
    """
    left = response.length
    if response.chunked or left is None or response.fp is None:
        body = response.read1(len(room))
        room[: len(body)] = body
        return len(body)
    count: int = response.fp.readinto1(room[:left]) if left else 0
    response.length = left - count
    return count


def _continues(response: http.client.HTTPResponse, part: Part) -> bool:
    """Return whether the response goes on where the part ends; False: it starts from the front."""
    if response.status == HTTPStatus.OK:
        return False
    found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status != HTTPStatus.PARTIAL_CONTENT or found is None:
        raise DownloadError(f"{response.url}: the answer {response.status} makes no sense")
    if (int(found[1]), int(found[3])) != (part.size, part.total):
        raise DownloadError(f"{response.url}: the server sent another range than it was asked for")
    return True


def _copy(
    response: http.client.HTTPResponse, part: Part, progress: ProgressCallback | None, to: int
) -> None:
    """Copy until the end or a size, and not more than one byte beyond the announced size.

    That one shows that it is another file.
    """

    def read(room: memoryview) -> int:
        return read_into(response, room)

    to = min(to, part.total + 1)
    while (room := to - part.size) > 0 and part.fill(read, room):
        _tell(part, progress)


def _tell(part: Part, progress: ProgressCallback | None) -> None:
    if progress:
        progress(min(part.size, part.total), part.total)


class _RetryLater(DownloadError):
    """The server can't serve just now."""

    def __init__(self, message: str, pause_secs: float) -> None:
        super().__init__(message)
        self.pause_secs = pause_secs
