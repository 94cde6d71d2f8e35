"""Sign-in through the pages: what opens the door, what does not, and that nobody learns which part was wrong."""

from datetime import timedelta
from typing import Any

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from werkzeug.test import TestResponse

from server.domain.identity.people import Person
from server.domain.identity.sessions import SignIn
from server.storage import keys
from tests.domain.accounts.test_factors import begin_a_step
from tests.visits import Visit, words
from tests.web.portal.kit.test_limits import passwords
from tests.world import World

WHO = "cleared"
HOME = '<input id="next" name="next" type="hidden" value="/">'


def code_of(world: World, name: str = WHO, seconds: float = 0) -> str:
    """What the person's app shows, on a phone whose clock is ahead by so many seconds."""
    with world.use.database.reading() as session:
        person = session.scalars(select(Person).where(Person.email == world.example.people[name]["email"])).one()
    secret = keys.unseal(world.use.secret, "totp", person.totp_secret_sealed).decode()
    return pyotp.TOTP(secret).at(world.clock() + timedelta(seconds=seconds))


def password(visit: Visit, world: World, name: str = WHO, **fields: str) -> TestResponse:
    person = world.example.people[name]
    return visit.post("/sign-in", {"email": person["email"], "password": person["password"], **fields})


def second(visit: Visit, code: str, **fields: str) -> TestResponse:
    return visit.post("/sign-in/second-factor", {"code": code, **fields})


def rows(world: World) -> list[Any]:
    with world.use.database.reading() as session:
        return list(session.scalars(select(SignIn).order_by(SignIn.id)))


def test_password_and_code_open_the_portal(sqlite_world: World) -> None:
    """Both together, in this order; the session is bound to a cookie that scripts cannot read."""
    visit = sqlite_world.visit(None)
    asked = visit.get("/account")
    assert (asked.status_code, asked.headers["Location"]) == (303, "/sign-in?next=/account")
    first = password(visit, sqlite_world, next="/account")
    assert (first.status_code, first.headers["Location"]) == (303, "/sign-in/second-factor?next=/account")
    assert rows(sqlite_world) == []
    done = second(visit, code_of(sqlite_world), next="/account")
    assert (done.status_code, done.headers["Location"]) == (303, "/account")
    cookie = next(line for line in done.headers.getlist("Set-Cookie") if line.startswith("weightgate-session="))
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Account" in words(visit.get("/account"))


def test_a_code_alone_or_a_password_alone_opens_nothing(sqlite_world: World) -> None:
    """A session begins with the second factor, and the second page knows of a first."""
    visit = sqlite_world.visit(None)
    alone = second(visit, code_of(sqlite_world))
    assert (alone.status_code, alone.headers["Location"]) == (303, "/sign-in")
    password(visit, sqlite_world)
    assert visit.get("/account").status_code == 303
    assert rows(sqlite_world) == []


def test_an_unknown_person_and_a_wrong_password_are_answered_alike(sqlite_world: World) -> None:
    """Same status, same words, and nothing in the cookie but what was there."""
    person = sqlite_world.example.people[WHO]
    visit = sqlite_world.visit(None)
    pairs = (("nobody@example.org", person["password"]), (person["email"], "wrong"), (person["email"], "x" * 256))
    for email, typed in pairs:
        page = visit.post("/sign-in", {"email": email, "password": typed})
        assert page.status_code == 422
        assert "Incorrect email address or password. Try again" in words(page)
        assert email in page.text  # nothing typed is lost,
        assert typed not in page.text  # but the password
        assert visit.get("/sign-in/second-factor").status_code == 303


def test_a_code_works_once(sqlite_world: World) -> None:
    """Neither for another sign-in in its half minute, nor for a code before it."""
    visit, other = sqlite_world.visit(None), sqlite_world.visit(None)
    begin_a_step(sqlite_world)
    code, before = code_of(sqlite_world), code_of(sqlite_world, seconds=-30)
    password(visit, sqlite_world)
    assert second(visit, code).status_code == 303
    password(other, sqlite_world)
    for used in (code, before):
        again = second(other, used)
        assert again.status_code == 422
        assert "has already been used: each code works once" in words(again)
    assert len(rows(sqlite_world)) == 1
    assert second(other, code_of(sqlite_world, seconds=30)).status_code == 303


@pytest.mark.parametrize(("seconds", "works"), [(-30, True), (30, True), (-90, False), (90, False)])
def test_a_phone_s_clock_may_be_half_a_minute_off(sqlite_world: World, seconds: float, works: bool) -> None:
    """A step either way; further, the page says what to look at."""
    visit = sqlite_world.visit(None)
    password(visit, sqlite_world)
    begin_a_step(sqlite_world)
    page = second(visit, code_of(sqlite_world, seconds=seconds))
    assert page.status_code == (303 if works else 422)
    assert works or "clock to automatic" in words(page)


def test_five_wrong_codes_end_a_sign_in(sqlite_world: World) -> None:
    """Then not even the right one helps: begin again, with the password."""
    visit = sqlite_world.visit(None)
    password(visit, sqlite_world)
    right = code_of(sqlite_world)
    wrong = "000000" if right != "000000" else "111111"
    assert [second(visit, wrong).status_code for _ in range(5)][:4] == [422] * 4
    late = second(visit, right)
    assert (late.status_code, late.headers["Location"]) == (303, "/sign-in")
    assert "Start again" in words(visit.get("/sign-in"))
    assert rows(sqlite_world) == []


def test_a_second_factor_has_five_minutes(sqlite_world: World) -> None:
    """Whoever walks away leaves nothing half open."""
    visit = sqlite_world.visit(None)
    password(visit, sqlite_world)
    sqlite_world.clock.advance(timedelta(minutes=5))
    assert second(visit, code_of(sqlite_world)).headers["Location"] == "/sign-in"
    assert rows(sqlite_world) == []


def test_next_leads_to_our_own_pages_only(sqlite_world: World) -> None:
    """Whatever the address said, whoever signs in stays here."""
    visit, world = sqlite_world.visit(None), sqlite_world
    foreign = ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "javascript:alert(1)"]
    for wanted in foreign:
        assert HOME in visit.get("/sign-in", query_string={"next": wanted}).text
        assert password(visit, world, next=wanted).headers["Location"] == "/sign-in/second-factor"
        assert HOME in visit.get("/sign-in/second-factor", query_string={"next": wanted}).text
    assert second(visit, code_of(world), next=foreign[0]).headers["Location"] == "/"


def test_too_many_tries_for_an_account_are_not_looked_at(sqlite_world: World) -> None:
    """The eleventh from one place waits, even with the right password; another account from there does not."""
    visit = sqlite_world.visit(None)
    person = sqlite_world.example.people[WHO]
    with_cheap_password(sqlite_world, "cheap")
    tries = [visit.post("/sign-in", {"email": person["email"].upper(), "password": "wrong"}) for _ in range(10)]
    assert {page.status_code for page in tries} == {422}
    late = visit.post("/sign-in", {"email": f" {person['email']}", "password": "cheap"})
    assert late.status_code == 429
    assert 1 <= int(late.headers["Retry-After"]) <= 900
    assert "Nobody was signed in" in words(late)
    assert password(visit, sqlite_world, "unsigned").status_code == 303


def sign_in_from(world: World, visit: Visit, address: str) -> TestResponse:
    visit.client.environ_base["REMOTE_ADDR"] = address
    begin_a_step(world)
    first = password(visit, world)
    return first if first.status_code != 303 else second(visit, code_of(world))


def test_strangers_cannot_keep_an_owner_out(sqlite_world: World) -> None:
    """Twenty wrong passwords from elsewhere stop nobody; nor does anything, where the owner has signed in before."""
    world, owner, stranger = sqlite_world, sqlite_world.visit(None), sqlite_world.visit(None)
    email = world.example.people[WHO]["email"]
    with_cheap_password(world, world.example.people[WHO]["password"])
    stranger.client.environ_base["REMOTE_ADDR"] = "198.51.100.1"
    tries = [stranger.post("/sign-in", {"email": email, "password": "wrong"}).status_code for _ in range(20)]
    assert tries == [422] * 10 + [429] * 10
    assert sign_in_from(world, owner, "192.0.2.1").headers["Location"] == "/"
    owner.post("/sign-out")
    app = owner.client.application
    assert sum(passwords(app, f"203.0.113.{number}", 20, email) for number in range(20)) < 100
    assert sign_in_from(world, world.visit(None), "192.0.2.1").status_code == 429
    assert sign_in_from(world, owner, "198.51.100.1").headers["Location"] == "/"


def test_a_known_device_has_tries_of_its_own(sqlite_world: World) -> None:
    """Whoever takes it gains ten tries for that account, not as many as they like, and takes none from others."""
    world, owner = sqlite_world, sqlite_world.visit(None)
    email = world.example.people[WHO]["email"]
    assert sign_in_from(world, owner, "192.0.2.1").status_code == 303
    owner.post("/sign-out")
    tries = [owner.post("/sign-in", {"email": email, "password": "wrong"}).status_code for _ in range(11)]
    assert tries == [422] * 10 + [429]
    assert sign_in_from(world, world.visit(None), "192.0.2.1").status_code == 303


def test_passkeys_are_counted_apart(sqlite_world: World) -> None:
    """Wrong passwords from the same network leave the owner's passkey as it is."""
    guest = sqlite_world.visit(None)
    assert passwords(guest.client.application, "127.0.0.1", 300) < 300
    assert guest.post("/sign-in", {"email": "other@b.example", "password": "x"}).status_code == 429
    assert guest.post("/sign-in/passkey/begin").status_code == 200


def test_a_disabled_person_is_told_so_after_the_password_only(sqlite_world: World) -> None:
    """Whoever does not know the password learns nothing of it."""
    email = sqlite_world.example.people["uncleared"]["email"]
    with sqlite_world.use.database.transaction() as session:
        session.scalars(select(Person).where(Person.email == email)).one().disabled_at = sqlite_world.clock()
    visit = sqlite_world.visit(None)
    assert visit.post("/sign-in", {"email": email, "password": "not the password"}).status_code == 422
    assert password(visit, sqlite_world, "uncleared").status_code == 403


def test_signing_in_leaves_nothing_of_what_was_planted(sqlite_world: World) -> None:
    """A new secret at each sign-in; the session that was there before has ended."""
    visit = sqlite_world.visit("unsigned")
    before = visit.client.get_cookie("weightgate-session")
    assert visit.get("/sign-in").headers["Location"] == "/"  # signed in already
    password(visit, sqlite_world)
    second(visit, code_of(sqlite_world))
    after = visit.client.get_cookie("weightgate-session")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    old, new = rows(sqlite_world)
    assert old.ended_at is not None
    assert new.ended_at is None


def test_going_back_after_signing_in_says_what_to_do(sqlite_world: World) -> None:
    """The page of before is of no use: its form is not taken, and nothing breaks."""
    visit = sqlite_world.visit(None)
    password(visit, sqlite_world)
    token, code = visit.csrf_token, code_of(sqlite_world)
    assert second(visit, code).status_code == 303
    back = visit.post("/sign-in/second-factor", {"code": code}, csrf=token)
    assert back.status_code == 400
    assert "reload the page" in words(back)
    assert second(visit, code).headers["Location"] == "/sign-in"
    assert len(rows(sqlite_world)) == 1


def test_signing_out_ends_the_session_itself(sqlite_world: World) -> None:
    """Whoever copied the cookie has nothing; and a session that has ended can still be signed out of."""
    visit = sqlite_world.visit(WHO)
    cookie = visit.client.get_cookie("weightgate-session")
    assert cookie is not None
    assert visit.get("/sign-out").status_code == 405
    out = visit.post("/sign-out")
    assert (out.status_code, out.headers["Location"]) == (303, "/sign-in")
    assert visit.client.get_cookie("weightgate-session") is None
    visit.client.set_cookie("weightgate-session", cookie.value)
    assert visit.get("/account").headers["Location"] == "/sign-in?next=/account"
    assert visit.get("/sign-in").status_code == 200
    assert visit.post("/sign-out").status_code == 303


def test_forms_without_our_token_are_refused(sqlite_world: World) -> None:
    """Nobody signs somebody in from a foreign page."""
    visit = sqlite_world.visit(None)
    for token in ("", "x" * 91, visit.csrf_token[:-1]):
        for path in ("/sign-in", "/sign-in/second-factor", "/sign-in/recovery-code", "/sign-in/passkey", "/sign-out"):
            assert visit.post(path, {"code": "1"}, csrf=token).status_code == 400


def test_bad_input_is_said_to_be_bad(sqlite_world: World) -> None:
    """Missing, too long, and what the page does not have; before anything is hashed."""
    visit = sqlite_world.visit(None)
    assert visit.post("/sign-in").status_code == 422
    assert visit.post("/sign-in", {"email": "x" * 255, "password": "y"}).status_code == 422
    assert visit.post("/sign-in", {"email": "a@b", "password": "z" * 300_000}).status_code == 422
    assert visit.post("/sign-in", {"email": "a@b", "password": "z", "role": "admin"}).status_code == 400
    assert visit.post("/sign-in", {"email": ["a@b", "c@d"], "password": "z"}).status_code == 400
    assert visit.post("/sign-in", {"email": "a@b", "password": "z" * 1_000_001}).status_code == 413


def with_cheap_password(world: World, password: str) -> None:
    """As the person's own; with our own parameters argon2 would take most of the time of a test of many tries."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)
    with world.use.database.transaction() as session:
        email = world.example.people[WHO]["email"]
        session.scalars(select(Person).where(Person.email == email)).one().password_hash = cheap


def test_admins_land_on_what_waits_for_them(sqlite_world: World) -> None:
    """Everybody else on the ladder; and whoever was on the way to a page, on that page."""
    for name, wanted, lands in (
        ("admin", "/", "/admin/queue"),
        ("admin", "/account", "/account"),
        ("auditor", "/", "/"),
        ("uncleared", "/", "/"),
    ):
        visit = sqlite_world.visit(None)
        password(visit, sqlite_world, name)
        code = code_of(sqlite_world, name, seconds=0 if wanted == "/" else 30)
        answer = visit.post("/sign-in/second-factor", {"code": code, "next": wanted})
        assert answer.headers["Location"] == lands, (name, wanted)
