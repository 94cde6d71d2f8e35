"""Entries: a checkpoint's paths as the files and folders of a tree."""

from hypothesis import given
from hypothesis import strategies as st

from server.domain.publish.checkpoints import File
from server.log import canonical
from server.storage.signing import StoredObject
from server.web.hub import entries

PATHS = ["a", "a-b/c", "b/c", "b/c.d/e", "b/d/e", "b/d/f"]


def file(path: str, sha256: str = "0" * 64) -> File:
    return File(path, 3, sha256, StoredObject(path), canonical.encoded({}))


def paths(folder: str, *, recursive: bool) -> list[str]:
    found = entries.tree(map(file, PATHS), folder, recursive=recursive)
    return [f"{path}/" if entry["type"] == "directory" else path for path, entry in found.items()]


def test_a_folder_shows_what_lies_right_in_it() -> None:
    """Paths begin at the root, also in a folder."""
    assert paths("", recursive=False) == ["a", "a-b/", "b/"]
    assert paths("b", recursive=False) == ["b/c", "b/c.d/", "b/d/"]
    assert paths("b/d", recursive=False) == ["b/d/e", "b/d/f"]


def test_all_depths_are_shown_in_one_order() -> None:
    """By path, so that a part of the list can go on behind the last one of the part before."""
    everything = ["a", "a-b/", "a-b/c", "b/", "b/c", "b/c.d/", "b/c.d/e", "b/d/", "b/d/e", "b/d/f"]
    assert paths("", recursive=True) == everything
    assert paths("b/d", recursive=True) == ["b/d/e", "b/d/f"]


def test_what_is_no_folder_is_empty() -> None:
    """A file, the beginning of a name, and forms that only look like a folder."""
    for name in ("a", "b/c", "b/", "/", ".", "..", "b//d", "B", "no"):
        assert paths(name, recursive=True) == []


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=2, max_size=4).map("/".join), min_size=1))
def test_walking_finds_what_the_whole_shows(found: set[str]) -> None:
    """Folder by folder or all at once, whatever the tree: the same entries, and every file once."""
    leaves = {f"{path}/f" for path in found}
    whole = entries.tree(map(file, leaves), "", recursive=True)
    waiting, walked = [""], dict[str, object]()
    while waiting:
        part = entries.tree(map(file, leaves), waiting.pop(), recursive=False)
        walked |= part
        waiting += [path for path, entry in part.items() if entry["type"] == "directory"]
    assert walked == whole
    assert {path for path, entry in whole.items() if entry["type"] == "file"} == leaves


def test_ids_are_those_that_git_would_give() -> None:
    """Known answer: the three bytes "abc" as `git lfs pointer` writes them, by `git hash-object`."""
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert entries.file_entry(file("a", sha256)) == {
        "type": "file",
        "path": "a",
        "size": 3,
        "oid": "80d7d501c2b256023dc42e46d958b9ac2ec283ee",
        "lfs": {"oid": sha256, "size": 3, "pointerSize": 126},
    }
