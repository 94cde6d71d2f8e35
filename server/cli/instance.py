"""Making an instance: its folder, its settings file, its keys, its schema."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from server import migrations, settings
from server.migrations import NewerSchema, grants
from server.migrations.turns import NotYourTurn
from server.settings import FILE_NAME, Settings, SettingsError, is_loopback
from server.storage import database_reasons, keys
from server.storage.database import Database, DatabaseUnavailable

HEAD = """\
# Settings of this Weightgate instance. Every key, with its meaning, unit and bounds: config/example.toml.
# The environment variable WEIGHTGATE_<KEY> overrides a line here.
"""


def write_settings(folder: Path, values: Mapping[str, Any]) -> Settings:
    """Write the settings file and read it back; what would not be accepted is not left there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    path = folder / FILE_NAME
    path.touch(mode=0o600)  # a database URL may hold a password
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    try:
        return settings.load(folder)
    except SettingsError:
        path.unlink()
        raise


def log_host(public_url: str) -> str:
    """Return the host in the log's name. On loopback a new one, since every instance there is called localhost, and
    a client that remembers one log would take the next one for a forgery.
    """
    host = urlsplit(public_url).hostname or ""
    return f"{secrets.token_hex(4)}.localhost" if is_loopback(host) else host


def write_keys(made: Settings) -> None:
    """Create each key file that is not there yet; one that is there is kept."""
    if not made.secret_file.exists():
        keys.write_secret(made.secret_file)
    write_s3_key(made)
    for path in (made.log_key_file, made.receipt_key_file):
        if not path.exists():
            keys.write_note_key(path)
    if not made.manifest_key_file.exists():
        keys.write_manifest_key(made.manifest_key_file, made.manifest_public_key_file)


def write_s3_key(made: Settings) -> None:
    """Create what S3 tools' keys are made from, unless it is there: instances from before the S3 door have none."""
    if not made.s3_key_file.exists():
        keys.write_secret(made.s3_key_file)


def write_schema(made: Settings) -> None:
    """Bring the database to this version's schema, and its roles to their rights.

    Raises DatabaseUnavailable with the database's own first line, SettingsError for a schema of newer code.
    """
    try:
        migrations.upgrade(made.migration_database_url or made.database_url)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(_first_line(error)) from None
    except (NewerSchema, NotYourTurn) as error:
        raise SettingsError(str(error)) from None
    write_grants(made)


def write_grants(made: Settings) -> None:
    """Give each PostgreSQL role that the settings name its rights. Raises DatabaseUnavailable."""
    web = made.database_url
    try:
        grants.give(made.migration_database_url or web, web, made.sealer_database_url or web)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(_first_line(error)) from None


def other_schema(database: Database) -> str | None:
    """Why the database's schema is not this version's, and what to do; None if it is.

    Raises DatabaseUnavailable, also for a file that is no database.
    """
    try:
        with database.reading() as session:
            return migrations.difference(session.connection())
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(_first_line(error)) from None


def _first_line(error: SQLAlchemyError) -> str:
    """The reason by its code; else the driver's first line, which here quotes no parameter: there are none."""
    said = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
    return f"the database cannot be used: {database_reasons.reason(error, otherwise=said)}"


def _toml(value: Any) -> str:
    """A value in one line. Strings, numbers, booleans and lists of them are written alike in JSON and TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items() if one is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
