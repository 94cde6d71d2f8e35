"""Issuing over HTTP: what is ordered is answered, in the form that was asked for, and seen again later."""

import base64
import hashlib
import json
import random
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from server.domain.access import clearances
from server.domain.release import stages
from server.domain.release.stages import StageState
from server.log.entries import commitment_of
from tests.web.problems import require_problem
from tests.world import World

STAGE = "gpt-2/774M"
FILES = [
    "checkpoint", "encoder.json", "hparams.json", "model.ckpt.data-00000-of-00001", "model.ckpt.index",
    "model.ckpt.meta", "vocab.bpe",
]  # fmt: skip
ISSUED = {"id", "expires_at", "record", "salt", "receipt", "files"}
FILE = {"path", "size_bytes", "sha256", "url"}
ITEM = {
    "id", "issued_at", "organization", "person", "token", "address", "stage", "checkpoint", "renews", "files",
    "size_bytes", "archived", "delivered_bytes",
}  # fmt: skip


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:
        content: bytes = response.read()
    return content


def issue(world: World, token: str | None = "cleared", **order: Any) -> Any:
    answer = world.api("POST", "/downloads", token, json={"stage": STAGE} | order)
    assert answer.status_code == 201, answer.text
    return answer.json


def test_all_files_of_main_are_issued_by_default(sqlite_world: World) -> None:
    """The answer has every file, and each URL gives the bytes that were published."""
    body = issue(sqlite_world)
    assert set(body) == ISSUED
    assert [file["path"] for file in body["files"]] == FILES
    source = sqlite_world.template.sources / STAGE
    for file in body["files"]:
        assert set(file) == FILE
        content = fetched(file["url"])
        assert content == (source / file["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size_bytes"], file["sha256"])


def test_the_answer_is_the_entry(world: World) -> None:
    """Record and salt are the log's own: they hash to its commitment, and the URLs carry the id that it names."""
    body = issue(world, paths=["vocab.bpe", "checkpoint"])
    (entry,) = world.entries("download")
    assert body["record"].encode() == entry.record
    assert commitment_of(base64.b64decode(body["salt"], validate=True), body["record"].encode()) == entry.commitment
    record = orjson.loads(entry.record)
    assert record["download"] == body["id"] == entry.subject
    assert [file["path"] for file in record["files"]] == [file["path"] for file in body["files"]]
    assert [file["path"] for file in body["files"]] == ["vocab.bpe", "checkpoint"]  # in the order of the request
    for file in body["files"]:
        query = parse_qs(urlsplit(file["url"]).query)
        assert query["x-download-id"] == [body["id"]]
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-Expires"] == [str(world.settings.url_lifetime_seconds)]


def test_an_older_checkpoint_is_issued_by_its_id(sqlite_world: World) -> None:
    """Its id names it, and its files are its own."""
    listed = sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints").json["items"]
    newest, older = (item["id"] for item in listed)
    main = issue(sqlite_world, stage="mini-gpt/base")
    old = issue(sqlite_world, stage="mini-gpt/base", checkpoint=older)
    assert main == main | {"id": main["id"]}
    assert {json.loads(body["record"])["checkpoint"] for body in (main, old)} == {newest, older}
    assert {file["sha256"] for file in main["files"]} != {file["sha256"] for file in old["files"]}


def test_an_alias_issues_the_stage(sqlite_world: World) -> None:
    """The log and the URLs know the stage by its own name."""
    record = json.loads(issue(sqlite_world, stage="gpt-2/762M")["record"])
    assert (record["model"], record["stage"]) == ("gpt-2", "774M")


def test_another_stage_s_checkpoint_is_not_there(sqlite_world: World) -> None:
    """An id works under its own stage only, however cleared the caller is."""
    foreign = sqlite_world.api("GET", "/stages/gpt-2/124M/checkpoints/main").json["id"]
    answer = sqlite_world.api("POST", "/downloads", json={"stage": STAGE, "checkpoint": foreign})
    require_problem(answer, 404, "not_found")


def test_a_changed_url_is_refused_by_the_store(sqlite_world: World) -> None:
    """Neither the signature, nor the id for the log, nor the file can be exchanged."""
    url = issue(sqlite_world, paths=["vocab.bpe"])["files"][0]["url"]
    signature = parse_qs(urlsplit(url).query)["X-Amz-Signature"][0]
    other = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    for changed in (
        url.replace(signature, other),
        url.replace("x-download-id=0", "x-download-id=1"),
        url.replace("vocab.bpe", "checkpoint"),
        url.replace("X-Amz-Expires=300", "X-Amz-Expires=900"),
    ):
        assert changed != url
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetched(changed)
        assert refused.value.code == 403
        refused.value.close()


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json;charset=utf-8, text/html", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/x-curl-config", "text/x-curl-config"),
        ("TEXT/X-Curl-Config", "text/x-curl-config"),
        ("text/*", "text/x-curl-config"),
        ("application/json;q=0.4, text/x-curl-config;q=0.5", "text/x-curl-config"),
        ("application/json;q=0.5, text/x-curl-config;q=0.4", "application/json"),
        ("application/json;q=0, */*", "text/x-curl-config"),
        ("application/metalink+xml, text/x-curl-config;q=0.1", "text/x-curl-config"),
        ("application/metalink4+xml", "application/metalink4+xml"),
        ("text/x-aria2, text/html", "text/x-aria2"),
    ],
)
def test_the_form_is_the_one_the_caller_likes_best(sqlite_world: World, accept: str | None, form: str) -> None:
    """Accept is read as RFC 9110 says."""
    headers = {} if accept is None else {"Accept": accept}
    order = {"stage": STAGE, "paths": ["vocab.bpe"]}
    answer = sqlite_world.api("POST", "/downloads", json=order, headers=headers)
    assert (answer.status_code, answer.mimetype) == (201, form)


@pytest.mark.parametrize(
    "accept", ["application/metalink+xml", "text/html", "application/json;q=0", "image/*", "garbage", "*/*;q=0"]
)
@pytest.mark.parametrize("renewing", [False, True])
def test_a_form_that_we_do_not_have_issues_nothing(sqlite_world: World, accept: str, renewing: bool) -> None:
    """406 is decided before anything is logged."""
    path = f"/downloads/{issue(sqlite_world)['id']}/urls" if renewing else "/downloads"
    before = len(sqlite_world.entries()), len(sqlite_world.signed_urls)
    answer = sqlite_world.api("POST", path, json={} if renewing else {"stage": STAGE}, headers={"Accept": accept})
    require_problem(answer, 406, "not_acceptable")
    assert (len(sqlite_world.entries()), len(sqlite_world.signed_urls)) == before


@pytest.mark.parametrize(
    "form", ["application/json", "application/metalink4+xml", "text/x-aria2", "text/x-curl-config"]
)
@pytest.mark.parametrize(("token", "status", "code"), [("uncleared", 403, "not_cleared"), (None, 401, None)])
def test_a_refusal_is_a_problem_in_every_form(
    shared_world: World, form: str, token: str | None, status: int, code: str | None
) -> None:
    """With its status and its own type: nothing that a downloader would read as a list of files."""
    answer = shared_world.api("POST", "/downloads", token, json={"stage": STAGE}, headers={"Accept": form})
    require_problem(answer, status, code or "authentication_required")


def test_renewing_is_a_new_download(world: World) -> None:
    """Fresh URLs for some of the files: decided and logged anew, naming the one that it renews."""
    first = issue(world, paths=["vocab.bpe", "checkpoint"])
    answer = world.api("POST", f"/downloads/{first['id'].upper()}/urls", json={"paths": ["checkpoint"]})
    assert answer.status_code == 201
    assert set(answer.json) == ISSUED
    record = json.loads(answer.json["record"])
    assert answer.json["id"] != first["id"]
    assert record["renews"] == first["id"]
    assert [file["path"] for file in answer.json["files"]] == ["checkpoint"]
    assert [json.loads(entry.record)["download"] for entry in world.entries("download")] == [
        first["id"], answer.json["id"],
    ]  # fmt: skip


def test_renewing_without_paths_renews_all(sqlite_world: World) -> None:
    """All files of that download, not of the checkpoint."""
    first = issue(sqlite_world, paths=["vocab.bpe", "checkpoint"])
    again = sqlite_world.api("POST", f"/downloads/{first['id']}/urls", json={}).json
    assert [file["path"] for file in again["files"]] == ["vocab.bpe", "checkpoint"]


@pytest.mark.parametrize("caller", ["admin", "publisher", "unsigned", "uncleared", None])
def test_a_foreign_download_is_not_renewed(sqlite_world: World, caller: str | None) -> None:
    """Another organization's id is answered like one that never was."""
    first = issue(sqlite_world)["id"]
    unknown = "00000000-0000-7000-8000-000000000000"
    before = len(sqlite_world.entries())
    foreign, never = (sqlite_world.api("POST", f"/downloads/{one}/urls", caller, json={}) for one in (first, unknown))
    assert foreign.status_code == never.status_code
    require_problem(foreign, foreign.status_code, foreign.json["code"])
    assert {**foreign.json, "request_id": ""} == {**never.json, "request_id": ""}
    assert len(sqlite_world.entries()) == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"paths": ["checkpoint"]}, 404, "not_found"),  # of the checkpoint, but not of that download
        ({"paths": ["secret.bin"]}, 404, "not_found"),
        ({"paths": []}, 400, "invalid_request"),
        ({"paths": ["vocab.bpe", "vocab.bpe"]}, 400, "invalid_request"),
        ({"paths": "vocab.bpe"}, 400, "invalid_request"),
        ({"stage": STAGE}, 400, "invalid_request"),
        (None, 415, "unsupported_media_type"),
        ([], 400, "invalid_request"),
    ],
)
def test_a_bad_renewal_gets_its_problem(sqlite_world: World, body: Any, status: int, code: str) -> None:
    """Nothing is renewed that was not asked for plainly."""
    first = issue(sqlite_world, paths=["vocab.bpe"])
    require_problem(sqlite_world.api("POST", f"/downloads/{first['id']}/urls", json=body), status, code)
    assert len(sqlite_world.entries("download")) == 1


def test_a_null_body_renews_nothing(sqlite_world: World) -> None:
    """`null` is not an empty order: it must not stand for all files."""
    first = issue(sqlite_world)
    path = f"/downloads/{first['id']}/urls"
    answer = sqlite_world.api("POST", path, data=b"null", content_type="application/json")
    require_problem(answer, 400, "invalid_request")


def test_a_renewal_is_decided_again(sqlite_world: World) -> None:
    """What was issued yesterday opens nothing after the clearance was revoked."""
    first = issue(sqlite_world)
    clearances.revoke(sqlite_world.use, sqlite_world.admin, 1)
    require_problem(sqlite_world.api("POST", f"/downloads/{first['id']}/urls", json={}), 403, "not_cleared")


def test_downloads_are_listed_newest_first(world: World) -> None:
    """Each with who, what and how much; paging gives each exactly once."""
    made = [issue(world, paths=["vocab.bpe"])["id"] for _ in range(3)]
    issue(world, "uncleared", stage="gpt-2/124M")
    listed: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = world.api("GET", "/downloads?limit=1" + (f"&cursor={cursor}" if cursor else "")).json
        assert set(page) == {"items", "next_cursor"}
        assert len(page["items"]) == 1
        listed += page["items"]
        cursor = page["next_cursor"]
    assert [item["id"] for item in listed] == made[::-1]
    person = world.person("cleared")
    for item in listed:
        assert set(item) == ITEM
        assert (item["organization"], item["person"]) == (person.organization, person.person)
        assert (item["stage"], item["files"], item["delivered_bytes"], item["renews"]) == (STAGE, 1, None, None)
        assert item["size_bytes"] == (world.template.sources / STAGE / "vocab.bpe").stat().st_size
        assert item["token"] == world.example.tokens["cleared"][4:16]


def test_staff_see_downloads_of_strangers_too(sqlite_world: World) -> None:
    """A stranger's download has an address and nobody's name."""
    made = issue(sqlite_world, None, stage="gpt-2/124M")["id"]
    (item,) = sqlite_world.api("GET", "/downloads", "auditor").json["items"]
    assert item["id"] == made
    assert (item["organization"], item["person"], item["token"], item["address"]) == (None, None, None, "127.0.0.1")


@pytest.fixture
def thousand_files(tmp_path: Path) -> Path:
    folder = tmp_path / "thousand"
    for number in range(1000):
        path = folder / f"part-{number % 10}" / f"{number:04}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"number": number}))
    return folder


def test_a_thousand_files_are_one_request(sqlite_world: World, thousand_files: Path) -> None:
    """As many as a checkpoint can have: one entry, a URL of its own for each, and they work."""
    world = sqlite_world
    stages.add(world.use, world.admin, "gpt-2/wide", tier="registered")
    published = world.publish(thousand_files, "gpt-2/wide")
    world.move("gpt-2/wide", StageState.PARTNERS, "for a test")
    names = [file["path"] for file in world.api("GET", "/stages/gpt-2/wide/checkpoints/main").json["files"]]
    body = issue(world, stage="gpt-2/wide", paths=names)
    assert published.files == len(names) == len(body["files"]) == 1000
    assert len({file["url"] for file in body["files"]}) == 1000
    assert len(world.entries("download")) == 1
    assert len(json.loads(body["record"])["files"]) == 1000
    for file in random.Random(7).sample(body["files"], 3):  # noqa: S311  # which ones does not matter
        assert fetched(file["url"]) == (thousand_files / file["path"]).read_bytes()
    too_many = world.api("POST", "/downloads", json={"stage": "gpt-2/wide", "paths": [*names, "one-more.json"]})
    require_problem(too_many, 400, "invalid_request")


def test_a_wrong_path_among_several_is_named_to_who_may_see_the_list(sqlite_world: World) -> None:
    """With the page that lists the right ones; who is not cleared reads neither, and a token is never sent back."""
    token = sqlite_world.example.tokens["uncleared"]
    order = {"stage": STAGE, "paths": ["vocab.bpe", "vocab.txt", token]}
    answer = sqlite_world.api("POST", "/downloads", json=order)
    require_problem(answer, 404, "not_found")
    assert answer.json["detail"] == "vocab.txt and another path are not in this checkpoint. Nothing was issued."
    assert f"http://localhost:8080/stages/{STAGE}/" in answer.json["next_step"]
    assert token not in sqlite_world.api("POST", "/downloads", json=order | {"paths": [token]}).text
    refused = sqlite_world.api("POST", "/downloads", "uncleared", json=order)
    assert "vocab.txt" not in refused.text
    assert sqlite_world.signed_urls == []
