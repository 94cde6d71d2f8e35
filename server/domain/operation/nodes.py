"""Nodes: web, worker and publisher say in the database where they run, and with which settings and keys.

Several machines are one instance only while these agree: a limit that one of them counts elsewhere, or a URL that one
signs for longer, shows nowhere else. Short hashes are stored; no setting that is a secret can be read from them.
"""

import hashlib
import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Select, String, Text, delete, func, inspect, make_url, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import migrations
from server.domain import marks
from server.domain.resources import Resources
from server.settings import Settings
from server.storage.database import DATABASE_ERRORS, Base, DatabaseUnavailable, Moment, RowTaken

BEAT_EVERY_SECONDS = 60
LIVES_FOR = timedelta(minutes=5)  # after its last beat
FORGOTTEN_AFTER = timedelta(days=7)
Process = Literal["web", "worker", "publisher"]
# What each machine may have of its own. Addresses of the database may differ, too: it is the one that is asked.
OWN = frozenset({
    "listen", "web_workers", "web_threads", "web_keeps_cores", "logger_level", "trusted_proxies", "database_url",
    "sealer_database_url", "migration_database_url", "log_replica_url",
})  # fmt: skip
# The files that a process opens anyway, and that must be the same wherever it runs.
KEY_FILES: Mapping[Process, tuple[str, ...]] = {
    "web": ("secret_file", "receipt_key_file", "manifest_public_key_file", "s3_key_file"),
    "worker": ("log_key_file",),
    "publisher": ("manifest_key_file",),
}
CODE = "code"
BACKUP = "backup"  # an act, and no process: kept until the next one


class Node(Base):
    """A process, or the equal processes of one service, on one machine."""

    __tablename__ = "nodes"
    machine: Mapped[str] = mapped_column(String(300), primary_key=True)  # its host name, and the data folder
    process: Mapped[str] = mapped_column(String(20), primary_key=True)
    agreed: Mapped[str] = mapped_column(Text)  # JSON: short hashes of what must be the same everywhere, by name
    seen_at: Mapped[datetime] = mapped_column(Moment)


@dataclass(frozen=True, slots=True)
class Seen:
    """A node that lives. differs: the names of settings and key files in which it is not like this process' own."""

    machine: str
    process: str
    differs: tuple[str, ...]
    is_here: bool


def beat(use: Resources, process: Process) -> None:
    """Say that this process runs, here, with these settings and keys. Raises DatabaseUnavailable."""
    at, machine = use.clock(), here(use.settings)
    try:
        with use.database.transaction() as session:
            agreed = json.dumps(_agreed(session, use.settings, process), sort_keys=True)
            session.execute(delete(Node).where(Node.seen_at < at - FORGOTTEN_AFTER, Node.process != BACKUP))
            session.merge(Node(machine=machine, process=process, agreed=agreed, seen_at=at))
    except RowTaken:
        return  # its twin, which started at the same moment, has said the same


class Beats:
    """Says so now and then, whenever it is called; while the database is away, nobody is told anything."""

    def __init__(self, use: Resources, process: Process) -> None:
        self._use, self._process = use, process
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + BEAT_EVERY_SECONDS
            with suppress(DatabaseUnavailable, *DATABASE_ERRORS):
                beat(self._use, self._process)


def seen(session: Session, use: Resources) -> list[Seen]:
    """The nodes that live, and in what each differs from the settings and keys in this process' folder."""
    found = []
    for node in session.scalars(_alive(use.clock())):
        own = _agreed(session, use.settings, node.process)
        theirs: dict[str, str] = json.loads(node.agreed)
        differs = tuple(name for name in sorted(own.keys() & theirs) if own[name] != theirs[name])
        found.append(Seen(node.machine, node.process, differs, node.machine == here(use.settings)))
    return found


def leave(use: Resources, process: Process) -> None:
    """Say that this process has ended; where nobody can be told, its last beat grows old."""
    with suppress(DatabaseUnavailable, *DATABASE_ERRORS), use.database.transaction() as session:
        session.execute(delete(Node).where(Node.machine == here(use.settings), Node.process == process))


def left_behind(session: Session, at: datetime) -> list[str]:
    """The processes that live, and whose code would not work on the schema of this one's: "web on HOST:FOLDER"."""
    if not inspect(session.connection()).has_table(Node.__tablename__):
        return []
    alive = session.scalars(_alive(at)).all()
    codes = {node: str(json.loads(node.agreed).get(CODE)) for node in alive}
    outgrown = migrations.outgrown(codes.values())
    return [f"{node.process} on {node.machine}" for node, code in codes.items() if code in outgrown]


def note_backup(use: Resources) -> None:
    """Say that the instance was backed up now, here. Raises DatabaseUnavailable."""
    with use.database.transaction() as session:
        session.merge(Node(machine=here(use.settings), process=BACKUP, agreed="{}", seen_at=use.clock()))


def backed_up_at(session: Session) -> datetime | None:
    """When it last was, by whichever machine."""
    return session.scalar(select(func.max(Node.seen_at)).where(Node.process == BACKUP))


def here(settings: Settings) -> str:
    """What this machine is called in the table: two folders on one host are two machines."""
    return f"{socket.gethostname()}:{settings.folder}"[:300]


def _alive(at: datetime) -> Select[Node]:
    lives = Node.seen_at > at - LIVES_FOR, Node.process != BACKUP
    return select(Node).where(*lives).order_by(Node.machine, Node.process)


def _agreed(session: Session, settings: Settings, process: str) -> dict[str, str]:
    salt = marks.of_database(session)
    values = {
        name: _plain(value)
        for name, value in settings.model_dump(mode="json").items()
        if name not in OWN and not isinstance(getattr(settings, name), Path)
    }
    texts = {
        name: json.dumps(value, sort_keys=True).replace(str(settings.folder), "") for name, value in values.items()
    }
    hashed = {name: _hash(salt, name, text.encode()) for name, text in texts.items()}
    files = {name: getattr(settings, name) for name in KEY_FILES.get(process, ())}  # type: ignore[call-overload]
    kept = {name: _hash(salt, name, path.read_bytes()) for name, path in files.items() if _is_readable(path)}
    return hashed | kept | {CODE: migrations.newest()}


def _plain(value: Any) -> Any:
    """Without a password in an address, which could be guessed from its hash."""
    if isinstance(value, str) and "://" in value and "@" in value:
        return make_url(value).render_as_string(hide_password=True)
    return value


def _hash(salt: str, name: str, value: bytes) -> str:
    return hashlib.sha256(b"\0".join((salt.encode(), name.encode(), value))).hexdigest()[:16]


def _is_readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True
