"""Sealing: one sealer puts entries into the tree, in one order for ever, and signs the new head.

A round is one transaction: lock the log; see that the tree at its edge is still the one that the head was signed over;
take what is unsealed, in the order of ids; see that each entry is still what was committed to; grow the tiles; number
the entries; sign. Any mismatch stops sealing for good: somebody has changed what nobody may change.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ForeignKey, String, UniqueConstraint, bindparam, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.log import heads, tiles, tree
from server.log.entries import LOG_OF_WAITING, Bytes, Log, LogEntry, commitment_of, name_of
from server.log.heads import Head
from server.log.notes import Signer, VerifierKey
from server.storage.database import Base, Database, Key, Moment
from server.storage.statements import Statement

ENTRIES_A_ROUND = 1000
ENTRIES_AT_ONCE = 50  # in memory; a divisor of a round
LOWEST_ID = -(2**63)  # whatever somebody put there by hand
RECORD_BYTES_A_ROUND = 32_000_000  # entries of a thousand files each are large


class SealingStopped(Exception):
    """The log is not what was sealed. Nothing more is sealed or issued until people have looked (deploy/README.md)."""


class LogTile(Base):
    """256 hashes of one level at most; a row only ever grows, so a narrower tile is a prefix of it."""

    __tablename__ = "log_tiles"
    log_id: Mapped[int] = mapped_column(ForeignKey("logs.id"), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Key, primary_key=True)
    data: Mapped[bytes] = mapped_column(Bytes)


class LogHead(Base):
    """A signed statement of size and root. All are kept: each must be consistent with every later one."""

    __tablename__ = "log_heads"
    __table_args__ = (UniqueConstraint("log_id", "size"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    log_id: Mapped[int] = mapped_column(ForeignKey("logs.id"))
    size: Mapped[int] = mapped_column(Key)
    root: Mapped[bytes] = mapped_column(Bytes)
    note: Mapped[str] = mapped_column(String(2000))
    sealed_at: Mapped[datetime] = mapped_column(Moment)


@dataclass(frozen=True, slots=True)
class _Unsealed:
    ids: list[int]
    commitments: list[bytes]
    appended_at: list[datetime]


class _Row(NamedTuple):
    """What is looked at of an entry before it is sealed."""

    id: int
    record: bytes
    salt: bytes
    commitment: bytes
    appended_at: datetime


_UNSEALED = Statement(
    select(LogEntry.id, LogEntry.record, LogEntry.salt, LogEntry.commitment, LogEntry.appended_at)
    .where(bindparam("log_id") == LOG_OF_WAITING, LogEntry.leaf_index.is_(None), LogEntry.id > bindparam("last"))
    .order_by(LogEntry.id)
    .limit(ENTRIES_AT_ONCE),
    _Row,
)


class _Data(NamedTuple):
    data: bytes


class _Stray(NamedTuple):
    id: int


_TILE = Statement(
    select(LogTile.data).where(
        LogTile.log_id == bindparam("log_id"),
        LogTile.level == bindparam("level"),
        LogTile.number == bindparam("number"),
    ),
    _Data,
)
_OF_LOG = select(LogEntry.id).where(LogEntry.log_id == bindparam("log_id")).limit(1)
_STRAYS = (  # two, since an OR would not use the index
    Statement(_OF_LOG.where(LogEntry.leaf_index >= bindparam("size")), _Stray),
    Statement(_OF_LOG.where(LogEntry.leaf_index < 0), _Stray),
)


def seal(
    database: Database,
    signer: Signer,
    clock: Callable[[], datetime],
    committed: Callable[[Sequence[datetime]], object] = lambda _: None,
) -> int:
    """Seal one round of the signer's log; returns how many entries. 0 also when another sealer is at it.

    committed: told, once they are sealed for good, when each of them was appended.

    Raises SealingStopped. After an error at the commit nothing is known: call again, never go on from memory.
    """
    with database.transaction() as session:
        log = session.scalar(
            select(Log).where(Log.origin == signer.key.name).with_for_update(key_share=True, skip_locked=True)
        )
        sealed = [] if log is None else _seal_round(session, log, signer, clock())
    committed(sealed)
    return len(sealed)


def seal_round(session: Session, log: Log, signer: Signer, at: datetime) -> int:
    """Seal one round inside the caller's transaction, which has locked the log's row; returns how many entries.

    Raises SealingStopped.
    """
    return len(_seal_round(session, log, signer, at))


def _seal_round(session: Session, log: Log, signer: Signer, at: datetime) -> list[datetime]:
    """Returns when each of them was appended."""
    if log.stop_reason is not None:
        raise SealingStopped(log.stop_reason)
    signed = _head(session, log, signer.key)
    head = signed or Head.empty(log.origin)
    edge = _edge(session, log.id, head)
    _require_numbers(session, log.id, head.size)
    unsealed = _unsealed(session, log.id)
    if not unsealed.ids and signed is not None:
        return []
    grown = tiles.append(edge, head.size, tree.leaf_hashes(unsealed.commitments))
    size = head.size + len(unsealed.ids)
    _write_tiles(session, log.id, edge, grown)
    _number(session, unsealed.ids, head.size)
    after = Head(log.origin, size, tiles.root_from_edge(size, edge | grown))
    note = heads.sign(after, signer).decode()
    session.add(LogHead(log_id=log.id, size=size, root=after.root, note=note, sealed_at=at))
    return unsealed.appended_at


def stop(database: Database, origin: str, reason: str, at: datetime) -> None:
    """Stop sealing and issuing for good, with a sentence; only people, with the database in hand, undo it."""
    with database.transaction() as session:
        session.execute(
            update(Log).where(Log.origin == origin, Log.stop_reason.is_(None)).values(stop_reason=reason, stopped_at=at)
        )


def newest_head(session: Session, log_id: int) -> LogHead | None:
    """The head that was signed last; None for a log that was never sealed."""
    return session.scalar(select(LogHead).where(LogHead.log_id == log_id).order_by(LogHead.size.desc()).limit(1))


def read_tile(session: Session, log_id: int, level: int, number: int) -> bytes:
    """Return a tile as far as it has grown. Raises KeyError when there is none."""
    row = _TILE.first(session, log_id=log_id, level=level, number=number)
    if row is None:
        raise KeyError((level, number))
    return row.data


def _head(session: Session, log: Log, key: VerifierKey) -> Head | None:
    """What was signed last, from the note and not from the columns beside it. Raises SealingStopped."""
    newest = newest_head(session, log.id)
    if newest is None:
        return None
    try:
        head = heads.verify(newest.note.encode(), key)
    except (ValueError, AttributeError):  # SQLite gives bytes where somebody put some
        raise SealingStopped(f"the head of size {newest.size} is not signed by the log's key") from None
    if (head.size, head.root) != (newest.size, newest.root):
        raise SealingStopped(f"the head of size {newest.size} is not what its signature covers")
    return head


def _edge(session: Session, log_id: int, head: Head) -> dict[tuple[int, int], bytes]:
    """The tiles at the tree's right edge, which must give the head's root. Raises SealingStopped."""
    try:
        edge = {place: read_tile(session, log_id, *place) for place in tiles.edge_tiles(head.size)}
    except KeyError as error:
        raise SealingStopped(f"the tile {error.args[0]} of the log is missing") from None
    try:
        unchanged = tiles.root_from_edge(head.size, edge) == head.root
    except tiles.BadTile:
        unchanged = False
    if not unchanged:
        raise SealingStopped(f"the tiles at the edge do not match the root that was signed for size {head.size}")
    return edge


def _require_numbers(session: Session, log_id: int, size: int) -> None:
    """See that nobody else gave an entry a place: it would never be sealed, yet look it. Raises SealingStopped."""
    for strays in _STRAYS:
        if (stray := strays.first(session, log_id=log_id, size=size)) is not None:
            raise SealingStopped(f"{name_of(stray.id, None)} has a position outside the {size} sealed entries")


def _unsealed(session: Session, log_id: int) -> _Unsealed:
    """The next entries in the order of ids, each seen to be what was committed to. Raises SealingStopped."""
    found, taken_bytes, last = _Unsealed([], [], []), 0, LOWEST_ID
    while len(found.ids) < ENTRIES_A_ROUND and (rows := _UNSEALED.all(session, log_id=log_id, last=last)):
        for row in rows:
            if commitment_of(row.salt, row.record) != row.commitment:
                named = name_of(row.id, None)
                raise SealingStopped(f"{named} does not match its commitment: it was changed before it was sealed")
            found.ids.append(row.id)
            found.commitments.append(row.commitment)
            found.appended_at.append(row.appended_at)
            taken_bytes += len(row.record)
            if taken_bytes > RECORD_BYTES_A_ROUND:
                return found
        last = rows[-1].id
    return found


def _write_tiles(
    session: Session,
    log_id: int,
    edge: Mapping[tuple[int, int], bytes],
    grown: Mapping[tuple[int, int], bytes],
) -> None:
    for (level, number), data in grown.items():
        if (level, number) in edge:
            session.execute(
                update(LogTile)
                .where(LogTile.log_id == log_id, LogTile.level == level, LogTile.number == number)
                .values(data=data)
            )
        else:
            _require_no_tile(session, log_id, level, number)
            session.execute(insert(LogTile).values(log_id=log_id, level=level, number=number, data=data))


def _require_no_tile(session: Session, log_id: int, level: int, number: int) -> None:
    try:
        read_tile(session, log_id, level, number)
    except KeyError:
        return
    raise SealingStopped(f"the tile {(level, number)} is beyond the current size of the tree")


def _number(session: Session, ids: list[int], first: int) -> None:
    """Give the entries their places in the tree: a statement for each run of ids without a gap, mostly one."""
    start = 0
    for place in range(1, len(ids) + 1):
        if place == len(ids) or ids[place] != ids[place - 1] + 1:
            session.execute(
                update(LogEntry)
                .where(LogEntry.id.between(ids[start], ids[place - 1]))
                .values(leaf_index=LogEntry.id + (first + start - ids[start])),
                execution_options={"synchronize_session": False},
            )
            start = place
