"""Evidence packs, verified from their files alone: no database, no network, nothing but the log's public key."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
from jinja2 import TemplateError

from server.domain.audit import evidence_page
from server.domain.audit.evidence_packs import CONSISTENCY, DOCUMENT, FORMAT, OPENING, PAGE, PROOF, server_version, told
from server.domain.entry_kinds import EntryKind
from server.log import heads, proofs, tree
from server.log.entries import commitment_of
from server.log.heads import Head
from server.log.notes import NotAKey, VerifierKey, decode_bytes
from server.log.proofs import Proof

FAULTS_AT_MOST = 100
WORDS = {"time": "time", "person": "person", "organization": "organization", "about": "subject"}


@dataclass
class Checked:
    """What was found. head_size: of the head that proves the export; entries: in the pack; faults: sentences.

    erased: of the entries. Nothing but its place proves what the pack says of one.
    """

    head_size: int | None = None
    entries: int = 0
    erased: int = 0
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
        proven = _check_export(folder, keys, found)
        pack = orjson.loads(document)
        found.entries = len(pack["entries"])
        found.erased = sum(not entry["record"] for entry in pack["entries"])
        known: dict[str, Head] = {}
        faults = chain(
            _document_faults(pack, keys, known), _head_faults(folder, known, proven), _page_faults(folder, pack)
        )
        for fault in faults:
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


def _check_export(folder: Path, keys: Mapping[str, VerifierKey], found: Checked) -> Head | None:
    """The entry that tells of the export tells of these files; returns the head that has it. Raises _Wrong."""
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
        return None
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
        return head
    return None


def _document_faults(pack: Mapping[str, Any], keys: Mapping[str, VerifierKey], known: dict[str, Head]) -> Iterator[str]:
    """known: the heads of the pack that hold are put there."""
    if pack["format"] != FORMAT:
        raise _Wrong(f"{DOCUMENT} has the form {pack['format']}; this command knows {FORMAT}")
    for log in pack["logs"]:
        if log["origin"] in known:
            yield f"{log['origin']} is there twice"
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
        yield from _listed_faults(entry)
    elif entry["person"] is not None or entry["organization"] is not None:
        yield "its record was erased, and it is listed with a person or an organization"
    if not pack["from"] <= entry["time"] < pack["to"] and entry["time"] != pack["to"]:
        yield "it is not of the period"
    path = [decode_bytes(part) for part in entry["proof"]]
    try:
        tree.verify_inclusion(tree.leaf_hash(commitment), entry["index"], head.size, path, head.root)
    except ValueError as error:
        yield f"its proof does not hold: {error}"


def _listed_faults(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is listed of an entry is what its record says."""
    record = orjson.loads(entry["record"])
    if record["kind"] != entry["kind"]:
        yield "it is listed as another kind than its record says"
        return
    try:
        short = told(entry["kind"], record)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, OSError):
        yield f"its record is none of the kind {entry['kind']} that this version ({server_version()}) knows"
        return
    for name, value in short.items():
        if entry[name] != value:
            yield f"it is listed with another {WORDS[name]} than its record says"


def _head_faults(folder: Path, known: Mapping[str, Head], proven: Head | None) -> Iterator[str]:
    """The head of the pack and the one that has the export are of one log, and not of two that both were signed."""
    old = None if proven is None else known.get(proven.origin)
    if proven is None or old is None:
        return
    if not (folder / CONSISTENCY).exists():
        yield f"{CONSISTENCY} is missing: `weightgate-server export prove` adds it, at the instance of the log"
        return
    try:
        path = [decode_bytes(part) for part in orjson.loads((folder / CONSISTENCY).read_bytes())["proof"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        yield f"{CONSISTENCY} does not have its form"
        return
    try:
        tree.verify_consistency(old.size, old.root, proven.size, proven.root, path)
    except ValueError as error:
        yield f"the log of {DOCUMENT} is not the beginning of the log that has the export: {error}"


def _page_faults(folder: Path, pack: Mapping[str, Any]) -> Iterator[str]:
    """People read the page: it shows what the document says, and nothing else."""
    try:
        if evidence_page.render(dict(pack)).encode() == (folder / PAGE).read_bytes():
            return
    except TemplateError:
        yield f"{DOCUMENT} does not have what {PAGE} shows"
        return
    made_with, here = pack.get("made_with"), server_version()
    if made_with == here:
        yield f"{PAGE} does not show what {DOCUMENT} says"
    else:
        yield (
            f"{PAGE} is not the page that this version ({here}) makes of {DOCUMENT}. It says that it was made with "
            f"{made_with}, whose pages may differ: verify it with that version, and do not rely on the page until then"
        )


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
