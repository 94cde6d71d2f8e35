"""Freshness: an act of the lab needs a proof of just now, and asking for it loses nothing that was typed."""

import re

from tests.domain.accounts.test_factors import begin_a_step
from tests.visits import Visit, words
from tests.web.portal.account.test_sign_in import code_of
from tests.world import World

ACT = "/account/password"


def fields(world: World) -> dict[str, str]:
    return {"current_password": world.example.people["cleared"]["password"], "new_password": "quite another password"}


def cookie(visit: Visit) -> str:
    found = visit.client.get_cookie("weightgate-session")
    assert found is not None
    return found.value


def test_a_stale_act_asks_for_proof_and_then_goes_on(sqlite_world: World) -> None:
    """In one more request; what was typed is carried, but for passwords, which are never sent back."""
    visit = sqlite_world.visit("cleared")
    visit.grow_stale()
    before = cookie(visit)
    asked = visit.post("/account/recovery-codes", {"newest": "0"})
    assert asked.status_code == 403
    assert "Confirm it’s you" in words(asked)
    assert 'name="newest" value="0"' in asked.text
    assert 'action="/account/recovery-codes"' in asked.text
    begin_a_step(sqlite_world)
    wrong = visit.post("/account/recovery-codes", {"newest": "0", "proof_code": "abc"})
    assert wrong.status_code == 422
    assert 'name="newest" value="0"' in wrong.text
    assert "abc" not in re.sub(r"<code>.*?</code>", "", wrong.text)
    assert cookie(visit) == before
    code = code_of(sqlite_world)
    done = visit.post("/account/recovery-codes", {"newest": "0", "proof_code": code})
    assert done.status_code == 200
    assert len(re.findall(r"\b(?:[a-z2-7]{4}-){3}[a-z2-7]{4}\b", words(done))) >= 10
    assert cookie(visit) != before
    visit.grow_stale()
    again = visit.post("/account/recovery-codes", {"newest": "0", "proof_code": code})
    assert "has already been used" in words(again)


def test_passwords_are_not_carried(sqlite_world: World) -> None:
    """The page with the proof does not hold them; after it they are asked for again, and nothing is changed yet."""
    visit = sqlite_world.visit("cleared")
    visit.grow_stale()
    assert visit.get(ACT).headers["Location"] == "/account/confirm?next=/account/password"
    asked = visit.post(ACT, fields(sqlite_world))
    assert asked.status_code == 403
    assert not [value for value in fields(sqlite_world).values() if value in asked.text]
    proven = visit.post(ACT, {"proof_code": code_of(sqlite_world)})
    assert proven.status_code == 422
    assert "This field is required." in words(proven)
    assert visit.post(ACT, fields(sqlite_world)).headers["Location"] == "/account"


def test_a_page_that_needs_proof_is_reached_through_it(sqlite_world: World) -> None:
    """And through it only our own pages are."""
    visit = sqlite_world.visit("cleared")
    visit.grow_stale()
    asked = visit.get("/account/confirm?next=//evil.example")
    assert asked.status_code == 403
    assert 'name="next" value="/"' in asked.text
    asked = visit.get("/account/confirm?next=/account/password")
    assert 'name="next" value="/account/password"' in asked.text
    wanted = {"next": "/account/password", "proof_code": code_of(sqlite_world)}
    assert visit.post("/account/confirm", wanted).headers["Location"] == "/account/password"
    assert visit.get(ACT).status_code == 200
    assert visit.post("/account/confirm", {"next": "//evil.example"}).headers["Location"] == "/"


def test_wrong_proofs_are_counted(sqlite_world: World) -> None:
    """The eleventh is not looked at."""
    visit = sqlite_world.visit("cleared")
    visit.grow_stale()
    answers = [visit.post("/account/confirm", {"proof_code": "abc"}).status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]
    assert visit.post("/account/confirm", {"proof_code": code_of(sqlite_world)}).status_code == 429
