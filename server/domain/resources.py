"""Resources: what commands work with. Each part opens when first used, so a process opens only the keys it needs."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property

from sqlalchemy import text

from server.settings import Settings
from server.storage import keys, signing_check
from server.storage.database import Database
from server.storage.objects import ObjectStore, S3Objects
from server.storage.signing import UrlSigner

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Resources:
    """One instance's settings, database, keys and store. Safe to share between threads."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database_url)

    @cached_property
    def signer(self) -> UrlSigner:
        """The web's signer: its key can read objects and nothing else. It is first held against botocore's."""
        settings = self.settings
        credentials = keys.read_s3_credentials(settings.signer_key_file)
        signer = UrlSigner(
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            bucket=settings.s3_bucket,
            addressing=settings.s3_addressing,
            credentials=credentials,
            clock=self.clock,
        )
        signing_check.self_check(signer, credentials)
        return signer

    def open_for_web(self) -> None:
        """Open what answering needs, so that a wrong key or an old schema stops the start and not a request.

        Raises KeyFileError, SigningMismatch, DatabaseUnavailable.
        """
        _ = self.signer, self.manifest_public_key
        with self.database.reading() as session:
            session.execute(text("SELECT 1"))

    @cached_property
    def store(self) -> ObjectStore:
        """The publisher's store: can write. Never touched by the web."""
        return self.store_as(keys.read_s3_credentials(self.settings.publisher_key_file))

    def close(self) -> None:
        """Let go of what was opened."""
        for name in ("database", "store"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def store_as(self, credentials: keys.S3Credentials) -> ObjectStore:
        settings = self.settings
        return S3Objects(
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            bucket=settings.s3_bucket,
            addressing=settings.s3_addressing,
            credentials=credentials,
        )

    @cached_property
    def secret(self) -> bytes:
        return keys.read_secret(self.settings.secret_file)

    @cached_property
    def manifest_public_key(self) -> str:
        """PEM."""
        return self.settings.manifest_public_key_file.read_text(encoding="ascii")
