"""Publishing: from a folder to a visible checkpoint. Resumable, and visible in one step or not at all.

The order is what makes it so: check and hash all files; sign the manifest once and keep it, which fixes the id; upload
what the store does not have yet, verified by the store; compare with the manifest; make it visible in one transaction,
or, where the stage is open, propose it. A run that dies anywhere before the last step leaves a draft that nobody sees
and that the next run continues.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPossible
from server.domain.identity import authentication
from server.domain.permissions import Permission
from server.domain.publish import checkpoints, descriptions, formats, hashing, main_checkpoint, manifests, opening
from server.domain.publish.checkpoints import Checkpoint, CheckpointFile, CheckpointManifest, ManifestForm
from server.domain.publish.descriptions import CheckpointDescription, DescriptionKind
from server.domain.publish.faults import Faults, NotPublishable
from server.domain.publish.hashing import FileHashes
from server.domain.publish.patience import Patience
from server.domain.publish.source_files import Folder, SourceFile, StoredFile
from server.domain.release.stages import Stage
from server.domain.resources import Resources
from server.storage.objects import ChecksumMismatch, ObjectInfo, ObjectStoreError

Progress = Callable[[str, int, int], None]  # what is being done, bytes just done, bytes in all
Told = Callable[[str], None]  # gets a sentence that the publisher should read before anything is visible
Kept = Callable[[Session, str, int | None], object]  # in the last transaction: the checkpoint, and a proposal's number


@dataclass(frozen=True, slots=True)
class Published:
    """What a run has made visible, or proposed.

    proposal: by which it waits, where that takes another person; next_step: what they have to do.
    """

    stage: str
    checkpoint_id: str
    files: int
    size_bytes: int
    resumed: bool  # an earlier run had begun it
    left_out: Sequence[str]  # what lies in the folder and is never published
    warnings: Sequence[str]  # what was told before
    proposal: int | None = None
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class _Draft:
    key: int
    checkpoint_id: str
    resumed: bool


def publish(
    use: Resources,
    caller: Caller,
    folder: Path | Folder,
    full_name: str,
    *,
    note: str | None = None,
    progress: Progress = lambda *_: None,
    tell: Told = lambda _: None,
    keep: Kept = lambda *_: None,
) -> Published:
    """Publish all files of a folder as a checkpoint, its stage's `main`: if that is open, once another person approves.

    keep: what a door writes down in the very transaction that makes it visible, or proposes it; may refuse both.
    A database that is away is waited for. Raises NotPublishable, Refused, ObjectStoreError, AnotherInstance or
    DatabaseUnavailable; nothing is visible then, and the same call continues where it stopped.
    """
    caller.require(Permission.CHECKPOINT_PUBLISH)
    if note is not None and len(note) > 2000:
        raise InvalidRequest("A note can have up to 2000 characters.")
    with use.database.reading() as session:
        stage = opening.open_stage(session, full_name)
        name = stage.full_name  # an alias was resolved
        warnings = main_checkpoint.warnings_of_publishing(session, stage, full_name)
    scanned = formats.scan(folder)
    described, not_shown = descriptions.read(scanned.files)
    warnings += scanned.warnings + not_shown
    for sentence in warnings:
        tell(sentence)
    files, size_bytes = scanned.files, sum(file.size_bytes for file in scanned.files)
    hashes = _hashed(files, lambda done: progress("checking", done, size_bytes))
    patience = Patience(tell)
    draft = patience.insist(lambda _: _draft(use, caller, name, hashes, note, scanned.warnings, described))
    use.claim_bucket()  # or these objects would get between another instance's
    versions = _upload(use, draft, name, files, hashes, patience, lambda done: progress("uploading", done, size_bytes))
    waits = patience.insist(lambda again: _finish(use, caller, draft, name, versions, note, keep, again=again))
    _clear_away(use, draft, name)
    return Published(
        name, draft.checkpoint_id, len(files), size_bytes, draft.resumed, scanned.left_out, warnings, *waits
    )


def require_publishable(session: Session, stage: Stage, digests: Mapping[str, str]) -> None:
    """Raise NotPossible where these files are published to this stage already, or a checkpoint of it waits.

    digests: the SHA-256 of each file by its path.
    """
    _known(session, stage, manifests.content_digest(digests))


def _hashed(files: Sequence[SourceFile], progress: Callable[[int], None]) -> dict[str, FileHashes]:
    """Return what was computed. Raises NotPublishable where it was announced to be something else."""
    hashes, faults = hashing.hash_files(files, progress), Faults()
    for file in files:
        if isinstance(file, StoredFile) and hashes[file.path].sha256 != file.announced_sha256:
            faults.add(file.path, "is not what was announced: its SHA-256 is another one", "publish it again")
    faults.refuse()
    return hashes


def _clear_away(use: Resources, draft: _Draft, name: str) -> None:
    """What runs before this one had begun to send. It costs space only: no reason to call this one failed."""
    if draft.resumed:
        with contextlib.suppress(ObjectStoreError):
            use.store.abort_uploads(checkpoints.object_key(name, draft.checkpoint_id, ""))


def _draft(
    use: Resources,
    caller: Caller,
    name: str,
    hashes: Mapping[str, FileHashes],
    note: str | None,
    warnings: Sequence[str],
    described: Mapping[DescriptionKind, str],
) -> _Draft:
    """Find the draft of this very set of files, or sign its manifest and keep it: from here on the id is fixed."""
    content = manifests.content_digest({path: file.sha256 for path, file in hashes.items()})
    with use.database.reading() as session:
        known = _known(session, opening.open_stage(session, name), content)
    if known is not None:
        return known
    signed = manifests.sign(name, hashes, use.settings.manifest_key_file)
    with use.database.transaction() as session:
        stage = opening.open_stage(session, name, lock=True)
        known = _known(session, stage, content)  # another run may have come first meanwhile
        if known is not None:
            return known
        draft = Checkpoint(
            checkpoint_id=signed.checkpoint_id, stage_id=stage.id, content_sha256=content, note=note,
            started_at=use.clock(), published_by=str(caller.person), warnings="\n".join(warnings) or None,
        )  # fmt: skip
        session.add(draft)
        session.flush()
        forms = ((ManifestForm.FILES, signed.files_form), (ManifestForm.CHUNKS, signed.chunks_form))
        session.add_all(CheckpointManifest(checkpoint_id=draft.id, form=form, content=text) for form, text in forms)
        session.add_all(
            CheckpointDescription(checkpoint_id=draft.id, kind=kind, text=text) for kind, text in described.items()
        )
        session.add_all(
            CheckpointFile(
                checkpoint_id=draft.id, path=path, size_bytes=file.size_bytes, sha256=file.sha256,
                object_key=checkpoints.object_key(name, signed.checkpoint_id, path),
            )
            for path, file in hashes.items()
        )  # fmt: skip
        return _Draft(draft.id, signed.checkpoint_id, resumed=False)


def _known(session: Session, stage: Stage, content: str) -> _Draft | None:
    """The draft with this content. Raises NotPossible when it is published already, or a proposal waits."""
    same = select(Checkpoint).where(Checkpoint.stage_id == stage.id, Checkpoint.content_sha256 == content)
    checkpoint = session.scalar(same)
    if checkpoint is not None and checkpoint.published_at is not None:
        raise _published_already(session, stage, checkpoint)
    opening.require_none_waits(session, stage, None if checkpoint is None else checkpoint.checkpoint_id)
    if checkpoint is None:
        return None
    return _Draft(checkpoint.id, checkpoint.checkpoint_id, resumed=True)


def _published_already(session: Session, stage: Stage, checkpoint: Checkpoint) -> NotPossible:
    known = f"These files are already published as checkpoint {checkpoint.checkpoint_id} of {stage.full_name}"
    if stage.main_checkpoint_id == checkpoint.id:
        done = "There is nothing to do. To publish another checkpoint, change the files."
        return NotPossible(f"{known}, and its `main`.", next_step=done)
    return NotPossible(
        f"{known}; its `main` is {main_checkpoint.id_of_main(session, stage)}.",
        next_step=f"`checkpoint set-main {stage.full_name} {checkpoint.checkpoint_id}` makes it `main` again.",
    )


def _upload(
    use: Resources,
    draft: _Draft,
    name: str,
    files: Sequence[SourceFile],
    hashes: Mapping[str, FileHashes],
    patience: Patience,
    progress: Callable[[int], None],
) -> dict[str, str | None]:
    """Upload what the store does not hold yet, whole and with its hash; return each path's object version."""
    versions: dict[str, str | None] = {}
    signed = patience.insist(lambda _: _signed_digests(use, draft))
    if signed != {path: file.sha256 for path, file in hashes.items()}:
        raise ChecksumMismatch("the files do not match the saved manifest; nothing was published")
    for file in files:
        key = checkpoints.object_key(name, draft.checkpoint_id, file.path)
        try:
            versions[file.path] = _stored(use, key, file, hashes[file.path].sha256, progress).version_id
        except ObjectStoreError:
            patience.insist(
                lambda _: _require_draft(use, draft)
            )  # another run that finishes first clears away what this one was sending
            raise
    return versions


def _signed_digests(use: Resources, draft: _Draft) -> dict[str, str]:
    with use.database.reading() as session:
        return manifests.digests_in(checkpoints.manifest(session, draft.key, ManifestForm.FILES))


def _stored(use: Resources, key: str, file: SourceFile, sha256: str, progress: Callable[[int], None]) -> ObjectInfo:
    """The object as the store holds it, with this very content; uploaded unless an earlier run has done it."""
    file.open_unchanged().close()  # says so before gigabytes are sent; the upload's own hash is what counts
    try:
        kept = use.store.already_there(key, file.location, sha256, file.size_bytes)
        if kept is None:
            return use.store.upload(key, file.location, sha256, file.size_bytes, progress)
    except OSError as error:  # of the file: the store's errors are types of ours
        raise NotPublishable(
            file.path,
            f"could not be read ({error.strerror})",
            "do not change the folder during publishing, and try again",
        ) from None
    progress(file.size_bytes)
    return kept


def _require_draft(use: Resources, draft: _Draft) -> None:
    with use.database.reading() as session:
        checkpoint = session.get_one(Checkpoint, draft.key)
        _require_unfinished(session, checkpoint.stage, checkpoint)


def _require_unfinished(session: Session, stage: Stage, checkpoint: Checkpoint) -> None:
    if checkpoint.published_at is not None:
        raise NotPossible(
            f"Another run has just published these files as {checkpoint.checkpoint_id}.",
            next_step="There is nothing to do.",
        )
    opening.require_none_waits(session, stage, checkpoint.checkpoint_id)


def _finish(
    use: Resources,
    caller: Caller,
    draft: _Draft,
    name: str,
    versions: Mapping[str, str | None],
    note: str | None,
    keep: Kept,
    *,
    again: bool,
) -> tuple[int | None, str | None]:
    """Make the draft visible, or propose it; returns the proposal that waits, and what has to be done."""
    with use.database.transaction() as session:
        # Uploads take hours: whoever was disabled meanwhile publishes nothing any more.
        standing = authentication.standing(session, caller, lock=True)
        if refused := authentication.fault(standing, caller, use.clock()):
            raise refused
        stage = opening.open_stage(session, name, lock=True)
        checkpoint = session.get_one(Checkpoint, draft.key, with_for_update=True)
        waits = opening.waiting(session, stage, checkpoint.checkpoint_id) if again else None
        if waits is None and not (again and checkpoint.published_at is not None):
            _require_unfinished(session, stage, checkpoint)
            for file in session.scalars(select(CheckpointFile).where(CheckpointFile.checkpoint_id == checkpoint.id)):
                file.version_id = versions[file.path]
            checkpoint.note = note or checkpoint.note  # a run that continues another's may say it anew
            waits = opening.open_or_propose(session, use, caller, stage, checkpoint, use.clock())
            keep(session, checkpoint.checkpoint_id, None if waits is None else waits.id)
        # Else the commit before was stored, and its answer lost.
        return (None, None) if waits is None else (waits.id, opening.next_step(session, waits))
