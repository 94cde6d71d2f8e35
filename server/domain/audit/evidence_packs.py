"""Evidence packs: the entries of a period under the controls of a framework, each proven, for an auditor to keep.

A pack is a folder. `evidence.json` holds everything, `evidence.html` shows it; the hashes of both are in the entry that
tells of the export. That entry (`export.json`) and the proof of its place in the log (`export.proof`) sign the pack:
with the log's public key, and nothing of ours, it can be verified. `export.consistency` proves that the log of the
entries is the beginning of the log that has the export. See `evidence_checks.py`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import orjson
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from server import dates
from server.domain import acts, entry_kinds
from server.domain.audit import archives, evidence_page, frameworks, sealer
from server.domain.audit.archives import ArchivedRecords, Source
from server.domain.audit.frameworks import Framework
from server.domain.callers import Caller
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.errors import InvalidRequest, NotPossible
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import archived, cosignatures, heads, published, tiles, tree
from server.log.entries import WAITS_FOR_SEAL, Log, LogEntry
from server.log.notes import VerifierKey, decode_bytes, encode_bytes
from server.log.proofs import Proof
from server.log.published import NotPublished
from server.log.sealing import newest_head, read_tile
from server.storage.keys import KeyFileError

FORMAT = "weightgate-evidence/v1"
DOCUMENT, PAGE, OPENING, PROOF = "evidence.json", "evidence.html", "export.json", "export.proof"
CONSISTENCY = "export.consistency"
ENTRIES_AT_MOST = 50_000  # they are held in memory, and a larger pack would be read by nobody
ROWS_AT_ONCE = 500
SEALED_WITHIN_SECONDS = 15
Progress = Callable[[int, int], None]


@dataclass
class Pack:
    """What is written. files: each with its content; without the proof where no worker sealed the entry in time."""

    document: dict[str, Any]
    files: dict[str, bytes] = field(repr=False)

    @property
    def is_proven(self) -> bool:
        return PROOF in self.files


def make(
    use: Resources,
    caller: Caller,
    name: str,
    since: datetime,
    until: datetime,
    progress: Progress = lambda *_: None,
    source: Source | None = None,
) -> Pack:
    """Gather the entries of a period, prove each, and append the entry that tells of the export.

    since: included; until: not, and no later than now. source: where the records of archived months are read from;
    without, a period that needs some is refused. Raises InvalidRequest, NotPossible, NoLog.
    """
    caller.require(Permission.LOG_AUDIT)
    at = use.clock()
    until = min(until, at)
    if since >= until:
        raise InvalidRequest("The period has no past: its start must be before its end, and before now.")
    _wait_for_seal(use, _chosen(wanted := frameworks.framework(name), since, until))
    with use.log_reading.newest() as session:
        chosen = _chosen(wanted, since, until)
        with _records(session, wanted, since, until, source) as records:
            logs, entries = _entries(session, chosen, records, progress)
        unsealed = _count(session, *chosen, LogEntry.leaf_index.is_(None))
    document = {
        "format": FORMAT, "made_with": server_version(), "framework": name, "title": wanted.title,
        "source": wanted.source, "about": wanted.about,
        "cannot_show": list(wanted.cannot_show), "instance": use.settings.public_url,
        "from": dates.rfc3339(since), "to": dates.rfc3339(until), "made_at": dates.rfc3339(at),
        "made_by": caller.as_record(), "unsealed": unsealed, "logs": logs,
        "controls": list(_controls(use, wanted, entries)), "entries": entries,
    }  # fmt: skip
    content = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    files = {DOCUMENT: content, PAGE: evidence_page.render(orjson.loads(content)).encode()}
    files[OPENING] = _tell(use, caller, document, files)
    if (proof := prove(use, files[OPENING], content)) is not None:
        files |= proof
    return Pack(document, files)


def _records(
    session: Session, wanted: Framework, since: datetime, until: datetime, source: Source | None
) -> ArchivedRecords:
    """Those of archived months. Raises NotPossible where some are wanted, and nothing gives them back."""
    if source is None and not archived.KINDS.isdisjoint(wanted.kinds):
        archives.require_none(session, since, until)
    return ArchivedRecords(session, source)


def server_version() -> str:
    """Of this server. Another one's pages may look different."""
    return version("weightgate-server")


def told(kind: str, record: Mapping[str, Any]) -> dict[str, str | None]:
    """What the record of an entry says in short: when, by whom, of which organization, about what.

    Raises LookupError, TypeError, AttributeError, ValueError, OverflowError, OSError for what is no record of the kind.
    """
    actor, columns = record.get("actor", {}), entry_kinds.columns(kind, record)
    return {
        "time": dates.rfc3339(dates.of_milliseconds(record["time"])), "person": actor.get("person"),
        "organization": record.get("organization") or actor.get("organization"),
        "about": columns["stage"] or columns["subject"],
    }  # fmt: skip


def prove(
    use: Resources, opening: bytes, document: bytes, patience_seconds: float = SEALED_WITHIN_SECONDS
) -> dict[str, bytes] | None:
    """The files that prove the entry that tells of an export; None when it is not sealed in time.

    Raises NotPossible for an entry that is not in a log of this instance, and a document that is not of its log.
    """
    try:
        commitment = decode_bytes(orjson.loads(opening)["commitment"])
    except (ValueError, KeyError, TypeError):
        raise NotPossible(f"This is not the {OPENING} of an evidence pack.") from None
    deadline = time.monotonic() + patience_seconds
    while True:
        with use.database.reading() as session:
            query = select(LogEntry).where(
                LogEntry.kind == EntryKind.EVIDENCE_EXPORT, LogEntry.commitment == commitment
            )
            entry = session.scalar(query)
            if entry is None:
                raise NotPossible("No log of this instance contains this export.")
            try:
                proof = published.proof(session, entry)
                return {PROOF: proof} | _consistency(session, session.get_one(Log, entry.log_id), document, proof)
            except NotPublished:
                pass
        if time.monotonic() >= deadline:
            return None
        _seal(use)


def _consistency(session: Session, log: Log, document: bytes, proof: bytes) -> dict[str, bytes]:
    """Proves that the head of the pack is of the log of the proof. Nothing where the pack has no entry of that log."""
    key = VerifierKey.parse(log.vkey)
    try:
        notes = [one["head"].encode() for one in orjson.loads(document)["logs"] if one["origin"] == log.origin]
        if not notes:
            return {}
        old, new = heads.verify(notes[0], key), heads.verify(Proof.parse(proof).head, key)
        hashes = tree.consistency_proof(old.size, new.size, tiles.hashes(partial(read_tile, session, log.id)))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise NotPossible(f"{DOCUMENT} is not the one of this export: its head is not of this log.") from None
    content = {"log": log.origin, "old_size": old.size, "new_size": new.size, "proof": list(map(encode_bytes, hashes))}
    return {CONSISTENCY: orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)}


def _wait_for_seal(use: Resources, chosen: tuple[ColumnElement[bool], ...]) -> None:
    """What was done a moment ago belongs to the period, too. What is not sealed in time is counted in the pack."""
    deadline = time.monotonic() + SEALED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with use.database.reading() as session:
            if not _count(session, *chosen, *WAITS_FOR_SEAL):
                return
        _seal(use)


def _seal(use: Resources) -> None:
    """As the worker does all the time, where this process may: or wait for it."""
    sealing = use.as_sealer()
    try:
        if not sealer.seal(sealing):
            time.sleep(sealer.SEAL_EVERY_SECONDS)
    except KeyFileError:
        time.sleep(sealer.SEAL_EVERY_SECONDS)
    finally:
        sealing.close()


def _tell(use: Resources, caller: Caller, document: dict[str, Any], files: dict[str, bytes]) -> bytes:
    """Append the entry, and return what opens it, in the form of `log export`."""
    record = {
        "actor": caller.as_record(), "framework": document["framework"], "from": document["from"],
        "to": document["to"], "entries": len(document["entries"]),
        "files": [{"path": path, "sha256": sha256(content).hexdigest()} for path, content in files.items()],
    }  # fmt: skip
    with use.database.transaction() as session:
        appended = acts.append(session, EntryKind.EVIDENCE_EXPORT, use.clock(), record)
        origin = session.scalars(select(Log.origin).order_by(Log.id.desc()).limit(1)).one()
    opening = {
        "log": origin, "salt": encode_bytes(appended.salt), "record": appended.record.decode(),
        "commitment": encode_bytes(appended.commitment),
    }  # fmt: skip
    return orjson.dumps(opening, option=orjson.OPT_APPEND_NEWLINE)


def _chosen(wanted: Framework, since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return LogEntry.kind.in_(sorted(wanted.kinds)), LogEntry.appended_at >= since, LogEntry.appended_at < until


def _count(session: Session, *chosen: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(LogEntry).where(*chosen)) or 0


def _entries(
    session: Session, chosen: tuple[ColumnElement[bool], ...], records: ArchivedRecords, progress: Progress
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The logs that have entries of the period, each with the head that they are proven against, and the entries."""
    total = _count(session, *chosen, LogEntry.leaf_index.is_not(None))
    if total > ENTRIES_AT_MOST:
        raise InvalidRequest(
            f"The period has {total} entries; a pack contains at most {ENTRIES_AT_MOST}.",
            next_step="Choose shorter periods, or use `log export`, which has no such limit.",
        )
    logs: list[dict[str, str]] = []
    entries: list[dict[str, Any]] = []
    for log in session.scalars(select(Log).order_by(Log.id)).all():
        head = newest_head(session, log.id)
        before = len(entries)
        if head is not None:
            hashes = tiles.hashes(partial(read_tile, session, log.id))
            for row in _rows(session, log.id, head.size, chosen):
                proof = tree.inclusion_proof(row.leaf_index or 0, head.size, hashes)
                entries.append(_entry(log.origin, row, records.record_of(log.origin, row), proof))
                progress(len(entries), total)
            if len(entries) > before:
                note = cosignatures.under(session, head).decode()
                logs.append({"origin": log.origin, "vkey": log.vkey, "head": note})
    return logs, entries


def _rows(session: Session, log_id: int, size: int, chosen: tuple[ColumnElement[bool], ...]) -> Iterator[LogEntry]:
    query = select(LogEntry).where(LogEntry.log_id == log_id, LogEntry.leaf_index < size, *chosen)
    query, place = query.order_by(LogEntry.leaf_index).limit(ROWS_AT_ONCE), -1
    while rows := session.scalars(query.where(LogEntry.leaf_index > place)).all():
        yield from rows
        place = rows[-1].leaf_index or 0
        session.expunge_all()  # their records are large


def _entry(origin: str, row: LogEntry, record: bytes, proof: Sequence[bytes]) -> dict[str, Any]:
    """One entry: what it says in short, what opens its commitment, and its place. Erased: no salt and no record."""
    if record:
        short = told(row.kind, orjson.loads(record))
    else:  # what its row still says, which nothing proves any more
        short = {
            "time": dates.rfc3339(row.appended_at), "person": None, "organization": None,
            "about": row.stage or row.subject,
        }  # fmt: skip
    return {
        "log": origin, "index": row.leaf_index, "kind": row.kind, **short, "salt": encode_bytes(row.salt),
        "record": record.decode(), "commitment": encode_bytes(row.commitment),
        "proof": [encode_bytes(part) for part in proof],
    }  # fmt: skip


def _controls(use: Resources, wanted: Framework, entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each control with its rule, the settings as they are, and the positions of its entries in the pack."""
    places: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        places.setdefault(entry["kind"], []).append(place)
    for control in wanted.control:
        yield {
            "id": control.id, "title": control.title, "rule": control.rule,
            "settings": frameworks.values(use.settings, control), "shows": control.shows, "missing": control.missing,
            "kinds": [
                {"kind": str(kind), "words": KINDS[kind].words, "count": len(places.get(kind, ()))}
                for kind in control.kinds
            ],
            "entries": sorted(place for kind in control.kinds for place in places.get(kind, ())),
        }  # fmt: skip
