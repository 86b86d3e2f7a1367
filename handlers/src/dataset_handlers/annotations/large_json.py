"""The arrays of a large JSON file, element by element.

For files like COCO's annotations: one JSON object (RFC 8259) whose members are arrays of up to
millions of small elements. `json.load` would hold every number of it as an object, many times the
size of the file; here one piece of the file is in memory at a time. Of each element it is told
where it stands, so that whoever needs it later reads these bytes alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

_PIECE_BYTES = 2**22
_LARGEST_ELEMENT_BYTES = 2**28
"""What can't be decoded might be cut off where the piece ends: so much is waited for its end."""
_BOM = b"\xef\xbb\xbf"
_FOLLOWS = frozenset(",:]} \t\n\r")
_SPACE = re.compile(r"[ \t\n\r]*")

_decode = json.JSONDecoder().raw_decode


class BrokenJsonError(ValueError):
    """The file is not what it should be; the message says where."""


class Element(NamedTuple):
    """An element of the array `array`, and which bytes of the file it is."""

    array: str
    value: Any
    start: int
    length: int


def elements(file: BinaryIO) -> Iterator[Element]:
    """Yield the elements of every array that is a member of the file's object.

    Members that are no arrays are passed over. Raises `BrokenJsonError`.
    """
    text = _Text(file)
    if text.next() != "{":
        raise BrokenJsonError("it is no JSON object")
    text.take("{")
    while text.next() != "}":
        name = text.value().value
        if not isinstance(name, str):
            raise text.broken("a name is expected")
        text.next()
        text.take(":")
        if text.next() == "[":
            yield from _of_array(text, name)
        else:
            text.value()
        if text.next() != "}":
            text.take(",")
    text.take("}")
    if text.next():
        raise text.broken("more follows after its end")


def _of_array(text: _Text, name: str) -> Iterator[Element]:
    text.take("[")
    while text.next() != "]":
        yield text.value()._replace(array=name)
        if text.next() != "]":
            text.take(",")
            if text.next() == "]":
                raise text.broken("an element is expected")
    text.take("]")


class _Text:
    """A piece of the file as text, a character per byte: JSON's own signs are all ASCII.

    `text[at]` is what comes next, `before` how many bytes of the file come before `text[0]`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        head = file.read(len(_BOM))
        self._before = len(_BOM) if head == _BOM else 0
        self._text = "" if head == _BOM else head.decode("latin-1")
        self._at = 0

    def next(self) -> str:
        """Return the next character that is no space, or nothing at the end of the file."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found, "it matches nothing at all, too"
            self._at = found.end()
            if self._at < len(self._text) or not self._read_more():
                return self._text[self._at : self._at + 1]

    def take(self, character: str) -> None:
        """Pass over a character that has to be there."""
        if self._text[self._at : self._at + 1] != character:
            raise self.broken(f"{character} is expected")
        self._at += 1

    def value(self) -> Element:
        """Return the value that comes next, as an element of no array, and pass over it."""
        value, end = self._decoded()
        start, length = self._before + self._at, end - self._at
        if not self._text.isascii():  # which is known without a look at each character
            part = self._text[self._at : end]
            value = value if part.isascii() else self._in_utf8(part)
        self._at = end
        return Element("", value, start, length)

    def broken(self, message: str, at: int | None = None) -> BrokenJsonError:
        """Return the error of this place."""
        place = self._before + (self._at if at is None else at)
        ended = (self._at if at is None else at) >= len(self._text)
        return BrokenJsonError(
            f"the JSON is cut off at byte {place}" if ended else f"at byte {place}: {message}"
        )

    def _decoded(self) -> tuple[Any, int]:
        while True:
            problem: tuple[str, int] | None = None
            value, end = None, 0
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                problem = error.msg, error.pos
            except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
                raise self.broken(str(error)) from error
            # Of a number that is cut where the piece ends, the beginning is a number, too.
            if not problem and self._text[end : end + 1] in _FOLLOWS:
                return value, end
            waiting = len(self._text) - self._at
            if waiting > _LARGEST_ELEMENT_BYTES or not self._read_more():
                if problem:
                    raise self.broken(*problem)
                return value, end

    def _in_utf8(self, text: str) -> Any:
        try:
            return json.loads(text.encode("latin-1").decode())
        except UnicodeDecodeError as error:
            raise self.broken("it is not UTF-8") from error

    def _read_more(self) -> bool:
        """Read on, as much as there is already: so nothing is decoded more than twice or so."""
        rest = self._text[self._at :]
        more = self._file.read(max(_PIECE_BYTES, len(rest)))
        if not more:
            return False
        self._before += self._at
        self._text, self._at = rest + more.decode("latin-1"), 0
        return True
