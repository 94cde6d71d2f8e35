"""Repositories: what the client is told of a stage, and of which stages."""

import hashlib
import re
from typing import Any

import pytest

from tests.world import World

ZULU = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
OPEN_TO_ALL = ["gpt-2/124M", "gpt-2/355M"]
WITH_PARTNERS = ["gpt-2/774M", "mini-gpt/base", "mini-gpt/large"]


def listed(world: World, query: str = "", token: str | None = "cleared") -> list[str]:
    return [model["id"] for model in world.ask("GET", f"/api/models{query}", token).json]


def test_a_stage_is_a_model_at_a_commit(sqlite_world: World) -> None:
    """With every file by its name; under `main`, its own id or no revision the same answer."""
    answer = sqlite_world.ask("GET", "/api/models/mini-gpt/base")
    body = answer.json
    newest = sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints/main").json
    assert body["sha"] == newest["id"]
    assert body["siblings"] == [{"rfilename": file["path"]} for file in newest["files"]]
    assert (body["id"], body["modelId"], body["author"]) == ("mini-gpt/base", "mini-gpt/base", "mini-gpt")
    assert (body["gated"], body["private"], body["disabled"]) == ("manual", False, False)
    assert body["usedStorage"] == sum(file["size_bytes"] for file in newest["files"])
    assert all(re.fullmatch(ZULU, body[key]) for key in ("createdAt", "lastModified"))
    for revision in ("main", body["sha"]):
        assert sqlite_world.ask("GET", f"/api/models/mini-gpt/base/revision/{revision}").json == body


def test_an_older_checkpoint_has_its_own_files_and_moment(sqlite_world: World) -> None:
    """By its id."""
    older = sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints").json["items"][1]["id"]
    body = sqlite_world.ask("GET", f"/api/models/mini-gpt/base/revision/{older}").json
    newest = sqlite_world.ask("GET", "/api/models/mini-gpt/base").json
    assert body["sha"] == older
    assert body["lastModified"] < newest["lastModified"]
    assert body["createdAt"] == newest["createdAt"]


@pytest.mark.parametrize("query", ["?blobs=true", "?blobs=True&securityStatus=true", "?expand=a&expand=b&blobs=true"])
def test_sizes_and_hashes_are_told_when_asked_for(sqlite_world: World, query: str) -> None:
    """Each file as LFS keeps it: `sha256` here, `oid` in the tree. What is not known is ignored, however often."""
    siblings = sqlite_world.ask("GET", f"/api/models/gpt-2/774M/revision/main{query}").json["siblings"]
    source = sqlite_world.template.sources / "gpt-2/774M"
    assert len(siblings) == len([path for path in source.rglob("*") if path.is_file()])
    for one in siblings:
        content = (source / one["rfilename"]).read_bytes()
        pointer = pointer_of(content)
        assert one == {
            "rfilename": one["rfilename"],
            "size": len(content),
            "blobId": hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest(),
            "lfs": {
                "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": len(pointer),
            },
        }  # fmt: skip


def pointer_of(content: bytes) -> bytes:
    """The text that Git keeps in place of a file, as `git lfs pointer` prints it."""
    sha256 = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()


def test_the_list_is_of_what_one_may_know(world: World) -> None:
    """Partners know every stage that was released; a stranger those that are public; nobody one that is planned."""
    assert listed(world) == OPEN_TO_ALL + WITH_PARTNERS
    assert listed(world, token="uncleared") == OPEN_TO_ALL + WITH_PARTNERS
    assert listed(world, token="admin") == OPEN_TO_ALL + WITH_PARTNERS
    assert listed(world, token=None) == OPEN_TO_ALL
    assert world.ask("GET", "/api/models", "expired").status_code == 401


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?author=mini-gpt", ["mini-gpt/base", "mini-gpt/large"]),
        ("?author=none", []),
        ("?search=77", ["gpt-2/774M"]),
        ("?search=MINI&search=base&limit=5&full=True&sort=downloads", ["mini-gpt/base"]),
        ("?author=gpt-2&search=mini", []),
    ],
)
def test_the_list_is_searched(sqlite_world: World, query: str, expected: list[str]) -> None:
    """By model and by words; other parameters change nothing."""
    assert listed(sqlite_world, query) == expected


def test_the_list_says_nothing_of_files(sqlite_world: World) -> None:
    """Who may know a name need not know what is behind it."""
    models: list[dict[str, Any]] = sqlite_world.ask("GET", "/api/models", "uncleared").json
    keys = {"id", "modelId", "author", "gated", "private", "disabled", "tags", "createdAt"}
    assert [set(model) for model in models] == [keys] * 5
    assert [model["gated"] for model in models] == [False, False, "manual", "manual", "manual"]


def test_auth_check_is_an_empty_yes(sqlite_world: World) -> None:
    """Also for staff, who may look; nothing is issued."""
    for token in ("cleared", "admin", "auditor"):
        answer = sqlite_world.ask("GET", "/api/models/gpt-2/774M/auth-check", token)
        assert (answer.status_code, answer.data) == (200, b"")
    assert sqlite_world.signed_urls == []


def test_an_alias_is_answered_under_the_name_of_today(sqlite_world: World) -> None:
    """With both warnings, at every address of a repository."""
    for path in ("", "/revision/main", "/tree/main", "/refs", "/commits/main", "/auth-check"):
        by_alias, by_name = (sqlite_world.ask("GET", f"/api/models/gpt-2/{name}{path}") for name in ("762M", "774M"))
        assert (by_alias.status_code, by_alias.data) == (200, by_name.data)
        assert by_alias.headers["Warning"] == '299 - "gpt-2/762M is now called gpt-2/774M"'
        assert by_alias.headers["X-HF-Warning"] == "renamed gpt-2/762M; gpt-2/762M is now called gpt-2/774M."
        assert not {"Warning", "X-HF-Warning"} & {name for name, _ in by_name.headers}
