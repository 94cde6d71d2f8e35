"""Publishing on a real store: visible in one step or not at all, and whatever breaks off goes on under the same id."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from sqlalchemy import select

from server import logger
from server.cli.failures import EXPECTED
from server.cli.main import main
from server.domain.errors import NotFound, NotPermitted, NotPossible, PersonDisabled, Refused
from server.domain.identity import people
from server.domain.operation import carrying_out
from server.domain.publish import patience, publishing, source_files
from server.domain.publish.checkpoints import FILES_AT_MOST, Checkpoint, CheckpointFile, CheckpointManifest, object_key
from server.domain.publish.faults import NotPublishable
from server.domain.publish.publishing import Published
from server.domain.release import stages
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.storage import keys
from server.storage.database import DatabaseUnavailable
from server.storage.embedded import REGION, EmbeddedStore, free_port
from server.storage.objects import ChecksumMismatch, ObjectStoreError, ObjectStoreRefused, ObjectStoreUnavailable
from tests.e2e import commands, fetching
from tests.faults.commits import Fault, faulty
from tests.faults.proxy import Proxy, Verdict
from tests.world import World, cases, write_settings

STAGE = "gpt-2/774M"
PLANNED = "gpt-2/1558M"
BIG_BYTES = 40_000_000  # three parts
NAMES = ["config.json", "model.safetensors", "vocab.txt"]  # in the order in which they are uploaded


class Died(Exception):
    """Stands for the end of a run at that point."""


def safetensors(size_bytes: int, fill: bytes = b"\x01") -> bytes:
    header = {"weight": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + fill * size_bytes


def write(folder: Path, size_bytes: int = 1000) -> Path:
    """A folder that can be published: three files, in the order in which they are uploaded."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"layers": 12}')
    (folder / "model.safetensors").write_bytes(safetensors(size_bytes))
    (folder / "vocab.txt").write_text("a\nb\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "small")


@pytest.fixture
def big_folder(tmp_path: Path) -> Path:
    return write(tmp_path / "big", BIG_BYTES)


def publish(world: World, folder: Path, stage: str = STAGE, use: Resources | None = None, **more: Any) -> Published:
    """Publish, through other parts if need be; where the stage is open, an admin approves."""
    done = publishing.publish(use or world.use, world.person("publisher"), folder, stage, **more)
    if done.proposal is not None:
        carrying_out.approve(world.use, world.admin2, done.proposal)
    return done


def seen(world: World) -> dict[str, Any]:
    """All that the API shows of the stage, to a partner and to the lab."""
    paths = ("/stages", f"/stages/{STAGE}", f"/stages/{STAGE}/checkpoints", f"/stages/{STAGE}/checkpoints/main")
    return {
        f"{token} {path}": world.api("GET", path, token).json for token in ("cleared", "publisher") for path in paths
    }


def drafts(world: World, stage: str = STAGE) -> list[str]:
    """The ids of checkpoints that nobody may see."""
    model, name = stage.split("/")
    with world.use.database.reading() as session:
        query = select(Checkpoint.checkpoint_id).join(Checkpoint.stage).join(stages.Stage.model)
        query = query.where(stages.Model.name == model, stages.Stage.name == name, Checkpoint.published_at.is_(None))
        return list(session.scalars(query))


def manifests(world: World, checkpoint_id: str) -> dict[str, bytes]:
    with world.use.database.reading() as session:
        query = select(CheckpointManifest).join(Checkpoint).where(Checkpoint.checkpoint_id == checkpoint_id)
        return {row.form: row.content for row in session.scalars(query)}


def stored(world: World, checkpoint_id: str, stage: str = STAGE) -> list[str]:
    """The paths of the objects that the store has of a checkpoint."""
    prefix = object_key(stage, checkpoint_id, "")
    return [key.removeprefix(prefix) for key in world.use.store.list_keys(prefix)]


@contextmanager
def nothing_visible(world: World) -> Iterator[None]:
    """What happens inside shows nowhere, and no draft can be downloaded by its id."""
    before = seen(world)
    yield
    assert seen(world) == before
    require_drafts_hidden(world)


def require_drafts_hidden(world: World) -> None:
    for draft in drafts(world):
        for token in ("cleared", "publisher", "admin"):
            assert world.api("GET", f"/stages/{STAGE}/checkpoints/{draft}", token).status_code == 404
            assert world.api("GET", f"/stages/{STAGE}/checkpoints/{draft}/manifest", token).status_code == 404
        order = {"stage": STAGE, "checkpoint": draft}
        assert world.api("POST", "/downloads", json=order).status_code == 404


def require_published(world: World, done: Published, folder: Path, stage: str = STAGE) -> None:
    """It is `main`, the store holds exactly its files, and signed URLs give their bytes."""
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    shown = world.api("GET", f"/stages/{stage}/checkpoints/main").json
    assert shown["id"] == done.checkpoint_id
    assert [file["path"] for file in shown["files"]] == paths
    assert sorted(stored(world, done.checkpoint_id, stage)) == paths
    for file in fetching.order(world, stage)["files"]:
        assert fetching.get(file["url"]) == (200, (folder / file["path"]).read_bytes())
    assert world.records("checkpoint.publish")[-1]["checkpoint"] == done.checkpoint_id


def dying(at: Callable[[str, int], bool]) -> Callable[[str, int, int], None]:
    """A progress that ends the run at one of its steps: `at` gets what is done, and how many steps came before."""
    steps: dict[str, int] = {}

    def progress(what: str, _done: int, _all: int) -> None:
        steps[what] = steps.get(what, -1) + 1
        if at(what, steps[what]):
            raise Died

    return progress


def test_the_steps_have_their_order(sqlite_world: World, folder: Path) -> None:
    """First all files are hashed, then the id is fixed, then files are uploaded, then all of it is visible at once."""
    steps: list[tuple[str, int, int]] = []
    before = seen(sqlite_world)

    def progress(what: str, _done: int, _all: int) -> None:
        known = drafts(sqlite_world)
        steps.append((what, len(known), sum(len(stored(sqlite_world, draft)) for draft in known)))
        assert seen(sqlite_world) == before

    done = publish(sqlite_world, folder, progress=progress)
    assert steps == [("checking", 0, 0)] * 3 + [("uploading", 1, count) for count in (1, 2, 3)]
    require_published(sqlite_world, done, folder)
    assert (done.stage, done.files, done.resumed) == (STAGE, 3, False)


class Gate:
    """Holds a publisher's request to the store, the one that `at` chooses, for as long as the test wants."""

    def __init__(self, at: Callable[[str, str, int], bool], verdict: Verdict) -> None:
        self._at = at
        self._verdict = verdict
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, chunk: bytes) -> Verdict:
        method, _, rest = chunk[:2000].partition(b" ")
        if method not in {b"GET", b"PUT", b"POST", b"HEAD", b"DELETE"}:
            return Verdict.PASS
        name, target = method.decode(), rest.partition(b" ")[0].decode()
        with self._lock:
            number = self._counts[name] = self._counts.get(name, 0) + 1
        return self._verdict if self._at(name, target, number) else Verdict.PASS


# Where a run is broken off: the request that is not answered any more, and what the store then has.
MOMENTS: dict[str, tuple[Callable[[str, str, int], bool], list[str]]] = {
    "before anything is uploaded": (lambda method, _, number: (method, number) == ("PUT", 1), []),
    "after one object": (lambda method, *_: method == "POST", NAMES[:1]),
    "in the middle of a multipart upload": (lambda _, target, __: "partNumber=2" in target, NAMES[:1]),
    "before a multipart upload is completed": (lambda method, _, number: (method, number) == ("POST", 2), NAMES[:1]),
    "before the last object": (lambda method, target, _: method == "PUT" and "vocab.txt" in target, NAMES[:2]),
    "before the last transaction": (lambda method, _, number: (method, number) == ("HEAD", 6), NAMES),
}


def store_port(world: World) -> int:
    port = urlsplit(world.settings.s3_endpoint_url or "").port
    assert port is not None
    return port


@contextmanager
def gated(world: World, folder: Path, at: Callable[[str, str, int], bool], verdict: Verdict) -> Iterator[Proxy]:
    """A way to the store through a gate; `folder` becomes an instance of its own that takes it."""
    with Proxy(store_port(world), Gate(at, verdict)) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        write_settings(world.template, folder, world.settings.database_url, s3_endpoint_url=endpoint)
        yield proxy


@contextmanager
def gated_resources(
    world: World, folder: Path, at: Callable[[str, str, int], bool], verdict: Verdict
) -> Iterator[tuple[Resources, Proxy]]:
    with gated(world, folder, at, verdict) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        use = Resources(write_settings(world.template, folder, world.settings.database_url, s3_endpoint_url=endpoint))
        try:
            yield use, proxy
        finally:
            use.close()


def sent(store: EmbeddedStore, checkpoint_id: str) -> list[str]:
    """Which objects of a checkpoint were completed, in order, by the store's own access log."""
    lines = (json.loads(line) for line in store.access_log.read_text(errors="replace").splitlines())
    mine = (line for line in lines if checkpoint_id in line["key"] and line["status"] == 200)
    return [line["key"].rpartition("/")[2] for line in mine if line["method"] in {"PUT", "POST"}]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_is_continued_under_the_same_id(
    sqlite_world: World, embedded_store: EmbeddedStore, big_folder: Path, tmp_path: Path, moment: str
) -> None:
    """kill -9 at any point leaves nothing visible; the next run keeps id, manifest and every complete object."""
    at, complete = MOMENTS[moment]
    with nothing_visible(sqlite_world), gated(sqlite_world, tmp_path / "gated", at, Verdict.HOLD) as gate:
        command = commands.publish_command(tmp_path / "gated", sqlite_world, big_folder, STAGE)
        with subprocess.Popen(command, env=commands.environment(sqlite_world)) as process:
            try:
                assert gate.held.wait(60)
                require_drafts_hidden(sqlite_world)
            finally:
                process.kill()
    (draft,) = drafts(sqlite_world)
    signed = manifests(sqlite_world, draft)
    assert sorted(stored(sqlite_world, draft)) == complete
    before = [path for path in sent(embedded_store, draft) if path in complete]
    done = publish(sqlite_world, big_folder)
    assert (done.checkpoint_id, done.resumed) == (draft, True)
    assert manifests(sqlite_world, draft) == signed
    after = [path for path in sent(embedded_store, draft) if path in complete]
    assert after == before, "what was complete is not sent again"
    assert sqlite_world.use.store.abort_uploads(object_key(STAGE, draft, "")) == 0, "no unfinished upload is left"
    require_published(sqlite_world, done, big_folder)


def test_the_same_files_again_are_recognized(world: World, folder: Path) -> None:
    """Nothing new becomes visible, whoever publishes them, and under whatever note."""
    first = publish(world, folder)
    with nothing_visible(world), pytest.raises(NotPossible, match=first.checkpoint_id):
        publishing.publish(world.use, world.admin, folder, "gpt-2/762M", note="Again.")
    assert drafts(world) == []


def test_the_same_files_at_another_stage_have_objects_of_their_own(world: World, folder: Path) -> None:
    """An object belongs to one checkpoint: equal content is no reason to share it."""
    first, second = publish(world, folder), publish(world, folder, "mini-gpt/base")
    assert first.checkpoint_id != second.checkpoint_id
    require_published(world, second, folder, "mini-gpt/base")
    for path in NAMES:
        world.use.store.delete(object_key(STAGE, first.checkpoint_id, path))
    for file in fetching.order(world, "mini-gpt/base")["files"]:
        assert fetching.get(file["url"])[0] == 200


def test_a_file_that_changed_between_two_runs_makes_another_checkpoint(sqlite_world: World, folder: Path) -> None:
    """The unfinished one stays unseen; what is published is what lies in the folder."""
    with nothing_visible(sqlite_world), pytest.raises(Died):
        publish(sqlite_world, folder, progress=dying(lambda what, _: what == "uploading"))
    (abandoned,) = drafts(sqlite_world)
    (folder / "config.json").write_text('{"layers": 24}')
    done = publish(sqlite_world, folder)
    assert (done.resumed, drafts(sqlite_world)) == (False, [abandoned])
    require_published(sqlite_world, done, folder)
    require_drafts_hidden(sqlite_world)


def test_main_moves_and_the_older_checkpoint_stays(world: World, folder: Path) -> None:
    """The newest is `main`; an older one is still there by its id, with its own bytes."""
    first = publish(world, folder, note="The first.")
    (folder / "vocab.txt").write_text("c\n")
    second = publish(world, folder, note="The second.")
    require_published(world, second, folder)
    listed = world.api("GET", f"/stages/{STAGE}/checkpoints").json["items"]
    assert [one["id"] for one in listed[:2]] == [second.checkpoint_id, first.checkpoint_id]
    older = fetching.order(world, STAGE, checkpoint=first.checkpoint_id, paths=["vocab.txt"])
    assert fetching.get(older["files"][0]["url"]) == (200, b"a\nb\n")


def grow(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"\0")


def flip_unnoticed(file: Path) -> None:
    """Another content of the same size, with the old time: only a hash tells."""
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def become_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def become_a_link(file: Path) -> None:
    other = file.parent.parent / "elsewhere"
    shutil.move(file, other)
    file.symlink_to(other)


@pytest.mark.parametrize("change", [grow, flip_unnoticed, Path.unlink, become_a_pipe, become_a_link])
@pytest.mark.parametrize("moment", ["checking", "uploading"])
def test_a_file_that_changes_meanwhile_is_refused(
    sqlite_world: World, folder: Path, moment: str, change: Callable[[Path], None]
) -> None:
    """A file that is touched after it was checked or hashed stops the run with a sentence, and nothing is visible."""
    steps: list[str] = []

    def progress(what: str, _done: int, _all: int) -> None:
        steps.append(what)
        if what == moment and steps.count(what) == 1:
            change(folder / "model.safetensors")

    if (moment, change) == ("checking", flip_unnoticed):
        # Not hashed yet: the hash is of the changed file, as it lies there, and that is what is published.
        done = publish(sqlite_world, folder, progress=progress)
        require_published(sqlite_world, done, folder)
        return
    with nothing_visible(sqlite_world), pytest.raises((NotPublishable, ChecksumMismatch), match=r"model\.safetensors"):
        publish(sqlite_world, folder, progress=progress)
    assert all("model.safetensors" not in stored(sqlite_world, draft) for draft in drafts(sqlite_world))


def test_a_slower_run_of_the_same_folder_gives_way(sqlite_world: World, big_folder: Path, tmp_path: Path) -> None:
    """Two runs at once: the one that ends first publishes, the other says so, and nothing is left unfinished."""
    failures: list[BaseException] = []

    def slow(use: Resources) -> None:
        try:
            publish(sqlite_world, big_folder, use=use)
        except Refused as error:
            failures.append(error)

    at, _ = MOMENTS["in the middle of a multipart upload"]
    with gated_resources(sqlite_world, tmp_path / "gated", at, Verdict.HOLD) as (use, gate):
        slower = threading.Thread(target=slow, args=(use,))
        slower.start()
        assert gate.held.wait(60)
        done = publish(sqlite_world, big_folder)
        gate.release()
        slower.join(60)
    assert isinstance(failures[0], NotPossible)
    assert done.checkpoint_id in str(failures[0])
    assert len(sqlite_world.entries("checkpoint.publish")) == len(sqlite_world.template.example.sources) + 2
    assert sqlite_world.use.store.abort_uploads(object_key(STAGE, done.checkpoint_id, "")) == 0
    require_published(sqlite_world, done, big_folder)


def test_two_runs_at_the_same_moment_publish_once(world: World, folder: Path) -> None:
    """Whatever their order, there is one checkpoint with one id and one entry, and nobody ends in anything unclear."""
    before = len(world.entries("checkpoint.publish"))
    others = [Resources(world.settings) for _ in range(3)]
    outcomes: list[Published | Refused] = []
    start = threading.Barrier(len(others))

    def run(use: Resources) -> None:
        start.wait(10)
        try:
            outcomes.append(publish(world, folder, use=use))
        except NotPossible as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(use,)) for use in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for use in others:
        use.close()
    (done,) = [one for one in outcomes if isinstance(one, Published)]
    assert len(outcomes) == len(others)
    assert drafts(world) == []
    assert len(world.entries("checkpoint.publish")) == before + 1
    require_published(world, done, folder)


STORE_LOST_AT: dict[str, Callable[[str, str, int], bool]] = {
    "the first look": lambda *_: True,
    "the first object": lambda method, *_: method in {"PUT", "POST"},
    "the beginning of a multipart upload": lambda method, *_: method == "POST",
    "its second part": lambda _, target, __: "partNumber=2" in target,
    "its end": lambda method, _, number: method == "POST" and number > 1,
    "the last look": lambda method, _, number: method == "HEAD" and number > 5,
}


@pytest.mark.parametrize("step", STORE_LOST_AT)
def test_a_store_that_is_lost_stops_the_run_cleanly(
    sqlite_world: World, big_folder: Path, tmp_path: Path, step: str
) -> None:
    """From some request on the store does not answer: a clear error, nothing visible, and later it goes on."""
    with (
        nothing_visible(sqlite_world),
        gated_resources(sqlite_world, tmp_path / "gated", STORE_LOST_AT[step], Verdict.CUT) as (use, _),
        pytest.raises(ObjectStoreUnavailable, match="check that it is running"),
    ):
        publish(sqlite_world, big_folder, use=use)
    (draft,) = drafts(sqlite_world)
    done = publish(sqlite_world, big_folder)
    assert (done.checkpoint_id, done.resumed) == (draft, True)
    require_published(sqlite_world, done, big_folder)


@pytest.mark.parametrize("fault", [Fault.NOT_STORED, Fault.STORED])
def test_a_last_commit_that_fails_can_be_repeated(
    world: World, folder: Path, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the database stays away the run fails; the next one finishes, or finds that it is done and waits."""
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0)
    before = seen(world)
    with faulty(world, tmp_path) as switch:

        def progress(what: str, _done: int, _all: int) -> None:
            switch.fault = fault if what == "uploading" else Fault.NONE

        with pytest.raises(DatabaseUnavailable):
            publish(world, folder, progress=progress)
        switch.fault = Fault.NONE
    if fault is Fault.NOT_STORED:
        assert seen(world) == before
        done = publish(world, folder)
        assert done.resumed
        require_published(world, done, folder)
    else:
        with nothing_visible(world), pytest.raises(NotPossible, match="already wait for approval"):
            publish(world, folder)
        carrying_out.approve(world.use, world.admin2, 1)
        assert seen(world) != before


@pytest.mark.parametrize("at", ["checking", "uploading"])
@pytest.mark.parametrize("fault", [Fault.NOT_STORED, Fault.STORED])
def test_a_database_that_comes_back_ends_no_run(
    world: World, folder: Path, tmp_path: Path, fault: Fault, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, which is said; one checkpoint is published, also when only the commit's answer was lost."""
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0)
    entries = len(world.entries("checkpoint.publish"))
    told: list[str] = []
    with faulty(world, tmp_path) as switch:

        def progress(what: str, _done: int, _all: int) -> None:
            switch.fault = fault if what == at else Fault.NONE

        def tell(sentence: str) -> None:
            if "waiting for it" in sentence:
                told.append(sentence)
                switch.fault = Fault.NONE

        done = publish(world, folder, progress=progress, tell=tell)
    assert len(told) == 1
    assert len(world.entries("checkpoint.publish")) == entries + 1
    require_published(world, done, folder)


@pytest.mark.parametrize("tampering", ["other bytes", "other bytes and a forged hash", "deleted"])
def test_what_was_tampered_with_between_two_runs_is_sent_again(
    sqlite_world: World, folder: Path, tampering: str
) -> None:
    """Whoever has the publisher's credentials can write under a draft, but not into what is then published."""
    with pytest.raises(Died):
        publish(sqlite_world, folder, progress=dying(lambda what, step: what == "uploading" and step == 2))
    (draft,) = drafts(sqlite_world)
    objects: Any = sqlite_world.use.store
    key = object_key(STAGE, draft, "model.safetensors")
    good = objects.head(key)
    forged = {"sha256": good.sha256_hex} if "forged" in tampering else {}
    if tampering == "deleted":
        objects.delete(key)
    else:
        objects._client.put_object(Bucket=objects.bucket, Key=key, Body=b"x" * good.size_bytes, Metadata=forged)
    done = publish(sqlite_world, folder)
    assert done.checkpoint_id == draft
    require_published(sqlite_world, done, folder)


@cases("who", ["auditor", "cleared", "uncleared"])
def test_only_publishers_and_admins_publish(world: World, folder: Path, who: str) -> None:
    """Another role is refused before anything is read, signed or stored."""
    with nothing_visible(world), pytest.raises(NotPermitted):
        publishing.publish(world.use, world.person(who), folder / "not-even-there", STAGE)
    assert drafts(world) == []


def test_nothing_is_published_to_a_withdrawn_stage(sqlite_world: World, folder: Path) -> None:
    """A stage that is withdrawn before or during the run shows nothing new."""

    def withdraw(what: str, _done: int, _all: int) -> None:
        if what == "uploading" and StageState.WITHDRAWN not in str(seen(sqlite_world)):
            sqlite_world.move(STAGE, StageState.WITHDRAWN, "A finding.")

    for progress in (withdraw, lambda *_: None):
        with pytest.raises(NotPossible, match="withdrawn"):
            publish(sqlite_world, folder, progress=progress)
    assert len(drafts(sqlite_world)) == 1
    require_drafts_hidden_from_staff(sqlite_world)


def require_drafts_hidden_from_staff(world: World) -> None:
    for draft in drafts(world):
        assert world.api("GET", f"/stages/{STAGE}/checkpoints/{draft}", "admin").status_code == 404


def test_whoever_is_disabled_meanwhile_publishes_nothing(world: World, folder: Path) -> None:
    """An upload may take hours: the last transaction asks again whether its person still stands."""
    email = world.example.people["publisher"]["email"]

    def disable(what: str, _done: int, _all: int) -> None:
        if what == "uploading" and not world.entries("person.disable"):
            people.disable(world.use, world.admin, email)

    before = world.api("GET", f"/stages/{STAGE}/checkpoints").json
    with pytest.raises(PersonDisabled):
        publish(world, folder, progress=disable)
    assert world.api("GET", f"/stages/{STAGE}/checkpoints").json == before
    assert publishing.publish(world.use, world.admin, folder, STAGE).resumed


def test_a_planned_stage_can_be_published_to(world: World, folder: Path) -> None:
    """Before a release only staff see it; a stage that does not exist takes nothing."""
    done = publish(world, folder, PLANNED)
    assert world.api("GET", f"/stages/{PLANNED}/checkpoints/main", "publisher").json["id"] == done.checkpoint_id
    assert world.api("GET", f"/stages/{PLANNED}/checkpoints/main").status_code == 404
    assert world.api("POST", "/downloads", json={"stage": PLANNED}).status_code == 404
    for name in ("gpt-2/9000M", "gpt-3/124M", "gpt-2", "../124M"):
        with pytest.raises(NotFound):
            publish(world, folder, name)


def test_the_note_is_that_of_the_run_that_ends(sqlite_world: World, folder: Path) -> None:
    """A run that continues another's may say the note anew; without one the first stays."""
    with pytest.raises(Died):
        publish(sqlite_world, folder, note="First try.", progress=dying(lambda what, _: what == "uploading"))
    publish(sqlite_world, folder, note="Second try.")
    assert sqlite_world.api("GET", f"/stages/{STAGE}/checkpoints/main").json["note"] == "Second try."


@pytest.mark.parametrize("act", ["put", "upload", "delete"])
def test_the_signers_key_cannot_change_a_checkpoint(sqlite_world: World, folder: Path, act: str) -> None:
    """The web server holds a key that reads: with it nobody replaces or removes weights."""
    done = publish(sqlite_world, folder)
    key = object_key(STAGE, done.checkpoint_id, "vocab.txt")
    path = folder / "model.safetensors"
    with keys_of_signer(sqlite_world) as objects, pytest.raises(ObjectStoreRefused):
        {
            "put": lambda: objects.put_bytes(key, b"other"),
            "upload": lambda: objects.upload(key, path, fetching.sha256_of(path), path.stat().st_size, lambda _: None),
            "delete": lambda: objects.delete(key),
        }[act]()
    require_published(sqlite_world, done, folder)


@contextmanager
def keys_of_signer(world: World) -> Iterator[Any]:
    objects = world.use.store_as(keys.read_s3_credentials(world.settings.signer_key_file))
    try:
        yield objects
    finally:
        objects.close()


@pytest.fixture(scope="module")
def versioned_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A store of this module's own, whose bucket keeps every version, and which may be stopped."""
    with EmbeddedStore(tmp_path_factory.mktemp("versioned") / "store", free_port(), "weights") as store:
        client = boto3.client(
            "s3",
            endpoint_url=store.endpoint_url,
            region_name=REGION,
            aws_access_key_id=keys.read_s3_credentials(store.publisher_key_file).access_key_id,
            aws_secret_access_key=keys.read_s3_credentials(store.publisher_key_file).secret_access_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        client.put_bucket_versioning(Bucket="weights", VersioningConfiguration={"Status": "Enabled"})
        client.close()
        yield store


@pytest.fixture
def versioned_world(sqlite_world: World, versioned_store: EmbeddedStore, tmp_path: Path) -> Iterator[World]:
    """The same world, whose store is the one that keeps versions."""
    before = sqlite_world.use
    settings = write_settings(
        sqlite_world.template,
        tmp_path / "versioned",
        sqlite_world.settings.database_url,
        s3_endpoint_url=versioned_store.endpoint_url,
        signer_key_file=str(versioned_store.signer_key_file),
        publisher_key_file=str(versioned_store.publisher_key_file),
    )
    sqlite_world.use = type(before)(settings, sqlite_world.clock)
    yield sqlite_world
    before.watched.urls += sqlite_world.use.watched.urls
    sqlite_world.use.close()
    sqlite_world.use = before


def test_a_url_is_for_the_version_that_was_published(versioned_world: World, tmp_path: Path) -> None:
    """Where the bucket keeps versions, a later write under the same key changes nothing for whoever downloads."""
    folder = write(tmp_path / "files", 17_000_000)
    done = publish(versioned_world, folder)
    with versioned_world.use.database.reading() as session:
        rows = session.scalars(select(CheckpointFile).join(Checkpoint, Checkpoint.id == CheckpointFile.checkpoint_id)
                               .where(Checkpoint.checkpoint_id == done.checkpoint_id))  # fmt: skip
        versions = {row.path: row.version_id for row in rows}
    assert len(set(versions.values())) == 3
    for path in versions:
        versioned_world.use.store.put_bytes(object_key(STAGE, done.checkpoint_id, path), b"overwritten")
    for file in fetching.order(versioned_world, STAGE)["files"]:
        assert parse_qs(urlsplit(file["url"]).query)["versionId"] == [versions[file["path"]]]
        assert fetching.get(file["url"]) == (200, (folder / file["path"]).read_bytes())
        assert fetching.get(file["url"].replace("versionId=", "versionId=0"))[0] == 403
    record = versioned_world.records("download")[-1]
    assert {file["path"]: file["version_id"] for file in record["files"]} == versions


def test_a_store_that_is_stopped_and_started_again_loses_nothing(
    versioned_world: World, versioned_store: EmbeddedStore, folder: Path
) -> None:
    """The real store goes away in the middle of a run: a clear error, and the same command ends the work later."""

    def stop(what: str, _done: int, _all: int) -> None:
        if what == "uploading" and versioned_store.alive():
            versioned_store.stop()

    try:
        with pytest.raises(ObjectStoreUnavailable):
            publish(versioned_world, folder, progress=stop)
        assert (
            versioned_world.api("GET", f"/stages/{STAGE}/checkpoints/{drafts(versioned_world)[0]}").status_code == 404
        )
    finally:
        versioned_store.start()
    done = publish(versioned_world, folder)
    assert done.resumed
    require_published(versioned_world, done, folder)


def missing(folder: Path) -> None:
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    missing(folder)
    folder.mkdir()


def a_file(folder: Path) -> None:
    missing(folder)
    folder.write_text("a")


def index_without_tensor(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    weights = dict.fromkeys(("weight", "lost"), "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def too_large(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(51_000_000_000)


def too_many(folder: Path) -> None:
    for number in range(FILES_AT_MOST + 1 - len(NAMES)):
        (folder / f"{number}.txt").write_text("a")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing folder": (missing, "check that it exists"),
    "empty folder": (empty, "name the folder that contains the checkpoint"),
    "a file instead": (a_file, "name the folder"),
    "symlink": (lambda folder: (folder / "a.json").symlink_to("config.json"), "cp -rL"),
    "pickle": (lambda folder: (folder / "model.bin").write_bytes(b"\x80\x04."), "convert it to safetensors"),
    "bad header": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" + b"\0" * 15),
        "model.safetensors",
    ),
    "index": (index_without_tensor, "lost"),
    "51 GB": (too_large, "save the checkpoint in smaller shards"),
    "leading dot": (lambda folder: (folder / ".gitmodules").write_text("a"), "rename it"),
    "case twins": (lambda folder: (folder / "Vocab.txt").write_text("a"), "rename one of them"),
    "too many": (too_many, "use fewer shards"),
}


def run(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str, stage: str = STAGE) -> int:
    """Run the command here, as its own process would; return its exit code."""
    person = world.example.people["publisher"]
    monkeypatch.setenv("WEIGHTGATE_PASSWORD", person["password"])
    command = ["--data", str(world.folder), "publish", str(folder), stage, "--as", person["email"], *more]
    monkeypatch.setattr(logger, "configure", lambda _level: None)  # it would stay for the tests that follow
    monkeypatch.setattr(sys, "argv", ["weightgate-server", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    code: int = ended.value.code  # type: ignore[assignment]  # it may be text elsewhere
    return code


def require_one_line(capsys: pytest.CaptureFixture[str], says: str) -> None:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("weightgate-server: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert says in err


@pytest.mark.parametrize("fault", BAD)
def test_a_folder_that_cannot_be_published_gets_one_line(
    sqlite_world: World,
    folder: Path,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line on the error stream says what to do, the exit code is 1, and nothing was begun."""
    spoil, says = BAD[fault]
    spoil(folder)
    with nothing_visible(sqlite_world):
        assert run(sqlite_world, folder, monkeypatch) == 1
    require_one_line(capsys, says)
    assert drafts(sqlite_world) == []


def test_the_command_says_what_it_did_and_recognizes_it_again(sqlite_world: World, folder: Path) -> None:
    """As a process: exit 0 and JSON for a script, then exit 1 and one line that names the checkpoint there is."""
    with nothing_visible(sqlite_world):
        first = commands.publish(sqlite_world, folder, STAGE)
        assert (first.returncode, first.stderr) == (0, "")
        body = json.loads(first.stdout)
        waiting = commands.publish(sqlite_world, folder, STAGE)
    assert (waiting.returncode, waiting.stdout, waiting.stderr.count("\n")) == (1, "", 1)
    assert f"already wait for approval as checkpoint {body['id']} of {STAGE}" in waiting.stderr
    carrying_out.approve(sqlite_world.use, sqlite_world.admin2, body["proposal"])
    assert body["id"] == sqlite_world.api("GET", f"/stages/{STAGE}/checkpoints/main").json["id"]
    with nothing_visible(sqlite_world):
        second = commands.publish(sqlite_world, folder, STAGE)
    assert (second.returncode, second.stdout, second.stderr.count("\n")) == (1, "", 1)
    assert f"already published as checkpoint {body['id']} of {STAGE}" in second.stderr


def test_a_command_without_its_store_gets_one_line(
    sqlite_world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An object store that does not run is named as what to look at."""
    monkeypatch.setenv("WEIGHTGATE_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with nothing_visible(sqlite_world):
        assert run(sqlite_world, folder, monkeypatch) == 1
    told, failed = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{STAGE} is available to cleared partners: once uploaded, this waits for another person")
    assert failed.startswith("weightgate-server: ")
    assert "check that it is running" in failed


def test_a_folder_and_a_request_have_the_same_limit_of_files() -> None:
    """What can be published can be ordered whole."""
    assert source_files.MAX_FILES == FILES_AT_MOST


def test_every_error_of_the_store_is_told() -> None:
    """The command knows them all by their common type."""
    assert issubclass(ChecksumMismatch, ObjectStoreError)
    assert ObjectStoreError in EXPECTED
