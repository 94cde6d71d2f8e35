"""Refusals: each with the status, the code and the words that the client tells apart, in the rule's order."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from server.domain.identity.tokens import FORM, HUB_FORM
from server.storage.database import DatabaseUnavailable
from tests.web import test_errors as given
from tests.world import World

FILE = "/gpt-2/774M/resolve/main/vocab.bpe"
BAD_TOKEN = "Invalid credentials in Authorization header"
NO_TOKEN = "No API token was sent. Set HF_TOKEN to a token of yours; you can create one at http://localhost:8080/tokens"
ASK = "clearance@example-lab.example"

Case = tuple[str | None, Callable[[World], object], str, int, str | None, str]
# Whose token, what happens before, the address; then by hand: status, X-Error-Code, how X-Error-Message begins.
REFUSED: dict[str, Case] = {
    "no token": (None, given.nothing, FILE, 401, "GatedRepo", NO_TOKEN),
    "no token, nothing there": (None, given.nothing, "/no/thing/resolve/main/x", 401, "GatedRepo", NO_TOKEN),
    "no token, planned": (None, given.nothing, FILE.replace("774M", "1558M"), 401, "GatedRepo", NO_TOKEN),
    "not a token": ("wgk_nonsense", given.nothing, FILE, 401, None, BAD_TOKEN),
    "expired": ("expired", given.nothing, FILE, 401, None, BAD_TOKEN),
    "expired, nothing there": ("expired", given.nothing, "/no/thing/resolve/main/x", 401, None, BAD_TOKEN),
    "revoked": ("cleared", given.revoke_the_token, FILE, 401, None, BAD_TOKEN),
    "not cleared": ("uncleared", given.nothing, FILE, 403, "GatedRepo", "Your organization is not cleared for this"),
    "not cleared, no such file": ("uncleared", given.nothing, f"{FILE}x", 403, "GatedRepo", "Your organization is not"),
    "not cleared, no such revision": (
        "uncleared", given.nothing, FILE.replace("main", "0" * 40), 403, "GatedRepo", "Your organization is not",
    ),
    "not signed": ("unsigned", given.nothing, FILE, 403, "GatedRepo", "Your organization has not signed the agreement"),
    "ended": ("cleared", given.let_the_clearance_end, FILE, 403, "GatedRepo", "Your organization's clearance for this"),
    "outdated": ("cleared", given.publish_a_new_agreement, FILE, 403, "GatedRepo", "The agreement that your organ"),
    "suspended": ("cleared", given.suspend, FILE, 403, "GatedRepo", "Your organization is suspended."),
    "held": ("cleared", given.hold("gpt-2/774M"), FILE, 451, "GatedRepo", "This stage is on hold: nobody can download"),
    "everything held": ("cleared", given.hold("everything"), FILE, 451, "GatedRepo", "This stage is on hold: nobody"),
    "withdrawn": ("cleared", given.withdraw, FILE, 451, "GatedRepo", "This stage has been permanently withdrawn."),
    "planned": ("cleared", given.nothing, FILE.replace("774M", "1558M"), 404, "RepoNotFound", "This stage does not"),
    "no such stage": ("cleared", given.nothing, FILE.replace("774M", "9B"), 404, "RepoNotFound", "This stage does not"),
    "no such revision": (
        "cleared", given.nothing, FILE.replace("main", "0" * 40), 404, "RevisionNotFound", "This stage has no such",
    ),
    "a short revision": ("cleared", given.nothing, FILE.replace("main", "v1"), 404, "RevisionNotFound", "This stage"),
    "no such file": ("cleared", given.nothing, f"{FILE}x", 404, "EntryNotFound", "vocab.bpex is not in this"),
    "no such path": ("cleared", given.nothing, f"{FILE}/../x", 404, "EntryNotFound", "vocab.bpe/../x is not in this"),
}  # fmt: skip
ISSUING: dict[str, Case] = {  # what HEAD, which issues nothing, is not refused
    "too narrow": ("cleared", given.narrow_the_token, FILE, 403, "GatedRepo", "The token lacks the scope downloads"),
    "an auditor": ("auditor", given.nothing, FILE, 403, "GatedRepo", "Your role (auditor) does not include this"),
    "over the quota": (
        "cleared", given.use_up_the_quota, FILE, 403, "GatedRepo", "Your organization may be issued 1 bytes in",
    ),
    "over the rate": ("cleared", given.use_up_the_rate, FILE, 429, None, "Your organization can request 1 downloads"),
}  # fmt: skip


def require_refusal(answer: Any, status: int, code: str | None, begins: str) -> None:
    """Every answer that says no is complete in its headers, says the same in its body, and gives nothing away."""
    assert (answer.status_code, answer.headers.get("X-Error-Code")) == (status, code), answer.text
    message = answer.headers["X-Error-Message"]
    assert message.startswith(begins), message
    assert re.fullmatch(r"[ -~]+", message)
    assert answer.mimetype == "application/json"
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert ("X-HF-Warning" in answer.headers) == (status in {401, 403, 451})
    assert ("X-Repo-Commit" in answer.headers) == (code == "EntryNotFound")
    whole = f"{answer.headers} {answer.text}"
    assert "{contact}" not in whole
    assert "X-Amz-" not in whole
    assert FORM.search(whole) is None
    assert HUB_FORM.search(whole) is None
    if answer.data:
        assert set(answer.json) == {"error"}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_what_the_client_tells_apart(sqlite_world: World, name: str) -> None:
    """In the order token, repository, clearance, revision, file, by GET and by HEAD; and nothing was issued."""
    token, happens, address, status, code, begins = REFUSED[name]
    happens(sqlite_world)
    entries, urls = len(sqlite_world.entries()), len(sqlite_world.signed_urls)
    for method in ("GET", "HEAD"):
        require_refusal(sqlite_world.ask(method, address, token), status, code, begins)
    assert (len(sqlite_world.entries()), len(sqlite_world.signed_urls)) == (entries, urls)


@pytest.mark.parametrize("name", ISSUING)
def test_what_only_issuing_is_refused(sqlite_world: World, name: str) -> None:
    """A look is free: it is GET that is counted, and that some may not do at all."""
    token, happens, address, status, code, begins = ISSUING[name]
    happens(sqlite_world)
    entries, urls = len(sqlite_world.entries()), len(sqlite_world.signed_urls)
    assert sqlite_world.ask("HEAD", address, token).status_code == 200
    answer = sqlite_world.ask("GET", address, token)
    require_refusal(answer, status, code, begins)
    assert (answer.headers.get("Retry-After", "").isdigit()) == (status == 429 or "quota" in name)
    assert (len(sqlite_world.entries()), len(sqlite_world.signed_urls)) == (entries, urls)


READING = [
    "", "/revision/main", "/tree/main", "/tree/main?recursive=true&expand=True", "/refs", "/commits/main",
    "/auth-check",
]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 401, "GatedRepo"), ("expired", 401, None), ("uncleared", 403, "GatedRepo"), ("unsigned", 403, "GatedRepo")],
)
def test_no_address_tells_more_than_another(
    sqlite_world: World, token: str | None, status: int, code: str | None
) -> None:
    """Whatever is asked of a repository, refusals are the same."""
    answers = [sqlite_world.ask("GET", f"/api/models/gpt-2/774M{path}", token) for path in READING]
    answers.append(
        sqlite_world.ask("POST", "/api/models/gpt-2/774M/paths-info/main", token, data={"paths": ["vocab.bpe"]})
    )
    assert {(one.status_code, one.headers.get("X-Error-Code")) for one in answers} == {(status, code)}
    assert len({one.text for one in answers}) == 1


@pytest.mark.parametrize("path", READING)
def test_without_a_token_nothing_is_told_apart(sqlite_world: World, path: str) -> None:
    """What is there, what is planned and what never was: the identical 401."""
    asked = [f"/api/models/{stage}{path}" for stage in ("gpt-2/774M", "gpt-2/1558M", "gpt-2/none", "no/thing")]
    answers = [sqlite_world.ask("GET", address, None) for address in asked]
    told = [
        (one.status_code, one.text, {key: value for key, value in one.headers.items() if key != "X-Request-Id"})
        for one in answers
    ]
    assert told == [told[0]] * 4
    assert told[0][0] == 401


def test_our_reason_stands_where_the_client_prints_it(sqlite_world: World) -> None:
    """Beside 401, 403 and 451, where its own words hide it or have to be its own: what is wrong and what to do now."""
    words = {
        name: sqlite_world.ask("HEAD", FILE, name).headers["X-HF-Warning"]
        for name in ("expired", "uncleared", "unsigned")
    }
    assert words["expired"].startswith("invalid_credentials; The token has expired. Create a new token in the portal,")
    assert words["uncleared"].startswith("not_cleared; Your organization is not cleared for this stage.")
    assert words["unsigned"].startswith("agreement_unsigned; Your organization has not signed the agreement")
    assert all(ASK in text for text in words.values())


def test_a_used_up_quota_is_told_with_the_time(sqlite_world: World) -> None:
    """In words: no client shows the header."""
    given.use_up_the_quota(sqlite_world)
    message = sqlite_world.ask("GET", FILE).headers["X-Error-Message"]
    assert re.search(r"Try again in \d+ hours?( and \d+ minutes?)?\.$", message), message


def test_a_refusal_is_recorded_as_at_every_door(world: World) -> None:
    """With who, what and the request's id; that there is no such repository, too."""
    before = len(world.refusals())
    for address in (FILE.replace("774M", "9B"), FILE.replace("main", "0" * 40)):
        world.ask("HEAD", address)
    answer = world.ask("HEAD", FILE, "uncleared")
    rows = world.refusals()[before:]
    assert [row.code for row in rows] == ["not_found", "not_found", "not_cleared"]
    assert rows[-1].request_id == answer.headers["X-Request-Id"]
    assert (rows[-1].asked, rows[-1].stage) == (f"HEAD {FILE}", "gpt-2/774M")


def test_a_message_that_quotes_stays_printable(sqlite_world: World) -> None:
    """Whatever a path contains: no header is broken, and no letter outside ASCII is in one."""
    for path in ("naïve.bin", "a%0bb%1b[2Jc", "%00", "\N{SNOWMAN}", "x" * 5000):
        answer = sqlite_world.ask("GET", f"/gpt-2/774M/resolve/main/{path}")
        require_refusal(answer, 404, "EntryNotFound", "")
        assert len(answer.headers["X-Error-Message"]) <= 1000
    answer = sqlite_world.ask("GET", "/gpt-2/774M/resolve/main/a%0d%0aX-Injected: yes")
    assert (answer.status_code, "X-Injected" in answer.headers) == (404, False)


def test_a_failure_of_ours_is_503(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the client's form, with the time after which to ask again, and without a URL."""

    def gone(*_: object, **__: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(sqlite_world.use.database, "together", gone)
    answer = sqlite_world.ask("GET", FILE)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers["X-Error-Message"].startswith("The server cannot record anything right now.")
    assert sqlite_world.signed_urls == []


def test_a_credential_in_the_address_is_refused(sqlite_world: World) -> None:
    """In either spelling, in the client's form, and the answer does not repeat it."""
    token = sqlite_world.example.tokens["cleared"]
    for text in (token, f"hf_{token[4:].replace('_', '')}"):
        answer = sqlite_world.ask("GET", f"/gpt-2/774M/resolve/main/{text}", None)
        require_refusal(answer, 400, None, "Do not put credentials in the URL.")


def test_the_end_of_access_is_told_two_weeks_ahead(sqlite_world: World) -> None:
    """Beside what the client asks first, and at no other time."""
    asked = ["/api/models/gpt-2/774M", "/api/models/gpt-2/774M/revision/main", "/api/models/gpt-2/774M/auth-check"]
    assert not any("X-HF-Warning" in sqlite_world.ask("GET", address).headers for address in asked)
    given.shorten_the_clearance(sqlite_world, timedelta(days=13))
    told = {sqlite_world.ask("GET", address).headers["X-HF-Warning"] for address in asked}
    told.add(sqlite_world.ask("HEAD", FILE).headers["X-HF-Warning"])
    (text,) = told
    assert re.fullmatch(
        r"ends gpt-2/774M; Your access to gpt-2/774M ends on \d+ \w+ \d{4}\. "
        r"Request more time: http://localhost:8080/stages/gpt-2/774M",
        text,
    )
    assert "X-HF-Warning" not in sqlite_world.ask("HEAD", "/gpt-2/124M/resolve/main/vocab.bpe").headers
