"""Folders that are to be published, made of names and contents; and what they are refused with."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from server.domain.publish import formats
from server.domain.publish.faults import NotPublishable


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def refusals(folder: Path) -> list[str]:
    """Scan, and return the lines it is refused with."""
    with pytest.raises(NotPublishable) as caught:
        formats.scan(folder)
    lines = str(caught.value).splitlines()
    assert [str(fault) for fault in caught.value.faults] == lines
    for line in lines:
        assert line.isprintable()
        assert "; " in line  # what is wrong; what to do
    return lines
