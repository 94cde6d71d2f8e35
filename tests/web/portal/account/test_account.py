"""Account: each sees and changes their own; what was done stands there, and nobody else's."""

from tests.visits import words
from tests.world import World


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
