"""What documents say of the options of handlers of images is so, defaults above all."""

import json
import re
from importlib.metadata import entry_points
from pathlib import Path

from dataset_handlers.image_options import ImageOptions
from dataset_handlers.sdk.options import BaseOptions

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "operations.md"


def defaults(option: str) -> dict[str, object]:
    """Of each handler that ships with Datamill."""
    found = entry_points(group="datamill.handlers")
    handlers = [each.load() for each in found if each.value.startswith("dataset_handlers.")]
    assert len(handlers) == 9
    return {handler.name: handler.Options().model_dump(mode="json")[option] for handler in handlers}


def row(document: Path, option: str) -> str:
    (found,) = re.findall(
        rf"^\|(?:[^|]*\|)? `{option}`[^|]*\|.*$", document.read_text(), re.MULTILINE
    )
    return found


def test_every_option_is_in_the_table_with_its_default():
    rows = re.findall(r"^\|[^|]*\| `(\w+)`(?: \(([^|]+)\))? \|", DOCUMENT.read_text(), re.MULTILINE)
    told = {name: json.loads(default) if default else None for name, default in rows}
    expected = {
        name: default
        for name, default in ImageOptions().model_dump(mode="json").items()
        if name not in BaseOptions.model_fields
    }
    assert told == expected
    assert len(rows) == len(expected), "each once"


def test_handlers_that_resize_otherwise_are_named():
    told = row(DOCUMENT, "resize_mode").rpartition("the default of ")[2]
    fit, fill = re.fullmatch(r'(.*) is "fit", that of (.*) "fill" \|.*', told).groups()
    expected = dict.fromkeys(re.findall(r"`(\w+)`", fit), "fit")
    expected |= dict.fromkeys(re.findall(r"`(\w+)`", fill), "fill")
    own = {name: mode for name, mode in defaults("resize_mode").items() if mode != "stretch"}
    assert own == expected


def test_the_readme_has_the_size_of_each_handler():
    told = row(ROOT / "README.md", "image_size").split("|")[-2]
    sizes = {
        name: json.loads(size)
        for names, size in re.findall(r"([\w ]+) `(\[.+?\])`", told)
        for name in names.replace(" and ", " ").split()
    }
    assert sizes == defaults("image_size")
