"""The classic contract: the least that a handler must have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class DatasetHandler(ABC):
    """Turns the raw data below `base_data_path` into records, as `config` says."""

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        self.config = config
        self.base_data_path = base_data_path

    @staticmethod
    @abstractmethod
    def config_options() -> dict[str, Any]:
        """Return every option that is allowed, with its default."""

    @abstractmethod
    def as_tfrecord(self) -> list[str]:
        """Write `.tfrecord` files and return their paths."""

    @abstractmethod
    def tf_records_mapper(self, files: list[str]) -> Any:
        """Return a `tf.data.Dataset` over the records of `files`."""
