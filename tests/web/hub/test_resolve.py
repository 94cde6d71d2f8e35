"""Resolving one file: HEAD says what it is and issues nothing, GET issues it with exactly one entry, written first."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from server.domain.identity import authentication
from server.domain.publish.checkpoints import CHECKPOINT_ID
from server.log import authority
from tests.counting import counted
from tests.e2e import fetching
from tests.world import World

SAID = {"X-Error-Code", "X-Error-Message", "X-HF-Warning", "WWW-Authenticate"}
FILE = "/gpt-2/774M/resolve/main/vocab.bpe"


def described(answer: Any, world: World) -> str:
    """Check what HEAD and GET both say of the file; return its checkpoint's id."""
    content = (world.template.sources / "gpt-2/774M/vocab.bpe").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    assert answer.headers["ETag"] == answer.headers["X-Linked-Etag"] == f'"{sha256}"'
    assert answer.headers["X-Linked-Size"] == str(len(content))
    assert answer.headers["Cache-Control"] == "no-store"
    commit: str = answer.headers["X-Repo-Commit"]
    assert CHECKPOINT_ID.fullmatch(commit)
    return commit


def test_head_says_what_a_file_is_and_issues_nothing(sqlite_world: World) -> None:
    """200 with its size, no place to go on to, no URL and no entry."""
    before = len(sqlite_world.entries())
    answer = sqlite_world.ask("HEAD", FILE)
    described(answer, sqlite_world)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == answer.headers["X-Linked-Size"]
    assert answer.headers["Accept-Ranges"] == "bytes"
    names = {name.lower() for name, _ in answer.headers}
    assert not {name for name in names if name in {"location", "content-encoding", "set-cookie", "link"}}
    assert not {name for name in names if name.startswith("x-xet")}
    assert (len(sqlite_world.entries()), sqlite_world.signed_urls) == (before, [])


def test_get_leads_to_the_file_and_leaves_one_entry(world: World) -> None:
    """Of this file alone, with who asked from where, under the id that the URL carries."""
    before = len(world.entries("download"))
    answer = world.ask("GET", FILE, headers={"User-Agent": "unknown/None; hf_hub/2.4.0", "Range": "bytes=5-"})
    assert answer.status_code == 302
    commit = described(answer, world)
    assert answer.data == b""
    (record,) = world.records("download")[before:]
    assert (record["model"], record["stage"], record["checkpoint"]) == ("gpt-2", "774M", commit)
    assert [file["path"] for file in record["files"]] == ["vocab.bpe"]
    assert (record["actor"]["via"], record["actor"]["user_agent"]) == ("token", "unknown/None; hf_hub/2.4.0")
    assert record["download"] == answer.headers["X-Download-Id"]
    assert f"x-download-id={record['download']}" in urlsplit(answer.headers["Location"]).query
    assert world.signed_urls == [answer.headers["Location"]]


def test_the_url_gives_the_bytes_and_ranges_of_them(sqlite_world: World) -> None:
    """From the store itself, which never hears of the token."""
    location = sqlite_world.ask("GET", FILE).headers["Location"]
    content = (sqlite_world.template.sources / "gpt-2/774M/vocab.bpe").read_bytes()
    assert fetching.get(location) == (200, content)
    assert fetching.get(location, 5, len(content)) == (206, content[5:])


def test_an_older_checkpoint_is_a_commit(sqlite_world: World) -> None:
    """By its full id, at both methods; `main` is the newest."""
    ids = [item["id"] for item in sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints").json["items"]]
    for revision, expected in (("main", ids[0]), (ids[0], ids[0]), (ids[1], ids[1])):
        for method in ("HEAD", "GET"):
            answer = sqlite_world.ask(method, f"/mini-gpt/base/resolve/{revision}/config.json")
            assert answer.headers["X-Repo-Commit"] == expected
    assert [record["checkpoint"] for record in sqlite_world.records("download")[-3:]] == [ids[0], ids[0], ids[1]]


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_public_stage_needs_no_token(sqlite_world: World, method: str) -> None:
    """Its downloads are logged with the address."""
    answer = sqlite_world.ask(method, "/gpt-2/124M/resolve/main/vocab.bpe", None)
    assert answer.status_code == (200 if method == "HEAD" else 302)
    if method == "GET":
        assert sqlite_world.records("download")[-1]["actor"]["via"] == "anonymous"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_alias_resolves_with_two_warnings(sqlite_world: World, method: str) -> None:
    """The one of every door and, where the client reads it, the client's; logged under the name of today."""
    answer = sqlite_world.ask(method, FILE.replace("774M", "762M"))
    assert answer.status_code == (200 if method == "HEAD" else 302)
    assert answer.headers["Warning"] == '299 - "gpt-2/762M is now called gpt-2/774M"'
    if method == "HEAD":
        assert answer.headers["X-HF-Warning"] == "renamed gpt-2/762M; gpt-2/762M is now called gpt-2/774M."
    else:  # the client follows at once, and would not see it
        assert sqlite_world.records("download")[-1]["stage"] == "774M"


def test_a_second_download_asks_the_database_once(world: World) -> None:
    """As at the API: the token's owner and the decision are kept, and the append finds that both still hold."""
    world.ask("GET", FILE)
    with counted(world.use.database) as statements:
        assert world.ask("GET", FILE).status_code == 302
    assert len({one for one in statements if "token_uses" not in one}) == 1  # SQLite tells it again for each trigger


CHANGES = {
    "revoked": "UPDATE tokens SET revoked_at = CURRENT_TIMESTAMP",
    "expired": "UPDATE tokens SET expires_at = '2020-01-01 00:00:00+00:00'",
    "narrowed": "UPDATE tokens SET scopes = 'log:read'",
    "disabled": "UPDATE people SET disabled_at = CURRENT_TIMESTAMP",
    "on hold": "UPDATE stages SET held_at = CURRENT_TIMESTAMP",
    "not cleared": "UPDATE clearances SET revoked_at = CURRENT_TIMESTAMP",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_kept_opens_nothing_that_was_closed(world: World, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next request is refused in the very words of one of which nothing was kept, once, and leaves no entry."""
    world.tampered = True
    assert world.ask("GET", FILE).status_code == world.ask("GET", FILE).status_code == 302
    downloads, refused = len(world.entries("download")), len(world.refusals())
    with world.use.database.transaction() as session:
        session.execute(text(CHANGES[what]))
    told = [refusal(world), refusal(world)]
    monkeypatch.setattr(authentication, "_kept", authority.Kept())
    told.append(refusal(world))
    assert told[0] == told[1] == told[2]
    assert len(world.entries("download")) == downloads
    assert len(world.refusals()) == refused + 3


def refusal(world: World) -> list[tuple[str, str]]:
    """All that the client is told, without what differs between two requests."""
    answer = world.ask("GET", FILE)
    assert answer.status_code in {401, 403, 451}
    assert "Location" not in answer.headers
    return [(name, value.replace(answer.headers["X-Request-Id"], "")) for name, value in answer.headers if name in SAID]


def test_a_file_that_is_not_there_is_remembered_as_missing(sqlite_world: World) -> None:
    """The client keeps that for the commit in the answer. It was a look, so it is no refusal for anybody to read."""
    before = len(sqlite_world.refusals())
    for method in ("HEAD", "GET"):
        answer = sqlite_world.ask(method, "/gpt-2/774M/resolve/main/adapter_config.json")
        assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert answer.headers["X-Repo-Commit"] == sqlite_world.ask("HEAD", FILE).headers["X-Repo-Commit"]
        assert answer.headers["X-Error-Message"].startswith("adapter_config.json is not in this checkpoint.")
    assert len(sqlite_world.refusals()) == before
