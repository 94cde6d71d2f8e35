"""STS: the AWS libraries exchange a token for keys (AssumeRoleWithWebIdentity): one of ours, or a workload's own.

The role is the stage: `arn:aws:iam::000000000000:role/<model>/<stage>`. Another account than zero is the number of a
trust record, for a workload that several match. The request is not signed; the token in it says who asks.
"""

import re

from flask import Blueprint, Response, g, request

from server import dates
from server.domain.callers import Caller
from server.domain.downloads import tool_keys
from server.domain.errors import AuthenticationRequired, InvalidRequest, NotFound
from server.domain.identity import authentication, exchanges, identity_tokens, s3_keys
from server.domain.identity.exchanges import Wish
from server.domain.permissions import Permission
from server.web.identity import note_use, resources, stranger
from server.web.s3 import xml
from server.web.s3.sts_errors import NAMESPACE

bp = Blueprint("sts", __name__)
ACTION = "AssumeRoleWithWebIdentity"
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>[0-9]{12}):role/(?P<stage>[^/]{1,96}/[^/]{1,96})")
_SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_CLOSED = "This server gives no keys for S3 tools to a web identity."


@bp.post("/sts")
@bp.post("/sts/", endpoint="with_slash")
def assume() -> Response:
    """Keys for a stage."""
    use, form = resources(), request.form
    if use.settings.s3_door == "off" or not use.settings.web_identity_credentials:  # before anything is looked at
        raise NotFound(_CLOSED, next_step="Ask {contact} which ways are open.")
    if form.get("Action") != ACTION:
        raise InvalidRequest(f"The only action here is {ACTION}.")
    role, session = _ROLE.fullmatch(form.get("RoleArn", "")), form.get("RoleSessionName", "")
    if role is None:
        raise InvalidRequest("RoleArn is not arn:aws:iam::000000000000:role/MODEL/STAGE.")
    if not _SESSION.fullmatch(session):
        raise InvalidRequest("RoleSessionName has 2 to 64 letters, digits and +=,.@-.")
    seconds = _seconds(form.get("DurationSeconds"))
    caller = _caller(form.get("WebIdentityToken", "").strip(), int(role["account"]) or None)
    made = tool_keys.issue(use, caller, role["stage"], seconds)
    arn = f"arn:aws:sts::000000000000:assumed-role/{role['stage']}/{session}"
    credentials = [
        ("AccessKeyId", made.access_key_id), ("SecretAccessKey", made.secret),
        ("SessionToken", made.session_token), ("Expiration", dates.rfc3339(made.expires_at)),
    ]  # fmt: skip
    result = [
        ("SubjectFromWebIdentityToken", caller.workload.subject if caller.workload else str(caller.token_public_id)),
        ("Audience", use.settings.public_url),
        ("AssumedRoleUser", [("AssumedRoleId", f"{caller.token_public_id}:{session}"), ("Arn", arn)]),
        ("Credentials", credentials), ("Provider", "weightgate"),
        ("Endpoint", made.endpoint), ("Bucket", made.bucket), ("Prefix", made.prefix),  # which no library minds
    ]  # fmt: skip
    items = [(f"{ACTION}Result", result), ("ResponseMetadata", [("RequestId", g.request_id)])]
    return xml.answer(f"{ACTION}Response", items, NAMESPACE)


assume.permission = Permission.DOWNLOAD_CREATE  # type: ignore[attr-defined]  # as `tool_keys.issue` asks


def _caller(token: str, trust_record: int | None) -> Caller:
    if not token:
        raise AuthenticationRequired("WebIdentityToken is empty.", next_step="Put a token into the file that is named.")
    if identity_tokens.FORM.fullmatch(token):
        g.caller, refused = exchanges.session_of(resources(), stranger(), token, Wish(trust_record=trust_record))
    else:
        g.caller, refused = authentication.identify(resources(), token, stranger())
    if refused is not None:
        raise refused
    caller: Caller = g.caller
    note_use(caller)
    return caller


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    least = s3_keys.LIFETIME_SECONDS_AT_LEAST
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= 43200):
        raise InvalidRequest(f"DurationSeconds is a whole number from {least} to 43200.")
    return int(text)
