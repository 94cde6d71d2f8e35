"""Grants: with three real PostgreSQL roles everything works, and the database refuses what is another role's to do."""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import make_url

from server import settings
from server.cli import instance
from server.domain.access import access_requests, clearances, endings
from server.domain.audit import archiving, heartbeat, replay, sealer
from server.domain.audit.month import Month
from server.domain.audit.months import Keeper
from server.domain.decisions import deciding, execution
from server.domain.delivery import log_follower, statistics
from server.domain.delivery.deliveries import Delivery
from server.domain.downloads import issuing
from server.domain.identity import organizations, token_uses
from server.domain.mail import mails
from server.domain.operation import carrying_out, doctor
from server.domain.release import finding_triage, holds
from server.domain.release.decisions import DecisionState
from server.domain.release.findings import FindingState
from server.domain.release.holds import EVERYTHING
from server.domain.resources import Resources
from server.log.archived import ARCHIVED_AFTER
from server.migrations import grants
from server.settings import Settings
from server.storage.embedded import EmbeddedStore
from server.web import app as web
from tests import access_log_lines as lines
from tests.cli.operator import Operator
from tests.cli.test_init import BASIC
from tests.domain.decisions.test_proposing import propose
from tests.e2e.working import anchor
from tests.findings import report
from tests.own_store import own_bucket
from tests.postgres import PostgreSQL, reachable_binaries
from tests.world import WatchedResources, World, copied_world, write_settings

# Names that break whoever does not quote them.
NAMES = ("owner", 'we"b 100%', "sealer; --")
PLACE, RECORD = "the place of an entry in the tree", "an entry's record"
FORBIDDEN = {
    "web": {
        PLACE: "UPDATE log_entries SET leaf_index = 1000000 WHERE leaf_index IS NULL",
        "an entry with its place": "INSERT INTO log_entries (log_id, kind, appended_at, record, salt, commitment, "
        "leaf_index) VALUES (1, 'x', now(), '', '', '', 1000000)",
        RECORD: "UPDATE log_entries SET record = ''",
        "no entry": "DELETE FROM log_entries",
        "no entries": "TRUNCATE log_entries",
        "a tile": "INSERT INTO log_tiles VALUES (1, 5, 5, '')",
        "a grown tile": "UPDATE log_tiles SET data = data || '1'",
        "a head": "INSERT INTO log_heads (log_id, size, root, note, sealed_at) VALUES (1, 1000000, '', '', now())",
        "another head": "UPDATE log_heads SET size = 1000000",
        "a cosignature": "INSERT INTO cosignatures VALUES (1, 1, 'x', 'x', now())",
        "what a witness said": "UPDATE witness_views SET fault = NULL",
        "how far the log is anchored": "UPDATE anchored_logs SET anchored_at = now()",
        "how far the log is mirrored": "INSERT INTO mirrored_logs (log_id, size) VALUES (1000000, 0)",
        "a stopped log": "UPDATE logs SET stop_reason = 'stopped'",
        "a log that goes on": "UPDATE logs SET stop_reason = NULL, stopped_at = NULL",
        "a log": "INSERT INTO logs (name, origin, created_at, vkey, receipt_vkey) VALUES ('x', 'x', now(), '', '')",
        "another instance": "UPDATE instance_id SET value = 'x'",
        "another schema version": "UPDATE alembic_version SET version_num = '0001'",
        "the generation of what has changed": "UPDATE authority SET generation = 'x'",
        "no guard": "ALTER TABLE log_entries DISABLE TRIGGER USER",
        "another guard": "CREATE OR REPLACE FUNCTION log_entries_guard() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'",
        "a table": "CREATE TABLE mine (id integer)",
    },
    "sealer": {
        RECORD: "UPDATE log_entries SET record = ''",
        "an entry with its place": "INSERT INTO log_entries (log_id, kind, appended_at, record, salt, commitment, "
        "leaf_index) VALUES (1, 'x', now(), '', '', '', 1000000)",
        "no entry": "DELETE FROM log_entries",
        "no tile": "DELETE FROM log_tiles",
        "another head": "UPDATE log_heads SET size = 1000000",
        "another key": "UPDATE logs SET vkey = ''",
        "an open log": "UPDATE logs SET closed_at = NULL",
        "a clearance": "INSERT INTO clearances SELECT * FROM clearances",
        "a longer clearance": "UPDATE clearances SET expires_at = now() + interval '1 year'",
        "a lifted hold": "UPDATE everything SET held_at = NULL",
        "a token": "UPDATE tokens SET revoked_at = NULL",
        "the generation of what has changed": "UPDATE authority SET generation = 'x'",
        "no guard": "ALTER TABLE log_entries DISABLE TRIGGER USER",
    },
}


@dataclass
class Roles:
    """A copy of the worked example whose tables one role owns, and which two others work on."""

    world: World
    settings: Settings
    use: WatchedResources

    def url(self, role: str) -> str:
        urls = {
            "web": self.settings.database_url,
            "sealer": self.settings.sealer_database_url,
            "owner": self.settings.migration_database_url,
        }
        return str(urls[role])

    def run(self, role: str, statement: str) -> list[Any]:
        """Run a statement as a role, and undo it."""
        with connect(self.url(role)) as connection:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
            connection.rollback()
            return rows


@pytest.fixture
def names(postgres: PostgreSQL) -> Iterator[list[str]]:
    """Three roles that can sign in and nothing else: owner, web, sealer."""
    named = [f"{name} {secrets.token_hex(4)}" for name in NAMES]
    for name in named:
        postgres.run(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pass'").format(sql.Identifier(name)).as_string())
    yield named
    for name in named:
        postgres.run(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)).as_string())


def urls(database_url: str, names: list[str]) -> list[str]:
    """The same database as each of the roles."""
    url = make_url(database_url)
    return [url.set(username=name, password="pass").render_as_string(hide_password=False) for name in names]


@pytest.fixture
def roles(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres: PostgreSQL,
    embedded_store: EmbeddedStore,
    names: list[str],
) -> Iterator[Roles]:
    for world in copied_world(request, tmp_path, "postgresql"):
        anchor(world, embedded_store)
        name = str(make_url(world.settings.database_url).database)
        postgres.run(OWNED.format(owner=sql.Identifier(names[0]).as_string()), name)
        owner, web_url, sealer_url = urls(world.settings.database_url, names)
        more = {"sealer_database_url": sealer_url, "migration_database_url": owner}
        made = write_settings(world.template, world.folder, web_url, **more)
        instance.write_schema(made)
        use = WatchedResources(made, world.clock)
        yield Roles(world, made, use)
        world.use.watched.urls += use.watched.urls
        use.close()


RIGHTS = "SELECT grantee, table_name, privilege_type FROM information_schema.table_privileges ORDER BY 1, 2, 3"
OWNED = """
DO $$
DECLARE one record;
BEGIN
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER TABLE %I OWNER TO {owner}', one.tablename);
  END LOOP;
  FOR one IN SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP
    EXECUTE format('ALTER FUNCTION %I OWNER TO {owner}', one.proname);
  END LOOP;
  ALTER SCHEMA public OWNER TO {owner};
END $$
"""


def test_the_whole_way_works_with_three_roles(roles: Roles) -> None:
    """The web decides, issues and proves; the worker seals, beats, anchors, looks again and counts what was fetched."""
    world, use, admin = roles.world, roles.use, roles.world.admin
    sealing_use = use.as_sealer()
    issued = issuing.issue(use, world.caller("cleared"), world.order())
    assert sealer.seal(sealing_use) == 1
    sealer.anchor(sealing_use)
    assert sealer.Recheck(sealing_use).step() is None
    heartbeat.beat(sealing_use)
    access_log = world.folder / "access.log"
    read = lines.Wanted(use.clock(), issued.files[0].stored.key, issued.id, 7)
    ghost = lines.Wanted(use.clock(), issued.files[0].stored.key, None, 7, "another")
    access_log.write_text(lines.embedded_line(read) + "\n" + lines.embedded_line(ghost) + "\n")
    log_follower.follow(sealing_use, access_log)
    with use.database.reading() as session:
        assert [row.bytes_sent for row in session.query(Delivery)] == [7]
        assert issuing.proof(session, world.caller("cleared"), issued.id)
    assert {"ghost_read"} <= {record["alarm"] for record in world.records("alarm")}
    organizations.add(use, admin, "ebro-lab", "Ebro Lab")
    carrying_out.set_quota(use, admin, "aurora-institute", bytes_per_day=None, requests_per_minute=600)
    issuing.issue(use, world.caller("cleared"), world.order())
    holds.place(use, admin, EVERYTHING, "A pause.")
    headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
    client = web.create(use).test_client()
    assert client.post("/api/v1/downloads", json={"stage": "gpt-2/774M"}, headers=headers).status_code == 451
    assert client.get("/readyz").status_code == 200
    assert len(world.refusals()) == 1
    with closing(Resources(use.settings, use.clock)) as plain:  # the world watches what its own signer signs
        findings = {finding.name: finding for finding in doctor.examine(plain)}
    assert [findings[name].ok for name in ("database", "log", "anchors")] == [True] * 3
    sealer.seal(sealing_use)
    assert {fault.sentence for fault in world.faults()} == {replay.GHOST_READ}
    sealing_use.close()


def test_a_decision_is_carried_out_with_three_roles(roles: Roles) -> None:
    """The web proposes and approves; the worker carries out at its time, and blocks what is forbidden."""
    world, use = roles.world, roles.use
    number = report(world)
    finding_triage.triage(use, world.admin, number, FindingState.CONFIRMED)
    for hours, stage in ((1, "gpt-2/774M"), (2, "mini-gpt/base")):
        considered = (number,) if stage == "gpt-2/774M" else ()
        made = propose(world, stage, findings=considered, opens_at=use.clock() + timedelta(hours=hours))
        deciding.approve(use, world.admin2, made.id)
    holds.place(use, world.admin, "mini-gpt", "Wait.")
    world.clock.offset += timedelta(hours=3)
    with closing(use.as_sealer()) as sealing_use:
        states = [one.state for one in execution.carry_out_due(sealing_use)]
    assert states == [DecisionState.DONE, DecisionState.BLOCKED]


def test_people_are_told_with_three_roles(roles: Roles) -> None:
    """The web takes a request and its decision; the worker, which can decide nothing, sends what tells of it."""
    world, use = roles.world, roles.use
    request = access_requests.create(
        use, world.person("uncleared"), "gpt-2", "research", purpose="x", wanted_until=use.clock() + timedelta(days=20)
    )
    request = access_requests.approve(use, world.admin, request.id)
    token_uses.note(use, world.caller("cleared"))
    clearances.approve(use, world.admin2, request.clearance_id or 0)
    world.clock.advance(timedelta(days=19))
    sealing_use = use.as_sealer()
    assert endings.remind(sealing_use) == 2
    sealing_use.settings = sealing_use.settings.model_copy(update={"development_mails": True})
    told = set[str]()
    while sent := mails.send_due(sealing_use):
        told |= {outcome.mail.kind for outcome in sent}
    assert {"access_request", "access_approved", "access_ends", "access_ends_week"} <= told
    with use.database.reading() as session:
        assert token_uses.of(session, [world.caller("cleared").token_id or 0])
    sealing_use.close()


def test_the_database_refuses_what_is_another_role_s(roles: Roles) -> None:
    """Not our code but PostgreSQL says no, whatever somebody makes a role's process ask for."""
    done = []
    for role, acts in FORBIDDEN.items():
        for what, statement in acts.items():
            try:
                roles.run(role, statement)
            except errors.InsufficientPrivilege:
                continue
            done.append((role, what))
    assert done == []


def test_the_same_acts_are_the_owner_s_to_do(roles: Roles) -> None:
    """The statements above are refused for want of a right, not because they are wrong: guards apart, the owner may."""
    for what in ("a stopped log", "another schema version", "a table", "no guard"):
        roles.run("owner", FORBIDDEN["web"][what])
    roles.run("sealer", FORBIDDEN["web"]["a stopped log"])
    roles.run("sealer", FORBIDDEN["web"]["a grown tile"])


def test_a_month_is_archived_by_the_owner_s_role_alone(roles: Roles) -> None:
    """Web and sealer may not empty a record, also where the guard would let the owner."""
    world, use = roles.world, roles.use
    with own_bucket(world) as name:
        use.__dict__["log_months"] = use._log_bucket(f"{name}/log", world.settings.publisher_key_file)
        issuing.issue(use, world.caller("cleared"), world.order())
        with closing(use.as_sealer()) as worker:
            sealer.seal(worker)
            month = Month.of(use.clock())
            world.clock.before = lambda: None  # the world's own role is none of the three
            world.clock.advance(month.until + ARCHIVED_AFTER + timedelta(hours=2) - use.clock())
            statistics.count(worker)
        Keeper(use).keep()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(archiving, "_empty_all", lambda *_: 0)
            archiving.archive(use, world.admin, month, "A test.")
        for role in ("web", "sealer"):
            with pytest.raises(errors.InsufficientPrivilege):
                roles.run(role, f"{FORBIDDEN[role][RECORD]} WHERE kind = 'download'")
        assert archiving.archive(use, world.admin, month, "A test.").emptied > 0


def test_migrating_again_takes_back_what_was_given_by_hand(roles: Roles) -> None:
    """Rights are what the code says, however often it runs: one that somebody gave in a hurry does not stay."""
    statement = sql.SQL("GRANT UPDATE (leaf_index) ON log_entries TO {}")
    web_role = sql.Identifier(str(make_url(roles.url("web")).username))
    with connect(roles.url("owner")) as connection:
        connection.execute(statement.format(web_role))
    roles.run("web", FORBIDDEN["web"][PLACE])
    instance.write_schema(roles.settings)
    with pytest.raises(errors.InsufficientPrivilege):
        roles.run("web", FORBIDDEN["web"][PLACE])


def test_one_role_for_all_is_left_as_it_is(roles: Roles) -> None:
    """Whoever runs everything as one user gave that user its rights, and keeps them."""
    owner, web_url = roles.url("owner"), roles.url("web")
    before = roles.run("owner", RIGHTS)
    grants.give(owner, owner, owner)
    grants.give(owner, web_url, web_url)
    grants.give("sqlite:///none.sqlite3", "sqlite:///none.sqlite3", "sqlite:///none.sqlite3")
    assert roles.run("owner", RIGHTS) == before
    assert before


@pytest.fixture
def databases(postgres: PostgreSQL, names: list[str]) -> Iterator[list[str]]:
    """Two new, empty databases of the owner's."""
    made = [f"roles_{secrets.token_hex(4)}" for _ in range(2)]
    owner = sql.Identifier(names[0]).as_string()
    for name in made:
        postgres.run(f'CREATE DATABASE "{name}" OWNER {owner} TEMPLATE template0')
    yield [postgres.url(name) for name in made]
    for name in made:
        postgres.drop(name)


def test_an_instance_begins_and_is_restored_with_three_roles(
    databases: list[str],
    names: list[str],
    embedded_store: EmbeddedStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """`init` and `restore` leave the web's role what it needs, and no more."""
    monkeypatch.setenv("PATH", f"{reachable_binaries(tmp_path)}{os.pathsep}{os.environ['PATH']}")
    operator = Operator(tmp_path / "begun", monkeypatch, capsys)
    signer, publisher = embedded_store.signer_key_file, embedded_store.publisher_key_file
    store = ("--s3-endpoint-url", embedded_store.endpoint_url, "--signer-key", signer, "--publisher-key", publisher)
    backup, restored = tmp_path / "backup", operator.elsewhere(tmp_path / "restored")

    set_roles(monkeypatch, urls(databases[0], names))
    operator(*BASIC, *store, "--s3-addressing", "path", "--bucket", f"roles-{secrets.token_hex(4)}")
    require_well(operator)
    operator("backup", backup)
    set_roles(monkeypatch, urls(databases[1], names))
    restored("restore", backup)
    require_well(restored)


def set_roles(monkeypatch: pytest.MonkeyPatch, roles: list[str]) -> None:
    for key, url in zip(("migration_database_url", "database_url", "sealer_database_url"), roles, strict=True):
        monkeypatch.setenv(f"WEIGHTGATE_{key.upper()}", url)


def require_well(operator: Operator) -> None:
    """The worker seals, the doctor finds the log sound, and the web's role cannot stop it."""
    use = Resources(settings.load(operator.folder))
    sealing_use = use.as_sealer()
    sealer.seal(sealing_use)
    sealing_use.close()
    findings = {finding.name: finding.ok for finding in doctor.examine(use)}
    assert (findings["database"], findings["log"]) == (True, True)
    with connect(use.settings.database_url) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(FORBIDDEN["web"]["a stopped log"])
    use.close()


def connect(url: str) -> "psycopg.Connection[Any]":
    parts = make_url(url)
    return psycopg.connect(
        host=parts.host, port=parts.port, user=parts.username, password=parts.password, dbname=parts.database
    )


def test_two_nodes_give_rights_at_the_same_moment(roles: Roles) -> None:
    """PostgreSQL would refuse the second with an error of its own; here it waits."""
    made = roles.settings
    with ThreadPoolExecutor(2) as nodes:
        given = [nodes.submit(instance.write_grants, made) for _ in range(6)]
        assert [one.result() for one in given] == [None] * 6
