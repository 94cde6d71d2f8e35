"""Suspicions: which reads should not have been, and why. Rules over groups of lines; nothing here is written.

A group is all lines of one batch with the same download id, object, address and signer: a rule looks at it once.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import addresses, dates
from server.domain.delivery import openings
from server.domain.delivery.alarms import AlarmKind, Suspicion
from server.domain.delivery.deliveries import in_parts
from server.domain.delivery.openings import Opening
from server.domain.downloads import issuing, session_downloads
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.identity.organizations import HELD_AS, Organization
from server.domain.identity.people import Person
from server.domain.release.stages import StageState
from server.log.archived import is_archived
from server.log.entries import LogEntry
from server.storage import store_sessions
from server.storage.access_logs import Read
from server.storage.database import AnyRow

CLOCKS_APART_MS = 15 * 60_000  # the store refuses signatures from a clock further away than this
IPV4_PREFIX, IPV6_PREFIX = 24, 48

_STARTS = {kind: about.ends for kind, about in KINDS.items() if about.ends is not None}  # what takes away, and of what
_ENDS = {kind: about.resumes for kind, about in KINDS.items() if about.resumes is not None}
_MOVES = {EntryKind.STAGE_MOVE, EntryKind.DECISION_EXECUTE}
_WORDS = {
    EntryKind.CLEARANCE_REVOKE: "the clearance was revoked",
    EntryKind.DECISION_EXECUTE: "the stage was withdrawn, or was public no longer",
    EntryKind.HOLD_LAY: "a hold was placed",
    EntryKind.HOLD_PLACE: "a hold was placed",
    EntryKind.ORGANIZATION_SUSPEND: "the organization was suspended",
    EntryKind.PERSON_DISABLE: "the person who asked for it was disabled",
    EntryKind.SIGNATURE_END: "the signature of the agreement was ended",
    EntryKind.STAGE_MOVE: "the stage was withdrawn",
    EntryKind.TOKEN_REVOKE: "the token that asked for it was revoked",
    EntryKind.TOKEN_REVOKE_LEAKED: "the token that asked for it was revoked as leaked",
    EntryKind.TRUST_RECORD_REVOKE: "the workload that asked for it was trusted no longer",
}

Subject = tuple[str, str]  # what an act is about: one of the words above, and which


@dataclass(frozen=True, slots=True)
class Act:
    """An entry that ends what downloads rested on, or gives it back."""

    entry_id: int
    place: int | None  # in the log, once it is sealed
    kind: EntryKind
    at_ms: int
    words: str


@dataclass(slots=True)
class Issued:
    """A download, or the opening of an attachment, as its entry tells it, with those of its files that were read."""

    id: str
    organization_id: int | None
    record: Mapping[str, Any]
    files: dict[str, tuple[str, int]]  # object key: path and size in bytes
    networks: tuple[str, ...] = ()  # registered for the organization
    acts: list[list[Act]] = field(default_factory=list)  # a list for each thing it rested on
    erased: bool = False  # then nothing can be said of its reads
    archived: bool = False  # then only that none of its URLs can still work

    @property
    def is_told(self) -> bool:
        """Whether its record is at hand."""
        return not self.erased and not self.archived

    @property
    def at_ms(self) -> int:
        return int(self.record["time"])

    @property
    def ends_ms(self) -> int:
        return self.at_ms + int(self.record["lifetime_seconds"]) * 1000

    @property
    def is_download(self) -> bool:
        """Whether it is of a stage's files; else of what is attached to a finding."""
        return "finding" not in self.record

    @property
    def stage(self) -> str:
        """Its full name."""
        return f"{self.record['model']}/{self.record['stage']}" if self.is_download else str(self.record["stage"])

    @property
    def organization(self) -> str | None:
        name: str | None = self.record["actor"].get("organization")
        return name


def issued(session: Session, wanted: Mapping[str, set[str]]) -> dict[str, Issued]:
    """Return the downloads and openings of these ids that the log has. wanted: for each id the object keys read."""
    query = select(
        LogEntry.subject, LogEntry.organization_id, LogEntry.record, LogEntry.salt, LogEntry.appended_at,
        LogEntry.stage, LogEntry.person,
    ).where(LogEntry.kind == EntryKind.DOWNLOAD)  # fmt: skip
    found: dict[str, Issued] = {}
    for some in in_parts(key for key in wanted if issuing.ID.fullmatch(key)):
        # A few at a time: a record of a thousand files has some 300 KB.
        for row in session.execute(query.where(LogEntry.subject.in_(some)).execution_options(yield_per=20)):
            if is_archived(row):
                found[row.subject] = _archived(row)
                continue
            record = orjson.loads(row.record or b'{"files":[]}')
            keys = wanted[row.subject]
            files = {f["object_key"]: (f["path"], f["size_bytes"]) for f in record["files"] if f["object_key"] in keys}
            found[row.subject] = Issued(
                row.subject, row.organization_id, {**record, "files": None}, files, erased=not row.record
            )
    for opening in openings.known(session, wanted):
        if opening.record is not None or opening.id not in found:
            found[opening.id] = _opened(opening)
    _add_networks(session, found)
    _add_acts(session, found)
    return found


def _archived(row: AnyRow) -> Issued:
    """What the row still says; as if its URLs had worked as long as any can."""
    longest = store_sessions.SECONDS.stop + session_downloads.BEGINS_WITHIN_SECONDS
    record = issuing.archived(row, {}) | {"lifetime_seconds": longest}
    return Issued(row.subject, row.organization_id, record, {}, archived=True)


def _opened(opening: Opening) -> Issued:
    record = opening.record
    if record is None:
        return Issued(opening.id, None, {}, {}, erased=True)
    files = {record["object_key"]: (openings.path_of(record), record["size_bytes"])}
    return Issued(opening.id, opening.organization_id, record, files)


def of_group(read: Read, times_ms: Sequence[int], found: Issued | None) -> Iterator[Suspicion]:
    """Yield what is wrong with a group of successful reads. read: any of them; times_ms: when each began."""
    if found is not None and found.erased:
        return
    if found is not None and found.archived:
        yield from _after_its_life(read, times_ms, found)
        return
    if found is None or read.object_key not in found.files:
        yield _ghost(read, times_ms[0], found)
        return
    if outside := list(_after_its_life(read, times_ms, found)):
        yield from outside
        return
    if _is_foreign(read.address, found):
        whose = "its registered networks" if found.networks else f"the network of {found.record['actor']['address']}"
        reason = f"Fetched from {read.address[:45]}, outside {whose}."
        cause = (found.id, network_of(read.address))
        yield _suspicion(AlarmKind.FOREIGN_ADDRESS, cause, reason, read, min(times_ms), found)
    yield from _after_an_end(read, times_ms, found)


def of_decoy(read: Read) -> Suspicion:
    """A decoy was asked for, whatever the answer was."""
    reason = f"A decoy was requested ({read.method[:40]}, answered with {read.status})."
    cause = (read.object_key, network_of(read.address))
    return _suspicion(AlarmKind.DECOY_TOUCHED, cause, reason, read, read.at_ms, None)


def of_amount(found: Issued, read: Read, path: str, size_bytes: int, bytes_sent: int, at_ms: int) -> Suspicion:
    """More than one and a half times a file was fetched."""
    reason = f"{bytes_sent} bytes of {path[:150]} were fetched, which has {size_bytes}."
    return _suspicion(AlarmKind.OVER_READ, (found.id,), reason, read, at_ms, found)


@lru_cache(maxsize=4096)  # of many groups of lines: the same few addresses
def network_of(address: str) -> str:
    """Return the /24 or, for IPv6, the /48 around an address; what is no address stands for itself."""
    here = addresses.parse(address)
    if here is None:
        return address[:45]
    prefix = IPV4_PREFIX if here.version == 4 else IPV6_PREFIX
    return str(ipaddress.ip_network(f"{here}/{prefix}", strict=False))


def _after_its_life(read: Read, times_ms: Sequence[int], found: Issued) -> Iterator[Suspicion]:
    """Or before it: when none of its URLs worked."""
    early = min(times_ms) < found.at_ms - CLOCKS_APART_MS
    if early or max(times_ms) > found.ends_ms + CLOCKS_APART_MS:
        at_ms = min(times_ms) if early else max(times_ms)
        reason = "A read with a known download ID began when none of that download's URLs was valid."
        yield _suspicion(AlarmKind.GHOST_READ, ("life", found.id, read.object_key), reason, read, at_ms, found)


def _ghost(read: Read, at_ms: int, found: Issued | None) -> Suspicion:
    if found is not None:
        reason = "This file is not part of the download with this ID: the URL was not signed by this server."
        return _suspicion(AlarmKind.GHOST_READ, (found.id, read.object_key), reason, read, at_ms, found)
    if read.download_id is None:
        reason = "A file was read without a download ID and without the publisher's key."
    elif issuing.ID.fullmatch(read.download_id):
        reason = f"A file was read with the download ID {read.download_id}, which is not in the log."
    else:
        reason = "A file was read with a malformed download ID."
    cause = (read.object_key, network_of(read.address), read.by)
    return _suspicion(AlarmKind.GHOST_READ, cause, reason, read, at_ms, None)


def _after_an_end(read: Read, times_ms: Sequence[int], found: Issued) -> Iterator[Suspicion]:
    """Yield one for each act that ended what the download rested on, if a read began while it was in force."""
    if not found.acts:
        return
    told: set[int] = set()
    for at_ms in sorted(times_ms):
        for acts in found.acts:
            act = _in_force(acts, at_ms)
            if act is None or act.entry_id in told:
                continue
            told.add(act.entry_id)
            seconds = (at_ms - act.at_ms) / 1000
            where = "" if act.place is None else f" (entry {act.place} of the log)"
            reason = f"A URL was used {seconds:.1f} s after {act.words}{where}."
            cause = (found.id, str(act.entry_id))
            yield _suspicion(AlarmKind.USED_AFTER_REVOCATION, cause, reason, read, at_ms, found)


def _in_force(acts: Sequence[Act], at_ms: int) -> Act | None:
    """Return the act that stood at a moment: the last one before it, unless that one gave back."""
    before = [act for act in acts if act.at_ms < at_ms]
    return before[-1] if before and before[-1].kind in _STARTS else None


def _is_foreign(address: str, found: Issued) -> bool:
    """An address that cannot be read lies in no network. Who asked without an address cannot be compared with.

    `-` alone is how stores write that they do not tell: an object that another service read, not somebody elsewhere.
    """
    if found.organization_id is None or address in {"", "-"}:  # or a public stage, asked for by nobody in particular
        return False
    if found.networks:
        return not addresses.lies_in(found.networks, address)
    asked_from = found.record["actor"].get("address")
    return asked_from is not None and network_of(asked_from) != network_of(address)


def _add_networks(session: Session, found: dict[str, Issued]) -> None:
    wanted = {each.organization_id for each in found.values() if each.organization_id is not None}
    query = select(Organization.id, Organization.networks).where(Organization.id.in_(wanted))
    networks = {row.id: tuple(row.networks.split()) for row in session.execute(query)} if wanted else {}
    for each in found.values():
        each.networks = networks.get(each.organization_id or 0, ())


def _add_acts(session: Session, found: dict[str, Issued]) -> None:
    people = _people(session, found)
    rested = {each.id: _rested_on(each.record, people) if each.is_told else [] for each in found.values()}
    wanted = {name for subjects in rested.values() for _, name in subjects}
    acts: defaultdict[Subject, list[Act]] = defaultdict(list)
    query = select(
        LogEntry.id, LogEntry.leaf_index, LogEntry.kind, LogEntry.subject, LogEntry.record, LogEntry.appended_at
    )  # fmt: skip
    query = query.where(LogEntry.kind.in_([*_STARTS, *_ENDS])).order_by(LogEntry.id)
    for some in in_parts(wanted):
        for row in session.execute(query.where(LogEntry.subject.in_(some))):
            kind = EntryKind(row.kind)
            family = _moved(row.record) if kind in _MOVES else _STARTS.get(kind) or _ENDS[kind]
            if family is not None:
                # Not by the record: that of a token or a person may have been erased.
                at_ms = dates.milliseconds(row.appended_at)
                acts[family, row.subject].append(Act(row.id, row.leaf_index, kind, at_ms, _words(kind, row.subject)))
    for each in found.values():
        after = ([act for act in acts[subject] if act.at_ms >= each.at_ms] for subject in rested[each.id])
        each.acts = [some for some in after if some]


def _words(kind: EntryKind, subject: str) -> str:
    """What an act did; of one that gives back, nothing is told."""
    is_suspension = kind == EntryKind.HOLD_PLACE and subject.startswith(HELD_AS)
    return _WORDS.get(EntryKind.ORGANIZATION_SUSPEND if is_suspension else kind, "")


def _moved(record: bytes) -> str | None:
    """What a stage's move ended, if anything: all downloads of it, or those that took no clearance."""
    moved = orjson.loads(record)
    if moved.get("to") == StageState.WITHDRAWN:
        return "stage"
    return "public" if moved.get("before") == StageState.PUBLIC else None


def _people(session: Session, found: Mapping[str, Issued]) -> dict[str, str]:
    """Return by which number the log names those who asked for downloads, by their addresses."""
    emails = {each.record["actor"].get("person") for each in found.values() if each.is_told} - {None}
    people: dict[str, str] = {}
    for some in in_parts(emails):
        query = select(Person.id, Person.email).where(Person.email.in_(some))
        people.update((row.email, str(row.id)) for row in session.execute(query))
    return people


def _rested_on(record: Mapping[str, Any], people: Mapping[str, str]) -> list[Subject]:
    subjects: list[Subject] = []
    if "finding" not in record:  # whoever may read a finding may save what is attached, whatever the stage's state
        stage = f"{record['model']}/{record['stage']}"
        subjects += [("hold", stage), ("hold", record["model"]), ("hold", "everything"), ("stage", stage)]
        if record.get("clearance") is None:
            subjects.append(("public", stage))
    if (organization := record["actor"].get("organization")) is not None:
        subjects += [("organization", organization), ("hold", f"{HELD_AS}{organization}")]
    if (person := people.get(record["actor"].get("person"))) is not None:
        subjects.append(("person", person))
    if (token := record["actor"].get("token")) is not None:
        subjects.append(("token", token))
    if (workload := record["actor"].get("workload")) is not None:
        subjects.append(("trust_record", str(workload["trust_record"])))
    for family in ("clearance", "signature"):
        if (number := record.get(family)) is not None:
            subjects.append((family, str(number)))
    return subjects


def _suspicion(
    kind: AlarmKind, cause: tuple[str, ...], reason: str, read: Read, at_ms: int, found: Issued | None
) -> Suspicion:
    return Suspicion(
        kind, cause, reason, at_ms, read.object_key, read.address, read.by, read.user_agent,
        None if found is None or not found.is_download else found.id,
        None if found is None else found.organization_id,
        None if found is None else found.organization,
    )  # fmt: skip
