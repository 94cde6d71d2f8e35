"""Credentials: keys for S3 tools, in the form in which the AWS libraries fetch them for a container."""

from typing import Annotated

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from server import dates
from server.domain.callers import Caller
from server.domain.downloads import tool_keys
from server.domain.errors import NotFound
from server.domain.permissions import Permission
from server.web.api.answers import Answer, answer
from server.web.identity import allow, resources

bp = APIBlueprint("credentials", __name__, url_prefix="/api/v1/credentials", tag="credentials")


class Credentials(Answer):
    AccessKeyId: str
    SecretAccessKey: str
    Token: Annotated[str, Field(description="The session token. At our own S3 door it is the same for all.")]
    Expiration: Annotated[str, Field(description="When the keys stop working. Revoking the token ends those of our own "
                                                 "S3 door, too; keys of the store work until then.")]  # fmt: skip
    Endpoint: Annotated[str, Field(description="Where S3 tools find the files.")]
    Bucket: str
    Prefix: Annotated[str, Field(description="Files are below this in the bucket.")]


@bp.get("/<model>/<stage>")
@allow(Permission.DOWNLOAD_CREATE)
@bp.output(Credentials)
def show(caller: Caller, model: str, stage: str) -> Response:
    """Keys with which S3 tools read the files of one stage: for AWS_CONTAINER_CREDENTIALS_FULL_URI."""
    use = resources()
    if not use.settings.container_credentials:
        raise NotFound("This server gives no keys for S3 tools.", next_step="Ask {contact} which ways are open.")
    made = tool_keys.issue(use, caller, f"{model}/{stage}")
    return answer(
        {
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret,
            "Token": made.session_token,
            "Expiration": dates.rfc3339(made.expires_at),
            "Endpoint": made.endpoint,
            "Bucket": made.bucket,
            "Prefix": made.prefix,
        }
    )
