"""docs/operations.md names every option that handlers of images share, with its default."""

import json
import re
from pathlib import Path

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.sdk.options import BaseOptions

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


def test_every_option_is_in_the_table_with_its_default():
    rows = re.findall(r"^\|[^|]*\| `(\w+)`(?: \(([^|]+)\))? \|", DOCUMENT.read_text(), re.MULTILINE)
    defaults = {name: json.loads(default) if default else None for name, default in rows}
    expected = {
        name: default
        for name, default in ImageOptions().model_dump(mode="json").items()
        if name not in BaseOptions.model_fields
    }
    assert defaults == expected
    assert len(rows) == len(expected), "each once"
