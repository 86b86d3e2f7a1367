"""What a handler is made of.

A handler is a `RecordHandler` that says which options it has, what its source items are, what a
record holds, and how one item becomes records:

```python
class FlowersHandler(RecordHandler):
    name, version = "flowers", "2.0.0"
    layout = "<name>.txt files"

    def source_items(self):
        for name in visible_files(self.base_path, {".txt"}):
            yield SourceItem(name, {"text": name})

    def features(self):
        return {"text": Text(), "dice": Scalar()}

    def records(self, item, variation, rng):
        text = self.read_source(item.files["text"])
        return {"text": text, "dice": int(rng.integers(1, 7))}
```

Options are a pydantic model, `class Options(BaseOptions)`, as a class attribute. Handlers of images
derive from `dataset_handlers.image_handler.ImageHandler`. The class is announced as an entry point
of the group `datamill.handlers`.

# Shard protocol 1

What a builder may call, in a process of the handler's own environment. Values are what JSON has.

`shard_protocol = 1`, a class attribute, says that the handler has all of this:

- `Handler(config, base_data_path)`: `base_data_path` is the dataset's raw folder.
- `records_per_shard`: how many records a shard had best have, a hint.
- `raw_folder`: folder below the raw root; None for the one with the dataset's name.
- `resolved_config() -> dict`: every option, defaults filled in.
- `describe_options() -> list[dict]`, a class method, if it is there (handlers of the classic
  contract may have it, too): what `datamill handlers show` tells of each option: `name`, and where
  there are such `type`, `allowed`, `meaning` (texts), `default`, `required`, `limits`, `choices`,
  `example`.
- `feature_spec() -> dict`: `features`, the object of TensorFlow Datasets' features.json, and
  `labels`, the class names of each label (`{"label": ["ants", "bees"]}`), for its
  `<label>.labels.txt`.
- `plan_items(content_key) -> Iterator[dict]`: the source items in their final order, any prefix a
  fair sample: `key`, `split` ("train" or "validation"), `records` (estimate), `files`, `meta`.
- `write_plan(content_key, folder) -> dict`, if it is there: writes the same, an object per line,
  into `<folder>/<split>.jsonl`, and gives the `items` and `records` of each split.
- `write_shard(items, path, content_key, progress=None) -> dict`: writes the records of these items
  to one TFRecord file at `path`, closed when the call returns. Gives `records`, `bytes` and
  `skipped`, a list of `{"key", "reason"}`; also `sha256` (lower-case hex), if the handler takes
  it: then the builder compares it with its own. Calls `progress(records so far)` after each
  record; the number falls back by the records of an item that turns out to be bad.
  `max_bad_share` is the builder's to hold, over all shards.

The bytes of a shard depend on its items, the content key and the handler's packages: not on the
process, the machine, the order of shards or what was written before. Errors carry
`datamill_reason`: `invalid_config`, `bad_data` or `handler_error`.
"""

from dataset_handlers.sdk.contract import DatasetHandler
from dataset_handlers.sdk.errors import (
    BadItemError,
    ConfigError,
    HandlerError,
    NoSourceItemsError,
    SourceReadError,
    TooManyBadItemsError,
)
from dataset_handlers.sdk.features import (
    Box,
    ClassLabel,
    Feature,
    Image,
    Scalar,
    Sequence,
    Tensor,
    Text,
)
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.record_handler import RecordHandler
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import visible_files, visible_folders

__all__ = [
    "BadItemError",
    "BaseOptions",
    "Box",
    "ClassLabel",
    "ConfigError",
    "DatasetHandler",
    "Feature",
    "HandlerError",
    "Image",
    "NoSourceItemsError",
    "RecordHandler",
    "Scalar",
    "Sequence",
    "SourceItem",
    "SourceReadError",
    "Tensor",
    "Text",
    "TooManyBadItemsError",
    "visible_files",
    "visible_folders",
]
