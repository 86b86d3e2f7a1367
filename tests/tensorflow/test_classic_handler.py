"""A handler of the classic contract alone: four methods, TensorFlow in its own environment.

Its source is the one that the README shows.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import datamill
from tests.docs.readme import README, File, steps
from tests.support.wheels import make_wheel
from tests.tensorflow.conftest import Service

BUILD_SECS = 300.0
"""Making the environment is most of it: TensorFlow is a gigabyte."""

# The version that is installed here: so uv's cache has it.
TENSORFLOW = (
    f'tensorflow-cpu=={tf.__version__}; sys_platform == "linux" and platform_machine == "x86_64"',
    f'tensorflow=={tf.__version__}; sys_platform != "linux" or platform_machine != "x86_64"',
)


def source() -> str:
    """Return the handler that the README shows."""
    text = README.read_text(encoding="utf-8")
    (file,) = (s for s in steps(text) if isinstance(s, File) and s.path.startswith("classic/"))
    return file.text


@pytest.fixture(scope="module")
def wheel(service: Service) -> Path:
    (service.raw / "squares").mkdir()
    return make_wheel(
        service.wheels,
        "classic-handlers",
        "1.0.0",
        {"classic_handlers.py": source()},
        {"squares": "classic_handlers:SquaresHandler"},
        TENSORFLOW,
    )


@pytest.fixture(scope="module")
def dataset(wheel: Path) -> datamill.Dataset:
    asked = datamill.request_dataset("squares", "1.0.0", {"count": 512})
    asked.wait(timeout=BUILD_SECS)
    return asked


def error_of(train: tf.data.Dataset) -> float:
    """Train a tiny network on batches of (x, y); return how far it is from x squared."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(train, epochs=30, shuffle=False, verbose=0)
    x = np.linspace(0.0, 1.0, 11, dtype=np.float32)[:, None]
    return float(np.abs(model.predict_on_batch(x) - x**2).max())


@pytest.mark.slow
def test_it_builds(dataset: datamill.Dataset) -> None:
    manifest = dataset.manifest
    assert manifest.records == 512
    assert manifest.config == {"count": 512, "batch_size": 32}
    packages = manifest.provenance.packages
    assert packages.get("tensorflow-cpu", packages.get("tensorflow")) == tf.__version__
    assert tfds.builder_from_directory(dataset.folder).info.splits["train"].num_examples == 512


@pytest.mark.slow
def test_it_trains_without_the_handlers_code(dataset: datamill.Dataset) -> None:
    records = dataset.as_dataset("train", shuffle=512)
    assert {name: spec.dtype for name, spec in records.element_spec.items()} == {
        "x": tf.float32,
        "y": tf.float32,
    }
    pairs = records.map(lambda record: (record["x"][None], record["y"][None]))
    assert error_of(pairs.batch(32)) < 0.1


# The number of batches that a mapper gives is known to nobody.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.slow
def test_it_trains_by_its_mapper(
    dataset: datamill.Dataset, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(datamill.DatamillError, match="no handler 'squares' is installed here"):
        dataset.as_dataset("train", use_handler=True)
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    batches = dataset.as_dataset("train", use_handler=True)
    x, y = next(iter(batches))
    assert x.shape == y.shape == (32,)
    pairs = batches.map(lambda x, y: (x[:, None], y[:, None])).unbatch()
    assert error_of(pairs.cache().shuffle(512).batch(32)) < 0.1
