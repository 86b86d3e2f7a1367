"""Annotations as PASCAL VOC and ImageNet have them: an XML file per picture.

```xml
<annotation>
  <size><width>500</width><height>375</height></size>
  <object>
    <name>n02084071</name>
    <bndbox><xmin>10</xmin><ymin>20</ymin><xmax>200</xmax><ymax>300</ymax></bndbox>
  </object>
</annotation>
```

Nothing else of it is looked at, nor the boxes of an object's parts. Source: M. Everingham et al.,
"The PASCAL Visual Object Classes Challenge", IJCV 2010; ILSVRC 2014, development kit.

Such files come from strangers. None that declares an entity is read, so that no few lines can stand
for gigabytes, and nothing is ever fetched.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.parsers import expat

from dataset_handlers.operations.arrays import Size
from dataset_handlers.sdk.errors import BadItemError

MAX_ANNOTATION_BYTES = 4 * 1024 * 1024
"""Larger files are not read: ImageNet's largest has some tens of kB."""

Sides = tuple[float, float, float, float]
"""Top, left, bottom, right, in pixels."""

_ENCODING = "the encoding that it says it has is not read"
_ENCODING_ERRORS = {
    expat.errors.codes[text]
    for text in (expat.errors.XML_ERROR_UNKNOWN_ENCODING, expat.errors.XML_ERROR_INCORRECT_ENCODING)
}
_MAX_DEPTH = 32
_SHOWN_CHARACTERS = 40
_LONGEST_NAME = 200
_NUMBER = re.compile(r"[+-]?[0-9]{1,7}(\.[0-9]{1,9})?")
_ROOT = ["annotation"]
_SIZE = [*_ROOT, "size"]
_OBJECT = [*_ROOT, "object"]
_BOX = [*_OBJECT, "bndbox"]
_SIDES = ("ymin", "xmin", "ymax", "xmax")


class MarkedObject(NamedTuple):
    """An object in a picture. `box` may reach outside of it, or have no area."""

    name: str
    box: Sides


class Annotation(NamedTuple):
    """What is marked in a picture. `size`: None where the file does not tell it."""

    size: Size | None
    objects: list[MarkedObject]


def parse_annotation(data: bytes) -> Annotation:
    """Return what an XML file says. Raises `BadItemError` where something in it is wrong."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        if error.code in _ENCODING_ERRORS:
            raise BadItemError(_ENCODING) from error
        # Not in expat's words: they differ between its versions, and go into manifests.
        raise BadItemError(f"it is no XML that can be read, from line {error.lineno} on") from error
    except (ValueError, LookupError) as error:
        raise BadItemError(_ENCODING) from error
    if not reader.is_annotation:
        raise BadItemError("it holds no <annotation>")
    objects = [_object(number, told) for number, told in enumerate(reader.objects, start=1)]
    return Annotation(_size(reader.size), objects)


def _refuse_entity(name: str, *_: object) -> None:
    raise BadItemError(f"it declares an entity, {_shown(name)}, which no annotation needs")


class _Reader:
    """Collects the texts of the elements that count."""

    def __init__(self) -> None:
        self.is_annotation = False
        self.size: dict[str, str] = {}
        self.objects: list[dict[str, str]] = []
        self._path: list[str] = []
        self._text = ""

    def start(self, name: str, _: object) -> None:
        self._path.append(name)
        self._text = ""
        if len(self._path) > _MAX_DEPTH:
            raise BadItemError(f"its elements are nested deeper than {_MAX_DEPTH}")
        if self._path == _OBJECT:
            self.objects.append({})
        elif self._path == _ROOT:
            self.is_annotation = True

    def text(self, text: str) -> None:
        self._text += text

    def end(self, name: str) -> None:
        self._path.pop()
        if self._path == _BOX or (self._path == _OBJECT and name == "name"):
            self.objects[-1].setdefault(name, self._text.strip())
        elif self._path == _SIZE:
            self.size.setdefault(name, self._text.strip())
        self._text = ""


def _size(told: dict[str, str]) -> Size | None:
    height, width = (_number(f"its {side}", told.get(side) or "0") for side in ("height", "width"))
    if not height or not width:  # some tools write 0 where they don't know
        return None
    if height != int(height) or width != int(width) or min(height, width) < 0:
        raise BadItemError(f"it is of a picture of [{height:g}, {width:g}], which is no size")
    return int(height), int(width)


def _object(number: int, told: dict[str, str]) -> MarkedObject:
    name = " ".join(told.get("name", "").split())
    if not name:
        raise BadItemError(f"object {number} has no name")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadItemError(f"object {number} has a name that is none: {_shown(name)}")
    which = f"object {number} ({_shown(name)})"
    sides = []
    for side in _SIDES:
        if side not in told:
            raise BadItemError(f"{which} has no {side}")
        sides.append(_number(f"{side} of {which}", told[side]))
    top, left, bottom, right = sides
    if left > right:
        raise BadItemError(f"{which} has xmin {left:g}, which is more than its xmax {right:g}")
    if top > bottom:
        raise BadItemError(f"{which} has ymin {top:g}, which is more than its ymax {bottom:g}")
    return MarkedObject(name, (top, left, bottom, right))


def _number(what: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise BadItemError(f"{what} is {_shown(text)!r}, no number of pixels")
    return float(text)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
