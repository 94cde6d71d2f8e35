"""Health: one word, for whoever watches."""

import shutil
from pathlib import Path

import pytest

from server import migrations
from server.domain.resources import Resources
from server.web import app as web
from tests.empty_databases import outgrow
from tests.world import World


@pytest.mark.parametrize(("path", "word"), [("/healthz", "alive\n"), ("/readyz", "ready\n")])
def test_a_healthy_server_says_so(world: World, path: str, word: str) -> None:
    """Both answer to anyone, in one word of plain text."""
    answer = world.client.get(path)
    assert (answer.status_code, answer.text, answer.mimetype) == (200, word, "text/plain")


@pytest.fixture(params=["gone", "unreachable", "without tables", "without a log", "with a newer schema"])
def unready(request: pytest.FixtureRequest, sqlite_world: World, tmp_path: Path) -> Resources:
    """Resources whose database cannot issue anything."""
    path = tmp_path / "other.sqlite3"
    url = f"sqlite:///{path}"
    match request.param:
        case "gone":
            url = "sqlite:////nowhere/weightgate.sqlite3"
        case "unreachable":
            url = "postgresql+psycopg://app:secret@127.0.0.1:1/gone"
        case "without tables":
            path.touch()
        case "without a log":
            migrations.upgrade(url)
        case _:
            shutil.copyfile(sqlite_world.settings.database_url.removeprefix("sqlite:///"), path)
            outgrow(url)
    return Resources(sqlite_world.settings.model_copy(update={"database_url": url}))


def test_a_server_that_cannot_issue_is_alive_but_not_ready(unready: Resources) -> None:
    """Whatever is wrong with the database, `/readyz` is a plain 503 and `/healthz` stays 200."""
    client = web.create(unready).test_client()
    ready = client.get("/readyz")
    alive = client.get("/healthz")
    unready.close()
    assert (ready.status_code, ready.text) == (503, "not ready\n")
    assert alive.status_code == 200
