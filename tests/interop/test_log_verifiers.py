"""Verifiers that this project did not write accept our log, and refuse it once anything in it was changed.

Go's `note` and `tlog` (which check Go's module mirror), PyPI's tlog-scales, and the witness of PyPI's witness-log. They
need `python -m tests.prepare`; what they are asked, and how, is in the scripts beside this file.
"""

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from server.domain.audit import mirror
from server.log import entries, heads, notes, tiles, tree
from server.log.entries import Log
from server.log.heads import Head
from server.log.notes import Signer, VerifierKey
from server.log.proofs import Proof
from tests.interop.log_folder import WrittenLog, bundles_of, write
from tests.log.small_trees import LEAVES, READ, ROOTS, spoiled
from tests.own_keys import give_own_keys
from tests.own_store import own_bucket
from tests.parts import missing
from tests.prepare import GO_VERIFIERS, LOG_VERIFIERS
from tests.world import World

FOLDER = Path(__file__).parent
VECTORS = FOLDER.parent / "vectors"
ORIGIN = "weights.example.org/downloads/2026"
SIGNER = Signer.from_seed(ORIGIN, bytes(range(32)))
IMPOSTOR = Signer.from_seed(ORIGIN, bytes(range(1, 33)))  # another key under the log's name
VKEY = str(SIGNER.key)
SIZES = [1, 255, 256, 257, 70_000]
SMALL = 257  # of the log that is tampered with: two tiles of leaves, one level above
EARLIER = 200  # of the head that a reader has kept
WITNESS = {"name": "witness.example/w1", "seed": bytes([7] * 32).hex()}
NOW = 1_767_225_600

Verifier = Callable[..., "subprocess.CompletedProcess[str]"]
Logs = Callable[[int], WrittenLog]


def entry(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big")).digest()


def run(*command: str | Path, told: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(part) for part in command], input=told, capture_output=True, encoding="utf-8", check=False, timeout=300
    )


@pytest.fixture(scope="module")
def go() -> Path:
    """Our small program around Go's packages."""
    program = GO_VERIFIERS / "verify"
    return program if program.exists() else missing("go_verifiers")


@pytest.fixture(scope="module")
def environment() -> Path:
    """The programs of the environment with tlog-scales and witness-log."""
    return LOG_VERIFIERS / "bin" if (LOG_VERIFIERS / ".installed").exists() else missing("log_verifiers")


@pytest.fixture(params=["go", "tlog_scales"])
def verifier(request: pytest.FixtureRequest) -> Verifier:
    """Verify a whole log: its folder, the log's key, and perhaps the file of an earlier head."""
    if request.param == "go":
        program = request.getfixturevalue("go")
        return lambda folder, vkey, *earlier: run(program, "log", folder, vkey, *earlier)
    command = (request.getfixturevalue("environment") / "python", FOLDER / "tlog_scales_verify.py")
    return lambda folder, vkey, *earlier: run(
        *command, folder, vkey, *(part for head in earlier for part in ("--earlier", head))
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Our log at each size that is asked for, written once. Nobody changes these: see `copy`."""
    written: dict[int, WrittenLog] = {}

    def at(size: int) -> WrittenLog:
        if size not in written:
            folder = tmp_path_factory.mktemp(f"log-{size}")
            written[size] = write(folder, [entry(number) for number in range(size)], SIGNER)
        return written[size]

    return at


@pytest.fixture
def copy(logs: Logs, tmp_path: Path) -> Path:
    """A small log that the test may change."""
    return Path(shutil.copytree(logs(SMALL).folder, tmp_path / "log"))


@pytest.fixture
def earlier(logs: Logs, tmp_path: Path) -> Path:
    """The head that a reader kept when the log was smaller."""
    path = tmp_path / "earlier"
    path.write_bytes(logs(EARLIER).note)
    return path


def flip(path: Path, at: int = 40) -> None:
    """Change one bit of one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit_head(folder: Path, old: str, new: str) -> None:
    text = (folder / "checkpoint").read_text(encoding="utf-8")
    assert old in text
    (folder / "checkpoint").write_text(text.replace(old, new, 1), encoding="utf-8")


def sign_head(folder: Path, signer: Signer = SIGNER, size: int | None = None) -> None:
    head = heads.verify((folder / "checkpoint").read_bytes(), SIGNER.key)
    head = replace(head, size=size or head.size)
    (folder / "checkpoint").write_bytes(heads.sign(head, signer))


def rewrite(folder: Path, entries: list[bytes]) -> None:
    """Another log, whole and signed by the right key: only a kept head can tell."""
    shutil.rmtree(folder)
    folder.mkdir()
    write(folder, entries, SIGNER)


TAMPERED: dict[str, tuple[Callable[[Path], None], str, str]] = {  # what was done; what Go and tlog-scales then say
    "a byte of a full tile": (lambda log: flip(log / "tile/0/000"), "tile/0/000 is not", "InclusionProofInvalid"),
    "a byte of a partial tile": (lambda log: flip(log / "tile/0/001.p/1", 5), "001.p/1 is not", "another root"),
    "a byte of an upper tile": (lambda log: flip(log / "tile/1/000.p/1", 5), "tile/1/000.p/1 is not", "another root"),
    "a byte of an entry": (lambda log: flip(log / "tile/entries/000"), "another root", "entry 1 does not give"),
    "an entry of another length": (
        lambda log: flip(log / "tile/entries/000", 1), "cut short", "truncated"
    ),
    "the size": (lambda log: edit_head(log, "\n257\n", "\n256\n"), "invalid signature", "InvalidSignature"),
    "the size, signed by the right key": (lambda log: sign_head(log, size=256), "another root", "another root"),
    "the origin": (lambda log: edit_head(log, ORIGIN, ORIGIN[:-1] + "7"), "invalid signature", "InvalidSignature"),
    "a signature by a wrong key": (lambda log: sign_head(log, IMPOSTOR), "no verifiable", "no signature matched"),
    "a fork, signed by the right key": (
        lambda log: rewrite(log, [entry(number if number != 3 else 10**6) for number in range(SMALL)]),
        "has not grown from its earlier head", "ConsistencyProofInvalid",
    ),
    "a log that shrank, signed by the right key": (
        lambda log: rewrite(log, [entry(number) for number in range(EARLIER - 1)]), "invalid inputs", "AssertionError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_our_log_is_accepted(size: int, verifier: Verifier, logs: Logs) -> None:
    """Head, entries and every tile of a log that our code wrote are what others compute."""
    result = verifier(logs(size).folder, VKEY)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_log_is_accepted_as_the_server_serves_it(verifier: Verifier, sqlite_world: World, tmp_path: Path) -> None:
    """Sealed in the database and fetched over HTTP, every tile of it; and refused when one commitment is another."""
    vkey = fetch_all(sqlite_world, tmp_path)
    done = verifier(tmp_path, vkey)
    assert done.returncode == 0, done.stderr
    flip(tmp_path / "tile" / "entries" / "000")
    assert verifier(tmp_path, vkey).returncode == 1


def test_the_log_is_accepted_from_its_mirror_alone(verifier: Verifier, sqlite_world: World, tmp_path: Path) -> None:
    """Every object of the mirror in a real bucket, copied to a folder; refused when one of them is another."""
    with own_bucket(sqlite_world) as name:
        give_own_keys(sqlite_world, log_mirror=name, log_mirror_key_file=str(sqlite_world.settings.publisher_key_file))
        with sqlite_world.use.database.transaction() as session:
            for number in range(300):
                entries.append(session, kind="test", at=sqlite_world.clock(), record={"number": number})
            vkey = session.scalars(select(Log.vkey)).one()
        sqlite_world.seal()
        mirror.mirror(sqlite_world.use)
        bucket = sqlite_world.use.log_mirror
        assert bucket is not None
        for key in bucket.list_keys(""):
            path = tmp_path / key.partition("/")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            bucket.download(key, path)
    done = verifier(tmp_path, vkey)
    assert done.returncode == 0, done.stderr
    flip(tmp_path / "tile" / "0" / "000")
    assert verifier(tmp_path, vkey).returncode == 1


def fetch_all(world: World, folder: Path) -> str:
    """Everything of a log of more than one tile, as it is served, into a folder; returns the log's key."""
    with world.use.database.transaction() as session:
        for number in range(300):
            entries.append(session, kind="test", at=world.clock(), record={"number": number})
    world.seal()
    head = world.client.get("/log/checkpoint").data
    (folder / "checkpoint").write_bytes(head)
    size = int(head.split(b"\n")[1])
    for tile in (*tiles.tiles_of(size), *bundles_of(size)):
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = world.client.get(f"/log/{tile.path}")
        assert (answer.status_code, answer.mimetype) == (200, "application/octet-stream")
        path.write_bytes(answer.data)
    return str(world.api("GET", "/keys", None).json["log_vkey"])


@pytest.mark.parametrize("size", [EARLIER, 256, SMALL])
def test_our_log_has_grown_from_its_earlier_heads(size: int, verifier: Verifier, logs: Logs, tmp_path: Path) -> None:
    """A reader who kept a head, and reads 70,000 entries now, finds his own among them."""
    (tmp_path / "earlier").write_bytes(logs(size).note)
    result = verifier(logs(SIZES[-1]).folder, VKEY, tmp_path / "earlier")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("what", TAMPERED)
def test_our_log_is_refused_when_something_was_changed(
    what: str, verifier: Verifier, copy: Path, earlier: Path, request: pytest.FixtureRequest
) -> None:
    """Accepted as it was, refused with the one change, and for the reason that we meant."""
    change, *reasons = TAMPERED[what]
    assert verifier(copy, VKEY, earlier).returncode == 0
    change(copy)
    result = verifier(copy, VKEY, earlier)
    assert result.returncode == 1
    assert reasons[request.node.callspec.params["verifier"] != "go"] in result.stderr


def test_a_reader_with_another_key_refuses_our_log(verifier: Verifier, logs: Logs) -> None:
    """The log's name alone convinces nobody."""
    assert verifier(logs(SMALL).folder, str(IMPOSTOR.key)).returncode == 1


def test_our_proof_file_is_tlog_scales_own(environment: Path, logs: Logs) -> None:
    """At the edges of tiles our file without the extra line, which they do not write, is theirs to the byte."""
    log = logs(SIZES[-1])
    for index in (0, 255, 256, 65_535, 65_536, 69_999):
        proof = Proof(index, tuple(tree.inclusion_proof(index, log.head.size, log.read)), log.note)
        result = run(environment / "tlog-tiles", "gen-proof", log.folder, str(index))
        assert result.stdout.encode() == proof.encode(), result.stderr
        assert Proof.parse(result.stdout.encode()) == proof


def as_case(kind: str, proof: list[bytes], **values: int | bytes) -> dict[str, Any]:
    encoded = {name: notes.encode_bytes(value) if isinstance(value, bytes) else value for name, value in values.items()}
    return {"Kind": kind, "Proof": [notes.encode_bytes(part) for part in proof], **encoded}


def judged(go: Path, cases: list[dict[str, Any]]) -> list[bool]:
    result = run(go, "proofs", told=json.dumps(cases))
    assert result.returncode == 0, result.stderr
    return [not verdict for verdict in json.loads(result.stdout)]


def holds(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except tree.NotProven:
        return False
    return True


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 32, 33, 70])
def test_our_verdict_on_every_proof_is_go_s(size: int, go: Path) -> None:
    """True or spoiled, of this size and index or the next: Go accepts what we accept and refuses what we refuse."""
    cases: list[dict[str, Any]] = []
    ours: list[bool] = []
    for index in range(size):
        true = tree.inclusion_proof(index, size, READ)
        for proof in [true, *(bad for bad in spoiled(true) if all(len(part) == tree.HASH_BYTES for part in bad))]:
            for at, of in [(index, size), (index + 1, size), (index, size + 1), (index, size - 1)]:
                cases.append(as_case("inclusion", proof, Index=at, Size=of, Leaf=LEAVES[index], Root=ROOTS[size]))
                ours.append(holds(tree.verify_inclusion, LEAVES[index], at, of, proof, ROOTS[size]))
    assert judged(go, cases) == ours
    assert ours.count(True) >= size
    assert ours.count(False) > ours.count(True)


@pytest.mark.parametrize("name", ["notes", "receipts"])
def test_go_agrees_with_the_known_notes(name: str, go: Path) -> None:
    """Of the shared vectors Go accepts the accepted and refuses the refused, but where they say that it is lenient."""
    vectors = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    for case in vectors["accepted"]:
        result = run(go, "note", case["vkey"], told=case.get("note") or case["receipt"])
        assert (result.returncode, result.stderr) == (0, ""), case["about"]
    for case in vectors["refused"]:
        if "note" in case and "go" not in case and not any("\ud800" <= sign <= "\udfff" for sign in case["note"]):
            assert run(go, "note", case["vkey"], told=case["note"]).returncode == 1, case["about"]


class Witness:
    """A witness that begins anew: what it answers to heads in this order."""

    def __init__(self, environment: Path) -> None:
        self.command = (environment / "python", FOLDER / "witness_log_cosign.py")
        self.requests: list[tuple[str, int]] = []

    def ask(self, note: bytes, old_size: int = 0, proof: list[bytes] | None = None) -> "Witness":
        """Add a request, as C2SP tlog-witness has it."""
        lines = [f"old {old_size}", *map(notes.encode_bytes, proof or [])]
        self.requests.append(("\n".join(lines) + "\n\n" + note.decode(), NOW + len(self.requests)))
        return self

    def answers(self) -> tuple[VerifierKey, list[tuple[int, str, str]]]:
        """Return the witness's key, and for each request status, content type and body."""
        told = {**WITNESS, "logs": [[ORIGIN, VKEY]], "requests": self.requests}
        result = run(*self.command, told=json.dumps(told))
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout)
        return VerifierKey.parse(answer["vkey"]), [tuple(part) for part in answer["answers"]]

    def last(self) -> tuple[int, str, str]:
        return self.answers()[1][-1]


@pytest.fixture
def witness(environment: Path) -> Witness:
    return Witness(environment)


def forked(size: int, tmp_path: Path) -> WrittenLog:
    """A log of ours that differs in entry 3, signed by the right key."""
    return write(tmp_path, [entry(number if number != 3 else 10**6) for number in range(size)], SIGNER)


def test_a_witness_cosigns_our_log_as_it_grows(witness: Witness, logs: Logs) -> None:
    """With our consistency proofs it follows the log from 1 to 70,000 entries, and each cosignature holds."""
    steps = [logs(size) for size in SIZES]
    witness.ask(steps[0].note)
    for old, new in itertools.pairwise(steps):
        witness.ask(new.note, old.head.size, tree.consistency_proof(old.head.size, new.head.size, new.read))
    key, answers = witness.answers()
    assert [status for status, _, _ in answers] == [200] * len(SIZES)
    for number, (log, (_, _, lines)) in enumerate(zip(steps, answers, strict=True)):
        cosigned = notes.with_cosignature(log.note, lines.encode(), key)
        assert notes.verify_cosignature(cosigned, key) == NOW + number
        assert heads.verify(cosigned, SIGNER.key) == log.head


def test_a_cosigned_head_is_accepted_by_another_s_verifier(
    witness: Witness, environment: Path, copy: Path, logs: Logs
) -> None:
    """The note that we put together from a witness's answer satisfies tlog-scales as to log and witness, and Go's."""
    key, answers = witness.ask(logs(SMALL).note).answers()
    cosigned = notes.with_cosignature(logs(SMALL).note, answers[0][2].encode(), key)
    (copy / "checkpoint").write_bytes(cosigned)
    command = (environment / "python", FOLDER / "tlog_scales_verify.py", copy, VKEY, "--cosigner")
    assert run(*command, str(key)).returncode == 0
    other = Signer.from_seed(key.name, bytes(32)).key
    assert run(*command, str(replace(other, kind=notes.Kind.COSIGNATURE))).returncode == 1


def test_a_cosigned_head_is_accepted_by_go(witness: Witness, go: Path, logs: Logs) -> None:
    """A witness's line under the head, which Go's package does not know, does not disturb it."""
    key, answers = witness.ask(logs(SMALL).note).answers()
    cosigned = notes.with_cosignature(logs(SMALL).note, answers[0][2].encode(), key)
    result = run(go, "note", VKEY, told=cosigned.decode())
    assert (result.returncode, result.stdout) == (0, logs(SMALL).head.text)


@pytest.mark.parametrize("old_size", [0, EARLIER])
def test_a_witness_refuses_a_rollback(old_size: int, witness: Witness, logs: Logs) -> None:
    """A restored backup's head, signed by the right key, is answered with 409 and the size that the witness knows."""
    status, kind, body = witness.ask(logs(SMALL).note).ask(logs(EARLIER).note, old_size).last()
    assert (status, kind, body) == (409, "text/x.tlog.size", f"{SMALL}\n")


def test_a_witness_refuses_a_fork(witness: Witness, logs: Logs, tmp_path: Path) -> None:
    """A longer log with another past cannot be proven from the cosigned head: 422, whatever proof comes with it."""
    fork = forked(300, tmp_path / "fork")
    true, witness = tree.consistency_proof(SMALL, 300, fork.read), witness.ask(logs(SMALL).note)
    for proof in (true, [], *spoiled(true)):
        if all(len(part) == tree.HASH_BYTES for part in proof):
            witness.ask(fork.note, SMALL, proof)
    _, answers = witness.answers()
    assert [status for status, _, _ in answers] == [200] + [422] * (len(answers) - 1)
    assert len(answers) > 3


def test_a_witness_refuses_a_second_root_for_one_size(witness: Witness, logs: Logs, tmp_path: Path) -> None:
    """Two heads of one size, both signed by the right key, are never both cosigned."""
    fork = forked(SMALL, tmp_path / "fork")
    status, _, body = witness.ask(logs(SMALL).note).ask(fork.note, SMALL).last()
    assert status in (409, 422)  # the specification says 409, this witness says 422
    assert "— " not in body


def test_a_witness_refuses_a_changed_or_foreign_head(witness: Witness, logs: Logs) -> None:
    """A size changed after signing, a key that is not the log's, and a log it was not told of are not cosigned."""
    log = logs(SMALL)
    changed = log.note.replace(b"\n257\n", b"\n258\n")
    stranger = Signer.from_seed("stranger.example/downloads/2026", bytes(32))
    unknown = heads.sign(Head(stranger.key.name, SMALL, log.head.root), stranger)
    witness.ask(changed).ask(heads.sign(log.head, IMPOSTOR)).ask(unknown).ask(log.note)
    assert [status for status, _, _ in witness.answers()[1]] == [403, 403, 404, 200]
