"""Log entries: who sees which, what each filter means, and that a page never costs more as the log grows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from server.domain.audit import log_entries
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.errors import NotFound
from server.domain.paging import Slice
from server.log import entries
from server.log.entries import CLOCKS_DIFFER_BY, LogEntry
from tests.world import World

LONG_AFTER = datetime(2090, 1, 1, tzinfo=UTC)  # after everything in the worked example


def seen(world: World, caller: Caller, limit: int = 200, **wanted: Any) -> list[LogEntry]:
    with world.use.database.reading() as session:
        return list(log_entries.visible(session, caller, EntryFilter(**wanted), Slice(limit)).items)


def ids(world: World, caller: Caller, **wanted: Any) -> list[int]:
    return [entry.id for entry in seen(world, caller, **wanted)]


def append(world: World, at: datetime, kind: str = "test", **more: Any) -> int:
    world.tampered = True  # its columns are what a test looks for, and in no record
    with world.use.database.transaction() as session:
        entries.append(session, kind=kind, at=at, record=more.pop("record", {}), **more)
    return world.entries()[-1].id


@pytest.fixture
def busy(world: World) -> World:
    """Downloads of two partners and of staff, beside all that the worked example did."""
    for name, stage in (("cleared", "gpt-2/774M"), ("unsigned", "gpt-2/124M"), ("admin", "gpt-2/124M")):
        issuing.issue(world.use, world.caller(name), world.order(stage))
    return world


def test_a_partner_sees_what_concerns_its_organization(busy: World) -> None:
    """Its own acts and what was done about it, newest first; nothing of others, and nothing of everybody's."""
    mine = busy.person("cleared").organization_id
    found = seen(busy, busy.caller("cleared"))
    assert [entry.id for entry in found] == [
        entry.id for entry in reversed(busy.entries()) if entry.organization_id == mine
    ]
    kinds = {entry.kind for entry in found}
    assert {"organization.add", "clearance.approve", "signature.record", "token.create", "download"} <= kinds
    assert kinds.isdisjoint({"tier.add", "stage.add", "hold.place"})


@pytest.mark.parametrize("name", ["auditor", "admin", "publisher"])
def test_staff_see_everything(busy: World, name: str) -> None:
    """Those that concern no organization as well."""
    assert ids(busy, busy.caller(name)) == [entry.id for entry in reversed(busy.entries())]


def test_a_place_in_no_log_is_not_found(world: World) -> None:
    """Nor one in a log whose name no database holds."""
    with world.use.database.reading() as session:
        for name in ("no-such-log", "\0", ""):
            with pytest.raises(NotFound):
                log_entries.at_place(session, world.admin, name, 0)


def test_another_organization_is_unknown_to_a_partner(busy: World) -> None:
    """As one that there is not; its own it may name, and staff any that there is."""
    partner, auditor = busy.caller("cleared"), busy.caller("auditor")
    for slug in ("birch-university", "example-lab", "nobody", ""):
        with pytest.raises(NotFound):
            ids(busy, partner, organization=slug)
    assert ids(busy, partner, organization="aurora-institute") == ids(busy, partner)
    assert ids(busy, auditor, organization="aurora-institute") == ids(busy, partner)
    with pytest.raises(NotFound):
        ids(busy, auditor, organization="nobody")


FILTERS: dict[str, dict[str, Any]] = {
    "organization": {"organization": "aurora-institute"},
    "person": {"person": "owner@aurora-institute.example"},
    "stage": {"stage": "gpt-2/124M"},
    "kind": {"kind": "download"},
    "code": {"code": "ghost_read"},
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_leaves_what_it_names(busy: World, name: str) -> None:
    """All of it and nothing else, for staff and within what a partner sees; two filters leave what both leave."""
    append(busy, busy.clock(), kind="alarm", code="ghost_read", stage="gpt-2/124M", record={"alarm": "ghost_read"},
           organization_id=busy.person("cleared").organization_id)  # fmt: skip
    (column, value), auditor = next(iter(FILTERS[name].items())), busy.caller("auditor")
    if column == "organization":
        column, value = "organization_id", busy.person("cleared").organization_id
    expected = [entry.id for entry in reversed(busy.entries()) if getattr(entry, column) == value]
    assert 0 < len(expected) < len(busy.entries())
    assert ids(busy, auditor, **FILTERS[name]) == expected
    partner = busy.caller("cleared")
    own = set(ids(busy, partner))
    assert ids(busy, partner, **FILTERS[name]) == [number for number in expected if number in own]
    for other in FILTERS.values():
        both = set(ids(busy, auditor, **FILTERS[name])) & set(ids(busy, auditor, **other))
        assert set(ids(busy, auditor, **FILTERS[name] | other)) == both


def test_a_filter_that_fits_nothing_leaves_nothing(busy: World) -> None:
    """Other spellings are other words."""
    for wanted in ({"kind": "Download"}, {"kind": "down"}, {"person": "%"}, {"stage": "774M"}, {"code": "nothing"}):
        assert ids(busy, busy.caller("auditor"), **wanted) == []


def test_since_is_included_and_until_is_not(world: World) -> None:
    """To the microsecond; without a limit on one side all on that side is meant."""
    world.tampered = True  # years ahead of what is appended at its end
    auditor = world.caller("auditor")
    made = [append(world, LONG_AFTER + timedelta(minutes=10 * number)) for number in range(5)]
    at = [LONG_AFTER + timedelta(minutes=10 * number) for number in range(5)]
    tick = timedelta(microseconds=1)
    assert ids(world, auditor, since=at[0]) == made[::-1]
    assert ids(world, auditor, since=at[2]) == made[:1:-1]
    assert ids(world, auditor, since=at[2] + tick) == made[:2:-1]
    assert ids(world, auditor, since=at[1], until=at[3]) == [made[2], made[1]]
    assert ids(world, auditor, since=at[1], until=at[3] + tick) == [made[3], made[2], made[1]]
    assert ids(world, auditor, until=at[0]) == [entry.id for entry in reversed(world.entries()[:-5])]
    assert ids(world, auditor, since=at[4] + tick) == ids(world, auditor, since=at[3], until=at[3]) == []
    assert ids(world, auditor, until=datetime(1970, 1, 1, tzinfo=UTC)) == []
    elsewhere = at[2].astimezone(tz=None)
    assert ids(world, auditor, since=elsewhere, until=elsewhere + tick) == [made[2]]


def test_clocks_that_differ_hide_nothing(world: World) -> None:
    """Two machines, a minute apart, append in turns: whatever is asked for, all that bears that time is there."""
    world.tampered = True
    start, auditor = LONG_AFTER, world.caller("auditor")
    behind = [timedelta(0), CLOCKS_DIFFER_BY, timedelta(0), CLOCKS_DIFFER_BY / 2, CLOCKS_DIFFER_BY]
    times = [start + timedelta(seconds=20 * number) - behind[number % len(behind)] for number in range(20)]
    made = dict(zip([append(world, at) for at in times], times, strict=True))
    moments = sorted({*times, *(at + timedelta(seconds=7) for at in times)})
    for since in moments:
        assert set(ids(world, auditor, since=since)) == {number for number, at in made.items() if at >= since}
    for until in moments:
        found = set(ids(world, auditor, until=until, kind="test"))
        assert found == {number for number, at in made.items() if at < until}


def test_pages_lose_nothing_while_the_log_grows(busy: World) -> None:
    """What is appended meanwhile comes before the first page; the rest comes once, in order."""
    caller = busy.caller("auditor")
    before = ids(busy, caller)
    read: list[int] = []
    after: int | None = None
    while True:
        with busy.use.database.reading() as session:
            page = log_entries.visible(session, caller, EntryFilter(), Slice(7, after))
        read += [entry.id for entry in page.items]
        after = page.next_after
        if after is None:
            break
        append(busy, busy.clock())
    assert read == before
    assert len(busy.entries()) > len(before) + 5


def plans(world: World, caller: Caller, part: Slice, **wanted: Any) -> tuple[list[str], int]:
    """How SQLite answers each statement over the log that a page needs, and in how many steps of its machine."""
    asked: list[tuple[str, Any]] = []
    worked = 0

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM log_entries" in statement:
            asked.append((statement, parameters))

    def count() -> int:
        nonlocal worked
        worked += 100
        return 0

    with world.use.database.reading() as session:
        connection = session.connection()
        driver: Any = connection.connection.driver_connection
        event.listen(connection, "before_cursor_execute", remember)
        driver.set_progress_handler(count, 100)
        log_entries.visible(session, caller, EntryFilter(**wanted), part)
        driver.set_progress_handler(None, 0)
        event.remove(connection, "before_cursor_execute", remember)
        explained = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values) for query, values in asked]
        return [row[3] for rows in explained for row in rows], worked


def start_and_end(first: int, last: int | None) -> dict[str, Any]:
    """A time in the long log's minutes."""
    wanted = {"since": LONG_AFTER + timedelta(minutes=first)}
    return wanted if last is None else wanted | {"until": LONG_AFTER + timedelta(minutes=last)}


TIMES: dict[str, dict[str, Any]] = {
    "since": start_and_end(1500, None),
    "since the end": start_and_end(99_999, None),
    "until": {"until": LONG_AFTER + timedelta(minutes=1500)},
    "until the beginning": {"until": datetime(1990, 1, 1, tzinfo=UTC)},
    "between": start_and_end(1000, 1001),
    "between far apart": start_and_end(10, 2900),
}
LONG = {
    "organization": {"organization": "aurora-institute"}, "person": {"person": "p7"}, "stage": {"stage": "gpt-2/3"},
    "kind": {"kind": "download"}, "code": {"code": "ghost_read"},
}  # fmt: skip


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_no_filter_reads_the_whole_log(sqlite_world: World, is_analyzed: bool) -> None:
    """Each alone, with a time, and on a later page is answered by an index, in its order, with little work.

    Whether the database knows how its entries are spread or not.
    """
    world, organization = sqlite_world, sqlite_world.person("cleared").organization_id
    world.tampered = True  # downloads that nothing allowed
    with world.use.database.transaction() as session:
        for number in range(3000):
            entries.append(
                session, kind="download", at=LONG_AFTER + timedelta(minutes=number),
                record={"actor": {"person": f"p{number % 50}"}}, organization_id=number % 5 or organization,
                stage=f"gpt-2/{number % 7}", subject=str(number), code=None if number % 100 else "ghost_read",
            )  # fmt: skip
        if is_analyzed:
            session.execute(text("ANALYZE"))
    together = [one | time for one in LONG.values() for time in TIMES.values()]
    for caller in (world.caller("auditor"), world.caller("cleared")):
        for wanted in (*LONG.values(), *TIMES.values(), *together):
            for part in (Slice(50), Slice(50, 1500)):
                steps, work = plans(world, caller, part, **wanted)
                assert [step for step in steps if step.startswith("SCAN log_entries") or "B-TREE" in step] == [], wanted
                assert steps != []
                assert work < 15_000, wanted  # of SQLite's own steps; 3000 rows alone are more
    steps, work = plans(world, world.caller("auditor"), Slice(50))
    assert (steps, work < 15_000) == (["SCAN log_entries"], True)  # by the key, backwards, and no farther than the page
