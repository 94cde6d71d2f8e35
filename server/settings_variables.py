"""Settings variables: what an instance has from its environment alone, so that a copy of its files lacks it."""

import os
from collections.abc import Mapping

from server import settings
from server.settings import PREFIX, Settings, SettingsError
from server.settings_sources import from_environment


def names(made: Settings, environment: Mapping[str, str] | None = None) -> list[str]:
    """The settings that would be others, or missing, without the variables that they were read with. No values."""
    given = from_environment(os.environ if environment is None else environment)
    try:
        alone = settings.load(made.folder, {})
    except SettingsError:  # the file needs them
        return sorted(given)
    return sorted(name for name in given if getattr(made, name) != getattr(alone, name))


def variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
