"""Help: every word that a page links is explained, and two words that sound alike are told apart."""

import re
from pathlib import Path

import pytest

from server import web
from server.web.portal.help.glossary import TERMS
from tests.visits import words
from tests.world import World

TEMPLATES = Path(web.__file__).parent / "templates"
LINKED = re.compile(r"term\('([a-z-]+)'")


def test_each_term_is_explained_where_its_link_leads(sqlite_world: World) -> None:
    """Without sign-in; in the order of the alphabet, each once."""
    page = sqlite_world.visit(None).get("/help")
    names = [term.name for term in TERMS]
    assert names == sorted(set(names), key=str.lower)
    for term in TERMS:
        assert f'id="{term.anchor}"' in page.text
        assert term.meaning in words(page)


def test_the_words_of_the_evidence_are_linked_where_they_stand() -> None:
    """Tier, clearance, head, anchor, receipt; and no page links a word that is not there."""
    linked = {name for path in TEMPLATES.rglob("*.html") for name in LINKED.findall(path.read_text(encoding="utf-8"))}
    assert {"tier", "clearance", "head", "anchor", "receipt"} <= linked
    assert linked <= {term.anchor for term in TERMS}


@pytest.mark.parametrize(
    ("path", "who", "linked"),
    [
        ("/stages/gpt-2/774M", "cleared", {"tier", "clearance", "agreement", "checkpoint"}),
        ("/stages/gpt-2/774M", "uncleared", {"tier", "clearance", "agreement", "checkpoint"}),
        ("/stages/gpt-2/774M/main", "cleared", {"download", "log", "checkpoint"}),
        ("/stages/gpt-2/774M/main/commands", "cleared", {"token"}),
        ("/requests/new", "uncleared", {"tier", "clearance"}),
    ],
)
def test_partners_find_their_terms_explained(sqlite_world: World, path: str, who: str, linked: set[str]) -> None:
    """On each page about a stage, once each, and where they ask for one."""
    page = sqlite_world.visit(who).get(path)
    found = re.findall(r'<a class="term" href="/help#([a-z-]+)"', page.text)
    assert sorted(found) == sorted(linked)


def test_a_request_id_is_no_access_request(sqlite_world: World) -> None:
    """Each page names the one at its foot; the other has its own name in the bar of places."""
    page = words(sqlite_world.visit("cleared").get("/"))
    assert re.search(r"Request ID [0-9a-f]{16}", page)
    assert "Access requests" in page
    assert not re.search(r"Request [0-9a-f]{16}", page)


def test_the_lab_s_terms_are_linked_where_there_are_some(sqlite_world: World) -> None:
    """At the foot of each page and on the help page; without the setting nowhere."""
    visit = sqlite_world.visit(None)
    assert "Terms of use" not in words(visit.get("/help"))
    visit.client.application.jinja_env.globals["terms_url"] = "https://lab.example/terms"
    assert visit.get("/sign-in").text.count('href="https://lab.example/terms"') == 1
    assert visit.get("/help").text.count('href="https://lab.example/terms"') == 2
