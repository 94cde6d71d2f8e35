"""The queue shows what waits for whoever looks, and nothing that they cannot decide."""

from datetime import timedelta

from server.domain.access import access_requests, clearances, signatures
from server.domain.delivery import alarms
from server.domain.delivery.alarms import AlarmKind, Suspicion
from server.domain.release import agreements
from tests.visits import words
from tests.world import World


def test_an_empty_queue_says_what_will_appear_in_it(sqlite_world: World) -> None:
    """And which kinds of things those are."""
    assert "Nothing to do." in words(sqlite_world.visit("admin").get("/admin/queue"))


def test_each_kind_of_thing_waits_with_a_link_to_its_page(sqlite_world: World) -> None:
    """A request, a clearance, a signature and an alarm; the link leads to a page that opens."""
    world = sqlite_world
    at = world.clock()
    year = at + timedelta(days=300)
    asked = access_requests.create(
        world.use, world.person("uncleared"), "gpt-2", "research", purpose="Study.", wanted_until=year
    )
    proposed = clearances.propose(
        world.use, world.admin2, "cedar-systems", "mini-gpt", "partner", expires_at=year, purpose="Study too."
    )
    signed = _sign(world, "unsigned")
    with world.use.database.transaction() as session:
        seen = Suspicion(AlarmKind.OVER_READ, ("x",), "Twice the size.", int(at.timestamp() * 1000), "key", "192.0.2.1")
        alarms.raise_new(session, [seen], at)
    page = world.visit("admin").get("/admin/queue")
    for path in (
        f"/admin/requests/{asked.id}", f"/admin/clearances/{proposed.id}", f"/admin/signatures/{signed}",
        "/audit/alarms/1",
    ):  # fmt: skip
        assert f'href="{path}"' in page.text
        assert world.visit("admin").get(path).status_code == 200
    assert "Access requests (1)" in words(page)


def test_what_one_proposed_waits_for_another_admin(sqlite_world: World) -> None:
    """The proposer sees it apart and without a button; the other admin decides it."""
    world = sqlite_world
    made = clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "partner",
        expires_at=world.clock() + timedelta(days=9), purpose="Study.",
    )  # fmt: skip
    mine, theirs = world.visit("admin").get("/admin/queue"), world.visit("admin2").get("/admin/queue")
    assert "Waiting for another admin (1)" in words(mine)
    assert f"Review clearance {made.id}" not in words(mine)
    assert f"Review clearance {made.id}" in words(theirs)
    assert "Waiting for another admin" not in words(theirs)


def test_counts_are_honest_and_never_slow(sqlite_world: World) -> None:
    """More than fifty are fifty and more."""
    world = sqlite_world
    for number in range(51):
        clearances.propose(
            world.use, world.admin, "cedar-systems", "gpt-2", "partner",
            expires_at=world.clock() + timedelta(days=9), purpose=f"Study {number}.",
        )  # fmt: skip
    page = world.visit("admin2").get("/admin/queue")
    assert "Clearances to approve (50+)" in words(page)
    assert words(page).count("Review clearance") == 50


def test_the_navigation_counts_what_waits_for_whoever_looks(world: World) -> None:
    """On each page, without what they proposed themselves; nobody else sees a count."""
    assert "waiting" not in words(world.visit("admin").get("/account"))
    clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "partner",
        expires_at=world.clock() + timedelta(days=9), purpose="Study.",
    )  # fmt: skip
    _sign(world, "unsigned")
    counts = {name: words(world.visit(name).get("/account")) for name in ("admin", "admin2", "auditor", "cleared")}
    assert "Queue 1 waiting" in counts["admin"]
    assert "Queue 2 waiting" in counts["admin2"]
    assert "waiting" not in counts["auditor"] + counts["cleared"]


def test_alarms_stand_first(sqlite_world: World) -> None:
    """Whatever else waits, and for however long."""
    _sign(sqlite_world, "unsigned")
    moment = int(sqlite_world.clock().timestamp() * 1000)
    seen = Suspicion(AlarmKind.OVER_READ, ("x",), "Twice the size.", moment, "key", "192.0.2.1")
    with sqlite_world.use.database.transaction() as session:
        alarms.raise_new(session, [seen], sqlite_world.clock())
    page = words(sqlite_world.visit("admin").get("/admin/queue"))
    assert page.index("Alarms (1)") < page.index("Signatures to countersign (1)")


def _sign(world: World, name: str) -> int:
    owner = world.person(name)
    with world.use.database.reading() as session:
        _, version = agreements.find_version(session, "model-sharing")
    statement = "I sign for Birch University"
    signed = signatures.sign(
        world.use, owner, "model-sharing", version.sha256, signer_name="Una Signer", signer_title="Dean",
        statement=statement,
    )  # fmt: skip
    return signed.id
