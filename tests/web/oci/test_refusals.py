"""Refusals in the registry's form: status, code and our sentence, in the rule's order. Written by hand."""

from collections.abc import Callable

import pytest

from server.domain.identity.tokens import FORM
from server.storage.database import DatabaseUnavailable
from tests.web import test_errors as given
from tests.world import World

MAIN = "/v2/gpt-2/774m/manifests/main"
BLOB = f"/v2/gpt-2/774m/blobs/sha256:{0:064x}"

Case = tuple[str | None, Callable[[World], object], str, int, str, str]
# Whose token, what happens before, the address; then: status, code, how the message begins.
REFUSED: dict[str, Case] = {
    "no token": (None, given.nothing, MAIN, 401, "UNAUTHORIZED", "This request needs a token."),
    "no token, nothing there": (None, given.nothing, "/v2/no/no/manifests/main", 401, "UNAUTHORIZED", "This request"),
    "no token, planned": (None, given.nothing, MAIN.replace("774", "1558"), 401, "UNAUTHORIZED", "This request needs"),
    "expired": ("expired", given.nothing, MAIN, 401, "UNAUTHORIZED", "The token has expired."),
    "revoked": ("cleared", given.revoke_the_token, MAIN, 401, "UNAUTHORIZED", "The token was revoked."),
    "not cleared": ("uncleared", given.nothing, MAIN, 403, "DENIED", "Your organization is not cleared for this"),
    "not cleared, no such blob": ("uncleared", given.nothing, BLOB, 403, "DENIED", "Your organization is not cleared"),
    "not signed": ("unsigned", given.nothing, MAIN, 403, "DENIED", "Your organization has not signed the agreement"),
    "ended": ("cleared", given.let_the_clearance_end, MAIN, 403, "DENIED", "Your organization's clearance for this"),
    "suspended": ("cleared", given.suspend, MAIN, 403, "DENIED", "Your organization is suspended."),
    "held": ("cleared", given.hold("gpt-2/774M"), MAIN, 451, "DENIED", "This stage is on hold: nobody can download"),
    "held blob": ("cleared", given.hold("everything"), BLOB, 451, "DENIED", "This stage is on hold: nobody can"),
    "withdrawn": ("cleared", given.withdraw, MAIN, 451, "DENIED", "This stage has been permanently withdrawn."),
    "planned": ("cleared", given.nothing, MAIN.replace("774", "1558"), 404, "NAME_UNKNOWN", "This stage does not"),
    "no such stage": ("cleared", given.nothing, MAIN.replace("774", "9"), 404, "NAME_UNKNOWN", "This stage does not"),
    "no such form": ("cleared", given.nothing, "/v2/gpt-2/774m", 404, "NAME_UNKNOWN", "There is no such repository."),
    "no such tag": ("cleared", given.nothing, f"{MAIN}x", 404, "MANIFEST_UNKNOWN", "This stage has no such checkpoint"),
    "no such digest": (
        "cleared", given.nothing, MAIN.replace("main", f"sha256:{0:064x}"), 404, "MANIFEST_UNKNOWN", "This stage has",
    ),
    "another hash": (
        "cleared", given.nothing, MAIN.replace("main", "sha512:00"), 404, "MANIFEST_UNKNOWN", "This stage has no such",
    ),
    "no such blob": ("cleared", given.nothing, BLOB, 404, "BLOB_UNKNOWN", "No file of this stage has this digest."),
    "no digest": ("cleared", given.nothing, BLOB[:-1], 404, "BLOB_UNKNOWN", "No file of this stage has this digest."),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_the_registrys_code_and_our_sentence(sqlite_world: World, name: str) -> None:
    token, happens, address, status, code, begins = REFUSED[name]
    happens(sqlite_world)
    entries, urls = len(sqlite_world.entries()), len(sqlite_world.signed_urls)
    answer = sqlite_world.ask("GET", address, token)
    assert answer.status_code == status, answer.text
    (error,) = answer.get_json()["errors"]
    assert (error["code"], error["message"][: len(begins)]) == (code, begins)
    assert error["detail"] == {"request_id": answer.headers["X-Request-Id"]}
    assert answer.headers.get("WWW-Authenticate", "").startswith("Bearer realm=") == (status == 401)
    whole = f"{answer.headers} {answer.text}"
    assert not any(secret in whole for secret in ("X-Amz-", "{contact}"))
    assert FORM.search(whole) is None
    assert (len(sqlite_world.entries()), len(sqlite_world.signed_urls)) == (entries, urls)
    assert sqlite_world.ask("HEAD", address, token).status_code == status


def test_a_blob_of_another_organizations_stage_is_not_there(sqlite_world: World) -> None:
    """Its digest opens nothing under the name of a stage that one has."""
    large = sqlite_world.ask("GET", "/v2/mini-gpt/large/manifests/main", "auditor").get_json()["layers"]
    shown = {one["digest"] for one in sqlite_world.ask("GET", MAIN).get_json()["layers"]}
    for one in large:
        if one["digest"] not in shown:
            answer = sqlite_world.ask("GET", f"/v2/gpt-2/774m/blobs/{one['digest']}")
            assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("happens", "token", "status", "code"),
    [
        (given.use_up_the_quota, "cleared", 429, "TOOMANYREQUESTS"), (given.use_up_the_rate, "cleared", 429,
        "TOOMANYREQUESTS"), (given.narrow_the_token, "cleared", 403, "DENIED"), (given.nothing, "auditor", 403,
        "DENIED"),
    ],
)  # fmt: skip
def test_what_only_issuing_is_refused(
    sqlite_world: World, happens: Callable[[World], object], token: str, status: int, code: str
) -> None:
    """A look at the manifest is free; the blob is what counts."""
    layers = sqlite_world.ask("GET", MAIN).get_json()["layers"]
    happens(sqlite_world)
    assert sqlite_world.ask("GET", MAIN, token).status_code == 200
    urls = len(sqlite_world.signed_urls)
    answer = sqlite_world.ask("GET", f"/v2/gpt-2/774m/blobs/{layers[0]['digest']}", token)
    assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (status, code)
    assert (status == 429) == answer.headers.get("Retry-After", "").isdigit()
    assert len(sqlite_world.signed_urls) == urls


def test_a_database_that_is_away_is_503(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the protocol's form, and soon to be tried again."""

    def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_world.use.database, "reading", away)
        answer = sqlite_world.ask("GET", MAIN)
    assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["Retry-After"] == "2"
