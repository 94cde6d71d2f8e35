"""Evidence packs: what happened in a period, under each control, with proofs; and what is wrong with a changed one."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from server.domain.audit import erasure, evidence_checks, evidence_packs, evidence_page, logs
from server.domain.audit.evidence_packs import CONSISTENCY, DOCUMENT, OPENING, PAGE, PROOF, Pack
from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, NotPermitted, NotPossible
from server.domain.release import holds
from server.log import cosignatures, heads, notes, published, tree
from server.log.cosignatures import Cosignature
from server.log.entries import Log
from server.log.heads import Head
from server.log.notes import NotAKey, Signer, decode_bytes
from server.log.proofs import Proof
from tests import own_keys
from tests.log.small_trees import plain_hashes
from tests.own_keys import give_own_keys
from tests.world import World

WHILE = timedelta(days=1)


def made(world: World, framework: str = "soc2", **more: Any) -> Pack:
    at = world.clock()
    return evidence_packs.make(world.use, world.person("auditor"), framework, at - WHILE, at + WHILE, **more)


def written(pack: Pack, folder: Path) -> Path:
    for name, content in pack.files.items():
        (folder / name).write_bytes(content)
    return folder


def vkeys(world: World) -> list[str]:
    with world.use.database.reading() as session:
        return [log.vkey for log in session.query(Log)]


def control(pack: Pack, number: str) -> dict[str, Any]:
    (found,) = [one for one in pack.document["controls"] if one["id"] == number]
    return dict(found)


def test_a_pack_shows_the_entries_of_each_control(world: World, tmp_path: Path) -> None:
    """Counted by hand: two downloads and a hold; each entry with its opening, and the export in the log."""
    first = issuing.issue(world.use, world.caller("cleared"), world.order())
    issuing.issue(world.use, world.caller("cleared"), world.order(paths=("checkpoint",)))
    holds.place(world.use, world.admin, "gpt-2/774M", "A finding.")
    pack = made(world)
    access = control(pack, "CC6.1")
    assert access["kinds"] == [{"kind": "download", "words": "Download issued", "count": 2}]
    assert access["settings"]["url_lifetime_seconds"] == world.settings.url_lifetime_seconds
    shown = [pack.document["entries"][place] for place in access["entries"]]
    assert json.loads(shown[0]["record"])["download"] == first.id
    assert {(one["person"], one["organization"], one["about"]) for one in shown} == {
        ("owner@aurora-institute.example", "aurora-institute", "gpt-2/774M")
    }
    response = control(pack, "CC7.4")
    assert [kind["count"] for kind in response["kinds"] if kind["kind"] == "hold.place"] == [1]
    (record,) = world.records("evidence.export")
    assert record["files"] == [
        {"path": path, "sha256": sha256(pack.files[path]).hexdigest()} for path in (DOCUMENT, PAGE)
    ]
    assert (record["framework"], record["actor"]["person"]) == ("soc2", world.person("auditor").person)
    found = evidence_checks.check(written(pack, tmp_path), vkeys(world))
    assert (found.faults, found.is_unproven) == ([], False)
    assert found.entries == len(pack.document["entries"])


def test_a_control_without_entries_says_so(sqlite_world: World) -> None:
    """In words on the page, and as an empty list; a period of before the log has a pack of nothing, proven too."""
    world = sqlite_world
    at = world.clock() - timedelta(days=400)
    pack = evidence_packs.make(world.use, world.admin, "gpai", at, at + WHILE)
    assert (pack.document["entries"], pack.document["logs"]) == ([], [])
    page = pack.files[PAGE].decode()
    assert page.count("No entries in the period.") == len(pack.document["controls"])
    assert pack.is_proven


@pytest.mark.parametrize("framework", ["gpai", "rand", "soc2"])
def test_every_framework_makes_a_pack_that_verifies(framework: str, sqlite_world: World, tmp_path: Path) -> None:
    """Over all that the example did; no file has a secret of the settings in it."""
    world = sqlite_world
    pack = made(world, framework)
    assert evidence_checks.check(written(pack, tmp_path), vkeys(world)).faults == []
    everything = b"".join(pack.files.values())
    assert str(world.folder).encode() not in everything


def test_the_period_includes_its_start_and_not_its_end(sqlite_world: World) -> None:
    """And never reaches beyond now, whatever is asked."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    at = world.entries()[-1].appended_at
    assert control(evidence_packs.make(world.use, world.admin, "soc2", at, at + WHILE), "CC6.1")["entries"]
    assert not control(evidence_packs.make(world.use, world.admin, "soc2", at - WHILE, at), "CC6.1")["entries"]
    with pytest.raises(InvalidRequest, match="no past"):
        evidence_packs.make(world.use, world.admin, "soc2", at + WHILE, at + 2 * WHILE)


def test_too_many_entries_are_refused_and_nothing_is_told(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut pack would look like a whole one."""
    monkeypatch.setattr(evidence_packs, "ENTRIES_AT_MOST", 3)
    with pytest.raises(InvalidRequest, match="at most 3"):
        made(sqlite_world)
    assert sqlite_world.records("evidence.export") == []


@pytest.mark.parametrize("name", ["publisher", "cleared"])
def test_only_admins_and_auditors_export(name: str, sqlite_world: World) -> None:
    """A pack has what every partner did."""
    world = sqlite_world
    with pytest.raises(NotPermitted):
        evidence_packs.make(world.use, world.person(name), "soc2", world.clock() - WHILE, world.clock())
    assert world.records("evidence.export") == []


def test_entries_of_two_logs_are_proven_by_two_heads(sqlite_world: World, tmp_path: Path) -> None:
    """An erased entry keeps its place: commitment and proof, no record. Each log's key is asked for."""
    world = sqlite_world
    give_own_keys(world)
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    erasure.erase(world.use, world.admin, download.id, "A request.")
    own_keys.rotate(world.use)
    holds.place(world.use, world.admin, "gpt-2/774M", "A finding.")
    world.seal()
    pack = made(world)
    assert len(pack.document["logs"]) == 2
    (erased,) = [one for one in pack.document["entries"] if one["kind"] == "download"]
    assert (erased["record"], erased["salt"]) == ("", "")
    assert "download (erased)" in pack.files[PAGE].decode()
    folder = written(pack, tmp_path)
    found = evidence_checks.check(folder, vkeys(world))
    assert (found.faults, found.erased) == ([], 1)
    with pytest.raises(NotAKey, match="was not given"):
        evidence_checks.check(folder, vkeys(world)[1:])


def test_the_proof_can_follow_later(sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody seals, the rest is there, and is not called proven; another log's export is refused."""
    world = sqlite_world
    monkeypatch.setattr(evidence_packs, "SEALED_WITHIN_SECONDS", 0)
    prove = evidence_packs.prove
    monkeypatch.setattr(evidence_packs, "prove", partial(prove, patience_seconds=0))
    pack = made(world)
    assert set(pack.files) == {DOCUMENT, PAGE, OPENING}
    found = evidence_checks.check(written(pack, tmp_path), vkeys(world))
    assert (found.faults, found.is_unproven) == ([], True)
    proof = prove(world.use, pack.files[OPENING], pack.files[DOCUMENT])
    assert proof is not None
    for name, content in proof.items():
        (tmp_path / name).write_bytes(content)
    found = evidence_checks.check(tmp_path, vkeys(world))
    assert (found.faults, found.is_unproven) == ([], False)
    other = json.loads(pack.files[OPENING]) | {"commitment": "A" * 43 + "="}
    with pytest.raises(NotPossible, match="No log of this instance"):
        prove(world.use, json.dumps(other).encode(), pack.files[DOCUMENT])
    with pytest.raises(NotPossible, match=r"not the export\.json"):
        prove(world.use, b"{}", pack.files[DOCUMENT])
    with pytest.raises(NotPossible, match="is not the one of this export"):
        prove(world.use, pack.files[OPENING], b"{}")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the document, as somebody would who can write the folder."""
    document = json.loads((folder / DOCUMENT).read_bytes())
    change(document)
    (folder / DOCUMENT).write_text(json.dumps(document))


def _other_record(pack: dict[str, Any]) -> None:
    entry = next(one for one in pack["entries"] if one["kind"] == "download")
    entry["record"] = entry["record"].replace("aurora-institute", "borealis-centre")


def _dropped(pack: dict[str, Any]) -> None:
    place = next(number for number, one in enumerate(pack["entries"]) if one["kind"] == "download")
    del pack["entries"][place]


def _unlisted(pack: dict[str, Any]) -> None:
    next(one for one in pack["controls"] if one["id"] == "CC6.1")["entries"].clear()


def _recounted(pack: dict[str, Any]) -> None:
    pack["controls"][0]["kinds"][0]["count"] += 1


def _other_head(pack: dict[str, Any]) -> None:
    lines = pack["logs"][0]["head"].split("\n")
    pack["logs"][0]["head"] = "\n".join([lines[0], str(int(lines[1]) - 1), *lines[2:]])


def _moved(pack: dict[str, Any]) -> None:
    pack["entries"][0]["index"] += 1


def _as_other_kind(pack: dict[str, Any]) -> None:
    next(one for one in pack["entries"] if one["kind"] == "download")["kind"] = "hold.place"


def _twice(pack: dict[str, Any]) -> None:
    pack["entries"].append(pack["entries"][-1])


def _of_no_log(pack: dict[str, Any]) -> None:
    pack["logs"].clear()


def _earlier(pack: dict[str, Any]) -> None:
    pack["entries"][0]["time"] = "2001-01-01T00:00:00Z"


def _listed(name: str, value: str) -> Callable[[dict[str, Any]], None]:
    def change(pack: dict[str, Any]) -> None:
        next(one for one in pack["entries"] if one["kind"] == "download")[name] = value

    return change


def _as_erased(pack: dict[str, Any]) -> None:
    next(one for one in pack["entries"] if one["kind"] == "download").update(record="", salt="")


DOCUMENT_CHANGES = {  # what was done to the document → what is said beside "not the file that the log tells of"
    "a record": (_other_record, "record or salt do not give the commitment"),
    "an entry dropped": (_dropped, "does not list all entries of its kinds"),
    "an entry unlisted": (_unlisted, "control CC6.1 does not list all entries"),
    "a count": (_recounted, "which is wrong"),
    "another head": (_other_head, "does not hold"),
    "another place": (_moved, "its proof does not hold"),
    "another kind": (_as_other_kind, "as another kind than its record says"),
    "an entry twice": (_twice, "is there twice"),
    "no head": (_of_no_log, "no head of its log is in the pack"),
    "another time": (_earlier, "it is not of the period"),
    "another time of the period": (
        lambda pack: _listed("time", pack["from"])(pack), "with another time than its record says"),
    "another person": (_listed("person", "x@lab.example"), "with another person than its record says"),
    "another organization": (_listed("organization", "lab"), "with another organization than its record says"),
    "another subject": (_listed("about", "gpt-2/124M"), "with another subject than its record says"),
    "said to be erased": (_as_erased, "its record was erased, and it is listed with a person"),
    "another version's page": (lambda pack: pack.update(made_with="0.0.1", title="x"), "that it was made with 0.0.1"),
    "other words": (lambda pack: pack.update(title="x"), "evidence.html does not show what evidence.json says"),
    "no title": (lambda pack: pack.pop("title"), "does not have what evidence.html shows"),
    "no form": (lambda pack: pack.pop("entries"), "does not have the form"),
    "another form": (lambda pack: pack.update(format="weightgate-evidence/v9"), "has the form weightgate-evidence/v9"),
}  # fmt: skip


@pytest.fixture
def folder(sqlite_world: World, tmp_path: Path) -> Path:
    """A pack with a download in it."""
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    return written(made(sqlite_world), tmp_path)


def test_a_changed_document_is_wrong_twice(sqlite_world: World, folder: Path) -> None:
    """By its hash in the log, and, each with its sentence, by what it says itself."""
    keys, whole = vkeys(sqlite_world), (folder / DOCUMENT).read_bytes()
    assert evidence_checks.check(folder, keys).faults == []
    for what, (change, sentence) in DOCUMENT_CHANGES.items():
        edit(folder, change)
        faults = evidence_checks.check(folder, keys).faults
        assert faults[0] == "evidence.json is not the file that the log tells of", what
        assert any(sentence in fault for fault in faults[1:]), (what, faults)
        (folder / DOCUMENT).write_bytes(whole)


def test_changed_files_are_wrong(sqlite_world: World, folder: Path) -> None:
    """One byte of the page, of the opening, of the proof; a head by another key; a proof of another entry."""
    keys = vkeys(sqlite_world)
    for name, sentence in [
        (PAGE, "evidence.html is not the file"),
        (DOCUMENT, "evidence.json is not the file"),
        (OPENING, "export.json"),
        (PROOF, "export.proof"),
    ]:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
        faults = evidence_checks.check(folder, keys).faults
        assert any(sentence in fault for fault in faults), (name, faults)
        (folder / name).write_bytes(whole)
    with sqlite_world.use.database.reading() as session:
        log = session.query(Log).one()
    other = Signer.from_seed(log.origin, bytes(range(32)))
    whole = (folder / PROOF).read_bytes()
    path, _, note = whole.partition(b"\n\n")
    head = Head.parse(note.decode().partition("\n\n")[0] + "\n")
    (folder / PROOF).write_bytes(path + b"\n\n" + heads.sign(head, other))
    assert any("does not prove" in fault for fault in evidence_checks.check(folder, keys).faults)


def test_a_page_that_the_log_tells_of_must_show_the_document(
    sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its hash is in the log: who made the pack could have written anything on it."""
    monkeypatch.setattr(evidence_page, "render", lambda _: "<h1>No downloads at all in this period.</h1>")
    pack = made(sqlite_world)
    monkeypatch.undo()
    assert evidence_checks.check(written(pack, tmp_path), vkeys(sqlite_world)).faults == [
        "evidence.html does not show what evidence.json says"
    ]


def test_the_entries_are_in_the_log_that_has_the_export(sqlite_world: World, folder: Path) -> None:
    """Two trees that the log's own key signed: each proof holds in its own, and nothing leads from one to the other."""
    world, keys = sqlite_world, vkeys(sqlite_world)
    whole = (folder / CONSISTENCY).read_bytes()
    with world.use.database.reading() as session:
        log = session.query(Log).one()
    size = json.loads(whole)["new_size"]
    opening = json.loads((folder / OPENING).read_bytes())
    leaves = [bytes([place % 256]) * 32 for place in range(size - 1)]
    leaves.append(tree.leaf_hash(decode_bytes(opening["commitment"])))
    fork = heads.sign(Head(log.origin, size, tree.root(leaves)), world.use.log_signer(log.vkey))
    path = tree.inclusion_proof(size - 1, size, plain_hashes(leaves))
    proof = (folder / PROOF).read_bytes()
    (folder / PROOF).write_bytes(Proof(size - 1, tuple(path), fork, decode_bytes(opening["salt"])).encode())
    (fault,) = evidence_checks.check(folder, keys).faults
    assert "is not the beginning of the log that has the export" in fault
    (folder / PROOF).write_bytes(proof)
    for content, sentence in [(b"{}", "does not have its form"), (None, "is missing")]:
        (folder / CONSISTENCY).unlink()
        if content is not None:
            (folder / CONSISTENCY).write_bytes(content)
        (fault,) = evidence_checks.check(folder, keys).faults
        assert sentence in fault
        (folder / CONSISTENCY).write_bytes(whole)
    assert evidence_checks.check(folder, keys).faults == []


def test_a_pack_has_the_lines_of_witnesses(sqlite_world: World, tmp_path: Path) -> None:
    """Under the head that its entries are proven by; on the page, too."""
    world = sqlite_world
    world.seal()
    with world.use.database.transaction() as session:
        head = published.head(session, logs.current(session))
        text = "".join(line + "\n" for line in head.note.split("\n")[:3])
        line = notes.sign(text, Signer.from_seed("witness.example/w", bytes(range(32)))).decode().partition("\n\n")[2]
        cosignatures.keep(
            session,
            Cosignature(log_id=head.log_id, size=head.size, witness="w", line=line, cosigned_at=world.clock()),
        )
    pack = made(world)
    assert pack.document["logs"][0]["head"] == head.note + line
    assert "witness.example/w" in pack.files[PAGE].decode()
    assert evidence_checks.check(written(pack, tmp_path), vkeys(world)).faults == []


def test_another_entry_s_opening_signs_nothing(sqlite_world: World, folder: Path) -> None:
    """An entry of another kind, though it is in the log, says nothing about these files."""
    download = next(one for one in json.loads((folder / DOCUMENT).read_bytes())["entries"] if one["kind"] == "download")
    opening = {key: download[key] for key in ("log", "salt", "record", "commitment")}
    (folder / OPENING).write_text(json.dumps(opening))
    (fault,) = evidence_checks.check(folder, vkeys(sqlite_world)).faults
    assert fault == "export.json is not about an evidence pack"
