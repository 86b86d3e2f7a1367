"""The environment in which builder and notifier run below `datamill up`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from datamill.settings import Settings


def children_environment(
    settings: Settings, inherited: Mapping[str, str], broker_url: str, listen: str
) -> dict[str, str]:
    """Return the environment that makes the children's settings those of `datamill up`."""
    environment = dict(inherited) | {
        "DATAMILL_HOME": str(settings.home),
        "DATAMILL_RAW_ROOT": str(settings.raw_folder),
        "DATAMILL_WORKERS": str(settings.workers),
        "DATAMILL_BROKER_URL": broker_url,
        "DATAMILL_LISTEN": listen,
        "DATAMILL_LOG_FORMAT": "json" if settings.log_format == "json" else "text",
        # What runs here is told by the variables above: no other service is to be looked for.
        "DATAMILL_URL": "",
    }
    if settings.handler_sources:
        environment["DATAMILL_HANDLER_SOURCES"] = json.dumps(settings.handler_sources)
    return environment
