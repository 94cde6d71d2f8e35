"""Find anything: one thing opens at once, several are listed, and a secret is never repeated."""

import re

from server.domain.downloads import issuing
from tests.plans import plans
from tests.visits import words
from tests.world import World


def test_one_thing_opens_and_several_are_listed(sqlite_world: World) -> None:
    """Each with its page, as far as the role of whoever looks has one."""
    world = sqlite_world
    made = issuing.issue(world.use, world.caller("cleared"), world.order())
    for name in ("admin", "auditor", "publisher", "cleared"):
        visit = world.visit(name)
        assert visit.get(f"/find?q={made.id}").headers["Location"] == f"/downloads/{made.id}"
        several = visit.get("/find?q=gpt-2")
        assert several.status_code == 200
        assert 'href="/stages/gpt-2/774M"' in several.text
        for query in ("owner@aurora", "aurora", "mini-gpt/base", "model-sharing"):
            answer = visit.get(f"/find?q={query}", follow_redirects=True)
            assert answer.status_code == 200, (name, query)
    assert "Nothing has this name" in words(world.visit("unsigned").get(f"/find?q={made.id}"))


def test_a_refused_request_is_told(sqlite_world: World) -> None:
    """It has no page of its own: the list says what was asked and why it was refused."""
    sqlite_world.api("POST", "/downloads", "uncleared", json={"stage": "gpt-2/774M"})
    request_id = sqlite_world.refusals()[-1].request_id
    page = words(sqlite_world.visit("auditor").get(f"/find?q={request_id}"))
    assert "POST /api/v1/downloads: Your organization is not cleared" in page


def test_a_whole_token_is_not_looked_up(sqlite_world: World) -> None:
    """Like any address with a secret in it, it is refused, and not repeated."""
    token = sqlite_world.example.tokens["cleared"]
    page = sqlite_world.visit("auditor").get(f"/find?q={token}")
    assert page.status_code == 400
    assert token not in page.text


def test_each_look_up_goes_by_an_index(world: World) -> None:
    """A request and a hash are looked up where they begin, however many there are."""
    visit = world.visit("auditor")
    plans(world, "refusals", lambda: visit.get(f"/find?q={'ab' * 8}"))
    plans(world, "checkpoints", lambda: visit.get(f"/find?q={'ab' * 8}"))


def test_the_box_is_on_every_page_of_whoever_is_signed_in(sqlite_world: World) -> None:
    """It sends what the search reads; and on none of a stranger's."""
    home = sqlite_world.visit("cleared").get("/").text
    box = re.search(r'<form [^>]*action="/find".*?<input [^>]*name="(\w+)".*?</form>', home, re.DOTALL)
    assert box is not None
    made = issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    found = sqlite_world.visit("cleared").get(f"/find?{box[1]}={made.id}")
    assert found.headers["Location"] == f"/downloads/{made.id}"
    assert 'action="/find"' not in sqlite_world.visit(None).get("/").text
    assert sqlite_world.visit("auditor").get("/find?q=a%00b").status_code == 422
