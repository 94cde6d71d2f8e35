"""S3 keys: what S3 tools sign with, made for a token and a stage. Nothing is stored: the id carries all that is known.

`WGS` + base32 of 45 bytes: when it ends (4, seconds since 1970), the stage's number (8), what tells it from others (6),
the token's public id (12), and an HMAC of the 30 bytes before (15). The secret is an HMAC of the id. So nobody but us
makes one, and it works for as long as its token does.
"""

import base64
import hmac
import re
import secrets
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from server.domain.resources import Resources
from server.storage import signed_requests
from server.storage.keys import S3Credentials
from server.storage.signed_requests import Asked, Request, Unsigned
from server.storage.signing import StoredObject
from server.storage.signing_s3 import S3Signer

PREFIX = "WGS"
BUCKET = "models"  # the only one at our door
# Some libraries fail without a session token. It says nothing, and is the same for all.
SESSION_TOKEN = "weightgate"  # noqa: S105  # no secret
LIFETIME_SECONDS_AT_LEAST = 900  # what STS allows; libraries renew their keys a quarter of an hour before the end
_FORM = re.compile(rf"{PREFIX}[A-Z2-7]{{72}}")
_CONTENT = struct.Struct(">IQ6s12s")
_MAC_BYTES = 15


@dataclass(frozen=True, slots=True)
class S3Key:
    """An access key id that we made: for which token, for which stage, until when."""

    access_key_id: str
    token_public_id: str
    stage_id: int
    expires_at: datetime

    def has_ended(self, at: datetime) -> bool:
        return at >= self.expires_at


@dataclass(frozen=True, slots=True)
class NewS3Key:
    """A key just made."""

    key: S3Key
    secret: str = field(repr=False)


def mint(use: Resources, token_public_id: str, stage_id: int, lifetime_seconds: int | None = None) -> NewS3Key:
    """Make a key. lifetime_seconds: what is asked for, if anything; never more than the settings allow."""
    seconds = bounded(use, lifetime_seconds)
    expires_at = use.clock().replace(microsecond=0) + timedelta(seconds=seconds)
    content = _CONTENT.pack(
        int(expires_at.timestamp()), stage_id, secrets.token_bytes(6), token_public_id.encode("ascii")
    )
    root = use.s3_roots.making()
    access_key_id = PREFIX + base64.b32encode(content + _mac(root, content)).decode()
    return NewS3Key(S3Key(access_key_id, token_public_id, stage_id, expires_at), _secret(root, access_key_id))


def bounded(use: Resources, lifetime_seconds: int | None) -> int:
    """For how long keys for S3 tools work, whoever makes them: what is asked for, and what the settings allow."""
    longest = use.settings.s3_key_lifetime_seconds
    return longest if lifetime_seconds is None else min(lifetime_seconds, longest)


def find(use: Resources, access_key_id: str) -> NewS3Key | None:
    """Return a key by its id, of whichever root that is taken now; None for one that we did not make."""
    if not _FORM.fullmatch(access_key_id):
        return None
    raw = base64.b32decode(access_key_id.removeprefix(PREFIX))
    content, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    for root in use.s3_roots.taken(use.clock()):
        if hmac.compare_digest(mac, _mac(root, content)):
            expires, stage_id, _, public_id = _CONTENT.unpack(content)
            ends = datetime.fromtimestamp(expires, UTC)
            key = S3Key(access_key_id, public_id.decode("ascii"), stage_id, ends)
            return NewS3Key(key, _secret(root, access_key_id))
    return None


def require_signed(use: Resources, request: Request) -> tuple[S3Key, Asked]:
    """Return which key of ours signed a request, and what is asked in it. Raises Unsigned."""
    at = use.clock()
    known: dict[str, S3Key] = {}

    def secret(access_key_id: str) -> str | None:
        found = find(use, access_key_id)
        if found is None:
            return None
        known[access_key_id] = found.key
        return found.secret

    asked = signed_requests.verify(request, secret, at)
    key = known[asked.access_key_id]
    if key.has_ended(at):
        raise Unsigned("ExpiredToken", "These keys have expired. Get new ones for your token.")
    if asked.session_token not in {None, SESSION_TOKEN}:
        raise Unsigned("InvalidToken", "The session token is not the one that came with these keys.")
    return key, asked


def _secret(root: bytes, access_key_id: str) -> str:
    """64 hex digits."""
    return hmac.digest(root, b"secret " + access_key_id.encode(), "sha256").hex()


def _mac(root: bytes, content: bytes) -> bytes:
    return hmac.digest(root, b"id " + content, "sha256")[:_MAC_BYTES]


def presigned(use: Resources, token_public_id: str, key: str) -> str:
    """A URL at the S3 door for an object there, signed with a new key of a token's, for stage 0: to try the door."""
    made = mint(use, token_public_id, 0)
    signer = S3Signer(
        endpoint_url=use.settings.s3_door_url, region="us-east-1", bucket=BUCKET, addressing="path",
        credentials=S3Credentials(made.key.access_key_id, made.secret), clock=use.clock,
    )  # fmt: skip
    return signer.sign([StoredObject(key)], download_id="doctor", lifetime_seconds=60)[0]


def door_secret(use: Resources) -> str:
    """By which the web knows the store's proxy, 64 hex digits: what a proxy that is started now shows."""
    return _door_secret(use.s3_roots.making())


def is_door(use: Resources, shown: str) -> bool:
    """Whether the store's proxy shows this. One that was started before a rotation shows what it was started with."""
    return any(hmac.compare_digest(shown.encode(), _door_secret(root).encode()) for root in use.s3_roots.every())


def _door_secret(root: bytes) -> str:
    return hmac.digest(root, b"door", "sha256").hex()
