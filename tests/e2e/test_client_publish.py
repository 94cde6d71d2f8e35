"""`weightgate publish` against the real server and the real store: whole, resumed, renewed, refused, never half."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from weightgate import Client
from weightgate.verdicts import CannotTell, Failed, Refused, WrongUse

from server.domain.operation import carrying_out
from server.domain.publish.uploads import Upload
from tests.domain.publish.test_publishing import write
from tests.e2e.partner import digests
from tests.e2e.publisher import BIG, OPEN, PARTS, PLANNED, Publisher, publisher_of, publishing, working
from tests.e2e.serving import served
from tests.e2e.store_front import Spoil
from tests.world import World


def test_what_is_published_is_what_lay_in_the_folder(world: World, tmp_path: Path) -> None:
    """Byte for byte, under the lab's signature, as the download of another client proves; the log names the token."""
    with publisher_of(world, tmp_path) as lab, publishing(lab):
        done = lab.publish(note="The first.")
        (record,) = [one for one in world.records("checkpoint.publish") if one["checkpoint"] == done.checkpoint]
        assert (record["stage"], record["actor"]["via"]) == (PLANNED, "token")
        assert record["actor"]["token"] in world.example.tokens["publisher"]
        assert (done.files, done.sent_bytes, done.proposal) == (3, done.size_bytes, None)
        world.move(PLANNED, "public")
        got = tmp_path / "got"
        Client(environment=lab.environment("cleared")).download(PLANNED, to=got)
        assert digests(got) == digests(lab.folder)
        assert lab.direct.arrivals.list_keys("uploads/1/") == []


def test_an_open_stage_takes_another_person(lab: Publisher) -> None:
    """The command ends with the proposal and what happens next; nobody sees anything until an admin has approved."""
    world = lab.world
    before = world.api("GET", f"/stages/{OPEN}/checkpoints/main").json["id"]
    with publishing(lab):
        done = lab.publish(OPEN)
        assert done.proposal is not None
        assert f"proposal approve {done.proposal}" in str(done.next_step)
        assert any("another person's approval" in text for text in done.warnings)
        assert world.api("GET", f"/stages/{OPEN}/checkpoints/main").json["id"] == before
        assert world.api("GET", f"/stages/{OPEN}/checkpoints/{done.checkpoint}").status_code == 404
        with pytest.raises(Refused, match="already wait"):
            lab.publish(OPEN, token=lab.token_of("admin"))
    carrying_out.approve(world.use, world.admin2, done.proposal)
    assert world.api("GET", f"/stages/{OPEN}/checkpoints/main").json["id"] == done.checkpoint


def test_what_has_arrived_is_not_sent_again(lab: Publisher) -> None:
    """A run that could not send one part leaves the others; the next one sends that part alone."""
    lab.front.judge_put = lambda target, _: Spoil.DEAD if "partNumber=2&" in target else Spoil.NOTHING
    with pytest.raises(CannotTell) as ended:
        lab.publish(patience_seconds=0.3, jobs=1)
    assert ended.value.verdict.code == "network_lost"
    lab.front.judge_put, kept = lambda *_: Spoil.NOTHING, lab.arrived
    with publishing(lab):
        done = lab.publish()
    assert 0 < kept < PARTS
    assert lab.arrived == PARTS
    assert done.sent_bytes < done.size_bytes


@pytest.mark.parametrize("spoil", [Spoil.CUT, Spoil.DEAD, Spoil.FLIP, Spoil.BUSY])
def test_a_part_that_does_not_arrive_is_sent_again(lab: Publisher, spoil: Spoil) -> None:
    """Cut, lost, damaged or put off once: it is sent a second time, and what is published is right."""
    spoilt = list[str]()

    def judge(target: str, _: str) -> Spoil:
        if "partNumber=3&" not in target or spoilt:
            return Spoil.NOTHING
        spoilt.append(target)
        return spoil

    lab.front.judge_put = judge
    with publishing(lab):
        done = lab.publish()
    assert len(spoilt) == 1
    assert (done.sent_bytes, lab.arrived) == (done.size_bytes, PARTS)


def test_urls_that_have_ended_are_renewed(lab: Publisher) -> None:
    """A store that refuses a URL is given a fresh one."""
    refused = list[str]()

    def judge(target: str, _: str) -> Spoil:
        if "partNumber=2&" in target and not refused:
            refused.append(target)
            return Spoil.REFUSE
        return Spoil.NOTHING

    lab.front.judge_put = judge
    with publishing(lab):
        lab.publish()
    again = [target for target, _ in lab.front.put if "partNumber=2&" in target]
    assert len(again) == 2


def test_a_file_that_changes_while_it_is_sent_is_named(lab: Publisher) -> None:
    """Nothing is published, and the next run sends the file as it is then."""

    def judge(target: str, _: str) -> Spoil:
        if "partNumber=2&" in target:
            with (lab.folder / BIG).open("r+b") as stream:
                stream.seek(33_900_000)
                stream.write(b"\x02")
        return Spoil.NOTHING

    lab.front.judge_put = judge
    with publishing(lab):
        with pytest.raises(Failed, match=f"{BIG} has changed"):
            lab.publish(jobs=1)
        lab.front.judge_put = lambda *_: Spoil.NOTHING
        assert lab.publish().files == 3


def test_a_lost_answer_is_asked_for_again(lab: Publisher) -> None:
    """Whoever was gone when it was published runs the command again, and learns what became of it."""
    with publishing(lab):
        done = lab.publish()
        again = lab.publish()
    assert (again.checkpoint, again.sent_bytes) == (done.checkpoint, 0)
    assert len([one for one in lab.world.records("checkpoint.publish") if one["checkpoint"] == done.checkpoint]) == 1


def test_what_cannot_be_published_is_refused_before_it_is_sent(lab: Publisher) -> None:
    """By its name; and by its content, once that has arrived. Every fault is named."""
    (lab.folder / "model.bin").write_bytes(b"x")
    (lab.folder / "weights.pt").write_bytes(b"x")
    with pytest.raises(Refused, match=r"model\.bin.*weights\.pt"):
        lab.publish()
    assert lab.front.put == []
    (lab.folder / "model.bin").unlink()
    (lab.folder / "weights.pt").unlink()
    (lab.folder / "config.json").write_text("not JSON")
    with publishing(lab), pytest.raises(Refused, match=r"config\.json: is not JSON"):
        lab.publish()
    assert lab.upload().state == "refused"
    assert lab.direct.arrivals.list_keys("uploads/1/") == []


def test_links_and_wrong_folders_are_wrong_use(lab: Publisher, tmp_path: Path) -> None:
    """Nothing is sent; what clones leave behind is left out, and said."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongUse, match="no files"):
        Client(environment=lab.environment()).publish(tmp_path / "empty", PLANNED)
    (lab.folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (lab.folder / "link.json").symlink_to(lab.folder / "config.json")
    with pytest.raises(WrongUse, match="symbolic link"):
        lab.publish()
    (lab.folder / "link.json").unlink()
    with publishing(lab):
        assert lab.publish().left_out == [".gitattributes"]


@pytest.mark.parametrize("token", ["cleared", "auditor"])
def test_only_publishers_publish(lab: Publisher, token: str) -> None:
    """Whoever's role or token does not allow it is refused before anything is announced."""
    with pytest.raises(Refused):
        lab.publish(token=token)
    assert lab.direct.arrivals.list_keys("uploads/1/") == []


def test_the_command_speaks_to_people_and_programs(lab: Publisher) -> None:
    """--json has an object for each event, phase by phase; without it, one line says what was done."""
    with publishing(lab):
        run = lab.begin(PLANNED, "--json")
        said, _ = run.communicate(timeout=60)
    events = [json.loads(line) for line in said.splitlines()]
    assert [one["phase"] for one in events if one["event"] == "begin"] == ["hash", "send", "check"]
    assert (run.returncode, events[-1]["event"], events[-1]["result"]) == (0, "end", "done")
    with publishing(lab):
        again = lab.begin(PLANNED)
        out, err = again.communicate(timeout=60)
    assert (again.returncode, err) == (0, "")
    assert out.startswith("Published 3 files, 34.0 MB, as ")


def test_a_killed_client_goes_on_where_it_was(lab: Publisher) -> None:
    """Killed while the second part is on its way: the first one is not sent again."""
    under_way, let_go = threading.Event(), threading.Event()

    def judge(target: str, _: str) -> Spoil:
        if "partNumber=2&" in target and not let_go.is_set():
            under_way.set()
            let_go.wait(20)
            return Spoil.DEAD
        return Spoil.NOTHING

    lab.front.judge_put = judge
    run = lab.begin(PLANNED, "--jobs", "1")
    assert under_way.wait(20)
    run.kill()
    run.communicate()
    let_go.set()
    kept = lab.arrived
    with publishing(lab):
        done = lab.publish()
    assert kept >= 1
    assert lab.arrived == PARTS
    assert done.sent_bytes < done.size_bytes


def test_the_real_processes_publish(sqlite_world: World, tmp_path: Path) -> None:
    """gunicorn, the publisher process and the command, each a process of its own; no other holds the manifest's key."""
    world = sqlite_world
    world.settings.manifest_key_file.rename(hidden := tmp_path / "manifest.key.pem")
    with served(world) as server:
        folder = write(tmp_path / "source")
        environment = {**os.environ, "WEIGHTGATE_ENDPOINT": f"http://127.0.0.1:{server.port}"}
        environment |= {
            "WEIGHTGATE_TOKEN": world.example.tokens["publisher"],
            "WEIGHTGATE_STATE": str(tmp_path / "state"),
        }
        command = [sys.executable, "-c", "from weightgate.cli import main; main()", "publish", str(folder), PLANNED]
        client = subprocess.Popen([*command, "--json"], env=environment, stdout=subprocess.PIPE, text=True)
        until_state(world, "checking")
        hidden.rename(world.settings.manifest_key_file)
        with working(world.folder) as process:
            said, _ = client.communicate(timeout=60)
            process.terminate()
            assert process.wait(20) == 0
    done = json.loads(said.splitlines()[-1])
    assert (client.returncode, done["result"]) == (0, "done")
    assert world.records("checkpoint.publish")[-1]["checkpoint"] == done["checkpoint"]


def until_state(world: World, state: str) -> None:
    """Wait for the upload to come so far."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with world.use.database.reading() as session:
            if session.query(Upload).filter(Upload.state == state).count():
                return
        time.sleep(0.1)
    raise AssertionError(state)
