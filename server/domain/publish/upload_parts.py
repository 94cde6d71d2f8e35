"""The parts of an upload: a URL for each that the store does not hold yet, for exactly these bytes and a short time."""

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.publish import uploads
from server.domain.publish.uploads import Upload, UploadFile, UploadState
from server.domain.resources import Resources
from server.storage.object_parts import part_size_bytes
from server.storage.objects import REQUESTS_AT_ONCE, ObjectStoreError
from server.storage.uploads import Part, UploadObjects

AT_MOST = 200  # in one request
DIGEST_BYTES = 32  # SHA-256
_UNKNOWN = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One part to send. number: from 1. sha256: of this part, lower-case hex."""

    path: str
    number: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a part is to be put, with which headers. url: None for one that has arrived already."""

    path: str
    number: int
    url: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Slots:
    """expires_at, lifetime_seconds: of all their URLs."""

    slots: Sequence[Slot]
    expires_at: datetime
    lifetime_seconds: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What the store has of a file. before: the attempt that was known; parts: of the one that goes on."""

    before: str | None
    attempt: str
    parts: Mapping[int, Part]

    @property
    def is_new(self) -> bool:
        return self.attempt != self.before


def count(size_bytes: int) -> int:
    """How many parts a file has."""
    return -(-size_bytes // part_size_bytes(size_bytes))


def size_of(file: UploadFile, number: int) -> int:
    """The size in bytes of a file's part; the last one may be shorter."""
    whole = part_size_bytes(file.size_bytes)
    return min(whole, file.size_bytes - (number - 1) * whole)


def digests(file: UploadFile) -> list[bytes]:
    """The SHA-256 of each part, in order; zeros where none was announced."""
    known = file.part_digests or b""
    return [known[at : at + DIGEST_BYTES] for at in range(0, len(known), DIGEST_BYTES)]


def missing(file: UploadFile, arrived: Mapping[int, Part] | None) -> list[int]:
    """The numbers of the parts that the store does not hold in full."""
    held = arrived or {}
    numbers = range(1, count(file.size_bytes) + 1)
    return [number for number in numbers if number not in held or held[number].size_bytes != size_of(file, number)]


def urls(use: Resources, caller: Caller, upload_id: int, wanted: Sequence[Wanted]) -> Slots:
    """Return a URL for each part that has not arrived. Raises InvalidRequest, NotFound, NotPossible.

    The digest that a part was first announced with stays, so what arrived under it is known to be the right part.
    """
    store = uploads.require_store(use)
    numbers = defaultdict[str, dict[int, bytes]](dict)
    for part in wanted:
        if part.number in numbers[part.path]:
            raise InvalidRequest(f"{part.path}: part {part.number} is named twice.")
        numbers[part.path][part.number] = bytes.fromhex(part.sha256)
    with use.database.reading() as session:
        files = _open_files(session, _own_open(session, caller, upload_id), numbers)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="parts") as pool:
        held = dict(zip(files, pool.map(lambda file: _held(store, file), files.values()), strict=True))
    lifetime = use.settings.url_lifetime_seconds
    try:
        with use.database.transaction() as session:
            upload = _own_open(session, caller, upload_id, lock=True)
            files = _open_files(session, upload, numbers, lock=True)
            for path, file in files.items():
                if file.attempt == held[path].before:  # else another request came first
                    file.attempt = held[path].attempt
                _keep(file, numbers[path])
            upload.touched_at = at = use.clock()
    finally:
        for path, one in held.items():
            if one.is_new and one.attempt != files[path].attempt:  # of no use; the worker would find it, too
                with contextlib.suppress(ObjectStoreError):
                    store.abort(files[path].object_key, one.attempt)
    slots = [_slot(store, files[part.path], part, held[part.path].parts, lifetime) for part in wanted]
    return Slots(slots, at + timedelta(seconds=lifetime), lifetime)


def _held(store: UploadObjects, file: UploadFile) -> _Held:
    """A new attempt where the store knows of none."""
    arrived = None if file.attempt is None else store.arrived(file.object_key, file.attempt)
    if file.attempt is None or arrived is None:
        return _Held(file.attempt, store.begin(file.object_key), {})
    return _Held(file.attempt, file.attempt, arrived)


def _own_open(session: Session, caller: Caller, upload_id: int, *, lock: bool = False) -> Upload:
    upload = uploads.own(session, caller, upload_id, lock=lock)
    if upload.state != UploadState.OPEN:
        raise NotPossible(f"Upload {upload_id} takes no more parts: it is {upload.state}.", next_step="Look at it.")
    return upload


def _open_files(
    session: Session, upload: Upload, numbers: Mapping[str, Mapping[int, bytes]], *, lock: bool = False
) -> dict[str, UploadFile]:
    query = select(UploadFile).where(UploadFile.upload_id == upload.id, UploadFile.path.in_(numbers))
    files = {file.path: file for file in session.scalars(query.with_for_update() if lock else query)}
    for path, wanted in numbers.items():
        if path not in files:
            raise NotFound(f"Upload {upload.id} has no file {path}.", next_step="Begin it again with this file.")
        if not 1 <= min(wanted) <= max(wanted) <= count(files[path].size_bytes):
            raise InvalidRequest(f"{path} has {count(files[path].size_bytes)} parts.")
    return files


def _keep(file: UploadFile, announced: Mapping[int, bytes]) -> None:
    known = digests(file) or [_UNKNOWN] * count(file.size_bytes)
    for number, digest in announced.items():
        if known[number - 1] not in {_UNKNOWN, digest}:
            raise InvalidRequest(
                f"{file.path}: part {number} is not what it was before.",
                next_step="The file has changed, or its SHA-256 is wrong. Begin the upload again.",
            )
        known[number - 1] = digest
    file.part_digests = b"".join(known)


def _slot(store: UploadObjects, file: UploadFile, part: Wanted, held: Mapping[int, Part], lifetime: int) -> Slot:
    size_bytes = size_of(file, part.number)
    if part.number in held and held[part.number].size_bytes == size_bytes:
        return Slot(part.path, part.number, None, {})
    digest = bytes.fromhex(part.sha256)
    url, headers = store.part_url(file.object_key, file.attempt or "", part.number, digest, size_bytes, lifetime)
    return Slot(part.path, part.number, url, headers)
