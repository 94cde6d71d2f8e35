"""Decoys: objects that look like a checkpoint's weights and belong to none. Whoever asks for one has no reason to.

No manifest, page, list or URL names one, so a request for it comes from somebody with a key of the store, or with a
listing of the bucket; reconciliation raises an alarm. Its row and its entry are there before the object and stay after
it: at no moment is there an object that nobody watches, and a key that was seen once may be asked for much later.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.permissions import Permission
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import CheckpointFile
from server.domain.release import stages
from server.domain.release.stages import Stage
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment
from server.storage.objects import MIB

SIZES_MIB = range(1, 16)  # sent in one request, from memory
DEFAULT_MIB = 4
USUAL_NAME = "model.safetensors"


class Decoy(Base):
    """One object of the bucket that is there to be left alone. The row is never deleted."""

    __tablename__ = "decoys"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"))
    object_key: Mapped[str] = mapped_column(String(1024), unique=True)
    size_bytes: Mapped[int] = mapped_column(Key)
    placed_at: Mapped[datetime] = mapped_column(Moment)
    placed_by: Mapped[str] = mapped_column(String(254))
    removed_at: Mapped[datetime | None] = mapped_column(Moment)
    removed_by: Mapped[str | None] = mapped_column(String(254))
    stage: Mapped[Stage] = relationship()


_WITH_STAGE = select(Decoy).options(joinedload(Decoy.stage).joinedload(Stage.model))


def place(use: Resources, caller: Caller, full_name: str, size_mib: int = DEFAULT_MIB) -> Decoy:
    """Put a decoy below a stage's prefix; if one of the stage's is missing in the bucket, that one and no other.

    So a call that died goes on, and what a restored bucket lacks comes back. Raises InvalidRequest, NotFound,
    NotPossible, ObjectStoreError, KeyFileError or AnotherInstance.
    """
    caller.require(Permission.DECOY_MANAGE)
    if size_mib not in SIZES_MIB:
        raise InvalidRequest(f"A decoy has {SIZES_MIB.start} to {SIZES_MIB.stop - 1} MiB.")
    use.claim_bucket()  # or the alarm would be another instance's to raise
    decoy = _missing(use, full_name) or _begin(use, caller, full_name, size_mib)
    # The row is committed: from here a crash leaves a decoy that is watched and not there.
    use.store.put_bytes(decoy.object_key, secrets.token_bytes(decoy.size_bytes))
    with use.database.reading() as session:
        placed = _get(session, decoy.id)
    if placed.removed_at is not None:
        use.store.delete(decoy.object_key)
        raise NotPossible(f"{placed.removed_by} has just removed decoy {placed.id}.", next_step="Place another one.")
    return placed


def remove(use: Resources, caller: Caller, decoy_id: int) -> Decoy:
    """Take a decoy out of the bucket; whoever still asks for it raises an alarm as before.

    Again for one that was removed: then only the object is deleted, should it still be there. Raises as `place`.
    """
    caller.require(Permission.DECOY_MANAGE)
    store = use.store  # a missing key is told before anything is written
    with use.database.transaction() as session:
        decoy = _get(session, decoy_id, lock=True)
        if decoy.removed_at is None:
            decoy.removed_at, decoy.removed_by = use.clock(), str(caller.person)
            _record(session, EntryKind.DECOY_REMOVE, decoy.removed_at, caller, decoy)
    store.delete(decoy.object_key)
    return decoy


def listed(session: Session, caller: Caller) -> Sequence[Decoy]:
    """Every decoy there is and was, in the order of their placing: there are few. For who sees alarms."""
    caller.require(Permission.ALARM_READ)
    return session.scalars(_WITH_STAGE.order_by(Decoy.id)).all()


def watched(session: Session) -> frozenset[str]:
    """The object keys that nobody should ask for, removed ones too."""
    return frozenset(session.scalars(select(Decoy.object_key)))


def _missing(use: Resources, full_name: str) -> Decoy | None:
    """One of a stage's that should lie in the bucket, and does not."""
    with use.database.reading() as session:
        here = Decoy.stage_id == stages.get(session, full_name).id
        expected = session.scalars(_WITH_STAGE.where(here, Decoy.removed_at.is_(None)).order_by(Decoy.id)).all()
    return next((decoy for decoy in expected if use.store.head(decoy.object_key) is None), None)


def _begin(use: Resources, caller: Caller, full_name: str, size_mib: int) -> Decoy:
    """Write down which object will be there. Weights have no round sizes."""
    with use.database.transaction() as session:
        stage = stages.get(session, full_name)
        decoy = Decoy(
            stage=stage, size_bytes=size_mib * MIB - secrets.randbelow(MIB // 4), placed_at=use.clock(),
            object_key=checkpoints.object_key(stage.full_name, secrets.token_hex(20), _file_name(session, stage)),
            placed_by=str(caller.person),
        )  # fmt: skip
        session.add(decoy)
        session.flush()
        _record(session, EntryKind.DECOY_PLACE, decoy.placed_at, caller, decoy)
        return decoy


def _file_name(session: Session, stage: Stage) -> str:
    """That of the largest file of the stage's `main`, among which a decoy lies."""
    query = select(CheckpointFile.path).where(CheckpointFile.checkpoint_id == stage.main_checkpoint_id)
    return session.scalar(query.order_by(CheckpointFile.size_bytes.desc(), CheckpointFile.id).limit(1)) or USUAL_NAME


def _get(session: Session, decoy_id: int, *, lock: bool = False) -> Decoy:
    query = _WITH_STAGE.where(Decoy.id == decoy_id)
    decoy = session.scalar(query.with_for_update(of=Decoy) if lock else query)
    if decoy is None:
        raise NotFound(f"There is no decoy {decoy_id}.", next_step="`decoy list` shows every decoy.")
    return decoy


def _record(session: Session, kind: EntryKind, at: datetime, caller: Caller, decoy: Decoy) -> None:
    """Of no organization, so that no partner learns from its own log that there are decoys."""
    record = {"actor": caller.as_record(), "decoy": decoy.id, "stage": decoy.stage.full_name}
    placed = {"object_key": decoy.object_key, "size_bytes": decoy.size_bytes}
    acts.append(session, kind, at, record | placed if kind is EntryKind.DECOY_PLACE else record)
