"""A forgotten password: the same answer for everybody, and a link that needs the second factor as well."""

from tests.domain.accounts.test_factors import begin_a_step
from tests.domain.accounts.test_password_resets import PASSWORD, ask
from tests.visits import words
from tests.web.portal.account.test_sign_in import code_of
from tests.world import World


def test_whoever_asks_reads_the_same(sqlite_world: World) -> None:
    """An address that somebody has, one that nobody has; and after a few, that it is enough."""
    visit, known = sqlite_world.visit(None), sqlite_world.example.people["cleared"]["email"]
    assert visit.post("/password/forgotten", {"email": ""}).status_code == 422
    pages = [visit.post("/password/forgotten", {"email": email}) for email in (known, "nobody@example.org")]
    assert {(page.status_code, page.headers["Location"]) for page in pages} == {(303, "/password/sent")}
    assert "If there is an account with this address" in words(visit.get("/password/sent"))
    more = [visit.post("/password/forgotten", {"email": known}).status_code for _ in range(5)]
    assert more == [303] * 4 + [429]


def test_a_link_leads_to_a_new_password(sqlite_world: World) -> None:
    """With the second factor; what was signed in is so no more, and the link is used up."""
    world, there = sqlite_world, sqlite_world.visit("cleared")
    visit, path = world.visit(None), f"/password/{ask(world)}"
    page = visit.get(path)
    assert page.headers["Referrer-Policy"] == "no-referrer"
    for refused in (visit.post(path, {"unknown": "1"}), visit.post(path, csrf="none")):
        assert (refused.status_code, refused.headers["Referrer-Policy"]) == (400, "no-referrer")
    begin_a_step(world)
    wrong = visit.post(path, {"password": PASSWORD, "code": "12"})
    assert (wrong.status_code, PASSWORD in wrong.text) == (422, False)
    assert visit.post(path, {"password": "short", "code": code_of(world)}).status_code == 422
    assert visit.post(path, {"password": PASSWORD, "code": code_of(world)}).headers["Location"] == "/sign-in"
    assert "signed out everywhere" in words(visit.get("/sign-in"))
    assert there.get("/account").status_code == 303
    for over in (path, "/password/" + "x" * 43):
        late = visit.get(over)
        assert late.status_code == 410
        assert "This link no longer works" in words(late)
        assert visit.post(over, {"password": PASSWORD, "code": "123456"}).status_code == 410
    untold = visit.post(path, csrf="none")  # that the link is over is all there is to say
    assert (untold.status_code, untold.headers["Referrer-Policy"]) == (410, "no-referrer")
    person = {"email": world.example.people["cleared"]["email"], "password": PASSWORD}
    assert visit.post("/sign-in", person).headers["Location"] == "/sign-in/second-factor"
