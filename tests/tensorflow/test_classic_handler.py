"""A handler of the classic contract alone: four methods, TensorFlow in its own environment.

The package is the one that the README shows.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import uv

import datamill
from tests.docs.readme import README, File, steps
from tests.tensorflow.conftest import Service

BUILD_SECS = 300.0
"""Making the environment is most of it: TensorFlow is a gigabyte."""


@pytest.fixture(scope="module")
def wheel(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the package that the README shows, built as it says."""
    (service.raw / "squares").mkdir()
    folder = tmp_path_factory.mktemp("checkout")
    for file in steps(README.read_text(encoding="utf-8")):
        if isinstance(file, File) and file.path.startswith("classic/"):
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_for_this_machine(file.text), encoding="utf-8")
    command = [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(service.wheels)]
    subprocess.run([*command, "classic"], cwd=folder, check=True)
    (built,) = service.wheels.glob("classic_handlers-*.whl")
    return built


def _for_this_machine(text: str) -> str:
    if "tensorflow-cpu" in text:
        # The version that is installed here: so uv's cache has it.
        assert f"tensorflow-cpu=={tf.__version__}" in text
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            return text.replace("tensorflow-cpu", "tensorflow")
    return text


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
