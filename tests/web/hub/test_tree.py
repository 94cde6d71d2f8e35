"""The tree of a checkpoint over HTTP: whole, by folder, in parts, and by path."""

from pathlib import Path
from typing import Any

import pytest

from tests.web.hub.links import next_of
from tests.world import World

FILES = ["README.md", "a/config.json", "a/b/notes.txt", "a/b/more_1.txt", "vocab/tokens.txt"]
ALL = ["README.md", "a", "a/b", "a/b/more_1.txt", "a/b/notes.txt", "a/config.json", "vocab", "vocab/tokens.txt"]
TREE = "/api/models/mini-gpt/base/tree/main"


@pytest.fixture
def folders(world: World, tmp_path: Path) -> World:
    """A checkpoint with files in folders is `main` of mini-gpt/base."""
    for name in FILES:
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"a": 1}\n' if name.endswith(".json") else name, encoding="utf-8")
    world.publish(tmp_path / "model", "mini-gpt/base")
    return world


def paths(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["path"] for entry in answer.json]


def walk(world: World, address: str) -> tuple[list[str], int]:
    """Follow `Link` as the client does; return every path, and how many requests it took."""
    found, asked = [], 0
    while address:
        answer = world.ask("GET", address)
        found += paths(answer)
        asked += 1
        address = next_of(answer)
    return found, asked


def test_a_folder_is_listed_from_the_root_s_view(folders: World) -> None:
    """Its children alone, or all below it; booleans in either spelling."""
    assert paths(folders.ask("GET", TREE)) == ["README.md", "a", "vocab"]
    assert paths(folders.ask("GET", f"{TREE}/a")) == ["a/b", "a/config.json"]
    assert paths(folders.ask("GET", f"{TREE}/a?recursive=false&expand=True")) == ["a/b", "a/config.json"]
    for query in ("?recursive=true", "?recursive=True&expand=true"):
        assert paths(folders.ask("GET", TREE + query)) == ALL
    assert paths(folders.ask("GET", f"{TREE}/a/b?recursive=true")) == ["a/b/more_1.txt", "a/b/notes.txt"]


def test_a_folder_that_is_not_there_is_not_found(folders: World) -> None:
    """As a tokenizer expects that looks for more templates."""
    sha = folders.ask("GET", "/api/models/mini-gpt/base").json["sha"]
    for folder in ("none", "README.md", "a/b/none", "a//b", "..", "a/b/notes.txt/x", "A"):
        answer = folders.ask("GET", f"{TREE}/{folder}")
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert answer.headers["X-Repo-Commit"] == sha


def test_a_tree_in_parts_is_the_whole_tree(folders: World) -> None:
    """Whatever the size of a part: each entry once, in one order, and no part too many."""
    for limit in (1, 2, 3, 7, 8, 9, 1000):
        found, asked = walk(folders, f"{TREE}?recursive=true&expand=false&limit={limit}")
        assert (found, asked) == (ALL, -(-len(ALL) // limit))


def test_a_limit_that_is_none_leaves_the_list_whole(sqlite_world: World) -> None:
    """This door ignores what it does not understand; of zero, one remains."""
    whole = paths(sqlite_world.ask("GET", TREE))
    for query in ("?limit=0", "?limit=-1", "?limit=x", "?limit=99999999", "?limit=&cursor=", "?limit=²"):
        assert walk(sqlite_world, TREE + query)[0] == whole


def test_a_cursor_from_anywhere_shows_nothing_else(sqlite_world: World) -> None:
    """It is a place in this list, and gives nothing that the list does not have."""
    everything = paths(sqlite_world.ask("GET", TREE))
    for cursor in ("", "\0", "zzz", "config.json", "../../gpt-2", "9" * 400):
        found = paths(sqlite_world.client.get(TREE, query_string={"cursor": cursor}, headers=bearer(sqlite_world)))
        assert found == [path for path in everything if path > cursor]


def bearer(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.example.tokens['cleared']}"}


def test_paths_are_told_of_one_by_one(folders: World) -> None:
    """Files and folders as in the tree; what is not there is left out, and what is asked for twice comes once."""
    asked = ["a/b/more_1.txt", "a", "none", "", "a/b/more_1.txt", "../x"]
    answer = folders.ask("POST", "/api/models/mini-gpt/base/paths-info/main", data={"paths": asked, "expand": "False"})
    assert paths(answer) == ["a/b/more_1.txt", "a"]
    whole = {entry["path"]: entry for entry in folders.ask("GET", f"{TREE}?recursive=true").json}
    assert answer.json == [whole["a/b/more_1.txt"], whole["a"]]


@pytest.mark.parametrize("body", [b"", b"paths", b"\xff=%zz&paths=%ff", b"{}"])
def test_a_form_that_is_none_asks_for_nothing(sqlite_world: World, body: bytes) -> None:
    """However it is broken, and whatever it says that it is."""
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data", "a"):
        answer = sqlite_world.ask(
            "POST", "/api/models/gpt-2/774M/paths-info/main", data=body, headers={"Content-Type": kind}
        )
        assert (answer.status_code, answer.json) == (200, [])
