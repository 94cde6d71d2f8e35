"""A world on an embedded store of its own, for tests that change the store's keys or its policy for everything."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from server.storage.embedded import EmbeddedStore, free_port
from tests.world import WatchedResources, World, write_settings


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
