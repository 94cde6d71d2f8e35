"""Back up an instance while it runs, and restore it elsewhere.

A backup is a folder: settings, keys, one consistent copy of the database and, of an embedded store, the objects that
this copy knows. Objects never change, so a later backup into the same folder copies only new ones.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import settings
from server.cli.init import store_of
from server.cli.terminal import Instance, show
from server.domain.checkpoints import Checkpoint, CheckpointFile
from server.domain.errors import NotPossible
from server.domain.resources import Resources
from server.settings import FILE_NAME, Settings
from server.storage import snapshot
from server.storage.database import Database

DATABASE = "database"
OBJECTS = "objects"


@click.command()
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def backup(instance: Instance, target: Path) -> None:
    """Copy the instance to the folder TARGET while it runs. It holds every secret: keep it as you keep the keys."""
    use = instance.use
    made = use.settings
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.chmod(0o700)
    fresh = target / f"{DATABASE}.new"
    fresh.unlink(missing_ok=True)
    snapshot.take(made.migration_database_url or made.database_url, fresh)
    for path in _own_files(made):
        _copy_private(made.folder / path, target / path)
    objects = _copy_objects(use, fresh, target / OBJECTS) if made.embedded_store else 0
    fresh.rename(target / DATABASE)  # last: a backup that was interrupted leaves the one before it whole
    also = f"; {objects} objects are new" if made.embedded_store else "; objects stay in your bucket: back it up there"
    show(False, {}, f"Backed up to {target}{also}.")


@click.command()
@click.argument("source", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.pass_obj
def restore(instance: Instance, source: Path) -> None:
    """Make the backup in the folder SOURCE an instance in the data folder, which must be new.

    For PostgreSQL, set WEIGHTGATE_DATABASE_URL (and WEIGHTGATE_MIGRATION_DATABASE_URL) to a new, empty database.
    """
    folder = instance.folder.absolute()
    if not (source / DATABASE).exists() or not (source / FILE_NAME).exists():
        raise NotPossible(f"{source} holds no complete backup.", next_step="Name the folder that `backup` wrote.")
    if folder.exists() and any(folder.iterdir()):
        raise NotPossible(f"{folder} is not empty.", next_step="Name a new folder with --data; nothing was changed.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        for path in _files_below(source):
            _copy_private(source / path, folder / path)
        made = settings.load(folder)
        snapshot.put_back(source / DATABASE, made.migration_database_url or made.database_url)
        objects = _put_objects_back(made, source / OBJECTS) if made.embedded_store else 0
    except BaseException:
        shutil.rmtree(folder)  # it was empty when we came: half an instance helps nobody
        raise
    also = f" with {objects} objects" if made.embedded_store else ""
    show(False, {}, f"Restored to {folder}{also}. Next: `weightgate-server --data {folder} doctor`.")


def _own_files(made: Settings) -> list[Path]:
    """Settings and keys, relative to the folder; what lies outside it is not ours to copy."""
    named = [
        made.folder / FILE_NAME, made.signer_key_file, made.publisher_key_file, made.manifest_key_file,
        made.manifest_public_key_file, made.secret_file,
    ]  # fmt: skip
    return [path.relative_to(made.folder) for path in named if path.is_relative_to(made.folder)]


def _files_below(source: Path) -> Iterator[Path]:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and relative.parts[0] not in {OBJECTS, DATABASE, f"{DATABASE}.new"}:
            yield relative


def _copy_private(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = target.with_name(target.name + ".new")
    beside.touch(mode=0o600)
    shutil.copyfile(source, beside)
    shutil.copymode(source, beside)
    beside.rename(target)


def _copy_objects(use: Resources, database: Path, target: Path) -> int:
    """Copy the objects that the copied database knows and the target has not; returns how many."""
    copied = 0
    copy = Database(f"sqlite:///{database.absolute()}")
    try:
        with copy.reading() as session:
            for file in _published(session):
                path = target / file.object_key
                if path.exists() and path.stat().st_size == file.size_bytes:
                    continue
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                beside = path.with_name(path.name + ".new")
                use.store.download(file.object_key, beside)
                _require_same(beside, file)
                beside.rename(path)
                copied += 1
    finally:
        copy.close()
        for leftover in ("-wal", "-shm", ".writer"):
            Path(f"{database}{leftover}").unlink(missing_ok=True)
    return copied


def _put_objects_back(made: Settings, source: Path) -> int:
    use = Resources(made)
    with store_of(made.folder, made), use.database.reading() as session:
        count = 0
        for file in _published(session):
            path = source / file.object_key
            _require_same(path, file)
            use.store.upload(file.object_key, path, file.sha256, file.size_bytes, lambda _: None)
            count += 1
    use.close()
    return count


def _published(session: Session) -> Iterator[CheckpointFile]:
    query = select(CheckpointFile).join(Checkpoint, Checkpoint.id == CheckpointFile.checkpoint_id)
    yield from session.scalars(query.where(Checkpoint.published_at.is_not(None)).order_by(CheckpointFile.id))


def _require_same(path: Path, file: CheckpointFile) -> None:
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        found = ""
    if found != file.sha256:
        raise snapshot.SnapshotError(f"{file.object_key} is missing or not what was published: nothing was replaced")


COMMANDS = [backup, restore]
