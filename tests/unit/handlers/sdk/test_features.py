import numpy as np
import pytest

from dataset_handlers.sdk.features import (
    Box,
    ClassLabel,
    Image,
    Scalar,
    Sequence,
    Tensor,
    Text,
    features_json,
    label_names,
)


def test_json_is_that_of_tensorflow_datasets():
    # As FeaturesDict.save_config of tensorflow-datasets 4.9.10 writes them.
    module = "tensorflow_datasets.core.features"
    features = {
        "mask": Image(None, None, 1, "png"),
        "label": ClassLabel(("a", "b")),
        "boxes": Tensor((None, 4), "float32"),
        "count": Scalar(),
        "text": Text(),
    }
    assert features_json(features) == {
        "pythonClassName": f"{module}.features_dict.FeaturesDict",
        "featuresDict": {
            "features": {
                "mask": {
                    "pythonClassName": f"{module}.image_feature.Image",
                    "image": {
                        "dtype": "uint8",
                        "encodingFormat": "png",
                        "shape": {"dimensions": ["-1", "-1", "1"]},
                    },
                },
                "label": {
                    "pythonClassName": f"{module}.class_label_feature.ClassLabel",
                    "classLabel": {"numClasses": "2"},
                },
                "boxes": {
                    "pythonClassName": f"{module}.tensor_feature.Tensor",
                    "tensor": {
                        "dtype": "float32",
                        "encoding": "none",
                        "shape": {"dimensions": ["-1", "4"]},
                    },
                },
                "count": {
                    "pythonClassName": f"{module}.scalar.Scalar",
                    "tensor": {"dtype": "int64", "encoding": "none", "shape": {}},
                },
                "text": {"pythonClassName": f"{module}.text_feature.Text", "text": {}},
            }
        },
    }
    assert label_names(features) == {"label": ["a", "b"]}


def test_sequences_are_those_of_tensorflow_datasets():
    module = "tensorflow_datasets.core.features"
    box = {
        "pythonClassName": f"{module}.bounding_boxes.BBoxFeature",
        "boundingBox": {
            "dtype": "float32",
            "shape": {"dimensions": ["4"]},
            "bboxFormat": "REL_YXYX",
        },
    }
    assert Box().to_json() == box
    assert Sequence(Box()).to_json() == {
        "pythonClassName": f"{module}.sequence_feature.Sequence",
        "sequence": {"feature": box, "length": "-1"},
    }
    assert label_names({"classes": Sequence(ClassLabel(("a", "b")))}) == {"classes": ["a", "b"]}


def test_a_sequence_holds_as_many_as_there_are():
    assert Sequence(Box()).encode([]) == []
    assert Sequence(Box()).encode([[0, 0, 0.5, 1], (0.25, 0, 0.25, 1)]) == [
        *(0, 0, 0.5, 1),
        *(0.25, 0, 0.25, 1),
    ]
    assert Sequence(ClassLabel(("a", "b"))).encode([1, 0, 1]) == [1, 0, 1]
    assert Sequence(Image(4, 4, 1, "png")).encode([b"one", b"two"]) == [b"one", b"two"]
    with pytest.raises(ValueError, match="from 0 to 1"):
        Sequence(ClassLabel(("a", "b"))).encode([2])


@pytest.mark.parametrize("box", [[0.5, 0, 0.4, 1], [0, 0, 1, 1.01], [-0.1, 0, 1, 1], [0, 0, 1]])
def test_what_is_no_box(box):
    with pytest.raises(ValueError, match=r"box|unpack"):
        Box().encode(box)


def test_jpeg_has_no_16_bits():
    with pytest.raises(ValueError, match="jpeg has no 16 bits"):
        Image(None, None, 1, "jpeg", "uint16")


@pytest.mark.parametrize(
    ("feature", "value", "kind", "values"),
    [
        (Image(1, 1, 3, "jpeg"), b"\xff", "bytes_list", [b"\xff"]),
        (ClassLabel(("a", "b")), np.int64(1), "int64_list", [1]),
        (Text(), "ä", "bytes_list", ["ä".encode()]),
        (Scalar(), 7, "int64_list", [7]),
        (Scalar(dtype="float32"), 7, "float_list", [np.float32(7)]),
        (Tensor((2,), "bool"), [True, False], "int64_list", [1, 0]),
        (Tensor((2, 2), "uint8"), [[0, 1], [2, 255]], "int64_list", [0, 1, 2, 255]),
        (Tensor((None, 2), "float32"), np.zeros((3, 2)), "float_list", [np.float32(0)] * 6),
        (Tensor((None, 2), "int64"), np.zeros((0, 2)), "int64_list", []),
    ],
)
def test_values_for_the_example(feature, value, kind, values):
    assert feature.kind == kind
    encoded = list(feature.encode(value))
    assert encoded == values
    # protobuf is strict about them.
    assert [type(one) for one in encoded] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("feature", "value", "message"),
    [
        (Image(1, 1, 3, "jpeg"), np.zeros((1, 1, 3)), "bytes of a jpeg"),
        (ClassLabel(("a", "b")), 2, "from 0 to 1"),
        (ClassLabel(("a", "b")), "a", "from 0 to 1"),
        (Text(), 3, "text"),
        (Scalar(), 1.5, "int64"),
        (Tensor((3,), "float32"), [1, 2], r"shape \(3,\)"),
        (Tensor((None, 4), "float32"), [1, 2, 3, 4], "shape"),
        (Tensor((1,), "uint8"), [256], "range of uint8"),
        (Tensor((1,), "uint8"), [-1], "range of uint8"),
        (Tensor((1,), "bool"), [1], "bool"),
    ],
)
def test_values_that_do_not_fit(feature, value, message):
    with pytest.raises(ValueError, match=message):
        feature.encode(value)


def test_only_the_first_dimension_may_be_unknown():
    with pytest.raises(ValueError, match="only the first dimension"):
        Tensor((4, None), "float32")
