"""Exit codes of Datamill's commands: what a shell or a process manager may rely on.

Those from 64 on are sysexits.h's, with its meaning.
"""

from __future__ import annotations

from datamill.errors import (
    BrokerRefused,
    DatamillError,
    InvalidRequest,
    NotAllowed,
    NothingFound,
    RequestFailed,
    ServiceUnavailable,
    SettingsError,
    TopologyMismatch,
    WaitTimeout,
)

EX_OK = 0
"""It was done; a service was told to stop, and did."""

EX_FAILED = 1
"""It went wrong in a way that has no code of its own; the message says how."""

EX_USAGE = 2
"""The command line is wrong: an unknown option, a missing argument (click's own code)."""

REQUEST_FAILED = 3
"""The dataset will not come: the request was answered by `failed`."""

TIMEOUT = 4
"""The dataset was not ready in the time given; its build goes on."""

NOTHING_FOUND = 5
"""Nothing is there to act on: an unknown dataset, nothing being built, no dead letter."""

EX_UNAVAILABLE = 69
"""Broker, catalog or notifier can't be reached; trying again later may help."""

EX_NOPERM = 77
"""The broker or the notifier refused the login, the virtual host or the permission."""

EX_CONFIG = 78
"""A setting is wrong, or a queue or the catalog is not as this version of Datamill needs it."""

INTERRUPTED = 130
"""Ctrl-C ended a command that was waiting, or a second signal a service that was stopping
(128 + SIGINT, as shells count)."""


def exit_code(error: DatamillError) -> int:
    """Return the exit code that an error ends a command with."""
    match error:
        case RequestFailed():
            return REQUEST_FAILED
        case WaitTimeout():
            return TIMEOUT
        case InvalidRequest():
            return EX_USAGE
        case NothingFound():
            return NOTHING_FOUND
        case ServiceUnavailable():
            return EX_UNAVAILABLE
        case BrokerRefused() | NotAllowed():
            return EX_NOPERM
        case SettingsError() | TopologyMismatch():
            return EX_CONFIG
    return EX_FAILED
