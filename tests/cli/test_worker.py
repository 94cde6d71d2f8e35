"""`weightgate-server worker`: seals soon, whoever else does; outlives what passes; and ends when told."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.domain.audit import months, sealer
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.mail import mails
from server.log import sealing
from server.log.entries import Log
from server.storage.embedded import EmbeddedStore
from server.storage.keys import S3Credentials
from tests import tampering
from tests.cli.operator import Operator
from tests.e2e.working import anchor, anchors_of, unsealed, working
from tests.faults.proxy import Proxy, Verdict
from tests.lending import lending
from tests.own_keys import give_own_keys
from tests.postgres import PostgreSQL
from tests.world import World, copied_world, write_settings

SOON_SECONDS = 1
RECOVERY_SECONDS = 20


@pytest.fixture
def postgresql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


def issue(world: World) -> None:
    issuing.issue(world.use, world.caller("cleared"), world.order())


def stop_reason(world: World) -> str | None:
    with world.use.database.reading() as session:
        return session.query(Log.stop_reason).scalar()  # type: ignore[no-any-return]


def test_two_workers_seal_each_entry_within_a_second(sqlite_world: World) -> None:
    """Any number may run: one of them seals, every place is given once, and both end soon when they are told to."""
    world = sqlite_world
    with working(world, 2) as workers:
        workers[0].until(lambda: len(world.entries(EntryKind.HEARTBEAT)) > 0 and unsealed(world) == 0)
        took = []
        for _ in range(5):
            issue(world)
            took.append(workers[0].until(lambda: unsealed(world) == 0))
        assert min(took) < SOON_SECONDS  # each waits a whole interval; a busy machine only makes some longer
        assert [worker.end(signal.SIGTERM) for worker in workers] == [0, 0]
    places = [entry.leaf_index for entry in world.entries()]
    assert places == list(range(len(places)))
    assert len(world.entries(EntryKind.HEARTBEAT)) == 1


def test_a_stopped_log_is_told_and_sealed_again_once_it_may(sqlite_world: World) -> None:
    """Stopped, the worker says so and why, seals nothing and goes on beating; when people lift it, it seals again."""
    world = sqlite_world
    sealing.stop(world.use.database, world_origin(world), "somebody has changed it", world.clock())
    with working(world) as (worker,):
        worker.until(lambda: "somebody has changed it" in worker.messages)
        told = json.loads(worker.messages.splitlines()[0])
        assert (told["job"], told["error"]) == ("seal", "SealingStopped")
        worker.until(lambda: len(world.entries(EntryKind.HEARTBEAT)) > 0)
        assert unsealed(world) == 1
        tampering.run(world.settings.database_url, "UPDATE logs SET stop_reason = NULL, stopped_at = NULL")
        worker.until(lambda: unsealed(world) == 0)


@pytest.mark.usefixtures("durable_postgres")
def test_a_restart_of_the_database_is_waited_for(postgresql_world: World, postgres: PostgreSQL) -> None:
    """Killed outright and started again, PostgreSQL finds the same worker sealing on."""
    world = postgresql_world
    postgres.run("CHECKPOINT")  # the sequences of a database that was copied lose their lead in a crash before one
    with working(world) as (worker,):
        worker.until(lambda: len(world.entries(EntryKind.HEARTBEAT)) > 0 and unsealed(world) == 0)
        postgres.kill()
        time.sleep(1)  # so that it asks while nobody is there
        postgres.start_again()
        issue(world)
        worker.until(lambda: unsealed(world) == 0, RECOVERY_SECONDS)
        assert "DatabaseUnavailable" in worker.messages
        assert worker.end() == 0


def test_heads_are_anchored_and_an_older_log_is_refused(
    sqlite_world: World, embedded_store: EmbeddedStore, tmp_path: Path
) -> None:
    """The newest head goes to the anchors when the worker begins; behind them it refuses to begin, with exit code 4."""
    world = sqlite_world
    anchor(world, embedded_store)
    world.seal()
    bucket = str(world.settings.anchor_bucket)
    size = len(world.entries())
    with working(world) as (worker,), anchors_of(embedded_store, bucket) as objects:
        worker.until(lambda: objects.list_keys("anchors/"))
        assert worker.end() == 0
        assert size <= int(objects.list_keys("anchors/")[-1].rpartition("/")[2]) <= size + 1
    behind = {"places": size - 1}
    world.seal()
    sealer.anchor(world.use)
    tampering.run(world.settings.database_url, "DELETE FROM log_heads WHERE size > :places", **behind)
    world.tampered = True
    with working(world) as (worker,):
        assert worker.wait() == 4
        assert "an older backup was restored" in worker.messages
    assert "an older backup was restored" in str(stop_reason(world))


def test_a_worker_killed_while_it_anchors_leaves_no_half_anchor(
    sqlite_world: World, embedded_store: EmbeddedStore
) -> None:
    """The store has an anchor whole or not at all: an empty one could never be replaced, and would pass for a fork."""
    world = sqlite_world
    anchor(world, embedded_store)
    world.seal()
    signature, port = "\n\N{EM DASH} ".encode(), urlsplit(embedded_store.endpoint_url).port or 0
    with Proxy(port, lambda sent: Verdict.HOLD if signature in sent else Verdict.PASS) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        write_settings(world.template, world.folder, world.settings.database_url, s3_endpoint_url=endpoint)
        with working(world) as (worker,):
            worker.until(proxy.held.is_set)  # the store has the request, and waits for its body
            worker.end(signal.SIGKILL)
    sealer.anchor(world.use)
    assert sealer.anchored_size(world.use) is not None
    assert stop_reason(world) is None


def test_a_fault_in_one_job_ends_the_worker(sqlite_world: World) -> None:
    """What nobody foresaw ends it with exit code 1, so that whoever started it starts it anew: it never idles on."""
    sqlite_world.tampered = True
    tampering.run(sqlite_world.settings.database_url, "UPDATE logs SET vkey = 'no key'")
    with working(sqlite_world) as (worker,):
        assert worker.wait() == 1
        assert "Traceback" in worker.messages


def world_origin(world: World) -> str:
    with world.use.database.reading() as session:
        return str(session.query(Log.origin).scalar())


def test_months_without_pyarrow_stop_the_worker_alone(
    operator: Operator, sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The web, which writes none, needs none; the worker says so at once, and not at the end of the month."""
    give_own_keys(sqlite_world, log_months="audit-log")
    monkeypatch.setattr(months, "parquet_is_installed", lambda: False)
    line = operator("worker", code=1).line
    assert "Parquet needs pyarrow, which is not installed." in line
    assert "remove log_months from its settings" in line
    operator("log", "status")


def test_development_mails_are_printed_in_plain_lines(sqlite_world: World) -> None:
    """Whole, one block each, and without what a terminal would act on."""
    world = sqlite_world
    write_settings(world.template, world.folder, world.settings.database_url, development_mails=True)
    with world.use.database.transaction() as session:
        text = "Accept it: http://localhost:8080/invitations/abc\n\x1b[2JNothing happened."
        mails.queue(session, world.use, "invitation", "dora@dover.example", "Join Dover Lab", text, world.clock())
    with working(world) as (worker,):
        worker.until(lambda: "Questions:" in worker.messages.partition("Join Dover Lab")[2])
        assert (
            " to dora@dover.example\nJoin Dover Lab\n\nAccept it: http://localhost:8080/invitations/abc\n"
            "\N{REPLACEMENT CHARACTER}[2JNothing happened.\n" in worker.messages
        )
        assert worker.end(signal.SIGTERM) == 0


def test_it_renews_the_role_that_signs_its_canaries(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that end within a quarter of an hour are asked for again, without anybody cutting anything."""
    world = sqlite_world
    write_settings(world.template, world.folder, world.settings.database_url, signer_credentials="role")
    with lending(S3Credentials("ASIALENT", "a secret", "a token")) as lender:
        lender.lives = timedelta(minutes=10)
        for name, value in lender.container.items():
            monkeypatch.setenv(name, value)
        with working(world) as (worker, *_):
            worker.until(lambda: lender.asked > 2)  # at the start botocore asks twice for what ends so soon
            assert '"job": "role"' not in worker.messages
            assert worker.end(signal.SIGTERM) == 0
