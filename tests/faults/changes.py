"""What whoever owns the database may change in a log, each with how it is named and what undoes it."""

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import select

from server.domain.audit import logs
from server.domain.resources import Resources
from server.log import heads, tiles, tree
from server.log.entries import LogEntry, commitment_of
from server.log.heads import Head
from server.log.sealing import LogHead
from tests import tampering


class Owned(Protocol):
    """An instance whose database somebody owns. url: with which they get in."""

    @property
    def url(self) -> str: ...
    @property
    def use(self) -> Resources: ...
    def issue(self) -> int: ...


Undo = Callable[[], object]
Change = Callable[[Owned], tuple[str, Undo]]  # returns what is said of it (a pattern), and what undoes it


def one(url: str, query: str) -> Any:
    ((value,),) = tampering.run(url, query)
    return value


def stop_reason(use: Resources) -> str | None:
    with use.database.reading() as session:
        return logs.current(session).stop_reason


def go_on(url: str) -> None:
    """What the runbook says, once what was changed is as it was."""
    tampering.run(url, "UPDATE logs SET stop_reason = NULL, stopped_at = NULL")


def unsealed_row(there: Owned) -> tuple[str, Undo]:
    assert there.issue() == 201
    number = one(there.url, "SELECT max(id) FROM log_entries WHERE leaf_index IS NULL AND kind = 'download'")
    said = rf"an unsealed entry \(row {number}\) does not match its commitment"
    return said, flipped(there, "log_entries", "record", f"id = {number}")


def edge_tile(there: Owned) -> tuple[str, Undo]:
    where = "level = 0 AND number = (SELECT max(number) FROM log_tiles WHERE level = 0)"
    seen = "the tiles at the edge do not match the root|tile 0/0: it does not match the entries"  # whoever looks first
    return seen, flipped(there, "log_tiles", "data", where, -1)


def old_row(there: Owned) -> tuple[str, Undo]:
    return "entry 3: its record or salt was changed", flipped(there, "log_entries", "record", "leaf_index = 3")


def swapped_rows(there: Owned) -> tuple[str, Undo]:
    def swap() -> None:
        for before, after in ((5, -5), (6, 5), (-5, 6)):
            tampering.run(there.url, f"UPDATE log_entries SET leaf_index = {after} WHERE leaf_index = {before}")  # noqa: S608

    swap()
    return "tile 0/0: it does not match the entries", swap


def deleted_row(there: Owned) -> tuple[str, Undo]:
    tampering.run(there.url, "CREATE TABLE kept AS SELECT * FROM log_entries WHERE leaf_index = 7",
                  "DELETE FROM log_entries WHERE leaf_index = 7")  # fmt: skip
    back = ("INSERT INTO log_entries SELECT * FROM kept", "DROP TABLE kept")
    return "tile 0/0: some of its entries are missing", lambda: tampering.run(there.url, *back)


def flipped(there: Owned, table: str, column: str, where: str, at: int = 20) -> Undo:
    tampering.flip(there.url, table, column, where, at)
    return lambda: tampering.flip(there.url, table, column, where, at)


def head_size(url: str) -> Undo:
    """Let the newest head be of another size than was signed."""
    resize(url, 1)
    return lambda: resize(url, -1)


def resize(url: str, by: int) -> None:
    newest = "WHERE size = (SELECT max(size) FROM log_heads)"
    tampering.run(url, f"UPDATE log_heads SET size = size + {by} {newest}")  # noqa: S608


def fork(there: Owned) -> None:
    """Change who took a shard, and with the stolen key seal everything anew: nothing in the database tells."""
    with there.use.database.reading() as session:
        entries = list(session.scalars(select(LogEntry).where(LogEntry.leaf_index.is_not(None))))
        log, sizes = logs.current(session), [row.size for row in session.query(LogHead)]
    entries.sort(key=lambda one: one.leaf_index or 0)
    entry = [one for one in entries if one.kind == "download"][-1]
    record = entry.record.replace(b'"address":"127.0.0.1"', b'"address":"127.0.0.2"')
    assert record != entry.record
    commitment = commitment_of(entry.salt, record)
    tampering.run(there.url, "UPDATE log_entries SET record = :record, commitment = :commitment WHERE id = :number",
                  record=record, commitment=commitment, number=entry.id)  # fmt: skip
    leaves = [tree.leaf_hash(commitment if one is entry else one.commitment) for one in entries]
    for (level, index), data in tiles.append({}, 0, leaves).items():
        tampering.run(there.url, "UPDATE log_tiles SET data = :data WHERE level = :level AND number = :number",
                      data=data, level=level, number=index)  # fmt: skip
    for size in sizes:
        root = tree.root(leaves[:size])
        note = heads.sign(Head(log.origin, size, root), there.use.log_signer(log.vkey)).decode()
        tampering.run(there.url, "UPDATE log_heads SET root = :root, note = :note WHERE size = :size",
                      root=root, note=note, size=size)  # fmt: skip
