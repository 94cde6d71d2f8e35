"""Back up an instance while it runs, and restore it elsewhere.

A backup is a folder: the instance's files, one consistent copy of the database and, of an embedded store, the objects
that this copy knows. It is complete when the file `database` is there.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from server import settings, settings_variables
from server.cli import instance as making
from server.cli import restoring
from server.cli.init import store_of
from server.cli.terminal import Instance, show, with_json
from server.cli.worker import require_anchored
from server.domain.errors import NotPossible
from server.domain.operation import backups, instance_files, nodes
from server.domain.resources import Resources
from server.settings import FILE_NAME, Settings
from server.settings_variables import variable
from server.storage import snapshot
from server.storage.targets import writing_to

DATABASE = "database"
ATTEMPTS = 3  # to copy database and key files of one moment


@click.command()
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@with_json
@click.pass_obj
def backup(instance: Instance, target: Path, as_json: bool) -> None:
    """Back up the running instance to the folder TARGET. The backup contains every secret: protect it like the keys.

    With the same TARGET again, only new objects are copied. If this is interrupted, the previous backup is kept.
    """
    made = instance.use.settings
    _require_outside(target, made.folder)
    instance_files.require_readable(made)
    variables = settings_variables.names(made)
    with writing_to(target):
        objects = _back_up(instance.use, target, variables)
    nodes.note_backup(instance.use)
    also = (
        f"; new objects: {objects}"
        if made.embedded_store
        else "; the objects stay in your bucket, which needs its own backup"
    )
    left = instance_files.left(made)
    lines = [f"Backed up to {target}{also}."]
    lines += [f"NOT copied: {file.path} ({file.setting}) {file.because}." for file in left]
    lines += [f"NOT copied: {name}, which {variable(name)} says and {FILE_NAME} does not." for name in variables]
    not_copied = [{"file": str(file.path), "setting": file.setting, "because": file.because} for file in left]
    body = {"target": str(target), "new_objects": objects, "not_copied": not_copied, "from_environment": variables}
    show(as_json, body, "\n".join(lines))


def _back_up(use: Resources, target: Path, variables: list[str]) -> int:
    made = use.settings
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.chmod(0o700)
    fresh = target / f"{DATABASE}.new"
    for _ in range(ATTEMPTS):
        fresh.unlink(missing_ok=True)
        before = backups.log_keys(use)
        snapshot.take(made.migration_database_url or made.database_url, fresh)
        instance_files.copy(made, target, variables)
        if backups.log_keys(use) == before:
            break
    else:
        raise NotPossible(
            f"The log's keys were rotated during each of {ATTEMPTS} attempts. The backup of before is kept.",
            next_step="Back up again once nobody rotates them.",
        )
    objects = backups.copy_objects(use, target) if made.embedded_store else 0
    instance_files.put_in_place(target)
    fresh.rename(target / DATABASE)  # last: a backup that was interrupted leaves the one before it whole
    return objects


@click.command()
@click.argument("source", type=click.Path(path_type=Path, file_okay=False, exists=True))
@with_json
@click.pass_obj
def restore(instance: Instance, source: Path, as_json: bool) -> None:
    """Restore the backup in the folder SOURCE to a new data folder.

    For PostgreSQL, set WEIGHTGATE_DATABASE_URL (and the URLs of the other two roles, if there are any) to a new, empty
    database; they are written to the new settings. Exit code 4: restored, but its log is older than the newest anchor,
    so nothing is issued from it.
    """
    folder = instance.folder.absolute()
    if not (source / DATABASE).exists() or not (source / FILE_NAME).exists():
        raise NotPossible(
            f"{source} does not contain a complete backup.", next_step="Name a folder that was written by `backup`."
        )
    if folder.exists() and any(folder.iterdir()):
        raise NotPossible(f"{folder} is not empty.", next_step="Choose a new folder with --data. Nothing was changed.")
    _require_outside(folder, source)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with writing_to(folder):
            objects = _put_back(source, folder)
    except BaseException:
        for path in folder.iterdir():  # it was empty when we came: half an instance helps nobody
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    made = settings.load(folder)
    shared, not_set = restoring.shared_with_the_source(made), restoring.not_set(source, os.environ)
    body = {"folder": str(folder), "objects": objects, "check": shared, "not_set": not_set}
    show(as_json, body, _restored(made, objects, shared, not_set))
    _require_anchored(folder)


def _restored(made: Settings, objects: int, shared: Mapping[str, str], not_set: list[str]) -> str:
    command = f"weightgate-server --data {made.folder}"
    lines = [f"Restored to {made.folder}{f' with {objects} objects' if objects else ''}."]
    lines += ["", f"CHECK {made.folder / FILE_NAME} BEFORE YOU START ANYTHING."]
    lines += ["It names the same as the instance that was backed up:"]
    lines += [f"  {name:<24} {value}" for name, value in shared.items()]
    if not_set:
        lines += ["", "That instance had these from its environment. They are not set here, so this one differs:"]
        lines += [f"  {name:<24} write it to {FILE_NAME}, or set {variable(name)}" for name in not_set]
    if not made.embedded_store:
        lines += ["", f"The bucket {made.s3_bucket} still belongs to that instance, so nothing starts here."]
        lines += [f"Once that instance is stopped permanently: `{command} take-over`."]
    return "\n".join([*lines, "", f"Next: `{command} doctor`."])


@click.command("take-over")
@with_json
@click.pass_obj
def take_over(instance: Instance, as_json: bool) -> None:
    """Make the bucket this instance's, after a restore. The instance that had it stops issuing, and cannot start again.

    Do this only when that instance is stopped permanently: both would write to one bucket and one series of anchors.
    """
    use = instance.use
    use.take_over_bucket()
    bucket = use.settings.s3_bucket
    show(as_json, {"bucket": bucket}, f"The bucket {bucket} is now this instance's.")


def _put_back(source: Path, folder: Path) -> int:
    for name in _files_of(source):
        instance_files.copy_private(source / name, folder / name)
    restoring.write_database_urls(folder / FILE_NAME, os.environ)
    made = restoring.load(folder, source, os.environ)
    restoring.require_new_databases(made, source / DATABASE)
    objects = 0
    with contextlib.ExitStack() as stack:
        use = stack.enter_context(contextlib.closing(Resources(made)))
        if made.embedded_store:
            backups.require_whole(source)
            store = stack.enter_context(store_of(folder, made))
            # Straight to it: the proxy that its address in the settings leads to may not be there yet.
            straight = made.model_copy(update={"s3_endpoint_url": store.endpoint_url})
            use = stack.enter_context(contextlib.closing(Resources(straight)))
            objects = backups.put_objects_back(use, source)
        # Last, because it alone cannot be taken back: a database on another machine would no longer be empty.
        snapshot.put_back(source / DATABASE, made.migration_database_url or made.database_url)
        making.write_grants(made)
        if restoring.become_another(made) and made.embedded_store:
            use.claim_bucket()
    return objects


def _require_anchored(folder: Path) -> None:
    """Stop the restored log at once when later heads were anchored: a web server may be started before the worker.

    Raises BehindAnchor, Forked. An embedded store is as old as its backup, and knows nothing.
    """
    made = settings.load(folder)
    if not made.embedded_store:
        use = Resources(made)
        require_anchored(use)
        use.close()


def _require_outside(target: Path, folder: Path) -> None:
    if target.resolve().is_relative_to(folder.resolve()):
        raise NotPossible(f"{target} is inside {folder}.", next_step="Choose a folder outside it.")


def _files_of(source: Path) -> list[str]:
    """Those that the backup names as the instance's: people keep other things beside it."""
    known = instance_files.index(source)
    if known is None:
        return list(_files_below(source))
    if missing := [name for name in known if not (source / name).is_file()]:
        raise NotPossible(
            f"{source} is not complete: {missing[0]} is missing.", next_step="Use another backup. Nothing was changed."
        )
    return known


def _files_below(source: Path) -> Iterator[str]:
    """What a backup of older code has: it did not say which files are the instance's."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        ours = {backups.OBJECTS, backups.INDEX, DATABASE, instance_files.STAGED}
        if path.is_file() and relative.parts[0] not in ours and path.suffix != ".new":
            yield str(relative)


COMMANDS = [backup, restore, take_over]
