"""Account: each sees and changes their own; what was done stands there, and nobody else's."""

import re
from datetime import timedelta

import pytest

from server.domain.downloads import issuing
from server.domain.errors import NotPermitted
from server.domain.identity import authentication, people, sessions, tokens
from server.domain.identity.people import Person
from server.domain.permissions import Role, Scope
from tests.own_account import OWN, set_up_app
from tests.visits import words
from tests.world import STRANGER, World


def test_the_account_shows_how_one_signs_in(sqlite_world: World) -> None:
    """Who one is, which factors there are, and where one is signed in."""
    page = sqlite_world.visit("cleared").get("/account")
    for sentence in ("You sign in as", "You have no recovery codes", "Your passkeys will appear here", "this session"):
        assert sentence in words(page)


def test_changing_the_password_needs_the_present_one(sqlite_world: World) -> None:
    """Refused with what to correct, and nothing typed is sent back; then the new one counts, once."""
    visit, person = sqlite_world.visit("cleared"), sqlite_world.example.people["cleared"]
    wrong = visit.post("/account/password", {"current_password": "not this", "new_password": "a new long password"})
    assert wrong.status_code == 422
    assert "The current password is incorrect" in words(wrong)
    assert "a new long password" not in wrong.text
    short = visit.post("/account/password", {"current_password": person["password"], "new_password": "short"})
    assert "15 to 256 characters" in words(short)
    right = {"current_password": person["password"], "new_password": "a new long password"}
    assert visit.post("/account/password", right).headers["Location"] == "/account"
    assert "Your password has been changed" in words(visit.get("/account"))
    assert visit.post("/account/password", right).status_code == 422
    assert [record["person"] for record in sqlite_world.records("person.password_change")] == [person["email"]]


def test_activity_is_one_s_own(sqlite_world: World) -> None:
    """By the log: not a colleague's, not another organization's; and sign-ins below it."""
    visit, other = sqlite_world.visit("cleared"), sqlite_world.visit("unsigned")
    visit.post("/account/recovery-codes", {"newest": "0"})
    mine = words(visit.get("/account/activity"))
    assert "Second factor added" in mine
    assert "app code" in mine
    assert "Second factor added" not in words(other.get("/account/activity"))
    assert visit.get("/account/activity?cursor=x").status_code == 400


def test_a_stranger_is_asked_to_sign_in(sqlite_world: World) -> None:
    """On every page of the account; and a POST is refused."""
    visit = sqlite_world.visit(None)
    for path in ("", "/activity", "/password", "/sessions", "/recovery-codes", "/passkeys/new", "/totp", "/passkeys/1"):
        assert visit.get(f"/account{path}").headers["Location"] == f"/sign-in?next=/account{path}"
    for path in ("/password", "/sessions/1/end", "/sessions/end-others", "/recovery-codes", "/passkeys", "/totp/begin",
                 "/passkeys/begin", "/passkeys/1/remove", "/confirm", "/confirm/passkey"):  # fmt: skip
        assert visit.post(f"/account{path}").status_code == 401


MIA = "mia@aurora-institute.example"


def test_an_account_that_somebody_else_set_up_is_first_made_one_s_own(world: World) -> None:
    """Each page leads to the account, whose two steps are the only ones that there are; then everything opens."""
    password, _ = people.add(world.use, world.admin, "aurora-institute", MIA, "Mia", Role.MEMBER)
    world.example.people["mia"] = {"email": MIA}
    here = world.visit("mia")
    for path in ("/", "/downloads", "/tokens/new", "/findings", "/stages/gpt-2/124M", "/agreements"):
        assert here.get(path).headers["Location"] == "/account", path
    assert here.post("/tokens/new", {"name": "x"}).status_code == 403
    page = here.get("/account")
    assert "First, make this account your own" in words(page)
    assert "Main places" not in page.text
    here.post("/account/password", {"current_password": password, "new_password": OWN})
    page = here.get("/account")
    assert re.search(r'<li class="done">Choose your own password', page.text)
    assert here.get("/tokens").headers["Location"] == "/account"
    set_up_app(world.use, MIA)
    here = world.visit("mia")
    assert "make this account your own" not in words(here.get("/account"))
    assert here.get("/tokens").status_code == 200


def test_an_account_of_somebody_else_s_making_does_nothing_by_any_door(sqlite_world: World) -> None:
    """Whatever the role allows: the session itself may only set up its account."""
    world = sqlite_world
    people.add(world.use, world.admin, "aurora-institute", MIA, "Mia", Role.OWNER)
    with world.use.database.transaction() as session:
        number = session.query(Person.id).filter_by(email=MIA).scalar()
        secret = sessions.begin(session, STRANGER, number, "totp", world.clock())
    caller, no = authentication.identify_session(world.use, secret, STRANGER)
    assert (no, caller.is_handed) == (None, True)
    with pytest.raises(NotPermitted, match="someone else set up for you"):
        tokens.create(world.use, caller, "x", [Scope.STAGES_READ], timedelta(days=1))
    with pytest.raises(NotPermitted, match="someone else set up for you"):
        issuing.issue(world.use, caller, world.order("gpt-2/124M"))
