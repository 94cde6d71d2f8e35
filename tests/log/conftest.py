"""Small logs for the tests of the log: copies of a database that has the schema and nothing else."""

import shutil
import uuid
from collections.abc import Callable, Iterator

import pytest

from server import migrations
from tests.log.small_log import SmallLog
from tests.postgres import PostgreSQL
from tests.world import DATABASES

MakeDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def new_sqlite(tmp_path_factory: pytest.TempPathFactory) -> MakeDatabase:
    """Gives the URL of a new SQLite database at each call."""
    folder = tmp_path_factory.mktemp("small-logs")
    migrations.upgrade(f"sqlite:///{folder}/template.sqlite3")

    def make() -> str:
        path = folder / f"{uuid.uuid4().hex}.sqlite3"
        shutil.copyfile(folder / "template.sqlite3", path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(scope="session")
def new_postgresql(postgres: PostgreSQL) -> MakeDatabase:
    """Gives the URL of a new PostgreSQL database at each call."""
    migrations.upgrade(postgres.create("template_small_log"))
    return lambda: postgres.create(f"small_log_{uuid.uuid4().hex}", "template_small_log")


@pytest.fixture(params=DATABASES)
def new_database(request: pytest.FixtureRequest) -> MakeDatabase:
    make: MakeDatabase = request.getfixturevalue(f"new_{request.param}")
    return make


@pytest.fixture
def small_log(new_database: MakeDatabase) -> Iterator[SmallLog]:
    """An empty log, once on each database."""
    made = SmallLog(new_database())
    yield made
    made.close()


@pytest.fixture
def sqlite_log(new_sqlite: MakeDatabase) -> Iterator[SmallLog]:
    """An empty log on SQLite."""
    made = SmallLog(new_sqlite())
    yield made
    made.close()
