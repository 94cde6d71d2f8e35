"""The S3 door in the embedded store's proxy: real nginx, store and server; what gets through, and what does not."""

import http.client
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.storage import keys, s3_roots
from server.storage.embedded import EmbeddedStore
from tests import s3
from tests.e2e import s3_serving
from tests.e2e.s3_serving import ServedDoor
from tests.e2e.working import working
from tests.world import World

STAGE = "mini-gpt/base"
KEY = f"{STAGE}/config.json"


@pytest.fixture(scope="module")
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore
) -> Iterator[ServedDoor]:
    yield from s3_serving.shared(request, tmp_path_factory.mktemp("s3-door"), embedded_store)


def raw(
    door: ServedDoor, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> Any:
    """Send what boto3 would not; return status, headers and text."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"localhost:{door.port}", **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def signed(door: ServedDoor, target: str, method: str = "GET", **headers: str) -> tuple[str, str, dict[str, str]]:
    request = s3.signed(s3.key_of(door.world), method, target, headers, host=f"localhost:{door.port}")
    return method, target, {name: str(value) for name, value in request.headers.items() if name.lower() != "host"}


def test_a_file_comes_with_its_own_headers(door: ServedDoor) -> None:
    """Those that HeadObject says, and none of the store's own; no signature among them."""
    client = door.client()
    said = client.head_object(Bucket="models", Key=KEY)
    got = client.get_object(Bucket="models", Key=KEY)
    assert got["Body"].read() == door.source("config.json")
    for name in ("ETag", "LastModified", "ContentLength", "ContentType", "AcceptRanges"):
        assert got[name] == said[name], name
    headers = got["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in headers if "seaweed" in name or "accel" in name or "door" in name or "meta" in name]
    assert "x-amz-signature" not in json.dumps(headers).lower()


def test_a_line_of_the_store_s_log_leads_to_the_entry(door: ServedDoor) -> None:
    """With the bytes that the client got; of what was refused there is no line."""
    door.client().get_object(Bucket="models", Key=KEY, Range="bytes=3-9")["Body"].read()
    line = door.lines()[-1]
    record = door.world.records("download")[-1]
    assert (line["download_id"], line["bytes_sent"], line["range"]) == (record["download"], 7, "bytes=3-9")
    assert (line["key"], line["bucket"]) == (record["files"][0]["object_key"], "weights")
    before = len(door.lines())
    assert raw(door, "GET", f"/models/{KEY}")[0] == 403
    assert len(door.lines()) == before


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "COPY"])
def test_every_writing_call_is_refused(door: ServedDoor, method: str) -> None:
    """In S3's own way, whether or not it is signed; a body is not kept anywhere."""
    for target in (f"/models/{KEY}", f"/models/{KEY}?uploads", "/models?delete", "/models"):
        status, headers, text = raw(door, method, target, {"Content-Length": "3"}, b"abc")
        assert (status, headers["Content-Type"]) == (403, "application/xml")
        assert "<Code>AccessDenied</Code><Message>Nothing is written here" in text
        assert "<RequestId>" in text


def test_boto3_is_refused_a_large_upload(door: ServedDoor) -> None:
    """Which it begins before it has an answer."""
    client = door.client()
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.put_object(Bucket="models", Key=KEY, Body=b"x" * 5_000_000)
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket="models", Key=KEY)


@pytest.mark.parametrize(
    "target",
    [
        "/weightgate-store/weights/checkpoints/x", "/weightgate-sts", "/%77eightgate-store/weights/x",
        "/models/../weightgate-store/weights/x", "//weightgate-store/weights/x", "/weightgate-store",
    ],
)  # fmt: skip
def test_the_inner_addresses_cannot_be_asked(door: ServedDoor, target: str) -> None:
    """Whatever else is sent: neither the store nor STS answers there, and no line says that it did."""
    before = len(door.lines())
    for more in ({}, {"X-Accel-Redirect": "/weightgate-store/weights/x"}, {"X-Weightgate-Door": "0" * 64}):
        status, _, text = raw(door, "GET", target, more)
        assert status in {400, 403, 404, 503}, text
        assert "<Error><Code>" in text
    status, _, text = raw(door, *signed(door, target)[:2], signed(door, target)[2])
    assert status in {400, 403, 404, 503}, text
    assert all(line["status"] >= 400 or line["status"] == 0 for line in door.lines()[before:])


def test_a_malformed_request_is_answered_in_s3_s_way(door: ServedDoor) -> None:
    """Also what nginx refuses by itself: a second Authorization header, a path out of the root, a header too long."""
    _, target, headers = signed(door, f"/models/{KEY}")
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
    connection.putrequest("GET", target)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Authorization", "Bearer x")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, "<Code>InvalidURI</Code>" in answer.read().decode()) == (400, True)
    connection.close()
    for target, more in (("/../../etc/passwd", {}), ("/models", {"X-Long": "x" * 60_000})):
        status, _, text = raw(door, "GET", target, more)
        assert (status, "<Error><Code>" in text) == (400, True)


def test_what_the_client_says_of_itself_does_not_reach_the_log(door: ServedDoor) -> None:
    """Here no other proxy is in front, so X-Forwarded-For is anybody's word."""
    door.client().head_bucket(Bucket="models")
    status, _, _ = raw(
        door, *signed(door, f"/models/{KEY}")[:2], {**signed(door, f"/models/{KEY}")[2], "X-Forwarded-For": "192.0.2.7"}
    )
    assert status == 200
    assert door.lines()[-1]["remote_address"] == "127.0.0.1"


def test_keys_are_also_given_where_files_are(door: ServedDoor) -> None:
    """s5cmd and older libraries ask for them at the same endpoint."""
    form = (
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=ab"
        f"&RoleArn=arn:aws:iam::000000000000:role/{STAGE}&WebIdentityToken={door.token()}"
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form))}
    status, _, text = raw(door, "POST", "/", headers, form.encode())
    assert (status, "<AccessKeyId>WGS" in text) == (200, True)


def test_no_log_holds_what_a_key_needs(door: ServedDoor, tmp_path: Path) -> None:
    """Neither a secret nor a signature, nor the door's own secret, in any log of proxy, store or web."""
    made = s3.key_of(door.world)
    request = s3.signed(made, "GET", f"/models/{KEY}", host=f"localhost:{door.port}", in_query=True)
    target = request.url.partition("://")[2].partition("/")[2]
    assert raw(door, "GET", f"/{target}")[0] == 200
    raw(door, "GET", f"/{target}x")
    secrets = [made.secret, target.partition("X-Amz-Signature=")[2], "X-Amz-Signature"]
    for path in door.logs():
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path


def test_a_rotation_of_the_secret_interrupts_nobody(
    sqlite_world: World, embedded_store: EmbeddedStore, tmp_path: Path
) -> None:
    """Old keys and new ones work at once, without a restart of web or proxy; after a leak no old one does."""
    path, use = tmp_path / "keys" / "s3.key", sqlite_world.use
    keys.write_secret(path)
    use.settings = use.settings.model_copy(update={"s3_key_file": path})
    with (
        s3_serving.serving(sqlite_world, embedded_store, tmp_path, s3_key_file=str(path)) as door,
        working(sqlite_world),
    ):
        old = signed(door, f"/models/{KEY}")
        s3_roots.rotate(path, use.clock(), use.clock() + timedelta(hours=1))
        assert raw(door, *old)[0] == 200
        assert raw(door, *signed(door, f"/models/{KEY}"))[0] == 200
        s3_roots.rotate(path, use.clock(), None)
        assert raw(door, *old)[0] == 404  # the proxy, too, shows what was made from the old one, until it is restarted


def test_without_the_web_nothing_is_read(door: ServedDoor) -> None:
    """Last, as it ends the server: S3's own word for it, and no byte."""
    ready = signed(door, f"/models/{KEY}")
    door.kill_web()
    before = len(door.lines())
    status, headers, text = raw(door, *ready)
    assert (status, headers["Content-Type"]) == (503, "application/xml")
    assert int(headers["Retry-After"]) > 0
    assert "<Code>ServiceUnavailable</Code>" in text
    assert len(door.lines()) == before
