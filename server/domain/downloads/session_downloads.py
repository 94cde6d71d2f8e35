"""Session downloads: keys with which the store itself lets somebody read one checkpoint, until they end.

Decided and logged like every download of all its files, before the store is asked for the keys. It is not decided
again: a hold stops the next keys, and these work until their end, unless the store is told to refuse them (`cutting`).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Select, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.access.rule import Grant
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.errors import AuthenticationRequired
from server.domain.identity import s3_keys
from server.domain.permissions import Permission
from server.domain.publish.checkpoints import MAIN, File
from server.domain.resources import Resources
from server.storage.database import Base, Moment
from server.storage.keys import S3Credentials
from server.storage.object_errors import ObjectStoreError
from server.storage.outside import CLOCKS_DIFFER_AT_MOST

BEGINS_WITHIN_SECONDS = 15  # after the entry: the session's end is that much later, at most
DOOR = "sts"  # how an entry names the way by which files were fetched


class SessionDownload(Base):
    """Until when the store may take a download's keys. They outlive any URL, so they are not found by their age."""

    __tablename__ = "session_downloads"
    download_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(Moment, index=True)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """Keys of the store's. prefix: below which they read in its bucket."""

    download_id: str
    prefix: str
    expires_at: datetime
    credentials: S3Credentials = field(repr=False)


def issue(
    use: Resources, caller: Caller, stage: str, checkpoint: str = MAIN, seconds: int | None = None
) -> SessionKeys:
    """Decide, log, then have the store make the keys. seconds: at most what the settings allow.

    Raises a Refused, LogUnsound or OutsideFault: then nothing was logged. Raises ObjectStoreError or KeyFileError when
    the store made no keys: then the entry tells of more than was given.
    """
    caller.require(Permission.DOWNLOAD_CREATE)
    if caller.token_public_id is None:  # also for a public stage: keys are somebody's
        raise AuthenticationRequired
    use.outside.require()
    lasts = s3_keys.bounded(use, seconds)
    download_id, lives = str(issuing.new_id(use.clock())), timedelta(seconds=lasts + BEGINS_WITHIN_SECONDS)

    def decide_and_log(session: Session) -> Grant:
        grant, log = issuing.decide(session, use, caller, Order(stage, checkpoint))
        session.execute(delete(SessionDownload).where(SessionDownload.expires_at <= grant.at))
        session.add(SessionDownload(download_id=download_id, expires_at=grant.at + lives))
        record = issuing.record_of(caller, grant, download_id, int(lives.total_seconds())) | {"door": DOOR}
        issuing.append(session, caller, grant, log, record)
        return grant

    grant = use.database.together(decide_and_log)
    # The entry is committed: from here on a crash loses the keys, never a record.
    issuing.count(use, caller, grant)
    prefix = _prefix(grant.files)
    made = use.sessions.begin(prefix, download_id, lasts)
    if made.expires_at > grant.at + lives + CLOCKS_DIFFER_AT_MOST:
        raise ObjectStoreError("the store made keys that work longer than was asked for: they were given to nobody")
    return SessionKeys(download_id, prefix, made.expires_at, made.credentials)


def living(at: datetime) -> Select[str]:
    """The downloads whose keys the store may still take, those that end last first, as a query."""
    living = select(SessionDownload.download_id).where(SessionDownload.expires_at > at)
    return living.order_by(SessionDownload.expires_at.desc())


def _prefix(files: list[File]) -> str:
    """Below which all files of a checkpoint lie, and nothing else does. Raises ObjectStoreError."""
    found = {file.stored.key.removesuffix(file.path) for file in files}
    if len(found) != 1 or not (prefix := found.pop()).endswith("/"):
        raise ObjectStoreError("the files of this checkpoint do not lie below one prefix")
    return prefix
