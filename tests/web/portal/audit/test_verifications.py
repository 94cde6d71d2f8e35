"""Verifications: asked for on a page, which follows them, and says against which head nothing was found."""

from server.domain.audit import verifications
from tests import tampering
from tests.archived_months import archived_download, months_of
from tests.plans import plans
from tests.visits import words
from tests.world import World

PATH = "/audit/verifications"


def test_the_page_follows_a_run(sqlite_world: World) -> None:
    """It loads itself anew while one waits or runs, and then no more."""
    world = sqlite_world
    world.seal()
    visit = world.visit("auditor")
    assert "Refresh" not in visit.get(PATH).headers
    assert visit.post(PATH).status_code == 303
    page = visit.get(PATH)
    assert page.headers["Refresh"] == "2"
    assert "Waiting for the worker" in words(page)
    assert verifications._take(world.use) == 1
    verifications._Teller(world.use, 1, lambda: False).tell("2026: bytes", 10, 50)
    assert "2026: bytes 20 % 10 of 50, 20 % entries" in words(visit.get(PATH))
    world.clock.offset += verifications.SILENT_FOR
    assert verifications.run_waiting(world.use) == "sound"
    page = world.visit("auditor").get(PATH)
    assert "Refresh" not in page.headers
    count = len(world.entries())
    assert f"{count} entries, no faults." in words(page)
    assert f"the head of {count} entries of localhost/downloads/2026" in words(page)


def test_a_run_says_what_of_archived_months_it_did_not_check(sqlite_world: World) -> None:
    """The worker reads no files: it finds no faults in the rest, and names the admin who archived."""
    world = sqlite_world
    with months_of(world):
        archived_download(world)
        world.visit("auditor").post(PATH)
        assert verifications.run_waiting(world.use) == "sound"
        shown = words(world.visit("auditor").get(PATH))
    assert "entries, no faults in what was checked. Verified" in shown
    assert "the columns of its row were not checked" in shown
    assert f" by {world.admin.person}." in shown


def test_a_fault_names_the_place_and_leads_to_it(world: World) -> None:
    """Of a sealed entry; one that is not sealed yet has none, and is named by its row."""
    world.seal()
    sealed, waiting = world.entries()[4], world.plant("heartbeat", {})
    for number in (sealed.id, waiting):
        tampering.flip(world.settings.database_url, "log_entries", "record", f"id = {number}", at=-2)
    visit = world.visit("auditor")
    visit.post(PATH)
    assert verifications.run_waiting(world.use) == "faulty"
    page = world.visit("auditor").get(PATH)
    address = f"/audit/log/{world.clock().year}/4"
    assert f'<a href="{address}">entry 4</a>' in page.text
    assert visit.get(address).status_code == 200
    assert f">an unsealed entry (row {waiting})</td>" in page.text


def test_a_second_one_is_refused_with_the_reason(sqlite_world: World) -> None:
    """Also when both were asked for at once."""
    visit = sqlite_world.visit("admin")
    assert visit.post(PATH).status_code == 303
    page = visit.post(PATH)
    assert page.status_code == 409
    assert "A verification is already waiting or running." in words(page)


def test_who_may(sqlite_world: World) -> None:
    """Admins and auditors, with our token, and nothing that the page does not have."""
    world = sqlite_world
    for name in ("cleared", "publisher"):
        assert world.visit(name).get(PATH).status_code == 403
        assert world.visit(name).post(PATH).status_code == 403
    assert world.visit("auditor").post(PATH, {"more": "1"}).status_code == 400
    assert world.visit("auditor").post(PATH, csrf="no").status_code in {400, 403}
    assert "No verifications yet." in words(world.visit("auditor").get(PATH))


def test_the_list_goes_by_its_key(world: World) -> None:
    """On both databases, and on a later page."""
    visit = world.visit("auditor")
    for query in ("", "?cursor=5"):
        plans(world, "verifications", lambda query=query: visit.get(f"{PATH}{query}"))  # type: ignore[misc]
