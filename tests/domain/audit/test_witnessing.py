"""Witnessing against real witnesses that we did not write; and against faulty ones, at the outer edge."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from weightgate import Client
from weightgate.verdicts import CannotTell
from werkzeug.serving import make_server

from server import migrations
from server.cli.log import _lines
from server.domain.audit import log_status, logs, witnessing
from server.domain.audit.witnessing import LONGEST_PAUSE, Seen
from server.domain.operation import witness_checks
from server.domain.operation.door_probes import Wrong
from server.domain.operation.health import Health
from server.domain.resources import Resources
from server.log import heads, notes, proofs, sealing
from server.log.notes import Kind, NotSigned, VerifierKey
from server.witnesses import Witness
from tests import tampering
from tests.e2e.working import working
from tests.log.test_witnesses import cosign
from tests.witness import AicsWitness, witness_log
from tests.world import World, write_settings

SEED = b"\7" * 32


def origin_and_vkey(world: World) -> tuple[str, str]:
    with world.use.database.reading() as session:
        log = logs.current(session)
    return log.origin, log.vkey


def name(world: World, *witnesses: Witness) -> None:
    """Put these into the settings, as at the next start."""
    world.use.settings = world.settings.model_copy(update={"witnesses": witnesses})


def ask(world: World) -> list[Seen]:
    """What the worker does all the time; returns each witness's view."""
    for witness in world.use.settings.witnesses:
        witnessing.ask(world.use, witness)
    with world.use.database.reading() as session:
        return witnessing.seen(session, world.use, logs.current(session))


def grow(world: World) -> dict[str, Any]:
    """A download, sealed; returns the answer."""
    answer: dict[str, Any] = world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).json
    world.seal()
    return answer


def shown(world: World) -> bytes:
    data: bytes = world.client.get("/log/checkpoint").data
    return data


def cosigned_at(note: bytes, witness: Witness) -> int:
    return notes.verify_cosignature(note, VerifierKey.parse(witness.vkey))


@pytest.fixture
def real(world: World, tmp_path: Path) -> Iterator[AicsWitness]:
    """A witness that follows this world's log."""
    one = AicsWitness(tmp_path / "witness", "witness.example/w1", dict([origin_and_vkey(world)]))
    with one.running():
        name(world, one.witness)
        yield one


def test_real_witnesses_cosign_the_log_as_it_grows(real: AicsWitness, world: World) -> None:
    """Two programs by others follow it; their lines stand under the head, and both verifiers of ours accept them."""
    origin, vkey = origin_and_vkey(world)
    with witness_log("other.example/w2", SEED, origin, vkey) as other:
        name(world, real.witness, other)
        for _ in range(3):
            grow(world)
            views = ask(world)
            size = len(world.entries())
            assert [(view.size, view.fault) for view in views] == [(size, None)] * 2
            note = shown(world)
            assert heads.verify(note, VerifierKey.parse(vkey)).size == size
            assert note.count("\n— ".encode()) == 3
            for witness in (real.witness, other):
                assert abs(cosigned_at(note, witness) - time.time()) < 30
        assert ask(world)[0].size == size  # nothing new: nobody is asked


def test_a_head_of_a_moment_ago_has_none_yet_and_proofs_lead_to_the_one_that_has(
    real: AicsWitness, world: World
) -> None:
    """Sealing and issuing did not wait for the witness; a partner's proof uses what the witness has seen."""
    first = grow(world)
    ask(world)
    second = grow(world)
    assert shown(world).count("\n— ".encode()) == 1
    both = [world.api("GET", f"/downloads/{answer['id']}/proof").data for answer in (first, second)]
    parsed = [proofs.Proof.parse(data) for data in both]
    assert cosigned_at(parsed[0].head, real.witness)
    with pytest.raises(NotSigned):
        cosigned_at(parsed[1].head, real.witness)
    ask(world)
    assert cosigned_at(proofs.Proof.parse(world.api("GET", f"/downloads/{second['id']}/proof").data).head, real.witness)


def test_a_witness_that_forgot_or_knows_more_says_where_it_is(real: AicsWitness, world: World) -> None:
    """409 with its size: it is shown the way from there. Both when we know too much and when we know too little."""
    grow(world)
    ask(world)
    for size in (0, 1):
        with world.use.database.transaction() as session:
            view = session.scalars(select(witnessing.WitnessView)).one()
            view.size = size
        grow(world)
        (seen,) = ask(world)
        assert (seen.size, seen.fault) == (len(world.entries()), None)


def test_a_fork_is_refused_by_the_witness_and_raises_the_alarm(real: AicsWitness, world: World) -> None:
    """The log is rewritten under the right key after the witness saw it: no cosignature, and everybody is told."""
    grow(world)
    grow(world)
    ask(world)
    with world.use.database.transaction() as session:
        log = logs.current(session)
        head = sealing.newest_head(session, log.id)
        assert head is not None
        signer = world.use.log_signer(log.vkey)
        forked = heads.Head(log.origin, head.size + 1, b"\5" * 32)
        session.add(
            sealing.LogHead(
                log_id=log.id, size=forked.size, root=forked.root, note=heads.sign(forked, signer).decode(),
                sealed_at=world.clock(),
            )
        )  # fmt: skip
        tile = session.get_one(sealing.LogTile, (log.id, 0, head.size // 256))
        tile.data += b"\5" * 32
    world.tampered = True
    (seen,) = ask(world)
    assert (seen.contradicts, seen.size) == (True, head.size)
    assert "does not continue" in (seen.fault or "")
    assert real.evidence().count(log.origin) >= 1  # the witness keeps the head that we signed
    part = Health(world.use).look().part("witnesses")
    assert not part.ok
    assert "a-witness-does-not-cosign" in part.what_to_do
    status = log_status.known(world.use)
    assert any(line.startswith("witness") and "CONTRADICTS" in line for line in _lines(status))


def test_a_log_that_is_behind_what_a_witness_saw_contradicts_it(real: AicsWitness, world: World) -> None:
    """An older backup, restored: the witness names the size that it cosigned, and the log does not have it."""
    with world.use.database.reading() as session:
        log = logs.current(session)
        before = sealing.newest_head(session, log.id)
    assert before is not None
    grow(world)
    ask(world)
    tampering.run(
        world.settings.database_url, "UPDATE witness_views SET size = 0", "DELETE FROM cosignatures",
        "DELETE FROM log_heads WHERE size > :size", size=before.size,
    )  # fmt: skip
    world.tampered = True
    (seen,) = ask(world)
    assert seen.contradicts
    assert f"which has {before.size}" in (seen.fault or "")


def test_a_witness_must_know_the_log_and_its_key(sqlite_world: World, tmp_path: Path) -> None:
    """404 and 403, each with what to do; then it is told, and cosigns."""
    world = sqlite_world
    grow(world)
    origin, vkey = origin_and_vkey(world)
    other = str(VerifierKey(origin, Ed25519PrivateKey.generate().public_key().public_bytes_raw()))
    for known, says in (({}, "does not know this log"), ({origin: other}, "another key for this log")):
        one = AicsWitness(tmp_path / says[:4], "witness.example/w1", known)
        name(world, one.witness)
        with one.running():
            (seen,) = ask(world)
        assert says in (seen.fault or "")
    one.add_log(origin, vkey)
    world.clock.offset += timedelta(seconds=6)
    with one.running():
        (seen,) = ask(world)
    assert (seen.size, seen.fault) == (len(world.entries()), None)


def test_a_partner_demands_witnesses_and_is_told_who_saw_it(real: AicsWitness, world: World, tmp_path: Path) -> None:
    """With the client, over HTTP: proven with the witness and its time, not yet without, refuted never."""
    answer = grow(world)
    with served(world) as endpoint:
        client = Client(
            endpoint, world.example.tokens["cleared"], environment={"WEIGHTGATE_STATE": str(tmp_path / "state")}
        )
        saved = json.dumps(answer).encode()
        with pytest.raises(CannotTell, match="has 0 of the 1 cosignatures"):
            client.verify_receipt(saved, witnesses=[real.vkey])
        ask(world)
        done = client.verify_receipt(saved)  # the demand is remembered
        assert [one.name for one in done.found.witnesses] == ["witness.example/w1"]
        assert f"Cosigned by witness.example/w1 on {done.found.witnesses[0].at}" in done.verdict.sentence
        stranger = VerifierKey("other.example/w2", b"\x11" * 32, Kind.COSIGNATURE)
        with pytest.raises(CannotTell, match="has 1 of the 2"):
            client.verify_receipt(saved, witnesses=[real.vkey, str(stranger)])
        assert client.verify_receipt(saved, witnesses=[real.vkey, str(stranger)], witnesses_required=1).found.witnesses


@contextmanager
def served(world: World) -> Iterator[str]:
    """The world's application on a port of its own."""
    server = make_server("127.0.0.1", 0, world.client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Answer = Callable[[bytes], tuple[int, str, bytes]]


@contextmanager
def faulty(answer: Answer) -> Iterator[Witness]:
    """A witness at the outer edge that answers as a test says."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, kind, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    key = VerifierKey("witness.example/w1", public, Kind.COSIGNATURE)
    try:
        yield Witness(url=f"http://127.0.0.1:{server.server_port}", vkey=str(key))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def note_of(request: bytes) -> bytes:
    return request.partition(b"\n\n")[2]


def _replayed(kept: list[bytes]) -> Answer:
    """It cosigned once, and says the same for ever."""

    def answer(request: bytes) -> tuple[int, str, bytes]:
        kept.append(cosign(note_of(request), int(time.time())))
        return 200, "text/plain", kept[0]

    return answer


FAULTY: dict[str, tuple[Answer, str]] = {
    "a signature over another head": (
        lambda request: (200, "text/plain", cosign(note_of(request).replace(b"\n", b"x\n", 1), int(time.time()))),
        "no valid cosignature",
    ),
    "an old time": (
        lambda request: (200, "text/plain", cosign(note_of(request), int(time.time()) - 3600)), "an old one",
    ),
    "no end": (lambda _: (200, "text/plain", b"x" * 100_000), "larger than"),
    "a redirect": (lambda _: (302, "text/plain", b""), "redirects"),
    "409 for ever": (lambda _: (409, "text/x.tlog.size", b"1\n"), "same size twice"),
    "an error": (lambda _: (500, "text/plain", b"oh"), "answered 500"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTY)
def test_a_faulty_witness_is_told_of_and_stores_nothing(sqlite_world: World, what: str) -> None:
    """Its fault is in words of ours; heads are served as before, and issuing goes on."""
    answer, says = FAULTY[what]
    grow(sqlite_world)
    with faulty(answer) as witness:
        name(sqlite_world, witness)
        (seen,) = ask(sqlite_world)
    assert says in (seen.fault or "")
    assert (seen.size, seen.contradicts) == (0, False)
    assert shown(sqlite_world).count("\n— ".encode()) == 1
    assert grow(sqlite_world)["files"]


def test_a_cosignature_that_is_replayed_for_a_later_head_is_refused(sqlite_world: World) -> None:
    """It was good for the head that it was made for, and stays there; the next one gets none."""
    kept: list[bytes] = []
    with faulty(_replayed(kept)) as witness:
        name(sqlite_world, witness)
        grow(sqlite_world)
        assert ask(sqlite_world)[0].fault is None
        size = len(sqlite_world.entries())
        grow(sqlite_world)
        (seen,) = ask(sqlite_world)
    assert (seen.size, seen.fault) == (size, "its answer has no valid cosignature by its key")
    assert len(kept) == 2


def test_a_witness_that_does_not_answer_is_asked_ever_less_often(sqlite_world: World) -> None:
    """Sealing and issuing do not know of it; after a quarter of an hour it is told of as away, and comes back alone."""
    world = sqlite_world
    with faulty(lambda request: (200, "text/plain", cosign(note_of(request), int(world.clock().timestamp())))) as there:
        pass
    name(world, there)  # nobody listens there any more
    grow(world)
    tried = []
    for _ in range(40):
        (seen,) = ask(world)
        with world.use.database.reading() as session:
            view = session.scalars(select(witnessing.WitnessView)).one()
            tried.append((view.failures, (view.ask_again_at - world.clock()).total_seconds()))
        world.clock.offset += timedelta(seconds=60)
        grow(world)
    assert "connection refused" in (seen.fault or "")
    assert tried[-1][0] < 20  # of 40 minutes
    assert max(pause for _, pause in tried) <= LONGEST_PAUSE.total_seconds()
    assert seen.away
    assert not Health(world.use).look().part("witnesses").ok
    assert any("NOT COSIGNING" in line for line in _lines(log_status.known(world.use)))
    assert log_status.known(world.use).problems == []
    with pytest.raises(Wrong, match="connection refused"):
        witness_checks.cosign(world.use)


def test_a_slow_witness_holds_up_nobody(sqlite_world: World) -> None:
    """While it is waited for, another is asked, entries are sealed, and downloads are issued."""
    world, waiting, asked = sqlite_world, threading.Event(), threading.Event()

    def slow(_: bytes) -> tuple[int, str, bytes]:
        asked.set()
        waiting.wait(30)
        return 500, "text/plain", b""

    grow(world)
    with faulty(slow) as witness:
        name(world, witness)
        thread = threading.Thread(target=witnessing.ask, args=(world.use, witness))
        thread.start()
        assert asked.wait(10)
        assert grow(world)["files"]
        assert world.seal() == 0
        witnessing.ask(world.use, witness)  # another worker leaves it to this one
        waiting.set()
        thread.join()
    with world.use.database.reading() as session:
        assert witnessing.seen(session, world.use, logs.current(session))[0].fault == "it answered 500"


def test_a_drop_by_drop_witness_is_cut_off(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock, and not from byte to byte."""
    monkeypatch.setattr(witnessing, "ANSWER_SECONDS", 0.2)
    released = threading.Event()
    grow(sqlite_world)
    with faulty(lambda _: (released.wait(20), (200, "text/plain", b""))[1]) as witness:
        name(sqlite_world, witness)
        (seen,) = ask(sqlite_world)
        released.set()
    assert seen.fault == "timed out"


def test_the_worker_asks_and_the_pages_tell(sqlite_world: World, tmp_path: Path) -> None:
    """From the settings file on: a worker of its own process has the head cosigned, and auditors see it."""
    world = sqlite_world
    one = AicsWitness(tmp_path / "witness", "witness.example/w1", dict([origin_and_vkey(world)]))
    with one.running():
        named = {"witnesses": [{"url": one.witness.url, "vkey": one.vkey}]}
        world.settings = write_settings(world.template, world.folder, world.settings.database_url, **named)
        world.use.settings = world.settings
        grow(world)
        with working(world) as (worker,):
            worker.until(lambda: shown(world).count("\n— ".encode()) == 2)
        assert witness_checks.cosign(world.use).startswith("witness.example/w1 cosigned the log on ")
    page = world.visit("auditor").get("/audit/heads").text
    assert "witness.example/w1" in page
    assert "follows" in page
    assert any(
        line.startswith("witness          witness.example/w1: cosigned") for line in _lines(log_status.known(world.use))
    )


def test_a_witness_that_cosigned_nothing_is_no_good_news(sqlite_world: World, tmp_path: Path) -> None:
    """The doctor says so, also of one that nobody has asked yet; and where there is no log, that there is none."""
    world = sqlite_world
    one = AicsWitness(tmp_path / "witness", "witness.example/w1", {})  # it knows no log
    with one.running():
        name(world, one.witness)
        with pytest.raises(Wrong, match=r"witness\.example/w1: "):
            witness_checks.cosign(world.use)
    empty = tmp_path / "empty.sqlite3"
    migrations.upgrade(f"sqlite:///{empty}")
    world.use.settings = world.use.settings.model_copy(update={"database_url": f"sqlite:///{empty}"})
    with closing(Resources(world.use.settings)) as before, pytest.raises(Wrong, match="there is no log yet"):
        witness_checks.cosign(before)
