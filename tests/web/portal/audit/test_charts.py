"""Charts: numbers that can be read as a table, for the days asked for; how they are counted is tested in the domain."""

import re

from server.domain.delivery import statistics
from server.domain.downloads import issuing
from tests.visits import words
from tests.world import World

PATH = "/audit/charts"


def test_each_chart_answers_with_numbers(sqlite_world: World) -> None:
    """Titles are questions, thirty days stand there without being asked for, and today's bytes are in it."""
    world = sqlite_world
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    statistics.count(world.use)
    page = world.visit("auditor").get(PATH)
    assert page.text.count("<figcaption>") == len(re.findall(r"\?</h[23]>", page.text)) == 6
    day = f"{world.use.clock():%Y-%m-%d}"
    assert page.text.count(f">{day}</th>") == 3
    issued = page.text.partition(f">{day}</th>")[2].partition("</tr>")[0]
    assert f'data-value="{sum(file.size_bytes for file in download.files)}"' in issued
    assert "aurora-institute" in words(page)


def test_reasons_stand_in_words(sqlite_world: World) -> None:
    """A code is for programs: the chart of refusals names them as people do."""
    sqlite_world.api("POST", "/downloads", "uncleared", json={"stage": "gpt-2/774M"})
    page = words(sqlite_world.visit("auditor").get(PATH))
    assert "Not cleared" in page
    assert "not_cleared" not in page


def test_what_cannot_be_drawn_is_said(sqlite_world: World) -> None:
    """Days that are none, too many, backwards; a year is not too long; and it is for those who audit."""
    visit = sqlite_world.visit("auditor")
    for query in ("since=soon", "since=2020-01-01&until=2021-01-02", "since=2026-02-01&until=2026-01-01",
                  "since=0001-01-01", "until=9999-12-31", "since=2999-01-01"):  # fmt: skip
        page = visit.get(f"{PATH}?{query}")
        assert page.status_code == 422, query
        assert "There is a problem" in words(page)
    assert visit.get(f"{PATH}?since=2020-01-01&until=2020-12-31").status_code == 200
    for name in ("cleared", "publisher"):
        assert sqlite_world.visit(name).get(PATH).status_code == 403
