"""Resources: what commands work with. Each part opens when first used, so a process opens only the keys it needs."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import structlog
from sqlalchemy import func, select

from server import migrations
from server.domain import marks
from server.domain.meters import POOL_SIZE, POOL_USED, Meters, ProcessMeters
from server.log.notes import Signer, VerifierKey
from server.log.replica import LogReading
from server.settings import Settings
from server.storage import cloudfront_keys, keys, meter_files, role_credentials, signing_check, signing_check_cloudfront
from server.storage.anchor_bucket import AnchorBucket
from server.storage.attachments import AttachmentObjects
from server.storage.bucket_policy import BucketPolicy
from server.storage.bucket_protection import BucketProtection
from server.storage.cloudfront_keys import CloudFrontKey
from server.storage.database import DATABASE_ERRORS, Database, DatabaseUnavailable, Moment
from server.storage.issuer_keys import IssuerKeys
from server.storage.log_bucket import LogBucket
from server.storage.object_errors import ObjectStoreError
from server.storage.objects import ObjectStore, S3Objects
from server.storage.outside import Outside, OutsideError
from server.storage.role_credentials import RoleCredentials
from server.storage.s3_roots import S3Roots
from server.storage.signing import UrlSigner
from server.storage.signing_cloudfront import CloudFrontSigner
from server.storage.signing_following import FollowingSigner
from server.storage.signing_role import RoleSigner
from server.storage.signing_s3 import S3Signer
from server.storage.signing_sessions import SessionSigner
from server.storage.store_sessions import StoreSessions
from server.storage.uploads import UploadObjects

if TYPE_CHECKING:
    from server.storage.identity_providers import ProviderClient

Clock = Callable[[], datetime]


class _StoreAddress(TypedDict):
    endpoint_url: str | None
    region: str
    addressing: Literal["virtual", "path"]


def utc_now() -> datetime:
    return datetime.now(UTC)


class OtherSchema(Exception):
    """The database's schema is not this code's. The text says what to do."""


class Resources:
    """One instance's settings, database, keys and store. Safe to share between threads."""

    steady = staticmethod(time.monotonic)  # seconds that pass, whatever somebody sets the clock to

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self.meters = Meters()
        self._note_signers: dict[str, Signer] = {}

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database_url)

    @cached_property
    def log_reading(self) -> LogReading:
        """Where the log is read to be shown; whatever decides asks `database`."""
        return LogReading(self.database, self.log_replica)

    @cached_property
    def log_replica(self) -> Database | None:
        url = self.settings.log_replica_url
        return None if url is None else Database(url)

    def as_sealer(self) -> "Resources":
        """The same with the worker's database role, which alone may write the tree."""
        return self._with_role(self.settings.sealer_database_url)

    def as_owner(self) -> "Resources":
        """The same with the role that owns the tables: for what changes a log as a whole."""
        return self._with_role(self.settings.migration_database_url)

    def count_as(self, kind: str) -> None:
        """Count what this process does from now on, if the settings want metrics. kind: of process, such as `web`.

        A folder that cannot be written is told of, and no reason not to start.
        """
        if self.settings.metrics_listen is None:
            return
        try:
            self.meters = ProcessMeters(self.settings.folder / meter_files.FOLDER, kind)
        except OSError as error:
            structlog.get_logger(__name__).warning("nothing is counted for the metrics", error=type(error).__name__)
            return
        if self.database.pools:  # asked for anew each time: one that lost its connections is another one
            self.meters.watch(POOL_USED, kind, lambda: sum(pool.checkedout() for pool in self.database.pools))
            self.meters.watch(POOL_SIZE, kind, lambda: sum(pool.size() for pool in self.database.pools))
        self.meters.start()

    def _with_role(self, database_url: str | None) -> "Resources":
        update = {"database_url": database_url or self.settings.database_url}
        return type(self)(self.settings.model_copy(update=update), self.clock)

    @property
    def signer(self) -> UrlSigner:
        """What signs the URLs that callers get for checkpoints: for the store, or for CloudFront in front of it."""
        if self.settings.delivery == "cloudfront":
            return self.cloudfront_signer
        return self.session_signer if self.settings.url_sessions else self.store_signer

    @cached_property
    def session_signer(self) -> UrlSigner:
        """With sessions of the store's, one for each organization. Raises KeyFileError."""
        return SessionSigner(self.sessions, self.signer_with, self.store_signer.origin, self.clock)

    @cached_property
    def store_signer(self) -> UrlSigner:
        """For the store itself: its key can read objects and nothing else. It is first held against botocore's."""
        if self.settings.signer_credentials == "role":
            return RoleSigner(self.role, self.signer_with, self.clock)
        return FollowingSigner(self.settings.signer_key_file, keys.read_s3_credentials, self.signer_with)

    @cached_property
    def role(self) -> RoleCredentials:
        """The signer's, where the machine lends them. Raises RoleUnavailable, which is a KeyFileError."""
        made = self.settings
        return RoleCredentials(lambda: role_credentials.load(made.s3_region, made.sts_endpoint_url), self.clock)

    def signer_credentials(self) -> keys.S3Credentials:
        """Those that the signer signs with now. Raises KeyFileError."""
        if self.settings.signer_credentials == "role":
            return self.role.lent().credentials
        return keys.read_s3_credentials(self.settings.signer_key_file)

    def url_lifetime_seconds(self) -> int:
        """How long a URL lives that a caller gets now. Raises OutsideFault."""
        by_cloudfront = self.settings.delivery == "cloudfront"
        return self.settings.url_lifetime_seconds if by_cloudfront else self.store_url_lifetime_seconds()

    def store_url_lifetime_seconds(self) -> int:
        """The same of one that leads to the store. Raises OutsideFault: role credentials are about to end."""
        lifetime = self.settings.url_lifetime_seconds
        return self.role.longest(lifetime) if self.settings.signer_credentials == "role" else lifetime

    @cached_property
    def cloudfront_signer(self) -> UrlSigner:
        """Likewise. Raises KeyFileError, SigningMismatch."""
        return FollowingSigner(self.settings.cloudfront_key_file, cloudfront_keys.read, self.cloudfront_signer_with)

    def cloudfront_signer_with(self, key: CloudFrontKey, binds_address: bool | None = None) -> CloudFrontSigner:
        """The same with a key at hand. binds_address: None is as the settings say."""
        made = self.settings
        binds = made.cloudfront_binds_address if binds_address is None else binds_address
        signer = CloudFrontSigner(url=str(made.cloudfront_url), key=key, clock=self.clock, binds_address=binds)
        signing_check_cloudfront.self_check(signer)
        return signer

    def signer_with(self, credentials: keys.S3Credentials) -> S3Signer:
        """The same with a key at hand. Raises SigningMismatch."""
        bucket = self.settings.s3_bucket
        signer = S3Signer(**self._store_address(), bucket=bucket, credentials=credentials, clock=self.clock)
        signing_check.self_check(signer, credentials)
        return signer

    def open_for_web(self) -> None:
        """Open what answering needs, so that a wrong key or an old schema stops the start and not a request.

        Raises KeyFileError, SigningMismatch, DatabaseUnavailable, OtherSchema.
        """
        _ = self.store_signer, self.signer, self.manifest_public_key
        if self.settings.s3_door == "proxy":
            _ = self.s3_roots
        if self.settings.uses_sts:
            _ = self.sessions
        with self.database.reading() as session:
            if (difference := migrations.difference(session.connection())) is not None:
                raise OtherSchema(difference)

    @cached_property
    def store(self) -> ObjectStore:
        """The publisher's store: can write. Never touched by the web."""
        return self.store_as(keys.read_s3_credentials(self.settings.publisher_key_file))

    @cached_property
    def bucket_policy(self) -> BucketPolicy:
        """The publisher's, too: opened by whoever cuts URLs at the store. Never touched by the web."""
        credentials = keys.read_s3_credentials(self.settings.publisher_key_file)
        made = self.settings
        role_arn = made.sts_role_arn if made.uses_sts else None
        return BucketPolicy(
            **self._store_address(), bucket=made.s3_bucket, credentials=credentials, role_arn=role_arn
        )  # fmt: skip

    @cached_property
    def sessions(self) -> StoreSessions:
        """By which the store lets S3 tools read, where it makes their keys. Raises KeyFileError."""
        made = self.settings
        return StoreSessions(
            endpoint_url=made.sts_endpoint_url, region=made.s3_region, bucket=made.s3_bucket,
            role_arn=str(made.sts_role_arn), asker=self._asker,
        )  # fmt: skip

    def _asker(self) -> keys.S3Credentials:
        """Who begins sessions: the machine's role, where it has one, or a key of its own."""
        if self.settings.signer_credentials == "role":
            return self.role.lent().credentials
        return keys.read_s3_credentials(self.settings.sts_key_file)

    @cached_property
    def issuer_keys(self) -> IssuerKeys:
        """With which issuers sign workloads' identity tokens."""
        return IssuerKeys(self.settings.workload_issuers)

    @cached_property
    def outside(self) -> Outside:
        """What the web process looks at in the background, once it is started."""
        probes = {"object store": self._time_of_store}
        if self.database.dialect == "postgresql":
            probes["database"] = self._time_of_database
        must_answer = {"object store"} if self.settings.store_must_answer else set[str]()
        return Outside(probes, self.clock, frozenset(must_answer), self.steady)

    def claim_bucket(self) -> None:
        """Mark the bucket as this database's, unless it is marked. Raises AnotherInstance, ObjectStoreError."""
        marks.claim(self.database, self.store, self.settings.public_url, self.clock)

    def take_over_bucket(self) -> None:
        """Mark the bucket as this database's, whoever's it was. Raises ObjectStoreError."""
        marks.take_over(self.database, self.store, self.settings.public_url, self.clock)

    def as_reader(self) -> ObjectStore:
        """The store with the signer's key, which may do nothing but read. Raises KeyFileError."""
        return self.store_as(self.signer_credentials())

    def _time_of_store(self) -> datetime:
        """Asked with the signer's key: a refusal tells the time, too. Raises AnotherInstance."""
        try:
            if self.settings.signer_credentials == "role":
                self.role.renew()
            with closing(self.as_reader()) as store:
                with suppress(DatabaseUnavailable, *DATABASE_ERRORS):  # which is told elsewhere
                    marks.require_own(self.database, store)
                return store.server_time()
        except (ObjectStoreError, keys.KeyFileError) as error:
            raise OutsideError from error

    def _time_of_database(self) -> datetime:
        try:
            with self.database.reading() as session:
                return session.scalars(select(func.clock_timestamp(type_=Moment))).one()
        except (DatabaseUnavailable, *DATABASE_ERRORS) as error:
            raise OutsideError from error

    @cached_property
    def anchor_bucket(self) -> AnchorBucket | None:
        """Where heads are kept out of the database's reach; None when the settings name no bucket for it."""
        settings = self.settings
        if settings.anchor_bucket is None:
            return None
        credentials = keys.read_s3_credentials(settings.anchor_key_file)
        return AnchorBucket(**self._store_address(), bucket=settings.anchor_bucket, credentials=credentials)

    @cached_property
    def log_mirror(self) -> LogBucket | None:
        """Where the log's public part is mirrored; None when the settings name no place. Raises KeyFileError."""
        return self._log_bucket(self.settings.log_mirror, self.settings.log_mirror_key_file)

    @cached_property
    def log_months(self) -> LogBucket | None:
        """Likewise, where finished months of the log go as Parquet."""
        return self._log_bucket(self.settings.log_months, self.settings.log_months_key_file)

    def _log_bucket(self, place: str | None, key_file: Path) -> LogBucket | None:
        if place is None:
            return None
        return LogBucket(place, **self._store_address(), credentials=keys.read_s3_credentials(key_file))

    def protection_of(self, bucket: str, key_file: Path) -> BucketProtection:
        """A bucket, to be asked what it keeps of deleted objects; to be closed. Raises KeyFileError."""
        return BucketProtection(**self._store_address(), bucket=bucket, credentials=keys.read_s3_credentials(key_file))

    @cached_property
    def attachments(self) -> AttachmentObjects | None:
        """Where findings' attachments lie; None where the settings name no key for them. Raises KeyFileError."""
        settings = self.settings
        if settings.findings_key_file is None:
            return None
        credentials = keys.read_s3_credentials(settings.findings_key_file)
        return AttachmentObjects(**self._store_address(), bucket=settings.s3_bucket, credentials=credentials)

    @cached_property
    def uploads(self) -> UploadObjects | None:
        """Where publishers' uploads lie; None where the settings name no key for them. Raises KeyFileError."""
        return None if self.settings.uploads_key_file is None else self._uploads_with(self.settings.uploads_key_file)

    @cached_property
    def arrivals(self) -> UploadObjects:
        """The same with the publisher's key. Never touched by the web."""
        return self._uploads_with(self.settings.publisher_key_file)

    def _uploads_with(self, key_file: Path) -> UploadObjects:
        credentials = keys.read_s3_credentials(key_file)
        return UploadObjects(**self._store_address(), bucket=self.settings.s3_bucket, credentials=credentials)

    @cached_property
    def identity_providers(self) -> "dict[str, ProviderClient]":
        """Those that people of organizations sign in with, by their ids."""
        from server.storage.identity_providers import ProviderClient  # slow to load, and most commands ask none

        made = self.settings
        return {
            one.id: ProviderClient(one, f"{made.public_url}/sign-in/with/{one.id}/return", self.clock)
            for one in made.identity_providers
        }

    def log_signer(self, vkey: str) -> Signer:
        """The worker's: signs heads. Raises KeyFileError when the key file is not the key that the log names."""
        return self._note_signer(self.settings.log_key_file, vkey)

    def receipt_signer(self, vkey: str) -> Signer:
        """The web's: signs receipts. Raises KeyFileError when the key file is not the key that the log names."""
        return self._note_signer(self.settings.receipt_key_file, vkey)

    def _note_signer(self, path: Path, vkey: str) -> Signer:
        signer = self._note_signers.get(vkey)
        if signer is None:
            key = VerifierKey.parse(vkey)
            private = keys.read_note_key(path)
            if private.public_key().public_bytes_raw() != key.public:
                raise keys.KeyFileError(
                    f"key file {path} is not the key of {key.name}: restore the right one, or finish an "
                    "interrupted rotation with `weightgate-server keys rotate`"
                )
            signer = self._note_signers[vkey] = Signer(key, private.sign)
        return signer

    def close(self) -> None:
        """Let go of what was opened."""
        self.meters.close()
        self.meters = Meters()
        for name in (
            "outside",
            "database",
            "log_replica",
            "store",
            "bucket_policy",
            "anchor_bucket",
            "log_mirror",
            "log_months",
            "attachments",
            "uploads",
            "arrivals",
            "sessions",
        ):
            if opened := self.__dict__.pop(name, None):
                opened.close()

    def store_as(self, credentials: keys.S3Credentials) -> ObjectStore:
        return S3Objects(**self._store_address(), bucket=self.settings.s3_bucket, credentials=credentials)

    def _store_address(self) -> "_StoreAddress":
        settings = self.settings
        return {
            "endpoint_url": settings.s3_endpoint_url,
            "region": settings.s3_region,
            "addressing": settings.s3_addressing,
        }

    @cached_property
    def secret(self) -> bytes:
        return keys.read_secret(self.settings.secret_file)

    @cached_property
    def s3_roots(self) -> S3Roots:
        """What S3 tools' keys are made from. Raises KeyFileError."""
        return S3Roots(self.settings.s3_key_file)

    @cached_property
    def manifest_public_key(self) -> str:
        """PEM."""
        return self.settings.manifest_public_key_file.read_text(encoding="ascii")
