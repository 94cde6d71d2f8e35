"""The world of a test: a fresh copy of the worked example on real parts, and a check that must hold afterwards."""

import copy
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import Connection, Dialect, Engine, event, func, select

from server.cli import instance, worked_example
from server.domain import entry_kinds
from server.domain.access.refusals import Refusal
from server.domain.accounts import granting
from server.domain.audit import replay, sealer, verifying
from server.domain.callers import Caller
from server.domain.decisions import lifting
from server.domain.downloads.issuing import Order
from server.domain.entry_kinds import EntryKind
from server.domain.identity import authentication, organizations, people
from server.domain.identity.people import Person
from server.domain.operation import carrying_out
from server.domain.permissions import Role
from server.domain.publish import publishing
from server.domain.publish.publishing import Published
from server.domain.release.decisions import Decision
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.log import entries
from server.log.entries import LogEntry
from server.log.verification import Fault
from server.settings import Settings
from server.storage import keys
from server.storage.signing import StoredObject, UrlSigner
from server.storage.signing_s3 import S3Signer
from server.web import app as web
from tests.postgres import PostgreSQL
from tests.templates import Template, check_entries
from tests.visits import Visit, visit

DATABASES = ("sqlite", "postgresql")
SEALED_AGAIN_AFTER_SECONDS = 15
ABOUT_THE_LOG = {"log", "audit", "faults"}  # folders of tests
PADDING = "its kind test is unknown"  # what tests append to fill a log, and is nobody's act


class Clock:
    """The real time, moved. The store has a real clock, so tests move ours only a little or for refusals."""

    def __init__(self) -> None:
        self.offset = timedelta(0)
        self.before: Callable[[], object] = lambda: None  # what happens as time goes by

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, by: timedelta) -> None:
        self.before()
        self.offset += by


class CompiledTemplates(BytecodeCache):
    """Templates are compiled once a process, not once a test: it takes longer than most tests do."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._known:
            bucket.bytecode_from_string(self._known[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key] = bucket.bytecode_to_string()


COMPILED = CompiledTemplates()


DIALECTS: dict[str, Dialect] = {}
STATEMENTS: dict[str, dict[Any, Any]] = {name: {} for name in DATABASES}


@event.listens_for(Engine, "engine_connect")
def share_compiled(connection: Connection) -> None:
    """Statements are compiled once a process too: they are known by their dialect, and each world has its own."""
    connection.dialect = DIALECTS.setdefault(connection.dialect.name, connection.dialect)
    connection.execution_options(compiled_cache=STATEMENTS[connection.dialect.name])


class WatchedSigner:
    """The real signer; remembers what it signed."""

    def __init__(self, signer: UrlSigner) -> None:
        self._signer = signer
        self.origin = signer.origin
        self.urls: list[str] = []

    def sign(self, objects: Iterable[StoredObject], **how: Any) -> list[str]:
        made = self._signer.sign(objects, **how)
        self.urls += made
        return made


SIGNERS: dict[tuple[str, str | None], S3Signer] = {}


class WatchedResources(Resources):
    """Resources whose signer is watched. Where a test moves the clock, time has passed."""

    def steady(self) -> float:
        return self.clock().timestamp()

    @cached_property
    def watched(self) -> WatchedSigner:
        if self.settings.signer_credentials == "role":
            return WatchedSigner(super().store_signer)
        credentials = keys.read_s3_credentials(self.settings.signer_key_file)
        known = credentials.access_key_id, self.settings.s3_endpoint_url
        if known not in SIGNERS:  # it is held against botocore's once a process
            SIGNERS[known] = self.signer_with(credentials)
        return WatchedSigner(SIGNERS[known].with_clock(self.clock))

    @property
    def store_signer(self) -> UrlSigner:
        return self.watched

    @cached_property
    def watched_cloudfront(self) -> WatchedSigner:
        return WatchedSigner(super().cloudfront_signer)

    @property
    def cloudfront_signer(self) -> UrlSigner:
        return self.watched_cloudfront


class World:
    """One test's instance. `check` must hold at the end of every test."""

    def __init__(self, template: Template, folder: Path, url: str) -> None:
        self.template = template
        self.example = copy.deepcopy(template.example)
        self.folder = folder
        self.settings = write_settings(template, folder, url)
        self.clock = Clock()
        self.use = WatchedResources(self.settings, self.clock)
        self.kind = template.kind
        self.clock.before = self.seal
        self._sealed = time.monotonic()
        self.tampered = False  # a test that changes what nobody may change says so, and checks for itself
        self.verifies_always = False  # even if the test appended nothing

    @property
    def signed_urls(self) -> list[str]:
        by_cloudfront = self.use.watched_cloudfront.urls if self.settings.delivery == "cloudfront" else []
        return self.use.watched.urls + by_cloudfront

    def caller(self, name: str) -> Caller:
        """The caller whom a demo token identifies; refused ones too."""
        caller, _ = authentication.identify(self.use, self.example.tokens[name], STRANGER)
        return caller

    def person(self, name: str) -> Caller:
        """A person of the demo as on the command line, already proven."""
        return self.person_of(self.example.people[name]["email"])

    def person_of(self, email: str) -> Caller:
        """The same of anybody."""
        with self.use.database.reading() as session:
            row = session.scalars(select(Person).where(Person.email == email)).one()
            return Caller(
                via="cli",
                organization_id=row.organization_id,
                organization=row.organization.slug,
                person_id=row.id,
                person=row.email,
                role=Role(row.role),
            )

    @property
    def admin(self) -> Caller:
        return self.person("admin")

    @property
    def admin2(self) -> Caller:
        return self.person("admin2")

    def order(self, stage: str = "gpt-2/774M", **more: Any) -> Order:
        return Order(stage, **more)

    def move(self, stage: str, to: StageState | str, reason: str = "As a test wants it.") -> Decision:
        """Move a stage by two admins, as it is always moved."""
        return worked_example.move(self.use, self.admin, self.admin2, stage, StageState(to), reason)

    def publish(self, folder: Path, stage: str, by: Caller | None = None, **more: Any) -> Published:
        """Publish to a stage; where that takes another person, an admin approves."""
        done = publishing.publish(self.use, by or self.person("publisher"), folder, stage, **more)
        if done.proposal is not None:
            carrying_out.approve(self.use, self.admin2, done.proposal)
        return done

    def add_partner(self, slug: str = "dover-lab") -> Caller:
        """A new partner with an owner; neither cleared nor signed."""
        organizations.add(self.use, self.admin, slug, "Dover Lab")
        email = f"owner@{slug}.example"
        people.add(self.use, self.admin, slug, email, "Dora Owner", Role.OWNER, "a long enough password")
        self.example.people[slug] = {"email": email, "password": "a long enough password"}
        return self.person(slug)

    def add_person(self, organization: str, email: str, role: Role) -> None:
        """Somebody whom an admin added, without a password: hashing takes longer than the rest of most tests.

        In the lab the other admin approved their role.
        """
        with self.use.database.transaction() as session:
            home, at = organizations.get(session, organization), self.clock()
            name, now = email.partition("@")[0].title(), Role.PENDING if home.is_lab else role
            person, _ = people.create(session, self.use, home, email, name, now, "none")
            admin = session.get_one(Person, self.admin.person_id)
            told = granting.propose_in(session, self.use, person, role, admin, at) if home.is_lab else {}
            people.record(session, self.admin, EntryKind.PERSON_ADD, person, at, **told)
        if home.is_lab:
            granting.approve(self.use, self.admin2, email)

    def give_role(self, email: str, role: Role) -> None:
        """Two admins give somebody of the lab another role."""
        granting.propose(self.use, self.admin, email, role)
        granting.approve(self.use, self.admin2, email)

    def plant(self, kind: str, record: dict[str, Any], organization: str | None = None, **more: Any) -> int:
        """Append an entry past every rule, under the columns that it should have or `more`; returns its id."""
        self.tampered = True
        with self.use.database.transaction() as session:
            number = None if organization is None else organizations.get(session, organization).id
            columns = entry_kinds.columns(kind, record) | {"organization_id": number} | more
            entries.append(session, kind=kind, at=self.clock(), record=record, **columns)
        return self.entries()[-1].id

    def lift(self, on: str) -> None:
        """Lift a hold by two admins, as it is always lifted."""
        lifting.propose(self.use, self.admin, on, "As a test wants it.")
        lifting.approve(self.use, self.admin2, on)

    def newest_entry(self) -> int:
        with self.use.database.reading() as session:
            return session.scalars(select(func.max(LogEntry.id))).one()

    def entries(self, kind: str | None = None) -> list[LogEntry]:
        query = select(LogEntry).order_by(LogEntry.id)
        with self.use.database.reading() as session:
            return list(session.scalars(query if kind is None else query.where(LogEntry.kind == kind)))

    def name_of(self, entry_id: int) -> str:
        """How a fault names an entry, as it is now."""
        (place,) = (entry.leaf_index for entry in self.entries() if entry.id == entry_id)
        return f"an unsealed entry (row {entry_id})" if place is None else f"entry {place}"

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [orjson.loads(entry.record) for entry in self.entries(kind)]

    def refusals(self) -> list[Refusal]:
        with self.use.database.reading() as session:
            return list(session.scalars(select(Refusal).order_by(Refusal.id)))

    @cached_property
    def client(self) -> FlaskClient:
        app = web.create(self.use)
        app.jinja_env.bytecode_cache = COMPILED
        return app.test_client()

    def api(self, method: str, path: str, token: str | None = "cleared", **more: Any) -> Any:
        """Call the API as the owner of a demo token (None: without one). `path` starts after /api/v1."""
        return self.ask(method, f"/api/v1{path}", token, **more)

    def ask(self, method: str, address: str, token: str | None = "cleared", **more: Any) -> Any:
        """The same at any address."""
        self.keep_sealed()
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {self.example.tokens.get(token, token)}"
        return self.client.open(address, method=method, headers=headers, **more)

    def visit(self, name: str | None) -> Visit:
        """A browser's part of the portal, signed in as a person of the demo (None: nobody), proved just now."""
        return visit(self.client.application, self.use, None if name is None else self.example.people[name]["email"])

    def seal(self) -> int:
        """What the worker does all the time."""
        self._sealed = time.monotonic()
        return sealer.seal(self.use)

    def keep_sealed(self) -> None:
        """The same, where a test lasts long: after 30 s with an unsealed entry nothing is issued any more."""
        if time.monotonic() > self._sealed + SEALED_AGAIN_AFTER_SECONDS:
            self.seal()

    def faults(self) -> list[Fault]:
        """What `log verify` finds, but for what is known of logs that were abandoned."""
        found = verifying.verify(self.use)
        faults = (fault for result in found if not result.abandoned for fault in result.faults)
        return [fault for fault in faults if fault.sentence != PADDING]

    def check(self) -> None:
        """The log verifies once it is sealed, every entry is canonical, and no URL was signed that it does not know.

        The log verifies from its first entry on, as it does for operators. A test that appended nothing has the log
        that verified when the template was made, and is asked only if it is about the log itself. What tests alone
        ask begins at the template's head: a change of an earlier entry is a fault of the log.
        """
        if self.tampered:
            return
        if self.verifies_always or self.newest_entry() > self.template.last_entry:
            self.seal()
            assert [fault for fault in self.faults() if fault.sentence != replay.GHOST_READ] == []
        check_entries(self.use, self.template.last_entry, self.signed_urls)

    def close(self) -> None:
        self.use.close()


STRANGER = Caller(via="anonymous", address="127.0.0.1", user_agent="tests", request_id="0" * 16)


def write_settings(template: Template, folder: Path, url: str, **more: Any) -> Settings:
    """Write the settings of a copy: the template's keys and store, a database of its own."""
    known = template.settings.model_dump(mode="json", exclude_none=True)
    return instance.write_settings(folder, known | {"database_url": url} | more)


@pytest.fixture(params=DATABASES)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A fresh copy of the worked example, once on each database."""
    yield from copied_world(request, tmp_path, request.param)


@pytest.fixture
def sqlite_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The same on SQLite alone, for what does not touch the database's own ways."""
    yield from copied_world(request, tmp_path, "sqlite")


def cases(
    names: str | Sequence[str], table: Iterable[Any], *, ids: Iterable[str] | None = None
) -> pytest.MarkDecorator:
    """Each case of a table on SQLite, and the first on PostgreSQL too: cases differ by a rule, not by their SQL.

    The test, or what it takes, takes `world`.
    """
    rows = [(case,) if isinstance(names, str) else tuple(case) for case in table]
    called = list(ids) if ids is not None else ["-".join(map(_called, row)) for row in rows]
    return pytest.mark.parametrize(
        ("world", names) if isinstance(names, str) else ("world", *names),
        [*(("sqlite", *row) for row in rows), ("postgresql", *rows[0])],
        indirect=["world"],
        ids=[*(f"sqlite-{one}" for one in called), f"postgresql-{called[0]}"],
    )


def _called(value: Any) -> str:
    """The same in every process: a set's own order is not."""
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(_called, value))) + "}"
    name = getattr(value, "__name__", None)
    return name or str(value).encode("unicode_escape").decode("ascii")


def copied_world(
    request: pytest.FixtureRequest, folder: Path, kind: str, template: Template | None = None
) -> Iterator[World]:
    """A copy of the template, of the worked example unless another is given, and what must hold of it at the end."""
    template = template or request.getfixturevalue(f"{kind}_template")
    if kind == "sqlite":
        (folder / "instance").mkdir()
        path = folder / "instance" / "weightgate.sqlite3"
        shutil.copyfile(template.settings.database_url.removeprefix("sqlite:///"), path)
        url, name = f"sqlite:///{path}", None
    else:
        postgres: PostgreSQL = request.getfixturevalue("postgres")
        name = f"world_{uuid.uuid4().hex}"
        url = postgres.create(name, template.settings.database_url.rpartition("/")[2])
    world = World(template, folder / "instance", url)
    world.verifies_always = not ABOUT_THE_LOG.isdisjoint(request.path.parts)
    try:
        yield world
        world.check()
    finally:
        world.close()
        if name is not None:
            postgres.drop(name)
