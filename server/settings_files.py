"""Settings files: every file that the settings name, found by its declared type, in tables too.

A backup copies them, `doctor` opens them, and a restore says which are elsewhere: all three ask here, so that no new
setting can be left out of one of them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from server.settings import Settings


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """setting: `log_key_file`, or with its table: `identity_providers.ca_file`, which several may set."""

    setting: str
    path: Path


def declared(model: type[BaseModel] = Settings) -> Iterator[str]:
    """The settings that name a file, as SettingsFile has them."""
    for name, field in model.model_fields.items():
        if field.exclude:  # the folder itself
            continue
        for kind in _kinds(field.annotation):
            if issubclass(kind, Path):
                yield name
            elif issubclass(kind, BaseModel):
                yield from (f"{name}.{inner}" for inner in declared(kind))


def named(settings: Settings) -> Iterator[SettingsFile]:
    """The files that these settings name, by default or in so many words, whether they are there or not."""
    return _in_model(settings, "")


def _kinds(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _in_model(model: BaseModel, table: str) -> Iterator[SettingsFile]:
    for name, field in type(model).model_fields.items():
        if not field.exclude:
            yield from _in_value(getattr(model, name), f"{table}{name}")


def _in_value(value: Any, setting: str) -> Iterator[SettingsFile]:
    if isinstance(value, Path):
        yield SettingsFile(setting, value)
    elif isinstance(value, BaseModel):
        yield from _in_model(value, f"{setting}.")
    elif isinstance(value, Collection) and not isinstance(value, str | bytes):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _in_value(one, setting)
