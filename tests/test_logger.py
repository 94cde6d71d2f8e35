"""The logger: one JSON line a message, and nothing in it that would work for whoever reads it."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from server import logger
from server.domain.identity import tokens
from server.storage.database import DatabaseUnavailable
from tests.world import World

TOKEN = tokens.render("0123456789ab", b"\x07" * 32)
SHORT = TOKEN.replace("wgk_", "wgs_")
SIGNATURE = "5f4dcc3b5aa765d61d8327deb882cf99" * 2
URL = (
    "https://s3.example.org/weights/x?x-download-id=1&X-Amz-Credential=WGACCESSKEY%2F20260101"
    f"&X-Amz-Security-Token=FwoGZX%2BIvYXdzHUSH&X-Amz-Signature={SIGNATURE}"
)
ENCODED = f"next=https%3A%2F%2Fs3.example.org%2Fx%3FX-Amz-Signature%3D{SIGNATURE}"
CLOUDFRONT = "https://d1.cloudfront.net/x?Policy=eyJTdGF0ZW1lbnQ_&Signature=Hush~9-x&Key-Pair-Id=K1"
DATABASE = "postgresql+psycopg://app:hush@db.example.org/weightgate"
SECRETS = {
    "a token": (TOKEN, TOKEN[17:]),
    "a token for the hub": (tokens.for_hub(TOKEN), TOKEN[17:]),
    "a token for the hub in a word": (f"x{tokens.for_hub(TOKEN)}y", TOKEN[17:]),
    "a short token": (SHORT, SHORT[17:]),
    "a token's beginning": (TOKEN[:40], TOKEN[17:40]),
    "a token in a word": (f"x{TOKEN}y", TOKEN[17:]),
    "a signature": (URL, SIGNATURE),
    "a credential": (URL, "WGACCESSKEY"),
    "a security token": (URL, "HUSH"),
    "an encoded signature": (ENCODED, SIGNATURE),
    "a signature in a path": (URL.replace("?", "%3F"), SIGNATURE),
    "a signature encoded twice": (quote(quote(URL)), SIGNATURE),
    "a signature in a dict": (f"{{'X-Amz-Signature': '{SIGNATURE}'}}", SIGNATURE),
    "a signature in JSON": (f'{{"X-Amz-Signature":"{SIGNATURE}"}}', SIGNATURE),
    "a signature after a slash": (URL.replace("=", "/"), SIGNATURE),
    "a CloudFront signature": (CLOUDFRONT, "Hush~"),
    "a CloudFront policy": (CLOUDFRONT, "eyJTdGF0"),
    "a CloudFront signature in a path": (CLOUDFRONT.replace("?", ""), "eyJTdGF0"),
    "a bearer header": ("Authorization: Bearer hush.hush", "hush"),
    "a bearer header in other case": ("authorization: BEARER  hush", "hush"),
    "a basic header": ("Authorization: Basic aHVzaA==", "aHVzaA"),
    "a header's repr": ("{'Authorization': 'Basic aHVzaA==', 'Accept': '*/*'}", "aHVzaA"),
    "a bearer alone": ("sent Bearer hush-hush", "hush"),
    "a password in a URL": (DATABASE, "hush"),
    "a password with an at": ("redis://:hu@sh@127.0.0.1/0", "sh@"),
    "two in a line": (f"{TOKEN} and {DATABASE}", "hush"),
}


class Printed:
    """Standard error with our logger on it; called, it returns the lines since the call before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stream = io.StringIO()
        self._monkeypatch = monkeypatch

    def configure(self, level: str) -> None:
        """Also in the middle of a test: pytest puts its own standard error back before it."""
        self._monkeypatch.setattr(sys, "stderr", self._stream)
        logger.configure(level)

    def __call__(self) -> list[dict[str, Any]]:
        text = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Printed]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    defaults = structlog.get_config()
    printed = Printed(monkeypatch)
    printed.configure("debug")
    yield printed
    root.handlers[:] = before
    root.setLevel(level)
    structlog.configure(**{**defaults, "cache_logger_on_first_use": False})


@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_is_taken_out(what: str) -> None:
    """Wherever in a text it stands; the text around it stays."""
    text, secret = SECRETS[what]
    redacted = logger.redact(f"before {text} after")
    assert secret not in redacted
    assert "[redacted" in redacted
    assert redacted.startswith("before ")


@pytest.mark.parametrize(
    "text",
    [
        "", "nothing to hide", "GET /api/v1/stages/gpt-2/774M", "http://localhost:8080/x", "ratio 3:4@home",
        "https://weights.example.org/a?b=c", "the wg prefix", "x-download-id=1", "X-Amz-Signature is missing",
        "retry_policy=standard", "the Policy of a bucket",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    """Messages must still say something."""
    assert logger.redact(text) == text


@pytest.mark.parametrize("mark", ["?", "%3F", "%253F", "&", "/", " ", "\n", ""])
@pytest.mark.parametrize("url", [URL, CLOUDFRONT], ids=["S3", "CloudFront"])
def test_foreign_text_ends_where_a_link_s_query_begins(url: str, mark: str) -> None:
    """Whatever became of its `?`: as a key, as an agent, as a line of a log."""
    path = "checkpoints/x" + url.partition("?")[2].join([mark, ""])
    for text in (path, quote(path), quote(quote(path))):
        shown = logger.without_links(text)
        assert shown.startswith(("checkpoints/x", "checkpoints%"))
        assert [secret for secret in (SIGNATURE, "WGACCESSKEY", "HUSH", "eyJTdGF0", "Hush~") if secret in shown] == []


def test_foreign_text_without_a_link_stays() -> None:
    """But for a token in it."""
    assert logger.without_links("checkpoints/x.safetensors") == "checkpoints/x.safetensors"
    assert logger.without_links(f"curl/8 {TOKEN}") == "curl/8 [redacted token 0123456789ab]"


def test_a_token_stays_recognizable() -> None:
    """Its id tells which one to revoke, and opens nothing."""
    assert logger.redact(f"found {TOKEN}.") == "found [redacted token 0123456789ab]."


def test_redacting_twice_changes_nothing() -> None:
    """What was redacted once can be logged again."""
    for text, _ in SECRETS.values():
        once = logger.redact(text)
        assert logger.redact(once).replace("[redacted]", "") == once.replace("[redacted]", "")


def test_a_message_is_one_line_of_json(lines: Printed) -> None:
    """With its level, logger and time, whatever stands in it."""
    structlog.get_logger("server.some").warning("something", detail="two\nlines")
    (line,) = lines()
    assert (line["event"], line["detail"], line["level"]) == ("something", "two\nlines", "warning")
    assert line["logger"] == "server.some"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        [TOKEN],
        ("x", {"deep": [{"deeper": TOKEN}]}),
        {TOKEN: 1},
        {TOKEN},
        TOKEN.encode(),
        ValueError(TOKEN),
        {"headers": {"Authorization": f"Bearer {TOKEN}"}},
        [f"Bearer {TOKEN}".encode()],
    ],
)
def test_no_value_carries_a_secret(lines: Printed, value: Any) -> None:
    """However deep it lies, and of whatever type it is."""
    structlog.get_logger("server.some").error("something", value=value, number=7, flag=True, nothing=None)
    (line,) = lines()
    assert TOKEN[17:] not in json.dumps(line)
    assert (line["number"], line["flag"], line["nothing"]) == (7, True, None)


@pytest.mark.parametrize("name", ["password", "Password", "authorization", "secret", "totp_secret", "cookie"])
def test_a_value_with_a_secret_s_name_is_taken_out(lines: Printed, name: str) -> None:
    """Also where its text looks like anything else."""
    structlog.get_logger("server.some").error("something", **{name: "hush"}, nested=[{name: ["hush"]}])
    (line,) = lines()
    assert "hush" not in json.dumps(line)


def fail() -> None:
    raise ValueError(f"{TOKEN} {URL}") from KeyError(DATABASE)


def test_no_traceback_carries_a_secret(lines: Printed) -> None:
    """The whole chain of exceptions is printed, without what they quote."""
    try:
        fail()
    except ValueError:
        structlog.get_logger("server.some").exception("failed", url=URL)
        logging.getLogger("a.library").exception("failed: %s", TOKEN)
    for line in lines():
        text = json.dumps(line)
        assert "Traceback" in line["exception"]
        assert [secret for secret in (TOKEN[17:], SIGNATURE, "hush") if secret in text] == []


@pytest.mark.parametrize("name", ["a.library", "gunicorn.error", "gunicorn.access", "werkzeug", "sqlalchemy"])
def test_libraries_take_the_same_way(lines: Printed, name: str) -> None:
    """What they say, as it is, with arguments, becomes the same lines."""
    logging.getLogger(name).error("cannot reach %s with %r", DATABASE, {"token": TOKEN})
    (line,) = lines()
    assert "db.example.org" in line["event"]
    assert [secret for secret in (TOKEN[17:], "hush") if secret in line["event"]] == []


def test_gunicorn_s_own_printing_ends(lines: Printed) -> None:
    """It sets up its own handler before the app is loaded, and quotes malformed requests."""
    own = logging.getLogger("gunicorn.error")
    own.addHandler(logging.StreamHandler(sys.stderr))
    own.propagate = False
    lines.configure("info")
    own.warning("Invalid request: GET /?token=%s", TOKEN)
    (line,) = lines()
    assert TOKEN[17:] not in line["event"]


def test_a_message_that_cannot_be_written_is_not_printed_raw(lines: Printed) -> None:
    """Python's own way out of a bad message would print all of it."""
    lines.configure("info")
    logging.getLogger("a.library").error("%d tokens", TOKEN)
    assert lines() == [{"event": "message_lost", "logger": "a.library"}]


@pytest.mark.parametrize("name", ["botocore", "boto3", "urllib3", "s3transfer"])
def test_whole_requests_are_not_printed(lines: Printed, name: str) -> None:
    """The store's libraries print requests with all headers at debug level: not here."""
    logging.getLogger(f"{name}.sub").debug("request %s", URL)
    assert lines() == []


@pytest.mark.parametrize(("level", "printed"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_kept(lines: Printed, level: str, printed: int) -> None:
    """As the settings say."""
    lines.configure(level)
    some = structlog.get_logger("server.some")
    for say in (some.debug, some.info, some.warning, some.error):
        say("something")
    assert len(lines()) == printed


def test_requests_leave_no_secret(sqlite_world: World, lines: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    """At debug level, through every way in which a request can end, nothing printed would work."""
    world = sqlite_world
    order = {"stage": "gpt-2/774M", "paths": ["vocab.bpe"]}
    token = world.example.tokens["cleared"]
    issued = world.api("POST", "/downloads", json=order).json
    world.api("POST", "/downloads", json={token: 1})
    world.api("GET", f"/stages/gpt-2/{token}")
    world.api("GET", f"/me?token={token}")
    world.api("GET", "/me", token[:-1] + "x")
    world.api("POST", "/tokens/leaked", None, json={"token": world.example.tokens["unsigned"]})

    def fault(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"Bearer {token} {issued['files'][0]['url']} {DATABASE}")

    def unavailable(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable(f"no answer from {DATABASE}")

    with monkeypatch.context() as patch:
        patch.setattr("server.domain.downloads.issuing.issue", fault)
        assert world.api("POST", "/downloads", json=order).status_code == 500
    with monkeypatch.context() as patch:
        patch.setattr("server.domain.downloads.issuing.issue", unavailable)
        assert world.api("POST", "/downloads", json=order).status_code == 503
    text = json.dumps(lines())
    assert "unexpected" in text
    assert "unavailable" in text
    signature = issued["files"][0]["url"].rpartition("=")[2]
    secrets = [*(one[17:] for one in world.example.tokens.values()), signature, "hush"]
    assert [secret for secret in secrets if secret in text] == []
