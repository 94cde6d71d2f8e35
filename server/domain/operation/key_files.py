"""Key files: each file that the settings name opens, and is the one that the database goes by."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import settings_files
from server.domain.audit import logs
from server.domain.identity.people import Person
from server.domain.publish import manifests
from server.domain.publish.checkpoints import IS_PUBLISHED, Checkpoint, CheckpointManifest, ManifestForm
from server.domain.resources import Resources
from server.settings import Settings
from server.settings_files import SettingsFile
from server.storage import cloudfront_keys, keys
from server.storage.keys import KeyFileError
from server.storage.s3_roots import S3Roots

Attempt = Callable[[], object]  # raises KeyFileError


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a setting's file holds. opened_by: raises KeyFileError. is_used: whether these settings make use of it."""

    opened_by: Callable[[Path], object]
    is_used: Callable[[Settings], bool] = lambda _: True


# Of every setting that names a file, as settings_files has it.
KINDS: Mapping[str, _Kind] = {
    "signer_key_file": _Kind(keys.read_s3_credentials, lambda made: made.signer_credentials == "file"),
    "publisher_key_file": _Kind(keys.read_s3_credentials),
    "anchor_key_file": _Kind(keys.read_s3_credentials, lambda made: made.anchor_bucket is not None),
    "log_mirror_key_file": _Kind(keys.read_s3_credentials, lambda made: made.log_mirror is not None),
    "log_months_key_file": _Kind(keys.read_s3_credentials, lambda made: made.log_months is not None),
    "findings_key_file": _Kind(keys.read_s3_credentials),
    "uploads_key_file": _Kind(keys.read_s3_credentials),
    "manifest_key_file": _Kind(keys.read_manifest_key),
    "manifest_public_key_file": _Kind(keys.read_manifest_public_key),
    "secret_file": _Kind(keys.read_secret),
    "log_key_file": _Kind(keys.read_note_key),
    "receipt_key_file": _Kind(keys.read_note_key),
    "s3_key_file": _Kind(S3Roots, lambda made: made.s3_door == "proxy"),
    "sts_key_file": _Kind(keys.read_s3_credentials, lambda made: made.uses_sts and made.signer_credentials == "file"),
    "cloudfront_key_file": _Kind(cloudfront_keys.read, lambda made: made.delivery == "cloudfront"),
    "smtp_password_file": _Kind(keys.read_private),
    "witnesses.ca_file": _Kind(keys.read_authorities),
    "workload_issuers.jwks_file": _Kind(keys.read_public),  # the check of issuers counts its keys
    "workload_issuers.ca_file": _Kind(keys.read_authorities),
    "identity_providers.client_secret_file": _Kind(keys.read_private),
    "identity_providers.ca_file": _Kind(keys.read_authorities),
}
_OF_THE_PUBLISHER = {"publisher_key_file", "manifest_key_file"}


def publishes_here(settings: Settings) -> bool:
    """Whether this machine has a key for publishing. Of several machines one is enough, and each more is a risk."""
    return settings.publisher_key_file.exists() or settings.manifest_key_file.exists()


def used(settings: Settings) -> list[SettingsFile]:
    """The files that the instance makes use of, on this machine or another."""
    return [file for file in settings_files.named(settings) if KINDS[file.setting].is_used(settings)]


def unusable(settings: Settings) -> list[str]:
    """One sentence for each file that is missing, cannot be read, is open to others, or holds no such key."""
    return list(dict.fromkeys(_failures(_openings(settings))))  # tables may share a file


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
    files = (file for file in used(settings) if file.setting not in _OF_THE_PUBLISHER or publishes_here(settings))
    return [partial(KINDS[file.setting].opened_by, file.path) for file in files]


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
