"""Keyed downloads: files that S3 tools fetch with a key, each request of its own and most of them for a part.

Each request is decided anew. One entry tells of all that one key fetches of one file, and is committed before the first
byte of it leaves; a request that rests on something else than the entry says (another clearance, another signature) has
an entry of its own. The URL is the store's proxy's alone: nobody is given it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from sqlalchemy import LargeBinary, String, bindparam, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.access import kept_facts, rule
from server.domain.access.facts import find_stage
from server.domain.access.rule import Grant
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.errors import AuthenticationRequired, NotPermitted
from server.domain.identity import s3_keys
from server.domain.identity.s3_keys import NewS3Key, S3Key
from server.domain.permissions import Permission
from server.domain.publish.checkpoints import File, FileList
from server.domain.release.stages import Stage
from server.domain.resources import Resources
from server.log import condition
from server.log.authority import Authority
from server.log.condition import NewestLog
from server.log.entries import CLOCKS_DIFFER_BY
from server.storage.database import Base, Moment, RowTaken
from server.storage.statements import Statement

DOOR = "s3"  # how an entry names the way by which a file was fetched
URL_LIVES_SECONDS = 60  # the proxy uses it at once


class KeyedDownload(Base):
    """What one key fetches of one file, on one authority: the entry that tells of it."""

    __tablename__ = "keyed_downloads"
    claim_sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    download_id: Mapped[str] = mapped_column(String(36))
    expires_at: Mapped[datetime] = mapped_column(Moment, index=True)  # the key's end: nobody asks for it after that


@dataclass(frozen=True, slots=True)
class KeyedFile:
    """Which file is asked for. stage: `model/stage`, as the caller wrote it; an alias is as good."""

    stage: str
    checkpoint: str
    path: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that may be fetched now. download_id: that of the entry that tells of it already."""

    stage: str
    listed: FileList
    file: File
    download_id: str | None


def key_for(use: Resources, caller: Caller, stage: str, lifetime_seconds: int | None = None) -> NewS3Key:
    """Make a key that opens one stage, if the caller may have its files now. Raises a Refused."""
    caller.require(Permission.DOWNLOAD_CREATE)
    if caller.token_public_id is None:  # also for a public stage: a key is somebody's
        raise AuthenticationRequired
    with use.database.reading() as session:
        found = rule.require_sight(session, use, caller, stage, staff_may_look=False).stage
    return s3_keys.mint(use, caller.token_public_id, found.id, lifetime_seconds)


def stage_of(session: Session, key: S3Key, asked: str | None = None) -> str:
    """Return the name of a key's stage: the one that was asked for, if it is one of its. Raises NotPermitted.

    Of another stage nobody learns whether there is one.
    """
    stage = session.get(Stage, key.stage_id)
    name = "another stage" if stage is None else stage.full_name
    if asked is None and stage is not None:
        return name
    found = None if asked is None else find_stage(session, asked)
    if found is None or asked is None or found.id != key.stage_id:
        raise NotPermitted(f"These keys are for {name}.", next_step="Get keys for the stage that you want.")
    return asked


def listing(use: Resources, caller: Caller, key: S3Key, asked: str | None, checkpoint: str) -> tuple[str, FileList]:
    """The files of a checkpoint of the key's stage, and the stage's name as it was asked for, if it was.

    Raises a Refused: NoSuchCheckpoint, too, for a stage without any.
    """
    caller.require(Permission.DOWNLOAD_CREATE)
    with use.database.reading() as session:
        name = stage_of(session, key, asked)
        return name, rule.require_reading(session, use, caller, name, checkpoint)[1]


def opens(use: Resources, key: S3Key, name: str) -> bool:
    """Whether this is a name of the key's stage."""
    with use.database.reading() as session:
        found = find_stage(session, name)
    return found is not None and found.id == key.stage_id


def look(use: Resources, caller: Caller, key: S3Key, wanted: KeyedFile) -> Seen:
    """Decide whether they may fetch a file now. Nothing is issued. Raises a Refused or LogUnsound."""
    caller.require(Permission.DOWNLOAD_CREATE)
    return _look_again(use, caller, key, wanted) or _look(use, caller, key, wanted)


def _look_again(use: Resources, caller: Caller, key: S3Key, wanted: KeyedFile) -> Seen | None:
    """The same by what was read before, if one look at the database shows that it still holds."""
    expected = kept_facts.expect(use, caller, wanted.stage, wanted.checkpoint, [wanted.path])
    if expected is None or expected.stage_id != key.stage_id:
        return None
    grant, claim = expected.grant, _claim(key, expected.grant)
    now = use.database.look_up(_NOW, claim_sha256=claim, ahead_from=grant.at + CLOCKS_DIFFER_BY)
    if now is None or now.generation != expected.generation:
        return None
    condition.sound(NewestLog(*now[2:]), grant.at)
    return Seen(wanted.stage, grant.checkpoint, grant.files[0], now.download_id)


def _look(use: Resources, caller: Caller, key: S3Key, wanted: KeyedFile) -> Seen:
    with use.database.reading() as session:
        stage = stage_of(session, key, wanted.stage)
        grant = rule.require_again(session, use, caller, stage, wanted.checkpoint, [wanted.path])
        log = condition.require_sound(session, grant.at)
        known = _known(session, key, grant)
    kept_facts.keep(use, caller, stage, wanted.checkpoint, grant, log)
    return Seen(stage, grant.checkpoint, grant.files[0], known)


def fetch(use: Resources, caller: Caller, key: S3Key, seen: Seen) -> str:
    """Log what was just decided, if it is the first time, then sign: returns a URL for the store's proxy alone.

    The first time it is decided with what it rests on held, and counted. Raises a Refused, LogUnsound or OutsideFault:
    then nothing was logged, and no URL exists.
    """
    use.outside.require()
    download_id = seen.download_id or _issue(use, caller, key, seen)
    # The entry is committed, by us or by another request with the same key.
    (url,) = use.store_signer.sign([seen.file.stored], download_id=download_id, lifetime_seconds=URL_LIVES_SECONDS)
    return url


def _issue(use: Resources, caller: Caller, key: S3Key, seen: Seen) -> str:
    """Append the entry, unless another request does it at this moment; returns the download's id."""
    # The checkpoint that was seen, also if another one becomes `main` at this moment.
    order = Order(seen.stage, seen.listed.checkpoint_id, [seen.file.path])

    def decide_and_log(session: Session) -> tuple[str, Grant | None]:
        grant, log = issuing.decide(session, use, caller, order)
        if (known := _known(session, key, grant)) is not None:
            return known, None
        made = str(issuing.new_id(grant.at))
        session.execute(delete(KeyedDownload).where(KeyedDownload.expires_at <= grant.at))
        session.add(KeyedDownload(claim_sha256=_claim(key, grant), download_id=made, expires_at=key.expires_at))
        session.flush()
        lives_seconds = max(int((key.expires_at - grant.at) / timedelta(seconds=1)), 1)
        record = issuing.record_of(caller, grant, made, lives_seconds)
        issuing.append(session, caller, grant, log, record | {"door": DOOR, "access_key_id": key.access_key_id})
        return made, grant

    try:
        download_id, appended = use.database.together(decide_and_log)
    except RowTaken:  # by a request at the same moment, whose entry is committed now
        download_id, appended = use.database.together(decide_and_log)
    if appended is not None:
        issuing.count(use, caller, appended)
    return download_id


class _Now(NamedTuple):
    """What a second look needs to see. From `id` on it is a NewestLog."""

    generation: str
    download_id: str | None
    id: int
    origin: str
    receipt_vkey: str
    stop_reason: str | None
    oldest: datetime | None
    ahead: datetime | None


_KNOWN = select(KeyedDownload.download_id).where(KeyedDownload.claim_sha256 == bindparam("claim_sha256"))
_newest = condition.newest("ahead_from").subquery()
_NOW = Statement(
    select(Authority.generation, _KNOWN.scalar_subquery().label("download_id"), *_newest.c).where(Authority.id == 1),
    _Now,
)


def _known(session: Session, key: S3Key, grant: Grant) -> str | None:
    query = select(KeyedDownload.download_id).where(KeyedDownload.claim_sha256 == _claim(key, grant))
    return session.scalar(query)


def _claim(key: S3Key, grant: Grant) -> bytes:
    rests_on = [grant.clearance_id, grant.tier, grant.agreement_sha256, grant.signature_id]
    what = [key.access_key_id, grant.checkpoint.checkpoint_id, grant.files[0].path, *rests_on]
    return hashlib.sha256(orjson.dumps(what)).digest()
