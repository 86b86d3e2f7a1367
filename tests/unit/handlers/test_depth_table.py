from pathlib import Path

import pytest

from dataset_handlers.depth_table import Row, read_table
from dataset_handlers.sdk import NoSourceItemsError

RELATIVE = '"near=dark, 8-bit relative"'


def table(tmp_path: Path, text: str | bytes) -> dict[str, Row] | None:
    path = tmp_path / "depth_info.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


def test_rows_by_name(tmp_path):
    text = f"source,encoding,name\nx,{RELATIVE},one\ny,RangeLinear,two words\n"
    assert table(tmp_path, text) == {
        "one": Row(2, 1, "near=dark, 8-bit relative", "", ""),
        "two words": Row(3, 1, "RangeLinear", "", ""),
    }


@pytest.mark.parametrize("start", ["", "\N{BYTE ORDER MARK}"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_as_spreadsheets_save_them(tmp_path, start, end):
    rows = table(tmp_path, f"{start}name,encoding{end}狐狸,{RELATIVE}{end}{end}")
    assert rows is not None and list(rows) == ["狐狸"]


def test_no_table(tmp_path):
    assert read_table(tmp_path / "depth_info.csv") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its first line names no column name"),
        ("one,two\n", "its first line names no column name"),
        ("name,kind\n", "its first line names no column encoding"),
        (b"name,encoding\n\xff,x\n", "it is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it is not UTF-8"),
        ("name,encoding\n" + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_what_is_no_table(tmp_path, text, why):
    with pytest.raises(NoSourceItemsError, match=f"depth_info.csv can't be read: {why}"):
        table(tmp_path, text)


def test_a_huge_table_is_not_read(tmp_path):
    path = tmp_path / "depth_info.csv"
    with path.open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(NoSourceItemsError, match="it is larger than 268435456 bytes"):
        read_table(path)


def row(encoding: str, near: str = "", far: str = "", times: int = 1) -> Row:
    return Row(7, times, encoding, near, far)


def test_rows_that_say_all():
    assert row("near=dark, 8-bit relative").problem() is None
    assert row("near=dark, 8-bit relative", "1", "2").meta() == {
        "encoding": "near=dark, 8-bit relative",
        "range": None,
    }
    assert row(" rangeInverse", "0.5", "4").meta() == {
        "encoding": "RangeInverse",
        "range": [0.5, 4],
    }


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (row("RangeLinear", times=3), "depth_info.csv has 3 rows for it, the first in line 7"),
        (row(" "), "depth_info.csv gives it no encoding in line 7"),
        (
            row("inches"),
            "depth_info.csv says that its encoding is 'inches'; known are: 16-bit, mm, 0=invalid; "
            "near=bright, 8-bit relative disparity; near=dark, 8-bit relative; RangeLinear; "
            "RangeInverse",
        ),
        (
            row("RangeInverse"),
            "depth_info.csv gives it near '' and far '': RangeInverse needs two numbers, "
            "0 < near < far",
        ),
    ],
)
def test_rows_of_which_nothing_can_be_made(said, problem):
    assert said.problem() == problem


@pytest.mark.parametrize(
    ("near", "far"),
    [("0", "1"), ("2", "1"), ("1", "1"), ("nan", "1"), ("1", "inf"), ("-1", "1"), ("a", "2"),
     ("1e-300", "1e300")],
)  # fmt: skip
def test_ranges_that_are_none(near, far):
    assert "needs two numbers" in str(row("RangeInverse", near, far).problem())


def test_what_a_stranger_wrote_is_shown_in_short():
    problem = row("\n\x1b[31m" + "x" * 10_000).problem()
    assert problem is not None and len(problem) < 400
    assert problem.isprintable()


def test_a_name_a_million_times(tmp_path):
    rows = table(tmp_path, "name,encoding\n" + "one,RangeLinear\n" * 300_000)
    assert rows is not None and rows["one"].times == 300_000


def test_lines_that_lack_fields_or_have_too_many(tmp_path):
    rows = table(tmp_path, "name,encoding\none\ntwo,RangeLinear,more,and more\n")
    assert rows is not None
    assert rows["one"].problem() == "depth_info.csv gives it no encoding in line 2"
    assert rows["two"].problem() is None
