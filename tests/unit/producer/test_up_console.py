from __future__ import annotations

import io
import re

from datamill_producer.up.console import Console, ConsoleStream, has_colours


def shown(part: str, line: str, *, coloured: bool = False, as_json: bool = False) -> str:
    stream = io.StringIO()
    Console(stream, coloured=coloured, as_json=as_json).show(part, line)
    return stream.getvalue()


def test_log_lines_stay_as_they_are() -> None:
    assert shown("builder", "12:01:02 builder   hello") == "12:01:02 builder   hello\n"


def test_other_lines_are_dressed() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d builder     File \"x\"\n", shown("builder", '  File "x"'))
    assert re.fullmatch(r"\d\d:\d\d:\d\d notifier  oh\n", shown("notifier", "oh"))


def test_each_part_has_its_colour() -> None:
    colours = {
        part: shown(part, f"12:01:02 {part} x", coloured=True).split("m")[0]
        for part in ("up", "broker", "builder", "notifier")
    }
    assert len(set(colours.values())) == 4
    assert shown("up", "12:01:02 up  x", coloured=True) == "12:01:02 \x1b[1mup\x1b[0m  x\n"


def test_json_is_passed_through() -> None:
    assert shown("up", '{"a": 1}', coloured=True, as_json=True) == '{"a": 1}\n'


def test_records_of_several_lines() -> None:
    stream = io.StringIO()
    written = ConsoleStream(Console(stream, coloured=False), "up").write("12:01:02 up x\nmore\n")
    assert written == 19
    assert stream.getvalue().count("\n") == 2


def test_a_closed_terminal_is_no_error() -> None:
    stream = io.StringIO()
    console = Console(stream, coloured=False)
    stream.close()
    console.show("up", "unseen")
    console.show("up", "unseen either")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals() -> None:
    assert has_colours(_Terminal(), None)
    assert has_colours(_Terminal(), "")
    assert not has_colours(_Terminal(), "1")
    assert not has_colours(io.StringIO(), None)
