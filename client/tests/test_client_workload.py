"""`weightgate login --oidc`: a machine's own identity token, from a file, a variable or GitHub's runner, exchanged."""

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from client.tests.far_side import FarSide, Reply
from client.tests.partner import Partner

EXCHANGE, ME = "/api/v1/device-logins/token", "/api/v1/me"
IDENTITY, TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "wgs_a_machine_s_token"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(far: FarSide) -> FarSide:
    """A server that gives machines a token."""
    far.answers[EXCHANGE] = Reply(json.dumps({"access_token": TOKEN, "expires_in": 900}).encode(), 200, JSON)
    me = {"person": "owner@a.example", "organization": "a", "token": {"expires_at": "2026-01-01T00:15:00Z"}}
    far.answers[ME] = Reply(json.dumps(me).encode(), 200, JSON)
    return far


def sent(far: FarSide) -> dict[str, str]:
    """The form that was sent last."""
    return {name: value for name, (value,) in parse_qs(far.sent[-1].decode()).items()}


def test_an_identity_token_in_a_file(server: FarSide, partner: Partner, tmp_path: Path) -> None:
    """As Kubernetes writes it: the token is kept as after any login, and it is said until when."""
    (tmp_path / "token").write_text(f"{IDENTITY}\n")
    outcome = partner.run("login", "--oidc-token-file", str(tmp_path / "token"), "--endpoint", server.endpoint)
    assert outcome.code == 0, outcome.err
    assert "as owner@a.example of a until 2026-01-01T00:15:00Z." in outcome.out
    assert sent(server) == {
        "grant_type": GRANT, "subject_token": IDENTITY, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    }  # fmt: skip
    kept = partner.folder / "state" / "credentials.json"
    assert json.loads(kept.read_text())["tokens"] == {server.endpoint: TOKEN}
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (ME, f"Bearer {TOKEN}") in server.requests
    assert IDENTITY not in outcome.out + outcome.err + kept.read_text()


def test_an_identity_token_in_a_variable(server: FarSide, partner: Partner) -> None:
    """As GitLab sets it; a trust record may be named."""
    partner.environment["WEIGHTGATE_ID_TOKEN"] = IDENTITY
    outcome = partner.run(
        "login", "--oidc", "--oidc-token-variable", "WEIGHTGATE_ID_TOKEN", "--oidc-trust", "a/7",
        "--endpoint", server.endpoint,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert (sent(server)["subject_token"], sent(server)["audience"]) == (IDENTITY, "a/7")


@pytest.mark.parametrize(
    ("options", "audience"), [((), "http%3A%2F%2F127.0.0.1%3A{port}"), (("--oidc-audience", "a b&c"), "a%20b%26c")]
)
def test_an_identity_token_of_github_s_runner(
    server: FarSide, partner: Partner, options: tuple[str, ...], audience: str
) -> None:
    """Asked for with the runner's own token, for the server's address or another audience."""
    port = server.endpoint.rpartition(":")[2]
    asked = f"/runner?v=2&audience={audience.format(port=port)}"
    server.answers[asked] = Reply(json.dumps({"value": IDENTITY}).encode(), 200, JSON)
    partner.environment |= {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.endpoint}/runner?v=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner-token",
    }
    outcome = partner.run("login", "--oidc", *options, "--endpoint", server.endpoint)
    assert outcome.code == 0, outcome.err
    assert (asked, "Bearer runner-token") in server.requests
    assert sent(server)["subject_token"] == IDENTITY
    assert "runner-token" not in outcome.out + outcome.err


def _refused(status: int, **said: str) -> Reply:
    return Reply(json.dumps(said).encode(), status, JSON)


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (_refused(400, error="invalid_grant", error_description="No trust record matches."), 1, "No trust record"),
        (_refused(429, error="slow_down", error_description="Too many tokens."), 1, "Too many tokens"),
        (_refused(503, error="temporarily_unavailable", error_description="Keys are away."), 3, "Keys are away"),
        (_refused(200, token="none"), 3, "no token"),
        (Reply(b"<html>", 200, {"Content-Type": "text/html"}), 3, "web page"),
        (_refused(400, other="x"), 3, "cannot answer now"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence(
    far: FarSide, partner: Partner, tmp_path: Path, reply: Reply, code: int, words: str
) -> None:
    """And nothing is kept."""
    far.answers[EXCHANGE] = reply
    (tmp_path / "token").write_text(IDENTITY)
    outcome = partner.run("login", "--oidc-token-file", str(tmp_path / "token"), "--endpoint", far.endpoint)
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert IDENTITY not in outcome.err
    assert not (partner.folder / "state" / "credentials.json").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--oidc",), 2, "no identity token here"),
        (("--oidc-token-file", "/nowhere"), 2, "Cannot read an identity token"),
        (("--oidc-token-file", "/dev/null"), 2, "contains no identity token"),
        (("--oidc-token-variable", "UNSET"), 2, "UNSET contains no identity token"),
        (("--oidc-token-variable", "LONG"), 2, "contains no identity token"),
        (("--oidc", "--publish"), 2, "cannot be used with"),
        (("--oidc", "--token-file", "-"), 2, "cannot be used with"),
    ],
)
def test_where_there_is_none_the_server_is_not_asked(
    far: FarSide, partner: Partner, options: tuple[str, ...], code: int, words: str
) -> None:
    """A sentence says what is missing."""
    partner.environment["LONG"] = "a.b." + "c" * 16_384
    outcome = partner.run("login", *options, "--endpoint", far.endpoint)
    assert (outcome.code, far.requests) == (code, [])
    assert words in outcome.err


@pytest.mark.parametrize(
    ("address", "reply", "words"),
    [
        ("http://example.org/x", None, "not safe to use"),
        ("{far}/runner", Reply(b"", 403), "HTTP 403"),
        ("{far}/runner", Reply(b"{}", 200), "contains no identity token"),
        ("{far}/runner", Reply(b"", 302, {"Location": "https://example.org/"}), "HTTP 302"),
        ("http://127.0.0.1:9/x", None, "connection refused"),
    ],
)
def test_a_runner_that_gives_none(
    far: FarSide, partner: Partner, address: str, reply: Reply | None, words: str
) -> None:
    """Its token goes nowhere else, and nothing is exchanged."""
    if reply is not None:
        far.answers[f"/runner?audience={far.endpoint.replace(':', '%3A').replace('/', '%2F')}"] = reply
    partner.environment |= {
        "ACTIONS_ID_TOKEN_REQUEST_URL": address.format(far=far.endpoint),
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner-token",
    }
    outcome = partner.run("login", "--oidc", "--endpoint", far.endpoint)
    assert outcome.code in {2, 3}
    assert words in outcome.err
    assert far.sent == []


STS = "/sts"
KEYS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Credentials>
<AccessKeyId>WGS1</AccessKeyId><SecretAccessKey>s&amp;s</SecretAccessKey><SessionToken>weightgate</SessionToken>
<Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResponse>"""


@pytest.mark.parametrize(("trust", "account"), [((), "000000000000"), (("--oidc-trust", "a/42"), "000000000042")])
def test_keys_for_s3_tools_without_a_login(
    far: FarSide, partner: Partner, tmp_path: Path, trust: tuple[str, ...], account: str
) -> None:
    """As the AWS libraries ask for them, with the identity token and no other."""
    far.answers[STS] = Reply(KEYS.encode(), 200, {"Content-Type": "text/xml"})
    (tmp_path / "token").write_text(IDENTITY)
    where = ("--oidc-token-file", str(tmp_path / "token"), *trust, "--endpoint", far.endpoint)
    outcome = partner.run("credentials", "gpt-2/774M", *where)
    assert (outcome.code, outcome.fields) == (
        0,
        {"Version": 1, "AccessKeyId": "WGS1", "SecretAccessKey": "s&s", "SessionToken": "weightgate",
         "Expiration": "2030-01-01T00:00:00Z"},
    )  # fmt: skip
    assert far.requests == [(STS, None)]
    assert sent(far)["RoleArn"] == f"arn:aws:iam::{account}:role/gpt-2/774M"
    assert sent(far)["WebIdentityToken"] == IDENTITY


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (403, "<Error><Code>AccessDenied</Code><Message>No trust record &amp; so on.</Message></Error>", 1, "& so on"),
        (503, "<Error><Code>IDPCommunicationError</Code><Message>Its keys are away.</Message></Error>", 3, "away"),
        (502, "<html>", 3, "HTTP 502"),
        (200, "<AccessKeyId>WGS1</AccessKeyId>", 3, "not what it should be"),
    ],
)
def test_without_keys_there_is_a_sentence(
    far: FarSide, partner: Partner, tmp_path: Path, status: int, body: str, code: int, words: str
) -> None:
    """On standard error, where aws shows it."""
    far.answers[STS] = Reply(body.encode(), status, {"Content-Type": "text/xml"})
    (tmp_path / "token").write_text(IDENTITY)
    where = ("--oidc-token-file", str(tmp_path / "token"), "--endpoint", far.endpoint)
    outcome = partner.run("credentials", "gpt-2/774M", *where)
    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err
