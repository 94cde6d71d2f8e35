"""Frameworks of auditors: which entry kinds show what this server does for their controls. See `config/frameworks/`."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.domain.entry_kinds import EntryKind
from server.settings import Settings

FOLDER = Path(__file__).parents[2] / "config" / "frameworks"
NAMES = ("gpai", "rand", "soc2")


class Control(BaseModel):
    """One control. id: as its publisher numbers it. rule: what this server enforces. missing: what it cannot show."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    title: str
    rule: str
    kinds: tuple[EntryKind, ...] = Field(min_length=1)
    settings: tuple[str, ...]  # whose values the rule depends on
    shows: str
    missing: str

    @field_validator("settings")
    @classmethod
    def _settings(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            field = Settings.model_fields.get(name)
            if field is None or not field.repr or name.endswith(("_file", "_url")):
                raise ValueError(f"{name} is not a setting that can be shown")
        return names


class Framework(BaseModel):
    """A publication, and its controls that this log bears on. source: where its text is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    source: str
    about: str
    cannot_show: tuple[str, ...]
    control: tuple[Control, ...] = Field(min_length=1)

    @property
    def kinds(self) -> frozenset[EntryKind]:
        return frozenset(kind for control in self.control for kind in control.kinds)


@cache
def framework(name: str) -> Framework:
    """Read one of NAMES. Raises ValueError for a file that is not as it should be."""
    with (FOLDER / f"{name}.toml").open("rb") as stream:
        return Framework.model_validate(tomllib.load(stream))


def values(settings: Settings, control: Control) -> dict[str, Any]:
    """The settings that a control's rule depends on, as they are."""
    shown = settings.model_dump(mode="json", include=set(control.settings))
    return {name: shown[name] for name in control.settings}
