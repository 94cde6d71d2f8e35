"""Restoring: what keeps a restored instance apart from the one that was backed up, which may be running.

The settings in a backup are that instance's own. Left as they are, the copy would work on the live database: so all
three URLs are those of the database that was restored into, and none may lead to one that is in use.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import inspect, make_url

from server import settings, settings_files
from server.domain import marks
from server.domain.errors import NotPossible
from server.domain.operation import instance_files
from server.domain.resources import Resources
from server.settings import PREFIX, Settings, SettingsError
from server.settings_variables import variable
from server.storage import snapshot
from server.storage.database import Database, DatabaseUnavailable

URLS = ("database_url", "sealer_database_url", "migration_database_url")
# What two running instances must not, or had better not, have in common.
SECRET = ("redis_url", "log_replica_url")  # may hold a password
SHARED = (
    "public_url", "listen", "s3_endpoint_url", "s3_bucket", "anchor_bucket", "log_mirror", "log_months", "smtp_url",
    *SECRET,
)  # fmt: skip


def write_database_urls(path: Path, environment: Mapping[str, str]) -> None:
    """Put the URLs that the environment names into a settings file: without it, the file alone must lead there."""
    text = path.read_text(encoding="utf-8")
    for name in URLS:
        if (url := environment.get(f"{PREFIX}{name.upper()}")) is not None:
            text = re.sub(rf"^[ \t]*{name}[ \t]*=.*\n?", "", text, flags=re.MULTILINE)
            text = f"{name} = {json.dumps(url)}\n{text}"
    path.write_text(text, encoding="utf-8")


def not_set(source: Path, environment: Mapping[str, str]) -> list[str]:
    """The settings that the instance had from its environment, and that neither ours nor the backup's file has."""
    known = (name for name in instance_files.from_environment(source) if name in Settings.model_fields)
    return [name for name in known if variable(name) not in environment]


def load(folder: Path, source: Path, environment: Mapping[str, str]) -> Settings:
    """Read what was restored. Raises NotPossible where it lacks what that instance had from its environment."""
    try:
        return settings.load(folder, environment)
    except SettingsError as error:
        if not (missing := not_set(source, environment)):
            raise
        raise NotPossible(
            f"The settings of the backup cannot be used alone: {error}. Nothing was changed.",
            next_step=f"Set {', '.join(map(variable, missing))}, as that instance had it, and restore again.",
        ) from None


def require_new_databases(made: Settings, copy: Path) -> None:
    """Raise NotPossible when any of the URLs leads to a database that is in use, or to another kind than the copy's."""
    for name in URLS:
        url = getattr(made, name)
        if url is None:
            continue
        shown, advice = make_url(url).render_as_string(hide_password=True), f"Set {PREFIX}{name.upper()} to a new one."
        if (kind := snapshot.kind_of(copy)) != make_url(url).get_backend_name():
            raise NotPossible(f"The backup is of a {kind} database, but {name} is {shown}.", next_step=advice)
        try:
            if _is_in_use(url):
                raise NotPossible(f"{name} leads to a database that is in use: {shown}.", next_step=advice)
        except DatabaseUnavailable as error:
            raise NotPossible(f"{name}: {error}.", next_step=advice) from None


def become_another(made: Settings) -> str | None:
    """Give the restored database an id of its own, and see that every role finds it; None in a schema of before ids.

    Raises NotPossible when a role's URL leads to another database.
    """
    with contextlib.closing(Resources(made).as_owner()) as owner, owner.database.transaction() as session:
        own = marks.renew(session)
    for name in URLS:
        if own is not None and (url := getattr(made, name)) is not None:
            with contextlib.closing(Database(url)) as database, database.reading() as session:
                if marks.of_database(session) != own:
                    raise NotPossible(
                        f"{name} leads to another database than the one that was restored into.",
                        next_step="Let all URLs name the same new, empty database.",
                    )
    return own


def shared_with_the_source(made: Settings) -> dict[str, str]:
    """What the settings still have in common with the instance that was backed up, without passwords."""
    named = {name: str(value) for name in SHARED if (value := getattr(made, name)) is not None}
    named |= {name: make_url(named[name]).render_as_string(hide_password=True) for name in SECRET if name in named}
    elsewhere: dict[str, list[str]] = {}
    for file in settings_files.named(made):
        if not instance_files.is_inside(made, file.path) and str(file.path) not in elsewhere.get(file.setting, ()):
            elsewhere.setdefault(file.setting, []).append(str(file.path))
    return named | {setting: ", ".join(paths) for setting, paths in elsewhere.items()}


def _is_in_use(url: str) -> bool:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return False
    with contextlib.closing(Database(url)) as database, database.reading() as session:
        return bool(inspect(session.connection()).get_table_names())
