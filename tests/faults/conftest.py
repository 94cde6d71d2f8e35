"""Fault tests need what every other test does without: a PostgreSQL that keeps its promises."""

import pytest


@pytest.fixture(autouse=True)
def durable(request: pytest.FixtureRequest) -> None:
    """On, for each test here that has a PostgreSQL at all; a world chooses its database by parameter."""
    callspec = getattr(request.node, "callspec", None)
    parameters = [] if callspec is None else list(callspec.params.values())
    if "postgresql" in parameters or any("postgres" in name for name in request.fixturenames):
        request.getfixturevalue("durable_postgres")
