"""S3 keys: only we make them, they say for what and until when, and nothing of them is stored."""

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.awsrequest import AWSRequest

from server.domain.identity import s3_keys
from server.domain.resources import Resources
from server.storage import keys, s3_roots
from server.storage.signed_requests import Request, Unsigned
from tests import s3
from tests.world import World

PUBLIC_ID = "abcDEF012345"


def test_a_key_says_for_what_it_is(sqlite_world: World) -> None:
    """The token, the stage and the end come out as they went in."""
    use = sqlite_world.use
    made = s3_keys.mint(use, PUBLIC_ID, 2**40)
    assert s3_keys.find(use, made.key.access_key_id) == made
    assert (made.key.token_public_id, made.key.stage_id) == (PUBLIC_ID, 2**40)
    assert made.key.expires_at - use.clock() <= timedelta(seconds=3600)
    assert made.secret not in repr(made)


def test_two_keys_made_at_once_differ(sqlite_world: World) -> None:
    """Or one entry would tell of what two programs fetched."""
    assert len({s3_keys.mint(sqlite_world.use, PUBLIC_ID, 1).key.access_key_id for _ in range(100)}) == 100


@pytest.mark.parametrize(("asked", "seconds"), [(None, 3600), (900, 900), (43200, 3600)])
def test_a_key_lives_no_longer_than_the_settings_allow(sqlite_world: World, asked: int | None, seconds: int) -> None:
    """A shorter life may be asked for."""
    made = s3_keys.mint(sqlite_world.use, PUBLIC_ID, 1, asked)
    left = made.key.expires_at - sqlite_world.clock()
    assert timedelta(seconds=seconds - 5) < left <= timedelta(seconds=seconds)


def test_no_byte_of_a_key_can_be_changed(sqlite_world: World) -> None:
    """Neither its end, its stage nor its token."""
    use = sqlite_world.use
    key_id = s3_keys.mint(use, PUBLIC_ID, 1).key.access_key_id
    raw = base64.b32decode(key_id.removeprefix("WGS"))
    for place in range(len(raw)):
        other = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert s3_keys.find(use, f"WGS{base64.b32encode(other).decode()}") is None
    for text in ("", "WGS", key_id.lower(), key_id[:-1], f"{key_id}A", f"AKIA{key_id[4:]}"):
        assert s3_keys.find(use, text) is None


def test_a_key_that_has_ended_signs_nothing(sqlite_world: World) -> None:
    """Also where what it signed says that it lives longer."""
    made = s3_keys.mint(sqlite_world.use, PUBLIC_ID, 1, 900)
    request = as_it_arrives(s3.signed(made, "GET", "/models", in_query=True))  # for an hour
    assert s3_keys.require_signed(sqlite_world.use, request)[0] == made.key
    sqlite_world.clock.advance(timedelta(seconds=901))
    with pytest.raises(Unsigned, match="expired") as refused:
        s3_keys.require_signed(sqlite_world.use, request)
    assert refused.value.code == "ExpiredToken"


@pytest.mark.parametrize("token", [None, s3_keys.SESSION_TOKEN])
def test_the_session_token_says_nothing(sqlite_world: World, token: str | None) -> None:
    """It may be left out, but not replaced."""
    made = s3_keys.mint(sqlite_world.use, PUBLIC_ID, 1)
    assert s3_keys.require_signed(sqlite_world.use, as_it_arrives(s3.signed(made, "GET", "/models", token=token)))
    with pytest.raises(Unsigned, match="session token"):
        s3_keys.require_signed(sqlite_world.use, as_it_arrives(s3.signed(made, "GET", "/models", token="another")))


def as_it_arrives(signed: AWSRequest) -> Request:
    target = "/" + signed.url.partition("://")[2].partition("/")[2]
    return Request(signed.method, target, {name.lower(): str(value) for name, value in signed.headers.items()})


def test_keys_live_to_their_end_through_a_rotation(sqlite_world: World, tmp_path: Path) -> None:
    """And no longer: what whoever stole the old secret dates later ends with it. A leak ends all at once."""
    use, path = sqlite_world.use, tmp_path / "keys" / "s3.key"
    keys.write_secret(path)
    use.settings = use.settings.model_copy(update={"s3_key_file": path})
    stolen = Resources(use.settings.model_copy(update={"s3_key_lifetime_seconds": 43200}), use.clock)
    old, forged, proxy = s3_keys.mint(use, PUBLIC_ID, 1), s3_keys.mint(stolen, PUBLIC_ID, 1), s3_keys.door_secret(use)
    at = use.clock()
    s3_roots.rotate(path, at, at + timedelta(seconds=3600))
    new = s3_keys.mint(use, PUBLIC_ID, 1)
    assert [s3_keys.find(use, made.key.access_key_id) for made in (old, forged, new)] == [old, forged, new]
    sqlite_world.clock.advance(timedelta(seconds=3601))
    assert [s3_keys.find(use, made.key.access_key_id) for made in (forged, new)] == [None, new]
    assert s3_keys.is_door(use, proxy)
    assert s3_keys.is_door(use, s3_keys.door_secret(use))
    s3_roots.rotate(path, use.clock(), None)
    assert s3_keys.find(use, new.key.access_key_id) is None
    assert not s3_keys.is_door(use, proxy)
