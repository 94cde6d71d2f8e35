"""Templates: the worked example, built once and kept on disk. Each world is a copy of one's database.

Building one takes seconds, of every run and again in each of its processes. So it is kept below `.cache`, under a hash
of all sources that could have a say in it, for an hour: a test may take what the example did for a little while ago.
"""

import fcntl
import gc
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from sqlalchemy import func, select, update

from server.cli import instance, worked_example
from server.cli.worked_example import Example
from server.domain.audit import sealer, verifying
from server.domain.marks import InstanceId
from server.domain.publish.checkpoints import CheckpointFile
from server.domain.resources import Resources
from server.log import canonical
from server.log.entries import LogEntry, commitment_of
from server.settings import Settings
from server.storage import canaries
from server.storage.embedded import EmbeddedStore
from tests.postgres import PostgreSQL

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".cache" / "templates"
KEPT_SECONDS = 3600
NO_SAY = ROOT / "server" / "web"  # the example is made below the web
INSTANCE_ID = "0" * 32  # of every world: all share one store's bucket
POSTGRESQL_NAME = "template_world"


@dataclass
class Template:
    """The worked example, once a session and database kind; worlds are copies of its database.

    last_entry: the id of its newest entry; up to it, entries were checked when the template was made.
    """

    kind: str
    folder: Path
    settings: Settings
    example: Example
    sources: Path
    last_entry: int


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore) -> Template:
    folder = tmp_path_factory.mktemp("sqlite-template")
    url = f"sqlite:///{folder}/weightgate.sqlite3"
    with _kept_in("sqlite") as place:  # whose database is among the files of the folder
        if not place.exists():
            return _keep(build_template("sqlite", folder, url, embedded_store), place)
        return _from_disk("sqlite", place, folder, url, embedded_store)


@pytest.fixture(scope="session")
def postgresql_template(
    tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore, postgres: PostgreSQL
) -> Template:
    folder = tmp_path_factory.mktemp("postgresql-template")
    url = postgres.create(POSTGRESQL_NAME)
    with _kept_in("postgresql") as place:
        if not place.exists():
            made = build_template("postgresql", folder, url, embedded_store)
            return _keep(made, place, lambda kept: postgres.dump(POSTGRESQL_NAME, kept / "database.sql"))
        postgres.load(POSTGRESQL_NAME, place / "database.sql")
        return _from_disk("postgresql", place, folder, url, embedded_store)


def build_template(kind: str, folder: Path, url: str, store: EmbeddedStore) -> Template:
    """Make the worked example in a fresh database and a store."""
    made = _write_settings(folder, url, store)
    instance.write_keys(made)
    instance.write_schema(made)
    use = Resources(made)
    with use.database.transaction() as session:
        session.execute(update(InstanceId).values(value=INSTANCE_ID))
    use.claim_bucket()  # as where the template comes from the disk
    example = worked_example.build(use, folder / "sources")
    sealer.seal(use)
    assert [fault for result in verifying.verify(use) for fault in result.faults] == []
    check_entries(use, after=0)
    return _finished(kind, folder, use, example)


def check_entries(use: Resources, after: int, urls: Sequence[str] = ()) -> None:
    """Entries with ids above `after` are canonical, hold no secret, and are of every URL that was signed."""
    with use.database.reading() as session:
        found = session.scalars(select(LogEntry).where(LogEntry.id > after)).all()
    issued = set()
    for entry in found:
        if not entry.record:  # erased; that it may be is among the faults if not
            issued.add(entry.subject)
            continue
        record = orjson.loads(entry.record)
        assert canonical.encode(record) == entry.record
        assert commitment_of(entry.salt, entry.record) == entry.commitment
        assert record["kind"] == entry.kind
        if entry.kind == "download":
            issued.add(record["download"])
        if entry.kind == "finding.open":
            issued.add(record["opening"])
    for url in urls:
        if canaries.is_probe(urlsplit(url).path.removeprefix("/weights/")):
            continue
        assert parse_qs(urlsplit(url).query)["x-download-id"][0] in issued
    text = b"".join(entry.record for entry in found)
    assert b"X-Amz-" not in text
    assert b"wgk_" not in text


def _write_settings(folder: Path, url: str, store: EmbeddedStore) -> Settings:
    return instance.write_settings(
        folder,
        {
            "public_url": "http://localhost:8080",
            "contact": "clearance@example-lab.example",
            "log_host": "localhost",
            "logger_level": "error",
            "database_url": url,
            "s3_endpoint_url": store.endpoint_url,
            "s3_bucket": "weights",
            "s3_addressing": "path",
            "signer_key_file": str(store.signer_key_file),
            "publisher_key_file": str(store.publisher_key_file),
            "findings_key_file": str(store.findings_key_file),
            "uploads_key_file": str(store.uploads_key_file),
        },
    )


def _finished(kind: str, folder: Path, use: Resources, example: Example) -> Template:
    with use.database.reading() as session:
        last = session.scalars(select(func.max(LogEntry.id))).one()
    use.close()
    gc.collect()
    gc.freeze()  # what is here now stays: looking through it again and again costs more than many a test
    return Template(kind, folder, use.settings, example, folder / "sources", last)


def _keep(template: Template, place: Path, database: Callable[[Path], object] = lambda _: None) -> Template:
    """Write down all that a process needs to have the same template, in one step or not at all."""
    unfinished = place.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    shutil.copytree(template.folder, unfinished / "instance")
    (unfinished / "example.json").write_bytes(orjson.dumps(asdict(template.example)))
    use = Resources(template.settings)
    for file in _published(use):
        path = unfinished / "objects" / file.object_key
        path.parent.mkdir(parents=True, exist_ok=True)
        use.store.download(file.object_key, path)
    use.close()
    database(unfinished)
    unfinished.rename(place)
    return template


def _from_disk(kind: str, place: Path, folder: Path, url: str, store: EmbeddedStore) -> Template:
    """The template that another process built: its files here, and its objects in this process' store."""
    shutil.copytree(place / "instance", folder, dirs_exist_ok=True)
    use = Resources(_write_settings(folder, url, store))
    use.claim_bucket()
    for file in _published(use):
        path = place / "objects" / file.object_key
        use.store.upload(file.object_key, path, file.sha256, file.size_bytes, lambda _: None)
    example = Example(**orjson.loads((place / "example.json").read_bytes()))
    sources = {name: str(folder / "sources" / name) for name in example.sources}
    return _finished(kind, folder, use, replace(example, sources=sources))


def _published(use: Resources) -> Sequence[CheckpointFile]:
    with use.database.reading() as session:
        return session.scalars(select(CheckpointFile)).all()


@contextmanager
def _kept_in(kind: str) -> Iterator[Path]:
    """Where a template is kept, or is to be: one process builds it, and the others wait for it."""
    KEPT.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (KEPT / f"{kind}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = KEPT / f"{kind}-{_of_sources()}"
        for known in KEPT.glob(f"{kind}-*"):
            if known != place or known.stat().st_mtime < time.time() - KEPT_SECONDS:
                shutil.rmtree(known)
        yield place


@cache
def _of_sources() -> str:
    """A hash of all that could change what a template holds."""
    sources = [*(ROOT / "server").rglob("*.py"), *(ROOT / "config").rglob("*"), ROOT / "requirements.lock"]
    having_a_say = (path for path in sources if path.is_file() and NO_SAY not in path.parents)
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([Path(__file__), *having_a_say]):
        content = path.read_bytes()
        digest.update(b"%s\0%d\0" % (os.fsencode(path.relative_to(ROOT)), len(content)) + content)
    return digest.hexdigest()[:16]
