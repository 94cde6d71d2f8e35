"""The folder that is published: which files it has, their hashes, and that they stay what was hashed."""

import hashlib
import os
from pathlib import Path

import pytest

from weightgate.upload import source
from weightgate.upload.source import PART_BYTES, SourceFile
from weightgate.verdicts import Failed, WrongUse


def put(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def the_file(folder: Path) -> SourceFile:
    (file,), _ = source.walk(folder)
    file.hash(lambda _: None)
    return file


def test_files_are_listed_with_their_paths(tmp_path: Path) -> None:
    """Sorted, folders below included; what a clone, a hub or a Mac leaves behind is left out and told."""
    put(tmp_path, b_json=b"{}", encoder__a_json=b"{}")
    (tmp_path / ".gitattributes").write_text("x")
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "lock").write_text("x")
    files, left_out = source.walk(tmp_path)
    assert [file.path for file in files] == ["b.json", "encoder/a.json"]
    assert left_out == [".cache", ".gitattributes"]


def test_a_file_is_hashed_whole_and_part_by_part(tmp_path: Path) -> None:
    """In one reading; the last part may be shorter; and again where the server wants other parts."""
    content = bytes(PART_BYTES) + b"more"
    file = the_file(put(tmp_path, a_json=content))
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert file.part_sha256s == [hashlib.sha256(part).hexdigest() for part in (content[:PART_BYTES], b"more")]
    assert file.read(2) == b"more"
    file.hash_in_parts_of(2 * PART_BYTES)
    assert file.part_sha256s == [file.sha256]


@pytest.mark.parametrize("change", [b"x" * 9, b"x" * 10, b"x" * 11])
def test_a_file_that_changed_is_not_read(tmp_path: Path, change: bytes) -> None:
    """Shorter, longer, or only at another time."""
    file = the_file(put(tmp_path, a_json=b"0123456789"))
    (tmp_path / "a.json").write_bytes(change)
    os.utime(tmp_path / "a.json", ns=(0, file.stamp[0] + 1))
    with pytest.raises(Failed, match=r"a\.json has changed"):
        file.read(1)


def test_bytes_that_changed_under_the_same_time_are_told_from_damage(tmp_path: Path) -> None:
    """When a store says that a part arrived damaged, it is hashed once more."""
    file = the_file(put(tmp_path, a_json=b"0123456789"))
    file.require_same(1, b"0123456789")
    with pytest.raises(Failed, match="has changed"):
        file.require_same(1, b"0123456780")


def test_a_folder_that_cannot_be_published_is_wrong_use(tmp_path: Path) -> None:
    """None there, nothing in it, a link, or too many files."""
    with pytest.raises(WrongUse, match="Cannot read"):
        source.walk(tmp_path / "none")
    with pytest.raises(WrongUse, match="no files"):
        source.walk(tmp_path)
    (tmp_path / "a.json").symlink_to("/etc/hostname")
    with pytest.raises(WrongUse, match="symbolic link"):
        source.walk(tmp_path)
    (tmp_path / "a.json").unlink()
    put(tmp_path, **{f"{number}_json": b"{}" for number in range(1001)})
    with pytest.raises(WrongUse, match="more than 1000"):
        source.walk(tmp_path)
