"""`weightgate download` against the real server and the real store: whole, verified, resumed, renewed, refused."""

import json
import re
import shutil
import struct
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from weightgate import Client
from weightgate.cli import Surroundings, run
from weightgate.download import downloading, rebuilding
from weightgate.verdicts import CannotTell, Ended, Failed, Refused, Refuted, WrongUse

from server.domain.access import clearances
from server.domain.release import holds
from tests.e2e.partner import BIG, CHUNK_BYTES, STAGE, Partner, digests, partner_of, publish_in_chunks
from tests.e2e.store_front import Spoil
from tests.world import World

INDEX = "model.safetensors.index.json"
ADDED_BYTES = 4_096  # of one more tensor
BEGINNING_BYTES = 64  # of a tensor, that are looked at


def test_what_was_published_is_downloaded(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, by one order for all files, which the log has; and the kept receipt is proven by `log verify`."""
    with partner_of(world, tmp_path) as partner:
        publish_in_chunks(partner, monkeypatch)
        done = partner.download()
        partner.require_all()
        (record,) = world.records("download")
        assert [file["path"] for file in record["files"]] == sorted(digests(partner.source))
        assert (done.files, done.fetched_bytes) == (len(record["files"]), done.size_bytes)
        (receipt,) = done.receipts
        assert "X-Amz-" not in Path(receipt).read_text()
        world.seal()
        proven = partner.run("log", "verify", receipt)
        assert (proven.returncode, proven.stderr) == (0, "")


def test_what_is_there_is_not_ordered_again(partner: Partner) -> None:
    """A second run reads what lies on the disk, and asks the server for no URL."""
    partner.download()
    again = partner.download()
    assert (again.fetched_bytes, again.receipts) == (0, [])
    assert len(partner.world.records("download")) == 1


def test_some_files_are_downloaded_and_the_rest_later(partner: Partner) -> None:
    """Only what was named is ordered; the folder is proven for that; later all of it is completed."""
    partner.download("config.json", "notes/README.md")
    assert set(digests(partner.folder)) == {"config.json", "notes/README.md"}
    assert partner.client().verify(partner.folder).files == 2
    partner.download()
    partner.require_all()
    assert "config.json" not in {file["path"] for file in partner.world.records("download")[-1]["files"]}


def test_an_older_checkpoint_is_downloaded_by_its_id(partner: Partner) -> None:
    """And not into the folder of another one."""
    listed = partner.world.api("GET", f"/stages/{STAGE}/checkpoints").json["items"]
    partner.download()
    older = listed[1]["id"]
    with pytest.raises(WrongUse, match="holds the checkpoint"):
        partner.download(checkpoint=older)
    done = partner.download(checkpoint=older, to=partner.folder.with_name("older"))
    assert done.checkpoint == older
    assert digests(partner.folder.with_name("older")) == digests(partner.world.template.sources / STAGE)


@pytest.mark.parametrize("spoil", [Spoil.CUT, Spoil.DEAD, Spoil.FLIP, Spoil.BUSY])
def test_a_range_that_does_not_arrive_is_fetched_again(partner: Partner, spoil: Spoil) -> None:
    """Cut, lost, spoilt or put off: once for the third range of the big file; only this range is fetched again."""
    seen = list[str]()

    def judge(target: str, span: str) -> Spoil:
        third = BIG in target and span.startswith(f"bytes={2 * CHUNK_BYTES}-") and span not in seen
        seen.extend([span] if third else [])
        return spoil if third else Spoil.NOTHING

    partner.front.judge = judge
    done = partner.download()
    partner.require_all()
    assert len(seen) == 1
    assert done.fetched_bytes - done.size_bytes == (CHUNK_BYTES if spoil is Spoil.FLIP else 0)


@pytest.mark.parametrize(
    ("spoil", "kind", "code"),
    [
        (Spoil.FLIP, Refuted, "wrong_content"),
        (Spoil.OTHER_SIZE, Refuted, "wrong_size"),
        (Spoil.WHOLE, Refuted, "wrong_size"),
        (Spoil.WEB_PAGE, CannotTell, "web_page"),
        (Spoil.REFUSE, CannotTell, "store_refuses"),
        (Spoil.ELSEWHERE, CannotTell, "store_refuses"),
        (Spoil.DEAD, CannotTell, "network_lost"),
        (Spoil.BUSY, CannotTell, "network_lost"),
    ],
)
def test_what_is_always_wrong_ends_in_a_sentence(partner: Partner, spoil: Spoil, kind: type[Ended], code: str) -> None:
    """For the big file alone: it never gets its name, others do and stay, and afterwards the next run completes."""
    partner.front.judge = lambda target, _: spoil if BIG in target else Spoil.NOTHING
    with pytest.raises(kind) as ended:
        partner.download(patience_seconds=0.3, jobs=1)
    assert (ended.value.verdict.code, ended.value.verdict.sentence != "") == (code, True)
    assert BIG not in digests(partner.folder)
    kept = partner.require_nothing_wrong()
    partner.front.judge = lambda *_: Spoil.NOTHING
    before = len(partner.front.asked)
    partner.download()
    partner.require_all()
    assert kept == 0 or not any("/config.json?" in target for target, _ in partner.front.asked[before:])


@pytest.mark.parametrize(("small_bytes", "at_once"), [(2**20, 16), (1, 8)], ids=["small files", "large files"])
def test_more_small_files_than_large_ones_are_fetched_at_once(
    partner: Partner, monkeypatch: pytest.MonkeyPatch, small_bytes: int, at_once: int
) -> None:
    """Unless somebody says how many. The first requests are answered when so many have come."""
    monkeypatch.setattr(downloading, "_SMALL_BYTES", small_bytes)
    threads = list[int]()

    def count() -> None:
        names = [thread.name for thread in threading.enumerate()]
        threads.append(sum(re.fullmatch("weightgate-[0-9]+", name) is not None for name in names))

    together = threading.Barrier(at_once, action=count)  # counted while all of them wait

    def judge(_target: str, _span: str) -> Spoil:
        if not threads:
            together.wait(20)
        return Spoil.NOTHING

    partner.front.judge = judge
    partner.download()
    partner.require_all()
    assert threads == [at_once]


def test_only_what_is_missing_of_a_file_is_fetched(partner: Partner) -> None:
    """A run that died within a file leaves its verified ranges; one that is spoilt on disk is fetched again."""
    partner.front.judge = lambda target, span: (
        Spoil.WEB_PAGE if BIG in target and span.startswith(f"bytes={5 * CHUNK_BYTES}-") else Spoil.NOTHING
    )
    with pytest.raises(CannotTell):
        partner.download(BIG, jobs=1)
    with (partner.folder / ".weightgate/partial" / BIG).open("r+b") as stream:
        stream.seek(CHUNK_BYTES + 7)
        stream.write(b"\xff\x00\xff")
    partner.front.judge = lambda *_: Spoil.NOTHING
    done = partner.download(BIG)
    assert digests(partner.folder)[BIG] == digests(partner.source)[BIG]
    assert done.fetched_bytes == done.size_bytes - 4 * CHUNK_BYTES


def test_urls_that_have_ended_are_renewed(partner: Partner) -> None:
    """Each renewal is a download of its own that names the first one; nothing is asked twice under a fresh URL."""
    world = partner.world
    usual, slow = world.use.settings, threading.Event()
    world.use.settings = usual.model_copy(update={"url_lifetime_seconds": 2})

    def judge(target: str, span: str) -> Spoil:
        if BIG in target and span.startswith("bytes=0-") and not slow.is_set():
            slow.set()
            return Spoil.REFUSE  # as by a store whose clock says that it is over
        return Spoil.NOTHING

    partner.front.judge = judge
    partner.download(jobs=2)
    partner.require_all()
    first, second = world.records("download")
    assert second["renews"] == first["download"]
    assert BIG in [file["path"] for file in second["files"]]


def test_a_refusal_midway_keeps_what_is_verified(partner: Partner) -> None:
    """Access ends while files arrive: the reason is the server's, and what came before is whole."""
    world = partner.world

    def judge(target: str, span: str) -> Spoil:
        if BIG in target and span.startswith(f"bytes={3 * CHUNK_BYTES}-"):
            if world.use.clock() and not world.refusals():
                holds.place(world.use, world.admin, STAGE, "A finding is looked into.")
            return Spoil.REFUSE
        return Spoil.NOTHING

    partner.front.judge = judge
    with pytest.raises(Refused) as refused:
        partner.download(jobs=1)
    assert refused.value.verdict.code == "stage_held"
    assert partner.require_nothing_wrong() >= 1
    assert BIG not in digests(partner.folder)
    with pytest.raises(Refused):
        partner.download()


@pytest.mark.parametrize(("token", "code"), [("uncleared", "not_cleared"), ("unsigned", "agreement_unsigned")])
def test_who_may_not_is_told_why(partner: Partner, token: str, code: str) -> None:
    """With the server's sentence and next step, and no folder is made."""
    with pytest.raises(Refused) as refused:
        partner.download(token=token)
    assert refused.value.verdict.code == code
    assert not partner.folder.exists()


def test_a_quota_is_a_refusal(partner: Partner) -> None:
    """It is not waited for."""
    clearances.revoke(partner.world.use, partner.world.admin, 2)
    with pytest.raises(Refused, match="cleared"):
        partner.download()


def test_another_manifest_key_is_refused(partner: Partner) -> None:
    """The key is remembered from the first use: with another one nothing is trusted, until it is forgotten."""
    partner.download("config.json")
    path = partner.state / "manifest-keys.json"
    remembered = json.loads(path.read_text())
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = stranger.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (server,) = remembered["servers"]
    remembered["servers"][server]["key"] = pem.decode()
    path.write_text(json.dumps(remembered))
    with pytest.raises(Refuted, match="not signed by the lab's key"):
        partner.download()
    key_file = partner.state / "lab.pem"
    key_file.write_text(partner.world.use.manifest_public_key)
    with pytest.raises(Refuted, match="remembered since"):
        partner.download(manifest_key=key_file)
    partner.client().forget(partner.endpoint)
    partner.download(manifest_key=key_file)
    partner.require_all()


def test_a_file_of_ones_own_is_not_overwritten(partner: Partner) -> None:
    """Unless one says so; then what it has in common with the published one is copied, not fetched."""
    partner.folder.mkdir()
    (partner.folder / BIG).write_bytes((partner.source / BIG).read_bytes()[:-1] + b"\0")
    with pytest.raises(WrongUse, match="is not the published file"):
        partner.download()
    assert set(digests(partner.folder)) == {BIG}
    done = partner.download(replace=True)
    partner.require_all()
    assert done.copied_bytes > (partner.source / BIG).stat().st_size - 2 * CHUNK_BYTES


def test_only_what_changed_is_fetched(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an older checkpoint on this disk, chunks are copied that are the same, and everything is hashed."""
    partner.download()
    older = partner.folder
    changed = bytearray((partner.source / BIG).read_bytes())
    changed[3 * CHUNK_BYTES + 50] ^= 1
    publish_in_chunks(partner, monkeypatch, **{BIG: bytes(changed)})
    partner.folder, partner.front.sent_bytes = older.with_name("newer"), 0
    done = partner.download(older=older)
    partner.require_all()
    notes = (partner.source / "notes/README.md").stat().st_size
    assert done.fetched_bytes == CHUNK_BYTES + head_bytes(bytes(changed)) + notes
    ends_at = time.monotonic() + 5  # the front counts what it has sent, a moment after it has arrived
    while partner.front.sent_bytes != done.fetched_bytes:
        assert time.monotonic() < ends_at, partner.front.sent_bytes
        threading.Event().wait(0.01)
    assert done.copied_bytes == done.size_bytes - CHUNK_BYTES - notes


@pytest.mark.parametrize("spoil", [Spoil.NOTHING, Spoil.FLIP, Spoil.REFUSE])
def test_tensors_that_only_moved_are_not_fetched(
    partner: Partner, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    """One more tensor in front moves all others. The new file's head tells where to; if it cannot, all is fetched."""
    older, moved = partner.folder, with_a_tensor_in_front((partner.source / BIG).read_bytes())
    index = json.loads((partner.source / INDEX).read_bytes())
    index["weight_map"]["a.new"] = BIG
    index["metadata"]["total_size"] += ADDED_BYTES
    newer_of(partner, monkeypatch, **{BIG: moved, INDEX: json.dumps(index).encode()})
    partner.front.judge = lambda target, span: spoil if BIG in target and span == "bytes=0-7" else Spoil.NOTHING
    fetched = partner.download(older=older).fetched_bytes
    partner.require_all()
    assert (fetched < len(moved) / 4) == (spoil is Spoil.NOTHING)


@pytest.mark.parametrize("at", [0, 5_000])
def test_of_a_chunk_only_the_tensors_that_changed_are_fetched(
    partner: Partner, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """By their first bytes; where those are the same, the chunk's hash tells, and no more than the chunk is fetched."""
    older, changed = partner.folder, bytearray((partner.source / BIG).read_bytes())
    head = head_bytes(bytes(changed))
    tensors = json.loads(changed[8:head])
    begin = next(head + begin for begin in begins(tensors) if (head + begin) % CHUNK_BYTES in range(40_000, 80_000))
    changed[begin + at] ^= 1
    newer_of(partner, monkeypatch, **{BIG: bytes(changed)})
    fetched = partner.download(older=older).fetched_bytes
    partner.require_all()
    assert (fetched < CHUNK_BYTES * 3 // 4) == (at == 0)
    assert fetched <= CHUNK_BYTES + head + 1_000 + len(tensors) * BEGINNING_BYTES


def newer_of(partner: Partner, monkeypatch: pytest.MonkeyPatch, **changed: bytes) -> None:
    """Download what is there, publish with changes, and go on in another folder; small tensors count as large."""
    monkeypatch.setattr(rebuilding, "_LARGE_BYTES", 2 * BEGINNING_BYTES)
    monkeypatch.setattr(rebuilding, "_BEGINNING_BYTES", BEGINNING_BYTES)
    partner.download()
    publish_in_chunks(partner, monkeypatch, **changed)
    partner.folder = partner.folder.with_name("newer")


def begins(tensors: dict[str, Any]) -> list[int]:
    return sorted(entry["data_offsets"][0] for name, entry in tensors.items() if name != "__metadata__")


def head_bytes(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def with_a_tensor_in_front(content: bytes) -> bytes:
    """The safetensors file with one tensor more, before all others."""
    head = head_bytes(content)
    tensors = json.loads(content[8:head])
    for name, entry in tensors.items():
        if name != "__metadata__":
            entry["data_offsets"] = [offset + ADDED_BYTES for offset in entry["data_offsets"]]
    tensors["a.new"] = {"dtype": "F32", "shape": [ADDED_BYTES // 4], "data_offsets": [0, ADDED_BYTES]}
    written = json.dumps(tensors).encode()
    return struct.pack("<Q", len(written)) + written + b"\x07" * ADDED_BYTES + content[head:]


def test_an_older_folder_that_was_spoilt_is_not_believed(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it no longer holds is fetched."""
    partner.download()
    older = partner.folder
    with (older / BIG).open("r+b") as stream:
        stream.write(bytes(2 * CHUNK_BYTES))
    publish_in_chunks(partner, monkeypatch)
    partner.folder = older.with_name("newer")
    done = partner.download(older=older)
    partner.require_all()
    assert done.fetched_bytes >= 2 * CHUNK_BYTES


def test_a_full_disk_is_a_sentence(partner: Partner, monkeypatch: pytest.MonkeyPatch, disk: Any) -> None:
    """Before anything is fetched where it can be known, and in the middle where it cannot."""
    disk.fill()
    with pytest.raises(Failed) as failed:
        partner.download(to=disk.folder / "got")
    assert failed.value.verdict.code == "disk_full"
    disk.make_room()

    def fill(*_: str) -> Spoil:
        disk.fill()
        return Spoil.NOTHING

    partner.front.judge = fill
    with pytest.raises(Failed) as failed:
        partner.download(to=disk.folder / "got")
    assert failed.value.verdict.code == "disk_full"
    disk.make_room()
    partner.front.judge = lambda *_: Spoil.NOTHING
    partner.download(to=disk.folder / "got")
    assert digests(disk.folder / "got") == digests(partner.source)
    shutil.rmtree(disk.folder / "got")


def test_two_runs_do_not_share_a_folder(partner: Partner) -> None:
    """The second one says so at once, and leaves the first one alone."""
    partner.front.seconds_a_piece = 0.01
    with partner.begin() as first:
        assert first.stdout is not None
        assert json.loads(first.stdout.readline())["event"] == "begin"
        with pytest.raises(CannotTell, match="Another weightgate process"):
            partner.download()
        partner.front.seconds_a_piece = 0.0
        first.communicate(timeout=30)
    assert first.returncode == 0
    partner.require_all()


def test_the_command_tells_its_events(partner: Partner) -> None:
    """A JSON object a line: begin, each file, and how it ended, with the exit code that it has."""
    done = partner.run("download", STAGE, "--to", str(partner.folder), "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert (events[0]["event"], events[-1]["event"], events[-1]["exit_code"]) == ("begin", "end", 0)
    assert sorted(event["path"] for event in events if event["event"] == "file") == sorted(digests(partner.source))
    refused = partner.run("download", "mini-gpt/large", "--json")
    (event,) = [json.loads(line) for line in refused.stdout.splitlines()]
    assert (refused.returncode, event["code"], event["exit_code"]) == (1, "not_cleared", 1)


def test_the_commands_of_an_account(partner: Partner) -> None:
    """A token is stored by login for its owner alone, used where none is given, and gone after logout."""
    token = partner.world.example.tokens["cleared"]
    bare = {"WEIGHTGATE_TOKEN": "", "WEIGHTGATE_ENDPOINT": ""}
    (partner.folder.parent / "token").write_text(token)
    stored = partner.run("login", "--endpoint", partner.endpoint, "--token-file", str(partner.folder.parent / "token"))
    assert (stored.returncode, "owner@aurora-institute.example" in stored.stdout) == (0, True), stored.stderr
    assert (partner.state / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert "aurora-institute" in partner.run("whoami", more=bare).stdout
    assert "your organization is not cleared" in partner.run("stages", more=bare).stdout.lower()
    listed = json.loads(partner.run("tokens", "--json", more=bare).stdout)
    assert token not in json.dumps(listed)
    assert token[4:16] in [one["id"] for one in listed]
    assert partner.run("logout", more=bare).returncode == 0
    gone = partner.run("whoami", "--endpoint", partner.endpoint, more=bare)
    assert (gone.returncode, gone.stderr.startswith("refused: ")) == (1, True)
    assert partner.run("logout", more=bare).returncode == 2


@pytest.mark.parametrize("approves", [True, False])
def test_a_login_is_approved_in_the_browser(
    sqlite_world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str], approves: bool
) -> None:
    """The command shows where, and which code; then it stores the token, or says that it was denied."""
    with partner_of(sqlite_world, tmp_path) as partner:
        waited = list[float]()

        def pause(seconds: float) -> None:
            waited.append(seconds)
            sqlite_world.clock.advance(timedelta(seconds=seconds))
            if len(waited) == 2:
                code = capfd.readouterr().err.partition("/device/")[2].split()[0]
                form = {"name": "node-7", "scopes": ["stages:read", "downloads:create"], "days": "30", "networks": ""}
                here = sqlite_world.visit("cleared")
                answer = here.post(f"/device/{code}/approve", form) if approves else here.post(f"/device/{code}/deny")
                assert answer.status_code == 303

        environment = {"WEIGHTGATE_STATE": str(partner.state)}
        ended = run(["login", "--endpoint", partner.endpoint], Surroundings(environment, time.time, pause))
        assert (ended, len(waited)) == ((0, 2) if approves else (1, 2))
        assert (partner.state / "credentials.json").exists() == approves
        if approves:
            assert Client(environment=environment).whoami()["token"]["name"] == "node-7"
            assert "as owner@aurora-institute.example" in capfd.readouterr().out


def test_a_token_that_nobody_knows_is_not_stored(partner: Partner) -> None:
    """Login says what the server says."""
    (partner.folder.parent / "token").write_text("wgk_nobody")
    refused = partner.run("login", "--token-file", str(partner.folder.parent / "token"))
    assert refused.returncode == 1
    assert not (partner.state / "credentials.json").exists()


@pytest.mark.parametrize("what", ["a bit", "a byte more", "a file less", "a link"])
def test_a_folder_that_changed_is_refuted(partner: Partner, what: str) -> None:
    """Without any network: the file is named, and the command that repairs it does."""
    partner.download()
    path = partner.folder / BIG
    if what == "a bit":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif what == "a byte more":
        path.write_bytes(path.read_bytes() + b"x")
    else:
        moved = path.rename(partner.folder.with_name("moved"))
        if what == "a link":
            path.symlink_to(moved)
    offline = {"WEIGHTGATE_ENDPOINT": "http://127.0.0.1:1"}
    refuted = partner.run("verify", str(partner.folder), more=offline)
    assert (refuted.returncode, BIG in refuted.stderr) == (1, True)
    if what == "a link":
        path.unlink()
    partner.download(replace=True)
    assert partner.run("verify", str(partner.folder), more=offline).returncode == 0


def test_a_folder_that_cannot_be_judged_is_said_to_be_so(partner: Partner, tmp_path: Path) -> None:
    """No manifest, no known key, not all there yet: 3, and what would help; what lies besides is named."""
    assert partner.run("verify", str(tmp_path)).returncode == 3
    partner.front.judge = lambda target, _: Spoil.WEB_PAGE if BIG in target else Spoil.NOTHING
    with pytest.raises(CannotTell):
        partner.download(jobs=1)
    assert partner.run("verify", str(partner.folder)).returncode == 3
    partner.front.judge = lambda *_: Spoil.NOTHING
    partner.download()
    (partner.folder / "modeling.py").write_text("print()")
    told = partner.run("verify", str(partner.folder))
    assert (told.returncode, "modeling.py" in told.stderr) == (0, True)
    elsewhere = {"WEIGHTGATE_STATE": str(tmp_path / "elsewhere")}
    assert partner.run("verify", str(partner.folder), more=elsewhere).returncode == 3
    key_file = tmp_path / "lab.pem"
    key_file.write_text(partner.world.use.manifest_public_key)
    told = partner.run("verify", str(partner.folder), "--manifest-key", str(key_file), more=elsewhere)
    assert told.returncode == 0


def test_a_store_on_ipv6_is_reached(sqlite_world: World, tmp_path: Path) -> None:
    """Its address stands in brackets in the URL."""
    with partner_of(sqlite_world, tmp_path, host="::1") as partner:
        partner.download()
        assert digests(partner.folder) == digests(sqlite_world.template.sources / STAGE)


def test_what_is_public_needs_no_token(sqlite_world: World, tmp_path: Path) -> None:
    """Nor a login."""
    with partner_of(sqlite_world, tmp_path) as partner:
        environment = {"WEIGHTGATE_STATE": str(partner.state)}
        done = Client(partner.endpoint, environment=environment).download("gpt-2/124M", to=partner.folder)
        assert done.files == len(digests(sqlite_world.template.sources / "gpt-2/124M"))
