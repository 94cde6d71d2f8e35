"""Alarms: seen by admins and auditors, resolved once by an admin who proved themselves, and never told to a partner."""

import re
from html import unescape

import pytest

from server.domain.callers import Caller
from server.domain.delivery import alarms
from server.domain.delivery.alarms import AlarmKind, Suspicion
from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from tests.plans import plans
from tests.visits import fields_of, words
from tests.world import World


def raise_one(world: World, cause: str = "a", kind: AlarmKind = AlarmKind.FOREIGN_ADDRESS) -> None:
    aurora = world.caller("cleared").organization_id
    found = Suspicion(kind, (cause,), f"Seen {cause}.", 1_790_000_000_000, "checkpoints/k", "192.0.2.1",
                      organization_id=aurora, organization="aurora-institute")  # fmt: skip
    with world.use.database.transaction() as session:
        alarms.raise_new(session, [found], world.use.clock())


def test_an_alarm_is_resolved_once(sqlite_world: World) -> None:
    """With what came of it, in the log as well; who comes second sees who was first, and keeps what they typed."""
    world = sqlite_world
    raise_one(world)
    first, second = world.visit("admin"), world.visit("admin2")
    assert first.post("/audit/alarms/1/resolve", {"resolution": "Their new network."}).status_code == 303
    page = second.post("/audit/alarms/1/resolve", {"resolution": "I looked too."})
    assert page.status_code == 409
    assert f"{world.admin.person} has already resolved it: Their new network." in words(page)
    (record,) = world.records("alarm.resolve")
    assert (record["resolved"], record["resolution"], record["alarm"]) == (1, "Their new network.", "foreign_address")
    assert world.entries("alarm.resolve")[0].organization_id is None
    assert "Their new network." not in words(world.visit("cleared").get("/audit/log"))
    listed = words(first.get("/audit/alarms?state=resolved"))
    assert "Seen a." in listed
    assert "Seen a." not in words(first.get("/audit/alarms?state=open"))


def test_who_may(sqlite_world: World) -> None:
    """Auditors look, admins resolve, fresh ones; partners and publishers have no such page."""
    world = sqlite_world
    raise_one(world)
    assert "Resolve alarm" not in words(world.visit("auditor").get("/audit/alarms/1"))
    assert world.visit("auditor").post("/audit/alarms/1/resolve", {"resolution": "No."}).status_code == 403
    for name in ("cleared", "publisher"):
        assert world.visit(name).get("/audit/alarms").status_code == 403
        assert world.visit(name).get("/audit/alarms/1").status_code == 403
    stale = world.visit("admin")
    stale.grow_stale()
    stale.post("/audit/alarms/1/resolve", {"resolution": "Stale."})
    assert world.records("alarm.resolve") == []


def test_what_is_sent_badly_changes_nothing(sqlite_world: World) -> None:
    """Empty, too long, unknown fields, an alarm that is none, a kind that is none."""
    world, visit = sqlite_world, sqlite_world.visit("admin")
    raise_one(world)
    for fields, status in (({}, 422), ({"resolution": " "}, 422), ({"resolution": "x" * 10_001}, 422),
                           ({"resolution": "Fine.", "more": "1"}, 400)):  # fmt: skip
        assert visit.post("/audit/alarms/1/resolve", fields).status_code == status, fields
    assert visit.post("/audit/alarms/1/resolve", {"resolution": "x"}, csrf="no").status_code in {400, 403}
    assert visit.post("/audit/alarms/9/resolve", {"resolution": "Fine."}).status_code == 404
    assert visit.get("/audit/alarms/9").status_code == 404
    assert visit.get("/audit/alarms?kind=flood").status_code == 422
    assert world.records("alarm.resolve") == []


def test_each_kind_says_what_to_do(sqlite_world: World) -> None:
    """No alarm leaves whoever is on duty without a next step; and its entry is one click away."""
    world, visit = sqlite_world, sqlite_world.visit("admin")
    for kind in AlarmKind:
        raise_one(world, kind, kind)
    for number, kind in enumerate(AlarmKind, 1):
        page = visit.get(f"/audit/alarms/{number}")
        assert "<li>" in page.text.partition("What to do now")[2]
        entry = next(entry for entry in world.entries("alarm") if entry.code == kind)
        assert f'href="/audit/log/{entry.id}"' in page.text
        assert f'href="/audit/alarms/{number}"' in visit.get(f"/audit/log/{entry.id}").text


def test_the_command_decides_for_itself(world: World) -> None:
    """Whoever calls it; on both databases."""
    raise_one(world)
    refused: list[tuple[Caller, int, str, type[Exception]]] = [
        (world.person("auditor"), 1, "Fine.", NotPermitted), (world.admin, 1, " ", InvalidRequest),
        (world.admin, 2, "Fine.", NotFound),
    ]  # fmt: skip
    for caller, number, resolution, error in refused:
        with pytest.raises(error):
            alarms.resolve(world.use, caller, number, resolution)
    alarms.resolve(world.use, world.admin, 1, "Fine.")
    with pytest.raises(NotPossible):
        alarms.resolve(world.use, world.admin2, 1, "Fine.")


def test_the_list_goes_by_an_index(world: World) -> None:
    """Whatever is chosen, and on a later page; on both databases."""
    visit = world.visit("auditor")
    for query in ("", "?kind=over_read", "?state=open", "?state=resolved", "?kind=over_read&state=open", "?cursor=5"):
        plans(world, "alarms", lambda query=query: visit.get(f"/audit/alarms{query}"))  # type: ignore[misc]


def test_each_advised_act_is_one_click_away_and_filled_in(sqlite_world: World) -> None:
    """For admins; an auditor reads the advice. The page that a click leads to knows what the alarm is about."""
    world = sqlite_world
    issued = issuing.issue(world.use, world.caller("cleared"), world.order())
    moment = int(world.clock().timestamp() * 1000)
    home = world.person("cleared").organization_id
    raised = [
        Suspicion(AlarmKind.FOREIGN_ADDRESS, ("a",), "Elsewhere.", moment, "key", "198.51.100.7",
                  download_id=str(issued.id), organization_id=home, organization="aurora-institute"),
        Suspicion(AlarmKind.GHOST_READ, ("b",), "No entry.", moment, "key", "198.51.100.7"),
    ]  # fmt: skip
    with world.use.database.transaction() as session:
        alarms.raise_new(session, raised, world.clock())
    admin, pages = world.visit("admin"), dict[str, str]()
    for number in (1, 2):
        page = admin.get(f"/audit/alarms/{number}").text
        buttons = re.findall(r'class="button" href="([^"]+)">([^<]+)<', page)
        pages |= {label: unescape(href) for href, label in buttons}
        assert "Place a hold" not in world.visit("auditor").get(f"/audit/alarms/{number}").text
    assert set(pages) == {
        "Register this network", "Revoke the token", "Suspend Aurora Institute", "Place a hold on everything",
    }  # fmt: skip
    assert {href: admin.get(href).status_code for href in pages.values()} == dict.fromkeys(pages.values(), 200)
    assert "198.51.100.7" in fields_of(admin.get(pages["Register this network"]))["networks"][0]
    assert "Alarm" in fields_of(admin.get(pages["Place a hold on everything"]))["reason"][0]
    assert str(world.caller("cleared").token_public_id) in pages["Revoke the token"]
