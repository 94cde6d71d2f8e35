"""What lies in a file's place when fetching it went wrong is named for what it is, whatever it is called."""

from pathlib import Path

import pytest

from tests.domain.publish.folders import put, refusals

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 548105171\n"
STAND_INS = {
    "is a Git LFS pointer; run git lfs pull": POINTER,
    "is an XML page; ": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>',
    "is an HTML page; ": b"\xef\xbb\xbf\n<!doctype html>\n<title>Sign in</title>",
    "is a zip archive; ": b"PK\x03\x04\x14\0",
    "is empty; ": b"",
}


@pytest.mark.parametrize("says", STAND_INS)
@pytest.mark.parametrize(
    "name", ["vocab.txt", "model.safetensors", "config.json", "model.gguf", "tokenizer.model", "a.png", "README.md"]
)
def test_it_is_named_whatever_the_file_is_called(tmp_path: Path, says: str, name: str) -> None:
    """Not a header's nonsense length, and not published as text."""
    (line,) = refusals(put(tmp_path, {name: STAND_INS[says]}))
    assert line.startswith(f"{name}: {says}")
