"""Signing webhooks after the Standard Webhooks specification 1.0 (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac

_VERSION = "v1"
"""Symmetric: HMAC with SHA-256."""


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature`: `v1,` and the HMAC of `<id>.<timestamp>.<body>` in base64.

    `timestamp` is that of the attempt, in seconds since the epoch: receivers refuse old ones, so
    that nobody can send again what was overheard.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.digest(key, signed, hashlib.sha256)
    return f"{_VERSION},{base64.b64encode(digest).decode()}"
