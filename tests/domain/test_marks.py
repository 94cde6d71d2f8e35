"""Marks: a bucket bears the id of the one database that uses it."""

import uuid
from contextlib import closing

import pytest
from sqlalchemy import create_engine, text

from server import migrations
from server.domain import marks
from server.domain.downloads import issuing
from server.domain.marks import AnotherInstance
from server.domain.operation.readiness import NotReady, require_ready
from server.domain.publish import publishing
from server.domain.resources import Resources
from server.storage.objects import ObjectStoreRefused
from server.storage.outside import OutsideFault
from tests.world import World, write_settings


@pytest.fixture
def apart(world: World) -> World:
    """A world with a bucket of its own: what one test does to the mark is nobody else's."""
    settings = write_settings(
        world.template, world.folder, world.settings.database_url, s3_bucket=f"marks-{uuid.uuid4().hex[:12]}",
        signer_key_file=str(world.settings.publisher_key_file),  # the store's signer may read `weights` alone
    )  # fmt: skip
    world.use.close()
    world.settings = settings
    world.use = type(world.use)(settings, world.clock)
    world.use.store.ensure_bucket()
    return world


def become_another(world: World) -> None:
    """What `restore` does to a copy."""
    with world.use.database.transaction() as session:
        assert marks.renew(session) is not None


def test_a_bucket_without_a_mark_is_claimed_once(apart: World) -> None:
    """Whoever comes first marks it; to claim it again changes nothing."""
    use = apart.use
    assert not marks.is_marked(use.database, use.store)
    marks.require_own(use.database, use.store)
    use.claim_bucket()
    before = use.store.get_bytes(marks.OBJECT_KEY)
    use.claim_bucket()
    assert marks.is_marked(use.database, use.store)
    assert use.store.get_bytes(marks.OBJECT_KEY) == before


def test_another_database_on_the_same_bucket_is_refused_until_it_takes_over(apart: World) -> None:
    """The sentence says whose the bucket is and how to take it over; then the former owner is the one refused."""
    use = apart.use
    use.claim_bucket()
    with use.database.reading() as session:
        former = marks.of_database(session)
    become_another(apart)
    for act in (use.claim_bucket, lambda: marks.require_own(use.database, use.store)):
        with pytest.raises(AnotherInstance, match=r"http://localhost:8080, since 20.*weightgate-server take-over"):
            act()
    use.take_over_bucket()
    use.claim_bucket()
    assert former.encode() not in use.store.get_bytes(marks.OBJECT_KEY)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_a_mark_that_cannot_be_read_is_another_s(apart: World, content: bytes) -> None:
    """Something wrote there that we do not know."""
    apart.use.store.put_bytes(marks.OBJECT_KEY, content)
    with pytest.raises(AnotherInstance):
        apart.use.claim_bucket()


def test_the_web_server_of_a_copy_issues_nothing(apart: World) -> None:
    """Found by the first look after the start, and by a running one when another took over: 503, and not ready."""
    use = apart.use
    use.claim_bucket()
    use.outside.look()
    issuing.issue(use, apart.caller("cleared"), apart.order())
    become_another(apart)
    use.outside.look()
    with pytest.raises(OutsideFault, match="belongs to another instance"):
        issuing.issue(use, apart.caller("cleared"), apart.order())
    with pytest.raises(NotReady, match="belongs to another instance"):
        require_ready(use)


def test_nothing_is_published_into_another_s_bucket(apart: World) -> None:
    """Refused before the first object is sent."""
    apart.use.claim_bucket()
    become_another(apart)
    publisher, folder = apart.person("publisher"), apart.template.sources / "gpt-2" / "774M"
    with pytest.raises(AnotherInstance):
        publishing.publish(apart.use, publisher, folder, "gpt-2/355M")
    assert apart.use.store.list_keys("checkpoints/") == []


def test_who_may_not_see_the_mark_goes_on(sqlite_world: World) -> None:
    """AWS refuses what is not there to whoever may only read, so a refusal proves nothing."""
    refusing = sqlite_world.settings.model_copy(update={"s3_bucket": "not-the-signer-s"})
    with closing(Resources(refusing)) as use, closing(use.as_reader()) as store:
        with pytest.raises(ObjectStoreRefused):
            marks.is_marked(use.database, store)
        marks.require_own(use.database, store)


def test_each_database_gets_an_id_of_its_own_by_the_upgrade(sqlite_world: World) -> None:
    """Two that were made by the same migrations differ; one of before ids is left alone until then."""
    found = set()
    for name in ("one", "two"):
        url = f"sqlite:///{sqlite_world.folder}/{name}.sqlite3"
        migrations.upgrade(url)
        engine = create_engine(url)
        with engine.connect() as connection:
            found.add(connection.scalar(text("SELECT value FROM instance_id")))
        engine.dispose()
    assert len(found) == 2


def test_a_copy_of_before_ids_is_no_fault(sqlite_world: World) -> None:
    """It has no id to renew, and gets one by `migrate`."""
    with sqlite_world.use.database.transaction() as session:
        session.execute(text("DROP TABLE instance_id"))
        assert marks.renew(session) is None
        session.rollback()
