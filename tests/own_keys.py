"""Instances whose keys are their own, for tests that change keys: worlds share those of their template."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from server import migrations
from server.cli import instance
from server.domain.audit import rotation, rotation_permits, sealer
from server.domain.audit.rotation import Rotated
from server.domain.audit.rotation_permits import Terms
from server.domain.callers import Caller
from server.domain.identity.people import Person
from server.domain.operation import bootstrap, carrying_out
from server.domain.operation.bootstrap import FirstAdmin
from server.domain.permissions import Role
from server.domain.resources import Resources
from server.storage.embedded import EmbeddedStore
from tests.world import WatchedResources, World

KEY_FILES = ("log_key_file", "receipt_key_file")


def give_own_keys(world: World, **more: str) -> None:
    """Copy the keys that sign notes into the world's folder, and use them from there; `more`: other settings."""
    (world.folder / "keys").mkdir(mode=0o700)
    known = world.settings.model_dump(mode="json", exclude_none=True) | more
    for name in KEY_FILES:
        path = getattr(world.settings, name)
        known[name] = str(Path("keys") / path.name)
        shutil.copy(path, world.folder / known[name])
    world.use.close()
    world.settings = instance.write_settings(world.folder, known)
    world.use = WatchedResources(world.settings, world.clock)


@contextmanager
def anchored_instance(
    folder: Path, store: EmbeddedStore, clock: Callable[[], datetime], **more: str
) -> Iterator[Resources]:
    """A small instance, begun, sealed and anchored in the store's own bucket, under an origin of its own.

    On SQLite, unless `more` settings name another database.
    """
    made = instance.write_settings(
        folder,
        {
            "public_url": "http://localhost:8080", "contact": "help@lab.example", "logger_level": "error",
            "log_host": f"{uuid.uuid4().hex}.example", "s3_endpoint_url": store.endpoint_url, "s3_bucket": "weights",
            "s3_addressing": "path", "signer_key_file": str(store.signer_key_file),
            "publisher_key_file": str(store.publisher_key_file), "anchor_bucket": store.anchor_bucket,
            "anchor_key_file": str(store.anchor_key_file),
        } | more,
    )  # fmt: skip
    instance.write_keys(made)
    migrations.upgrade(made.database_url)
    use = Resources(made, clock)
    people = [FirstAdmin(f"{name}@lab.example", name, "a long enough password") for name in ("ada", "ben")]
    bootstrap.begin(use, "lab", "The Lab", people)
    seal_and_anchor(use)
    try:
        yield use
    finally:
        use.close()


def seal_and_anchor(use: Resources) -> None:
    """What the worker does."""
    sealer.seal(use)
    sealer.anchor(use)


def admins(use: Resources) -> list[Caller]:
    """The lab's admins as on the command line, already proven, the first two first."""
    with use.database.reading() as session:
        found = session.scalars(select(Person).where(Person.role == Role.ADMIN).order_by(Person.id)).all()
        return [
            Caller(
                via="cli", organization_id=one.organization_id, organization=one.organization.slug, person_id=one.id,
                person=one.email, role=Role.ADMIN,
            )
            for one in found
        ]  # fmt: skip


def permit(use: Resources, because: str = "A new year.", *, abandon: bool = False) -> int:
    """Let the log be closed: the first admin proposes, and the second approves. Returns the proposal."""
    first, second, *_ = admins(use)
    proposed = rotation_permits.propose(use, first, Terms(because, abandon))
    return carrying_out.approve(use, second, proposed.id).id


def rotate(use: Resources, because: str = "A new year.", *, abandon: bool = False) -> Rotated:
    """Rotate as it is always done, by two."""
    permit(use, because, abandon=abandon)
    return rotation.rotate(use, admins(use)[0])
