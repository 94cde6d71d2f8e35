"""Token exchange by HTTP: forms and errors as RFC 8693 and RFC 6749 have them; bad identity tokens at both doors."""

import time
from typing import Any

import pytest

from server.storage import issuer_keys
from tests import s3
from tests.domain.identity.test_identity_tokens import NOT_VALID
from tests.issuer import ACCOUNT, KEYS, WELL_KNOWN, Answer, Issuer, say, trusting
from tests.web.s3.test_sts import assume, inside
from tests.world import World

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"


def ask(world: World, text: str, **more: str | None) -> tuple[int, dict[str, Any]]:
    form = {"grant_type": GRANT, "subject_token": text, "subject_token_type": f"{TYPE}jwt", **more}
    sent = {name: value for name, value in form.items() if value is not None}
    answer = world.api("POST", "/device-logins/token", None, data=sent)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json", answer.text
    return answer.status_code, answer.json


@pytest.mark.parametrize("kind", ["jwt", "id_token"])
def test_a_machine_gets_a_token_that_works(world: World, issuer: Issuer, kind: str) -> None:
    """In the form of section 2.2.1; it downloads as its organization does."""
    number = trusting(world, issuer)
    status, made = ask(world, issuer.token(), subject_token_type=f"{TYPE}{kind}", scope="downloads:create")
    assert status == 200
    token = made.pop("access_token")
    assert made == {
        "issued_token_type": f"{TYPE}access_token", "token_type": "Bearer", "expires_in": 900,
        "scope": "downloads:create",
    }  # fmt: skip
    done = world.api("POST", "/downloads", token, json={"stage": "mini-gpt/base", "paths": ["config.json"]})
    assert done.status_code == 201
    machine = world.records("download")[-1]["actor"]["workload"]
    assert (machine["trust_record"], machine["subject"]) == (number, ACCOUNT)
    me = world.api("GET", "/me", ask(world, issuer.token())[1]["access_token"]).json
    assert me["organization"] == "aurora-institute"


BAD_FORMS: dict[str, tuple[dict[str, str | None], str]] = {
    "no token": ({"subject_token": None}, "invalid_request"),
    "no type": ({"subject_token_type": None}, "invalid_request"),
    "another type": ({"subject_token_type": f"{TYPE}saml2"}, "invalid_request"),
    "for another type": ({"requested_token_type": f"{TYPE}refresh_token"}, "invalid_request"),
    "an unknown scope": ({"scope": "everything"}, "invalid_scope"),
    "a scope that it lacks": ({"scope": "log:read"}, "invalid_request"),
    "no scope": ({"scope": ""}, "invalid_request"),
    "an audience that is no name": ({"audience": "https://weights.example.org"}, "invalid_target"),
    "another organization": ({"audience": "birch-university"}, "invalid_grant"),
    "no organization": ({"audience": "nobody/7"}, "invalid_grant"),
}


@pytest.mark.parametrize("case", BAD_FORMS)
def test_a_bad_form_gets_oauth_s_own_word(sqlite_world: World, issuer: Issuer, case: str) -> None:
    """With our sentence, and no token."""
    more, code = BAD_FORMS[case]
    trusting(sqlite_world, issuer)
    status, said = ask(sqlite_world, issuer.token(), **more)
    assert (status, said["error"], sorted(said)) == (400, code, ["error", "error_description"])
    assert said["error_description"].endswith(".")
    assert sqlite_world.records("token.exchange") == []


def at_both_doors(world: World, text: str) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """What each says of an identity token: status, code, sentence."""
    status, said = ask(world, text)
    answer = assume(world, text)
    assert "AccessKeyId" not in answer.text
    return (
        (status, said["error"], said["error_description"]),
        (answer.status_code, inside(answer, "Code"), inside(answer, "Message")),
    )


@pytest.mark.parametrize("case", NOT_VALID)
def test_a_bad_identity_token_is_refused_at_both_doors(sqlite_world: World, issuer: Issuer, case: str) -> None:
    """In each one's own words."""
    s3.open_door(sqlite_world)
    trusting(sqlite_world, issuer)
    text = NOT_VALID[case](issuer)
    exchange, sts = at_both_doors(sqlite_world, text or "x.y")
    assert exchange[:2] == (400, "invalid_grant")
    assert sts[:2] == (400, "InvalidIdentityToken")
    assert text not in exchange[2] + sts[2] or not text
    assert sqlite_world.records("token.exchange") == []


def test_times_and_trust_are_told_at_both_doors(sqlite_world: World, issuer: Issuer) -> None:
    """Expired is a word of its own at STS, which tells libraries to read the file again."""
    world = sqlite_world
    s3.open_door(world)
    trusting(world, issuer)
    now = int(world.clock().timestamp())
    for claims, code, sentence in (
        ({"exp": now - 100, "iat": now - 200}, "ExpiredTokenException", "has expired"),
        ({"nbf": now + 300}, "InvalidIdentityToken", "not valid yet"),
        ({"iat": now + 300, "exp": now + 600}, "InvalidIdentityToken", "not valid yet"),
        ({"exp": now + 2 * 86_400}, "InvalidIdentityToken", "more than 24 hours"),
        ({"aud": "sts.amazonaws.com"}, "AccessDenied", "No trust record matches"),
        ({"sub": "system:serviceaccount:research:other"}, "AccessDenied", "No trust record matches"),
    ):  # fmt: skip
        exchange, sts = at_both_doors(world, issuer.token(**claims))
        assert exchange[:2] == (400, "invalid_grant")
        assert sts[1] == code
        assert sentence in exchange[2]
        assert sentence in sts[2]


def test_a_token_that_was_used_is_refused(sqlite_world: World, issuer: Issuer) -> None:
    """At the door where it was used, and at the other."""
    world = sqlite_world
    s3.open_door(world)
    trusting(world, issuer)
    text = issuer.token()
    assert ask(world, text)[0] == 200
    exchange, sts = at_both_doors(world, text)
    assert (exchange[1], sts[1]) == ("invalid_grant", "InvalidIdentityToken")
    text = issuer.token()
    assert [assume(world, text).status_code for _ in range(2)] == [200, 200]
    assert ask(world, text)[1]["error"] == "invalid_grant"


def _html(handler: Any) -> None:
    say(handler, b"<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"})


def _large(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(50 * 1024 * 1024))
    handler.end_headers()
    try:
        for _ in range(50):
            handler.wfile.write(b"x" * 1024 * 1024)
    except OSError:  # the other side has read enough
        return


def _endless(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


def _dripping_head(handler: Any) -> None:
    try:
        for _ in range(200):
            handler.wfile.write(b"H")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        return


def _another_issuer(handler: Any) -> None:
    say(handler, {"issuer": handler.server.issuer.url + "/", "jwks_uri": handler.server.issuer.url + KEYS})


def _redirect(handler: Any) -> None:
    say(handler, b"", 302, {"Location": "https://localhost:1/"})


AWAY: dict[str, tuple[str, Answer]] = {
    "an error": (WELL_KNOWN, lambda handler: say(handler, {}, 500)),
    "nothing there": (WELL_KNOWN, lambda handler: say(handler, {}, 404)),
    "a web page": (WELL_KNOWN, _html),
    "50 MB": (WELL_KNOWN, _large),
    "50 MB of keys": (KEYS, _large),
    "a redirect": (WELL_KNOWN, _redirect),
    "keys elsewhere": (KEYS, _redirect),
    "a slow drip": (WELL_KNOWN, _endless),
    "keys in a slow drip": (KEYS, _endless),
    "a head in a slow drip": (WELL_KNOWN, _dripping_head),
    "half of it": (WELL_KNOWN, lambda handler: say(handler, b'{"issuer"', headers={"Content-Length": "5000"})),
    "keys cut short": (KEYS, lambda handler: say(handler, {"keys": []}, headers={"Content-Length": "5000"})),
    "another issuer": (WELL_KNOWN, _another_issuer),
    "no keys": (KEYS, lambda handler: say(handler, {"keys": {}})),
    "the same key twice": (KEYS, lambda handler: say(handler, b'{"keys": [], "keys": []}')),
    "a list": (WELL_KNOWN, lambda handler: say(handler, [])),
}


@pytest.mark.parametrize("case", AWAY)
def test_an_issuer_whose_keys_cannot_be_fetched_opens_nothing(
    sqlite_world: World, issuer: Issuer, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 at both doors, in words that say so, and soon."""
    world = sqlite_world
    monkeypatch.setattr(issuer_keys, "SECONDS_AT_MOST", 0.5)
    s3.open_door(world)
    trusting(world, issuer)
    path, answer = AWAY[case]
    issuer.answers[path] = answer
    began = time.monotonic()
    exchange, sts = at_both_doors(world, issuer.token())
    assert time.monotonic() - began < 5
    assert exchange[:2] == (503, "temporarily_unavailable")
    assert sts[:2] == (503, "IDPCommunicationError")
    for sentence in (exchange[2], sts[2]):
        assert "keys of this issuer cannot be fetched" in sentence


def test_an_issuer_that_is_not_there_opens_nothing(sqlite_world: World, issuer: Issuer) -> None:
    """Nor one whose certificate nobody vouches for."""
    world = sqlite_world
    s3.open_door(world)
    trusting(world, issuer)
    for change in ({"ca_file": None}, {"jwks_file": world.folder / "none.json"}):
        known = tuple(one.model_copy(update=change) for one in world.use.settings.workload_issuers)
        world.use.settings = world.use.settings.model_copy(update={"workload_issuers": known})
        world.use.__dict__.pop("issuer_keys", None)
        assert at_both_doors(world, issuer.token())[0][:2] == (503, "temporarily_unavailable")


def test_the_device_flow_is_what_it_was(sqlite_world: World) -> None:
    """Its grant needs its code, and no other grant is known."""
    for form in ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, {"grant_type": "password"}):
        answer = sqlite_world.api("POST", "/device-logins/token", None, data=form)
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")


def test_an_identity_token_is_in_no_address(sqlite_world: World, issuer: Issuer) -> None:
    """Those are logged by every machine on the way."""
    for path in ("/device-logins/token?subject_token={}", "/stages?limit={}"):
        answer = sqlite_world.api("GET" if "stages" in path else "POST", path.format(issuer.token()), None)
        assert answer.status_code == 400
        assert "Do not put credentials in the URL" in answer.text


def test_no_identity_token_is_in_what_is_kept(sqlite_world: World, issuer: Issuer, capsys: Any) -> None:
    """Neither in messages nor in the tables."""
    world = sqlite_world
    trusting(world, issuer)
    texts = [issuer.token(), issuer.token(aud="x"), issuer.token()[:-8] + "AAAAAAAA"]
    for text in texts:
        ask(world, text)
    said = capsys.readouterr()
    kept = (world.folder / "weightgate.sqlite3").read_bytes()
    for text in texts:
        signature = text.rpartition(".")[2]
        assert signature not in said.out + said.err
        assert signature.encode() not in kept
