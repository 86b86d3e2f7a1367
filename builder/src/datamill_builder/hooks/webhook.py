"""Telling by HTTP: a signed POST."""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import urlsplit

from datamill.errors import first_line
from datamill.hook_settings import HookSettings, secret_bytes
from datamill_builder.hooks.connection import Answer, Line, post
from datamill_builder.hooks.message import STOPPED, Message, Outcome
from datamill_builder.hooks.signature import signature

_SHOWN_CHARACTERS = 200
_REDIRECTS = range(300, 400)


class Webhook:
    """Posts messages to the address of a hook; one at a time."""

    def __init__(self, hook: HookSettings) -> None:
        assert hook.url is not None
        self._url = hook.url.get_secret_value()
        self._key = secret_bytes(hook.secret) if hook.secret else None
        self._timeout_secs = hook.timeout_secs
        self._line = Line()
        self._stopped = False

    def tell(self, message: Message) -> Outcome:
        """Post a message; 2xx is an answer, 410 says never to come again."""
        self._line = line = Line()
        if self._stopped:  # looked at after the line is there, which `stop` cuts after saying so
            return STOPPED
        body = message.body.encode()
        try:
            answer = post(
                self._url, body, self._headers(message.id, body), self._timeout_secs, line
            )
        except TimeoutError:
            if self._stopped:
                return STOPPED
            return Outcome(False, f"no answer within {self._timeout_secs:g} s")
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Outcome(False, self._without_url(_reason(error)))
        return self._outcome(answer)

    def stop(self) -> None:
        """Cut the connection."""
        self._stopped = True
        self._line.cut()

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"datamill/{version('datamill-builder')}",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, message_id, timestamp, body)
        return headers

    def _outcome(self, answer: Answer) -> Outcome:
        said = f"{answer.status} {answer.reason}".strip()
        if 200 <= answer.status < 300:
            return Outcome(True, said)
        if answer.status in _REDIRECTS:
            return Outcome(False, f"{said}: redirects are not followed, set the address it has now")
        if answer.status == HTTPStatus.GONE:
            return Outcome(False, f"{said}: it wants to be told no more", final=True)
        words = " ".join(answer.body.decode("utf-8", "replace").split())[:_SHOWN_CHARACTERS]
        shown = "".join(one for one in words if one.isprintable())
        says = f"{said}: {self._without_url(shown)}" if shown else said
        return Outcome(False, says, pause_secs=_retry_after(answer))

    def _without_url(self, text: str) -> str:
        """Return text of somebody else without our address, which may be a secret."""
        place = urlsplit(self._url)
        within = self._url.partition(place.netloc)[2]  # path and query
        for secret in (self._url, within if len(within) > 1 else self._url):
            text = text.replace(secret, "<its address>")
        return text


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        return _reason_of(error.reason)
    return _reason_of(error)


def _reason_of(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return re.sub(r"\s+", " ", first_line(error)) or type(error).__name__


def _retry_after(answer: Answer) -> float:
    """Return the seconds of `Retry-After` (RFC 9110, section 10.2.3); 0 where there is none."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - time.time())
