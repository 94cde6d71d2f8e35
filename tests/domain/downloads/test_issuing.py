"""Issuing: decided, logged, then signed; or none of it."""

import hashlib
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.domain.access import clearances
from server.domain.access.rule import Grant
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download, Order
from server.domain.errors import InvalidRequest, NotCleared, NotFound, NotPermitted, StageHeld, StageWithdrawn
from server.domain.identity import tokens
from server.domain.paging import Slice
from server.domain.permissions import Scope
from server.domain.publish import checkpoints
from server.domain.release import holds, stages
from server.domain.release.stages import StageState
from server.log import entries
from server.log.entries import NoLog
from server.storage.database import DatabaseUnavailable
from tests.world import STRANGER, World, cases

FILES = ["checkpoint", "encoder.json", "hparams.json", "vocab.bpe"]


def test_a_signed_url_fetches_the_published_bytes(world: World) -> None:
    """What is issued is what was published, byte for byte."""
    download = issuing.issue(world.use, world.caller("cleared"), world.order(paths=["hparams.json"]))
    with urllib.request.urlopen(download.urls[0]) as response:
        body = response.read()
    assert body == (world.template.sources / "gpt-2/774M/hparams.json").read_bytes()


def test_a_revoked_clearance_stops_the_next_download(world: World) -> None:
    """Revocation acts on the next request, and a refusal leaves no URL and no entry."""
    clearances.revoke(world.use, world.admin, 1)
    with pytest.raises(NotCleared):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    assert world.signed_urls == []
    assert world.entries("download") == []


class SignerBroke(Exception):
    """The signer of a test."""


def break_signer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def sign(*_: Any, **__: Any) -> list[str]:
        raise SignerBroke

    monkeypatch.setattr(world.use.watched, "sign", sign)


def test_the_entry_is_committed_before_anything_is_signed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signer that fails loses a URL and leaves the record: over-reporting, never a ghost."""
    break_signer(world, monkeypatch)
    with pytest.raises(SignerBroke):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    assert len(world.entries("download")) == 1
    assert world.signed_urls == []


@pytest.mark.parametrize("error", [NoLog("gone"), DatabaseUnavailable("gone")])
def test_without_an_entry_nothing_is_signed(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A log that cannot take the entry stops the download; the other order is impossible."""

    def append(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(entries, "append", append)
    with pytest.raises(type(error)):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    assert world.signed_urls == []
    monkeypatch.undo()
    assert world.entries("download") == []


def test_urls_begin_at_the_moment_of_the_entry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much time passes before they are signed: their life must end when the entry says."""
    commit = world.use.database.together

    def slow(*arguments: Any) -> Any:
        done = commit(*arguments)
        world.clock.offset += timedelta(seconds=40)
        return done

    monkeypatch.setattr(world.use.database, "together", slow)
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    moment = datetime.fromtimestamp(world.records("download")[-1]["time"] / 1000, UTC)
    assert {parse_qs(urlsplit(url).query)["X-Amz-Date"][0] for url in download.urls} == {f"{moment:%Y%m%dT%H%M%SZ}"}
    assert download.expires_at == moment.replace(microsecond=0) + timedelta(seconds=300)


def test_a_commit_that_fails_leaves_no_url(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the database says no at the very end, nothing has been signed yet."""
    decided: list[Grant] = []
    together = world.use.database.together

    def fail_at_the_end(work: Any) -> Any:
        def then_fail(session: Any) -> Any:
            decided.append(work(session))
            raise DatabaseUnavailable("gone")

        return together(then_fail)

    caller = world.caller("cleared")
    monkeypatch.setattr(world.use.database, "together", fail_at_the_end)
    with pytest.raises(DatabaseUnavailable):
        issuing.issue(world.use, caller, world.order())
    assert len(decided) == 1
    assert world.signed_urls == []
    assert world.entries("download") == []


def test_the_record_says_who_took_what_on_whose_authority(world: World) -> None:
    """One entry answers: who, from where, which files, under which clearance and words, for how long."""
    caller = world.caller("cleared")
    download = issuing.issue(world.use, caller, world.order(paths=["hparams.json", "checkpoint"]))
    (record,) = world.records("download")
    content = {path: (world.template.sources / "gpt-2/774M" / path).read_bytes() for path in FILES}
    key = f"checkpoints/gpt-2/774M/{record['checkpoint']}"
    versions = {file["path"]: file.pop("version_id", None) for file in record["files"]}
    assert set(versions) == {"hparams.json", "checkpoint"}
    assert record == {
        "version": 1,
        "kind": "download",
        "download": download.id,
        "time": record["time"],
        "actor": {
            "via": "token", "organization": "aurora-institute", "person": world.example.people["cleared"]["email"],
            "token": caller.token_public_id, "address": "127.0.0.1", "user_agent": "tests",
        },
        "clearance": 1, "tier": "research", "agreement_sha256": record["agreement_sha256"], "signature": 1,
        "model": "gpt-2", "stage": "774M", "checkpoint": record["checkpoint"],
        "files": [
            {
                "path": path, "size_bytes": len(content[path]), "sha256": hashlib.sha256(content[path]).hexdigest(),
                "object_key": f"{key}/{path}",
            }
            for path in ("hparams.json", "checkpoint")
        ],
        "lifetime_seconds": 300,
    }  # fmt: skip
    (entry,) = world.entries("download")
    assert (entry.subject, entry.organization_id) == (download.id, caller.organization_id)
    assert (entry.record, entry.salt, entry.commitment) == (
        download.entry.record, download.entry.salt, download.entry.commitment,
    )  # fmt: skip
    began = issuing.issued_at(record).replace(microsecond=0)  # URLs count whole seconds
    assert download.expires_at == began + timedelta(seconds=300)


def test_a_stranger_s_download_of_a_public_stage_is_logged_with_the_address(world: World) -> None:
    """Without sign-in the log knows the address, and no authority, since none was needed."""
    issuing.issue(world.use, STRANGER, world.order("gpt-2/124M", paths=["hparams.json"]))
    (record,) = world.records("download")
    assert record["actor"] == {"via": "anonymous", "address": "127.0.0.1", "user_agent": "tests"}
    assert not {"clearance", "tier", "agreement_sha256", "signature", "renews"} & set(record)


def test_no_secret_and_no_url_stands_in_the_record(world: World) -> None:
    """Whoever reads the log can fetch nothing with it."""
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    signature = download.urls[0].rpartition("=")[2].encode()
    token = world.example.tokens["cleared"].encode()
    for entry in world.entries():
        assert signature not in entry.record
        assert b"://" not in entry.record
        assert token not in entry.record
        assert token[-49:] not in entry.record


def test_all_files_are_issued_when_none_is_named(world: World) -> None:
    """No `paths` means the whole checkpoint, in the order of its paths, one URL each."""
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    paths = [file.path for file in download.files]
    sources = world.template.sources / "gpt-2/774M"
    assert paths == sorted(path.name for path in sources.iterdir())
    assert len(download.urls) == len(paths) == 7


def test_a_download_id_sorts_by_time_and_is_a_uuid_of_version_7(sqlite_world: World) -> None:
    """The index of downloads grows at its end."""
    world = sqlite_world
    first, second = (issuing.issue(world.use, STRANGER, world.order("gpt-2/124M")) for _ in range(2))
    assert first.id.split("-")[0] <= second.id.split("-")[0]
    for made in (first, second):
        parsed = uuid.UUID(made.id)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize(
    "paths", [[], ["hparams.json", "hparams.json"], [f"{number}" for number in range(1001)]], ids=["0", "twice", "1001"]
)
def test_a_list_of_paths_that_makes_no_sense_is_refused_before_anything_else(
    sqlite_world: World, paths: list[str]
) -> None:
    """An empty list is not "all", a file is asked for once, and no more than a checkpoint can hold."""
    world = sqlite_world
    issued = issuing.issue(world.use, STRANGER, world.order("gpt-2/124M"))
    with pytest.raises(InvalidRequest):
        issuing.issue(world.use, STRANGER, world.order("gpt-2/124M", paths=paths))
    with pytest.raises(InvalidRequest):
        issuing.renew(world.use, STRANGER, issued.id, paths)
    assert len(world.entries("download")) == 1


def test_one_unknown_path_stops_the_whole_order(world: World) -> None:
    """Either all that was named is issued, or nothing."""
    for path in ("../hparams.json", "hparams.json\0", "/hparams.json", "..", "gpt-2/774M/hparams.json"):
        with pytest.raises(NotFound):
            issuing.issue(world.use, world.caller("cleared"), world.order(paths=["hparams.json", path]))
    assert world.signed_urls == []
    assert world.entries("download") == []


def test_an_auditor_and_a_token_without_the_scope_issue_nothing(sqlite_world: World) -> None:
    """The policy is asked even before the access rule."""
    world = sqlite_world
    with pytest.raises(NotPermitted):
        issuing.issue(world.use, world.person("auditor"), world.order("gpt-2/124M"))
    with pytest.raises(NotPermitted):
        issuing.renew(world.use, world.person("auditor"), str(uuid.uuid4()), None)


# Renewing ----------------------------------------------------------------------------------------------------------


def issue(world: World, **more: Any) -> Download:
    return issuing.issue(world.use, world.caller("cleared"), world.order(**more))


def renew(world: World, download_id: str, paths: list[str] | None = None, caller: Caller | None = None) -> Download:
    return issuing.renew(world.use, caller or world.caller("cleared"), download_id, paths)


def test_renewing_is_a_new_download_that_names_the_old_one(world: World) -> None:
    """Fresh URLs are decided and logged again; the record says what they renew."""
    first = issue(world, paths=FILES[:3])
    again = renew(world, first.id)
    assert again.id != first.id
    assert [file.path for file in again.files] == FILES[:3]
    assert [record.get("renews") for record in world.records("download")] == [None, first.id]


def test_renewing_gives_some_of_the_files_and_never_others(world: World) -> None:
    """A subset may be renewed; a file of the checkpoint that was not issued then may not."""
    first = issue(world, paths=FILES[:3])
    assert [file.path for file in renew(world, first.id, [FILES[1]]).files] == [FILES[1]]
    for paths in ([FILES[3]], [FILES[0], FILES[3]], ["../x"], ["\0"]):
        with pytest.raises(NotFound):
            renew(world, first.id, paths)
    assert len(world.entries("download")) == 2


def test_renewing_keeps_the_checkpoint_when_main_has_moved_on(world: World) -> None:
    """A transfer that is resumed continues with the same bytes."""
    caller = world.caller("cleared")
    with world.use.database.reading() as session:
        stage = stages.get(session, "mini-gpt/base")
        older = checkpoints.published(session, stage.id, Slice(10)).items[-1].checkpoint_id
    first = issuing.issue(world.use, caller, Order("mini-gpt/base", older))
    renew(world, first.id)
    assert [record["checkpoint"] for record in world.records("download")] == [older, older]


@cases("name", ["unsigned", "admin", "stranger"])
def test_only_the_same_organization_renews(world: World, name: str) -> None:
    """Another organization's download is not there, not even for the lab; nor is it for strangers."""
    first = issuing.issue(world.use, world.caller("cleared"), world.order("gpt-2/124M"))
    caller = STRANGER if name == "stranger" else world.caller(name)
    with pytest.raises(NotFound):
        renew(world, first.id, caller=caller)
    assert len(world.entries("download")) == 1


def test_an_unknown_id_is_not_found_whatever_its_form(world: World) -> None:
    """No form of an id gets another answer than another, on either database."""
    for download_id in (str(uuid.UUID(int=7)), "", "main", "\0", "x" * 10_000, "%", "\udc80", "1"):
        with pytest.raises(NotFound):
            renew(world, download_id)


def test_an_entry_of_another_kind_is_no_download(world: World) -> None:
    """Only downloads can be renewed, though every entry has a subject."""
    caller = world.caller("cleared")
    with pytest.raises(NotFound):
        renew(world, caller.token_public_id or "")


def test_renewing_is_decided_anew(world: World) -> None:
    """What was allowed then counts for nothing now: a revocation and a hold act on renewals too."""
    first, second = issue(world), issuing.issue(world.use, STRANGER, world.order("gpt-2/124M"))
    clearances.revoke(world.use, world.admin, 1)
    with pytest.raises(NotCleared):
        renew(world, first.id)
    holds.place(world.use, world.admin, "gpt-2/124M", "A finding.")
    with pytest.raises(StageHeld):
        renew(world, second.id, caller=STRANGER)
    world.lift("gpt-2/124M")
    world.move("gpt-2/774M", StageState.WITHDRAWN, "Unsafe.")
    with pytest.raises(StageWithdrawn):
        renew(world, first.id)


# Looking back ------------------------------------------------------------------------------------------------------


def listed(world: World, caller: Caller, part: Slice) -> Any:
    with world.use.database.reading() as session:
        return issuing.visible(session, caller, part)


def test_each_organization_looks_back_at_its_own_and_staff_at_all(world: World) -> None:
    """A partner's downloads are nobody else's business but the lab's."""
    ids = {}
    for name in ("cleared", "unsigned", "admin"):
        ids[name] = issuing.issue(world.use, world.caller(name), world.order("gpt-2/124M")).id
    ids["stranger"] = issuing.issue(world.use, STRANGER, world.order("gpt-2/124M")).id
    seen = {
        name: {record["download"] for record in listed(world, world.person(name), Slice(100)).items}
        for name in ("cleared", "unsigned", "uncleared", "auditor", "admin")
    }
    everything = set(ids.values())
    assert seen == {
        "cleared": {ids["cleared"]}, "unsigned": {ids["unsigned"]}, "uncleared": set(),
        "auditor": everything, "admin": everything,
    }  # fmt: skip


def test_pages_stay_whole_while_new_downloads_come(world: World) -> None:
    """Going down the list shows each old download once, newest first, however many come meanwhile."""
    caller = world.caller("cleared")
    made = [issuing.issue(world.use, caller, world.order("gpt-2/124M")).id for _ in range(5)]
    seen: list[str] = []
    part = Slice(2)
    while True:
        page = listed(world, caller, part)
        seen += [record["download"] for record in page.items]
        if page.next_after is None:
            break
        part = Slice(2, page.next_after)
        issuing.issue(world.use, caller, world.order("gpt-2/124M"))
    assert seen == made[::-1]


def test_a_token_for_reading_only_issues_nothing(sqlite_world: World) -> None:
    """The scope is asked for even where the role would allow it."""
    world = sqlite_world
    made = tokens.create(world.use, world.person("cleared"), "reader", [Scope.STAGES_READ], timedelta(days=1))
    world.example.tokens["reader"] = made.text
    answer = world.api("POST", "/downloads", "reader", json={"stage": "gpt-2/124M"})
    assert (answer.status_code, answer.json["code"]) == (403, "insufficient_scope")
    assert world.signed_urls == []
