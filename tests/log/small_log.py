"""A log in a database with nothing else in it: appended to and sealed without a world around it."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text

from server.log import entries, heads, published, sealing, tiles
from server.log.entries import Log, LogEntry
from server.log.notes import Signer
from server.log.sealing import LogHead, LogTile
from server.log.tiles import ENTRIES, Tile
from server.storage.database import Database
from tests.log import plain_tree

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SEED = bytes(range(32))


class SmallLog:
    """One log under an origin of its own. `check` compares all of it with the plain definition."""

    def __init__(self, url: str, name: str | None = None) -> None:
        """name: of a log beside another one, or of one that is there already, in a copy of a database."""
        self.url = url
        self.database = Database(url)
        self.signer = Signer.from_seed(name or f"{uuid.uuid4().hex}.example/downloads/2026", SEED)
        with self.database.transaction() as session:
            found = session.scalar(select(Log.id).where(Log.origin == self.signer.key.name))
            self.id = found or entries.open_log(session, str(self.signer.key), "", AT).id

    def append(self, count: int = 1, kind: str = "test", *, newest: bool = False, **record: Any) -> list[bytes]:
        """Append entries in one transaction; returns their commitments, in their order. newest: to another log."""
        log_id = None if newest else self.id
        with self.database.transaction() as session:
            return [
                entries.append(
                    session, kind=kind, at=AT + timedelta(seconds=number), record=record, log_id=log_id
                ).commitment
                for number in range(count)
            ]

    def seal(self) -> int:
        return sealing.seal(self.database, self.signer, lambda: AT)

    def seal_all(self) -> None:
        while self.seal():
            pass

    def log(self) -> Log:
        with self.database.reading() as session:
            return session.get_one(Log, self.id)

    def sealed(self) -> list[LogEntry]:
        """The entries that have a place, in its order."""
        query = select(LogEntry).where(LogEntry.log_id == self.id, LogEntry.leaf_index.is_not(None))
        with self.database.reading() as session:
            return list(session.scalars(query.order_by(LogEntry.leaf_index)))

    def heads(self) -> list[LogHead]:
        with self.database.reading() as session:
            return list(session.scalars(select(LogHead).where(LogHead.log_id == self.id).order_by(LogHead.id)))

    def tiles(self) -> dict[tuple[int, int], bytes]:
        with self.database.reading() as session:
            rows = session.scalars(select(LogTile).where(LogTile.log_id == self.id))
            return {(row.level, row.number): row.data for row in rows}

    def rows(self) -> list[Any]:
        """All that is stored of logs."""
        tables = ("logs", "log_entries", "log_tiles", "log_heads")
        with self.database.reading() as session:
            return [list(session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3"))) for table in tables]  # noqa: S608

    def check(self, expected: list[bytes]) -> None:
        """The commitments of the sealed entries are these; places, tiles, heads and what is published follow."""
        found = self.sealed()
        assert [entry.commitment for entry in found] == expected
        assert [entry.leaf_index for entry in found] == list(range(len(expected)))
        stored = plain_tree.tiles(expected)
        assert self.tiles() == stored
        kept = self.heads()
        assert [head.size for head in kept] == sorted({head.size for head in kept})
        assert (kept[-1].size if kept else 0) == len(expected)
        for head in kept:
            assert head.root == plain_tree.root(expected[: head.size])
            signed = heads.verify(head.note.encode(), self.signer.key)
            assert (signed.size, signed.root) == (head.size, head.root)
        self._check_published(expected, stored)

    def _check_published(self, expected: list[bytes], stored: dict[tuple[int, int], bytes]) -> None:
        with self.database.reading() as session:
            log = session.get_one(Log, self.id)
            for tile in tiles.tiles_of(len(expected)):
                assert published.tile(session, log, tile) == stored[tile.level, tile.index]
            for number, bundle in plain_tree.bundles(expected).items():
                asked = Tile(ENTRIES, number, len(bundle) // 34)  # two bytes of length, 32 of commitment
                assert published.tile(session, log, asked) == bundle

    def close(self) -> None:
        self.database.close()
