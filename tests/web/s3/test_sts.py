"""The credential doors: keys for a token, in the forms in which AWS libraries ask; refusals in theirs, too."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from server.domain.identity import s3_keys
from tests import s3
from tests.issuer import ACCOUNT, Issuer, exchanged, trusting
from tests.web import test_errors as given
from tests.world import World

STAGE = "mini-gpt/base"


@pytest.fixture
def door(sqlite_world: World) -> World:
    s3.open_door(sqlite_world)
    return sqlite_world


def assume(world: World, token: str = "cleared", stage: str = STAGE, more: dict[str, str | None] | None = None) -> Any:
    form: dict[str, str | None] = {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "a-session",
        "RoleArn": f"arn:aws:iam::000000000000:role/{stage}",
        "WebIdentityToken": world.example.tokens.get(token, token), **(more or {}),
    }  # fmt: skip
    return world.client.post("/sts", data={name: value for name, value in form.items() if value is not None})


def inside(answer: Any, name: str) -> str:
    return str(answer.text.partition(f"<{name}>")[2].partition(f"</{name}>")[0])


def test_a_token_is_exchanged_for_keys(door: World) -> None:
    """Of the stage that the role names; the token's newline is no part of it."""
    answer = assume(door, f"{door.example.tokens['cleared']}\n")
    assert answer.status_code == 200
    made = s3_keys.find(door.use, inside(answer, "AccessKeyId"))
    assert made is not None
    assert inside(answer, "SecretAccessKey") == made.secret
    assert inside(answer, "Arn") == f"arn:aws:sts::000000000000:assumed-role/{STAGE}/a-session"
    assert door.example.tokens["cleared"] not in answer.text
    assert door.records("download") == []


def test_a_container_gets_the_same(door: World) -> None:
    """As JSON, at an address of its stage; the session token is there, since some libraries fail without."""
    answer = door.api("GET", f"/credentials/{STAGE}")
    assert answer.status_code == 200
    made = s3_keys.find(door.use, answer.json["AccessKeyId"])
    assert made is not None
    assert answer.json["SecretAccessKey"] == made.secret
    assert answer.json["Token"] == s3_keys.SESSION_TOKEN
    assert answer.json["Expiration"].endswith("Z")
    assert answer.headers["Cache-Control"] == "no-store"


BAD: dict[str, tuple[dict[str, str | None], int, str]] = {
    "no action": ({"Action": None}, 400, "ValidationError"),
    "another action": ({"Action": "GetCallerIdentity"}, 400, "ValidationError"),
    "no role": ({"RoleArn": None}, 400, "ValidationError"),
    "a user": ({"RoleArn": "arn:aws:iam::000000000000:user/x/y"}, 400, "ValidationError"),
    "a deeper role": ({"RoleArn": "arn:aws:iam::000000000000:role/a/b/c"}, 400, "ValidationError"),
    "no session": ({"RoleSessionName": None}, 400, "ValidationError"),
    "a long session": ({"RoleSessionName": "s" * 65}, 400, "ValidationError"),
    "a session with a break": ({"RoleSessionName": "a\nb"}, 400, "ValidationError"),
    "too short": ({"DurationSeconds": "899"}, 400, "ValidationError"),
    "too long": ({"DurationSeconds": "43201"}, 400, "ValidationError"),
    "no number": ({"DurationSeconds": "1e3"}, 400, "ValidationError"),
    "no token": ({"WebIdentityToken": None}, 400, "InvalidIdentityToken"),
    "an empty token": ({"WebIdentityToken": " "}, 400, "InvalidIdentityToken"),
    "not a token": ({"WebIdentityToken": "eyJhbGciOiJub25lIn0.e30."}, 400, "InvalidIdentityToken"),
    "another stage": ({"RoleArn": "arn:aws:iam::000000000000:role/gpt-2/1558M"}, 403, "AccessDenied"),
    "no such stage": ({"RoleArn": "arn:aws:iam::000000000000:role/no/thing"}, 403, "AccessDenied"),
    "above": ({"RoleArn": "arn:aws:iam::000000000000:role/mini-gpt/large"}, 403, "AccessDenied"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_gets_sts_s_own_word(door: World, case: str) -> None:
    """With our sentence; no key."""
    more, status, code = BAD[case]
    answer = assume(door, more=more)
    assert (answer.status_code, inside(answer, "Code")) == (status, code)
    assert inside(answer, "Message").endswith(".") or "`" in inside(answer, "Message")
    assert inside(answer, "RequestId")
    assert "AccessKeyId" not in answer.text


def test_what_is_hidden_and_what_is_not_there_are_told_alike(door: World) -> None:
    """A planned stage is no stage to a partner."""
    hidden, missing = (assume(door, stage=stage) for stage in ("gpt-2/1558M", "gpt-2/none"))
    assert inside(hidden, "Message") == inside(missing, "Message")


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (given.hold(STAGE), "AccessDenied"),
        (given.suspend, "AccessDenied"),
        (given.revoke_the_token, "InvalidIdentityToken"),
    ],
)
def test_no_keys_are_given_after_an_end(door: World, act: Callable[[World], object], code: str) -> None:
    """At neither door."""
    act(door)
    assert inside(assume(door), "Code") == code
    assert door.api("GET", f"/credentials/{STAGE}").status_code in {401, 403, 451}


@pytest.mark.parametrize(
    ("closed", "statuses"),
    [
        ({"s3_door": "off"}, (403, 404)), ({"container_credentials": False}, (200, 404)),
        ({"web_identity_credentials": False}, (403, 200)),
    ],
)  # fmt: skip
def test_settings_close_each_door(door: World, closed: dict[str, Any], statuses: tuple[int, int]) -> None:
    """STS and the container's; without the S3 door there are no keys at all."""
    s3.open_door(door, **closed)
    assert (assume(door).status_code, door.api("GET", f"/credentials/{STAGE}").status_code) == statuses


def test_a_query_is_no_form(door: World) -> None:
    """Addresses are logged on the way; and nothing is got by GET."""
    token = door.example.tokens["cleared"]
    answer = door.client.post(f"/sts?WebIdentityToken={token}")
    assert (answer.status_code, inside(answer, "Code")) == (400, "ValidationError")
    assert "Do not put credentials in the URL" in answer.text
    assert door.client.get("/sts").status_code == 405


def _ends(world: World, text: str) -> float:
    """In how many seconds keys end."""
    return (datetime.fromisoformat(text) - world.clock()).total_seconds()


def test_a_machine_s_keys_last_an_hour_at_most(door: World, issuer: Issuer) -> None:
    """Whatever the settings give to people; shorter ones may be asked for, and its own name is told back."""
    trusting(door, issuer)
    door.use.settings = door.use.settings.model_copy(update={"s3_key_lifetime_seconds": 43200})
    text = issuer.token(exp=int(door.clock().timestamp()) + 20 * 3600)
    answer = assume(door, text)
    assert answer.status_code == 200, answer.text
    assert inside(answer, "SubjectFromWebIdentityToken") == ACCOUNT
    assert 3500 < _ends(door, inside(answer, "Expiration")) <= 3600
    for seconds, most in (("900", 900), ("43200", 3600)):
        answer = assume(door, text, more={"DurationSeconds": seconds})
        assert most - 100 < _ends(door, inside(answer, "Expiration")) <= most
    assert _ends(door, inside(assume(door), "Expiration")) > 43000


def test_keys_end_with_their_token(door: World, issuer: Issuer) -> None:
    """So that tools ask for new ones in time: a machine's token of 15 minutes, at the container's door."""
    trusting(door, issuer)
    answer = door.api("GET", f"/credentials/{STAGE}", exchanged(door, issuer.token()).text)
    assert 800 < _ends(door, answer.json["Expiration"]) <= 900


def test_the_account_names_a_trust_record(door: World, issuer: Issuer) -> None:
    """Where several match; of one's own tokens it says nothing."""
    first, second = trusting(door, issuer), trusting(door, issuer)
    text = issuer.token()
    role = f"arn:aws:iam::{{:012d}}:role/{STAGE}"
    answer = assume(door, text)
    assert (inside(answer, "Code"), "Several trust records" in answer.text) == ("ValidationError", True)
    assert assume(door, text, more={"RoleArn": role.format(second)}).status_code == 200
    assert door.records("token.exchange")[-1]["trust_record"] == second
    assert inside(assume(door, text, more={"RoleArn": role.format(first)}), "Code") == "AccessDenied"
    assert assume(door, more={"RoleArn": role.format(77)}).status_code == 200
