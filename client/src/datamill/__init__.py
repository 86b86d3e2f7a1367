"""Ask for a prepared machine-learning dataset, wait for it, train on it.

    import datamill

    dataset = datamill.request_dataset("duts", "1.0.0", {"image_size": [1024, 1024]})
    dataset.wait(progress=True)
    train = dataset.as_dataset(split="train")

Names are loaded when they are first used: `import datamill` costs next to nothing, and never
imports TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamill.completion import wait_for_completion
    from datamill.dataset import Dataset, request_dataset
    from datamill.errors import (
        ArchiveError,
        BrokerBusy,
        BrokerRefused,
        BrokerUnavailable,
        DatamillError,
        DigestMismatch,
        DownloadError,
        InvalidOption,
        InvalidRequest,
        NotCached,
        NumPyMissing,
        OtherDataset,
        RecordError,
        RequestFailed,
        ServiceUnavailable,
        SettingsError,
        TensorFlowMissing,
        Unroutable,
        WaitTimeout,
    )
    from datamill.request import dataset_id
    from datamill.sessions import subscribe
    from datamill.subscription import Subscription

_MODULES = {
    "datamill.completion": ("wait_for_completion",),
    "datamill.dataset": ("Dataset", "request_dataset"),
    "datamill.errors": (
        "ArchiveError",
        "BrokerBusy",
        "BrokerRefused",
        "BrokerUnavailable",
        "DatamillError",
        "DigestMismatch",
        "DownloadError",
        "InvalidOption",
        "InvalidRequest",
        "NotCached",
        "NumPyMissing",
        "OtherDataset",
        "RecordError",
        "RequestFailed",
        "ServiceUnavailable",
        "SettingsError",
        "TensorFlowMissing",
        "Unroutable",
        "WaitTimeout",
    ),
    "datamill.request": ("dataset_id",),
    "datamill.sessions": ("subscribe",),
    "datamill.subscription": ("Subscription",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArchiveError",
    "BrokerBusy",
    "BrokerRefused",
    "BrokerUnavailable",
    "DatamillError",
    "Dataset",
    "DigestMismatch",
    "DownloadError",
    "InvalidOption",
    "InvalidRequest",
    "NotCached",
    "NumPyMissing",
    "OtherDataset",
    "RecordError",
    "RequestFailed",
    "ServiceUnavailable",
    "SettingsError",
    "Subscription",
    "TensorFlowMissing",
    "Unroutable",
    "WaitTimeout",
    "dataset_id",
    "request_dataset",
    "subscribe",
    "wait_for_completion",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'datamill' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
