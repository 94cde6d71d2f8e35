"""The S3 door for tests: open it in a world, sign as botocore does, and ask through the app or a served door."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from server.domain.downloads import keyed_downloads
from server.domain.identity import s3_keys
from server.domain.identity.s3_keys import NewS3Key
from tests.world import World

HOST = "s3.localhost:8334"
UNSIGNED = "UNSIGNED-PAYLOAD"


def open_door(world: World, **more: Any) -> None:
    """Open the door in a world whose app nobody serves."""
    update = {"s3_door": "proxy", "s3_door_url": f"http://{HOST}", **more}
    world.use.settings = world.use.settings.model_copy(update=update)


def key_of(world: World, name: str = "cleared", stage: str = "mini-gpt/base", seconds: int | None = None) -> NewS3Key:
    """A key for the token of somebody in the demo."""
    return keyed_downloads.key_for(world.use, world.caller(name), stage, seconds)


def signed(
    key: NewS3Key, method: str, target: str, headers: Mapping[str, str] | None = None, *, in_query: bool = False,
    token: str | None = s3_keys.SESSION_TOKEN, payload: str | None = UNSIGNED, host: str = HOST,
) -> AWSRequest:  # fmt: skip
    """A request as botocore signs it now. target: path and query, encoded."""
    path, _, query = target.partition("?")
    target = f"{path}?{quote(query, safe='-_.~%=&')}" if query else path
    request = AWSRequest(method, f"http://{host}{target}", headers=dict(headers or {}))
    credentials = Credentials(key.key.access_key_id, key.secret, token)
    signer: Any = (S3SigV4QueryAuth if in_query else S3SigV4Auth)(credentials, "s3", "us-east-1")
    request.headers["host"] = host
    if payload is not None and not in_query:
        request.headers["X-Amz-Content-SHA256"] = payload
        request.context["payload_signing_enabled"] = False
        signer.payload = lambda _: payload
    signer.add_auth(request)
    return request


def ask(world: World, request: AWSRequest, **more: str) -> Any:
    """Send a signed request through the app, as the store's proxy does."""
    target = request.url.partition("://")[2].partition("/")[2]
    headers = {name: str(value) for name, value in request.headers.items()}
    headers["X-Weightgate-Door"] = s3_keys.door_secret(world.use)
    world.keep_sealed()
    return world.client.open(f"/s3-door/{target}", method=request.method, headers=headers | more)


def get(world: World, key: NewS3Key, target: str, method: str = "GET", **headers: str) -> Any:
    """The same of a request that is signed here. target: path and query below the host, encoded."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(world, signed(key, method, target, named))


def path_of(key: str) -> str:
    return f"/models/{quote(key, safe='/~')}"


def code_of(response: Any) -> str:
    """S3's code of a refusal."""
    return str(response.text.partition("<Code>")[2].partition("<")[0])
