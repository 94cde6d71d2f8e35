"""Making an instance: its folder, its settings file, its keys, its schema."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server import migrations, settings
from server.settings import FILE_NAME, Settings
from server.storage import keys

HEAD = """\
# Settings of this Weightgate instance. Every key, with its meaning, unit and bounds: config/example.toml.
# A variable WEIGHTGATE_<KEY> wins over a line here.
"""


def write_settings(folder: Path, values: Mapping[str, Any]) -> Settings:
    """Write the settings file and read it back, so that nothing is written that would not be accepted."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    path = folder / FILE_NAME
    path.touch(mode=0o600)  # a database URL may hold a password
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return settings.load(folder)


def write_keys(made: Settings) -> None:
    """Create each key file that is not there yet; one that is there is kept."""
    if not made.secret_file.exists():
        keys.write_secret(made.secret_file)
    if not made.manifest_key_file.exists():
        keys.write_manifest_key(made.manifest_key_file, made.manifest_public_key_file)


def write_schema(made: Settings) -> None:
    migrations.upgrade(made.migration_database_url or made.database_url)


def _toml(value: Any) -> str:
    # Strings, numbers, booleans and lists of them are written alike in JSON and TOML.
    return json.dumps(value, ensure_ascii=False)
