import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.sdk.example import (
    _message_class,
    decode_example,
    encode_example,
    example_parts,
)

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


@given(values=st.lists(st.floats(width=32), max_size=300))
def test_an_array_of_numbers_gives_the_bytes_of_their_list(values):
    by_list = encode_example({"numbers": ("float_list", values)})
    array = np.array(values, np.float32)
    assert encode_example({"numbers": ("float_list", array)}) == by_list


def test_an_array_of_numbers_is_not_copied():
    array = np.arange(1000, dtype=np.float32)
    parts = example_parts({"numbers": ("float_list", array), "more": ("int64_list", [1])})
    views = [np.asarray(part) for part in parts if isinstance(part, memoryview)]
    assert [np.shares_memory(view, array) for view in views] == [True]
    assert b"".join(parts) == encode_example(
        {"numbers": ("float_list", array.tolist()), "more": ("int64_list", [1])}
    )


def test_the_order_of_features_does_not_matter():
    assert encode_example(dict(reversed(FEATURES.items()))) == BY_TENSORFLOW


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=130)
LISTS = st.one_of(
    st.tuples(st.just("bytes_list"), st.lists(st.binary(max_size=200), max_size=3)),
    st.tuples(st.just("int64_list"), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=200)),
    st.tuples(st.just("float_list"), st.lists(st.floats(width=32), max_size=200)),
)


@settings(max_examples=300, deadline=None)
@given(features=st.dictionaries(NAMES, LISTS, max_size=4))
def test_the_bytes_are_those_of_protobuf(features):
    example = _message_class("Example")()
    for name, (kind, values) in features.items():
        values_list = getattr(example.features.feature[name], kind)
        values_list.SetInParent()
        values_list.value.extend(values)
    example.features.SetInParent()
    assert encode_example(features) == example.SerializeToString(deterministic=True)


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
