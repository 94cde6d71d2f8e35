"""Verification of the bytes: everything that is stored of a log is computed anew and compared.

What the bytes mean is `domain/audit/replay.py`'s.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server import dates
from server.log import heads, tiles, tree
from server.log.archived import ArchivedMonths, ArchivedPlaces
from server.log.entries import SALT_BYTES, Log, LogEntry, commitment_of, name_of
from server.log.notes import VerifierKey
from server.log.row_order import RowOrder
from server.log.sealing import LogHead, read_tile
from server.log.tree import CompactRange
from server.storage.database import AnyRow
from server.storage.statements import Statement

ROWS_AT_ONCE = 8 * tiles.WIDTH
ERASURE = "entry.erase"  # its subject is the id of the entry that was emptied
Progress = Callable[[int, int], None]  # entries verified, entries in all


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and with what."""

    row: str  # like "entry 17" (its place), "head of size 300", "tile 0/12"
    sentence: str


class _Row(NamedTuple):
    """What is verified of an entry."""

    id: int
    leaf_index: int | None
    record: bytes
    salt: bytes
    commitment: bytes
    kind: str
    person: str | None
    appended_at: datetime


_COLUMNS = (
    LogEntry.id, LogEntry.leaf_index, LogEntry.record, LogEntry.salt, LogEntry.commitment, LogEntry.kind,
    LogEntry.person, LogEntry.appended_at,
)  # fmt: skip
_FROM = (
    select(*_COLUMNS)
    .where(LogEntry.log_id == bindparam("log_id"), LogEntry.leaf_index >= bindparam("first"))
    .order_by(LogEntry.leaf_index)
)
_ROWS = Statement(_FROM.limit(ROWS_AT_ONCE), _Row)  # a million go through it
_OF_TILE = Statement(_FROM.where(LogEntry.leaf_index < bindparam("end")), _Row)


def verify(session: Session, log: Log, key: VerifierKey, progress: Progress = lambda *_: None) -> Iterator[Fault]:
    """Yield every fault of a log's stored bytes: commitments, numbering, tiles, every head kept and its signature.

    The tree is grown entry by entry, so each head that was ever signed is compared with the tree of its size: that is
    consistency between all of them. An unsealed tail is fine.
    """
    all_heads = session.scalars(select(LogHead).where(LogHead.log_id == log.id).order_by(LogHead.size)).all()
    yield from _head_faults(all_heads, key)
    size = all_heads[-1].size if all_heads else 0
    waiting, grown = list(all_heads), CompactRange()
    while waiting and waiting[0].size == 0:
        yield from _root_fault(waiting.pop(0), tree.EMPTY_ROOT)
    order = RowOrder(one_writer=session.get_bind().dialect.name == "sqlite")
    archived = ArchivedMonths(session)
    places = ArchivedPlaces(archived.known, log.origin)
    for first, rows in _tiles_of_rows(session, log.id, size):
        for row in rows:
            places.take(row)
            if (fault := _entry_fault(session, log.id, row, archived)) is not None:
                yield fault
        leaves, begin = tree.leaf_hashes(row.commitment for row in rows), 0
        while waiting and first + begin < waiting[0].size <= first + len(rows):
            end, head = waiting[0].size - first, waiting.pop(0)
            yield from _order_faults(order, rows[begin:end])
            order.end_round(head.sealed_at)
            grown.extend(leaves[begin:end])
            yield from _root_fault(head, grown.root())
            begin = end
        yield from _order_faults(order, rows[begin:])
        grown.extend(leaves[begin:])
        if len(rows) == min(tiles.WIDTH, size - first):  # else the next step says what is missing
            yield from _level0_fault(session, log.id, first // tiles.WIDTH, b"".join(leaves))
        progress(first + len(rows), size)
    progress(size, size)
    yield from _archive_faults(places)
    yield from _upper_tile_faults(session, log.id, size)
    yield from _outside_faults(session, log.id, size)
    for head in waiting:
        yield Fault(f"head of size {head.size}", "it was signed over more entries than there are")


def _head_faults(all_heads: Sequence[LogHead], key: VerifierKey) -> Iterator[Fault]:
    for row in all_heads:
        try:
            signed = heads.verify(row.note.encode(), key)
        except (ValueError, AttributeError):  # SQLite gives bytes where somebody put some
            yield Fault(f"head of size {row.size}", "its note is not signed by the log's key")
            continue
        if (signed.size, signed.root) != (row.size, row.root):
            yield Fault(f"head of size {row.size}", "its note was signed for a different size or root")


def _root_fault(row: LogHead, root: bytes) -> Iterator[Fault]:
    if row.root != root:
        yield Fault(f"head of size {row.size}", "its root does not match the entries up to that point")


def _tiles_of_rows(session: Session, log_id: int, size: int) -> Iterator[tuple[int, list[_Row]]]:
    """Every sealed entry in the order of the tree, in bounded memory: those of one tile, and the place of its first.

    Raises MissingEntries after those before the hole.
    """
    rows: list[_Row] = []
    for first in range(0, size, tiles.WIDTH):
        width = min(tiles.WIDTH, size - first)
        if not rows:
            rows = _ROWS.all(session, log_id=log_id, first=first)
        of_tile, rows = rows[:width], rows[width:]
        in_place = [row for place, row in enumerate(of_tile, first) if row.leaf_index == place]
        yield first, in_place
        gone = first + len(in_place)
        if len(of_tile) > len(in_place):
            raise MissingEntries(f"the entry at position {gone} is missing")
        if len(of_tile) < width:
            raise MissingEntries(f"entries from position {gone} on are missing; the head says {size}")


def _order_faults(order: RowOrder, rows: Sequence[_Row]) -> Iterator[Fault]:
    for row in rows:
        if not order.take(row.id, row.appended_at):
            named = name_of(row.id, row.leaf_index)
            yield Fault(named, "its id is lower than that of an entry that was sealed before it")


class MissingEntries(Exception):
    """The tree has a hole: nothing after it can be verified. The text names the place."""


def _level0_fault(session: Session, log_id: int, number: int, expected: bytes) -> Iterator[Fault]:
    if _stored_tile(session, log_id, 0, number) != expected:
        yield Fault(f"tile 0/{number}", "it does not match the entries")


def _upper_tile_faults(session: Session, log_id: int, size: int) -> Iterator[Fault]:
    """Every higher tile against the tiles below it, which are verified already."""
    for tile in tiles.tiles_of(size):
        if tile.level > 0:
            below = (
                _stored_tile(session, log_id, tile.level - 1, tile.index * tiles.WIDTH + offset)
                for offset in range(tile.width)
            )
            expected = b"".join(_tile_root(data) for data in below)
            if _stored_tile(session, log_id, tile.level, tile.index) != expected:
                yield Fault(f"tile {tile.level}/{tile.index}", "it does not match the tiles below it")


def tile_count(size: int) -> int:
    """How many tiles of level 0 a tree of this size has."""
    return -(-size // tiles.WIDTH)


def tile_fault(session: Session, log_id: int, number: int, size: int) -> Fault | None:
    """Verify one tile of level 0 with its entries, and its way up through the tiles above it; the first fault, or None.

    size: of the newest head, whose root the edge was seen to give.
    """
    first = number * tiles.WIDTH
    rows, archived = _OF_TILE.all(session, log_id=log_id, first=first, end=first + tiles.WIDTH), ArchivedMonths(session)
    for row in rows:
        if (fault := _entry_fault(session, log_id, row, archived)) is not None:
            return fault
    hashes = b"".join(tree.leaf_hash(row.commitment) for row in rows)
    if len(rows) < min(tiles.WIDTH, size - first):
        return Fault(f"tile 0/{number}", "some of its entries are missing")
    level = offset = 0
    while True:
        stored = _stored_tile(session, log_id, level, number)
        width = tiles.width(level, number, size)
        if len(stored) != width * tree.HASH_BYTES or stored[offset : offset + len(hashes)] != hashes:
            return Fault(f"tile {level}/{number}", "it does not match the entries")
        if width < tiles.WIDTH:
            return None
        hashes, offset = _tile_root(stored), number % tiles.WIDTH * tree.HASH_BYTES
        level, number = level + 1, number // tiles.WIDTH


def _stored_tile(session: Session, log_id: int, level: int, number: int) -> bytes:
    try:
        return read_tile(session, log_id, level, number)
    except KeyError:
        return b""


def _entry_fault(session: Session, log_id: int, row: AnyRow, archived: ArchivedMonths) -> Fault | None:
    """What is wrong with a sealed entry's record, if anything; it may be empty when the log says why."""
    if commitment_of(row.salt, row.record) == row.commitment:
        return column_fault(row)
    if not row.record and not row.salt:
        return (
            None
            if is_erasure_told(session, row.id)
            else Fault(name_of(row.id, row.leaf_index), "it was erased without an entry that records the erasure")
        )
    if not row.record and len(row.salt) == SALT_BYTES:
        return (
            None
            if archived.covers(log_id, row)
            else Fault(name_of(row.id, row.leaf_index), "its record was taken away, and no entry archives its month")
        )
    return Fault(name_of(row.id, row.leaf_index), "its record or salt was changed")


def column_fault(row: AnyRow) -> Fault | None:
    """What the row is looked up by and its record does not say; a person may be missing, as in rows of old."""
    try:
        record = orjson.loads(row.record)
        kind, time, person = record["kind"], record["time"], record.get("actor", {}).get("person")
    except (KeyError, TypeError, AttributeError, ValueError):
        return Fault(name_of(row.id, row.leaf_index), "its record is not one that this log writes")
    if row.kind != kind:
        wrong = "kind"
    elif dates.milliseconds(row.appended_at) != time:
        wrong = "time"
    elif row.person is not None and row.person != person:
        wrong = "person"
    else:
        return None
    return Fault(name_of(row.id, row.leaf_index), f"its {wrong} column differs from its record")


def is_erasure_told(session: Session, entry_id: int) -> bool:
    """Whether a sealed entry, itself whole, tells of the erasure."""
    rows = session.execute(
        select(LogEntry.record, LogEntry.salt, LogEntry.commitment).where(
            LogEntry.kind == ERASURE, LogEntry.subject == str(entry_id), LogEntry.leaf_index.is_not(None)
        )
    )
    return any(commitment_of(row.salt, row.record) == row.commitment for row in rows)


def _tile_root(data: bytes) -> bytes:
    row = data
    for _ in range(tiles.HEIGHT):
        row = tree.parents(row)
    return row


def _archive_faults(places: ArchivedPlaces) -> Iterator[Fault]:
    for month in places.differing():
        yield Fault(f"archive of {month}", "the downloads of that month are not those that were archived")


def _outside_faults(session: Session, log_id: int, size: int) -> Iterator[Fault]:
    """Of the entries that are in no tree."""
    yield from _stray_faults(session, log_id, size)
    yield from _tail_faults(session, log_id)


def _stray_faults(session: Session, log_id: int, size: int) -> Iterator[Fault]:
    """Entries that have a number and yet no place in the tree: neither sealed nor waiting for it."""
    for outside in (LogEntry.leaf_index >= size, LogEntry.leaf_index < 0):
        for stray in session.scalars(select(LogEntry.id).where(LogEntry.log_id == log_id, outside)):
            yield Fault(name_of(stray, None), f"it has a position outside the {size} sealed entries")


def _tail_faults(session: Session, log_id: int) -> Iterator[Fault]:
    """The entries that are not sealed yet: few, and each must be what was committed to."""
    rows = session.execute(
        select(*_COLUMNS)
        .where(LogEntry.log_id == log_id, LogEntry.leaf_index.is_(None))
        .execution_options(yield_per=200)
    )
    for row in rows:
        if commitment_of(row.salt, row.record) != row.commitment:
            yield Fault(name_of(row.id, row.leaf_index), "its record or salt was changed before it was sealed")
        elif (fault := column_fault(row)) is not None:
            yield fault
