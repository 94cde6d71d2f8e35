"""Issuers' keys: fetched when they are needed, kept for an hour, asked for again at most once a minute."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.storage import issuer_keys
from server.storage.issuer_keys import IssuerKeys, IssuerKeysUnavailable
from server.workload_issuers import WorkloadIssuer
from tests.issuer import KEYS, WELL_KNOWN, Issuer, say


class Seconds:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def known(issuer: Issuer, clock: Seconds) -> IssuerKeys:
    return IssuerKeys([issuer.setting], clock)


def test_keys_are_fetched_once(issuer: Issuer, known: IssuerKeys, clock: Seconds) -> None:
    """For an hour; then they may have been taken back."""
    (key_id,) = issuer.keys
    assert issuer.url in known
    assert "https://other.example.org" not in known
    for _ in range(3):
        found = known.find(issuer.url, key_id)
        assert found is not None
        assert found["kid"] == key_id
    assert issuer.asked == [WELL_KNOWN, KEYS]
    clock.now += issuer_keys.KEPT_SECONDS
    issuer.keys.clear()
    assert known.find(issuer.url, key_id) is None
    assert len(issuer.asked) == 4


def test_a_new_key_is_found_within_a_minute(issuer: Issuer, known: IssuerKeys, clock: Seconds) -> None:
    """Unknown IDs do not make us ask more often than that."""
    (first,) = issuer.keys
    known.find(issuer.url, first)
    second = issuer.add_key("ES256")
    for _ in range(5):
        assert known.find(issuer.url, second) is None
    assert len(issuer.asked) == 2
    clock.now += issuer_keys.ASKED_AGAIN_AFTER_SECONDS
    assert known.find(issuer.url, second) is not None
    assert len(issuer.asked) == 4
    assert known.find(issuer.url, first) is not None


def test_an_issuer_that_failed_is_tried_again(issuer: Issuer, known: IssuerKeys, clock: Seconds) -> None:
    """After ten seconds and not before; keys that are at hand still count meanwhile."""
    (key_id,) = issuer.keys
    issuer.answers[KEYS] = lambda handler: say(handler, {}, 500)
    for _ in range(3):
        with pytest.raises(IssuerKeysUnavailable, match="HTTP 500"):
            known.find(issuer.url, key_id)
    assert len(issuer.asked) == 2
    del issuer.answers[KEYS]
    clock.now += issuer_keys.TRIED_AGAIN_AFTER_SECONDS
    assert known.find(issuer.url, key_id) is not None
    issuer.answers[WELL_KNOWN] = lambda handler: say(handler, {}, 500)
    clock.now += issuer_keys.ASKED_AGAIN_AFTER_SECONDS
    with pytest.raises(IssuerKeysUnavailable):
        known.find(issuer.url, "new")
    assert known.find(issuer.url, key_id) is not None
    clock.now += issuer_keys.KEPT_SECONDS
    with pytest.raises(IssuerKeysUnavailable):
        known.find(issuer.url, key_id)


def test_keys_may_lie_in_a_file(issuer: Issuer, tmp_path: Path) -> None:
    """Then nobody is asked; a file that is not there, or too large, is as an issuer that is away."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(issuer.jwks()))
    known = IssuerKeys([WorkloadIssuer(url=issuer.url, jwks_file=path)])
    assert known.find(issuer.url, next(iter(issuer.keys))) is not None
    assert issuer.asked == []
    for content in (b"x" * (issuer_keys.BYTES_AT_MOST + 1), b"[]", None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(IssuerKeysUnavailable):
            IssuerKeys([WorkloadIssuer(url=issuer.url, jwks_file=path)]).find(issuer.url, "x")


@pytest.mark.parametrize(
    "where",
    [
        "http://localhost:1/keys", "http://example.org/keys", "file:///etc/passwd", "https://user@localhost/keys", 7,
        None, "https://", "//localhost/keys", "https://[::1/keys", "https://localhost/ke ys", "https://localhost:x/",
    ],
)  # fmt: skip
def test_keys_are_fetched_over_https_alone(issuer: Issuer, known: IssuerKeys, where: Any) -> None:
    """Whatever the issuer's configuration says."""
    issuer.answers[WELL_KNOWN] = lambda handler: say(handler, {"issuer": issuer.url, "jwks_uri": where})
    with pytest.raises(IssuerKeysUnavailable, match="no https address"):
        known.find(issuer.url, "x")
    assert issuer.asked == [WELL_KNOWN]


def test_keys_that_cannot_sign_are_none(issuer: Issuer, known: IssuerKeys) -> None:
    """Shared secrets, keys for encryption, keys without an ID; of two with one ID the first counts."""
    (key,) = issuer.jwks()["keys"]
    listed = [
        {"kty": "oct", "k": "AAAA", "kid": "secret"}, {**key, "use": "enc", "kid": "enc"}, {**key, "kid": None}, 7,
        {**key, "kid": "twice", "alg": "RS256"}, {**key, "kid": "twice", "alg": "PS256"},
    ]  # fmt: skip
    issuer.answers[KEYS] = lambda handler: say(handler, {"keys": listed})
    found = known.find(issuer.url, "twice")
    assert found is not None
    assert found["alg"] == "RS256"
    assert [known.find(issuer.url, name) for name in ("secret", "enc")] == [None, None]


def test_too_many_keys_are_refused(issuer: Issuer, known: IssuerKeys) -> None:
    """An issuer has a few."""
    (key,) = issuer.jwks()["keys"]
    listed = [{**key, "kid": str(number)} for number in range(issuer_keys.KEYS_AT_MOST + 1)]
    issuer.answers[KEYS] = lambda handler: say(handler, {"keys": listed})
    with pytest.raises(IssuerKeysUnavailable, match="at most 100"):
        known.find(issuer.url, "1")
