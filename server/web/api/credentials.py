"""Credentials: keys for S3 tools, in the form in which the AWS libraries fetch them for a container."""

from typing import Annotated

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from server import dates
from server.domain.callers import Caller
from server.domain.downloads import keyed_downloads
from server.domain.errors import NotFound
from server.domain.identity import s3_keys
from server.domain.permissions import Permission
from server.web.api.answers import Answer, answer
from server.web.identity import allow, resources

bp = APIBlueprint("credentials", __name__, url_prefix="/api/v1/credentials", tag="credentials")


class Credentials(Answer):
    AccessKeyId: str
    SecretAccessKey: str
    Token: Annotated[str, Field(description="The same for all. Some libraries fail without one.")]
    Expiration: Annotated[str, Field(description="When the keys stop working. Revoking the token ends them, too.")]


@bp.get("/<model>/<stage>")
@allow(Permission.DOWNLOAD_CREATE)
@bp.output(Credentials)
def show(caller: Caller, model: str, stage: str) -> Response:
    """Keys with which S3 tools read the files of one stage: for AWS_CONTAINER_CREDENTIALS_FULL_URI."""
    use = resources()
    if use.settings.s3_door == "off" or not use.settings.container_credentials:
        raise NotFound("This server gives no keys for S3 tools.", next_step="Ask {contact} which ways are open.")
    made = keyed_downloads.key_for(use, caller, f"{model}/{stage}")
    return answer(
        {
            "AccessKeyId": made.key.access_key_id,
            "SecretAccessKey": made.secret,
            "Token": s3_keys.SESSION_TOKEN,
            "Expiration": dates.rfc3339(made.key.expires_at),
        }
    )
