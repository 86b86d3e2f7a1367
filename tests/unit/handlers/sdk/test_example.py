import os
import subprocess
import sys
from pathlib import Path

from dataset_handlers.sdk.example import decode_example, encode_example

FEATURES = {
    "image": ("bytes_list", [b"\xff\xd8"]),
    "label": ("int64_list", [-3]),
    "one_hot": ("float_list", [0, 1.5]),
    "none": ("int64_list", []),
}

# SerializeToString(deterministic=True) of the same tf.train.Example in TensorFlow 2.21.
BY_TENSORFLOW = bytes.fromhex(
    "0a4f0a0f0a05696d61676512060a040a02ffd80a170a056c6162656c120e1a0c0a0afdffffffffffffffff01"
    "0a0a0a046e6f6e6512021a000a170a076f6e655f686f74120c120a0a08000000000000c03f"
)


def test_the_bytes_are_those_of_tensorflow():
    assert encode_example(FEATURES) == BY_TENSORFLOW


def test_the_order_of_features_does_not_matter():
    assert encode_example(dict(reversed(FEATURES.items()))) == BY_TENSORFLOW


def test_reading_back():
    expected = {"image": [b"\xff\xd8"], "label": [-3], "none": [], "one_hot": [0.0, 1.5]}
    assert decode_example(BY_TENSORFLOW) == expected


def test_another_hash_seed_gives_the_same_bytes():
    program = (
        "from tests.unit.handlers.sdk.test_example import FEATURES, encode_example\n"
        "print(encode_example({name: FEATURES[name] for name in set(FEATURES)}).hex())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[4],
        check=True,
        capture_output=True,
        text=True,
    )
    assert bytes.fromhex(result.stdout) == BY_TENSORFLOW
