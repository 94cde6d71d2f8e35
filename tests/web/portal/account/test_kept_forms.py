"""Kept forms: the page that gives back what was typed is its own browser's, for an hour."""

from datetime import timedelta

from tests.visits import words
from tests.web.portal.kit.test_kept_forms import sign_in
from tests.world import World


def test_the_page_shows_what_is_kept_for_an_hour_and_in_one_browser(sqlite_world: World) -> None:
    """Another browser of the same person, and a later hour, find nothing."""
    visit = sqlite_world.visit(None)
    assert visit.post("/people/invite", {"email": "kim@birch.example"}).status_code == 303
    sign_in(sqlite_world, visit, "/account/kept-form")
    assert "kim@birch.example" in words(visit.get("/account/kept-form"))
    assert sqlite_world.visit("uncleared").get("/account/kept-form").headers["Location"] == "/"
    sqlite_world.clock.advance(timedelta(minutes=20))
    visit.get("/account")
    sqlite_world.clock.advance(timedelta(minutes=20))
    visit.get("/account")
    sqlite_world.clock.advance(timedelta(minutes=21))
    assert visit.get("/account/kept-form").headers["Location"] == "/"
    assert "No unsent form is kept" in words(visit.get("/"))


def test_what_nobody_typed_goes_back_unseen(sqlite_world: World) -> None:
    """The key by which a form makes one thing however often it is sent is in the form, and not in what is shown."""
    visit = sqlite_world.visit(None)
    sent = {"name": "training cluster", "made_with": "k" * 22}
    assert visit.post("/tokens/new", sent).status_code == 303
    sign_in(sqlite_world, visit, "/account/kept-form")
    page = visit.get("/account/kept-form")
    assert "training cluster" in words(page)
    assert "Made with" not in words(page)
    assert '<textarea name="made_with" hidden>' in page.text
