"""Targets: a full disk is named as the operator named it."""

import errno
import shutil
from pathlib import Path

import pytest

from server.storage.targets import writing_to

FULL = Path("/dev/full")  # every write finds no room


def test_a_copy_that_finds_no_room_names_where_it_went(tmp_path: Path) -> None:
    """Python names the file that was read."""
    (tmp_path / "source").write_bytes(b"content")
    with pytest.raises(OSError, match="No space left") as error, writing_to(tmp_path / "target"):
        shutil.copyfile(tmp_path / "source", FULL)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path / "target"))


def test_a_write_that_finds_no_room_names_where_it_went(tmp_path: Path) -> None:
    """Python names nothing."""
    with pytest.raises(OSError, match="No space left") as error, writing_to(tmp_path), FULL.open("wb", 0) as stream:
        stream.write(b"content")
    assert error.value.filename == str(tmp_path)


def test_other_errors_name_the_file_itself(tmp_path: Path) -> None:
    """A key that may not be read is no matter of the target."""
    with pytest.raises(FileNotFoundError) as error, writing_to(tmp_path / "target"):
        (tmp_path / "gone").read_bytes()
    assert error.value.filename == str(tmp_path / "gone")
