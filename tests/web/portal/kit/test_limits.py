"""Limits: counted by where a request really comes from; and when nobody can count, nobody tries."""

from contextlib import suppress

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from server.domain.errors import LogUnavailable, TooManyAttempts
from server.web import app as web
from server.web.portal.kit import limits
from server.web.portal.kit.limits import RATES, Limit
from tests.redis_server import RedisServer
from tests.visits import Visit, visit, words
from tests.world import WatchedResources, World

FEW = Limit.MAIL_OF_ADDRESS


@pytest.fixture
def app(sqlite_world: World) -> Flask:
    return web.create(sqlite_world.use)


def tries(app: Flask, address: str, times: int = 1, forwarded: str = "") -> int:
    """How many of so many tries from an address are let through."""
    let = 0
    for number in range(times):
        headers = {"X-Forwarded-For": forwarded.format(number)} if forwarded else {}
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}, headers=headers):
            app.preprocess_request()
            with suppress(TooManyAttempts):
                limits.count_here(FEW)
                let += 1
    return let


def test_nobody_chooses_what_they_are_counted_by(app: Flask) -> None:
    """Not by a header, not by an address of their own network; somebody else is counted for themselves."""
    most = RATES[FEW].amount
    assert tries(app, "192.0.2.1", most + 5, forwarded="198.51.100.{}") == most
    assert tries(app, "192.0.2.2") == 1
    assert tries(app, "2001:db8:1:2::1", most) == most
    assert tries(app, "2001:db8:1:2:ffff::9") == 0
    assert tries(app, "2001:db8:1:3::1") == 1


def passwords(app: Flask, address: str, times: int = 1, email: str = "a@b.example") -> int:
    """How many of so many tries with a password are let through, from a browser that has no name."""
    let = 0
    for _ in range(times):
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
            app.preprocess_request()
            with suppress(TooManyAttempts):
                limits.count_sign_in(email)
                let += 1
    return let


def test_an_account_is_counted_however_it_is_written(app: Flask) -> None:
    """Capitals and spaces make no other account; a right try forgives those before, and each thing is counted alone."""
    most = RATES[Limit.SIGN_IN_OF_ACCOUNT_HERE].amount
    assert passwords(app, "192.0.2.1", most - 1, " A@b.example") == most - 1
    assert passwords(app, "192.0.2.1", 5, "a@B.EXAMPLE ") == 1
    assert passwords(app, "192.0.2.1", 1, "other@b.example") == 1
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.1"}):
        app.preprocess_request()
        limits.count(Limit.MAIL_OF_ACCOUNT, "a@b.example")
        limits.forgive_sign_in("A@b.example")
    assert passwords(app, "192.0.2.1", most + 5) == most


def test_nobody_uses_up_an_account_s_tries_from_one_network(app: Flask) -> None:
    """Each network has its own; what it is refused does not count elsewhere. All together have more, for an hour."""
    here, everywhere = RATES[Limit.SIGN_IN_OF_ACCOUNT_HERE].amount, RATES[Limit.SIGN_IN_OF_ACCOUNT].amount
    assert passwords(app, "192.0.2.1", 2 * everywhere) == here
    assert passwords(app, "192.0.2.2") == 1
    networks = [passwords(app, f"2001:db8:{number:x}::1", here + 1) for number in range(everywhere // here)]
    assert networks == [*[here] * (everywhere // here - 2), here - 1, 0]
    assert passwords(app, "192.0.2.3", email="other@b.example") == 1


def test_all_web_processes_count_together(sqlite_world: World, redis_server: RedisServer) -> None:
    """In a Redis: what one has counted and forgiven, the other knows; while it is away, nobody tries."""
    use = with_redis(sqlite_world, redis_server.url)
    one, other = web.create(use), web.create(use)
    most = RATES[FEW].amount
    assert tries(one, "192.0.2.1", most - 1) == most - 1
    assert tries(other, "192.0.2.1", 5) == 1
    assert tries(one, "192.0.2.1") == 0
    assert tries(other, "192.0.2.2") == 1
    person = sqlite_world.example.people["cleared"]["email"]
    for _ in range(RATES[Limit.SIGN_IN_OF_ACCOUNT_HERE].amount):
        assert sign_in(visit(one, use, None), person).status_code == 422
    assert sign_in(visit(other, use, None), person).status_code == 429
    with one.test_request_context(environ_base={"REMOTE_ADDR": "127.0.0.1"}):
        one.preprocess_request()
        limits.forgive_sign_in(person)
    assert sign_in(visit(other, use, None), person).status_code == 422
    redis_server.end()
    assert sign_in(visit(one, use, None), person).status_code == 503
    redis_server.start()  # it forgot, and that is all
    assert sign_in(visit(one, use, None), person).status_code == 422
    use.close()


def sign_in(guest: Visit, email: str) -> TestResponse:
    return guest.post("/sign-in", {"email": email, "password": "not the right one"})


def with_redis(world: World, url: str) -> WatchedResources:
    return WatchedResources(world.settings.model_copy(update={"redis_url": url}), world.clock)


def test_when_nobody_can_count_nobody_tries(sqlite_world: World) -> None:
    """A Redis that is named and away: 503, with when to come back; nothing is looked at."""
    use = with_redis(sqlite_world, "redis://127.0.0.1:1/0")
    away = web.create(use)
    with away.test_request_context():
        away.preprocess_request()
        with pytest.raises(LogUnavailable):
            limits.count_here(FEW)
        limits.forgive_sign_in("a@b.example")  # what was right before it went away stays right
    guest = visit(away, use, None)
    person = sqlite_world.example.people["cleared"]
    page = guest.post("/sign-in", {"email": person["email"], "password": person["password"]})
    assert page.status_code == 503
    assert "Retry-After" in page.headers
    assert "cannot be recorded right now" in words(page)
    use.close()
