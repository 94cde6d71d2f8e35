"""Real object stores for tests."""

from collections.abc import Iterator

import pytest

from server.storage.embedded import EmbeddedStore, free_port


@pytest.fixture(scope="session")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """One embedded store for all tests of this process; its bucket is `weights`. A test keeps to keys of its own."""
    with EmbeddedStore(tmp_path_factory.mktemp("embedded") / "store", free_port(), "weights") as store:
        yield store
