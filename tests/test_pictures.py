"""The pictures of CONTRIBUTING.md show the code as it is."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
assert SPEC is not None
assert SPEC.loader is not None
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)


@pytest.mark.parametrize("name", sorted(pictures.PICTURES))
def test_a_picture_is_what_its_text_gives(name: str) -> None:
    """A room that moved or a sentence that changed is drawn anew: run `python docs/pictures.py`."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pictures.PICTURES[name]()


def test_the_request_goes_through_files_that_exist() -> None:
    """A step that names a file which was renamed misleads whoever follows it."""
    lines = (ROOT / "docs" / "request.txt").read_text(encoding="utf-8").splitlines()
    named = [line.split("|")[1].strip() for line in lines if not line.startswith(("#", "----"))]
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).is_file()] == []
