"""Tool keys: what S3 tools get for a token, in the form that is open here, and where they find the files with it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from server.domain.callers import Caller
from server.domain.downloads import keyed_downloads, session_downloads
from server.domain.errors import NotFound
from server.domain.identity import s3_keys
from server.domain.publish.checkpoints import MAIN
from server.domain.resources import Resources

WORKLOAD_KEY_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ToolKeys:
    """Keys, and the place: files lie below `prefix` of a bucket. session_token: some libraries fail without one."""

    access_key_id: str
    secret: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime
    endpoint: str
    bucket: str
    prefix: str


def issue(use: Resources, caller: Caller, stage: str, seconds: int | None = None) -> ToolKeys:
    """Make keys for a stage; where the store makes them, for `model/stage@checkpoint`, too. seconds: what is asked for.

    They end with the token at the latest, so that tools ask for others in time; a workload's after an hour. A store
    makes none for less than a quarter of an hour.
    Raises a Refused; where the store makes them also what `session_downloads.issue` raises.
    """
    made = use.settings
    if made.s3_door == "off":
        raise NotFound("This server gives no keys for S3 tools.", next_step="Ask {contact} which ways are open.")
    seconds = _within_token(use, caller, seconds)
    if made.s3_door == "proxy":
        new = keyed_downloads.key_for(use, caller, stage, seconds)
        key = new.key
        return ToolKeys(
            key.access_key_id, new.secret, s3_keys.SESSION_TOKEN, key.expires_at, endpoint(use),
            s3_keys.BUCKET, f"{stage}/",
        )  # fmt: skip
    name, _, checkpoint = stage.partition("@")
    lasts = None if seconds is None else max(seconds, s3_keys.LIFETIME_SECONDS_AT_LEAST)
    issued = session_downloads.issue(use, caller, name, checkpoint or MAIN, lasts)
    pair = issued.credentials
    return ToolKeys(
        pair.access_key_id, pair.secret_access_key, str(pair.session_token), issued.expires_at, endpoint(use),
        made.s3_bucket, issued.prefix,
    )  # fmt: skip


def endpoint(use: Resources) -> str:
    """The address that S3 tools are told: of our door, or of the store where it makes the keys."""
    made = use.settings
    if made.s3_door == "proxy":
        return str(made.s3_door_url)
    return made.s3_endpoint_url or f"https://s3.{made.s3_region}.amazonaws.com"


def _within_token(use: Resources, caller: Caller, seconds: int | None) -> int | None:
    if caller.token_expires_at is None:
        return seconds
    left = caller.token_expires_at - use.clock()
    left = min(left, WORKLOAD_KEY_LIFETIME) if caller.workload is not None else left
    lasts = int(left.total_seconds())
    return lasts if seconds is None else min(seconds, lasts)
