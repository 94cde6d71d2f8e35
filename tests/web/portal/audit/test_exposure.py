"""Who could have taken this, asked on a page and answered in words; the answer itself is the domain test's."""

import csv
import io

from server.domain.access import clearances
from server.domain.downloads import issuing
from server.domain.release.stages import StageState
from tests.visits import words
from tests.world import World

PATH = "/audit/exposure"


def ask(stage: str, since: str = "2026-01-01", until: str = "2026-12-31") -> str:
    return f"{PATH}?stage={stage.replace('/', '%2F')}&since={since}&until={until}"


def test_the_answer_names_who_under_what(sqlite_world: World) -> None:
    """The organization, its people, clearance and signature, and who did."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.visit("auditor").get(PATH)
    today = f"{world.use.clock():%Y-%m-%d}"
    page = words(world.visit("auditor").get(ask("gpt-2/774M", today, today)))
    assert "aurora-institute" in page
    assert "birch-university" not in page
    assert world.example.people["cleared"]["email"] in page.partition("People")[2].partition("Who did")[0]
    assert world.example.people["cleared"]["email"] in page.partition("Who did")[2]


def test_a_time_before_anything_was_there_has_nobody(sqlite_world: World) -> None:
    """And a public stage has anyone."""
    world = sqlite_world
    visit = world.visit("auditor")
    assert "Nobody." in words(visit.get(ask("gpt-2/774M", "2020-01-01", "2020-02-01")))
    today = f"{world.use.clock():%Y-%m-%d}"
    assert "anyone could have downloaded it" in words(visit.get(ask("gpt-2/124M", today, today)))
    clearances.revoke(world.use, world.admin, 1)
    world.move("gpt-2/774M", StageState.PUBLIC, "No harm was seen.")
    both = words(visit.get(ask("gpt-2/774M", today, today)))
    assert "anyone could have downloaded it" in both
    assert "aurora-institute" in both


def test_what_cannot_be_asked_is_said(sqlite_world: World) -> None:
    """A stage that there is not, days that are none, too many, backwards; and it is for those who audit."""
    visit = sqlite_world.visit("auditor")
    for path in (ask("gpt-2/1B"), ask("gpt-2/774M", "soon"), ask("gpt-2/774M", "2026-02-01", "2026-01-01"),
                 ask("gpt-2/774M", "2020-01-01", "2026-01-01"), ask("gpt-2/774M", "", "")):  # fmt: skip
        page = visit.get(path)
        assert page.status_code == 422, path
        assert "There is a problem" in words(page)
    assert visit.get(f"{PATH}?stage=gpt-2%2F774M").status_code == 200  # a stage's page leads here; days are proposed
    for name in ("cleared", "publisher"):
        assert sqlite_world.visit(name).get(PATH).status_code == 403


def test_the_answer_is_saved_as_a_table(sqlite_world: World) -> None:
    """Who could, under what, and who did: the same as on the page, for a spreadsheet."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    today = f"{world.use.clock():%Y-%m-%d}"
    visit, address = world.visit("auditor"), ask("gpt-2/774M", today, today)
    assert "format=csv" in visit.get(address).text
    saved = visit.get(f"{address}&format=csv")
    assert saved.mimetype == "text/csv"
    assert f'filename="exposure-gpt-2-774M-{today}-{today}.csv"' in saved.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(saved.text)))
    assert {(row["could"], row["organization"]) for row in rows} == {
        ("organization", "aurora-institute"), ("person", "aurora-institute"), ("did", "aurora-institute"),
    }  # fmt: skip
    (did,) = [row for row in rows if row["could"] == "did"]
    assert (did["person"], did["downloads"]) == (world.example.people["cleared"]["email"], "1")
    assert visit.get(f"{address}&format=xml").status_code == 422
