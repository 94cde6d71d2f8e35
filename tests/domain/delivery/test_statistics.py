"""Statistics: counted once, from what is sealed and what was fetched; and a chart that never reads the whole log."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text

from server.domain.access import refusals
from server.domain.delivery import reconciliation, statistics
from server.domain.delivery.statistics import Days, Traffic
from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, NotCleared, NotPermitted
from tests.access_log_lines import read_of, write_log
from tests.world import World

DAY = timedelta(days=1)


def today(world: World) -> date:
    return world.use.clock().astimezone(UTC).date()


def test_what_was_issued_is_counted_once(world: World) -> None:
    """Of the day, by organization and by stage; however often the worker looks."""
    caller = world.person("auditor")
    made = [issuing.issue(world.use, world.caller("cleared"), world.order()) for _ in range(3)]
    made.append(issuing.issue(world.use, world.caller("cleared"), world.order("mini-gpt/base")))
    size_bytes = [sum(file.size_bytes for file in one.files) for one in made]
    assert statistics.count(world.use) > 0  # what the example did; the new ones are not sealed yet
    world.seal()
    assert [statistics.count(world.use) for _ in range(3)] == [4, 0, 0]
    days = Days(today(world) - DAY, today(world))
    with world.use.database.reading() as session:
        by_day = statistics.traffic_by_day(session, caller, days)
        assert by_day == {days.first: Traffic(0, 0, 0), days.last: Traffic(4, sum(size_bytes), 0)}
        assert statistics.traffic_by_organization(session, caller, days) == {"aurora-institute": by_day[days.last]}
        by_stage = statistics.traffic_by_stage(session, caller, days)
        assert by_stage["gpt-2/774M"] == Traffic(3, sum(size_bytes[:3]), 0)
        assert by_stage["mini-gpt/base"] == Traffic(1, size_bytes[3], 0)


def test_whoever_is_far_behind_pauses_between_small_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost or counted twice, and who is told to end leaves the rest for another time."""
    monkeypatch.setattr(statistics, "ENTRIES_AT_ONCE", 7)
    world.seal()
    entries = len(world.entries())
    paused = list[float]()

    def pause(seconds: float) -> bool:
        paused.append(seconds)
        return len(paused) == 2

    def left() -> int:
        with world.use.database.reading() as session:
            return statistics.uncounted(session)

    assert left() == entries
    assert statistics.count(world.use, pause) == 14
    assert (paused, left()) == ([statistics.PAUSE_SECONDS] * 2, entries - 14)
    assert statistics.count(world.use, lambda _: False) == entries - 14
    assert left() == 0


def test_two_workers_count_nothing_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever read the same entries and came second adds nothing."""
    world.seal()
    read = statistics._issued

    def while_another_counts(*arguments: Any) -> Any:
        monkeypatch.setattr(statistics, "_issued", read)
        statistics.count(world.use)
        return read(*arguments)

    monkeypatch.setattr(statistics, "_issued", while_another_counts)
    assert statistics.count(world.use) == 0
    with world.use.database.reading() as session:
        assert statistics.uncounted(session) == 0
        assert sum(day.entries for day in session.scalars(select(statistics.SealingDay))) == len(world.entries())


def test_what_was_fetched_counts_on_its_day(world: World, tmp_path: Any) -> None:
    """As reconciliation counts it: each line once, beside what was issued."""
    caller, path = world.person("auditor"), tmp_path / "log"
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    line = read_of(download, world.use.clock(), "hparams.json")
    write_log(path, [line, line])
    for _ in range(2):
        reconciliation.reconcile(world.use, [str(path)])
    world.seal()
    statistics.count(world.use)
    with world.use.database.reading() as session:
        by_day = statistics.traffic_by_day(session, caller, Days(today(world), today(world)))
    size_bytes = sum(file.size_bytes for file in download.files)
    fetched = next(file.size_bytes for file in download.files if file.path == "hparams.json")
    assert by_day == {today(world): Traffic(1, size_bytes, fetched)}


def test_the_sealing_delay_is_that_of_the_entry(sqlite_world: World) -> None:
    """From the moment of the entry to that of the first head that covers it."""
    world = sqlite_world
    world.seal()
    statistics.count(world.use)
    world.clock.offset += 3 * DAY
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.clock.offset += timedelta(seconds=20)
    world.seal()
    statistics.count(world.use)
    with world.use.database.reading() as session:
        day = today(world)
        found = statistics.sealing_by_day(session, world.person("auditor"), Days(day - 2 * DAY, day))
    assert found[day - DAY] is None
    delay = found[day]
    assert delay is not None
    assert 20 <= delay.mean_seconds == delay.longest_seconds < 25


def test_refusals_are_counted_by_code(sqlite_world: World) -> None:
    """In the days asked for alone."""
    world, caller = sqlite_world, sqlite_world.person("auditor")
    for _ in range(3):
        refusals.record(world.use, world.caller("uncleared"), NotCleared(), "POST /api/v1/downloads")
    with world.use.database.reading() as session:
        assert statistics.refusals_by_code(session, caller, Days(today(world), today(world))) == {"not_cleared": 3}
        assert statistics.refusals_by_code(session, caller, Days(today(world) - DAY, today(world) - DAY)) == {}
        with pytest.raises(NotPermitted):
            statistics.refusals_by_code(session, world.person("publisher"), Days(today(world), today(world)))


def test_a_range_is_bounded() -> None:
    """At most 366 days, and not backwards."""
    first = date(2026, 1, 1)
    assert len(Days(first, first + 365 * DAY).each()) == 366
    for last in (first + 366 * DAY, first - DAY):
        with pytest.raises(InvalidRequest):
            Days(first, last)


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_no_chart_reads_what_is_not_in_its_days(world: World, is_analyzed: bool) -> None:
    """Each query goes by an index that begins with the day or the moment, on both databases; none looks at the log."""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    with world.use.database.transaction() as session:
        for number in range(600):
            day = (start + number * DAY).date()
            session.add(statistics.TrafficDay(day=day, organization_id=1, stage="gpt-2/774M", downloads=1,
                                              issued_bytes=1, fetched_bytes=0))  # fmt: skip
            session.add(statistics.SealingDay(day=day, entries=1, delay_ms=1, longest_ms=1))
            session.add(
                refusals.Refusal(refused_at=start + number * DAY, code="not_cleared", detail="No.", asked="GET /")
            )
        if is_analyzed:
            session.flush()
            session.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if any(table in statement for table in ("traffic_days", "sealing_days", "refusals", "log_entries")):
            asked.append((statement, parameters))

    caller, days = world.person("auditor"), Days(date(2021, 3, 1), date(2021, 3, 30))
    with world.use.database.reading() as session:
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", remember)
        for read in (statistics.traffic_by_day, statistics.traffic_by_organization, statistics.traffic_by_stage,
                     statistics.sealing_by_day, statistics.refusals_by_code):  # fmt: skip
            read(session, caller, days)
        event.remove(connection, "before_cursor_execute", remember)
        assert len(asked) == 5
        prefix = "EXPLAIN QUERY PLAN " if world.kind == "sqlite" else "EXPLAIN "
        for statement, values in asked:
            assert "log_entries" not in statement
            plan = " / ".join(str(row[-1]) for row in connection.exec_driver_sql(prefix + statement, values))
            if world.kind == "sqlite":
                assert "SEARCH" in plan, plan
                assert "SCAN" not in plan, plan
            else:
                assert "Index" in plan, plan
                assert "Seq Scan" not in plan, plan
