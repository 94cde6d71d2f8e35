"""Decoys: read with a stolen key of the store they raise the alarm; partners and upkeep never meet one."""

import http.client
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from server.domain.delivery import decoys, reconciliation
from server.domain.delivery.reconciliation import Summary
from server.domain.errors import InvalidRequest, NotFound, NotPermitted
from server.domain.operation import backups
from server.domain.publish.checkpoints import CheckpointFile
from server.domain.release import stages
from server.storage import keys
from server.storage.embedded import EmbeddedStore
from tests import s3
from tests.access_log_lines import Wanted, write_log
from tests.e2e import fetching
from tests.stores import signed_url
from tests.visits import words
from tests.world import World

STAGE = "gpt-2/774M"
TOUCHED = "decoy_touched"


def reconciled(world: World, store: EmbeddedStore, key: str, folder: Path) -> Summary:
    """Read what the store's own proxy has logged of one object: beside it are the objects of other tests."""
    fetching.get(f"{store.endpoint_url}/")  # nginx has one worker: the lines of all earlier requests are written then
    lines = store.access_log.read_bytes().splitlines(keepends=True)
    (folder / "access.log").write_bytes(b"".join(line for line in lines if key.encode() in line))
    return reconciliation.reconcile(world.use, [str(folder / "access.log")])


def fetch_from(address: str, url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30, source_address=(address, 0))
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_who_reads_one_raises_the_alarm(sqlite_world: World, embedded_store: EmbeddedStore, tmp_path: Path) -> None:
    """At the real store, by its proxy's log: with the signer's key and whatever id, or with none. Our own key may."""
    world = sqlite_world
    placed = decoys.place(world.use, world.admin, STAGE, 1)
    key = placed.object_key
    quiet = decoys.place(world.use, world.admin, STAGE, 1)
    decoys.remove(world.use, world.admin, quiet.id)
    assert world.use.store.head(quiet.object_key) is None
    unseen = reconciled(world, embedded_store, quiet.object_key, tmp_path)
    assert (unseen.lines, unseen.alarms) == (4, {})  # put there, looked at, deleted, and looked for
    with world.use.as_reader() as thief:  # type: ignore[attr-defined]
        assert len(thief.get_bytes(key)) == placed.size_bytes
    issued = fetching.order(world, STAGE)["id"]
    assert fetch_from("127.7.0.1", signed_url(embedded_store, key, download_id=issued)) == 200
    assert fetch_from("127.8.0.1", f"{embedded_store.endpoint_url}/weights/{key}") == 403
    found = reconciled(world, embedded_store, key, tmp_path)
    assert (found.alarms, found.unmatched) == ({TOUCHED: 3}, 2)  # and no ghost read besides
    signer = keys.read_s3_credentials(world.settings.signer_key_file).access_key_id
    told = [(one["alarm"], one["address"], one.get("signed_by"), one["object_key"]) for one in world.records("alarm")]
    assert told == [
        (TOUCHED, address, by, key)
        for address, by in (("127.0.0.1", signer), ("127.7.0.1", signer), ("127.8.0.1", None))
    ]
    assert reconciled(world, embedded_store, key, tmp_path).alarms == {}
    page = words(world.visit("admin").get("/audit/alarms/1"))
    assert "Decoy accessed" in page
    assert "127.0.0.1" in page
    decoys.remove(world.use, world.admin, placed.id)
    assert fetch_from("127.9.0.1", signed_url(embedded_store, key)) == 404
    assert reconciled(world, embedded_store, key, tmp_path).alarms == {TOUCHED: 1}  # the listing is older than that


# Where a partner could meet it. Written by hand; {stage} is one that the partner is cleared for, with a decoy.
API = """/stages /stages/{stage} /stages/{stage}/checkpoints /stages/{stage}/checkpoints/main /log/entries
/stages/{stage}/checkpoints/main/SHA256SUMS /stages/{stage}/checkpoints/main/manifest /log/entries?kind=decoy.place
/stages/{stage}/checkpoints/main/manifest/chunks /log/entries?stage={stage} /downloads /releases /findings /me"""
HUB = """/api/models /api/models/{stage} /api/models/{stage}/refs /api/models/{stage}/commits/main
/api/models/{stage}/tree/main /api/models/{stage}/tree/main?recursive=true /releases.atom /v2/{oci}/tags/list
/v2/{oci}/manifests/main"""
PORTAL = """/ /stages/{stage} /stages/{stage}/main /stages/{stage}/main/commands /downloads /downloads/all.csv
/audit/log /audit/log?stage={stage} /find?q=decoy /find?q={id} /findings /releases /help /help/api /account/activity"""


def test_no_partner_learns_of_one(sqlite_world: World, tmp_path: Path) -> None:
    """Cleared for the stage, at every door, after it was placed, touched and removed; downloads have real files."""
    world = sqlite_world
    s3.open_door(world)
    placed = [decoys.place(world.use, world.admin, STAGE, 1) for _ in range(2)]
    lines = [Wanted(world.use.clock(), one.object_key, None, request_id=f"R{one.id}") for one in placed]
    raised = reconciliation.reconcile(world.use, [write_log(tmp_path / "log", lines)])
    assert raised.alarms == {TOUCHED: 2}
    decoys.remove(world.use, world.admin, placed[1].id)
    ids = [one.object_key.split("/")[3] for one in placed]
    known = {"stage": STAGE, "oci": STAGE.lower(), "id": ids[0]}
    visit = world.visit("cleared")
    answers = {path: world.api("GET", path.format(**known)) for path in API.split()}
    answers |= {path: world.ask("GET", path.format(**known)) for path in HUB.split()}
    answers |= {path: visit.get(path.format(**known)) for path in PORTAL.split()}
    answers["a download"] = world.api("POST", "/downloads", json={"stage": STAGE})
    key = s3.key_of(world, "cleared", STAGE)
    answers |= {target: s3.get(world, key, target) for target in ("/models?list-type=2", f"/models?prefix={STAGE}/")}
    for path, answer in answers.items():
        assert answer.status_code in {200, 201}, (path, answer.status_code)
        # What the product knows, as filters offer it, and what was just typed: both are there without a decoy, too.
        said = re.sub(r"<option .*?</option>|value=.*?>|q=\w+", "", answer.text)
        assert not [one for one in ids if one in said], path
        assert "decoy" not in said.lower(), path
    acts = [*world.entries("decoy.place"), *world.entries("decoy.remove")]
    assert [entry.organization_id for entry in acts] == [None] * 3
    assert visit.get(f"/audit/log/{acts[0].id}").status_code == 404
    assert "Decoy placed" in words(world.visit("auditor").get(f"/audit/log/{acts[0].id}"))
    for one in ids:
        for address in (f"/stages/{STAGE}/checkpoints/{one}", f"/stages/{STAGE}/checkpoints/{one}/manifest"):
            assert world.api("GET", address).status_code == 404
        order = {"stage": STAGE, "checkpoint": one}
        assert world.api("POST", "/downloads", json=order).status_code == 404


def test_it_looks_like_weights_of_its_stage(world: World) -> None:
    """The name of the largest file of `main`, an id of its own, bytes that nobody can predict, and no file's row."""
    files = world.api("GET", f"/stages/{STAGE}/checkpoints/main", "admin").json["files"]
    largest = max(files, key=lambda file: file["size_bytes"])["path"]
    placed = [decoys.place(world.use, world.admin, STAGE, 1) for _ in range(2)]
    stages.add(world.use, world.admin, "gpt-2/9B", tier="research")
    empty = decoys.place(world.use, world.admin, "gpt-2/9B", 1)
    ids = {one.object_key.removeprefix(f"checkpoints/{STAGE}/").partition("/")[0] for one in placed}
    assert {one.object_key for one in placed} == {f"checkpoints/{STAGE}/{one}/{largest}" for one in ids}
    assert empty.object_key.endswith(f"/{decoys.USUAL_NAME}")
    assert len(ids) == 2
    assert all(len(one) == 40 and int(one, 16) >= 0 for one in ids)
    contents = [world.use.store.get_bytes(one.object_key) for one in placed]
    assert [len(content) for content in contents] == [one.size_bytes for one in placed]
    assert contents[0][:64] != contents[1][:64]
    with world.use.database.reading() as session:
        everything = set(session.scalars(select(CheckpointFile.object_key)))
    assert everything.isdisjoint(decoys_of(world))


def decoys_of(world: World) -> set[str]:
    with world.use.database.reading() as session:
        return {one.object_key for one in decoys.listed(session, world.person("auditor"))}


def test_a_call_that_died_is_finished_by_the_next(world: World, tmp_path: Path) -> None:
    """From the row on the key is watched; the same command puts that object there, and no other."""
    begun = decoys._begin(world.use, world.admin, STAGE, 1)
    assert world.use.store.head(begun.object_key) is None
    line = Wanted(world.use.clock(), begun.object_key, None, status=404)
    assert reconciliation.reconcile(world.use, [write_log(tmp_path / "log", [line])]).alarms == {TOUCHED: 1}
    done = decoys.place(world.use, world.admin, STAGE, 15)
    assert (done.id, done.size_bytes) == (begun.id, begun.size_bytes)
    assert world.use.store.head(done.object_key) is not None
    assert len(world.entries("decoy.place")) == 1
    assert decoys.place(world.use, world.admin, STAGE, 1).id != begun.id


def test_a_removal_that_died_is_finished_by_the_next(world: World) -> None:
    """It was told already, and is told once; an object that came back is gone."""
    placed = decoys.place(world.use, world.admin, STAGE, 1)
    first = decoys.remove(world.use, world.admin, placed.id)
    world.use.store.put_bytes(placed.object_key, b"as if it had died before the deletion")
    again = decoys.remove(world.use, world.admin2, placed.id)
    assert (again.removed_at, again.removed_by) == (first.removed_at, world.admin.person)
    assert world.use.store.head(placed.object_key) is None
    assert len(world.entries("decoy.remove")) == 1
    assert decoys.place(world.use, world.admin, STAGE, 1).id != placed.id  # what was removed is not missing


def test_only_admins_place_and_remove(sqlite_world: World) -> None:
    """Auditors see the list, and publishers not even that; what cannot be is said before anything is written."""
    world = sqlite_world
    for name in ("publisher", "auditor", "cleared"):
        with pytest.raises(NotPermitted):
            decoys.place(world.use, world.person(name), STAGE)
        with pytest.raises(NotPermitted):
            decoys.remove(world.use, world.person(name), 1)
    for name in ("publisher", "cleared"):
        with world.use.database.reading() as session, pytest.raises(NotPermitted):
            decoys.listed(session, world.person(name))
    for size_mib in (0, 16):
        with pytest.raises(InvalidRequest):
            decoys.place(world.use, world.admin, STAGE, size_mib)
    with pytest.raises(NotFound):
        decoys.place(world.use, world.admin, "gpt-2/9B")
    with pytest.raises(NotFound):
        decoys.remove(world.use, world.admin, 1)
    assert decoys_of(world) == set()
    assert world.entries("decoy.place") == []


def test_a_backup_leaves_it_alone(sqlite_world: World, tmp_path: Path) -> None:
    """It belongs to no checkpoint: neither copied, nor missed when it was removed, nor read."""
    world = sqlite_world
    kept = decoys.place(world.use, world.admin, STAGE, 1)
    gone = decoys.place(world.use, world.admin, STAGE, 1)
    decoys.remove(world.use, world.admin, gone.id)
    backups.copy_objects(world.use, tmp_path)
    backups.require_whole(tmp_path)
    assert not (tmp_path / backups.OBJECTS / kept.object_key).exists()
    assert world.use.store.head(kept.object_key) is not None
