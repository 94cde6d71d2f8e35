"""A real streaming replica: what shows the log is read there while it has the newest head; what decides never is."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, make_url, select
from sqlalchemy.orm import Session

from server.domain.downloads import issuing
from server.domain.errors import NotCleared
from server.domain.operation import node_checks
from server.domain.operation.door_probes import Wrong
from server.log import published, replica
from server.log.replica import LogReading
from server.storage.database import Database
from server.storage.embedded import free_port
from tests.postgres import PostgreSQL
from tests.world import World, copied_world

CATCHES_UP_SECONDS = 20


@pytest.fixture
def primary(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


@pytest.fixture
def standby(primary: World, postgres: PostgreSQL) -> Iterator[PostgreSQL]:
    """A replica that has caught up, and that the world's settings name."""
    with tempfile.TemporaryDirectory(prefix="wg-replica-") as folder:
        Path(folder).chmod(0o755)
        with postgres.replica(Path(folder) / "standby") as server:
            name = str(make_url(primary.settings.database_url).database)
            point_at(primary, server.url(name))
            catch_up(postgres, server)
            yield server
            primary.use.__dict__.pop("log_replica").close()


def point_at(world: World, url: str) -> None:
    world.use.settings = world.use.settings.model_copy(update={"log_replica_url": url})


def catch_up(postgres: PostgreSQL, standby: PostgreSQL) -> None:
    ((written,),) = postgres.run("SELECT pg_current_wal_insert_lsn()")
    deadline = time.monotonic() + CATCHES_UP_SECONDS
    while not standby.run(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_replica(session: Session) -> bool:
    return bool(session.scalar(select(func.pg_is_in_recovery())))


def where_read(world: World) -> bool:
    with world.use.log_reading.newest() as session:
        return is_replica(session)


def test_a_replica_that_has_the_newest_head_is_read(
    primary: World, standby: PostgreSQL, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it lags, the primary is, so no reader sees the log shrink; a tile that it lacks comes from the primary."""
    assert where_read(primary)
    assert "has the newest head" in node_checks.log_replica(primary.use)
    standby.run("SELECT pg_wal_replay_pause()")
    issued = primary.api("POST", "/downloads", json={"stage": "gpt-2/124M"}).json["id"]
    primary.seal()
    assert not where_read(primary)
    monkeypatch.setattr(node_checks, "CATCHES_UP_SECONDS", 0)
    with pytest.raises(Wrong, match="see why it lags"):
        node_checks.log_replica(primary.use)
    size = int(primary.ask("GET", "/log/checkpoint").text.splitlines()[1])
    assert primary.ask("GET", f"/log/tile/0/000.p/{size}").status_code == 200
    assert primary.api("GET", f"/downloads/{issued}/proof").status_code == 200
    standby.run("SELECT pg_wal_replay_resume()")
    catch_up(postgres, standby)
    assert where_read(primary)
    assert primary.api("GET", f"/downloads/{issued}/proof").status_code == 200


def test_a_replica_that_ends_is_noticed_by_nobody(
    primary: World, standby: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary answers, and the replica is asked again after a while."""
    assert where_read(primary)
    standby.kill()
    assert primary.ask("GET", "/api/v1/log/entries").status_code == 200
    assert not where_read(primary)
    monkeypatch.setattr(replica, "AWAY_SECONDS", 0)
    primary.use.log_reading._away_until = 0
    standby.start_again()
    assert where_read(primary)


def test_a_replica_that_does_not_answer_takes_nothing_from_a_decision(primary: World) -> None:
    """With an address where nobody listens, downloads are issued and refused as ever, and the log is shown."""
    point_at(primary, f"postgresql+psycopg://app:word@127.0.0.1:{free_port()}/gone")
    assert primary.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    assert primary.api("POST", "/downloads", "uncleared", json={"stage": "gpt-2/774M"}).status_code == 403
    assert primary.ask("GET", "/api/v1/log/entries").status_code == 200
    assert primary.ask("GET", "/log/tile/0/000.p/1").status_code == 200
    with pytest.raises(Wrong, match="the log is read from the database itself"):
        node_checks.log_replica(primary.use)
    primary.use.__dict__.pop("log_replica").close()


def test_a_replica_that_takes_writes_is_none(primary: World) -> None:
    """`doctor` knows the primary, or a replica that was promoted."""
    point_at(primary, primary.settings.database_url)
    with pytest.raises(Wrong, match="is no replica"):
        node_checks.log_replica(primary.use)
    primary.use.__dict__.pop("log_replica").close()


class Untouchable:
    """A replica that must not be asked."""

    def reading(self) -> Any:
        raise AssertionError("a decision asked the replica")

    def close(self) -> None:
        """Nothing is open."""


def test_nothing_that_decides_asks_the_replica(primary: World) -> None:
    """Issuing, refusing, listing stages, being ready, revoking: all know of the primary alone."""
    primary.use.__dict__["log_replica"] = Untouchable()
    primary.use.__dict__.pop("log_reading", None)
    assert primary.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 201
    with pytest.raises(NotCleared):
        issuing.issue(primary.use, primary.caller("uncleared"), primary.order())
    assert primary.api("GET", "/stages").status_code == 200
    assert primary.ask("GET", "/log/checkpoint").status_code == 200
    assert primary.visit("admin").get("/admin/queue").status_code == 200
    assert primary.ask("GET", "/log/tile/0/000.p/1").status_code == 500  # it is not as if nobody could have noticed


def test_another_log_of_the_same_size_is_no_replica(primary: World, postgres: PostgreSQL) -> None:
    """A database whose newest head differs in its root is not read: it is another's, or somebody changed it."""
    other = postgres.create(f"{make_url(primary.settings.database_url).database}_other", "template_world")
    with primary.use.database.reading() as session:
        size = published.head(session, published.find(session, None)).size
    postgres.run(
        f"SET session_replication_role = replica; UPDATE log_heads SET root = '\\x00' WHERE size = {size}",  # noqa: S608
        str(make_url(other).database),
    )
    database = Database(other)
    with LogReading(primary.use.database, database).newest() as session:
        assert session.scalar(select(func.current_database())) == make_url(primary.settings.database_url).database
    database.close()
    postgres.drop(str(make_url(other).database))
