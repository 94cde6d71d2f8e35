"""The S3 door: bad requests in S3's own words, hand-written; what is said of files; nobody gets past the proxy."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from server.domain.identity import tokens
from server.domain.release import holds
from server.storage.database import DatabaseUnavailable
from tests import s3
from tests.web import test_errors as given
from tests.world import World

STAGE = "mini-gpt/base"
FILE = f"/models/{STAGE}/config.json"


@pytest.fixture
def door(sqlite_world: World) -> World:
    s3.open_door(sqlite_world)
    return sqlite_world


def test_a_file_is_handed_to_the_proxy_with_what_it_shall_say(door: World) -> None:
    """Where the store has it, its ETag and date, and which of its bytes; the entry is there before."""
    answer = s3.get(door, s3.key_of(door), FILE, range="bytes=2-5")
    (record,) = door.records("download")
    (file,) = record["files"]
    assert answer.status_code == 200
    assert answer.headers["X-Accel-Redirect"].startswith(
        f"/weightgate-store/weights/{file['object_key']}?x-download-id="
    )
    assert record["download"] in answer.headers["X-Accel-Redirect"]
    assert answer.headers["X-Door-ETag"] == f'"{file["sha256"]}"'
    assert answer.headers["X-Door-Range"] == "bytes=2-5"
    assert answer.data == b""


@pytest.mark.parametrize(
    ("asked", "status", "given", "length"),
    [
        ("", 200, None, 488), ("bytes=0-0", 206, "bytes 0-0/488", 1), ("bytes=480-", 206, "bytes 480-487/488", 8),
        ("bytes=-8", 206, "bytes 480-487/488", 8), ("bytes=-1000", 206, "bytes 0-487/488", 488),
        ("bytes=0-100000", 206, "bytes 0-487/488", 488), ("bytes=488-", 416, None, None), ("bytes=-0", 416, None, None),
        ("bytes=900-1000", 416, None, None), ("bytes=5-2", 200, None, 488), ("bytes=-", 200, None, 488),
        ("bytes=0-1,4-5", 200, None, 488), ("lines=1-2", 200, None, 488), ("bytes=a-b", 200, None, 488),
    ],
)  # fmt: skip
def test_a_range_is_what_rfc_9110_says(door: World, asked: str, status: int, given: str | None, length: int) -> None:
    """In what is said of a file and in what the proxy is told; what is no range of one part is none."""
    key, headers = s3.key_of(door), {"range": asked} if asked else {}
    said = s3.get(door, key, FILE, "HEAD", **headers)
    assert (said.status_code, said.headers.get("Content-Range")) == (status, given)
    got = s3.get(door, key, FILE, **headers)
    assert got.status_code == (416 if status == 416 else 200)
    if status == 416:
        assert s3.code_of(got) == "InvalidRange"
        assert door.records("download") == []
    else:
        assert said.headers["Content-Length"] == str(length)
        told = got.headers["X-Door-Range"].replace("=", " ")
        assert told == ("" if given is None else given.partition("/")[0])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_match": "<etag>"}, 200), ({"if_match": '"other"'}, 412), ({"if_match": "*"}, 200),
        ({"if_none_match": "<etag>"}, 304), ({"if_none_match": '"other"'}, 200), ({"if_none_match": "*"}, 304),
        ({"if_modified_since": "<at>"}, 304), ({"if_modified_since": "Mon, 01 Jan 2024 00:00:00 GMT"}, 200),
        ({"if_unmodified_since": "<at>"}, 200), ({"if_unmodified_since": "Mon, 01 Jan 2024 00:00:00 GMT"}, 412),
        ({"if_modified_since": "soon"}, 200),
    ],
)  # fmt: skip
def test_conditions_are_decided_before_anything_is_logged(door: World, headers: dict[str, str], status: int) -> None:
    """A file that the client has, or no longer wants, is not issued."""
    key = s3.key_of(door)
    known = s3.get(door, key, FILE, "HEAD").headers
    filled = {"<etag>": known["ETag"], "<at>": known["Last-Modified"]}
    answer = s3.get(door, key, FILE, **{name: filled.get(value, value) for name, value in headers.items()})
    assert answer.status_code == status
    assert len(door.records("download")) == (status == 200)


@pytest.mark.parametrize(("etag", "told"), [("<etag>", "bytes=0-1"), ('"other"', "")])
def test_the_rest_of_another_file_is_all_of_this_one(door: World, etag: str, told: str) -> None:
    """If-Range: a client goes on only where it is the same file."""
    key = s3.key_of(door)
    etag = s3.get(door, key, FILE, "HEAD").headers["ETag"] if etag == "<etag>" else etag
    assert s3.get(door, key, FILE, range="bytes=0-1", if_range=etag).headers["X-Door-Range"] == told


BAD: list[tuple[str, str, int, str]] = [
    ("GET", "/other", 404, "NoSuchBucket"),
    ("GET", f"/other/{STAGE}/config.json", 404, "NoSuchBucket"),
    ("GET", f"//{STAGE}/config.json", 404, "NoSuchBucket"),
    ("GET", f"/models//{STAGE}/config.json", 403, "AccessDenied"),
    ("GET", "/models/gpt-2/774M/vocab.bpe", 403, "AccessDenied"),
    ("GET", "/models/gpt-2/1558M/vocab.bpe", 403, "AccessDenied"),
    ("GET", "/models/no/thing/there", 403, "AccessDenied"),
    ("GET", f"/models/models/{STAGE}/config.json", 403, "AccessDenied"),
    ("GET", f"/models/{STAGE}", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/none", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/CONFIG.JSON", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/../base/config.json", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/x/../config.json", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/%2e%2e/config.json", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/config.json%00", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}/config.json/", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}@main/config.json", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}@/config.json", 404, "NoSuchKey"),
    ("GET", f"/models/{STAGE}@{'0' * 40}/config.json", 404, "NoSuchKey"),
    ("GET", f"/models/{'k' * 1025}", 400, "KeyTooLongError"),
    ("GET", f"/models/{'%C3%A9' * 513}", 400, "KeyTooLongError"),
    ("GET", f"/models/{'k' * 1024}", 404, "NoSuchKey"),
    ("GET", f"{FILE}?acl", 501, "NotImplemented"),
    ("GET", f"{FILE}?versionId=1", 501, "NotImplemented"),
    ("GET", f"{FILE}?response-content-type=text%2Fhtml", 501, "NotImplemented"),
    ("GET", f"{FILE}?partNumber=2", 416, "InvalidRange"),
    ("GET", "/models?policy", 501, "NotImplemented"),
    ("GET", "/models?uploads", 501, "NotImplemented"),
    ("GET", "/models?versions", 501, "NotImplemented"),
    ("GET", "/models?list-type=3", 400, "InvalidArgument"),
    ("GET", "/models?max-keys=-1", 400, "InvalidArgument"),
    ("GET", "/models?max-keys=many", 400, "InvalidArgument"),
    ("GET", "/models?encoding-type=base64", 400, "InvalidArgument"),
    ("GET", "/models?list-type=2&continuation-token=%21", 400, "InvalidArgument"),
    ("GET", "/models?list-type=2&prefix=gpt-2%2F774M%2F", 403, "AccessDenied"),
    ("GET", "/models?list-type=2&prefix=no%2Fthing%2F", 403, "AccessDenied"),
]


@pytest.mark.parametrize(("method", "target", "status", "code"), BAD)
def test_a_bad_request_gets_s3_s_own_word(door: World, method: str, target: str, status: int, code: str) -> None:
    """With our sentence and the request's id; nothing is issued, and of other stages nothing is told."""
    answer = s3.get(door, s3.key_of(door), target, method)
    assert (answer.status_code, s3.code_of(answer)) == (status, code)
    assert re.search(r"<Message>.+\.( .+)?</Message><RequestId>[0-9a-f]{16}</RequestId>", answer.text)
    assert answer.headers["x-amz-request-id"] in answer.text
    assert answer.content_type == "application/xml"
    assert door.records("download") == []


def test_an_encoded_slash_is_a_slash(door: World) -> None:
    """As it is to S3: keys have no structure that an encoding could hide."""
    for target in (f"/models/{STAGE.replace('/', '%2F')}%2Fconfig.json", FILE):
        assert s3.get(door, s3.key_of(door), target).status_code == 200


Case = tuple[Callable[[World], object], int, str, str]
REFUSED: dict[str, Case] = {
    "held": (given.hold(STAGE), 403, "AccessDenied", "This stage is on hold: nobody can download it for now."),
    "everything held": (given.hold("everything"), 403, "AccessDenied", "This stage is on hold"),
    "suspended": (given.suspend, 403, "AccessDenied", "Your organization is suspended."),
    "revoked": (given.revoke_the_token, 403, "AccessDenied", "The token was revoked."),
    "ended": (given.let_the_clearance_end, 400, "ExpiredToken", "These keys have expired."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_our_sentence_and_the_next_step(door: World, case: str) -> None:
    """Whatever ended since the key was made, the next GetObject and the next list are refused."""
    act, status, code, begins = REFUSED[case]
    key = s3.key_of(door)
    assert s3.get(door, key, FILE).status_code == 200
    act(door)
    in_query = case == "ended"  # whose clock has moved
    for target in (FILE, "/models?list-type=2"):
        answer = s3.ask(door, s3.signed(key, "GET", target, in_query=in_query))
        if case == "ended":
            assert answer.status_code in {400, 403}
            continue
        assert (answer.status_code, s3.code_of(answer)) == (status, code)
        assert f"<Message>{begins}" in answer.text
    assert len(door.records("download")) == 1


def test_a_database_that_is_away_is_told_in_s3_s_way(door: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that tools try again; and nothing is handed to the proxy."""
    key = s3.key_of(door)

    def gone(*_: Any, **__: Any) -> Any:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(door.use.database, "together", gone)
    answer = s3.get(door, key, FILE)
    assert (answer.status_code, s3.code_of(answer)) == (503, "ServiceUnavailable")
    assert "X-Accel-Redirect" not in answer.headers


@pytest.mark.parametrize("secret", [None, "", "0" * 64])
def test_only_the_proxy_is_answered(door: World, secret: str | None) -> None:
    """Or a client could take the store's URL for itself."""
    request = s3.signed(s3.key_of(door), "GET", FILE)
    headers = {name: str(value) for name, value in request.headers.items()}
    if secret is not None:
        headers["X-Weightgate-Door"] = secret
    answer = door.client.get(f"/s3-door{FILE}", headers=headers)
    assert answer.status_code == 404
    assert door.records("download") == []


def test_a_closed_door_answers_nobody(door: World) -> None:
    """Not the proxy either, nor with keys from before."""
    key = s3.key_of(door)
    s3.open_door(door, s3_door="off")
    assert s3.get(door, key, FILE).status_code == 404


def test_the_bucket_may_stand_in_the_host(door: World) -> None:
    """Virtual-host style; then the path is the key, also where it begins with the bucket's name."""
    key, host = s3.key_of(door), f"models.{s3.HOST}"
    assert s3.ask(door, s3.signed(key, "GET", f"/{STAGE}/config.json", host=host)).status_code == 200
    mixed = s3.ask(door, s3.signed(key, "GET", FILE, host=host))
    assert (mixed.status_code, s3.code_of(mixed)) == (403, "AccessDenied")


def test_a_presigned_url_works_until_its_key_ends(door: World) -> None:
    """Whoever passes it on passes on what the key may fetch, and no more."""
    key = s3.key_of(door, seconds=900)
    request = s3.signed(key, "GET", FILE, in_query=True)
    assert s3.ask(door, request).status_code == 200
    door.clock.advance(timedelta(seconds=901))
    assert s3.code_of(s3.ask(door, request)) == "ExpiredToken"


def test_what_is_asked_of_the_bucket_itself(door: World) -> None:
    """ListBuckets, HeadBucket, GetBucketLocation."""
    key = s3.key_of(door)
    assert "<Bucket><Name>models</Name>" in s3.get(door, key, "/").text
    assert s3.get(door, key, "/models", "HEAD").headers["x-amz-bucket-region"] == "us-east-1"
    assert s3.get(door, key, "/models/?location").text.endswith(
        '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>'
    )


def test_a_probe_is_no_refusal(door: World) -> None:
    """Tools look for optional files; what was kept from somebody is noted."""
    key = s3.key_of(door)
    s3.get(door, key, f"/models/{STAGE}/none")
    assert door.refusals() == []
    holds.place(door.use, door.admin, STAGE, "A pause.")
    s3.get(door, key, FILE)
    assert [(refusal.code, refusal.stage) for refusal in door.refusals()] == [("stage_held", STAGE)]


def test_a_taken_over_token_s_keys_are_its_new_owner_s(door: World) -> None:
    """The key says which token, and the token says who."""
    key = s3.key_of(door)
    door.add_person("aurora-institute", "second@aurora-institute.example", role=door.person("cleared").role)  # type: ignore[arg-type]
    tokens.take_over(door.use, door.person_of("second@aurora-institute.example"), key.key.token_public_id)
    assert s3.get(door, key, FILE).status_code == 200
    assert door.records("download")[-1]["actor"]["person"] == "second@aurora-institute.example"
