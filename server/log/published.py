"""What the public sees of a log: its head, its tiles, and proofs made from them. Leaves are salted commitments."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.log import cosignatures, tiles, tree
from server.log.entries import Log, LogEntry
from server.log.proofs import Proof
from server.log.sealing import LogHead, newest_head, read_tile
from server.log.tiles import Tile


class NotPublished(Exception):
    """There is no such log, head or tile, or not yet."""


def find(session: Session, name: str | None) -> Log:
    """Return a log by its name (the year), or the one that is appended to now. Raises NotPublished."""
    if name is not None and not name.isprintable():  # PostgreSQL would not even be asked about a NUL
        raise NotPublished
    query = select(Log) if name is None else select(Log).where(Log.name == name)
    log = session.scalar(query.order_by(Log.id.desc()).limit(1))
    if log is None:
        raise NotPublished
    return log


def head(session: Session, log: Log) -> LogHead:
    """Return the newest signed head. Raises NotPublished before the first."""
    newest = newest_head(session, log.id)
    if newest is None:
        raise NotPublished
    return newest


def cosigned(session: Session, log: Log) -> bytes:
    """Return the newest signed head with the cosignatures that it has so far. Raises NotPublished before the first."""
    return cosignatures.under(session, head(session, log))


def tile(session: Session, log: Log, asked: Tile) -> bytes:
    """Return a tile or entry bundle of the signed tree, as wide as asked. Raises NotPublished."""
    if not asked.exists_in(head(session, log).size):
        raise NotPublished
    if asked.level == tiles.ENTRIES:
        first = asked.index * tiles.WIDTH
        commitments = session.scalars(
            select(LogEntry.commitment)
            .where(LogEntry.log_id == log.id, LogEntry.leaf_index >= first, LogEntry.leaf_index < first + asked.width)
            .order_by(LogEntry.leaf_index)
        )
        return tiles.encode_bundle(commitments)
    return read_tile(session, log.id, asked.level, asked.index)[: asked.width * tree.HASH_BYTES]


def proof(session: Session, entry: LogEntry) -> bytes:
    """Return the file that proves the entry to be in its log. Raises NotPublished.

    Against the head that most witnesses have cosigned since, or the newest where none has.
    """
    log = session.get_one(Log, entry.log_id)
    newest = head(session, log)
    if entry.leaf_index is None or entry.leaf_index >= newest.size:
        raise NotPublished
    shown = cosignatures.most_witnessed(session, log.id, entry.leaf_index) or newest
    read = tiles.hashes(lambda level, index: read_tile(session, log.id, level, index))
    path = tree.inclusion_proof(entry.leaf_index, shown.size, read)
    note = cosignatures.under(session, shown)
    return Proof(entry.leaf_index, tuple(path), note, entry.salt or None).encode()
