"""The log's public part over HTTP, to the byte; and what a partner gets to prove its own download with."""

from typing import Any

import pytest
from weightgate.log import answer as client_answer
from weightgate.log import head as client_head
from weightgate.log import note as client_note
from weightgate.log import proof as client_proof

from server.domain.downloads import issuing
from server.log import entries, tree
from server.log.notes import VerifierKey
from server.log.proofs import verify as verify_proof
from server.log.receipts import verify as verify_receipt
from tests import own_keys, tampering
from tests.log import plain_tree
from tests.long_logs import append_many
from tests.own_keys import give_own_keys
from tests.web.problems import require_problem
from tests.world import World

FOR_EVER = "public, max-age=31536000, immutable"
NEVER = "no-store"


@pytest.fixture
def long_log(sqlite_world: World) -> World:
    """A world whose log has 515 entries, all sealed: three tiles, and a level above them."""
    append_many(sqlite_world, 515 - len(sqlite_world.entries()))
    sqlite_world.seal()
    return sqlite_world


def commitments(world: World) -> list[bytes]:
    """What was sealed, in the order of ids: with one appender that is the tree's."""
    return [entry.commitment for entry in world.entries() if entry.leaf_index is not None]


def get(world: World, path: str, method: str = "GET") -> Any:
    """Ask as a stranger, without anything but the address."""
    answer = world.client.open(f"/log/{path}", method=method)
    assert "Set-Cookie" not in answer.headers
    return answer


def missing(world: World, path: str) -> None:
    """404, and nobody is to keep that: it may be there a second later."""
    answer = get(world, path)
    require_problem(answer, 404, "not_found")
    assert answer.headers["Cache-Control"] == NEVER


def test_the_head_is_the_signed_note_of_what_is_sealed(world: World) -> None:
    """Plain text, never kept; both verifiers read it with the key that /api/v1/keys shows."""
    world.seal()
    found = get(world, "checkpoint")
    assert (found.status_code, found.mimetype, found.headers["Cache-Control"]) == (200, "text/plain", NEVER)
    key = world.api("GET", "/keys", None).json["log_vkey"]
    sealed = commitments(world)
    head = client_head.read(found.data, client_note.parse_vkey(key), "The head")
    assert (head.size, head.root) == (len(sealed), plain_tree.root(sealed))
    assert found.text.split("\n")[0] == key.partition("+")[0]
    again = get(world, "checkpoint", "HEAD")
    assert (again.status_code, again.data) == (200, b"")
    assert again.headers["Content-Length"] == str(len(found.data))


def test_the_head_moves_with_the_sealer_alone(world: World) -> None:
    """An entry that waits is not in it, and its bundle is not to be had yet."""
    world.seal()
    size, before = len(world.entries()), get(world, "checkpoint").data
    missing(world, f"tile/entries/000.p/{size + 1}")
    issuing.issue(world.use, world.caller("cleared"), world.order())
    assert get(world, "checkpoint").data == before
    missing(world, f"tile/entries/000.p/{size + 1}")
    missing(world, f"tile/0/000.p/{size + 1}")
    world.seal()
    assert get(world, "checkpoint").data != before
    assert get(world, f"tile/entries/000.p/{size + 1}").status_code == 200


def test_every_tile_and_bundle_is_served_to_the_byte(long_log: World) -> None:
    """At full width and at narrower ones; for ever, since it never changes."""
    sealed = commitments(long_log)
    served = {f"{level}/{number:03d}": (data, 32) for (level, number), data in plain_tree.tiles(sealed).items()}
    served |= {f"entries/{number:03d}": (data, 34) for number, data in plain_tree.bundles(sealed).items()}
    assert set(served) == {"0/000", "0/001", "0/002", "1/000", "entries/000", "entries/001", "entries/002"}
    for path, (data, hash_bytes) in served.items():
        width = len(data) // hash_bytes
        widths = {1, 2, width - 1} - {0, width} | ({width} if width < 256 else set())
        paths = {f"{path}.p/{part}": data[: part * hash_bytes] for part in widths}
        if width == 256:
            paths[path] = data
        for address, expected in paths.items():
            found = get(long_log, f"tile/{address}")
            assert (found.status_code, found.data) == (200, expected)
            assert found.mimetype == "application/octet-stream"
            assert found.headers["Cache-Control"] == FOR_EVER
            again = get(long_log, f"tile/{address}", "HEAD")
            assert (again.status_code, again.data) == (200, b"")
            assert again.headers["Content-Length"] == str(len(expected))


NO_TILES = [
    "0/002", "0/002.p/4", "0/003.p/1", "0/003", "1/000", "1/000.p/3", "1/001.p/1", "2/000.p/1", "63/000.p/1",
    "entries/002", "entries/002.p/4", "entries/003.p/1", "entries/x001/000",
    "0/0", "0/00", "0/0000", "0/000x", "0/x000", "0/x000/000", "0/1000", "0/-01", "0/+01", "0/ 00", "0/٠٠٠",
    "0/000.p/0", "0/000.p/256", "0/000.p/257", "0/000.p/01", "0/000.p/1x", "0/000.p/", "0/000.p", "0/000.p/-1",
    "00/000", "64/000.p/1", "-1/000", "x/000", "data/000", "0/000/", "0//000", "0", "0/", "", "0/000%00", "0/000%0A",
    "entries/000.p/0", "Entries/000", "0/../0/000", "99999999999999999999/000",
    "0/x999/x999/x999/x999/x999/x999/999",
]  # fmt: skip


def test_what_is_no_tile_of_this_log_is_not_found(long_log: World) -> None:
    """Not yet there, never there, or written in another form than the one: two names would be kept as two tiles."""
    for path in NO_TILES:
        missing(long_log, f"tile/{path}")


def test_the_log_is_only_read(sqlite_world: World) -> None:
    """Whoever writes to it does so with an act."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("checkpoint", "tile/0/000.p/1"):
            require_problem(get(sqlite_world, path, method), 405, "method_not_allowed")


def test_a_log_without_a_head_has_nothing_to_show(sqlite_world: World) -> None:
    """Right after `init`, before the first round."""
    sqlite_world.tampered = True
    tampering.run(sqlite_world.settings.database_url, "DELETE FROM log_heads")
    for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"):
        missing(sqlite_world, path)


def test_past_logs_stay_under_their_names(world: World) -> None:
    """The log that was closed keeps every address, byte for byte; the short addresses are the new one's."""
    give_own_keys(world)
    world.seal()
    with world.use.database.reading() as session:
        name = session.query(entries.Log).one().name
    narrow = get(world, "tile/0/000.p/7").data
    old_key = world.api("GET", "/keys", None).json["log_vkey"]
    own_keys.rotate(world.use, "A new year.")
    world.seal()
    log = get(world, f"{name}/checkpoint")
    head = client_head.read(log.data, client_note.parse_vkey(old_key), "The old head")
    with world.use.database.reading() as session:
        old_id = session.query(entries.Log).filter_by(name=name).one().id
    old = [entry.commitment for entry in world.entries() if entry.log_id == old_id]
    new = [entry.commitment for entry in world.entries() if entry.log_id != old_id]
    assert (head.size, head.root) == (len(old), plain_tree.root(old))
    assert get(world, f"{name}/tile/0/000.p/7").data == narrow
    assert get(world, f"{name}/tile/entries/000.p/{len(old)}").data == plain_tree.bundles(old)[0]
    assert log.headers["Cache-Control"] == NEVER
    assert get(world, f"{name}/tile/0/000.p/7").headers["Cache-Control"] == FOR_EVER
    key = world.api("GET", "/keys", None).json["log_vkey"]
    now = client_head.read(get(world, "checkpoint").data, client_note.parse_vkey(key), "The new head")
    assert (now.size, now.root) == (len(new), plain_tree.root(new))
    assert get(world, f"{now.origin.rpartition('/')[2]}/checkpoint").data == get(world, "checkpoint").data
    assert get(world, "tile/entries/000.p/1").data == b"\x00\x20" + new[0]


def test_a_log_that_there_is_not_is_not_found(sqlite_world: World) -> None:
    """Whatever is given for its name, on both databases."""
    for name in ("2025", "tile", "downloads", "%00", "20%2F26", "x" * 1000, "é", "2026%27--", ".", "%ED%A0%80"):
        missing(sqlite_world, f"{name}/checkpoint")
        missing(sqlite_world, f"{name}/tile/0/000.p/1")


# A partner's own download ---------------------------------------------------------------------------------------------


def issue(world: World) -> Any:
    answer = world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    assert answer.status_code == 201
    return answer


def test_the_receipt_verifies_with_the_shown_key(world: World) -> None:
    """By the client's code and by the server's: it promises this very entry within a minute."""
    answer = issue(world)
    key = world.api("GET", "/keys", None).json["receipt_vkey"]
    promise = client_answer.require_agreement(client_answer.parse(answer.data))
    promise.require_signed_by(client_note.parse_vkey(key))
    (entry,) = world.entries("download")
    theirs = verify_receipt(answer.json["receipt"].encode(), VerifierKey.parse(key))
    assert theirs.leaf == promise.leaf == tree.leaf_hash(entry.commitment)
    assert theirs.log == promise.log == world.api("GET", "/keys", None).json["log_origin"]
    assert (promise.time_ms, promise.mmd_seconds) == (world.records("download")[0]["time"], 60)


def test_the_proof_is_there_once_the_entry_is_sealed(world: World) -> None:
    """Before: 404, and when to ask again. After: a proof that both verifiers accept."""
    answer = issue(world)
    path = f"/downloads/{answer.json['id']}/proof"
    waiting = world.api("GET", path)
    assert (waiting.status_code, waiting.json["code"], waiting.headers["Retry-After"]) == (404, "not_sealed_yet", "1")
    world.seal()
    found = world.api("GET", path)
    assert (found.status_code, found.mimetype) == (200, "text/plain")
    saved = client_answer.parse(answer.data)
    promise = client_answer.require_agreement(saved)
    key = world.api("GET", "/keys", None).json["log_vkey"]
    index, head = client_proof.require_included(found.data, promise.leaf, saved.salt, client_note.parse_vkey(key))
    (entry,) = world.entries("download")
    assert (index, head.size) == (entry.leaf_index, len(world.entries()))
    assert verify_proof(found.data, promise.leaf, VerifierKey.parse(key)).size == head.size


def test_a_proof_is_the_organization_s_own(world: World) -> None:
    """For others the download does not exist, sealed or not; staff may see it; what is no id is no download."""
    download = issue(world).json["id"]
    for _ in range(2):
        require_problem(world.api("GET", f"/downloads/{download}/proof", "unsigned"), 404, "not_found")
        require_problem(world.api("GET", f"/downloads/{download}/proof", None), 401, "authentication_required")
        world.seal()
    assert world.api("GET", f"/downloads/{download}/proof", "auditor").status_code == 200
    other = download[:-1] + ("0" if download[-1] != "0" else "1")
    require_problem(world.api("GET", f"/downloads/{other}/proof"), 404, "not_found")
    require_problem(world.api("GET", "/downloads/7/proof"), 404, "not_found")
