"""Factors on their pages: replaced, added and removed by their person, shown once, and refused in words."""

import re

import pyotp

from tests.authenticator import Authenticator
from tests.domain.accounts.test_factors import begin_a_step
from tests.visits import Visit, words
from tests.web.portal.account.test_sign_in import code_of, password
from tests.world import World


def add(visit: Visit, device: Authenticator, name: str = "work laptop") -> int:
    options = visit.post("/account/passkeys/begin").text
    return visit.post("/account/passkeys", {"name": name, "answer": device.make(options)}).status_code


def test_the_app_is_replaced_once_the_new_one_shows_a_code(sqlite_world: World) -> None:
    """The page shows the same until then, and after it there is nothing to show."""
    visit = sqlite_world.visit("cleared")
    assert visit.get("/account/totp").headers["Location"] == "/account"
    assert visit.post("/account/totp/begin").headers["Location"] == "/account/totp"
    page = visit.get("/account/totp")
    (secret,) = set(re.findall(r"\b[A-Z2-7]{32}\b", page.text))
    assert visit.get("/account/totp").text.count(secret) == page.text.count(secret)
    wrong = visit.post("/account/totp", {"code": code_of(sqlite_world)})
    assert wrong.status_code == 422
    assert secret in wrong.text
    right = pyotp.TOTP(secret).at(sqlite_world.clock())
    assert visit.post("/account/totp", {"code": right}).headers["Location"] == "/account"
    assert "Your new authenticator app is set up" in words(visit.get("/account"))
    assert visit.post("/account/totp", {"code": right}).headers["Location"] == "/account"


def test_recovery_codes_are_shown_once_and_let_in_whoever_lost_the_device(sqlite_world: World) -> None:
    """Ten; a form that is sent twice makes none; the use of one says how many are left."""
    visit = sqlite_world.visit("cleared")
    made = visit.post("/account/recovery-codes", {"newest": "0"})
    codes = sorted(set(re.findall(r"\b(?:[a-z2-7]{4}-){3}[a-z2-7]{4}\b", made.text)))
    assert len(codes) == 10
    again = visit.post("/account/recovery-codes", {"newest": "0"})
    assert again.status_code == 409
    assert not [code for code in codes if code in again.text]
    assert visit.post("/account/recovery-codes", {"newest": "x"}).status_code == 422
    lost = sqlite_world.visit(None)
    password(lost, sqlite_world)
    assert lost.post("/sign-in/recovery-code", {"code": "abcd-abcd-abcd-abcd"}).status_code == 422
    done = lost.post("/sign-in/recovery-code", {"code": codes[0], "next": "/account"})
    assert done.headers["Location"] == "/account"
    assert "9 recovery codes are left" in words(lost.get("/account"))


def test_a_passkey_is_added_used_renamed_and_removed(sqlite_world: World) -> None:
    """By its person: signing in with it takes neither address nor password, and confirming no code."""
    visit, device = sqlite_world.visit("cleared"), Authenticator()
    assert add(visit, device, "") == 422
    assert add(visit, device) == 303
    assert add(visit, device, "the same again") == 409
    (number,) = set(re.findall(r"/account/passkeys/(\d+)", visit.get("/account").text))
    alone = sqlite_world.visit(None)
    options = alone.post("/sign-in/passkey/begin")
    assert options.mimetype == "application/json"
    bad = alone.post("/sign-in/passkey", {"answer": "{}"})
    assert bad.status_code == 422
    assert "The passkey was not accepted" in words(bad)
    options = alone.post("/sign-in/passkey/begin")
    entered = alone.post("/sign-in/passkey", {"answer": device.answer(options.text), "next": "/account"})
    assert entered.headers["Location"] == "/account"
    alone.grow_stale()
    options = alone.post("/account/confirm/passkey")
    proof = {"next": "/account/passkeys/new", "proof_passkey": device.answer(options.text)}
    assert alone.post("/account/confirm", proof).headers["Location"] == "/account/passkeys/new"
    assert alone.get("/account/passkeys/new").status_code == 200
    foreign = sqlite_world.visit("unsigned")
    assert foreign.get(f"/account/passkeys/{number}").status_code == 404
    assert foreign.post(f"/account/passkeys/{number}/name", {"name": "x"}).status_code == 404
    assert foreign.post(f"/account/passkeys/{number}/remove").status_code == 404
    assert alone.post(f"/account/passkeys/{number}/name", {"name": "x" * 101}).status_code == 422
    assert alone.post(f"/account/passkeys/{number}/name", {"name": "old laptop"}).status_code == 303
    assert "old laptop" in words(alone.get("/account"))
    assert alone.post(f"/account/passkeys/{number}/remove").status_code == 303
    options = sqlite_world.visit(None).post("/sign-in/passkey/begin")
    assert alone.get(f"/account/passkeys/{number}").status_code == 404


def test_after_a_password_a_passkey_is_the_second_factor(sqlite_world: World) -> None:
    """That person's only; and the code still works for who prefers it."""
    mine, foreign = Authenticator(), Authenticator()
    assert add(sqlite_world.visit("cleared"), mine) == 303
    assert add(sqlite_world.visit("unsigned"), foreign) == 303
    visit = sqlite_world.visit(None)
    password(visit, sqlite_world)
    assert "Use a passkey" in words(visit.get("/sign-in/second-factor"))
    options = visit.post("/sign-in/passkey/begin").text
    assert visit.post("/sign-in/passkey", {"answer": foreign.answer(options)}).status_code == 422
    options = visit.post("/sign-in/passkey/begin").text
    assert visit.post("/sign-in/passkey", {"answer": mine.answer(options)}).headers["Location"] == "/"
    again = sqlite_world.visit(None)
    password(again, sqlite_world)
    again.get("/sign-in")  # and it is another who signs in now
    options = again.post("/sign-in/passkey/begin").text
    assert again.post("/sign-in/passkey", {"answer": foreign.answer(options)}).headers["Location"] == "/"
    begin_a_step(sqlite_world)
    password(visit, sqlite_world)
    assert visit.post("/sign-in/second-factor", {"code": code_of(sqlite_world)}).headers["Location"] == "/"
