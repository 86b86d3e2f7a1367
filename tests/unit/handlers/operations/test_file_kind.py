import io
import zipfile

import pytest

from dataset_handlers.operations.file_kind import describe_other_file

NONE = "none of the formats that are read: JPEG, PNG, GIF, BMP, TIFF, WebP"


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("a.jpg", "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
            "a Git LFS pointer, not the file that it stands for",
        ),
        (b"<!DOCTYPE html><title>404</title>", "a page of HTML or XML, not an image"),
        (b"\r\n\t <html>", "a page of HTML or XML, not an image"),
        (b"%PDF-1.7", "a PDF document, not an image"),
        (archive(), "a zip archive, not an image"),
        (b"\xff\xd8\xff", "a JPEG cut off in its header"),
        (b"\x89PNG\r\n", "a PNG cut off in its header"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC, AVIF or a video, none of which is read"),
        (b"\0\0\0\x1cftypavif", "HEIC, AVIF or a video, none of which is read"),
        (b"\0" * 4096, NONE),
        (b" " * 4096 + b"<html>", NONE),  # no further than its beginning
        (b"ftyp", NONE),
        (b"PK", NONE),
    ],
)
def test_what_it_is_in_a_few_words(data, words):
    assert describe_other_file(data) == words
