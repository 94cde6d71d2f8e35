"""Findings as a partner sees them: reporting, the list, and one's page."""

from server.domain.access import finding_releases
from server.domain.release import finding_triage
from server.domain.release.findings import FindingState
from tests.filled_forms import FORMS
from tests.findings import report
from tests.world import World

FIELDS = FORMS["/findings/new"].fields


def test_a_report_leads_to_its_page(sqlite_world: World) -> None:
    """With everything that was said, rendered; and it is in the list."""
    here = sqlite_world.visit("cleared")
    answer = here.post("/findings/new", FIELDS)
    assert answer.status_code == 303
    page = here.get(answer.headers["Location"]).text
    assert "It writes lures" in page
    assert "We <em>tried</em>." in page
    assert "Under embargo" in page
    assert "It writes lures" in here.get("/findings").text


def test_only_stages_that_were_open_are_offered(world: World) -> None:
    """What one never had, one cannot choose; the page of a stage leads to the form with that stage chosen."""
    page = world.visit("uncleared").get("/findings/new?stage=gpt-2/124M").text
    assert '<option selected value="gpt-2/124M">' in page
    assert "gpt-2/774M" not in page
    assert "mini-gpt/large" not in world.visit("cleared").get("/findings/new").text
    assert "/findings/new?stage=gpt-2/774M" in world.visit("cleared").get("/stages/gpt-2/774M").text


def test_script_in_a_finding_is_text(sqlite_world: World) -> None:
    """Neither tags nor links to scripts nor images from elsewhere come out of Markdown."""
    evil = "<script>alert(1)</script>\n\n[x](javascript:alert(1)) ![y](https://evil.example/y)\n\n<img src=x onerror=a>"
    number = report(sqlite_world, text=evil)
    page = sqlite_world.visit("cleared").get(f"/findings/{number}").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'href="javascript:' not in page
    assert "<img" not in page


def test_a_released_finding_shows_neither_reporter_nor_answer(sqlite_world: World) -> None:
    """Only the words, and that they came from the lab; its own organization sees all of it."""
    number = report(sqlite_world, may_publish=True)
    finding_triage.triage(sqlite_world.use, sqlite_world.admin, number, FindingState.CONFIRMED, answer="Thank you.")
    assert sqlite_world.visit("unsigned").get(f"/findings/{number}").status_code == 404
    finding_releases.release(sqlite_world.use, sqlite_world.admin, number, ["birch-university"])
    page = sqlite_world.visit("unsigned").get(f"/findings/{number}").text
    assert "What we saw." in page
    assert "another partner" in page
    assert "Aurora" not in page
    assert "Thank you." not in page
    own = sqlite_world.visit("cleared").get(f"/findings/{number}").text
    assert "Thank you." in own
    assert "Iris Okafor" in own


def test_nothing_found_is_reported_without_severity(sqlite_world: World) -> None:
    """The form says which of the two is wrong."""
    here = sqlite_world.visit("cleared")
    refused = here.post("/findings/new", FIELDS | {"kind": "nothing_found"})
    assert refused.status_code == 422
    assert "the severity is none" in refused.text
    assert here.post("/findings/new", FIELDS | {"kind": "nothing_found", "severity": "none"}).status_code == 303
