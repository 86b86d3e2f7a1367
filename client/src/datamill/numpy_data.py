"""Records as NumPy arrays, decoded by features.json alone: for trainings without TensorFlow.

OpenCV decodes the images, in threads, since it lets Python's lock go; the order stays.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamill.early import files_and_pauses, known_features
from datamill.errors import DatamillError, NumPyMissing, RecordError
from datamill.example import decode_example
from datamill.features import Feature, parse_features
from datamill.reading import ReadingOptions
from datamill.records import read_records

if TYPE_CHECKING:
    from datamill.dataset import Dataset

Record = dict[str, Any]

_AHEAD_PER_THREAD = 4


def read(dataset: Dataset, split: str, options: ReadingOptions) -> Iterator[Record]:
    """Yield one dict of arrays per record, or per batch.

    image: uint8 or uint16 `[height, width, channels]`; class label: int64; tensor and scalar: their
    type and shape; box: float32 `[4]`, top, left, bottom, right from 0 to 1; text: bytes. A
    sequence has one dimension more in front.
    """
    decoder = _Decoder()
    if not options.streaming:
        dataset.wait()
    decode = decoder.of(parse_features(known_features(dataset)))
    payloads = _payloads(dataset, split, options.epochs)
    if options.shuffle_records:
        payloads = _shuffled(payloads, options.shuffle_records)
    records = _decoded(payloads, decode)
    return _batches(records, options.batch_size) if options.batch_size else records


def _payloads(dataset: Dataset, split: str, epochs: int | None) -> Iterator[bytes | None]:
    """Yield serialised records; None before each wait for the build."""
    for _ in itertools.count() if epochs is None else range(epochs):
        for path in files_and_pauses(dataset, split):
            if path is None:
                yield None
            else:
                yield from read_records(Path(path))


def _shuffled(payloads: Iterator[bytes | None], size: int) -> Iterator[bytes | None]:
    """Yield a random one of the next `size`, as `tf.data` does."""
    import numpy as np

    rng = np.random.default_rng()
    buffer = list(itertools.islice((each for each in payloads if each is not None), size))
    for payload in payloads:
        if payload is None:
            yield None
            continue
        place = int(rng.integers(len(buffer)))
        buffer[place], payload = payload, buffer[place]
        yield payload
    rng.shuffle(buffer)
    yield from buffer


def _decoded(
    payloads: Iterator[bytes | None], decode: Callable[[bytes], Record]
) -> Iterator[Record]:
    """Decode in threads, a few records ahead, in order; none is kept back in a wait."""
    threads = os.cpu_count() or 1
    under_way: deque[Future[Record]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for payload in payloads:
            if payload is None:
                while under_way:
                    yield under_way.popleft().result()
                continue
            under_way.append(pool.submit(decode, payload))
            if len(under_way) > threads * _AHEAD_PER_THREAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _batches(records: Iterator[Record], size: int) -> Iterator[Record]:
    while batch := list(itertools.islice(records, size)):
        yield _stacked(batch)


def _stacked(batch: list[Any]) -> Any:
    import numpy as np

    if isinstance(batch[0], dict):
        return {name: _stacked([record[name] for record in batch]) for name in batch[0]}
    try:
        return np.stack(batch)
    except ValueError as error:
        shapes = sorted({np.shape(value) for value in batch})
        raise DatamillError(f"no batch can be made of shapes {shapes[:4]}") from error


class _Decoder:
    """Turns serialised Examples into dicts of arrays."""

    def __init__(self) -> None:
        try:
            import cv2
            import numpy as np
        except ImportError as error:
            raise NumPyMissing from error
        self._np, self._cv2 = np, cv2

    def of(self, features: list[Feature]) -> Callable[[bytes], Record]:
        """Return the function that decodes records of these features."""

        def decode(payload: bytes) -> Record:
            values = decode_example(payload)
            record: Record = {}
            for feature in features:
                place = record
                for key in feature.path[:-1]:
                    place = place.setdefault(key, {})
                place[feature.path[-1]] = self._value(feature, values.get(feature.name))
            return record

        return decode

    def _value(self, feature: Feature, values: list[Any] | None) -> Any:
        if feature.kind == "tensor" and None in feature.shape:
            return self._tensor(feature, values or [])
        if feature.kind == "images":
            return self._images(feature, values or [])
        if values is None:
            raise RecordError(f"a record has no {feature.name}")
        match feature.kind:
            case "image":
                return self._image(feature, *values)
            case "label":
                return self._np.int64(*values)
            case "text":
                return bytes(*values)
            case _:
                return self._tensor(feature, values)

    def _tensor(self, feature: Feature, values: list[Any]) -> Any:
        dtype = object if feature.dtype == "string" else feature.dtype
        shape = [-1 if size is None else size for size in feature.shape]
        try:
            tensor = self._np.array(values, dtype).reshape(shape)
        except (ValueError, TypeError) as error:
            raise RecordError(f"{feature.name} of a record: {error}") from error
        return tensor if shape else tensor[()]

    def _images(self, feature: Feature, files: list[bytes]) -> Any:
        if files:
            return self._np.stack([self._image(feature, file) for file in files])
        return self._np.empty((0, *(size or 0 for size in feature.shape)), feature.dtype)

    def _image(self, feature: Feature, data: bytes) -> Any:
        cv2 = self._cv2
        match feature.shape[-1]:
            case 1:
                flags = cv2.IMREAD_GRAYSCALE
            case 3:
                flags = cv2.IMREAD_COLOR_RGB
            case _:
                flags = cv2.IMREAD_UNCHANGED
        if feature.dtype != "uint8":
            flags |= cv2.IMREAD_ANYDEPTH
        image = cv2.imdecode(
            self._np.frombuffer(data, self._np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if image is None:
            raise RecordError(f"{feature.name} of a record is no image that OpenCV can decode")
        if image.ndim == 2:
            image = image[..., self._np.newaxis]
        elif flags == cv2.IMREAD_UNCHANGED and image.shape[2] >= 3:
            code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
            image = cv2.cvtColor(image, code)
        return image
