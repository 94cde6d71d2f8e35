"""Key files: each that the settings name opens, and is the one that the database goes by."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.audit import logs
from server.domain.identity.people import Person
from server.domain.publish import manifests
from server.domain.publish.checkpoints import IS_PUBLISHED, Checkpoint, CheckpointManifest, ManifestForm
from server.domain.resources import Resources
from server.settings import Settings
from server.storage import cloudfront_keys, keys
from server.storage.keys import KeyFileError
from server.storage.s3_roots import S3Roots

Attempt = Callable[[], object]  # raises KeyFileError


def publishes_here(settings: Settings) -> bool:
    """Whether this machine has a key for publishing. Of several machines one is enough, and each more is a risk."""
    return settings.publisher_key_file.exists() or settings.manifest_key_file.exists()


def unusable(settings: Settings) -> list[str]:
    """One sentence for each file that is missing, cannot be read, is open to others, or holds no such key."""
    return list(_failures(_openings(settings)))


def foreign(use: Resources) -> list[str]:
    """One sentence for each file whose key is sound, and not the one that the database was written with.

    Raises NoLog.
    """
    told = unusable(use.settings)
    with use.database.reading() as session:
        comparisons = _comparisons(session, use)
    return [sentence for sentence in _failures(comparisons) if sentence not in told]


def _failures(attempts: list[Attempt]) -> Iterator[str]:
    for attempt in attempts:
        try:
            attempt()
        except KeyFileError as error:
            yield str(error)


def _openings(settings: Settings) -> list[Attempt]:
    openings: list[Attempt] = [
        partial(keys.read_secret, settings.secret_file),
        partial(keys.read_note_key, settings.log_key_file),
        partial(keys.read_note_key, settings.receipt_key_file),
        partial(keys.read_manifest_public_key, settings.manifest_public_key_file),
    ]
    if settings.signer_credentials == "file":
        openings.append(partial(keys.read_s3_credentials, settings.signer_key_file))
    if settings.delivery == "cloudfront":
        openings.append(partial(cloudfront_keys.read, settings.cloudfront_key_file))
    if publishes_here(settings):
        openings.append(partial(keys.read_manifest_key, settings.manifest_key_file))
        openings.append(partial(keys.read_s3_credentials, settings.publisher_key_file))
    if settings.s3_door == "proxy":
        openings.append(partial(S3Roots, settings.s3_key_file))
    if settings.uses_sts and settings.signer_credentials == "file":
        openings.append(partial(keys.read_s3_credentials, settings.sts_key_file))
    for place, path in (
        (settings.anchor_bucket, settings.anchor_key_file),
        (settings.log_mirror, settings.log_mirror_key_file),
        (settings.log_months, settings.log_months_key_file),
    ):
        if place is not None:
            openings.append(partial(keys.read_s3_credentials, path))
    if settings.findings_key_file is not None:
        openings.append(partial(keys.read_s3_credentials, settings.findings_key_file))
    if settings.uploads_key_file is not None:
        openings.append(partial(keys.read_s3_credentials, settings.uploads_key_file))
    if settings.smtp_password_file is not None:
        openings.append(partial(keys.read_private, settings.smtp_password_file))
    providers = settings.identity_providers
    secrets = [one.client_secret_file for one in providers if one.client_secret_file is not None]
    openings += [partial(keys.read_private, file) for file in secrets]
    return openings


def _comparisons(session: Session, use: Resources) -> list[Attempt]:
    log = logs.current(session)
    sealed = session.scalars(select(Person.totp_secret_sealed).order_by(Person.id).limit(1)).first()
    newest = select(CheckpointManifest.content).join(Checkpoint, Checkpoint.id == CheckpointManifest.checkpoint_id)
    newest = newest.where(IS_PUBLISHED, CheckpointManifest.form == ManifestForm.FILES).order_by(Checkpoint.id.desc())
    manifest = session.scalars(newest.limit(1)).first()
    comparisons: list[Attempt] = [
        partial(use.log_signer, log.vkey),
        partial(use.receipt_signer, log.receipt_vkey),
        partial(_require_unsealed, use.settings, sealed),
    ]
    if publishes_here(use.settings):
        comparisons.append(partial(_require_manifest_key, use.settings, manifest))
    return comparisons


def _require_unsealed(settings: Settings, sealed: bytes | None) -> None:
    secret = keys.read_secret(settings.secret_file)
    try:
        if sealed is not None:
            keys.unseal(secret, "totp", sealed)
    except KeyFileError:
        raise KeyFileError(
            f"secret file {settings.secret_file} is not the one that this database is encrypted with, so nobody's "
            "one-time code is accepted: restore the right one"
        ) from None


def _require_manifest_key(settings: Settings, manifest: bytes | None) -> None:
    """The private key is that of the public one, which partners verify with, and of the newest checkpoint."""
    public = keys.read_manifest_public_key(settings.manifest_public_key_file)
    if keys.public_pem(keys.read_manifest_key(settings.manifest_key_file)) != public:
        raise KeyFileError(
            f"key file {settings.manifest_key_file} does not belong to the public key in "
            f"{settings.manifest_public_key_file}: restore the right pair"
        )
    if manifest is not None and manifests.key_hint(manifest) != hashlib.sha256(public).hexdigest():
        raise KeyFileError(
            f"key file {settings.manifest_key_file} is not the key that signed the newest checkpoint: restore the "
            "right one"
        )
