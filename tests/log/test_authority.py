"""Authority: the generation changes with all that a decision rests on, and no entry is appended under another one."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, event, select, text, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import visitors

from server.domain.access import clearances, facts, quotas
from server.domain.identity import authentication
from server.domain.release import stages
from server.domain.release.stages import Stage
from server.domain.release.tiers import Tier
from server.domain.resources import Resources
from server.log import authority, entries, sealing
from server.log.condition import SEALED_WITHIN
from tests.world import World, copied_world

KIND, RECORD = "test", {"actor": {"person": "ada@example.org"}, "download": "x"}
KEPT = [
    facts._ONE_STAGE, facts._CLEARANCES, facts._VERSION, facts._SIGNATURES, quotas._LIMITS,
    authentication._BY_TOKEN, authentication._BY_PERSON, authentication._BY_PUBLIC_ID,
]  # fmt: skip
NEVER_KEPT = {"workload_tokens", "authority"}  # a machine's token is read each time; the other is the generation
# What else than a change of a row makes another fact: a new row, or one that is gone. Where rows are only found by the
# id of one that was there, a new one changes nothing.
FOUND_BY_ID = {"checkpoints", "organizations", "people", "tokens"}
EVERY_CHANGE = {
    "agreement_versions", "agreements", "clearances", "everything", "logs", "models", "quotas", "signatures",
    "stage_aliases", "stages", "tiers",
}  # fmt: skip


@pytest.fixture
def postgresql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


def generation(world: World) -> str:
    with world.use.database.reading() as session:
        return authority.current(session)


def newest_log(world: World) -> int:
    with world.use.database.reading() as session:
        return session.scalars(select(entries.Log.id).order_by(entries.Log.id.desc())).first() or 0


def append(world: World, under: str, *, log_id: int | None = None) -> entries.Appended | None:
    return authority.append_under(
        world.use.database, under, newest_log(world) if log_id is None else log_id, KIND,
        world.clock(), RECORD, subject="x",
    )  # fmt: skip


def run(world: World, statement: str) -> None:
    with world.use.database.transaction() as session:
        session.execute(text(statement))


def columns_of(statement: Any) -> Iterator[tuple[str, str]]:
    for part in visitors.iterate(statement._prepared._statement):
        if isinstance(part, Column) and part.table is not None and not part.primary_key:
            yield (
                str(getattr(part.table, "element", part.table).description),
                part.name,
            )  # of an alias, what it is one of


def test_every_fact_that_is_kept_changes_the_generation(world: World) -> None:
    """Column by column, as the statements that read them name them; whoever changes one, by whatever means."""
    read = {column for statement in KEPT for column in columns_of(statement)}
    looked_at = sorted((table, column) for table, column in read if table not in NEVER_KEPT)
    assert {table for table, _ in looked_at} >= (FOUND_BY_ID | EVERY_CHANGE) - {"logs", "checkpoints"}
    for table, column in [*looked_at, ("checkpoints", "published_at"), ("logs", "receipt_vkey")]:
        before = generation(world)
        run(world, f"UPDATE {table} SET {column} = {column}")  # noqa: S608  # names of our own
        assert generation(world) != before, (table, column)


def test_new_and_removed_rows_are_told_of_where_they_count(world: World) -> None:
    """As the sets above have it, and of a table that is emptied at once."""
    on_sqlite = "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%UPDATE authority%'"
    on_postgresql = (
        "SELECT relname, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE tgfoid = 'authority_changed'::regproc"
    )
    found: dict[str, set[str]] = {}
    with world.use.database.reading() as session:
        for table, trigger in session.execute(text(on_sqlite if world.kind == "sqlite" else on_postgresql)):
            head = trigger.partition(" ON ")[0]
            found.setdefault(table, set()).update(
                word for word in ("INSERT", "UPDATE", "DELETE", "TRUNCATE") if word in head
            )
    rows = {"UPDATE", "DELETE"} | (set() if world.kind == "sqlite" else {"TRUNCATE"})
    by_table = dict.fromkeys(FOUND_BY_ID, rows) | {table: rows | {"INSERT"} for table in EVERY_CHANGE}
    assert found == by_table


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people SET totp_step = 7, name = 'Ada'",
        "UPDATE quotas SET next_free_at = NULL",
        "UPDATE log_entries SET leaf_index = leaf_index WHERE false",
    ],
)
def test_what_changes_all_the_time_does_not(world: World, statement: str) -> None:
    """A sign-in, a count of a quota, or the sealer makes nobody read everything again."""
    before = generation(world)
    run(world, statement)
    assert generation(world) == before


def test_an_entry_under_the_generation_is_the_one_that_is_appended_otherwise(world: World) -> None:
    """The same columns, whichever way."""
    one = append(world, generation(world))
    with world.use.database.transaction() as session:
        two = entries.append(session, kind=KIND, at=world.clock(), record=RECORD, subject="x")
    assert one is not None
    rows = [{name: getattr(entry, name) for name in (*entries.GIVEN, "log_id")} for entry in world.entries()[-2:]]
    own = dict.fromkeys(("appended_at", "record", "salt", "commitment"))
    assert rows[0] | own == rows[1] | own
    for row, appended in zip(rows, (one, two), strict=True):
        assert (row["record"], row["salt"], row["commitment"]) == (appended.record, appended.salt, appended.commitment)


@dataclass(frozen=True)
class OneAppend:
    """Appends on PostgreSQL in a transaction that is rolled back, as its owner."""

    session: Session
    values: dict[str, Any]

    @classmethod
    @contextmanager
    def of(cls, world: World) -> "Iterator[OneAppend]":
        at = world.clock()
        values = entries.values_of(KIND, at, RECORD, entries.prepare(KIND, at, RECORD)) | {
            "generation": generation(world), "log_id": newest_log(world),
            "ahead_from": at + entries.CLOCKS_DIFFER_BY, "unsealed_since": at - SEALED_WITHIN,
        }  # fmt: skip
        with closing(world.use.as_owner()) as owner, owner.database.transaction() as session:
            yield cls(session, values)
            session.rollback()

    @property
    def driver(self) -> Any:
        return self.session.connection().connection.driver_connection

    def run(self, explain: str = "") -> Any:
        statement: Any = authority._APPEND_FUNCTION._prepared._statement
        query = statement.params(**self.values).compile(self.session.get_bind())
        return self.driver.execute(f"{explain} {query}", query.params).fetchone()

    def pages(self) -> int:
        """How many it reads."""
        return int(self.run("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)")[0][0]["Plan"]["Shared Hit Blocks"])

    def plans(self) -> int:
        """How many plans PostgreSQL makes for it; one is that of the call."""
        told: list[str | None] = []
        self.driver.add_notice_handler(lambda notice: told.append(notice.message_primary))
        self.session.execute(text("SET LOCAL client_min_messages = log"))
        self.session.execute(text("SET LOCAL log_planner_stats = on"))
        self.run()
        self.session.execute(text("SET LOCAL log_planner_stats = off"))
        return told.count("PLANNER STATISTICS")

    def places_read(self) -> int:
        """How many entries of the index of places this transaction has read."""
        asked = text("SELECT pg_stat_get_xact_tuples_returned('uq_log_entries_log_id_leaf_index'::regclass)")
        return int(self.session.scalar(asked) or 0)

    def append(self, count: int) -> None:
        """Have so many more that wait for their seal."""
        added = """INSERT INTO log_entries (log_id, kind, appended_at, record, salt, commitment)
                   SELECT :log, 'heartbeat', :at, '{}', '', '' FROM generate_series(1, :count)"""
        at = self.values["appended_at"]
        self.session.execute(text(added), {"log": self.values["log_id"], "at": at, "count": count})

    def seal(self, thousands: int) -> None:
        """Have so many thousands more sealed ones, and a head that says so. Each statement's time has a limit."""
        for _ in range(thousands):
            self.append(1000)
            self.session.execute(text("UPDATE log_entries SET leaf_index = id + 1000000 WHERE leaf_index IS NULL"))
        head = """INSERT INTO log_heads (log_id, size, root, note, sealed_at)
                  SELECT log_id, max(leaf_index) + 1, '', '', max(appended_at) FROM log_entries
                   WHERE log_id = :log GROUP BY log_id"""
        self.session.execute(text(head), {"log": self.values["log_id"]})


def test_an_append_reads_no_more_after_thousands_were_sealed(postgresql_world: World) -> None:
    """PostgreSQL keeps what sealing leaves behind until a vacuum: in pages, and with the plans of a small table."""
    with OneAppend.of(postgresql_world) as one:
        one.pages()  # the first one reads the catalog
        before = one.pages()
        one.seal(3)
        assert one.pages() < before + 100
        one.seal(9)
        assert one.pages() < before + 150


def test_an_append_keeps_its_plan_when_the_table_is_analyzed(postgresql_world: World) -> None:
    """Nor does PostgreSQL 18 take the index of places then, which has all that was sealed since the last vacuum."""
    with OneAppend.of(postgresql_world) as one:
        one.seal(12)
        one.append(20)
        one.session.execute(text("ANALYZE log_entries"))
        one.run()  # makes the plan
        assert one.plans() == 1
        before = one.places_read()
        assert one.run() == (1,)
        assert one.places_read() - before <= 1


def changed(world: World) -> None:
    clearances.revoke(world.use, world.admin, 1)


def stopped(world: World) -> None:
    world.tampered = True  # and nothing seals it again
    with closing(world.use.as_sealer()) as sealer:
        sealing.stop(sealer.database, newest_log_name(world), "entry 7 was edited", world.clock())


def newest_log_name(world: World) -> str:
    with world.use.database.reading() as session:
        return session.scalars(select(entries.Log.origin).order_by(entries.Log.id.desc())).first() or ""


def unsealed(world: World) -> None:
    run(world, "UPDATE people SET totp_step = 7")
    assert append(world, generation(world)) is not None
    world.clock.before = lambda: None  # nobody seals
    world.clock.advance(SEALED_WITHIN + timedelta(seconds=1))


def ahead(world: World) -> None:
    world.clock.advance(timedelta(minutes=5))
    assert append(world, generation(world)) is not None
    world.clock.advance(timedelta(minutes=-4))


@pytest.mark.parametrize("what", [stopped, unsealed, ahead])
def test_nothing_is_appended_to_an_unsound_log(world: World, what: Any) -> None:
    """Stopped, not sealed for half a minute, or ahead of our clock: whoever asks again is told which."""
    what(world)
    known = len(world.entries())
    assert append(world, generation(world)) is None
    assert len(world.entries()) == known


def test_nothing_is_appended_under_another_generation_or_to_an_older_log(world: World) -> None:
    """Whatever changed meanwhile, it is read again."""
    world.tampered = True  # a log without a key of ours
    before, log = generation(world), newest_log(world)
    changed(world)
    known = len(world.entries())
    assert append(world, before) is None
    with closing(world.use.as_owner()) as owner, owner.database.transaction() as session:
        entries.open_log(session, "weights.example.org/downloads/2027+", "vkey", world.clock())
    assert append(world, generation(world), log_id=log) is None
    assert len(world.entries()) == known


def test_an_act_waits_until_an_entry_under_the_old_generation_is_committed(postgresql_world: World) -> None:
    """On PostgreSQL, where two write at once: the entry comes first, and what it rested on ends after it."""
    world, under = postgresql_world, generation(postgresql_world)
    with closing(Resources(world.settings, world.clock)) as other, ThreadPoolExecutor(2) as pool:
        with other.database.transaction() as blocker:
            blocker.execute(text("LOCK TABLE log_entries IN SHARE MODE"))  # holds up the entry behind its own lock
            entry = pool.submit(append, world, under)
            _until_one_waits(other, "relation")
            act = pool.submit(clearances.revoke, other, world.admin, 1)
            _until_one_waits(other, "relation", 2)
        assert entry.result() is not None
        act.result()
    assert [one.kind for one in world.entries()[-2:]] == [KIND, "clearance.revoke"]


def test_an_entry_waits_for_an_act_and_is_not_appended(postgresql_world: World) -> None:
    """The other way round: it waits until the act is committed, and then sees it."""
    world, under, log = postgresql_world, generation(postgresql_world), newest_log(postgresql_world)
    committing, goes_on = threading.Event(), threading.Event()

    def stop(_connection: Any) -> None:
        committing.set()
        goes_on.wait(10)

    with closing(Resources(world.settings, world.clock)) as other, ThreadPoolExecutor(2) as pool:
        event.listen(other.database._writer, "commit", stop)
        act = pool.submit(clearances.revoke, other, world.admin, 1)
        assert committing.wait(10)
        entry = pool.submit(append, world, under, log_id=log)
        _until_one_waits(world.use, "advisory")
        goes_on.set()
        assert entry.result() is None
        act.result()
    assert world.entries()[-1].kind == "clearance.revoke"


def test_two_who_change_rows_in_another_order_do_not_wait_for_each_other(postgresql_world: World) -> None:
    """The lock is the last that each takes, so it cannot be part of a circle with the rows' own."""
    world = postgresql_world
    first_has, second_has = threading.Event(), threading.Event()

    def change(use: Resources, mine: str, other: str, has: threading.Event, other_has: threading.Event) -> None:
        with use.database.transaction() as session:
            session.execute(update(Tier).where(Tier.name == mine).values(report_to_renew=False))
            has.set()
            assert other_has.wait(10)
            session.execute(update(Stage).where(Stage.name == other).values(note="x"))

    with closing(Resources(world.settings, world.clock)) as other, ThreadPoolExecutor(2) as pool:
        one = pool.submit(change, world.use, "research", "774M", first_has, second_has)
        two = pool.submit(change, other, "partner", "124M", second_has, first_has)
        one.result(5)
        two.result(5)
    with world.use.database.reading() as session:
        assert stages.get(session, "gpt-2/774M").note == stages.get(session, "gpt-2/124M").note == "x"


def test_a_restored_generation_is_none_that_was_used_since(world: World) -> None:
    """It is random: what changes twice does not come back to where it was."""
    seen = {generation(world)}
    for _ in range(3):
        run(world, "UPDATE everything SET held_at = NULL")
        seen.add(generation(world))
    assert len(seen) == 4


def _until_one_waits(use: Resources, kind: str, count: int = 1) -> None:
    """Until so many wait for a lock of this kind."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = :kind")
    for _ in range(1000):
        with use.database.reading() as session:
            if _scalar(session, waiting, kind) >= count:
                return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


def _scalar(session: Session, statement: Any, kind: str) -> int:
    return int(session.scalar(statement, {"kind": kind}) or 0)
