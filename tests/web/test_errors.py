"""Errors: each refusal has its code, its record and nothing else; each failure is a 503 and nothing else."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from server.domain.access import clearances, signatures
from server.domain.errors import IdentityTokenRefused, NotFound, Refused
from server.domain.identity import people, tokens
from server.domain.operation import carrying_out
from server.domain.permissions import Role, Scope
from server.domain.release import agreements, holds
from server.domain.release.stages import StageState
from server.storage import database
from server.web import app as web
from server.web.errors import STATUS
from tests.web.problems import require_problem
from tests.world import World

ORDER = {"stage": "gpt-2/774M", "paths": ["vocab.bpe"]}
SLUG = "aurora-institute"


def nothing(_: World) -> None:
    """Nothing has happened."""


def hold(on: str) -> Callable[[World], object]:
    return lambda world: holds.place(world.use, world.admin, on, "a finding")


def withdraw(world: World) -> None:
    world.move("gpt-2/774M", StageState.WITHDRAWN, "a finding")


def suspend(world: World) -> None:
    holds.place(world.use, world.admin, f"organization:{SLUG}", "an audit")


def let_the_clearance_end(world: World) -> None:
    """The clearance of a year is replaced by one of a day, and two days pass."""
    day = timedelta(days=1)
    shorten_the_clearance(world, day)
    world.clock.advance(2 * day)


def shorten_the_clearance(world: World, lifetime: timedelta) -> None:
    """Replace the clearance of a year by another."""
    clearances.revoke(world.use, world.admin, 1)
    made = clearances.propose(
        world.use, world.admin, SLUG, "gpt-2", "research", expires_at=world.clock() + lifetime, purpose="A short look."
    )
    clearances.approve(world.use, world.admin2, made.id)


def revoke_the_clearance(world: World) -> None:
    clearances.revoke(world.use, world.admin, 1)


def publish_a_new_agreement(world: World) -> None:
    agreements.publish(world.use, world.admin, "model-sharing", "# Another text\n")


def end_the_signature(world: World) -> None:
    signatures.end(world.use, world.admin, 1)


def revoke_the_token(world: World) -> None:
    tokens.revoke(world.use, world.person("cleared"), world.example.tokens["cleared"][4:16])


def use_up_the_quota(world: World) -> None:
    carrying_out.set_quota(world.use, world.admin, SLUG, bytes_per_day=1, requests_per_minute=None)


def use_up_the_rate(world: World) -> None:
    carrying_out.set_quota(world.use, world.admin, SLUG, bytes_per_day=None, requests_per_minute=1)
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/124M"}).status_code == 201


def narrow_the_token(world: World) -> None:
    scopes = [Scope.STAGES_READ]
    made = tokens.create(world.use, world.person("cleared"), "reading", scopes, timedelta(days=1))
    world.example.tokens["cleared"] = made.text


def disable_the_person(world: World) -> None:
    """Their tokens are revoked with them."""
    people.add(world.use, world.admin, SLUG, "second@aurora.example", "Second", Role.OWNER, "a long enough password")
    people.disable(world.use, world.admin, "owner@aurora-institute.example")


REFUSED = {
    "not cleared": ("uncleared", nothing, ORDER, 403, "not_cleared"),
    "not cleared so high": ("cleared", nothing, {"stage": "mini-gpt/large"}, 403, "not_cleared"),
    "not signed": ("unsigned", nothing, ORDER, 403, "agreement_unsigned"),
    "planned": ("cleared", nothing, {"stage": "gpt-2/1558M"}, 404, "not_found"),
    "planned, to the uncleared": ("uncleared", nothing, {"stage": "gpt-2/1558M"}, 404, "not_found"),
    "stage held": ("cleared", hold("gpt-2/774M"), ORDER, 451, "stage_held"),
    "model held": ("cleared", hold("gpt-2"), ORDER, 451, "stage_held"),
    "everything held": ("cleared", hold("everything"), ORDER, 451, "stage_held"),
    "public stage held": ("cleared", hold("gpt-2/124M"), {"stage": "gpt-2/124M"}, 451, "stage_held"),
    "withdrawn": ("cleared", withdraw, ORDER, 451, "stage_withdrawn"),
    "clearance expired": ("cleared", let_the_clearance_end, ORDER, 403, "clearance_expired"),
    "clearance revoked": ("cleared", revoke_the_clearance, ORDER, 403, "not_cleared"),
    "agreement outdated": ("cleared", publish_a_new_agreement, ORDER, 403, "agreement_outdated"),
    "signature ended": ("cleared", end_the_signature, ORDER, 403, "agreement_unsigned"),
    "token expired": ("expired", nothing, ORDER, 401, "invalid_credentials"),
    "token revoked": ("cleared", revoke_the_token, ORDER, 401, "invalid_credentials"),
    "token too narrow": ("cleared", narrow_the_token, ORDER, 403, "insufficient_scope"),
    "organization suspended": ("cleared", suspend, ORDER, 403, "organization_suspended"),
    "person disabled": ("cleared", disable_the_person, ORDER, 401, "invalid_credentials"),
    "an auditor": ("auditor", nothing, ORDER, 403, "not_permitted"),
    "staff without clearance": ("admin", nothing, ORDER, 403, "not_cleared"),
    "over the quota": ("cleared", use_up_the_quota, ORDER, 429, "quota_exceeded"),
    "over the rate": ("cleared", use_up_the_rate, ORDER, 429, "rate_limited"),
    "no such file": ("cleared", nothing, {**ORDER, "paths": ["secret.bin"]}, 404, "not_found"),
    "not well formed": ("cleared", nothing, {"stage": 7}, 400, "invalid_request"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_its_code_and_is_recorded(sqlite_world: World, case: str) -> None:
    """Who was refused what, when, from where and under which id stands in the table; not one URL was made."""
    world = sqlite_world
    token, happens, order, status, code = REFUSED[case]
    happens(world)
    organization_id = world.caller(token).organization_id
    entries, urls, refused = len(world.entries()), len(world.signed_urls), len(world.refusals())
    problem = require_problem(world.api("POST", "/downloads", token, json=order), status, code)
    assert len(world.entries()) == entries
    assert len(world.signed_urls) == urls
    (row,) = world.refusals()[refused:]
    assert (row.code, row.organization_id, row.request_id) == (code, organization_id, problem["request_id"])
    assert (row.address, row.asked) == ("127.0.0.1", "POST /api/v1/downloads")
    assert row.person_id is not None
    assert row.token_id is not None
    assert abs(row.refused_at - world.clock()) < timedelta(minutes=1)


def test_a_stranger_leaves_no_row(sqlite_world: World) -> None:
    """Without a known token, no 401 is recorded: anyone could fill the table."""
    sqlite_world.api("GET", "/me", None)
    sqlite_world.api("GET", "/me", tokens.render("0" * 12, b"\x01" * 32))
    assert sqlite_world.refusals() == []


def test_the_contact_stands_in_the_next_step(sqlite_world: World) -> None:
    """A refusal says who can help, by the address in the settings."""
    answer = sqlite_world.api("POST", "/downloads", "uncleared", json=ORDER)
    assert sqlite_world.settings.contact in answer.json["next_step"]


def kinds_of_refusal(kind: type[Refused] = Refused) -> Iterator[type[Refused]]:
    for one in kind.__subclasses__():
        yield one
        yield from kinds_of_refusal(one)


@pytest.mark.parametrize("kind", [*kinds_of_refusal()])
def test_every_refusal_has_a_status(kind: type[Refused]) -> None:
    """No refusal can be raised that the web has no status for, and each says what to do now."""
    assert STATUS[kind] in {400, 401, 403, 404, 409, 429, 451, 503}
    assert kind.__doc__
    assert kind.next_step.endswith(".")


def test_codes_are_told_apart() -> None:
    """Two refusals never share a code, but for kinds of one: of what is not found, and of an identity token."""
    kinds = {NotFound, IdentityTokenRefused}
    codes = [kind.code for kind in kinds_of_refusal() if kinds.isdisjoint(kind.__bases__)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "//stages", 404, "not_found"),
        ("POST", "//downloads", 404, "not_found"),
        ("GET", "/stages/", 404, "not_found"),
        ("GET", "/stages/..%2f..%2fetc/passwd", 404, "not_found"),
        ("GET", "/stages/../../../etc/passwd", 404, "not_found"),
        ("GET", "/stages/gpt-2/774M%00", 404, "not_found"),
        ("GET", "/stages/gpt-2/%ff%fe", 404, "not_found"),
        ("GET", "/stages/gpt-2/774M/checkpoints/..%2f..", 404, "not_found"),
        ("GET", "/stages/gpt-2/774M/checkpoints/%00", 404, "not_found"),
        ("GET", "/stages/gpt-2/774M/checkpoints/MAIN", 404, "not_found"),
        ("GET", "/stages/gpt-2/774M/checkpoints/main/manifest/files", 404, "not_found"),
        ("POST", "/downloads/%00/urls", 404, "not_found"),
        ("POST", "/downloads/a'%20or%201=1/urls", 404, "not_found"),
        ("POST", "/downloads/00000000-0000-7000-8000-000000000000/urls", 404, "not_found"),
        ("DELETE", "/downloads", 405, "method_not_allowed"),
        ("PUT", "/tokens", 405, "method_not_allowed"),
        ("POST", "/tokens", 405, "method_not_allowed"),
        ("GET", "/tokens/leaked", 405, "method_not_allowed"),
        ("GET", "/downloads/00000000-0000-7000-8000-000000000000/urls", 405, "method_not_allowed"),
        ("TRACE", "/stages", 405, "method_not_allowed"),
        ("BREW", "/stages", 405, "method_not_allowed"),
        ("GET", "/people?limit=0", 400, "invalid_request"),
        ("GET", "/people?limit=201", 400, "invalid_request"),
        ("GET", "/people?limit=-1", 400, "invalid_request"),
        ("GET", "/people?limit=1_0", 400, "invalid_request"),
        ("GET", "/people?limit=1.0", 400, "invalid_request"),
        ("GET", "/people?limit=ten", 400, "invalid_request"),
        ("GET", "/people?limit=", 400, "invalid_request"),
        ("GET", "/people?limit=1&limit=2", 400, "invalid_request"),
        ("GET", "/people?limit=%D9%A1", 400, "invalid_request"),
        ("GET", "/people?cursor=", 400, "invalid_request"),
        ("GET", "/people?cursor=-1", 400, "invalid_request"),
        ("GET", "/people?cursor=9999999999999999999", 400, "invalid_request"),
        ("GET", "/people?cursor=1%00", 400, "invalid_request"),
        ("GET", "/people?cursor=1'--", 400, "invalid_request"),
        ("GET", "/people?role=owner", 400, "invalid_request"),
        ("GET", "/people?%FF=1", 400, "invalid_request"),
        ("GET", "/me?verbose=1", 400, "invalid_request"),
        ("GET", "/keys?x=1", 400, "invalid_request"),
        ("POST", "/downloads?stage=gpt-2/774M", 400, "invalid_request"),
    ],
)
def test_a_bad_address_gets_its_problem(shared_world: World, method: str, path: str, status: int, code: str) -> None:
    """Whatever is asked for, the answer is a 4xx problem, and nothing is issued."""
    body: dict[str, str] | None = {} if method == "POST" else None
    require_problem(shared_world.api(method, path, json=body), status, code)
    assert shared_world.entries("download") == []


@pytest.mark.parametrize(
    "path", ["/stages/a%00/b", "/stages/gpt-2/%ff", "/stages/gpt-2/774M/checkpoints/%00", "/people?cursor=%00"]
)
def test_no_character_in_an_address_breaks_the_database(world: World, path: str) -> None:
    """What PostgreSQL cannot hold is the caller's fault, and its refusal is recorded without it."""
    answer = world.api("GET", path)
    problem = require_problem(answer, answer.status_code, answer.json["code"])
    assert answer.status_code in {400, 404}
    row = world.refusals()[-1]
    assert row.request_id == problem["request_id"]
    assert row.asked.isprintable()


def test_method_not_allowed_names_the_others(sqlite_world: World) -> None:
    """405 carries Allow (RFC 9110, section 15.5.6)."""
    allowed = sqlite_world.api("PATCH", "/downloads").headers["Allow"]
    assert {method.strip() for method in allowed.split(",")} == {"GET", "HEAD", "OPTIONS", "POST"}


def require_unavailable(world: World, answer: Any) -> None:
    """Nothing could be recorded: when to come back, no URL, no entry."""
    require_problem(answer, 503, "log_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert world.signed_urls == []


@pytest.fixture
def writer_lock(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another process is writing, and does not stop."""
    monkeypatch.setattr(database, "LOCK_WAIT_SECONDS", 0.05)
    path = Path(sqlite_world.settings.database_url.removeprefix("sqlite:///") + ".writer")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.mark.usefixtures("writer_lock")
def test_a_locked_database_issues_nothing(sqlite_world: World) -> None:
    """When no entry can be written in time: 503, and no URL."""
    require_unavailable(sqlite_world, sqlite_world.api("POST", "/downloads", json=ORDER))
    assert sqlite_world.entries("download") == []


@pytest.mark.usefixtures("writer_lock")
def test_a_locked_database_still_answers_readers(sqlite_world: World) -> None:
    """Reading waits for nobody."""
    assert sqlite_world.api("GET", "/stages").status_code == 200


@pytest.mark.usefixtures("writer_lock")
def test_a_refusal_that_cannot_be_recorded_stays_one(sqlite_world: World) -> None:
    """A no is never turned into anything else by the database."""
    require_problem(sqlite_world.api("GET", "/stages/gpt-2/775M"), 404, "not_found")


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://app:secret@127.0.0.1:1/gone", "sqlite:////nowhere/weightgate.sqlite3"]
)
@pytest.mark.parametrize("path", ["/me", "/stages", "/downloads"])
def test_without_a_database_nothing_is_answered(sqlite_world: World, url: str, path: str) -> None:
    """Nobody is taken for a stranger because their token could not be looked up."""
    world = sqlite_world
    whole, world.use.settings = world.use.settings, world.settings.model_copy(update={"database_url": url})
    down = web.create(world.use).test_client()
    headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
    body = ORDER if path == "/downloads" else None
    answer = down.open(f"/api/v1{path}", method="POST" if body else "GET", json=body, headers=headers)
    require_unavailable(world, answer)
    assert "secret" not in answer.text
    world.use.close()
    world.use.settings = whole


@pytest.mark.parametrize("table", ["log_entries", "refusals"])
def test_a_table_that_takes_no_row_gives_no_500(sqlite_world: World, table: str) -> None:
    """Without an entry there is no URL, and without a record a refusal is still the same refusal."""
    path = sqlite_world.settings.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TRIGGER f BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'a fault'); END")
    connection.close()
    if table == "log_entries":
        require_unavailable(sqlite_world, sqlite_world.api("POST", "/downloads", json=ORDER))
    else:
        require_problem(sqlite_world.api("POST", "/downloads", "uncleared", json=ORDER), 403, "not_cleared")


def test_a_table_that_is_gone_is_a_failure_of_ours(world: World) -> None:
    """An old schema answers 503 on both databases, and quotes nothing."""
    engine = create_engine(world.settings.database_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE tiers RENAME TO tiers_of_old"))
    engine.dispose()
    require_problem(world.api("GET", "/tiers"), 503, "log_unavailable")


def test_what_nobody_expected_says_nothing(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in our code is a 500 without its text, under the same headers and with an id to quote."""

    def fault(*_: Any) -> None:
        raise RuntimeError("wgk_ the password is 1234")

    monkeypatch.setattr("server.web.api.tiers.tiers.all_of_them", fault)
    answer = sqlite_world.api("GET", "/tiers")
    problem = require_problem(answer, 500, "internal_error")
    assert "1234" not in answer.text
    assert "request ID" in problem["next_step"]


def test_a_fault_while_refusing_says_nothing(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what goes wrong inside the answering of an error is a 500 of ours."""

    def fault(*_: Any) -> None:
        raise RuntimeError("1234")

    monkeypatch.setattr("server.web.errors.refusals.record", fault)
    require_problem(sqlite_world.api("GET", "/stages/gpt-2/775M"), 500, "internal_error")
