"""A world on an embedded store of its own, for tests that change the store's keys or its policy for everything."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from server.storage import keys
from server.storage.embedded import EmbeddedStore, free_port
from server.storage.objects import S3Objects
from tests.world import WatchedResources, World, write_settings


@contextmanager
def own_bucket(world: World) -> Iterator[str]:
    """The name of a new bucket in the world's store, which the publisher's key may write; it is emptied afterwards."""
    made = world.settings
    with S3Objects(
        endpoint_url=made.s3_endpoint_url, region=made.s3_region, bucket=f"log-{uuid.uuid4().hex}",
        addressing=made.s3_addressing, credentials=keys.read_s3_credentials(made.publisher_key_file),
    ) as bucket:  # fmt: skip
        bucket.ensure_bucket()
        yield bucket.bucket
        for key in bucket.list_keys(""):
            bucket.delete(key)


@contextmanager
def on_own_store(world: World, *, embedded: bool = True) -> Iterator[EmbeddedStore]:
    """Give the world a store in its own folder, with every JSON file of its checkpoints in it.

    embedded: whether the settings say that it is the instance's own; else it is like any store elsewhere.
    """
    shared = world.use.store
    with EmbeddedStore(world.folder / "store", free_port(), "weights") as store:
        known = {
            "s3_endpoint_url": store.endpoint_url, "signer_key_file": store.signer_key_file,
            "publisher_key_file": store.publisher_key_file, "embedded_store": embedded,
            "uploads_key_file": store.uploads_key_file,
        }  # fmt: skip
        world.template = replace(world.template, settings=world.template.settings.model_copy(update=known))
        world.settings = write_settings(world.template, world.folder, world.settings.database_url)
        before, world.use = world.use, WatchedResources(world.settings, world.clock)
        for key in shared.list_keys("checkpoints/"):
            if key.endswith(".json"):
                world.use.store.put_bytes(key, shared.get_bytes(key))
        before.close()
        yield store
