"""Writing down what hooks have to be told, with the change that it tells of."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from sqlalchemy import Row

from datamill.events import Event
from datamill_builder.catalog.engine import Transaction
from datamill_builder.catalog.lifecycle.find import find_dataset
from datamill_builder.catalog.schema import hook_calls
from datamill_builder.catalog.states import HookCallState


def call_hooks(change: Transaction, event: Event) -> None:
    """Have hooks called, once this change is committed, if they want to know of such an event.

    For what becomes of a dataset id: it is ready, it failed, it was evicted. Requests that are
    answered from what is there call none.
    """
    hooks = [hook for hook in change.hooks if event.event in hook.events]
    if not hooks:
        return
    dataset = find_dataset(change.connection, event.dataset_id)
    assert dataset is not None
    names = [hook.name for hook in hooks if hook.takes(dataset.dataset_name)]
    if not names:
        return
    body = _body(event, dataset)
    moment = time.time()
    rows = [
        {
            "hook": name,
            "event": event.event,
            "dataset_id": event.dataset_id,
            "body": body,
            "state": HookCallState.PENDING,
            "attempts": 0,
            "due_at": moment,
            "created_at": moment,
        }
        for name in names
    ]
    change.connection.execute(hook_calls.insert(), rows)


def _body(event: Event, dataset: Row[Any]) -> str:
    """Return the event as hooks get it: with an id of its own, and the request that it answers."""
    document = {
        "id": f"msg_{uuid.uuid4().hex}",
        **event.model_dump(mode="json"),
        "dataset_name": dataset.dataset_name,
        "handler_version": dataset.handler_version,
        "dataset_config": json.loads(dataset.config),
    }
    return json.dumps(document)
