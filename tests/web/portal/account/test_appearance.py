"""Appearance: a visitor's choice of light or dark, without script, kept by their browser alone."""

import pytest

from tests.world import World


@pytest.mark.parametrize("name", ["cleared", None])
def test_the_choice_stays_for_a_year(sqlite_world: World, name: str | None) -> None:
    """Signed in or not: the page comes back as chosen, and the browser keeps it."""
    visit = sqlite_world.visit(name)
    assert "data-theme" not in visit.get("/sign-in").text
    answer = visit.post("/appearance", {"appearance": "dark", "next": "/sign-in?next=/downloads"})
    assert (answer.status_code, answer.location) == (303, "/sign-in?next=/downloads")
    cookie = answer.headers["Set-Cookie"]
    assert "appearance=dark" in cookie
    assert "Max-Age=31536000" in cookie
    assert "HttpOnly" in cookie
    page = visit.get("/")
    assert '<html lang="en" data-theme="dark">' in page.text
    visit.post("/appearance", {"appearance": "system"})
    assert "data-theme" not in visit.get("/").text


def test_the_page_comes_back_here_and_nowhere_else(sqlite_world: World) -> None:
    """The address to go back to is a form's field: another host's is not followed."""
    visit = sqlite_world.visit("cleared")
    for wanted in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""):
        assert visit.post("/appearance", {"appearance": "light", "next": wanted}).location == "/"


def test_what_is_no_appearance_is_refused(sqlite_world: World) -> None:
    """Neither by a form, nor by a cookie that somebody wrote by hand."""
    visit = sqlite_world.visit("cleared")
    for fields in ({}, {"appearance": ""}, {"appearance": 'x" onload="'}, {"appearance": "x" * 1_000_000}):
        assert visit.post("/appearance", fields).status_code in {400, 413}
    assert visit.post("/appearance", {"appearance": "dark"}, csrf="forged").status_code == 400
    visit.client.set_cookie("appearance", 'dark" data-x="')
    assert "data-theme" not in visit.get("/").text
