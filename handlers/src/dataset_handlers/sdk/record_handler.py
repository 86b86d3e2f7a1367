"""A handler that says what its items are and how one becomes records gets the rest here."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dataset_handlers import __version__
from dataset_handlers.sdk import plan, shard, standalone
from dataset_handlers.sdk.contract import DatasetHandler
from dataset_handlers.sdk.description import describe_options
from dataset_handlers.sdk.errors import (
    BadItemError,
    ConfigError,
    NoSourceItemsError,
    SourceReadError,
)
from dataset_handlers.sdk.features import Feature, features_json, label_names
from dataset_handlers.sdk.options import BaseOptions, parse_options
from dataset_handlers.sdk.records import Record
from dataset_handlers.sdk.source import SourceItem


class RecordHandler(DatasetHandler):
    """The base of handlers that speak shard protocol 1 (see `dataset_handlers.sdk`)."""

    shard_protocol: ClassVar[int] = 1
    records_per_shard: ClassVar[int] = 256
    """A hint for the builder: some tens of MB of images, some seconds of work."""
    raw_folder: ClassVar[str | None] = None
    """Folder below the raw root, where it is not the dataset's name."""

    name: ClassVar[str]
    """The entry point's name: for messages and file names."""
    version: ClassVar[str] = __version__
    layout: ClassVar[str]
    """What the raw folder has to hold, in words, for the message when it does not."""
    Options: ClassVar[type[BaseOptions]] = BaseOptions

    options: BaseOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        """Raise `ConfigError` if the config asks for what the handler does not do."""
        super().__init__(config, base_data_path)
        self.options = parse_options(self.Options, config, f"{self.name} {self.version}")
        self.base_path = Path(base_data_path)

    @abstractmethod
    def source_items(self) -> Iterator[SourceItem]:
        """Yield every source item, in any order; keys unique and the same on every machine."""

    @abstractmethod
    def features(self) -> dict[str, Feature]:
        """Return what a record holds."""

    @abstractmethod
    def records(
        self, item: SourceItem, variation: int, rng: np.random.Generator
    ) -> Record | Iterable[Record]:
        """Return one variation of one item: one record, or several where that is natural.

        Take random numbers from `rng` alone. Raise `BadItemError` if the item can't be used.
        """

    @classmethod
    def config_options(cls) -> dict[str, Any]:
        """Return every option that is allowed, with its default."""
        return cls.Options().model_dump(mode="json")

    @classmethod
    def describe_options(cls) -> list[dict[str, Any]]:
        """Return what there is to say of each option."""
        return describe_options(cls.Options)

    def resolved_config(self) -> dict[str, Any]:
        """Return all options, defaults filled in, as JSON values."""
        return self.options.model_dump(mode="json")

    def feature_spec(self) -> dict[str, Any]:
        """Return features.json's object and the class names of each label."""
        features = self._checked_features()
        return {"features": features_json(features), "labels": label_names(features)}

    def plan_items(self, content_key: str) -> Iterator[dict[str, Any]]:
        """Yield the source items in their final order, as JSON values."""
        split_of = self.split_of_items() or (lambda _: plan.TRAIN)
        for item in islice(self._ordered(content_key), self.options.max_items):
            yield {
                "key": item.key,
                "split": split_of(item),
                "records": self.options.variations_per_sample,
                "files": dict(item.files),
                "meta": dict(item.meta),
            }

    def write_plan(self, content_key: str, folder: str) -> dict[str, dict[str, int]]:
        """Write what `plan_items` yields as `<folder>/<split>.jsonl`, an object per line.

        Returns the `items` and `records` of each split. For source items by the million.
        """
        ends = {
            split: b', "records": %d, "split": "%s"}\n'
            % (self.options.variations_per_sample, split.encode())
            for split in (plan.TRAIN, plan.VALIDATION)
        }
        items = dict.fromkeys(ends, 0)
        with ExitStack() as stack:
            files = {
                split: stack.enter_context(Path(folder, f"{split}.jsonl").open("wb"))
                for split in ends
            }
            for split, lines in self._ordered(content_key).open_lines(self.options.max_items):
                files[split].write(ends[split].join(lines) + ends[split])
                items[split] += len(lines)
        for split in [split for split, count in items.items() if not count]:
            Path(folder, f"{split}.jsonl").unlink()
            del items[split]
        return {
            split: {"items": count, "records": count * self.options.variations_per_sample}
            for split, count in items.items()
        }

    def _ordered(self, content_key: str) -> plan.OrderedItems:
        ordered = plan.OrderedItems(self.source_items(), content_key, self.split_of_items())
        if not ordered:
            raise self.no_source_items()
        self._checked_features()
        return ordered

    def split_of_items(self) -> Callable[[SourceItem], str] | None:
        """Return what tells an item's split, `train` or `validation`; None: all are in `train`.

        By keyed hash, as `validation_share` says. Override it where raw data has splits of its own.
        """
        if not self.options.validation_share:
            return None
        split_of = plan.split_by_key(self.options.seed, self.options.validation_share)
        return lambda item: split_of(item.key)

    def write_shard(
        self,
        items: Iterable[Mapping[str, Any]],
        path: str,
        content_key: str,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """Write the records of `items`, as `plan_items` gave them, into the file `path`."""
        self.prepare_process()
        return shard.write_shard(self, list(items), path, content_key, progress)

    def prepare_process(self) -> None:
        """Set what libraries of the handler need set in the process that writes shards."""

    def as_tfrecord(self) -> list[str]:
        """Write all shards into the current directory and return their paths.

        `<name>-<split>.tfrecord-00000-of-00016`; files of these names are replaced. Raises
        `HandlerError` where the current directory lies in the raw data.
        """
        folder = standalone.output_folder(self.base_path)
        key = standalone.standalone_key(self.name, self.version, self.resolved_config())
        write = partial(self.write_shard, content_key=key)
        return standalone.write_all(
            list(self.plan_items(key)),
            write,
            folder,
            self.name,
            self.records_per_shard,
            self.options.max_bad_share,
        )

    def tf_records_mapper(self, files: list[str]) -> Any:
        """Return batches `(inputs, targets)` as a `tf.data.Dataset`; needs TensorFlow."""
        from dataset_handlers.sdk.mapper import batches

        features = self.features_of(files)
        self._check_inputs(features)
        return batches(files, features, self.inputs, self.options.batch_size)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that `tf_records_mapper` gives as inputs."""
        return self.options.input_attributes

    def features_of(self, files: list[str]) -> dict[str, Feature]:
        """Return the features of records that are read where the raw data may not be.

        Override it where `features()` looks at the raw data.
        """
        return self.features()

    def features_for(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Feature]:
        """Return the features of records of these planned items, for who writes them.

        Override it where `features()` reads much of the raw data: each process would do so.
        """
        return self.features()

    def read_source(self, relative_path: str, *, max_bytes: int | None = None) -> bytes:
        """Return the bytes of a raw file.

        Raises `SourceReadError`, and `BadItemError` for a file larger than `max_bytes`.
        """
        try:
            with (self.base_path / relative_path).open("rb") as file:
                data = file.read(-1 if max_bytes is None else max_bytes + 1)
        except OSError as error:
            raise SourceReadError(f"{relative_path} can't be read: {error.strerror}") from error
        if max_bytes is not None and len(data) > max_bytes:
            raise BadItemError(f"it is larger than {max_bytes} bytes")
        return data

    def no_source_items(self) -> NoSourceItemsError:
        """Return the error for a raw folder that is missing or holds none of the handler's."""
        what = "holds nothing that is read" if self.base_path.is_dir() else "is missing"
        return NoSourceItemsError(
            f"the raw folder {self.base_path} {what}: {self.name} reads {self.layout}"
        )

    def _checked_features(self) -> dict[str, Feature]:
        features = self.features()
        self._check_inputs(features)
        return features

    def _check_inputs(self, features: Mapping[str, Feature]) -> None:
        for name in self.options.input_attributes:
            if name not in features:
                raise ConfigError(
                    f'input_attributes: "{name}" is not allowed: records of {self.name} hold '
                    f"{', '.join(sorted(features))}"
                )
