"""The findings desk: what waits, in which order, and what an admin does with one."""

import re

from server.domain.release.findings import Severity
from tests.findings import report
from tests.world import World


def numbers(page: str) -> list[int]:
    """The findings that the desk's first table lists, in its order."""
    return [int(number) for number in re.findall(r'class="act"><a class="button" href="/admin/findings/(\d+)"', page)]


def test_the_most_severe_waits_first_and_of_these_the_oldest(world: World) -> None:
    """On the desk and in the queue; what was triaged waits no more."""
    said = [Severity.LOW, Severity.CRITICAL, Severity.MEDIUM, Severity.CRITICAL]
    low, first, medium, second = (report(world, title=f"No. {n}", severity=one) for n, one in enumerate(said))
    here = world.visit("admin")
    for address in ("/admin/findings", "/admin/queue"):
        assert numbers(here.get(address).text) == [first, second, medium, low]
    here.post(f"/admin/findings/{second}/triage", {"severity": "high", "answer": "", "act": "confirmed"})
    assert numbers(here.get("/admin/findings").text) == [first, medium, low]


def test_the_list_is_narrowed_by_the_address(world: World) -> None:
    """By each of its selects, and by all of them."""
    report(world, title="The first one", severity=Severity.HIGH)
    report(world, title="The second one", stage="mini-gpt/base")
    here = world.visit("auditor")
    for query in ("severity=high", "stage=gpt-2/774M", "severity=high&state=open&kind=bias&stage=gpt-2/774M"):
        listed = here.get(f"/admin/findings?{query}").text.partition("All findings")[2]
        assert ("The first one" in listed, "The second one" in listed) == (True, False), query
    assert here.get("/admin/findings?severity=apocalyptic").status_code == 422


def test_a_finding_is_triaged_answered_and_released_on_its_page(sqlite_world: World) -> None:
    """One button for each state that can follow, and none for others; what cannot be done says why."""
    number = report(sqlite_world, stage="gpt-2/124M", may_publish=True)
    here, address = sqlite_world.visit("admin"), f"/admin/findings/{number}"
    assert {"Confirm", "Not reproduced", "Keep it open"} <= set(
        re.findall(r'name="act"[^>]*>([^<]+)<', here.get(address).text)
    )
    done = here.post(f"{address}/triage", {"severity": "high", "answer": "Thank *you*.", "act": "confirmed"})
    assert done.status_code == 303
    page = here.get(address).text
    assert "Thank <em>you</em>." in page
    assert set(re.findall(r'name="act"[^>]*>([^<]+)<', page)) == {"Considered", "Close", "Keep it confirmed"}
    assert here.post(f"{address}/triage", {"severity": "high", "answer": "", "act": "open"}).status_code == 409
    assert here.post(f"{address}/release", {"to": "birch-university"}).status_code == 303
    page = here.get(address).text
    assert "Birch University</a>" in page.partition("Released to")[2]
    assert here.post(f"{address}/release", {"to": "birch-university"}).status_code == 422


def test_an_auditor_reads_and_changes_nothing(sqlite_world: World) -> None:
    """The page has no form for them."""
    number = report(sqlite_world)
    page = sqlite_world.visit("auditor").get(f"/admin/findings/{number}").text
    assert "What we saw." in page
    assert f"/admin/findings/{number}/" not in page


def test_staff_report_as_well(sqlite_world: World) -> None:
    """On any stage, also one that is planned; they are led to the lab's page of it."""
    here = sqlite_world.visit("publisher")
    assert "gpt-2/1558M" in here.get("/findings/new").text
    fields = {
        "stage": "gpt-2/1558M", "checkpoint": "", "kind": "capability", "severity": "medium", "title": "It counts",
        "text": "To twelve.", "embargo_until": "",
    }  # fmt: skip
    made = here.post("/findings/new", fields)
    assert made.headers["Location"].startswith("/admin/findings/")
    assert "It counts" in here.get(made.headers["Location"]).text


def test_a_critical_finding_says_what_it_stops(sqlite_world: World) -> None:
    """Until it is triaged: no stage of its model moves."""
    number = report(sqlite_world, severity=Severity.CRITICAL)
    assert "No stage of gpt-2 can be moved" in sqlite_world.visit("admin").get(f"/admin/findings/{number}").text
