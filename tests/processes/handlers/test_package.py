"""What the installed package says of itself."""

import importlib.metadata
import subprocess
import sys

import dataset_handlers
from dataset_handlers.sdk import DatasetHandler
from tests.flow.handlers.shipped import SHIPPED


def test_entry_points_are_handlers():
    points = importlib.metadata.entry_points(group="datamill.handlers")
    ours = {point.name: point.load() for point in points if point.dist.name == "dataset-handlers"}
    assert sorted(ours) == sorted(SHIPPED)
    for name, handler in ours.items():
        assert issubclass(handler, DatasetHandler)
        assert handler.name == name
        assert handler.version == importlib.metadata.version("dataset-handlers")
        assert handler.config_options() == handler({}, "nowhere").resolved_config()


def test_the_version_is_that_of_the_package():
    assert dataset_handlers.__version__ == importlib.metadata.version("dataset-handlers")


def test_tensorflow_is_never_imported():
    program = (
        "import sys, dataset_handlers.duts, dataset_handlers.classification\n"
        "import dataset_handlers.matting, dataset_handlers.portrait_depth\n"
        "print(*(name for name in ('tensorflow', 'datamill') if name in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == ""
