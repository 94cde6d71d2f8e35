"""Evidence packs, verified from their files alone: no database, no network, nothing but the log's public key."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from server.domain.audit.evidence_packs import DOCUMENT, FORMAT, OPENING, PAGE, PROOF
from server.domain.entry_kinds import EntryKind
from server.log import heads, proofs, tree
from server.log.entries import commitment_of
from server.log.heads import Head
from server.log.notes import NotAKey, VerifierKey, decode_bytes
from server.log.proofs import Proof

FAULTS_AT_MOST = 100


@dataclass
class Checked:
    """What was found. head_size: of the head that proves the export; entries: in the pack; faults: sentences."""

    head_size: int | None = None
    entries: int = 0
    faults: list[str] = field(default_factory=list)
    is_unproven: bool = False  # there is no proof yet, and nothing is wrong with the rest


class _Wrong(Exception):
    """A part is not what it must be; the text says which."""


def check(folder: Path, vkeys: Sequence[str]) -> Checked:
    """Hold a pack against the public keys of its logs. Raises OSError, and NotAKey for one that is none or missing."""
    keys = {key.name: key for key in map(VerifierKey.parse, vkeys)}
    found = Checked()
    document = (folder / DOCUMENT).read_bytes()
    try:
        _check_export(folder, keys, found)
        pack = orjson.loads(document)
        found.entries = len(pack["entries"])
        for fault in _document_faults(pack, keys):
            if len(found.faults) == FAULTS_AT_MOST:
                found.faults.append("there are more faults that are not listed")
                break
            found.faults.append(fault)
    except _Wrong as wrong:
        found.faults.append(str(wrong))
    except NotAKey:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        found.faults.append(f"{DOCUMENT} does not have the form {FORMAT}")
    return found


def _check_export(folder: Path, keys: Mapping[str, VerifierKey], found: Checked) -> None:
    """The entry that tells of the export is in the log, and tells of these files. Raises _Wrong."""
    try:
        opening = orjson.loads((folder / OPENING).read_bytes())
        salt, record, commitment = decode_bytes(opening["salt"]), opening["record"].encode(), opening["commitment"]
        commitment = decode_bytes(commitment)
        if commitment_of(salt, record) != commitment:
            raise _Wrong(f"{OPENING}: record or salt do not give the commitment")
        told, log = orjson.loads(record), opening["log"]
        hashes = {file["path"]: file["sha256"] for file in told["files"]}
        is_export = told["kind"] == EntryKind.EVIDENCE_EXPORT
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Wrong(f"{OPENING} is not the opening of an entry") from None
    if not is_export or set(hashes) != {DOCUMENT, PAGE}:
        raise _Wrong(f"{OPENING} is not about an evidence pack")
    found.faults += [
        f"{path} is not the file that the log tells of"
        for path, known in hashes.items()
        if sha256((folder / path).read_bytes()).hexdigest() != known
    ]
    if not (folder / PROOF).exists():
        found.is_unproven = True
        return
    try:
        proof = (folder / PROOF).read_bytes()
        head = proofs.verify(proof, tree.leaf_hash(commitment), _key(keys, log))
        if Proof.parse(proof).extra != salt:
            found.faults.append(f"{PROOF} has another salt than {OPENING}")
    except NotAKey:
        raise
    except ValueError as error:
        found.faults.append(f"{PROOF} does not prove the export: {error}")
    else:
        found.head_size = head.size


def _document_faults(pack: Mapping[str, Any], keys: Mapping[str, VerifierKey]) -> Iterator[str]:
    if pack["format"] != FORMAT:
        raise _Wrong(f"{DOCUMENT} has the form {pack['format']}; this command knows {FORMAT}")
    known: dict[str, Head] = {}
    for log in pack["logs"]:
        try:
            known[log["origin"]] = heads.verify(log["head"].encode(), _key(keys, log["origin"]))
        except NotAKey:
            raise
        except ValueError as error:
            yield f"the head of {log['origin']} does not hold: {error}"
    seen: set[tuple[str, int]] = set()
    for entry in pack["entries"]:
        place = entry["log"], entry["index"]
        name = f"entry {entry['index']} of {entry['log']}"
        if place in seen:
            yield f"{name} is there twice"
        seen.add(place)
        if entry["log"] in known:
            yield from (f"{name}: {fault}" for fault in _entry_faults(pack, entry, known[entry["log"]]))
        elif entry["log"] not in {log["origin"] for log in pack["logs"]}:
            yield f"{name}: no head of its log is in the pack"
    yield from _control_faults(pack)


def _entry_faults(pack: Mapping[str, Any], entry: Mapping[str, Any], head: Head) -> Iterator[str]:
    commitment = decode_bytes(entry["commitment"])
    if entry["record"] or entry["salt"]:
        if commitment_of(decode_bytes(entry["salt"]), entry["record"].encode()) != commitment:
            yield "record or salt do not give the commitment"
            return
        if orjson.loads(entry["record"])["kind"] != entry["kind"]:
            yield "it is listed as another kind than its record says"
    if not pack["from"] <= entry["time"] < pack["to"] and entry["time"] != pack["to"]:
        yield "it is not of the period"
    path = [decode_bytes(part) for part in entry["proof"]]
    try:
        tree.verify_inclusion(tree.leaf_hash(commitment), entry["index"], head.size, path, head.root)
    except ValueError as error:
        yield f"its proof does not hold: {error}"


def _control_faults(pack: Mapping[str, Any]) -> Iterator[str]:
    """Each control lists all entries of its kinds, and counts them."""
    entries = pack["entries"]
    for control in pack["controls"]:
        kinds = {kind["kind"] for kind in control["kinds"]}
        if control["entries"] != [place for place, entry in enumerate(entries) if entry["kind"] in kinds]:
            yield f"control {control['id']} does not list all entries of its kinds"
        for kind in control["kinds"]:
            if kind["count"] != sum(entry["kind"] == kind["kind"] for entry in entries):
                yield f"control {control['id']} counts {kind['count']} of {kind['kind']}, which is wrong"


def _key(keys: Mapping[str, VerifierKey], origin: str) -> VerifierKey:
    """Raises NotAKey where nobody gave it: nothing can be said then."""
    if origin not in keys:
        raise NotAKey(f"the public key of {origin} was not given: add it with --vkey")
    return keys[origin]
