"""Identity tokens: only what a trusted issuer signed, now, with one of our algorithms; all else is one refusal."""

import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from server.domain.errors import IdentityTokenExpired, IdentityTokenRefused, IssuerUnavailable
from server.domain.identity import identity_tokens
from server.domain.identity.identity_tokens import ALGORITHMS
from tests.issuer import ACCOUNT, AUDIENCE, Issuer, encoded, running, trust
from tests.world import World

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_an_issuer_signed_is_believed(sqlite_world: World, issuer: Issuer, algorithm: str) -> None:
    """With each algorithm; claims are found by their names and by their paths."""
    trust(sqlite_world, issuer)
    issuer.add_key(algorithm)
    found = identity_tokens.verify(sqlite_world.use, issuer.token())
    assert (found.issuer, found.subject, found.audiences) == (issuer.url, ACCOUNT, frozenset({AUDIENCE}))
    assert found.has("kubernetes.io/serviceaccount/name", "loader")
    assert not found.has("kubernetes.io/serviceaccount", "loader")
    assert not found.has("kubernetes.io/serviceaccount/name/x", "loader")


def _unsigned(issuer: Issuer) -> str:
    key_id = next(iter(issuer.keys))
    return f"{encoded({'alg': 'none', 'kid': key_id})}.{encoded(issuer.claims())}."


def _by_the_public_key(issuer: Issuer) -> str:
    """RFC 8725, section 2.1: the public key taken for a secret."""
    key_id, (_, key) = next(iter(issuer.keys.items()))
    secret = key.as_pem(private=False)  # type: ignore[union-attr]
    signed = f"{encoded({'alg': 'HS256', 'kid': key_id})}.{encoded(issuer.claims())}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _damaged(issuer: Issuer) -> str:
    head, body, signature = issuer.token().split(".")
    other = "A" if signature[10] != "A" else "B"
    return f"{head}.{body}.{signature[:10]}{other}{signature[11:]}"


def _other_content(issuer: Issuer) -> str:
    head, _, signature = issuer.token().split(".")
    return f"{head}.{encoded(issuer.claims(sub='someone'))}.{signature}"


def _text(change: Callable[[str], str]) -> Callable[[Issuer], str]:
    return lambda issuer: issuer.sign(change(json.dumps(issuer.claims())).encode())


def _claims(**more: Any) -> Callable[[Issuer], str]:
    return lambda issuer: issuer.token(**more)


NOT_VALID: dict[str, Callable[[Issuer], str]] = {
    "nothing": lambda _: "",
    "one of ours": lambda _: "wgk_0123456789AB_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0sCll8",
    "two parts": lambda issuer: issuer.token().rpartition(".")[0],
    "five parts, as encrypted ones have": lambda issuer: issuer.token() + ".x.y",
    "other letters": lambda issuer: issuer.token() + "=",
    "100 KB": lambda issuer: issuer.token(padding="x" * 100_000),
    "no algorithm": _unsigned,
    "an algorithm for secrets, by the public key": _by_the_public_key,
    "a damaged signature": _damaged,
    "another's content": _other_content,
    "a header that is no object": lambda issuer: f"{encoded([])}.{encoded(issuer.claims())}.AAAA",
    "a header that is not JSON": lambda issuer: f"{encoded(b'{')}.{encoded(issuer.claims())}.AAAA",
    "an unknown key": lambda issuer: issuer.sign(issuer.claims(), next(iter(issuer.keys)), kid="unknown"),
    "no key ID": lambda issuer: issuer.sign(issuer.claims(), next(iter(issuer.keys)), kid=""),
    "another type": lambda issuer: issuer.sign(issuer.claims(), typ="logout+jwt"),
    "content that is no object": lambda issuer: issuer.sign(b"[]"),
    "content that is no JSON": lambda issuer: issuer.sign(b"\xff\xfe"),
    "the same key twice": _text(lambda text: text[:-1] + ', "sub": "someone"}'),
    "the same key twice, deep inside": _text(lambda text: text.replace('"namespace"', '"name": "a", "name"')),
    "NaN": _text(lambda text: text[:-1] + ', "x": NaN}'),
    "a number without end": _text(lambda text: text[:-1] + ', "x": ' + "9" * 5000 + "}"),
    "nested without end": _text(lambda text: text[:-1] + ', "x": ' + "[" * 4000 + "]" * 4000 + "}"),
    "another issuer": _claims(iss="https://other.example.org"),
    "an issuer of another type": _claims(iss=["x"]),
    "no issuer": _claims(iss=None),
    "a subject of another type": _claims(sub=7),
    "an empty subject": _claims(sub=""),
    "no subject": _claims(sub=None),
    "a long subject": _claims(sub="s" * 256),
    "half a character": _text(lambda text: text.replace(ACCOUNT, "\\ud800")),
    "no audience": _claims(aud=None),
    "audiences of another type": _claims(aud=[7]),
    "an object of audiences": _claims(aud={"a": "b"}),
    "no end": _claims(exp=None),
    "an end as text": _claims(exp="2099-01-01"),
    "an end that is true": _claims(exp=True),
    "an end beyond all time": _claims(exp=10**400),
    "no beginning": _claims(iat=None),
    "a beginning as text": _claims(iat="1"),
    "an ID of another type": _claims(jti=["x"]),
    "an empty ID": _claims(jti=""),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_VALID)
def test_everything_else_is_one_refusal(sqlite_world: World, issuer: Issuer, case: str) -> None:
    """The same sentence for each: nobody learns which issuers there are, or how far they came."""
    trust(sqlite_world, issuer)
    with pytest.raises(IdentityTokenRefused) as refused:
        identity_tokens.verify(sqlite_world.use, NOT_VALID[case](issuer))
    assert (type(refused.value), refused.value.detail) == (IdentityTokenRefused, identity_tokens._NOT_VALID)


def test_another_issuer_with_the_same_key_is_another(sqlite_world: World, issuer: Issuer, tmp_path: Any) -> None:
    """Its tokens are its own, and one that is not listed is nobody."""
    with running(tmp_path / "second") as second:
        second.keys = issuer.keys
        trust(sqlite_world, issuer)
        with pytest.raises(IdentityTokenRefused):
            identity_tokens.verify(sqlite_world.use, second.token())
        trust(sqlite_world, issuer, second)
        assert identity_tokens.verify(sqlite_world.use, second.token()).issuer == second.url
        second.keys = {}
        second.add_key()
        trust(sqlite_world, issuer, second)
        with pytest.raises(IdentityTokenRefused):
            identity_tokens.verify(sqlite_world.use, issuer.sign(issuer.claims(iss=second.url)))


TIMES: dict[str, tuple[dict[str, int], str]] = {  # seconds from now
    "just expired": ({"exp": -59, "iat": -600}, ""),
    "expired": ({"exp": -61, "iat": -600}, "has expired"),
    "valid in a minute": ({"nbf": 55}, ""),
    "not valid yet": ({"nbf": 90}, "not valid yet"),
    "issued in the future": ({"iat": 90, "exp": 900}, "not valid yet"),
    "a long life": ({"iat": -10, "exp": 86_390}, ""),
    "too long a life": ({"iat": -10, "exp": 86_391}, "more than 24 hours"),
    "ends before it begins": ({"iat": 50, "exp": 40}, "more than 24 hours"),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_hold_with_a_minute_of_leeway(sqlite_world: World, issuer: Issuer, case: str) -> None:
    """And what does not is told, since its issuer vouches for the rest."""
    moments, sentence = TIMES[case]
    trust(sqlite_world, issuer)
    now = int(sqlite_world.clock().timestamp())
    text = issuer.token(**{"nbf": None} | {name: now + seconds for name, seconds in moments.items()})
    if not sentence:
        identity_tokens.verify(sqlite_world.use, text)
        return
    with pytest.raises(IdentityTokenRefused, match=sentence) as refused:
        identity_tokens.verify(sqlite_world.use, text)
    assert isinstance(refused.value, IdentityTokenExpired) == ("expired" in sentence)


def test_a_key_fits_its_algorithm(sqlite_world: World, issuer: Issuer) -> None:
    """One that is published for another algorithm, or is too short, signs nothing."""
    key_id = next(iter(issuer.keys))
    for change in ({"alg": "PS256"}, {"n": "AQAB"}, {"kty": "EC"}, {"use": "enc"}, {"crv": "P-256"}):
        published = {"keys": [{**issuer.jwks()["keys"][0], **change}]}
        issuer.jwks = lambda published=published: published  # type: ignore[method-assign, misc]
        trust(sqlite_world, issuer)
        with pytest.raises(IdentityTokenRefused):
            identity_tokens.verify(sqlite_world.use, issuer.sign(issuer.claims(), key_id))
        del issuer.jwks


def test_a_signature_in_another_spelling_is_the_same_token(sqlite_world: World, issuer: Issuer) -> None:
    """One of ECDSA can be negated by anybody; without an ID, the token is still known again."""
    trust(sqlite_world, issuer)
    issuer.add_key("ES256")
    text = issuer.token(jti=None)
    signed, _, signature = text.rpartition(".")
    raw = urlsafe_b64decode(signature.encode())
    negated = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    again = f"{signed}.{urlsafe_b64encode(negated).decode()}"
    assert again != text
    found = [identity_tokens.verify(sqlite_world.use, each).sha256 for each in (text, again)]
    assert found[0] == found[1]


def test_an_issuer_that_is_away_is_said_to_be(sqlite_world: World, issuer: Issuer) -> None:
    """Nothing of it is believed meanwhile."""
    trust(sqlite_world, issuer)
    text = issuer.token()
    issuer.answers["/.well-known/openid-configuration"] = lambda handler: handler.send_error(500)
    with pytest.raises(IssuerUnavailable) as refused:
        identity_tokens.verify(sqlite_world.use, text)
    assert refused.value.retry_after_seconds > 0
