"""The beginning: two admins, a lab, a log and the row for everything; all of it or nothing, once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from server import migrations
from server.cli import instance
from server.domain.audit import logs, verifying
from server.domain.errors import InvalidRequest, NotPossible, Refused
from server.domain.identity import people
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.operation import bootstrap
from server.domain.operation.bootstrap import FirstAdmin
from server.domain.release.stages import Everything
from server.domain.resources import Resources
from server.log.entries import Log, LogEntry
from tests.world import World

ADA = FirstAdmin("Ada@lab.example ", "Ada", "a long enough password")
BEN = FirstAdmin("ben@lab.example", "Ben", "another long password")


@contextmanager
def fresh(world: World, folder: Path) -> Iterator[Resources]:
    """An instance with a schema and nothing in it."""
    url = f"sqlite:///{folder}/fresh.sqlite3"
    known = world.settings.model_dump(mode="json", exclude_none=True) | {"database_url": url}
    use = Resources(instance.write_settings(folder, known), world.clock)
    migrations.upgrade(url)
    yield use
    use.close()


def counted(use: Resources) -> list[int]:
    with use.database.reading() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in
                (Log, LogEntry, Organization, Person, Everything)]  # fmt: skip


def test_an_instance_begins_with_all_that_the_rest_builds_on(sqlite_world: World, tmp_path: Path) -> None:
    """Lab, two admins who can prove themselves, a log whose first entry tells of it."""
    with fresh(sqlite_world, tmp_path) as use:
        assert not bootstrap.has_begun(use)
        made = bootstrap.begin(use, "the-lab", "The Lab", [ADA, BEN])
        assert bootstrap.has_begun(use)
        assert counted(use) == [1, 1, 1, 2, 1]
        with use.database.reading() as session:
            assert logs.current(session).origin == f"localhost/downloads/{use.clock().year}"
        assert people.sign_in_for_command(use, "ada@lab.example", ADA.password).organization == "the-lab"
        assert [bool(admin.totp_secret) for admin in made] == [True, True]
        with use.database.reading() as session:
            record = session.scalars(select(LogEntry.record)).one()
        assert b'"admins":["ada@lab.example","ben@lab.example"]' in record
        assert ADA.password.encode() not in record


BAD_ADMINS: list[tuple[list[FirstAdmin], type[Refused]]] = [
    ([], InvalidRequest), ([ADA], InvalidRequest),
    ([ADA, FirstAdmin("ADA@lab.example", "Ada", "a long enough password")], InvalidRequest),
    ([ADA, BEN, FirstAdmin("c@lab.example", "C", "a long enough password")], InvalidRequest),
    ([ADA, BEN, FirstAdmin("ben@lab.example", "Ben", "a long enough password")], InvalidRequest),
    ([ADA, FirstAdmin("ben@lab.example", "Ben", "short")], InvalidRequest),
    ([ADA, FirstAdmin("no address", "Ben", "another long password")], InvalidRequest),
]  # fmt: skip


@pytest.mark.parametrize(("admins", "code"), BAD_ADMINS)
def test_without_exactly_two_good_admins_nothing_begins(
    sqlite_world: World, tmp_path: Path, admins: list[FirstAdmin], code: type[Refused]
) -> None:
    """Neither one, nor one twice, nor three; and what fails on the way leaves no row."""
    with fresh(sqlite_world, tmp_path) as use:
        with pytest.raises(code):
            bootstrap.begin(use, "the-lab", "The Lab", admins)
        assert counted(use) == [0, 0, 0, 0, 0]


def test_an_instance_begins_once(world: World) -> None:
    """A second beginning changes nothing."""
    known = len(world.entries())
    with pytest.raises(NotPossible):
        bootstrap.begin(world.use, "another-lab", "Another", [ADA, BEN])
    assert len(world.entries()) == known


def test_acts_that_take_two_only_now_are_adopted_by_one_entry(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance that began with the rule of two people, and without these: once, and the first admins stay."""
    with fresh(world, tmp_path) as use:
        monkeypatch.setattr(bootstrap, "TAKES_TWO", ["quota"])
        bootstrap.begin(use, "the-lab", "The Lab", [ADA, BEN])
        monkeypatch.undo()
        assert bootstrap.adopt_rules(use)
        assert not bootstrap.adopt_rules(use)
        with use.database.reading() as session:
            record = session.scalars(select(LogEntry.record).order_by(LogEntry.id.desc())).first()
        assert b'"first_admins":[],"kind":"rules.adopt","organization":"the-lab","takes_two":["checkpoint",' in (
            record or b""
        )
        assert [fault for result in verifying.verify(use, tables=True) for fault in result.faults] == []
